// The manifest of a computation as people write it: JSON (docs/manifest.schema.json). What it means is
// common/manifest's; here every mistake is found at once and named with its place.
#pragma once

#include "common/manifest.hpp"
#include "host-tools/base/json.hpp"

#include <expected>

namespace cvmin {

inline constexpr std::uint64_t manifest_schema = 1;
inline constexpr std::string_view manifest_kind = "cvmin-manifest";
inline constexpr std::size_t max_manifest_json_size = 256u << 10; // the largest manifest, indented, is under 64 KiB

struct ManifestMistake {
    std::size_t line = 0; // counted from 1
    std::string member;   // "datasets[1].party"; empty: the whole
    std::string text;     // what was found and what is wanted
};
std::string to_string(const ManifestMistake &mistake); // "line 12: datasets[1].party: ..."; printable ASCII

struct WrittenManifest {
    Manifest manifest; // its lists in order
    Bytes encoded;     // canonical CBOR, whose digest counts
};
// All mistakes, in the order of the text. What is accepted here is what parse_manifest() accepts.
std::expected<WrittenManifest, std::vector<ManifestMistake>> parse_manifest_json(ByteView text);

// "algorithm", "data/NAME" and "result", as they follow from the other members.
std::vector<std::string> roles_of(const Manifest &manifest, const Party &party);
Json manifest_json(const Manifest &manifest);

// The key of a party, in JSON: SubjectPublicKeyInfo as one line of base64.
std::string key_text(const PublicKey &key);

} // namespace cvmin
