// TCP endpoints as people write them, and sockets for them.
#pragma once

#include "host-tools/base/explained.hpp"
#include "host-tools/base/os.hpp"

#include <cstdint>
#include <string>

struct addrinfo;

namespace cvmin {

struct TcpEndpoint {
    std::string host; // a name, an IPv4 or an IPv6 address; without brackets
    std::uint16_t port = 0;
};
std::string to_string(const TcpEndpoint &endpoint); // "[::1]:7000"

inline constexpr std::size_t max_host_size = 253; // a domain name, RFC 1035
// "host:port", "[ipv6]:port". usage: anything else, or a host of more than max_host_size characters.
Explained<TcpEndpoint> parse_endpoint(std::string_view text);

// The addresses of an endpoint, freed by this; `listening`: to bind, and host may only be an address or a name of ours.
class Addresses {
  public:
    static Explained<Addresses> resolve(const TcpEndpoint &endpoint, bool listening); // unreachable; usage (listening)
    Addresses(Addresses &&other) noexcept : list_(std::exchange(other.list_, nullptr)) {}
    Addresses &operator=(Addresses &&) = delete;
    ~Addresses();
    const addrinfo *first() const { return list_; } // never nullptr

  private:
    explicit Addresses(addrinfo *list) : list_(list) {}
    addrinfo *list_;
};

// The first address that can be bound; port 0: any free one. usage: the host; system: in use, or not allowed.
Explained<UniqueFd> listen_tcp(const TcpEndpoint &endpoint);
// Where a socket listens, with the port it got. system.
Result<TcpEndpoint> local_endpoint(int fd);

} // namespace cvmin
