// One peer: TLS handshake, then one request after the other, each under a time limit. Driven by the event loop.
#pragma once

#include "agent-min/clock.hpp"
#include "agent-min/frame.hpp"
#include "agent-min/service.hpp"
#include "agent-min/tls.hpp"

#include <memory>
#include <variant>

namespace cvmin::agent {

// A handshake costs some 0.1 s of computing under emulation and there may be 64 at once before this one.
inline constexpr std::uint64_t handshake_timeout_ms = 15'000;
// Between requests: a relying party appraises the evidence, and may fetch certificates for it.
inline constexpr std::uint64_t idle_timeout_ms = 60'000;
// From the first byte of a request to its last, and for taking our reply: the largest needs milliseconds.
inline constexpr std::uint64_t frame_timeout_ms = 10'000;
// After the last reply: time to let it arrive before the socket goes, which may discard what is under way.
inline constexpr std::uint64_t linger_timeout_ms = 500;

enum class Wish : std::uint8_t {
    read,  // step again when the socket has bytes
    write, // step again when the socket takes bytes
    again, // step again soon: there is work left that the socket does not announce
    close, // drop the connection
};

class Connection final : Channel {
  public:
    // crypto: TLS could not be set up.
    static Result<std::unique_ptr<Connection>> open(std::uint64_t id, Fd socket, const TlsIdentity &identity,
                                                    Service &service, std::uint64_t now_ms);
    Connection(const Connection &) = delete;
    Connection &operator=(const Connection &) = delete;

    // Does what can be done without waiting, but at most one request, and reads only so much (TurnTransport).
    Wish step(std::uint64_t now_ms);
    std::uint64_t deadline_ms() const { return deadline_ms_; } // at which to drop it
    int fd() const { return socket_.fd(); }
    std::uint64_t id() const { return id_; } // grows with every connection
    std::uint64_t opened_ms() const { return opened_ms_; }
    bool attested() const { return peer_.attested; }
    std::optional<std::size_t> party() const { return service_.party(peer_); } // of the computation
    bool stop_requested() const { return stop_; }                              // a stop was answered on it

  private:
    struct Handshaking {};
    struct Reading {};
    struct Writing {
        Bytes bytes;
        std::size_t done = 0;
        bool close = false;
    };
    struct Lingering {}; // our side is closed; what still comes is thrown away
    using State = std::variant<Handshaking, Reading, Writing, Lingering>;

    Connection(std::uint64_t id, Fd socket, Service &service);
    Result<ByteArray<exporter_size>> exporter(ByteView context) override { return tls_->exporter(context); }
    Wish on(Handshaking &, std::uint64_t now_ms);
    Wish on(Reading &, std::uint64_t now_ms);
    Wish on(Writing &state, std::uint64_t now_ms);
    Wish on(Lingering &, std::uint64_t now_ms);
    void start_reading(std::uint64_t now_ms);

    std::uint64_t id_;
    FdTransport socket_;
    TurnTransport transport_{socket_};
    std::unique_ptr<TlsStream> tls_;
    Service &service_;
    Peer peer_;
    FrameReader frame_{max_request_size};
    State state_ = Handshaking{};
    std::uint64_t opened_ms_ = 0, deadline_ms_ = 0;
    bool stop_ = false;
};

} // namespace cvmin::agent
