// The event loop: one listener, a bounded number of connections, no threads. Takes any listening stream socket.
#pragma once

#include "agent-min/background.hpp"
#include "agent-min/connection.hpp"

namespace cvmin::agent {

inline constexpr std::size_t max_connections = 64; // each needs at most 0.6 MiB, of which most only while a reply waits
// When all are taken, somebody gives way to a newcomer, who may be a party: that shows only after the handshake.
// A party's newest connections keep their place; those of all parties together leave the places below to newcomers.
inline constexpr std::size_t kept_per_party = 3;
// Places that those who have taken evidence cannot keep from those who have not yet.
inline constexpr std::size_t newcomer_places = 16;
static_assert(kept_per_party * max_parties + newcomer_places <= max_connections);
// What a newcomer gets at least: two round trips on any network, and a handshake's computing beside those of others.
inline constexpr std::uint64_t newcomer_time_ms = 1000;
inline constexpr unsigned max_evictions_per_turn = 4;
inline constexpr std::uint64_t full_pause_ms = 50; // newcomers wait in the queue until it is looked at again
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
    Slot *place_for_newcomer(std::uint64_t now_ms, unsigned &evictions_left);
    void listen(bool on);
    int wait_time(std::uint64_t now_ms, std::uint64_t limit_ms) const;

    Fd epoll_, listener_;
    const TlsIdentity &identity_;
    Service &service_;
    Clock &clock_;
    Background *background_;
    bool background_ready_ = false;
    std::array<Slot, max_connections> slots_{};
    std::uint64_t next_id_ = 1;
    std::optional<std::uint64_t> listen_again_ms_; // until then newcomers wait
    bool stopping_ = false;
    bool stopped_ = false;
};

} // namespace cvmin::agent
