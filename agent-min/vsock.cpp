#include "agent-min/vsock.hpp"

#include <algorithm>
#include <climits>

#include <poll.h>
#include <sys/socket.h>

#include <linux/vm_sockets.h>

namespace cvmin::agent {

namespace {

sockaddr_vm vsock_address(std::uint32_t cid, std::uint32_t port) {
    sockaddr_vm address{};
    address.svm_family = AF_VSOCK;
    address.svm_cid = cid;
    address.svm_port = port;
    return address;
}

// Until the socket is ready or the deadline is over.
Result<void> wait_for(int fd, short events, Clock &clock, std::uint64_t deadline_ms, std::string_view where) {
    for (;;) {
        const std::uint64_t now = clock.now_ms();
        if (now >= deadline_ms)
            return fail(Errc::timed_out, where);
        pollfd entry{fd, events, 0};
        const auto left = static_cast<int>(std::min<std::uint64_t>(deadline_ms - now, INT_MAX));
        const int ready = ::poll(&entry, 1, left);
        if (ready > 0)
            return {};
        if (ready < 0 && errno != EINTR)
            return os_error(where);
    }
}

} // namespace

Result<Fd> listen_vsock(std::uint32_t port) {
    Fd fd{::socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
    if (!fd)
        return os_error("vsock.socket");
    const sockaddr_vm address = vsock_address(VMADDR_CID_ANY, port);
    if (::bind(fd.get(), reinterpret_cast<const sockaddr *>(&address), sizeof address) != 0)
        return os_error("vsock.bind");
    if (::listen(fd.get(), listen_backlog) != 0)
        return os_error("vsock.listen");
    return fd;
}

Result<Fd> connect_to_host(std::uint32_t port, Clock &clock, std::uint64_t deadline_ms) {
    Fd fd{::socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
    if (!fd)
        return os_error("vsock.socket");
    const sockaddr_vm address = vsock_address(VMADDR_CID_HOST, port);
    if (::connect(fd.get(), reinterpret_cast<const sockaddr *>(&address), sizeof address) != 0) {
        if (errno != EINPROGRESS && errno != EINTR)
            return os_error("vsock.connect");
        CVMIN_CHECK(wait_for(fd.get(), POLLOUT, clock, deadline_ms, "vsock.connect"));
        int error = 0;
        socklen_t size = sizeof error;
        if (::getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &size) != 0)
            return os_error("vsock.connect");
        if (error != 0)
            return fail(Errc::system, "vsock.connect", static_cast<std::uint64_t>(error));
    }
    return fd;
}

Result<void> send_all(int fd, ByteView bytes, Clock &clock, std::uint64_t deadline_ms) {
    while (!bytes.empty()) {
        const ssize_t sent = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
        if (sent >= 0)
            bytes = bytes.subspan(static_cast<std::size_t>(sent));
        else if (errno == EAGAIN)
            CVMIN_CHECK(wait_for(fd, POLLOUT, clock, deadline_ms, "send"));
        else if (errno != EINTR)
            return os_error("send");
    }
    return {};
}

Result<void> receive_all(int fd, MutableBytes out, Clock &clock, std::uint64_t deadline_ms) {
    while (!out.empty()) {
        const ssize_t got = ::recv(fd, out.data(), out.size(), 0);
        if (got > 0)
            out = out.subspan(static_cast<std::size_t>(got));
        else if (got == 0)
            return fail(Errc::unreachable, "receive");
        else if (errno == EAGAIN)
            CVMIN_CHECK(wait_for(fd, POLLIN, clock, deadline_ms, "receive"));
        else if (errno != EINTR)
            return os_error("receive");
    }
    return {};
}

} // namespace cvmin::agent
