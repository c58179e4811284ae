// Bytes to and from a peer without waiting.
#pragma once

#include "agent-min/fd.hpp"
#include "common/bytes.hpp"

#include <algorithm>

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

// mbedTLS reads on by itself over records that say nothing (alerts that warn, ChangeCipherSpec) for as long as there is
// one. What one peer may have of us before the others have their turn: an honest record takes two calls and a whole
// request some dozens; the bytes are four of the largest records, so a request of full size takes two turns.
inline constexpr int max_receives_per_turn = 256;
inline constexpr std::size_t max_bytes_per_turn = 64 * 1024;

// Gives so much and then says want_read, as if the socket were empty. Nothing is lost: epoll is level-triggered and
// reports the socket again as long as it holds bytes.
class TurnTransport final : public Transport {
  public:
    explicit TurnTransport(Transport &transport) : transport_(transport) {}
    void renew() {
        calls_left_ = max_receives_per_turn;
        bytes_left_ = max_bytes_per_turn;
    }
    Progress send(ByteView bytes) override { return transport_.send(bytes); }
    Progress receive(MutableBytes out) override {
        if (calls_left_ == 0 || bytes_left_ == 0)
            return {Io::want_read};
        --calls_left_;
        const Progress got = transport_.receive(out.first(std::min(out.size(), bytes_left_)));
        bytes_left_ -= got.bytes;
        return got;
    }

  private:
    Transport &transport_;
    int calls_left_ = 0;
    std::size_t bytes_left_ = 0;
};

} // namespace cvmin::agent
