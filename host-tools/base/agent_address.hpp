// Where a CVM's agent can be reached.
#pragma once

#include "host-tools/base/tcp.hpp"

#include <cstdint>
#include <filesystem>
#include <variant>

namespace cvmin {

struct UnixVsock { // vhost-device-vsock's Unix socket: "CONNECT <port>\n" is answered by "OK <port>\n"
    std::filesystem::path socket;
};
struct KernelVsock { // AF_VSOCK through /dev/vhost-vsock
    std::uint32_t cid;
};
using AgentAddress = std::variant<UnixVsock, KernelVsock, TcpEndpoint>; // TCP: a relay before the CVM's host

} // namespace cvmin
