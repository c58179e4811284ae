// Lock files of toolchain/: what is pinned, line by line, and which of it an image was built from. Written by ./dev
// lock. Reads no file; fetching and checking the pinned files is toolchain/lib.sh's.
#pragma once

#include "image/image_manifest.hpp"

#include <span>
#include <string>
#include <vector>

namespace cvmin {

inline constexpr std::size_t max_lock_lines = 10000; // ours have 352; all of a Debian desktop has under 4000

struct LockedFile {
    Sha256Digest sha256;
    std::uint64_t size;
    std::string path; // in a Debian archive
    std::string package, version;
    std::string architecture; // "source", "packaging": an upstream tarball of a source package, and Debian's part of it
    friend bool operator==(const LockedFile &, const LockedFile &) = default;
};

// Lines "sha256 size path package version architecture"; '#' starts a comment. malformed (detail: line; also a
// character that a name, version or path in a Debian archive cannot have); mismatch (detail: line): a path twice;
// too_large.
Result<std::vector<LockedFile>> parse_lock(ByteView text);

// "mbedtls_3.6.6.orig.tar.bz2"
std::string_view file_name(const LockedFile &file);
// A package URL: "pkg:deb/debian/mbedtls@3.6.6-0.1~deb13u1?arch=source".
std::string package_url(const LockedFile &file);

struct LockText {
    std::string name; // "toolchain/debs.lock"
    ByteView text;
};
struct LockedInput {
    LockedFile file;
    bool source; // image.json names it itself; else it is of the toolchain, whose lock image.json names
};
// Every line of the locks, without repetition. The locks must be those that the image was built from: each is recorded
// in image.json as a file, or line by line; and each source and lock that image.json records is here. mismatch: a lock
// is not a recorded one; missing: image.json records a source or a lock that is not here; and parse_lock's.
Result<std::vector<LockedInput>> locked_inputs(const ImageManifest &manifest, std::span<const LockText> locks);

// Lower-case hex of a git commit's id: 40 digits, or 64 of a repository with SHA-256.
bool is_commit_id(std::string_view text);

} // namespace cvmin
