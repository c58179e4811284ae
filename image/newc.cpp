#include "image/newc.hpp"

#include <cstdio>
#include <map>

#include <sys/stat.h>

namespace cvmin {

static constexpr std::string_view magic = "070701"; // without checksums
static constexpr std::string_view trailer_name = "TRAILER!!!";
static constexpr std::size_t alignment = 4; // of names and data, from the start of the archive

static bool valid_name(std::string_view name) {
    if (name.empty() || name.size() >= max_newc_name_size || name == trailer_name ||
        name.find('\0') != std::string_view::npos)
        return false;
    for (std::size_t at = 0; at <= name.size();) {
        const std::size_t end = std::min(name.find('/', at), name.size());
        const std::string_view component = name.substr(at, end - at);
        if (component.empty() || component == "." || component == "..")
            return false;
        at = end + 1;
    }
    return true;
}

static std::string_view parent_of(std::string_view name) {
    const std::size_t slash = name.rfind('/');
    return slash == std::string_view::npos ? std::string_view{} : name.substr(0, slash);
}

static bool is_device(std::uint32_t mode) {
    return S_ISCHR(mode) || S_ISBLK(mode);
}

static void append(Bytes &out, ByteView bytes) {
    out.insert(out.end(), bytes.begin(), bytes.end());
}

static void append_padded(Bytes &out, ByteView bytes) {
    append(out, bytes);
    while (out.size() % alignment != 0)
        out.push_back(std::byte{0});
}

// Fields in the order of the format; names of struct cpio_newc_header in cpio(5).
struct Header {
    std::uint32_t ino = 0, mode = 0, uid = 0, gid = 0, nlink = 0, mtime = 0, filesize = 0, devmajor = 0, devminor = 0,
                  rdevmajor = 0, rdevminor = 0, namesize = 0, check = 0;
};

static void append_header(Bytes &out, const Header &h, std::string_view name) {
    append(out, as_bytes(magic));
    for (std::uint32_t field : {h.ino, h.mode, h.uid, h.gid, h.nlink, h.mtime, h.filesize, h.devmajor, h.devminor,
                                h.rdevmajor, h.rdevminor, h.namesize, h.check}) {
        char digits[9];
        std::snprintf(digits, sizeof digits, "%08X", field);
        append(out, as_bytes({digits, 8}));
    }
    append(out, as_bytes(name));
    append_padded(out, ByteArray<1>{}); // the NUL that ends the name
}

Result<Bytes> write_newc(std::vector<NewcEntry> entries) {
    std::ranges::sort(entries, {}, &NewcEntry::name);
    std::map<std::string_view, std::uint32_t> directory_links;
    for (std::size_t i = 0; i < entries.size(); ++i) {
        const NewcEntry &entry = entries[i];
        const std::string_view parent = parent_of(entry.name);
        if (!valid_name(entry.name))
            return fail(Errc::malformed, "newc.name", i);
        if (i > 0 && entries[i - 1].name == entry.name)
            return fail(Errc::mismatch, "newc.name", i); // the same name twice
        if (!parent.empty() && !directory_links.contains(parent))
            return fail(Errc::missing, "newc.directory");
        if (!S_ISDIR(entry.mode) && !S_ISREG(entry.mode) && !S_ISLNK(entry.mode) && !is_device(entry.mode))
            return fail(Errc::unsupported, "newc.mode", entry.mode);
        if (!entry.data.empty() && !S_ISREG(entry.mode) && !S_ISLNK(entry.mode))
            return fail(Errc::malformed, "newc.data", i);
        if ((entry.device_major != 0 || entry.device_minor != 0) && !is_device(entry.mode))
            return fail(Errc::malformed, "newc.device", i);
        if (entry.data.size() > 0xffffffffu)
            return fail(Errc::out_of_range, "newc.data", entry.data.size());
        if (S_ISDIR(entry.mode)) {
            directory_links[entry.name] = 2; // its name, and "." in it
            if (!parent.empty())
                ++directory_links[parent]; // ".." in the new one
        }
    }

    Bytes out;
    std::uint32_t inode = 0;
    for (const NewcEntry &entry : entries) {
        Header header;
        header.ino = ++inode;
        header.mode = entry.mode;
        header.nlink = S_ISDIR(entry.mode) ? directory_links[entry.name] : 1;
        header.filesize = static_cast<std::uint32_t>(entry.data.size());
        header.rdevmajor = entry.device_major;
        header.rdevminor = entry.device_minor;
        header.namesize = static_cast<std::uint32_t>(entry.name.size() + 1);
        append_header(out, header, entry.name);
        append_padded(out, entry.data);
    }
    Header trailer;
    trailer.nlink = 1;
    trailer.namesize = static_cast<std::uint32_t>(trailer_name.size() + 1);
    append_header(out, trailer, trailer_name);
    return out;
}

static Result<std::uint32_t> hex_field(ByteView digits) {
    std::uint32_t value = 0;
    for (std::byte b : digits) {
        const char c = static_cast<char>(b);
        const int digit = c >= '0' && c <= '9'   ? c - '0'
                          : c >= 'A' && c <= 'F' ? c - 'A' + 10
                          : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                                 : -1;
        if (digit < 0)
            return fail(Errc::malformed, "newc.header");
        value = value << 4 | static_cast<std::uint32_t>(digit);
    }
    return value;
}

// Bytes up to the next multiple of four, which must be zero.
static bool skip_padding(Reader &reader) {
    return all_zero(reader.take((alignment - reader.offset() % alignment) % alignment));
}

Result<std::vector<NewcListed>> read_newc(ByteView archive) {
    std::vector<NewcListed> entries;
    Reader reader{archive};
    for (;;) {
        const std::size_t start = reader.offset();
        const ByteView header = reader.take(newc_header_size);
        if (!reader.ok())
            return fail(Errc::truncated, "newc.header", start);
        if (as_text(header.first(magic.size())) != magic)
            return fail(Errc::malformed, "newc.magic", start);
        std::array<std::uint32_t, 13> field{};
        for (std::size_t i = 0; i < field.size(); ++i) {
            auto value = hex_field(header.subspan(magic.size() + i * 8, 8));
            if (!value)
                return fail(Errc::malformed, "newc.header", start);
            field[i] = *value;
        }
        const auto [ino, mode, uid, gid, nlink, mtime, filesize, devmajor, devminor, rdevmajor, rdevminor, namesize,
                    check] = field;
        if (check != 0)
            return fail(Errc::malformed, "newc.check", start);
        if (namesize > max_newc_name_size)
            return fail(Errc::too_large, "newc.name", namesize);
        const ByteView name = reader.take(namesize);
        if (!reader.ok())
            return fail(Errc::truncated, "newc.name", start);
        if (name.size() < 2 || name.back() != std::byte{0} || as_text(name).find('\0') != name.size() - 1)
            return fail(Errc::malformed, "newc.name", start);
        if (!skip_padding(reader))
            return fail(Errc::malformed, "newc.padding", start);
        const ByteView data = reader.take(filesize);
        if (!reader.ok())
            return fail(Errc::truncated, "newc.data", start);
        const std::string_view text = as_text(name.first(name.size() - 1));
        if (text == trailer_name) {
            if (filesize != 0)
                return fail(Errc::malformed, "newc.trailer", start);
            break;
        }
        if (!skip_padding(reader) || !reader.ok())
            return fail(reader.ok() ? Errc::malformed : Errc::truncated, "newc.padding", start);
        if (entries.size() == max_newc_entries)
            return fail(Errc::too_large, "newc.entries", max_newc_entries);
        entries.push_back({text, ino, mode, uid, gid, nlink, mtime, devmajor, devminor, rdevmajor, rdevminor, data});
    }
    if (!all_zero(reader.take(reader.left()))) // archives are padded to blocks by some writers
        return fail(Errc::trailing, "newc");
    return entries;
}

} // namespace cvmin
