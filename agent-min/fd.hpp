// An owned file descriptor, and errno as an Error.
#pragma once

#include "common/error.hpp"

#include <cerrno>
#include <utility>

#include <unistd.h>

namespace cvmin::agent {

class Fd {
  public:
    Fd() = default;
    explicit Fd(int fd) : fd_(fd) {}
    Fd(Fd &&other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    Fd &operator=(Fd &&other) noexcept {
        reset(std::exchange(other.fd_, -1));
        return *this;
    }
    ~Fd() { reset(); }
    int get() const { return fd_; }
    explicit operator bool() const { return fd_ >= 0; }
    void reset(int fd = -1) {
        if (fd_ >= 0)
            ::close(fd_);
        fd_ = fd;
    }

  private:
    int fd_ = -1;
};

inline std::unexpected<Error> os_error(std::string_view where) {
    return fail(Errc::system, where, static_cast<std::uint64_t>(errno));
}

} // namespace cvmin::agent
