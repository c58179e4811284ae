#include "host-tools/base/tcp.hpp"

#include <cerrno>
#include <charconv>
#include <cstring>

#include <netdb.h>
#include <sys/socket.h>

namespace cvmin {

static constexpr int listen_backlog = 64; // the agent has no room for more at once

std::string to_string(const TcpEndpoint &endpoint) {
    const bool bare = endpoint.host.find(':') == std::string::npos;
    return (bare ? endpoint.host : "[" + endpoint.host + "]") + ":" + std::to_string(endpoint.port);
}

Explained<TcpEndpoint> parse_endpoint(std::string_view text) {
    const auto wrong = [&](std::string_view what) {
        return explain(Errc::usage,
                       "\"" + std::string{text} + "\": " + std::string{what} + "; wanted HOST:PORT or [IPV6]:PORT");
    };
    const std::size_t colon = text.rfind(':');
    if (colon == std::string_view::npos)
        return wrong("no port");
    std::string_view host = text.substr(0, colon);
    const std::string_view port = text.substr(colon + 1);
    const bool bracketed = host.starts_with('[') && host.ends_with(']');
    if (bracketed)
        host = host.substr(1, host.size() - 2);
    else if (host.find_first_of("[]:") != std::string_view::npos)
        return wrong("an IPv6 address stands in brackets");
    if (host.empty() || host.size() > max_host_size)
        return wrong("no host, or too long a one");
    TcpEndpoint endpoint{.host = std::string{host}, .port = 0};
    const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), endpoint.port);
    if (error != std::errc{} || end != port.data() + port.size())
        return wrong("the port is no number from 0 to 65535");
    return endpoint;
}

Explained<Addresses> Addresses::resolve(const TcpEndpoint &endpoint, bool listening) {
    addrinfo wanted{};
    wanted.ai_family = AF_UNSPEC;
    wanted.ai_socktype = SOCK_STREAM;
    wanted.ai_flags = AI_NUMERICSERV | (listening ? AI_PASSIVE : 0);
    addrinfo *list = nullptr;
    const int failed = ::getaddrinfo(endpoint.host.c_str(), std::to_string(endpoint.port).c_str(), &wanted, &list);
    if (failed != 0 || list == nullptr)
        return explain(listening ? Errc::usage : Errc::unreachable,
                       to_string(endpoint) + ": " + (failed == 0 ? "no address" : ::gai_strerror(failed)));
    return Addresses{list};
}

Addresses::~Addresses() {
    if (list_ != nullptr)
        ::freeaddrinfo(list_);
}

Explained<UniqueFd> listen_tcp(const TcpEndpoint &endpoint) {
    const auto addresses = Addresses::resolve(endpoint, true);
    if (!addresses)
        return std::unexpected(addresses.error());
    int error = 0;
    for (const addrinfo *at = addresses->first(); at != nullptr; at = at->ai_next) {
        UniqueFd fd{::socket(at->ai_family, at->ai_socktype | SOCK_CLOEXEC, at->ai_protocol)};
        const int on = 1; // a port whose last connections have just ended is free
        if (fd && ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
            ::bind(fd.get(), at->ai_addr, at->ai_addrlen) == 0 && ::listen(fd.get(), listen_backlog) == 0)
            return fd;
        error = errno;
    }
    return explain(Errc::system, to_string(endpoint) + ": " + std::strerror(error));
}

Result<TcpEndpoint> local_endpoint(int fd) {
    sockaddr_storage address{};
    socklen_t size = sizeof address;
    char host[NI_MAXHOST], port[NI_MAXSERV];
    if (::getsockname(fd, reinterpret_cast<sockaddr *>(&address), &size) != 0 ||
        ::getnameinfo(reinterpret_cast<const sockaddr *>(&address), size, host, sizeof host, port, sizeof port,
                      NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        return fail(Errc::system, "tcp.local_address", static_cast<std::uint64_t>(errno));
    TcpEndpoint endpoint{.host = host, .port = 0};
    const std::string_view digits = port;
    std::from_chars(digits.data(), digits.data() + digits.size(), endpoint.port);
    return endpoint;
}

} // namespace cvmin
