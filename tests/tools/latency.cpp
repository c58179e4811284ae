// cvmin-test-latency: how long evidence with a quote takes on an open connection. Exit code 0 within the budget. Not a
// benchmark of anything but this; for tests/vm/measured_boot.sh.
#include "common/evidence.hpp"
#include "host-tools/session/session.hpp"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <cstdio>

using namespace cvmin;
using namespace std::chrono_literals;

namespace {

using Clock = std::chrono::steady_clock;

struct Args {
    std::string socket;
    unsigned rounds = 41;
    double budget_ms = 150;
};

// Milliseconds; nothing when the answer is not evidence with (without) a quote.
std::optional<double> take(Session &session, unsigned round, bool quote) {
    const auto start = Clock::now();
    const std::optional<request::PcrSelection> pcrs =
        quote ? std::optional{request::PcrSelection{TpmAlg::sha256, max_pcr_mask}} : std::nullopt;
    const auto response = session.request(request::Attest{Bytes(32, static_cast<std::byte>(round)), pcrs}, start + 10s);
    const double took = std::chrono::duration<double, std::milli>(Clock::now() - start).count();
    const auto *given = response ? std::get_if<response::Evidence>(&*response) : nullptr;
    const auto evidence = given != nullptr ? parse_evidence(given->evidence) : fail(Errc::missing, "evidence");
    return evidence && evidence->tpm.has_value() == quote ? std::optional{took} : std::nullopt;
}

int run(const Args &args) {
    auto socket = connect_agent(UnixVsock{args.socket}, agent_vsock_port, Clock::now() + 10s);
    auto session = socket ? Session::open(std::move(*socket), Clock::now() + 10s)
                          : Result<Session>{std::unexpected(socket.error())};
    if (!session) {
        std::printf("no session: %s\n", to_string(session.error()).c_str());
        return 5;
    }
    const auto hello = session->request(request::Hello{}, Clock::now() + 10s);
    if (const auto *times = hello ? std::get_if<response::Hello>(&*hello) : nullptr)
        std::printf("listening %llu us after the first instruction, key ready %llu us\n",
                    static_cast<unsigned long long>(times->listening_us - times->start_us),
                    static_cast<unsigned long long>(times->ready_us - times->start_us));
    double median = 0;
    for (const bool quote : {false, true}) {
        std::vector<double> times;
        for (unsigned i = 0; i < args.rounds; ++i) {
            const auto took = take(*session, i, quote);
            if (!took) {
                std::printf("round %u: not evidence %s a quote\n", i, quote ? "with" : "without");
                return 1;
            }
            times.push_back(*took);
        }
        std::ranges::sort(times);
        median = times[times.size() / 2];
        std::printf("evidence %s a quote of 24 PCRs: median %.1f ms, fastest %.1f, slowest %.1f, %u rounds\n",
                    quote ? "with" : "without", median, times.front(), times.back(), args.rounds);
    }
    return median <= args.budget_ms ? 0 : 1;
}

} // namespace

int main(int argc, char **argv) {
    CLI::App app{"Measures evidence with a quote on an open connection"};
    Args args;
    app.add_option("--socket", args.socket, "vsock socket of the CVM")->required();
    app.add_option("--rounds", args.rounds)->check(CLI::Range(1U, 1000U));
    app.add_option("--budget-ms", args.budget_ms, "for the median");
    CLI11_PARSE(app, argc, argv);
    return run(args);
}
