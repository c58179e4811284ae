// cvmin-test-hostile: a hostile peer of a real agent, for the VM tests. Opens many connections at once, sends garbage
// of many lengths, says nothing, breaks off in the middle of everything; after each the agent must still answer. Exit
// code 0 when it did. Not a benchmark, though it prints the times it saw.
#include "host-tools/session/session.hpp"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <cstdio>
#include <thread>

#include <sys/socket.h>

using namespace cvmin;
using namespace std::chrono_literals;

namespace {

using Clock = std::chrono::steady_clock;

struct Args {
    std::string socket;
    unsigned connections = 200;
    unsigned rounds = 50;
    unsigned limit_ms = 30'000;
    bool stop = false;
};

double ms_since(Clock::time_point start) {
    return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

class Tester {
  public:
    explicit Tester(const Args &args) : args_(args), address_(UnixVsock{args.socket}) {}

    bool answers(const char *after) {
        const auto start = Clock::now();
        const Deadline deadline = start + std::chrono::milliseconds{args_.limit_ms};
        for (;;) { // the agent may refuse connections while others are held: it must be free again in time
            auto hello = say_hello(deadline);
            if (hello) {
                std::printf("%-52s agent answers after %.0f ms\n", after, ms_since(start));
                std::fflush(stdout);
                return true;
            }
            if (Clock::now() >= deadline) {
                std::printf("%-52s FAILED: %s\n", after, to_string(hello.error()).c_str());
                return false;
            }
            std::this_thread::sleep_for(200ms);
        }
    }

    bool timings() {
        const auto hello = say_hello(Clock::now() + 30s);
        if (!hello)
            return false;
        std::printf("agent %s, reports: %s, start %llu us, listening +%llu us, ready +%llu us\n", hello->agent.c_str(),
                    hello->report_source.c_str(), static_cast<unsigned long long>(hello->start_us),
                    static_cast<unsigned long long>(hello->listening_us - hello->start_us),
                    static_cast<unsigned long long>(hello->ready_us - hello->start_us));
        return true;
    }

    bool evidence_rounds() {
        const auto opened = Clock::now();
        auto session = open(Clock::now() + 30s);
        if (!session)
            return false;
        std::printf("connect and handshake: %.1f ms\n", ms_since(opened));
        std::vector<double> times;
        for (unsigned i = 0; i < args_.rounds; ++i) {
            const auto start = Clock::now();
            Bytes nonce(32, static_cast<std::byte>(i));
            const auto response = session->request(request::Attest{std::move(nonce)}, start + 10s);
            if (!response || !std::holds_alternative<response::Evidence>(*response)) {
                std::printf("attest %u: FAILED: %s\n", i,
                            response ? "not evidence" : to_string(response.error()).c_str());
                return false;
            }
            times.push_back(ms_since(start));
        }
        std::ranges::sort(times);
        if (!times.empty())
            std::printf("evidence: %zu rounds, median %.1f ms, worst %.1f ms\n", times.size(), times[times.size() / 2],
                        times.back());
        return true;
    }

    bool crowd() {
        std::vector<UniqueFd> peers;
        for (unsigned i = 0; i < args_.connections; ++i)
            if (auto fd = connect_agent(address_, agent_vsock_port, Clock::now() + 2s))
                peers.push_back(std::move(*fd));
        std::printf("%zu of %u connections were made\n", peers.size(), args_.connections);
        peers.clear();
        return answers("after many connections at once");
    }

    bool garbage() {
        std::uint32_t state = 2463534242;
        for (const std::size_t size : {1u, 4u, 5u, 6u, 100u, 5000u, 20'000u, 100'000u}) {
            auto fd = connect_agent(address_, agent_vsock_port, Clock::now() + 10s);
            if (!fd)
                return false;
            Bytes bytes(size);
            for (std::byte &b : bytes) {
                state ^= state << 13, state ^= state >> 17, state ^= state << 5;
                b = static_cast<std::byte>(state);
            }
            // whether it takes all of it is not the question
            [[maybe_unused]] const ssize_t sent =
                ::send(fd->get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
        }
        return answers("after garbage instead of TLS");
    }

    bool garbage_in_tls() {
        for (const std::size_t size : {1u, 10u, 1000u, 80'000u}) {
            auto session = open(Clock::now() + 10s);
            if (!session)
                return false;
            // a name that is no name: the agent answers once and ends the connection
            request::PutSecret put{std::string(max_secret_name_size, 'A'),
                                   Secret{Bytes(std::min(size, max_secret_size), std::byte{0xff})}};
            const auto response = session->request(std::move(put), Clock::now() + 10s);
            if (!response || !std::holds_alternative<response::Failure>(*response) ||
                std::get<response::Failure>(*response).code != PeerErrc::bad_request)
                return false;
            if (session->request(request::Hello{}, Clock::now() + 5s))
                return false; // it went on with a peer that sends garbage
        }
        return answers("after malformed requests");
    }

    bool silent_and_half() {
        std::vector<UniqueFd> silent;
        for (int i = 0; i < 20; ++i)
            if (auto fd = connect_agent(address_, agent_vsock_port, Clock::now() + 5s)) {
                if (i % 2 != 0) // half a record header
                    [[maybe_unused]]
                    const ssize_t sent = ::send(fd->get(), "\x16\x03\x01", 3, MSG_NOSIGNAL);
                silent.push_back(std::move(*fd));
            }
        return answers("beside silent peers");
    }

    bool stop() {
        auto session = open(Clock::now() + 10s);
        if (!session)
            return false;
        const auto response = session->request(request::Stop{}, Clock::now() + 10s);
        return response && std::holds_alternative<response::Stopping>(*response);
    }

  private:
    Result<Session> open(Deadline deadline) {
        CVMIN_TRY(fd, connect_agent(address_, agent_vsock_port, deadline));
        return Session::open(std::move(fd), deadline);
    }
    Result<response::Hello> say_hello(Deadline deadline) {
        CVMIN_TRY(session, open(deadline));
        CVMIN_TRY(response, session.request(request::Hello{}, deadline));
        if (auto *hello = std::get_if<response::Hello>(&response))
            return std::move(*hello);
        return cvmin::fail(Errc::mismatch, "hello");
    }

    const Args &args_;
    AgentAddress address_;
};

} // namespace

int main(int argc, char **argv) {
    Args args;
    CLI::App app{"A hostile peer of an agent", "cvmin-test-hostile"};
    app.add_option("--socket", args.socket, "vsock device's Unix socket")->required();
    app.add_option("--connections", args.connections, "how many at once")->capture_default_str();
    app.add_option("--rounds", args.rounds, "evidence requests on one connection")->capture_default_str();
    app.add_option("--limit-ms", args.limit_ms, "within which the agent must answer again")->capture_default_str();
    app.add_flag("--stop", args.stop, "only ask the agent to power off, as anybody may who reaches it");
    CLI11_PARSE(app, argc, argv);
    Tester tester{args};
    if (args.stop)
        return tester.stop() ? 0 : 1;
    return tester.timings() && tester.evidence_rounds() && tester.garbage() && tester.garbage_in_tls() &&
                   tester.silent_and_half() && tester.crowd() && tester.timings()
               ? 0
               : 1;
}
