#include "host-tools/remote_verdict.hpp"

#include "host-tools/cli.hpp"
#include "host-tools/verifier/presented.hpp"

#include <thread>

namespace cvmin {

void add_verifier_options(CLI::App &app, VerifierArgs &args) {
    app.add_option("--verifier", args.url,
                   "address of a verifier service (https://HOST[:PORT][/PATH]; http:// only of this machine)");
    app.add_option("--ca-file", args.ca_file,
                   "authorities to verify its certificate with (PEM); default: the system's");
}

bool PlainPacing::wait(std::chrono::milliseconds time) {
    std::this_thread::sleep_for(time);
    return true;
}

VerifierAccess::VerifierAccess(const VerifierArgs &args, std::string address)
    : http(args.ca_file, [] { return false; }),
      client(http, pacing, std::move(address), [](std::string_view text) { note(text); }) {}

static Explained<std::optional<PcrSelection>> quote_for(const TpmArgs &args, const std::string &policy) {
    if (policy.empty())
        return args.pcrs ? parse_pcrs(*args.pcrs) : std::nullopt;
    CVMIN_TRY(read, read_policy_file(policy));
    return wanted_pcrs(args, read);
}

Explained<RemoteQuestion> read_question(const VerifierArgs &args, const TpmArgs &tpm, const std::string &policy,
                                        const TargetArgs &target) {
    auto address = parse_service_address(*args.url);
    if (!address)
        return explain(Errc::usage, "--verifier: " + address.error().text);
    CVMIN_TRY(pcrs, quote_for(tpm, policy));
    CVMIN_TRY(vm, find_target(target));
    return RemoteQuestion{.address = std::move(*address), .pcrs = pcrs, .vm = std::move(vm)};
}

std::vector<Check> binding_checks(ByteView evidence, const Expectations &wanted) {
    const Appraisal appraisal = appraise(evidence, wanted);
    std::vector<Check> checks;
    for (const CheckId id :
         {CheckId::evidence_format, CheckId::claims_format, CheckId::snp_format, CheckId::binding_report_data,
          CheckId::binding_nonce, CheckId::binding_exporter, CheckId::binding_key})
        checks.push_back(appraisal.verdict[id]);
    return checks;
}

static Explained<ChallengeSession> open_at(VerifierClient &verifier, NonceFrom from) {
    if (from == NonceFrom::service)
        return verifier.open(std::nullopt);
    auto nonce = fresh_nonce(unpadded_nonce_size);
    if (!nonce)
        return explain(nonce.error(), "a nonce");
    auto session = verifier.open(*nonce);
    if (!session && session.error().code == Errc::unsupported)
        return verifier.open(std::nullopt);
    return session;
}

Explained<RemoteVerdict> judge_by_verifier(VerifierClient &verifier, NonceFrom nonce, ResultExpectations wanted,
                                           const RemoteQuestion &asked, unsigned timeout_s) {
    CVMIN_TRY(challenge, open_at(verifier, nonce));
    auto live = attest_live(asked.vm, std::chrono::steady_clock::now() + std::chrono::seconds{timeout_s},
                            {.nonce = challenge.nonce, .pcrs = asked.pcrs});
    if (!live)
        return explain(live.error(), asked.vm.name);
    CVMIN_TRY(token, verifier.submit(challenge, live->evidence, media::cmw_cbor));
    wanted.nonce = live->nonce;
    wanted.peer_key = live->key;
    wanted.now = std::time(nullptr);
    ResultAppraisal appraisal = appraise_result(as_bytes(token), wanted);
    std::vector<Check> binding = binding_checks(live->evidence, expect_live(*live));
    return RemoteVerdict{.live = std::move(*live),
                         .token = std::move(token),
                         .now = wanted.now,
                         .appraisal = std::move(appraisal),
                         .binding = std::move(binding)};
}

} // namespace cvmin
