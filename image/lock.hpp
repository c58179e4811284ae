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
    std::string architecture; // "source": an upstream tarball of the source package
    friend bool operator==(const LockedFile &, const LockedFile &) = default;
};

// Lines "sha256 size path package version architecture"; '#' starts a comment. malformed (detail: line; also a
// character that a package name, version or path of Debian cannot have); mismatch (detail: line): a package twice;
// too_large.
Result<std::vector<LockedFile>> parse_lock(ByteView text);

// "pkg:deb/debian/mbedtls@3.6.6-0.1~deb13u1?arch=source": a package URL.
std::string package_url(const LockedFile &file);

struct LockText {
    std::string name; // "toolchain/debs.lock"
    ByteView text;
};
// Every line of the locks, which must be those that the image was built from: each lock is recorded in image.json as a
// file, or line by line; and each source and lock that image.json records is here. mismatch: a lock or line is not the
// recorded one; missing: image.json records a source or lock that no lock here has; and parse_lock's.
Result<std::vector<LockedFile>> locked_files_of(const ImageManifest &manifest, std::span<const LockText> locks);

} // namespace cvmin
