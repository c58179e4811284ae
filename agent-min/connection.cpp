#include "agent-min/connection.hpp"

namespace cvmin::agent {

namespace {

Wish wish_of(Io io) {
    switch (io) {
    case Io::want_read:
        return Wish::read;
    case Io::want_write:
        return Wish::write;
    case Io::done:
        return Wish::again;
    case Io::closed:
        break;
    }
    return Wish::close;
}

} // namespace

Connection::Connection(std::uint64_t id, Fd socket, Service &service)
    : id_(id), socket_(std::move(socket)), service_(service), peer_{.channel = *this, .session = id} {}

Result<std::unique_ptr<Connection>> Connection::open(std::uint64_t id, Fd socket, const TlsIdentity &identity,
                                                     Service &service, std::uint64_t now_ms) {
    std::unique_ptr<Connection> connection{new Connection{id, std::move(socket), service}};
    CVMIN_TRY(tls, TlsStream::accept(identity, connection->transport_));
    connection->tls_ = std::move(tls);
    connection->opened_ms_ = now_ms;
    connection->deadline_ms_ = now_ms + handshake_timeout_ms;
    return connection;
}

Wish Connection::step(std::uint64_t now_ms) {
    if (now_ms >= deadline_ms_)
        return Wish::close;
    transport_.renew();
    return std::visit([&](auto &state) { return on(state, now_ms); }, state_);
}

void Connection::start_reading(std::uint64_t now_ms) {
    state_ = Reading{};
    deadline_ms_ = now_ms + idle_timeout_ms;
}

Wish Connection::on(Handshaking &, std::uint64_t now_ms) {
    const Progress progress = tls_->handshake();
    if (progress.io == Io::done) {
        peer_.key = tls_->peer_key();
        start_reading(now_ms);
    }
    return wish_of(progress.io);
}

Wish Connection::on(Reading &, std::uint64_t now_ms) {
    for (;;) {
        const Progress got = tls_->read(frame_.room());
        if (got.io != Io::done)
            return wish_of(got.io);
        if (!frame_.started())
            deadline_ms_ = now_ms + frame_timeout_ms;
        const auto whole = frame_.filled(got.bytes);
        if (!whole)
            return Wish::close; // a length out of limits: there is no message to answer
        if (*whole)
            break;
    }
    Reply reply = service_.handle(frame_.message(), peer_);
    frame_.reset();
    const Bytes message = encode_response(reply.response);
    Writing writing{.bytes = to_bytes(frame_header(message.size())), .done = 0, .close = reply.close};
    writing.bytes.insert(writing.bytes.end(), message.begin(), message.end());
    stop_ = stop_ || reply.stop;
    deadline_ms_ = now_ms + frame_timeout_ms;
    state_ = std::move(writing);
    return Wish::again;
}

Wish Connection::on(Writing &state, std::uint64_t now_ms) {
    while (state.done < state.bytes.size()) {
        const Progress sent = tls_->write(ByteView{state.bytes}.subspan(state.done));
        if (sent.io != Io::done)
            return wish_of(sent.io);
        state.done += sent.bytes;
    }
    if (state.close) {
        tls_->close_notify();
        state_ = Lingering{};
        deadline_ms_ = now_ms + linger_timeout_ms;
        return Wish::read;
    }
    start_reading(now_ms);
    return tls_->pending() ? Wish::again : Wish::read;
}

Wish Connection::on(Lingering &, std::uint64_t) {
    for (;;) {
        ByteArray<4096> discarded;
        const Progress got = transport_.receive(discarded);
        if (got.io != Io::done)
            return wish_of(got.io);
    }
}

} // namespace cvmin::agent
