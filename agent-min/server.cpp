#include "agent-min/server.hpp"

#include <climits>

#include <poll.h>
#include <sys/epoll.h>

namespace cvmin::agent {

namespace {
constexpr std::uint64_t listener_tag = UINT64_MAX; // others are slot numbers
}

Result<std::unique_ptr<Server>> Server::open(Fd listener, const TlsIdentity &identity, Service &service, Clock &clock,
                                             Background *background) {
    Fd epoll{::epoll_create1(EPOLL_CLOEXEC)};
    if (!epoll)
        return os_error("epoll");
    epoll_event event{.events = EPOLLIN, .data = {.u64 = listener_tag}};
    if (::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, listener.get(), &event) != 0)
        return os_error("epoll");
    return std::unique_ptr<Server>{
        new Server{std::move(epoll), std::move(listener), identity, service, clock, background}};
}

std::size_t Server::connections() const {
    return static_cast<std::size_t>(
        std::ranges::count_if(slots_, [](const Slot &s) { return s.connection != nullptr; }));
}

int Server::wait_time(std::uint64_t now_ms, std::uint64_t limit_ms) const {
    std::uint64_t until = now_ms + std::min<std::uint64_t>(limit_ms, INT_MAX);
    if (background_ != nullptr)
        until = std::min(until, background_->deadline_ms().value_or(until));
    until = std::min(until, listen_again_ms_.value_or(until));
    for (const Slot &slot : slots_) {
        if (slot.connection == nullptr)
            continue;
        if (slot.again)
            return 0;
        until = std::min(until, slot.connection->deadline_ms());
    }
    return static_cast<int>(std::max(until, now_ms) - now_ms);
}

// Until a connection, the background's descriptors or the time want something. The background's come and go with what
// it does, so they are named anew each time instead of being kept in epoll.
Result<void> Server::wait(std::uint64_t limit_ms) {
    const auto fds = background_ == nullptr ? std::array{-1, -1} : background_->fds();
    pollfd waiting[] = {{epoll_.get(), POLLIN, 0}, {fds[0], POLLIN, 0}, {fds[1], POLLIN, 0}};
    if (::poll(waiting, std::size(waiting), wait_time(clock_.now_ms(), limit_ms)) < 0 && errno != EINTR)
        return os_error("poll");
    background_ready_ = waiting[1].revents != 0 || waiting[2].revents != 0;
    return {};
}

Result<bool> Server::turn(std::uint64_t limit_ms) {
    CVMIN_CHECK(wait(limit_ms));
    std::array<epoll_event, max_connections + 1> events{};
    const int ready = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), 0);
    if (ready < 0 && errno != EINTR)
        return os_error("epoll");

    bool newcomers = false;
    for (const epoll_event &event : std::span{events}.first(static_cast<std::size_t>(std::max(ready, 0)))) {
        if (event.data.u64 == listener_tag)
            newcomers = true;
        else
            slots_[event.data.u64].again = true;
    }
    for (std::size_t i = 0; i < slots_.size(); ++i) {
        Slot &slot = slots_[i];
        if (slot.connection == nullptr)
            continue;
        const std::uint64_t now = clock_.now_ms(); // a step may take long: a report, a handshake
        if (std::exchange(slot.again, false) || now >= slot.connection->deadline_ms())
            step(i, now);
    }
    if (listen_again_ms_ && *listen_again_ms_ <= clock_.now_ms()) {
        listen_again_ms_.reset();
        listen(true); // whoever waits shows in the next turn
    }
    if (newcomers) // last: a slot that was freed above must not get events meant for its predecessor
        accept_new(clock_.now_ms());
    if (background_ != nullptr &&
        (background_ready_ || background_->deadline_ms().value_or(UINT64_MAX) <= clock_.now_ms()))
        background_->turn();
    return stopped_;
}

void Server::step(std::size_t index, std::uint64_t now_ms) {
    Slot &slot = slots_[index];
    const Wish wish = slot.connection->step(now_ms);
    if (slot.connection->stop_requested())
        stopping_ = true;
    if (wish == Wish::close)
        return drop(slot);
    slot.again = wish == Wish::again;
    const std::uint32_t wanted = wish == Wish::write ? EPOLLOUT : EPOLLIN;
    if (wish == Wish::again || wanted == slot.events)
        return;
    epoll_event event{.events = wanted, .data = {.u64 = index}};
    if (::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, slot.connection->fd(), &event) != 0)
        drop(slot); // it could not be woken again
    else
        slot.events = wanted;
}

void Server::drop(Slot &slot) {
    stopped_ = stopped_ || slot.connection->stop_requested();
    slot = Slot{}; // closing the socket takes it out of epoll
}

void Server::listen(bool on) {
    epoll_event event{.events = on ? EPOLLIN : 0u, .data = {.u64 = listener_tag}};
    // should it fail newcomers wait longer, or we are woken for nothing
    [[maybe_unused]] const int changed = ::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, listener_.get(), &event);
}

// A free slot; or that of whoever has been here longest: of those without evidence, if they hold the places that are
// theirs, else of those with it. So nobody locks others out by sitting there or by coming back. A party's newest
// connections keep their place. nullptr: not now.
Server::Slot *Server::place_for_newcomer(std::uint64_t now_ms, unsigned &evictions_left) {
    std::array<std::optional<std::size_t>, max_connections> parties;
    std::size_t newcomers = 0;
    for (std::size_t i = 0; i < slots_.size(); ++i) {
        if (slots_[i].connection == nullptr)
            return &slots_[i];
        parties[i] = slots_[i].connection->party();
        newcomers += !parties[i] && !slots_[i].connection->attested();
    }
    if (evictions_left == 0)
        return nullptr;
    const auto kept = [&](std::size_t place) {
        std::size_t newer = 0;
        for (std::size_t i = 0; i < slots_.size(); ++i)
            newer += parties[i] == parties[place] && slots_[i].connection->id() > slots_[place].connection->id();
        return parties[place] && newer < kept_per_party;
    };
    Slot *oldest = nullptr; // there is one: not all are kept
    for (std::size_t i = 0; i < slots_.size(); ++i) {
        const Connection &connection = *slots_[i].connection;
        const bool newcomer = !parties[i] && !connection.attested();
        if (newcomer == (newcomers >= newcomer_places) &&
            (oldest == nullptr || connection.id() < oldest->connection->id()) && !kept(i))
            oldest = &slots_[i];
    }
    if (oldest->connection->opened_ms() + newcomer_time_ms > now_ms)
        return nullptr;
    --evictions_left;
    drop(*oldest);
    return oldest;
}

void Server::accept_new(std::uint64_t now_ms) {
    unsigned evictions_left = max_evictions_per_turn;
    for (int i = 0; i < max_accepts_per_turn; ++i) {
        pollfd queue{listener_.get(), POLLIN, 0};
        if (::poll(&queue, 1, 0) <= 0)
            return; // nobody is left: nobody gives way
        Slot *const place = stopping_ ? nullptr : place_for_newcomer(now_ms, evictions_left);
        if (place == nullptr && !stopping_) {
            listen_again_ms_ = now_ms + full_pause_ms;
            return listen(false);
        }
        Fd socket{::accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)};
        if (!socket)
            return; // a peer that is gone already
        if (place == nullptr)
            continue; // accept and close: a clear answer
        const int fd = socket.get();
        auto connection = Connection::open(next_id_++, std::move(socket), identity_, service_, now_ms);
        if (!connection)
            continue;
        epoll_event event{.events = EPOLLIN, .data = {.u64 = static_cast<std::uint64_t>(place - slots_.data())}};
        if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0)
            continue;
        *place = Slot{std::move(*connection), EPOLLIN, false};
    }
}

} // namespace cvmin::agent
