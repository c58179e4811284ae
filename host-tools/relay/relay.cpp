#include "host-tools/relay/relay.hpp"

#include "host-tools/session/session.hpp"

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <memory>
#include <system_error>
#include <thread>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

namespace cvmin {

namespace {

constexpr std::chrono::seconds connect_limit{10}; // a booted agent answers in milliseconds
constexpr std::chrono::milliseconds no_descriptors_pause{100};
constexpr std::size_t chunk_size = 64u << 10; // what a vsock device moves at a time
// A peer that takes nothing for so long is gone: the agent itself gives up on one after 60 s.
constexpr unsigned stalled_ms = 90'000;

// One direction. What was read is written before more is read, so a slow reader slows its peer.
class Flow {
  public:
    Flow(int from, int to) : from_(from), to_(to) {}

    pollfd wanted_of_source() const { return {from_, static_cast<short>(begin_ == end_ && !ended_ ? POLLIN : 0), 0}; }
    pollfd wanted_of_sink() const { return {to_, static_cast<short>(begin_ != end_ ? POLLOUT : 0), 0}; }
    bool over() const { return ended_ && begin_ == end_; } // nothing comes any more, and all of it went on
    // False: an end failed.
    bool move() {
        if (begin_ == end_ && !ended_) {
            const ssize_t got = ::recv(from_, buffer_.data(), buffer_.size(), MSG_DONTWAIT);
            if (got < 0)
                return may_pass();
            begin_ = 0;
            end_ = static_cast<std::size_t>(got);
            ended_ = got == 0;
        }
        while (begin_ != end_) {
            const ssize_t sent = ::send(to_, buffer_.data() + begin_, end_ - begin_, MSG_DONTWAIT | MSG_NOSIGNAL);
            if (sent < 0)
                return may_pass();
            begin_ += static_cast<std::size_t>(sent);
        }
        return true;
    }

  private:
    static bool may_pass() { return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR; }
    int from_, to_;
    std::array<std::byte, chunk_size> buffer_;
    std::size_t begin_ = 0, end_ = 0;
    bool ended_ = false;
};

void carry(const UniqueFd &peer, const UniqueFd &agent) {
    const auto up = std::make_unique<Flow>(peer.get(), agent.get());
    const auto down = std::make_unique<Flow>(agent.get(), peer.get());
    for (;;) {
        const auto merged = [](pollfd a, pollfd b) { return pollfd{a.fd, static_cast<short>(a.events | b.events), 0}; };
        pollfd ends[] = {merged(up->wanted_of_source(), down->wanted_of_sink()),
                         merged(down->wanted_of_source(), up->wanted_of_sink())};
        const int ready = ::poll(ends, std::size(ends), stalled_ms);
        if (ready == 0 || (ready < 0 && errno != EINTR))
            return;
        if (!up->move() || !down->move() || up->over() || down->over())
            return;
        // an end that is broken while nothing is wanted of it would wake us again and again
        for (const pollfd &end : ends)
            if ((end.revents & (POLLERR | POLLNVAL)) != 0 || ((end.revents & POLLHUP) != 0 && end.events == 0))
                return;
    }
}

} // namespace

Result<void> relay(UniqueFd listener, const AgentAddress &agent, int end) {
    const auto count = std::make_shared<std::atomic<unsigned>>(0);
    for (;;) {
        pollfd waiting[] = {{listener.get(), POLLIN, 0}, {end, POLLIN, 0}};
        if (::poll(waiting, std::size(waiting), -1) < 0 && errno != EINTR)
            return fail(Errc::system, "relay.poll", static_cast<std::uint64_t>(errno));
        if (waiting[1].revents != 0)
            return {};
        UniqueFd peer{::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC)};
        if (!peer) {
            const int error = errno;
            if (error == EBADF || error == EINVAL || error == ENOTSOCK || error == EFAULT || error == EOPNOTSUPP)
                return fail(Errc::system, "relay.accept", static_cast<std::uint64_t>(error));
            if (error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM)
                std::this_thread::sleep_for(no_descriptors_pause);
            continue; // a peer that is gone already, or an error of its connection
        }
        if (count->fetch_add(1) >= max_relayed) {
            count->fetch_sub(1);
            continue;
        }
        const int on = 1; // requests are small, and each waits for its answer
        ::setsockopt(peer.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        try {
            std::thread{[count, agent, socket = std::move(peer)] {
                if (const auto reached =
                        connect_agent(agent, agent_vsock_port, std::chrono::steady_clock::now() + connect_limit))
                    carry(socket, *reached);
                count->fetch_sub(1);
            }}.detach();
        } catch (const std::system_error &) { // no room for another thread: this connection is closed, the others stay
            count->fetch_sub(1);
        }
    }
}

} // namespace cvmin
