// SHA256SUMS of a release, as sha256sum writes it: read strictly, so that one list of files has one text. No I/O.
#pragma once

#include "image/provenance.hpp"

#include <span>
#include <string>
#include <vector>

namespace cvmin {

inline constexpr std::size_t max_release_files = 64;         // ours has 19
inline constexpr std::size_t max_release_name_size = 64;     // the longest of ours has 29
inline constexpr std::size_t max_sha256sums_size = 8u << 10; // 64 lines of 64 digits, two blanks, a name, a line break

// A name that means the same to every shell and file system: letters, digits, '.', '_' and '-', a letter or digit
// first.
bool is_release_name(std::string_view name);

// Lines "<64 lower-case digits>  NAME\n", sorted by the bytes of the names, none twice. malformed (detail: line; also
// another order and an empty file), too_large.
Result<std::vector<NamedDigest>> parse_sha256sums(ByteView text);
// The names must be sorted.
std::string sha256sums_text(std::span<const NamedDigest> files);

} // namespace cvmin
