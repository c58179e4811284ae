#include "host-tools/passport.hpp"

#include "host-tools/ask.hpp"
#include "host-tools/cli.hpp"
#include "host-tools/computation/manifest_file.hpp"
#include "host-tools/signing/key_file.hpp"

#include <cstdio>

namespace cvmin {

void add_result_options(CLI::App &app, ResultArgs &args) {
    app.add_option("--trust-verifier", args.verifiers,
                   "public key of a verifier whose results count (PEM or DER); repeatable");
    app.add_option("--policy-id", args.policy_ids,
                   "instead of --policy: the policy's identifier as it stands in the result, or skip; repeatable");
    app.add_option("--result-measurement", args.measurements,
                   "a wanted launch digest (hex); default: any that the verifier accepts; repeatable");
    app.add_option("--max-age", args.max_age_s, "refuse a result that was issued longer ago, in seconds")
        ->check(CLI::Range(1u, max_result_age_s));
}

void add_passport_options(CLI::App &app, PassportArgs &args) {
    app.add_flag("--passport", args.wanted,
                 "rely on the attestation result that the agent keeps instead of appraising evidence");
    add_result_options(app, args.result);
}

std::optional<std::string> usage_problem(const PassportArgs &args, const JudgeArgs &judge) {
    if (!args.wanted)
        return args.result.given() ? std::optional<std::string>{"--trust-verifier, --policy-id, --result-measurement "
                                                                "and --max-age go with --passport"}
                                   : std::nullopt;
    if (!judge.image.empty() || judge.signer.given() || judge.reference || judge.reference_key || judge.release ||
        judge.publisher || judge.vcpu_type || judge.vcpus || judge.tpm.given() || judge.endorsements.given())
        return "with --passport the verifier has appraised: leave references, endorsements and TPM options out";
    return std::nullopt;
}

Explained<ResultExpectations> read_result_expectations(const ResultArgs &args, const std::string &policy,
                                                       const std::optional<std::string> &emulated_ark) {
    ResultExpectations wanted;
    if (args.verifiers.empty())
        return explain(Errc::usage, "--trust-verifier KEY is required: whose results count");
    for (const std::string &path : args.verifiers) {
        const auto text = read_file(path, max_key_file);
        if (!text)
            return explain(text.error(), path);
        const auto key = read_public_key(*text);
        if (!key)
            return explain(key.error(), path);
        wanted.verifiers.push_back(*key);
    }
    if (policy.empty() == args.policy_ids.empty())
        return explain(Errc::usage, "wanted one of: --policy FILE that the verifier must have appraised by, "
                                    "--policy-id ID, --policy-id skip");
    if (!policy.empty()) {
        CVMIN_TRY(read, read_policy_file(policy));
        wanted.policies = std::vector{std::string{policy_id_prefix} + hex(read.digest)};
    } else if (args.policy_ids == std::vector<std::string>{"skip"}) {
        wanted.policies = Skip{};
    } else {
        wanted.policies = args.policy_ids;
    }
    wanted.measurements = Skip{};
    if (!args.measurements.empty()) {
        std::vector<Sha384Digest> digests;
        for (const std::string &text : args.measurements) {
            const auto digest = parse_hex_exactly<sizeof(Sha384Digest)>(text, "--result-measurement");
            if (!digest)
                return explain(Errc::usage, "--result-measurement: wanted 48 bytes in hexadecimal");
            digests.push_back(*digest);
        }
        wanted.measurements = std::move(digests);
    }
    if (emulated_ark) {
        auto ark = read_emulated_ark(*emulated_ark);
        if (!ark)
            return explain(ark.error(), *emulated_ark);
        wanted.emulated_ark = std::move(*ark);
    }
    wanted.max_age_s = args.max_age_s;
    wanted.manifest = Skip{};
    wanted.now = std::time(nullptr);
    return wanted;
}

Explained<Bytes> get_passport(Session &session, Deadline deadline) {
    CVMIN_TRY(passport, ask<response::Passport>(session, request::PassportGet{}, deadline));
    return std::move(passport.result);
}

Explained<void> put_passport(Session &session, ByteView result, Deadline deadline) {
    CVMIN_TRY(stored, ask<response::Stored>(session, request::PassportPut{to_bytes(result)}, deadline));
    if (stored.digest != sha256(result))
        return explain(Errc::mismatch, "the agent keeps something else than was sent");
    return {};
}

Explained<PassportJudgement> judge_passport(const PassportArgs &args, const JudgeArgs &judge, P384PrivateKey *party,
                                            const VmInfo &vm, Deadline deadline) {
    CVMIN_TRY(wanted, read_result_expectations(args.result, judge.policy, judge.emulated_ark));
    if (judge.manifest) {
        CVMIN_TRY(manifest, load_manifest(*judge.manifest));
        wanted.manifest = manifest.digest;
    }
    auto session = open_session(vm, deadline, party);
    if (!session)
        return explain(session.error(), vm.name);
    const auto passport = get_passport(*session, deadline);
    if (!passport)
        return explain(passport.error().code, vm.name + ": " + passport.error().text);
    wanted.nonce = NonceOfService{};
    wanted.peer_key = session->peer_key();
    return PassportJudgement{
        .session = std::move(*session), .now = wanted.now, .appraisal = appraise_result(*passport, wanted)};
}

int report_rejection(std::string_view command, const PassportJudgement &judgement, bool json, std::string_view text) {
    std::fputs(result_table(judgement.appraisal, {}, judgement.now).c_str(), stderr);
    if (json)
        print_json(result_json(judgement.appraisal, {}, judgement.now));
    return report_error(command, Exit::rejected, text);
}

} // namespace cvmin
