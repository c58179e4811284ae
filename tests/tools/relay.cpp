// cvmin-test-relay: a man in the middle, as the host can be one. Answers like the vsock device, ends TLS with a key of
// its own and hands every request on over its own session with the real agent. A relying party that talks through it
// gets genuine evidence of the genuine agent, bound to another connection: it must refuse.
#include "agent-min/frame.hpp"
#include "agent-min/tls.hpp"
#include "host-tools/session/session.hpp"

#include <CLI/CLI.hpp>

#include <csignal>
#include <cstdio>
#include <cstring>

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

using namespace cvmin;
using namespace std::chrono_literals;

namespace {

constexpr auto step_limit = 30s; // the agent may compute reports under emulation
constexpr std::size_t max_connect_line = 32;

struct Args {
    std::string listen, target;
    bool once = false;
};

// "CONNECT <port>\n", byte by byte, answered with "OK <number>\n" as vhost-device-vsock does.
bool answer_connect(int fd, std::uint32_t &port) {
    std::string line;
    while (!line.ends_with('\n')) {
        char byte = 0;
        if (line.size() == max_connect_line || ::recv(fd, &byte, 1, 0) != 1)
            return false;
        line += byte;
    }
    unsigned long number = 0;
    if (std::sscanf(line.c_str(), "CONNECT %lu\n", &number) != 1)
        return false;
    port = static_cast<std::uint32_t>(number);
    constexpr std::string_view ok = "OK 1073741824\n";
    return ::send(fd, ok.data(), ok.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(ok.size());
}

// The relying party's connection, blocking: the relay has one at a time.
class Victim {
  public:
    Victim(agent::TlsStream &tls) : tls_(tls) {}
    bool handshake() {
        for (;;) {
            const agent::Progress progress = tls_.handshake();
            if (progress.io == agent::Io::done)
                return true;
            if (progress.io == agent::Io::closed)
                return false;
        }
    }
    std::optional<Bytes> read() {
        agent::FrameReader frame(max_request_size);
        for (;;) {
            const agent::Progress got = tls_.read(frame.room());
            if (got.io == agent::Io::closed)
                return std::nullopt;
            if (got.io != agent::Io::done)
                continue;
            const auto whole = frame.filled(got.bytes);
            if (!whole)
                return std::nullopt;
            if (*whole)
                return to_bytes(frame.message());
        }
    }
    bool write(const Bytes &message) {
        Bytes frame = to_bytes(frame_header(message.size()));
        frame.insert(frame.end(), message.begin(), message.end());
        ByteView rest = frame;
        while (!rest.empty()) {
            const agent::Progress sent = tls_.write(rest);
            if (sent.io == agent::Io::closed)
                return false;
            if (sent.io == agent::Io::done)
                rest = rest.subspan(sent.bytes);
        }
        return true;
    }

  private:
    agent::TlsStream &tls_;
};

const char *kind(const Request &request) {
    static constexpr const char *names[] = {"hello",    "attest", "put-secret", "secret-digest", "stop",
                                            "activate", "events", "manifest",   "put",           "put-end",
                                            "status",   "get",    "confirm",    "passport-put",  "passport-get"};
    static_assert(std::size(names) == std::variant_size_v<Request>);
    return names[request.index()];
}

void serve(agent::Fd fd, const agent::TlsIdentity &identity, const Args &args) {
    std::uint32_t port = 0;
    if (!answer_connect(fd.get(), port))
        return;
    const Deadline deadline = std::chrono::steady_clock::now() + step_limit;
    auto socket = connect_agent(UnixVsock{args.target}, port, deadline);
    if (!socket) {
        std::fprintf(stderr, "relay: %s\n", to_string(socket.error()).c_str());
        return;
    }
    auto session = Session::open(std::move(*socket), deadline);
    if (!session) {
        std::fprintf(stderr, "relay: %s\n", to_string(session.error()).c_str());
        return;
    }
    agent::FdTransport transport{std::move(fd)};
    auto tls = agent::TlsStream::accept(identity, transport);
    if (!tls)
        return;
    Victim victim{**tls};
    if (!victim.handshake())
        return;
    while (const auto message = victim.read()) {
        auto request = parse_request(*message);
        if (!request)
            return;
        std::printf("relay: %s\n", kind(*request)); // a test sees which requests got this far
        std::fflush(stdout);
        const auto response = session->request(*request, std::chrono::steady_clock::now() + step_limit);
        if (!response || !victim.write(encode_response(*response)))
            return;
    }
}

} // namespace

int main(int argc, char **argv) {
    Args args;
    CLI::App app{"A man in the middle", "cvmin-test-relay"};
    app.add_option("--listen", args.listen, "Unix socket to make")->required();
    app.add_option("--target", args.target, "vsock device's Unix socket")->required();
    app.add_flag("--once", args.once, "end after one connection");
    CLI11_PARSE(app, argc, argv);
    std::signal(SIGPIPE, SIG_IGN);

    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (args.listen.size() >= sizeof address.sun_path) {
        std::fprintf(stderr, "relay: the socket path is too long\n");
        return 2;
    }
    args.listen.copy(address.sun_path, args.listen.size());
    const agent::Fd listener{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    if (::bind(listener.get(), reinterpret_cast<const sockaddr *>(&address), sizeof address) != 0 ||
        ::listen(listener.get(), 8) != 0) {
        std::perror("relay");
        return 4;
    }
    const auto identity = agent::TlsIdentity::make();
    if (!identity) {
        std::fprintf(stderr, "relay: %s\n", to_string(identity.error()).c_str());
        return 4;
    }
    std::printf("relay: listening\n");
    std::fflush(stdout);
    do {
        agent::Fd fd{::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC)};
        if (fd)
            serve(std::move(fd), **identity, args);
    } while (!args.once);
    ::unlink(args.listen.c_str());
    return 0;
}
