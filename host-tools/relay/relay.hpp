// Makes a CVM's agent reachable over TCP: bytes are carried between TCP connections and the agent's vsock port. They
// are TLS records between a relying party and the agent: whoever runs this sees ciphertext and could drop it, no more.
#pragma once

#include "host-tools/base/agent_address.hpp"
#include "host-tools/base/os.hpp"

namespace cvmin {

// More than the agent serves at once and lets wait (64 and 128): who gives way to whom is decided there, by who is a
// party, which shows to nobody in between.
inline constexpr unsigned max_relayed = 256;

// Serves the listening socket, with a thread for each connection, until `end` (a descriptor; -1: none) becomes
// readable; connections then last as long as the process. system: the socket failed. One more than max_relayed is
// closed at once. When one end closes, the other gets what is under way, and is closed: vsock devices cannot
// half-close.
Result<void> relay(UniqueFd listener, const AgentAddress &agent, int end);

} // namespace cvmin
