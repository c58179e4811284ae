// What a request with evidence costs the verifier service without HTTP: the appraisal by itself, and all of it, from
// the session's token to the signed result, in one thread of one process; beside the floor, one verification and one
// signature by P-384 as the fastest library here makes them. In turns; the least of many rounds is what the code needs.
// Prints, for bench/verifier.sh: name, least and median of microseconds per call.
#include "bench/turns.hpp"
#include "host-tools/base/base64url.hpp"
#include "host-tools/base/os.hpp"
#include "host-tools/signing/key_file.hpp"
#include "host-tools/verifier/service.hpp"

using namespace cvmin;
using bench::must;

namespace {

Bytes file(const char *path) {
    auto bytes = read_file(path, max_evidence_size);
    must(bytes.has_value(), path);
    return std::move(*bytes);
}

} // namespace

// POLICY ARK KEY EVIDENCE NONCE ROUNDS
int main(int argc, char **argv) {
    must(argc == 7, "wanted POLICY ARK KEY EVIDENCE NONCE ROUNDS");
    const Bytes policy_text = file(argv[1]);
    const Bytes ark = file(argv[2]);
    const Bytes evidence = file(argv[4]);
    const std::time_t now = std::time(nullptr);

    const auto load = [&](std::time_t) -> Explained<ReferenceSnapshot> {
        ReferenceSnapshot out;
        auto policy = parse_policy(policy_text);
        must(policy.has_value(), "the policy cannot be read");
        out.wanted.policy = std::move(*policy);
        out.wanted.emulated_ark = ark;
        return out;
    };
    Appraiser appraiser{load};
    must(appraiser.load(now).has_value(), "nothing to judge by");
    SessionKeys sessions;
    sessions.add_random();
    ResultKeys keys;
    keys.signing.push_back(std::make_unique<P384PrivateKey>());
    must(read_private_key(*keys.signing.front(), file(argv[3])).has_value(), "the key cannot be read");
    keys.published.push_back(keys.signing.front()->public_key().value());
    VerifierService service{{},        std::move(sessions), std::move(keys),
                            appraiser, [](const Json &) {}, [] { return std::uint64_t{0}; }};

    const auto begin = service.handle({.method = "POST",
                                       .path = "/challenge-response/v1/newSession",
                                       .query = std::string{"nonce="} + argv[5],
                                       .headers = {},
                                       .body = {},
                                       .peer = "bench"},
                                      now);
    must(begin.status == 201, begin.body.c_str());
    const auto location = std::ranges::find(begin.headers, "Location", &std::pair<std::string, std::string>::first);
    must(location != begin.headers.end(), "no Location");
    const HttpMessage request{.method = "POST",
                              .path = "/challenge-response/v1/" + location->second,
                              .query = {},
                              .headers = {{"content-type", std::string{media::cmw_cbor}}},
                              .body = evidence,
                              .peer = "bench"};
    const auto nonce = parse_base64url(argv[5], "nonce");
    must(nonce.has_value(), "the nonce cannot be read");
    const auto presented = read_presented(media::cmw_cbor, evidence);
    must(presented.has_value(), "the evidence cannot be read");
    const auto references = appraiser.current(now);

    bench::P384Floor floor;
    bench::Run runs[] = {
        {"floor: one P-384 verification and signature", [&] { return floor.verify() && floor.sign(); }},
        {"evidence appraised",
         [&] { return judge_presented(*references, *presented, *nonce, now).appraisal.verdict.accepted(); }},
        {"request with evidence, without HTTP", [&] { return service.handle(request, now).status == 200; }},
    };
    bench::in_turns(runs, 20, argv[6]);
    bench::print_microseconds(runs);
    return 0;
}
