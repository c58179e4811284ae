#include "host-tools/judge_live.hpp"

#include "common/evidence.hpp"
#include "host-tools/appraise/verdict.hpp"
#include "host-tools/cli.hpp"
#include "host-tools/computation/manifest_file.hpp"
#include "host-tools/explain_verdict.hpp"
#include "host-tools/measure/measure.hpp"
#include "host-tools/reference.hpp"
#include "host-tools/target_options.hpp"

#include <cstdio>

namespace cvmin {

namespace {

struct References { // read before the agent is asked for anything
    Policy policy;
    // of these, at most one; neither: the policy's signer vouches
    std::optional<PredictedMeasurement> measurement;
    std::optional<ReferenceFile> published;
    std::optional<std::uint32_t> signature; // of the CPU model that is named for them
    std::optional<Bytes> emulated_ark;
    Endorsements endorsements;
    std::optional<PcrSelection> pcrs; // to ask for
    TpmReferences tpm;
    std::optional<Sha256Digest> manifest;
};

Explained<References> read_references(const JudgeArgs &args, const VmInfo &vm) {
    References references;
    CVMIN_TRY(policy, read_policy_file(args.policy));
    references.policy = std::move(policy);
    CVMIN_CHECK(read_signer(args.signer, references.policy));
    if (args.emulated_ark) {
        auto ark = read_emulated_ark(*args.emulated_ark);
        if (!ark)
            return explain(ark.error(), *args.emulated_ark);
        references.emulated_ark = std::move(*ark);
    }
    CVMIN_CHECK(add_endorsements(args.endorsements, std::time(nullptr), references.endorsements));
    CVMIN_TRY(pcrs, wanted_pcrs(args.tpm, references.policy));
    references.pcrs = pcrs;
    CVMIN_TRY(tpm, read_tpm_references(args.tpm, references.policy, args.image));
    references.tpm = std::move(tpm);
    if (args.manifest) {
        CVMIN_TRY(manifest, load_manifest(*args.manifest));
        references.manifest = manifest.digest;
    }
    if (args.reference || args.release) {
        CVMIN_TRY(published, args.release ? read_release_reference(*args.release, *args.publisher, std::time(nullptr))
                                          : read_reference(*args.reference, args.reference_key, std::time(nullptr)));
        if (published.debug && !args.debug_refusal.empty())
            return explain(Errc::usage, args.release.value_or(args.reference.value_or("")) + args.debug_refusal);
        if (references.policy.boot_events)
            references.tpm.boot_files = std::move(published.boot_files);
        if (args.vcpu_type) {
            CVMIN_TRY(signature, signature_of(*args.vcpu_type));
            references.signature = signature;
        }
        references.published = std::move(published);
    }
    if (args.image.empty())
        return references;
    // The host's word on its vCPUs only chooses among the digests that this image may have.
    const std::string type = args.vcpu_type.value_or(vm.cpu_model);
    const unsigned vcpus = args.vcpus.value_or(vm.vcpus);
    if (type.empty() || vcpus == 0)
        return explain(Errc::usage, launch_unknown);
    if (!find_cpu_model(type))
        return explain(Errc::usage,
                       "no CPU model " + type + "; did you mean " + std::string{nearest_cpu_model(type)} + "?");
    auto measurement = predict_measurement(args.image, type, vcpus);
    if (!measurement)
        return explain(measurement.error(), args.image);
    references.measurement = std::move(*measurement);
    return references;
}

// What the launch digest may be.
void want_measurements(Expectations &wanted, References &references, const JudgeArgs &args, ByteView evidence) {
    if (references.measurement) {
        wanted.measurements = {references.measurement->digest};
        wanted.measurement_source = std::move(references.measurement->source);
    } else if (references.published) {
        const auto parsed = parse_evidence(evidence);
        want_launches(wanted, *references.published, parsed ? ByteView{parsed->report} : ByteView{},
                      references.signature, args.vcpus);
    } else {
        want_signer(wanted);
    }
}

} // namespace

void add_judge_options(CLI::App &app, JudgeArgs &args) {
    app.add_option("--image", args.image, "image.json that the CVM must have been launched from");
    app.add_option("--reference", args.reference,
                   "CoRIM with the wanted launches instead of --image; --vcpu-type and --vcpus choose among them");
    app.add_option("--reference-key", args.reference_key,
                   "public key of its signer, without which a signed one is refused");
    add_release_options(app, args.release, args.publisher);
    add_signer_options(app, args.signer);
    add_manifest_option(app, args.manifest);
    app.add_option("--policy", args.policy, "appraisal policy (JSON)");
    app.add_option("--trust-emulated", args.emulated_ark, "ARK of an emulated AMD-SP to trust (DER); for tests");
    add_endorsement_options(app, args.endorsements, CollateralKey::required);
    add_tpm_options(app, args.tpm);
    app.add_option("--vcpu-type", args.vcpu_type, "CPU model to predict for (default: as launched)");
    app.add_option("--vcpus", args.vcpus, "vCPUs to predict for (default: as launched)")
        ->check(CLI::Range(1u, max_vcpus));
}

std::optional<std::string> usage_problem(const JudgeArgs &args) {
    if (args.policy.empty())
        return "--policy is required";
    if (!args.image.empty() + args.signer.given() + args.reference.has_value() + args.release.has_value() != 1)
        return "wanted one of: --image image.json, --signer KEY, --reference FILE, --release DIR";
    if (const auto problem = release_problem(args.release, args.publisher))
        return problem;
    if (args.reference_key && !args.reference)
        return "--reference-key goes with --reference";
    if (args.signer.given() && (args.vcpu_type || args.vcpus))
        return "--vcpu-type and --vcpus go with --image or --reference";
    return std::nullopt;
}

Explained<void> check_image(const JudgeArgs &args) {
    if (args.image.empty())
        return {};
    const auto manifest = load_image_manifest(args.image);
    if (!manifest)
        return explain(manifest.error(), args.image);
    if (manifest->debug && !args.debug_refusal.empty())
        return explain(Errc::usage, args.image + args.debug_refusal);
    return {};
}

namespace {

// What the references say of this evidence, on top of what its connection says.
void want_references(Expectations &wanted, References references, const JudgeArgs &args, ByteView evidence) {
    wanted.policy = std::move(references.policy);
    want_measurements(wanted, references, args, evidence);
    wanted.emulated_ark = std::move(references.emulated_ark);
    wanted.endorsements = std::move(references.endorsements);
    want_tpm(wanted, std::move(references.tpm));
    wanted.manifest = references.manifest;
}

Judgement judge(LiveAttestation live, References references, const JudgeArgs &args, const VmInfo &vm) {
    Expectations wanted = expect_live(live);
    want_references(wanted, std::move(references), args, live.evidence);
    Appraisal appraisal = appraise(live.evidence, wanted);
    if (!appraisal.accepted && !args.image.empty())
        explain_failed_measurement(appraisal, args.image, args.vcpu_type.value_or(vm.cpu_model),
                                   args.vcpus.value_or(vm.vcpus));
    return Judgement{.live = std::move(live), .expectations = std::move(wanted), .appraisal = std::move(appraisal)};
}

// Whether the agent has no manifest yet, and that is all that is wrong.
bool only_lacks_manifest(const Judgement &judgement) {
    const auto evidence = parse_evidence(judgement.live.evidence);
    const auto claims = evidence ? parse_claims(evidence->claims) : std::unexpected(evidence.error());
    if (!claims || claims->manifest)
        return false;
    const Verdict &verdict = judgement.appraisal.verdict;
    const Check &missing = verdict[CheckId::claims_manifest];
    return missing.outcome == Outcome::failed && std::ranges::all_of(verdict.checks(), [&](const Check &check) {
               return &check == &missing || check.outcome == Outcome::passed || check.outcome == Outcome::skipped;
           });
}

Explained<void> offer_manifest(Session &session, ByteView manifest, const VmInfo &vm, Deadline deadline) {
    const auto answer = session.request(request::Manifest{to_bytes(manifest)}, deadline);
    if (!answer)
        return explain(answer.error(), vm.name);
    if (const auto *refusal = std::get_if<response::Failure>(&*answer))
        return explain(Errc::refused, vm.name + ": the agent does not take the manifest: " +
                                          std::string{name(refusal->code)} + ": " + refusal->text);
    const auto *stored = std::get_if<response::Stored>(&*answer);
    if (stored == nullptr || stored->digest != manifest_digest(manifest))
        return explain(Errc::mismatch, vm.name + ": the agent took something else for the manifest");
    return {};
}

} // namespace

Explained<Judgement> judge_live(const JudgeArgs &args, const VmInfo &vm, Deadline deadline) {
    CVMIN_TRY(references, read_references(args, vm));
    auto live = attest_live(vm, deadline, {.pcrs = references.pcrs, .activate = true});
    if (!live)
        return explain(live.error(), vm.name);
    return judge(std::move(*live), std::move(references), args, vm);
}

int report_rejection(std::string_view command, const Judgement &judgement, bool json, std::string_view text) {
    std::fputs(verdict_table(judgement.appraisal, judgement.expectations).c_str(), stderr);
    if (json)
        print_json(verdict_json(judgement.appraisal, judgement.expectations));
    return report_error(command, Exit::rejected, text);
}

Explained<Judgement> judge_live_as(P384PrivateKey &party, ByteView offered, const JudgeArgs &args, const VmInfo &vm,
                                   Deadline deadline) {
    CVMIN_TRY(references, read_references(args, vm));
    const LiveOptions options{.pcrs = references.pcrs, .activate = true, .party_key = &party};
    auto live = attest_live(vm, deadline, options);
    if (!live)
        return explain(live.error(), vm.name);
    auto judgement = judge(std::move(*live), references, args, vm);
    if (judgement.appraisal.accepted || !only_lacks_manifest(judgement))
        return judgement;
    CVMIN_CHECK(offer_manifest(judgement.live.session, offered, vm, deadline));
    live = attest_again(std::move(judgement.live), deadline, options);
    if (!live)
        return explain(live.error(), vm.name);
    return judge(std::move(*live), std::move(references), args, vm);
}

Explained<StoredJudgement> judge_receipt(const JudgeArgs &args, ByteView evidence, Bytes nonce) {
    VmInfo nowhere;
    nowhere.vcpus = 0;
    CVMIN_TRY(references, read_references(args, nowhere));
    Expectations wanted;
    wanted.nonce = std::move(nonce);
    wanted.exporter = Skip{};
    wanted.peer_key = Skip{}; // that its key signed the receipt was seen when it was read
    wanted.activation = Skip{};
    wanted.now = std::time(nullptr);
    want_references(wanted, std::move(references), args, evidence);
    Appraisal appraisal = appraise(evidence, wanted);
    if (!appraisal.accepted && !args.image.empty())
        explain_failed_measurement(appraisal, args.image, args.vcpu_type.value_or(""), args.vcpus.value_or(0));
    return StoredJudgement{.expectations = std::move(wanted), .appraisal = std::move(appraisal)};
}

} // namespace cvmin
