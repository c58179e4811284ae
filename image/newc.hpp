// cpio archives in the "newc" form, as Linux unpacks for its initramfs: a writer whose bytes depend on its entries
// only, and a reader. Compression is not this file's business. Source: Linux, driver-api/early-userspace/buffer-format.
#pragma once

#include "common/bytes.hpp"

#include <string>
#include <vector>

namespace cvmin {

inline constexpr std::size_t newc_header_size = 110;
inline constexpr std::size_t max_newc_name_size = 4096; // Linux's PATH_MAX, NUL included
inline constexpr std::size_t max_newc_entries = 65536;  // ours has under ten; bounds the reader

struct NewcEntry {
    std::string name;       // relative, components other than "." and ".."
    std::uint32_t mode = 0; // type and permissions: S_IFDIR, S_IFREG, S_IFLNK, S_IFCHR, S_IFBLK
    Bytes data;             // a file's contents, a link's target; nothing for the others
    std::uint32_t device_major = 0;
    std::uint32_t device_minor = 0; // of character and block devices
};

// Entries sorted by name (so a directory comes before its contents); uid, gid, mtime and the device of origin 0; inode
// numbers counted from 1; a directory has 2 links and one more for each directory in it, everything else 1.
// malformed: a name, or data or device numbers where the type has none; mismatch: a name twice; missing: the directory
// of an entry is not an entry; unsupported: the type; out_of_range: a size of 4 GiB or more.
Result<Bytes> write_newc(std::vector<NewcEntry> entries);

struct NewcListed { // views into the archive
    std::string_view name;
    std::uint32_t inode, mode, uid, gid, links, mtime;
    std::uint32_t origin_major, origin_minor; // device that the file came from
    std::uint32_t device_major, device_minor; // of a device file
    ByteView data;
};
// Every entry but the trailer, in file order. truncated; malformed (magic, digit, name, padding, check field or
// trailer); too_large (name, number of entries); trailing (anything but zeros after the trailer).
Result<std::vector<NewcListed>> read_newc(ByteView archive);

} // namespace cvmin
