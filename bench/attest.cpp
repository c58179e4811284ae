// Round trips with an agent on one open connection: evidence without and with a quote, in turn, and the activation of a
// credential. For bench/attest.sh.
//   cvmin-bench-attest SOCKET ROUNDS
#include "host-tools/session/session.hpp"
#include "host-tools/tpm/live.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include <sys/random.h>

using namespace cvmin;
using namespace std::chrono_literals;

static Deadline soon() {
    return std::chrono::steady_clock::now() + 60s;
}

template <class T> static T must(Result<T> result, const char *what) {
    if (!result) {
        std::fprintf(stderr, "%s: %s\n", what, to_string(result.error()).c_str());
        std::exit(1);
    }
    return std::move(*result);
}

template <class Answer> static Answer ask(Session &session, const Request &request, std::vector<double> &times) {
    const auto start = std::chrono::steady_clock::now();
    Response response = must(session.request(request, soon()), "request");
    times.push_back(std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count());
    if (auto *answer = std::get_if<Answer>(&response))
        return std::move(*answer);
    const auto *failure = std::get_if<response::Failure>(&response);
    std::fprintf(stderr, "the agent answered %s\n", failure ? failure->text.c_str() : "something else");
    std::exit(1);
}

static void show(const char *what, std::vector<double> times, std::size_t size, double budget) {
    if (times.empty()) {
        std::printf("%-34s %8s\n", what, "-");
        return;
    }
    std::ranges::sort(times);
    std::printf("%-34s %8.1f ms   (%.1f .. %.1f)", what, times[times.size() / 2], times.front(), times.back());
    if (size != 0)
        std::printf("   %6zu bytes", size);
    if (budget > 0)
        std::printf("   budget %.0f ms", budget);
    std::printf("\n");
}

int main(int argc, char **argv) {
    const long rounds = argc == 3 ? std::strtol(argv[2], nullptr, 10) : 0;
    if (rounds <= 0)
        return 2;
    UniqueFd socket = must(connect_agent(UnixVsock{argv[1]}, agent_vsock_port, soon()), "connect");
    Session session = must(Session::open(std::move(socket), soon()), "handshake");
    std::vector<double> plain, quoted, activated, made;
    std::size_t plain_size = 0, quoted_size = 0;
    bool tpm = false;
    for (long i = 0; i < rounds; ++i) {
        Bytes nonce(32);
        if (::getrandom(nonce.data(), nonce.size(), 0) != static_cast<ssize_t>(nonce.size()))
            return 1;
        plain_size = ask<response::Evidence>(session, request::Attest{.nonce = nonce, .pcrs = std::nullopt}, plain)
                         .evidence.size();
        const request::PcrSelection pcrs{.bank = TpmAlg::sha256, .mask = max_pcr_mask};
        const Bytes bytes =
            ask<response::Evidence>(session, request::Attest{.nonce = nonce, .pcrs = pcrs}, quoted).evidence;
        quoted_size = bytes.size();
        const Evidence evidence = must(parse_evidence(bytes), "evidence");
        tpm = evidence.tpm.has_value();
        if (!tpm)
            continue;
        const auto start = std::chrono::steady_clock::now();
        TpmChallenge challenge = must(make_challenge(*evidence.tpm), "challenge");
        made.push_back(std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count());
        const auto answer = ask<response::Activated>(
            session,
            request::Activate{.id_object = std::move(challenge.credential.id_object),
                              .encrypted_secret = std::move(challenge.credential.encrypted_secret)},
            activated);
        if (!same_secret(answer.credential, challenge.wanted.view())) {
            std::fprintf(stderr, "another value than the credential\n");
            return 1;
        }
    }
    show("evidence, no quote asked for", plain, plain_size, 0);
    show(tpm ? "evidence with quote of 24 PCRs" : "the same, asked for a quote", quoted, quoted_size, tpm ? 150 : 0);
    show("activation of a credential", activated, 0, 0);
    show("making that credential (host)", made, 0, 0);
    return 0;
}
