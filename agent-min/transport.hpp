// Bytes to and from a peer without waiting.
#pragma once

#include "agent-min/fd.hpp"
#include "common/bytes.hpp"

#include <sys/socket.h>

namespace cvmin::agent {

enum class Io : std::uint8_t {
    done,       // `bytes` were moved
    want_read,  // call again when the peer has sent more
    want_write, // call again when there is room to send
    closed,     // the peer is gone, in whatever way
};
struct Progress {
    Io io;
    std::size_t bytes = 0;
};

class Transport {
  public:
    virtual Progress send(ByteView bytes) = 0;
    virtual Progress receive(MutableBytes out) = 0;

  protected:
    ~Transport() = default;
};

class FdTransport final : public Transport { // a non-blocking stream socket
  public:
    explicit FdTransport(Fd fd) : fd_(std::move(fd)) {}
    int fd() const { return fd_.get(); }
    Progress send(ByteView bytes) override {
        return progress(::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL), Io::want_write);
    }
    Progress receive(MutableBytes out) override {
        const ssize_t got = ::recv(fd_.get(), out.data(), out.size(), 0);
        return got == 0 ? Progress{Io::closed} : progress(got, Io::want_read);
    }

  private:
    static Progress progress(ssize_t moved, Io blocked) {
        if (moved >= 0)
            return {Io::done, static_cast<std::size_t>(moved)};
        return {errno == EAGAIN || errno == EINTR ? blocked : Io::closed};
    }
    Fd fd_;
};

} // namespace cvmin::agent
