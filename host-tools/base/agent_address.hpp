// Where a CVM's agent can be reached from the host.
#pragma once

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
using AgentAddress = std::variant<UnixVsock, KernelVsock>;

} // namespace cvmin
