// Stream sockets: the vsock listener, bounded connects to the host, bounded whole reads and writes.
#pragma once

#include "agent-min/clock.hpp"
#include "agent-min/fd.hpp"
#include "common/bytes.hpp"

namespace cvmin::agent {

inline constexpr int listen_backlog = 128; // peers that wait while a handshake computes; more are refused by the kernel

// Non-blocking listener on every CID of the guest. system (errno).
Result<Fd> listen_vsock(std::uint32_t port);

// system (errno), timed_out. `deadline_ms` on the clock's scale.
Result<Fd> connect_to_host(std::uint32_t port, Clock &clock, std::uint64_t deadline_ms);

// Whole transfers on a non-blocking socket. system, timed_out; unreachable: the peer closed.
Result<void> send_all(int fd, ByteView bytes, Clock &clock, std::uint64_t deadline_ms);
Result<void> receive_all(int fd, MutableBytes out, Clock &clock, std::uint64_t deadline_ms);

} // namespace cvmin::agent
