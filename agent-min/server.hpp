// The event loop: one listener, a bounded number of connections, no threads. Takes any listening stream socket.
#pragma once

#include "agent-min/background.hpp"
#include "agent-min/connection.hpp"

namespace cvmin::agent {

inline constexpr std::size_t max_connections = 64; // each needs at most 0.6 MiB, of which most only while a reply waits
inline constexpr int max_accepts_per_turn = 32;    // so that a flood of connects does not starve those that are in

class Server {
  public:
    // `listener` is non-blocking. system: epoll.
    static Result<std::unique_ptr<Server>> open(Fd listener, const TlsIdentity &identity, Service &service,
                                                Clock &clock, Background *background = nullptr);
    Server(const Server &) = delete;
    Server &operator=(const Server &) = delete;

    // Waits for something to do, at most `limit_ms`, and does it. True: a peer asked to stop and has its answer.
    // system: epoll failed, which cannot be gone on from.
    Result<bool> turn(std::uint64_t limit_ms);
    std::size_t connections() const;

  private:
    struct Slot {
        std::unique_ptr<Connection> connection;
        std::uint32_t events = 0; // what epoll waits for
        bool again = false;
    };
    Server(Fd epoll, Fd listener, const TlsIdentity &identity, Service &service, Clock &clock, Background *background)
        : epoll_(std::move(epoll)), listener_(std::move(listener)), identity_(identity), service_(service),
          clock_(clock), background_(background) {}
    Result<void> wait(std::uint64_t limit_ms);
    void accept_new(std::uint64_t now_ms);
    void step(std::size_t index, std::uint64_t now_ms);
    void drop(Slot &slot);
    Slot *place_for_newcomer();
    int wait_time(std::uint64_t now_ms, std::uint64_t limit_ms) const;

    Fd epoll_, listener_;
    const TlsIdentity &identity_;
    Service &service_;
    Clock &clock_;
    Background *background_;
    bool background_ready_ = false;
    std::array<Slot, max_connections> slots_{};
    std::uint64_t next_id_ = 1;
    bool stopping_ = false;
    bool stopped_ = false;
};

} // namespace cvmin::agent
