// A release: the directory that `cvmin release` writes, read with its publisher's key and held against itself.
// Described in docs/release.md. Writing it is the command's; judging evidence is appraise()'s.
#pragma once

#include "host-tools/base/explained.hpp"
#include "host-tools/corim/corim.hpp"
#include "host-tools/publish/sha256sums.hpp"
#include "host-tools/signing/id_block_file.hpp"

#include <filesystem>

namespace cvmin {

namespace release_file { // what a release has beside the files of the image
inline constexpr const char *sums = "SHA256SUMS";
inline constexpr const char *sums_signature = "SHA256SUMS.sig"; // ECDSA-Sig-Value, as openssl dgst -verify takes it
inline constexpr const char *sums_cose = "SHA256SUMS.cose";     // COSE_Sign1 with SHA256SUMS as its payload
inline constexpr const char *publisher = "publisher.pem";
inline constexpr const char *envelope = "provenance.dsse.json"; // the provenance, signed
inline constexpr const char *id_blocks = "id-blocks.json";      // may be missing
inline constexpr const char *instructions = "VERIFY.md";
inline constexpr std::string_view unlisted[] = {sums, sums_cose, sums_signature}; // cannot be in SHA256SUMS
} // namespace release_file

// All files of a release together; ours have 8 MB, and an initramfs may have 512 MiB.
inline constexpr std::uint64_t max_release_size = 640u << 20;

// In the protected header: a signature of the same key over another kind of payload is not one over a release.
inline constexpr std::string_view sums_content_type = "application/vnd.cvmin.sha256sums";
struct SumsSignatures {
    Bytes der, cose;
};
// Deterministic (rfc6979_nonce). crypto.
Result<SumsSignatures> sign_sums(ByteView sums, const P384PrivateKey &key);
// Both hold, over exactly these bytes. The error names the file.
Explained<void> verify_sums(ByteView sums, const SumsSignatures &signatures, const PublicKey &publisher);

// Locks of the image's sources and tools, as paths in the work tree; a release has them by their file names.
std::vector<std::string> lock_paths(const ImageManifest &manifest);

struct ReleaseBundle {
    std::filesystem::path directory;
    std::vector<NamedDigest> files; // those of SHA256SUMS
    LoadedImage image;
    Provenance provenance;
    std::vector<corim::Launch> launches; // predicted from the image's files, and what the release says
    std::vector<IdBlockOf> id_blocks;
};
// Nothing in it is believed before both signatures over SHA256SUMS hold. Then: the directory has the files listed there
// and no others, no links, each with its digest; image.json and its files, SBOM, provenance, reference values in each
// form, ID blocks and locks agree; launch digests are computed again. `now`: for the CoRIM's validity.
// Any difference is an error whose text begins with the file's name.
Explained<ReleaseBundle> read_release(const std::filesystem::path &directory, const PublicKey &publisher,
                                      std::int64_t now);

} // namespace cvmin
