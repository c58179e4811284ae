// What the host side needs of the operating system: owned descriptors, whole files, directories.
// Used by qemu/, image/ and the commands. Nothing here prints.
#pragma once

#include "common/bytes.hpp"

#include <chrono>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include <sys/stat.h>
#include <sys/types.h>

namespace cvmin {

class UniqueFd {
  public:
    UniqueFd() = default;
    explicit UniqueFd(int fd) : fd_(fd) {}
    UniqueFd(UniqueFd &&other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    UniqueFd &operator=(UniqueFd &&other) noexcept {
        reset(std::exchange(other.fd_, -1));
        return *this;
    }
    ~UniqueFd() { reset(); }
    int get() const { return fd_; }
    explicit operator bool() const { return fd_ >= 0; }
    int release() { return std::exchange(fd_, -1); }
    void reset(int fd = -1);

  private:
    int fd_ = -1;
};

// system (errno): cannot be opened or read; missing: no such file; too_large: more than `limit` bytes; unsupported: not
// a regular file (or a pipe, when the path is "-": standard input).
Result<Bytes> read_file(const std::filesystem::path &path, std::size_t limit);
// Writes beside the target and renames: the target is whole or unchanged, also on a full disk. unsupported: the target
// is there and no regular file: a device or a link (/dev/stdout) would be replaced by a file. system.
Result<void> write_file(const std::filesystem::path &path, ByteView bytes, mode_t mode = 0644);
// Makes a file that was not there, with `mode` from the start; it is whole or not there. system (EEXIST: it was there).
Result<void> write_new_file(const std::filesystem::path &path, ByteView bytes, mode_t mode);
// Why what lstat found is not a directory of ours that nobody else may write to ("is a symbolic link"); empty: it is
// one.
std::string_view why_not_private(const struct stat &found);
// Directories that are missing are made with mode 0700; an existing last one must be private as above. system, refused.
Result<void> make_private_directory(const std::filesystem::path &path);

Result<void> write_all(int fd, ByteView bytes); // system

// $XDG_STATE_HOME/cvmin (~/.local/state/cvmin), $XDG_RUNTIME_DIR/cvmin (else /tmp/cvmin-<uid>), $CVMIN_CACHE.
std::filesystem::path state_directory();
std::filesystem::path runtime_directory();
std::filesystem::path cache_directory();

} // namespace cvmin
