// A relying party's connection to an agent: TLS 1.3 over vsock, one request at a time. The agent's certificate is
// self-signed and proves nothing by itself: evidence over the exporter does (see appraise).
#pragma once

#include "common/claims.hpp"
#include "common/protocol.hpp"
#include "host-tools/base/agent_address.hpp"
#include "host-tools/base/os.hpp"

#include <chrono>
#include <memory>

namespace cvmin {

using Deadline = std::chrono::steady_clock::time_point;

// Retries with back-off until the guest's port answers or the deadline is over. unreachable: no such socket (at once),
// or nobody listened in the guest until the deadline (not booted); timed_out: no answer at all. An attempt under way is
// awaited up to half a second beyond the deadline: the vsock device may not survive a client that gives up.
Result<UniqueFd> connect_agent(const AgentAddress &address, std::uint32_t port, Deadline deadline);

class Session {
  public:
    // TLS handshake over `socket`. unreachable, timed_out, crypto (detail: mbedTLS code), unsupported: peer key not
    // P-384.
    static Result<Session> open(UniqueFd socket, Deadline deadline);
    Session(Session &&) noexcept;
    Session &operator=(Session &&) noexcept;
    ~Session();

    const PublicKey &peer_key() const;
    // RFC 8446 exporter of this connection, label exporter_label, context = nonce.
    Result<ByteArray<exporter_size>> exporter(ByteView nonce);
    // Sends a request and reads its response. A response::Failure is returned as such, not as an Error.
    Result<Response> request(const Request &request, Deadline deadline);

  private:
    struct Impl;
    explicit Session(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

} // namespace cvmin
