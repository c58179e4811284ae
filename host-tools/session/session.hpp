// A relying party's connection to an agent: TLS 1.3 over vsock, one request at a time. The agent's certificate is
// self-signed and proves nothing by itself: evidence over the exporter does (see appraise).
#pragma once

#include "common/p384.hpp"
#include "common/protocol.hpp"
#include "host-tools/base/agent_address.hpp"
#include "host-tools/base/os.hpp"

#include <chrono>
#include <memory>

namespace cvmin {

using Deadline = std::chrono::steady_clock::time_point;

// Retries with back-off until the guest's port answers or the deadline is over. unreachable: no such socket or host, or
// nobody listens on it (at once), or nobody listened in the guest until the deadline (not booted); timed_out: no answer
// at all. A relay (TCP) takes connections whether the guest is there or not, and leads to the port that it was made
// for. An attempt under way is
// awaited up to half a second beyond the deadline: the vsock device may not survive a client that gives up.
Result<UniqueFd> connect_agent(const AgentAddress &address, std::uint32_t port, Deadline deadline);

struct SessionOptions {
    // A party's key, for the handshake only: a certificate that carries it and says nothing else is made on the fly.
    P384PrivateKey *party_key = nullptr;
};

class Session {
  public:
    // TLS handshake over `socket`. unreachable, timed_out, crypto (detail: mbedTLS code), unsupported: peer key not
    // P-384. The agent refuses nobody for a key that it does not know: what it may do shows with the first request.
    static Result<Session> open(UniqueFd socket, Deadline deadline, const SessionOptions &options = {});
    Session(Session &&) noexcept;
    Session &operator=(Session &&) noexcept;
    ~Session();

    const PublicKey &peer_key() const;
    // RFC 8446 exporter of this connection, label exporter_label, context = nonce.
    Result<ByteArray<exporter_size>> exporter(ByteView nonce);
    // Sends a request and reads its response. A response::Failure is returned as such, not as an Error.
    Result<Response> request(const Request &request, Deadline deadline);
    // The two halves of it, for requests that are sent before the answers to earlier ones are read: answers come in the
    // order of the requests. Whoever sends much without reading blocks once the peer's answers fill the connection.
    Result<void> send(const Request &request, Deadline deadline);
    Result<Response> receive(Deadline deadline);

  private:
    struct Impl;
    explicit Session(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

} // namespace cvmin
