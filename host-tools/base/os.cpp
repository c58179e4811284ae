#include "host-tools/base/os.hpp"

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace cvmin {

void UniqueFd::reset(int fd) {
    if (fd_ >= 0)
        ::close(fd_);
    fd_ = fd;
}

static std::unexpected<Error> os_error(std::string_view where) {
    return fail(errno == ENOENT ? Errc::missing : Errc::system, where, static_cast<std::uint64_t>(errno));
}

Result<Bytes> read_file(const std::filesystem::path &path, std::size_t limit) {
    UniqueFd fd{path == "-" ? ::dup(STDIN_FILENO) : ::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
    if (!fd)
        return os_error("file");
    struct stat info{};
    if (::fstat(fd.get(), &info) != 0)
        return os_error("file");
    if (S_ISDIR(info.st_mode))
        return fail(Errc::unsupported, "file");
    if (S_ISREG(info.st_mode) && static_cast<std::uint64_t>(info.st_size) > limit)
        return fail(Errc::too_large, "file", static_cast<std::uint64_t>(info.st_size));
    Bytes bytes(S_ISREG(info.st_mode) ? static_cast<std::size_t>(info.st_size) + 1 : 65536);
    std::size_t used = 0;
    for (;;) {
        if (used == bytes.size())
            bytes.resize(bytes.size() * 2);
        const ssize_t got = ::read(fd.get(), bytes.data() + used, bytes.size() - used);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return os_error("file");
        if (got == 0)
            break;
        used += static_cast<std::size_t>(got);
        if (used > limit)
            return fail(Errc::too_large, "file", used);
    }
    bytes.resize(used);
    return bytes;
}

Result<void> write_all(int fd, ByteView bytes) {
    while (!bytes.empty()) {
        const ssize_t put = ::write(fd, bytes.data(), bytes.size());
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return os_error("write");
        bytes = bytes.subspan(static_cast<std::size_t>(put));
    }
    return {};
}

Result<void> write_file(const std::filesystem::path &path, ByteView bytes, mode_t mode) {
    if (struct stat found{}; ::lstat(path.c_str(), &found) == 0 && !S_ISREG(found.st_mode) &&
                             !S_ISDIR(found.st_mode)) // a directory is refused by rename
        return fail(Errc::unsupported, "file");
    std::string name = path.string() + ".XXXXXX";
    UniqueFd fd{::mkostemp(name.data(), O_CLOEXEC)};
    if (!fd)
        return os_error("write");
    auto give_up = [&](std::unexpected<Error> error) {
        ::unlink(name.c_str());
        return error;
    };
    if (auto written = write_all(fd.get(), bytes); !written)
        return give_up(std::unexpected(written.error()));
    if (::fchmod(fd.get(), mode) != 0 || ::fsync(fd.get()) != 0 || ::rename(name.c_str(), path.c_str()) != 0)
        return give_up(os_error("write"));
    return {};
}

Result<void> write_new_file(const std::filesystem::path &path, ByteView bytes, mode_t mode) {
    UniqueFd fd{::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode)};
    if (!fd)
        return os_error("write");
    const auto written = write_all(fd.get(), bytes);
    if (written && ::fsync(fd.get()) == 0)
        return {};
    const auto error = written ? os_error("write") : std::unexpected(written.error());
    ::unlink(path.c_str());
    return error;
}

std::string_view why_not_private(const struct stat &found) {
    if (S_ISLNK(found.st_mode))
        return "is a symbolic link";
    if (!S_ISDIR(found.st_mode))
        return "is not a directory";
    if (found.st_uid != ::geteuid())
        return "belongs to another user";
    if ((found.st_mode & (S_IWGRP | S_IWOTH)) != 0)
        return "may be written to by others";
    return {};
}

Result<void> make_private_directory(const std::filesystem::path &path) {
    if (path.has_parent_path() && !std::filesystem::exists(path.parent_path()))
        CVMIN_CHECK(make_private_directory(path.parent_path()));
    if (::mkdir(path.c_str(), 0700) == 0)
        return {};
    if (errno != EEXIST)
        return os_error("directory");
    struct stat info{};
    if (::lstat(path.c_str(), &info) != 0)
        return os_error("directory");
    if (!why_not_private(info).empty())
        return fail(Errc::refused, "directory"); // somebody else made it, or may change it: not ours to trust
    return {};
}

static std::filesystem::path from_environment(const char *name) {
    const char *value = std::getenv(name);
    return value != nullptr && *value == '/' ? std::filesystem::path{value} : std::filesystem::path{};
}
static std::filesystem::path home() {
    auto path = from_environment("HOME");
    return path.empty() ? "/" : path;
}

std::filesystem::path state_directory() {
    auto base = from_environment("XDG_STATE_HOME");
    return (base.empty() ? home() / ".local/state" : base) / "cvmin";
}
std::filesystem::path runtime_directory() {
    if (auto base = from_environment("XDG_RUNTIME_DIR"); !base.empty())
        return base / "cvmin";
    // Inside the toolchain root an ordinary user is uid 0 of a user namespace: enter.sh says who it is outside.
    const char *outside = std::getenv("CVMIN_UID");
    const bool number =
        outside != nullptr && *outside != '\0' && std::strspn(outside, "0123456789") == std::strlen(outside);
    return "/tmp/cvmin-" + (number ? std::string{outside} : std::to_string(::geteuid()));
}
std::filesystem::path cache_directory() {
    if (auto path = from_environment("CVMIN_CACHE"); !path.empty())
        return path;
    auto base = from_environment("XDG_CACHE_HOME");
    return (base.empty() ? home() / ".cache" : base) / "cvmin";
}

} // namespace cvmin
