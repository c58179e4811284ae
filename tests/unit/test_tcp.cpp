// host-tools/base/tcp and host-tools/relay: endpoints, and bytes that pass unchanged in both directions.
#include "host-tools/relay/relay.hpp"
#include "tests/unit/cmocka.hpp"

#include "host-tools/base/agent_address.hpp"
#include "host-tools/session/session.hpp"

#include <thread>

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

using namespace cvmin;

namespace {

void parse_endpoint_takes_names_and_both_families(void **) {
    const struct {
        const char *text, *host;
        std::uint16_t port;
    } cases[] = {{"127.0.0.1:7000", "127.0.0.1", 7000},
                 {"[::1]:1", "::1", 1},
                 {"host.example:65535", "host.example", 65535},
                 {"localhost:0", "localhost", 0}};
    for (const auto &c : cases) {
        const auto endpoint = parse_endpoint(c.text);
        assert_true(endpoint.has_value());
        assert_string_equal(endpoint->host.c_str(), c.host);
        assert_int_equal(endpoint->port, c.port);
        assert_string_equal(to_string(*endpoint).c_str(), c.text);
    }
}

void parse_endpoint_refuses_the_rest(void **) {
    const std::string long_host(max_host_size + 1, 'h');
    for (const std::string &text :
         {std::string{}, std::string{"host"}, std::string{":7000"}, std::string{"::1:7000"}, std::string{"[::1:7000"},
          std::string{"[]:7000"}, std::string{"host:"}, std::string{"host:65536"}, std::string{"host:-1"},
          std::string{"host:1x"}, std::string{"host: 1"}, long_host + ":1"}) {
        const auto endpoint = parse_endpoint(text);
        assert_false(endpoint.has_value());
        assert_int_equal(static_cast<int>(endpoint.error().code), static_cast<int>(Errc::usage));
    }
}

void listen_tcp_says_why_it_cannot(void **) {
    const auto first = listen_tcp({.host = "127.0.0.1", .port = 0});
    assert_true(first.has_value());
    const auto endpoint = local_endpoint(first->get());
    assert_true(endpoint.has_value());
    assert_true(endpoint->port != 0);
    const auto second = listen_tcp(*endpoint);
    assert_false(second.has_value());
    assert_int_equal(static_cast<int>(second.error().code), static_cast<int>(Errc::system));
    assert_true(second.error().text.find("in use") != std::string::npos);
    const auto foreign = listen_tcp({.host = "192.0.2.1", .port = 0}); // TEST-NET-1: nobody's
    assert_false(foreign.has_value());
}

// What a vsock device is for us: takes "CONNECT port", answers OK, and echoes until its peer closes.
struct EchoDevice {
    std::string path;
    UniqueFd listener;
    std::thread thread;

    EchoDevice() {
        char directory[] = "/tmp/cvmin-test-tcp-XXXXXX";
        assert_non_null(::mkdtemp(directory));
        path = std::string{directory} + "/vsock";
        listener.reset(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::ranges::copy(path, address.sun_path);
        assert_int_equal(::bind(listener.get(), reinterpret_cast<const sockaddr *>(&address), sizeof address), 0);
        assert_int_equal(::listen(listener.get(), 4), 0);
        thread = std::thread{[this] { echo(); }};
    }
    ~EchoDevice() {
        thread.join();
        ::unlink(path.c_str());
        ::rmdir(path.substr(0, path.rfind('/')).c_str());
    }
    void echo() const {
        const UniqueFd peer{::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC)};
        std::string line;
        for (char byte = 0; !line.ends_with('\n') && ::recv(peer.get(), &byte, 1, 0) == 1;)
            line += byte;
        if (line != "CONNECT 5000\n")
            return;
        (void)::send(peer.get(), "OK 1024\n", 8, MSG_NOSIGNAL);
        std::array<std::byte, 10'000> chunk; // another size than the relay's
        for (ssize_t got; (got = ::recv(peer.get(), chunk.data(), chunk.size(), 0)) > 0;)
            if (!write_all(peer.get(), ByteView{chunk}.first(static_cast<std::size_t>(got))))
                return;
    }
};

void relay_passes_every_byte_and_the_end(void **) {
    EchoDevice device;
    auto listener = listen_tcp({.host = "127.0.0.1", .port = 0});
    assert_true(listener.has_value());
    const auto endpoint = local_endpoint(listener->get());
    int over[2];
    assert_int_equal(::pipe2(over, O_CLOEXEC), 0);
    std::thread serving{[&] {
        const auto served = relay(std::move(*listener), UnixVsock{device.path}, over[0]);
        assert_true(served.has_value());
    }};
    auto socket =
        connect_agent(*endpoint, agent_vsock_port, std::chrono::steady_clock::now() + std::chrono::seconds{5});
    assert_true(socket.has_value());

    Bytes sent(1u << 20);
    for (std::size_t i = 0; i < sent.size(); ++i)
        sent[i] = static_cast<std::byte>(i * 31 >> 3);
    std::thread sending{[&] { assert_true(write_all(socket->get(), sent).has_value()); }};
    Bytes received;
    std::array<std::byte, 4096> chunk;
    while (received.size() < sent.size()) {
        const ssize_t got = ::recv(socket->get(), chunk.data(), chunk.size(), 0);
        if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
            std::this_thread::yield();
            continue;
        }
        assert_true(got > 0);
        received.insert(received.end(), chunk.begin(), chunk.begin() + got);
    }
    sending.join();
    assert_true(received == sent);
    socket->reset(); // the device's thread ends only if the relay passes this on
    ::close(over[1]);
    serving.join();
    ::close(over[0]);
}

void a_relay_without_a_guest_closes(void **) {
    auto listener = listen_tcp({.host = "127.0.0.1", .port = 0});
    assert_true(listener.has_value());
    const auto endpoint = local_endpoint(listener->get());
    int over[2];
    assert_int_equal(::pipe2(over, O_CLOEXEC), 0);
    std::thread serving{[&] { (void)relay(std::move(*listener), UnixVsock{"/nonexistent/vsock"}, over[0]); }};
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds{5};
    auto socket = connect_agent(*endpoint, agent_vsock_port, deadline);
    assert_true(socket.has_value());
    const auto session = Session::open(std::move(*socket), deadline);
    assert_false(session.has_value());
    assert_int_equal(static_cast<int>(session.error().code), static_cast<int>(Errc::unreachable));
    ::close(over[1]);
    serving.join();
    ::close(over[0]);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(parse_endpoint_takes_names_and_both_families),
        cmocka_unit_test(parse_endpoint_refuses_the_rest),
        cmocka_unit_test(listen_tcp_says_why_it_cannot),
        cmocka_unit_test(relay_passes_every_byte_and_the_end),
        cmocka_unit_test(a_relay_without_a_guest_closes),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
