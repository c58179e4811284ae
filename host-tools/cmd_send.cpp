// cvmin send: takes evidence, appraises it, and only then sends a secret, all over one connection.
#include "common/evidence.hpp"
#include "host-tools/appraise/verdict.hpp"
#include "host-tools/attest_live.hpp"
#include "host-tools/cli.hpp"
#include "host-tools/endorsements.hpp"
#include "host-tools/explain_verdict.hpp"
#include "host-tools/measure/measure.hpp"
#include "host-tools/reference.hpp"
#include "host-tools/release.hpp"
#include "host-tools/signer_options.hpp"
#include "host-tools/tpm_options.hpp"
#include "host-tools/verdict_output.hpp"

#include <cstdio>

#include <sys/prctl.h>

namespace cvmin {

namespace {

constexpr const char *command = "send";
constexpr unsigned default_timeout_s = 30; // under emulation a handshake may queue behind 63 others

constexpr const char *debug_refusal = ": is a DEBUG image, whose console is on; nothing was sent (--allow-debug sends "
                                      "to it all the same)";

struct Args {
    std::string vm, secret_name, file, image, policy;
    std::optional<std::string> emulated_ark, vsock_socket, vcpu_type, reference, reference_key;
    std::optional<unsigned> vcpus;
    SignerArgs signer;
    unsigned timeout_s = default_timeout_s;
    bool allow_debug = false;
    bool json = false;
    OutputArgs output; // its json is not used: the answer is about the secret
    TpmArgs tpm;
    EndorsementArgs endorsements;
};

struct References { // what the evidence is judged by; read before the agent is asked for anything
    // of these, at most one; neither: the policy's signer vouches, or its launch digests do
    std::optional<PredictedMeasurement> measurement;
    std::optional<ReferenceFile> published;
    std::optional<std::uint32_t> signature; // of the CPU model that is named for them
    Policy policy;
    std::optional<Bytes> emulated_ark;
    Endorsements endorsements;
    std::optional<PcrSelection> pcrs; // to ask for
    TpmReferences tpm;
};

// A debug image's launch digest is as genuine as another's: that its console is on is told by image.json only. The exit
// code of what was reported. (Of an image that only its signer knows, nothing is known here: sign keeps away from debug
// images in the same way.)
std::optional<int> refuse_debug_image(const Args &args) {
    if (args.image.empty())
        return std::nullopt;
    const auto manifest = load_image_manifest(args.image);
    if (!manifest)
        return report_error(command, manifest.error(), args.image);
    if (manifest->debug && !args.allow_debug)
        return report_error(command, Exit::usage, args.image + debug_refusal);
    return std::nullopt;
}

// The exit code of a failure that was reported is the error.
std::expected<References, int> read_references(const Args &args, const VmInfo &vm) {
    References references;
    auto policy = read_policy_file(args.policy);
    if (!policy)
        return std::unexpected(report_error(command, static_cast<Exit>(policy.error().exit_code), policy.error().text));
    references.policy = std::move(*policy);
    if (const auto signer = read_signer(args.signer, references.policy); !signer)
        return std::unexpected(report_error(command, signer.error()));
    if (args.emulated_ark) {
        auto ark = read_emulated_ark(*args.emulated_ark);
        if (!ark)
            return std::unexpected(report_error(command, ark.error(), *args.emulated_ark));
        references.emulated_ark = std::move(*ark);
    }
    if (const auto own = add_endorsements(args.endorsements, std::time(nullptr), references.endorsements); !own)
        return std::unexpected(report_error(command, own.error()));
    auto pcrs = wanted_pcrs(args.tpm, references.policy);
    if (!pcrs)
        return std::unexpected(report_error(command, pcrs.error()));
    references.pcrs = *pcrs;
    auto tpm = read_tpm_references(args.tpm, references.policy, args.image);
    if (!tpm)
        return std::unexpected(report_error(command, tpm.error()));
    references.tpm = std::move(*tpm);
    if (args.reference) {
        auto published = read_reference(*args.reference, args.reference_key, std::time(nullptr));
        if (!published)
            return std::unexpected(report_error(command, published.error()));
        if (published->debug && !args.allow_debug)
            return std::unexpected(report_error(command, Exit::usage, *args.reference + debug_refusal));
        if (args.vcpu_type) {
            const auto signature = signature_of(*args.vcpu_type);
            if (!signature)
                return std::unexpected(report_error(command, signature.error()));
            references.signature = *signature;
        }
        references.published = std::move(*published);
    }
    if (args.image.empty())
        return references;
    // The host's word on its vCPUs only chooses among the digests that this image may have.
    const std::string type = args.vcpu_type.value_or(vm.cpu_model);
    if (!find_cpu_model(type))
        return std::unexpected(
            report_error(command, Exit::usage,
                         "no CPU model " + type + "; did you mean " + std::string{nearest_cpu_model(type)} + "?"));
    auto measurement = predict_measurement(args.image, type, args.vcpus.value_or(vm.vcpus));
    if (!measurement)
        return std::unexpected(report_error(command, measurement.error(), args.image));
    references.measurement = std::move(*measurement);
    return references;
}

std::expected<Secret, int> read_secret(const Args &args) {
    auto bytes = read_file(args.file, max_secret_size);
    if (!bytes)
        return std::unexpected(report_error(command, bytes.error(), args.file));
    Secret secret{std::move(*bytes)};
    if (secret.view().empty())
        return std::unexpected(report_error(command, Exit::bad_input, args.file + ": is empty"));
    return secret;
}

void describe(CLI::App &app, Args &args) {
    app.add_option("name", args.vm, "name of the CVM")->required();
    app.add_option("--secret-name", args.secret_name, "name in the CVM: 1 to 64 of a-z, 0-9, '.', '_', '-'")
        ->required();
    app.add_option("--file", args.file, "file with the secret, sent byte for byte; - is standard input")->required();
    app.add_option("--image", args.image, "image.json that the CVM must have been launched from");
    app.add_option("--reference", args.reference,
                   "CoRIM with the wanted launches instead of --image; --vcpu-type and --vcpus choose among them");
    app.add_option("--reference-key", args.reference_key,
                   "public key of its signer, without which a signed one is refused");
    add_signer_options(app, args.signer);
    app.add_option("--policy", args.policy, "appraisal policy (JSON)")->required();
    app.add_option("--trust-emulated", args.emulated_ark, "ARK of an emulated AMD-SP to trust (DER); for tests");
    add_endorsement_options(app, args.endorsements);
    add_tpm_options(app, args.tpm);
    app.add_option("--vcpu-type", args.vcpu_type, "CPU model to predict for (default: as launched)");
    app.add_option("--vcpus", args.vcpus, "vCPUs to predict for (default: as launched)");
    app.add_option("--vsock-socket", args.vsock_socket, "talk to the agent through this Unix socket");
    app.add_option("--timeout", args.timeout_s, "seconds for the whole exchange")
        ->capture_default_str()
        ->check(CLI::Range(1u, 3600u));
    app.add_flag("--allow-debug", args.allow_debug, "send also to a debug image, whose console is on; for tests");
    add_verdict_files(app, args.output);
    app.add_flag("--json", args.json, "print JSON (schema 1)");
    app.footer("A secret is never an argument: it is read from a file or from standard input.\n"
               "Example:\n"
               "  cvmin send vm1 --secret-name db-key --file key.bin --image out/image.json \\\n"
               "      --policy policies/genoa.json\n"
               "  cvmin send vm1 --secret-name db-key --file key.bin --signer release.pub.pem --minimum-svn 3 \\\n"
               "      --policy policies/genoa.json\n"
               "  cvmin send vm1 --secret-name db-key --file key.bin --reference signed.corim \\\n"
               "      --reference-key publisher.pub.pem --policy policies/genoa.json --html verdict.html\n\n"
               "Exit codes: 0 sent and confirmed, 1 evidence rejected (nothing was sent), 2 usage, 3 bad input,\n"
               "4 system, 5 agent unreachable, refusing or too slow.");
}

std::optional<std::string> usage_problem(const Args &args) {
    if (!args.image.empty() + args.signer.given() + args.reference.has_value() != 1)
        return "wanted one of: --image image.json, --signer KEY, --reference FILE";
    if (args.reference_key && !args.reference)
        return "--reference-key goes with --reference";
    if (args.signer.given() && (args.vcpu_type || args.vcpus || args.allow_debug))
        return "--vcpu-type, --vcpus and --allow-debug go with --image or --reference";
    return usage_problem(args.output);
}

// What the launch digest may be.
void want_measurements(Expectations &expectations, const References &references, const Args &args, ByteView evidence) {
    if (references.measurement) {
        expectations.measurements = {references.measurement->digest};
        expectations.measurement_source = references.measurement->source;
    } else if (references.published) {
        const auto parsed = parse_evidence(evidence);
        want_launches(expectations, *references.published, parsed ? ByteView{parsed->report} : ByteView{},
                      references.signature, args.vcpus);
    } else {
        want_signer(expectations);
    }
}

} // namespace

int cmd_send(int argc, char **argv) {
    Args args;
    CLI::App app{"Attest and verify a CVM, then send it a secret. Nothing is sent unless every check passes.",
                 "cvmin send"};
    describe(app, args);
    if (const auto done = parse_options(app, argc, argv))
        return *done;
    if (!valid_secret_name(args.secret_name))
        return report_error(command, Exit::usage,
                            "--secret-name: wanted 1 to 64 characters of a-z, 0-9, '.', '_' and '-'");

    if (const auto problem = usage_problem(args))
        return report_error(command, Exit::usage, *problem);
    if (const auto checked = check_output(args.output); !checked)
        return report_error(command, checked.error());
    if (const auto refused = refuse_debug_image(args))
        return *refused;
    auto vm = find_vm(args.vm);
    if (!vm)
        return report_error(command, vm.error());
    if (args.vsock_socket)
        vm->address = UnixVsock{*args.vsock_socket};
    auto references = read_references(args, *vm);
    if (!references)
        return references.error();
    ::prctl(PR_SET_DUMPABLE, 0); // no core dump with the secret in it
    auto secret = read_secret(args);
    if (!secret)
        return secret.error();
    const std::size_t size = secret->view().size();

    const Deadline deadline = std::chrono::steady_clock::now() + std::chrono::seconds{args.timeout_s};
    auto live = attest_live(*vm, deadline, {.pcrs = references->pcrs, .activate = true});
    if (!live)
        return report_error(command, live.error(), args.vm);
    Expectations expectations = expect_live(*live);
    expectations.policy = std::move(references->policy);
    want_measurements(expectations, *references, args, live->evidence);
    expectations.emulated_ark = std::move(references->emulated_ark);
    expectations.endorsements = std::move(references->endorsements);
    want_tpm(expectations, std::move(references->tpm));
    Appraisal appraisal = appraise(live->evidence, expectations);
    if (!appraisal.accepted && !args.image.empty())
        explain_failed_measurement(appraisal, args.image, args.vcpu_type.value_or(vm->cpu_model),
                                   args.vcpus.value_or(vm->vcpus));
    // before the secret goes: whoever wants a record of the verdict wants no secret sent without one
    const auto recorded = write_verdict_files(appraisal, expectations, args.output);
    if (!recorded && appraisal.accepted)
        return report_error(command, static_cast<Exit>(exit_code(recorded.error().code)),
                            recorded.error().text + "; nothing was sent");
    if (!appraisal.accepted) {
        if (!recorded)
            report_error(command, recorded.error());
        std::fputs(verdict_table(appraisal, expectations).c_str(), stderr);
        if (args.json)
            print_json(verdict_json(appraisal, expectations));
        report_error(command, Exit::rejected, args.vm + ": the evidence was rejected; nothing was sent");
        return Exit::rejected;
    }

    const auto digest =
        release_secret(live->session, *appraisal.accepted, args.secret_name, std::move(*secret), deadline);
    if (!digest)
        return report_error(command, static_cast<Exit>(exit_code(digest.error().code)),
                            digest.error().text + (digest.error().may_have_been_sent
                                                       ? "; the secret may have arrived in " + args.vm
                                                       : "; nothing was sent"));
    if (args.json)
        print_json({{"schema", 1},
                    {"name", args.vm},
                    {"secret", args.secret_name},
                    {"size", size},
                    {"sha256", hex(*digest)},
                    {"confirmed", true},
                    {"emulated", appraisal.accepted->emulated()},
                    {"launch_digest", hex(appraisal.accepted->measurement())},
                    {"by_signer", appraisal.accepted->by_signer()}});
    else
        std::printf("%s: %zu bytes sent to %s, which confirms sha256 %s%s\n", args.secret_name.c_str(), size,
                    args.vm.c_str(), hex(*digest).c_str(),
                    appraisal.accepted->emulated() ? " (EMULATED platform)" : "");
    return Exit::ok;
}

} // namespace cvmin
