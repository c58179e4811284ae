#include "host-tools/collateral/cache.hpp"

#include "common/hash.hpp"
#include "host-tools/base/os.hpp"

#include <sys/stat.h>
#include <unistd.h>

namespace cvmin {

KdsCache::KdsCache(std::filesystem::path directory, std::string_view service)
    : directory_(std::move(directory)), prefix_(hex(sha256(as_bytes(service))).substr(0, 8)) {}

std::filesystem::path KdsCache::file_of(std::string_view path) const {
    std::string name = prefix_;
    for (const char c : path) { // "/vcek/v1/Milan/crl": nothing but letters and digits leaves this
        const bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        name += plain ? c : '-';
    }
    if (name.size() > 200) // a path with a HWID of 64 bytes: the digest tells them apart
        name = name.substr(0, 120) + '-' + hex(sha256(as_bytes(path))).substr(0, 32);
    return directory_ / name;
}

std::optional<KdsCache::Entry> KdsCache::read(std::string_view path, std::size_t limit) const {
    struct stat found{};
    if (::lstat(directory_.c_str(), &found) != 0 || !why_not_private(found).empty())
        return std::nullopt;
    const auto file = file_of(path);
    if (::lstat(file.c_str(), &found) != 0 || !S_ISREG(found.st_mode))
        return std::nullopt;
    auto bytes = read_file(file, limit);
    if (!bytes)
        return std::nullopt;
    return Entry{.bytes = std::move(*bytes), .stored = found.st_mtim.tv_sec};
}

Result<void> KdsCache::write(std::string_view path, ByteView bytes) const {
    CVMIN_CHECK(make_private_directory(directory_));
    return write_file(file_of(path), bytes, 0600);
}

void KdsCache::remove(std::string_view path) const {
    ::unlink(file_of(path).c_str());
}

} // namespace cvmin
