// A manifest in a file: JSON, the canonical CBOR, or that in a COSE_Sign1 that one of its parties signed.
#pragma once

#include "common/manifest.hpp"
#include "common/p384.hpp"
#include "host-tools/base/explained.hpp"

#include <filesystem>

namespace cvmin {

// A CBOR head, a header of some 40 bytes and a signature of 96 around the manifest.
inline constexpr std::size_t max_signed_manifest_size = max_manifest_size + 512;
inline constexpr std::string_view manifest_content_type = "application/vnd.cvmin.manifest+cbor";

enum class ManifestForm : std::uint8_t { json, cbor, signed_cbor };

struct ManifestFile {
    Manifest manifest;
    Bytes encoded; // canonical CBOR
    Sha256Digest digest{};
    ManifestForm form = ManifestForm::json;
};

// What the bytes claim to be.
ManifestForm form_of(ByteView bytes);
// malformed: the first mistake, and how many more there are; usage: a signed one without `signer`, or a signer for one
// that is not signed; mismatch: not signed by it. The errors of parse_manifest. `name` names the file in errors.
Explained<ManifestFile> read_manifest(ByteView bytes, std::string_view name, const PublicKey *signer = nullptr);
// The errors of read_file, and those above.
Explained<ManifestFile> load_manifest(const std::filesystem::path &path, const PublicKey *signer = nullptr);

// A COSE_Sign1 around the encoded manifest. mismatch: the key is none of its parties'. The errors of make_sign1.
Result<Bytes> sign_manifest(ByteView encoded, const P384PrivateKey &key);
// The manifest in it, a view. mismatch: not signed by this key; unsupported: something else was signed. The errors of
// parse_sign1.
Result<ByteView> open_signed_manifest(ByteView message, const PublicKey &signer);

} // namespace cvmin
