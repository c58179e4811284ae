// cvmin verify: appraises evidence, stored or of a running CVM, or has a verifier service do it, and prints the
// verdict. Decides nothing itself.
#include "common/evidence.hpp"
#include "host-tools/appraise/verdict.hpp"
#include "host-tools/attest_live.hpp"
#include "host-tools/cli.hpp"
#include "host-tools/computation/manifest_file.hpp"
#include "host-tools/endorsements.hpp"
#include "host-tools/explain_verdict.hpp"
#include "host-tools/reference.hpp"
#include "host-tools/remote_verdict.hpp"
#include "host-tools/report_input.hpp"
#include "host-tools/signer_options.hpp"
#include "host-tools/target_options.hpp"
#include "host-tools/tpm_options.hpp"
#include "host-tools/verdict_output.hpp"
#include "qemu/explained.hpp"

#include <cstdio>

namespace cvmin {

namespace {

constexpr const char *command = "verify";

constexpr unsigned default_timeout_s = 30; // under emulation a handshake may queue behind 63 others

struct Args {
    std::string evidence, image, policy;
    TargetArgs target;
    std::optional<std::string> session, emulated_ark, nonce, exporter, key, time, vcpu_type;
    std::optional<std::string> reference, reference_key, release, publisher, manifest;
    std::optional<unsigned> vcpus;
    std::vector<std::string> measurements;
    unsigned timeout_s = default_timeout_s;
    ReportArgs report;
    SignerArgs signer;
    TpmArgs tpm;
    OutputArgs output;
    EndorsementArgs endorsements;
    VerifierArgs verifier;
    ResultArgs result; // of that verifier
};

void describe(CLI::App &app, Args &args) {
    app.add_option("evidence", args.evidence, "stored evidence; - is standard input");
    app.add_option("--vm", args.target.vm, "a running CVM instead: a connection and a nonce of our own");
    add_report_options(app, args.report);
    app.add_option("--image", args.image, "image.json whose launch digest is wanted");
    app.add_option("--measurement", args.measurements, "a wanted launch digest (hex) instead of --image; repeatable");
    app.add_option("--reference", args.reference,
                   "CoRIM with the wanted launches instead of --image; --vcpu-type and --vcpus choose among them");
    app.add_option("--reference-key", args.reference_key,
                   "public key of its signer, without which a signed one is refused");
    add_release_options(app, args.release, args.publisher);
    add_signer_options(app, args.signer);
    add_manifest_option(app, args.manifest);
    app.add_option("--policy", args.policy, "appraisal policy (JSON); policies/ has some to start from");
    app.add_option("--trust-emulated", args.emulated_ark,
                   "ARK of an emulated AMD-SP to trust (certificate file); the verdict then says EMULATED");
    add_endorsement_options(app, args.endorsements, CollateralKey::optional);
    add_tpm_options(app, args.tpm);
    app.add_option(
        "--session", args.session,
        "FILE.session.json of attest, as the verifier itself wrote and kept it: nonce, exporter, key, vCPUs, PCRs");
    app.add_option("--nonce", args.nonce, "nonce that the evidence must answer (hex)");
    app.add_option("--exporter", args.exporter, "TLS exporter of the connection (hex), or skip");
    app.add_option("--key", args.key, "key of the connection's peer (hex of X and Y, 96 bytes), or skip");
    app.add_option("--vcpu-type", args.vcpu_type, "CPU model to predict for (default: as launched)");
    app.add_option("--vcpus", args.vcpus, "vCPUs to predict for (default: as launched)")
        ->check(CLI::Range(1u, max_vcpus));
    app.add_option("--time", args.time, "judge as of this time (2026-01-31T12:00:00Z) instead of now");
    add_target_options(app, args.target);
    app.add_option("--timeout", args.timeout_s, "with --vm or --connect: seconds for the whole exchange")
        ->capture_default_str()
        ->check(CLI::Range(1u, 3600u));
    add_output_options(app, args.output);
    add_verifier_options(app, args.verifier);
    add_result_options(app, args.result);
    app.footer(
        "Examples:\n"
        "  cvmin verify --vm vm1 --image out/image.json --policy policies/genoa.json\n"
        "  cvmin verify evidence.cbor --session evidence.cbor.session.json \\\n"
        "      --image out/image.json --policy policies/genoa.json\n"
        "  cvmin verify evidence.cbor --nonce HEX --exporter skip --key skip --measurement HEX \\\n"
        "      --policy policies/milan.json --time 2026-01-31T12:00:00Z --json\n"
        "  cvmin verify --report report.bin --vek vcek.der --report-data HEX --measurement HEX \\\n"
        "      --policy policies/genoa.json\n"
        "  cvmin verify --vm vm1 --signer release.pub.pem --minimum-svn 3 --policy policies/genoa.json\n"
        "  cvmin verify --vm vm1 --release cvmin-0.1.0 --publisher publisher.pub.pem --policy policies/genoa.json\n"
        "  cvmin verify --vm vm1 --reference signed.corim --reference-key publisher.pub.pem --policy "
        "policies/genoa.json\n"
        "  cvmin verify --vm vm1 --verifier https://verifier.example --trust-verifier verifier.pub.pem \\\n"
        "      --policy policies/genoa.json\n\n"
        "With --verifier the service appraises, by that policy and its own reference values, and its signed result\n"
        "decides; that the evidence is about this connection is checked here.\n"
        "A session file must be the verifier's own: whoever can write it chooses the nonce, the exporter and the\n"
        "key that the evidence is held against. The verdict names these as the caller's, and not as this\n"
        "connection's.\n\n"
        "Exit codes: 0 accepted, 1 refused, 2 usage, 3 bad input, 4 system, 5 agent or verifier unreachable,\n"
        "refusing or too slow.");
}

int wanted_sources(const Args &args) {
    return !args.image.empty() + !args.measurements.empty() + args.signer.given() + args.reference.has_value() +
           args.release.has_value();
}

std::optional<std::string> usage_problem(const Args &args) {
    const bool live = args.target.given();
    if (args.verifier.url) {
        if (!live || args.report.given() || !args.evidence.empty())
            return "--verifier goes with --vm or --connect: a verifier judges evidence that answers its nonce";
        if (wanted_sources(args) != 0 || args.session || args.nonce || args.exporter || args.key || args.time ||
            args.manifest || args.vcpu_type || args.vcpus || args.endorsements.given() || !args.tpm.ek_roots.empty() ||
            args.tpm.after)
            return "with --verifier the service appraises: leave references, endorsements, session and time out";
        if (args.output.html || args.output.ear)
            return "--html and --ear are of verdicts made here; the service's result is an EAR (cvmin passport)";
        return usage_problem(args.target);
    }
    if (args.result.given() || !args.verifier.ca_file.empty())
        return "--trust-verifier, --policy-id, --result-measurement, --max-age and --ca-file go with --verifier";
    if (args.policy.empty())
        return "--policy is required";
    if (args.reference_key && !args.reference)
        return "--reference-key goes with --reference";
    if (const auto problem = release_problem(args.release, args.publisher))
        return problem;
    if (args.report.given() + live + !args.evidence.empty() != 1)
        return "wanted one of: a file of evidence, --vm NAME, --connect HOST:PORT, --report FILE";
    if (live)
        if (const auto problem = usage_problem(args.target))
            return problem;
    if (args.report.given()) {
        if (args.session || args.nonce || args.exporter || args.key)
            return "a report by itself has no claims: leave --session, --nonce, --exporter and --key out, and say "
                   "--report-data";
        if (args.tpm.given())
            return "a report by itself says nothing of a TPM: leave --pcrs, --ek-root and --after out";
        if (wanted_sources(args) > 1)
            return "wanted one of: --image image.json, --measurement HEX, --signer KEY, --reference FILE, --release "
                   "DIR";
        if (!args.image.empty() && !(args.vcpus && args.vcpu_type))
            return "--image needs --vcpus and --vcpu-type: each vCPU is part of the launch digest";
        return std::nullopt;
    }
    if (args.report.anything_else())
        return "--vek, --ask, --ark and --report-data go with --report";
    if (live && (args.session || args.nonce || args.exporter || args.key))
        return "--vm and --connect make a nonce and a connection of their own: leave --session, --nonce, --exporter "
               "and --key out";
    if (!live && args.target.vsock_socket)
        return "--vsock-socket goes with --vm";
    if (wanted_sources(args) > 1)
        return "wanted one of: --image image.json, --measurement HEX, --signer KEY, --reference FILE, --release DIR";
    if (!live && !args.session && !(args.nonce && args.exporter && args.key))
        return "stored evidence needs --session FILE, or each of --nonce, --exporter and --key; where the connection "
               "is "
               "not known, say \"--exporter skip --key skip\"";
    if (!live && !args.session && !args.image.empty() && !(args.vcpus && args.vcpu_type))
        return "--image needs --vcpus and --vcpu-type: each vCPU is part of the launch digest";
    if (args.target.connect && !args.image.empty() && !(args.vcpus && args.vcpu_type))
        return launch_unknown;
    return std::nullopt;
}

struct Input {
    Bytes evidence;        // or a report by itself
    Bytes certificates;    // beside such a report
    Expectations wanted;   // nonce, binding and time
    std::string vcpu_type; // what the launch digest is predicted for
    unsigned vcpus = 0;
};

constexpr std::uint64_t session_schema = 1;

// FILE.session.json, as attest writes it.
Result<void> read_session(const std::string &path, Input &input) {
    CVMIN_TRY(text, read_file(path, max_json_size));
    CVMIN_TRY(json, parse_json(text, "session"));
    CVMIN_TRY(schema, json_unsigned(json, "schema", "session.schema"));
    if (schema != session_schema)
        return fail(Errc::unsupported, "session.schema", schema);
    CVMIN_TRY(nonce, json_string(json, "nonce", "session.nonce"));
    CVMIN_TRY(nonce_bytes, parse_hex(nonce, "session.nonce"));
    CVMIN_TRY(exporter, json_string(json, "exporter", "session.exporter"));
    CVMIN_TRY(exporter_bytes, parse_hex_exactly<exporter_size>(exporter, "session.exporter"));
    CVMIN_TRY(key, json_object(json, "key", "session.key"));
    CVMIN_TRY(x, json_string(key, "x", "session.key.x"));
    CVMIN_TRY(y, json_string(key, "y", "session.key.y"));
    CVMIN_TRY(x_bytes, parse_hex_exactly<48>(x, "session.key.x"));
    CVMIN_TRY(y_bytes, parse_hex_exactly<48>(y, "session.key.y"));
    // null of evidence that came through a relay
    const auto known = [&](const char *member) { return !json.contains(member) || !json[member].is_null(); };
    if (known("vcpu_type")) {
        CVMIN_TRY(type, json_string(json, "vcpu_type", "session.vcpu_type"));
        input.vcpu_type = type;
    }
    if (known("vcpus")) {
        CVMIN_TRY(vcpus, json_unsigned(json, "vcpus", "session.vcpus"));
        if (vcpus == 0 || vcpus > max_vcpus)
            return fail(Errc::out_of_range, "session.vcpus", vcpus);
        input.vcpus = static_cast<unsigned>(vcpus);
    }
    if (json.contains("pcrs") && !json["pcrs"].is_null()) {
        CVMIN_TRY(text_of_pcrs, json_string(json, "pcrs", "session.pcrs"));
        const auto pcrs = parse_pcrs(text_of_pcrs);
        if (!pcrs)
            return fail(Errc::malformed, "session.pcrs");
        input.wanted.pcrs = *pcrs;
    }
    if (json.contains("credential") && !json["credential"].is_null()) {
        CVMIN_TRY(credential, json_object(json, "credential", "session.credential"));
        CVMIN_TRY(activation, parse_activation(credential));
        input.wanted.activation = std::move(activation);
    }
    if (json.contains("manifest") && !json["manifest"].is_null()) {
        CVMIN_TRY(digest, json_string(json, "manifest", "session.manifest"));
        CVMIN_TRY(digest_bytes, parse_hex_exactly<sizeof(Sha256Digest)>(digest, "session.manifest"));
        input.wanted.manifest = digest_bytes;
    }
    input.wanted.nonce = std::move(nonce_bytes);
    input.wanted.exporter = exporter_bytes;
    input.wanted.peer_key = PublicKey{.x = x_bytes, .y = y_bytes};
    return {};
}

Explained<Input> stored(const Args &args) {
    Input input;
    auto evidence = read_file(args.evidence, max_evidence_size);
    if (!evidence)
        return explain(evidence.error(), args.evidence);
    input.evidence = std::move(*evidence);
    input.wanted.activation = Skip{}; // nobody holds the connection any more; the session may say what was seen
    if (args.session)
        if (const auto read = read_session(*args.session, input); !read)
            return explain(read.error(), *args.session);
    // what is given by itself stands above the session
    if (args.tpm.pcrs) {
        CVMIN_TRY(pcrs, parse_pcrs(*args.tpm.pcrs));
        input.wanted.pcrs = pcrs;
    }
    if (args.nonce) {
        auto nonce = parse_hex(*args.nonce, "--nonce");
        if (!nonce || nonce->size() < min_nonce_size || nonce->size() > max_nonce_size)
            return explain(Errc::usage, "--nonce: wanted 32 to 64 bytes in hexadecimal");
        input.wanted.nonce = std::move(*nonce);
    }
    if (args.exporter && *args.exporter == "skip") {
        input.wanted.exporter = Skip{};
    } else if (args.exporter) {
        const auto exporter = parse_hex_exactly<exporter_size>(*args.exporter, "--exporter");
        if (!exporter)
            return explain(Errc::usage, "--exporter: wanted 32 bytes in hexadecimal, or skip");
        input.wanted.exporter = *exporter;
    }
    if (args.key && *args.key == "skip") {
        input.wanted.peer_key = Skip{};
    } else if (args.key) {
        const auto point = parse_hex_exactly<96>(*args.key, "--key");
        if (!point)
            return explain(Errc::usage, "--key: wanted X and Y of a P-384 key, 96 bytes in hexadecimal, or skip");
        PublicKey key;
        std::ranges::copy(ByteView{*point}.first(48), key.x.begin());
        std::ranges::copy(ByteView{*point}.last(48), key.y.begin());
        input.wanted.peer_key = key;
    }
    return input;
}

Explained<Input> live(const Args &args, const Policy &policy) {
    CVMIN_TRY(pcrs, wanted_pcrs(args.tpm, policy));
    const auto vm = find_target(args.target);
    if (!vm)
        return std::unexpected(vm.error());
    auto taken = attest_live(*vm, std::chrono::steady_clock::now() + std::chrono::seconds{args.timeout_s},
                             {.pcrs = pcrs, .activate = true});
    if (!taken)
        return explain(taken.error(), args.target.name());
    Input input;
    input.wanted = expect_live(*taken);
    input.evidence = std::move(taken->evidence);
    input.vcpu_type = vm->cpu_model;
    input.vcpus = vm->vcpus;
    return input;
}

Explained<Input> alone(const Args &args) {
    auto given = read_report_input(args.report);
    if (!given)
        return std::unexpected(given.error());
    Input input;
    input.evidence = std::move(given->report);
    input.certificates = std::move(given->certificates);
    input.wanted.report_data = given->report_data;
    if (given->intermediate)
        input.wanted.endorsements.intermediates.push_back(std::move(given->intermediate));
    return input;
}

// The launches of a CoRIM or release; the vCPUs choose among them only where the caller says which.
Explained<void> add_reference(const Args &args, const Policy &policy, Input &input) {
    const auto reference = args.release ? read_release_reference(*args.release, *args.publisher, input.wanted.now)
                                        : read_reference(*args.reference, args.reference_key, input.wanted.now);
    if (!reference)
        return std::unexpected(reference.error());
    if (policy.boot_events)
        input.wanted.boot_files = reference->boot_files;
    std::optional<std::uint32_t> signature;
    if (args.vcpu_type) {
        CVMIN_TRY(named, signature_of(*args.vcpu_type));
        signature = named;
    }
    if (args.report.given()) {
        want_launches(input.wanted, *reference, input.evidence, signature, args.vcpus);
        return {};
    }
    const auto evidence = parse_evidence(input.evidence);
    want_launches(input.wanted, *reference, evidence ? ByteView{evidence->report} : ByteView{}, signature, args.vcpus);
    return {};
}

// What the launch digest may be, whose root counts, and when.
Explained<void> add_references(const Args &args, const Policy &policy, Input &input) {
    Expectations &wanted = input.wanted;
    for (const std::string &text : args.measurements) {
        const auto digest = parse_hex_exactly<sizeof(Sha384Digest)>(text, "--measurement");
        if (!digest)
            return explain(Errc::usage, "--measurement: wanted 48 bytes in hexadecimal");
        wanted.measurements.push_back(*digest);
        wanted.measurement_source = "--measurement";
    }
    if (!args.image.empty()) {
        const std::string vcpu_type = args.vcpu_type.value_or(input.vcpu_type);
        const unsigned vcpus = args.vcpus.value_or(input.vcpus);
        if (vcpu_type.empty() || vcpus == 0)
            return explain(Errc::usage, launch_unknown);
        if (!find_cpu_model(vcpu_type))
            return explain(Errc::usage, "no CPU model " + vcpu_type + "; did you mean " +
                                            std::string{nearest_cpu_model(vcpu_type)} + "?");
        auto predicted = predict_measurement(args.image, vcpu_type, vcpus);
        if (!predicted)
            return explain(predicted.error(), args.image);
        wanted.measurements.push_back(predicted->digest);
        wanted.measurement_source = std::move(predicted->source);
    }
    if (args.emulated_ark) {
        auto ark = read_emulated_ark(*args.emulated_ark);
        if (!ark)
            return explain(ark.error(), *args.emulated_ark);
        wanted.emulated_ark = std::move(*ark);
    }
    wanted.now = std::time(nullptr);
    if (args.time) {
        const auto time = parse_time(*args.time);
        if (!time)
            return explain(Errc::usage,
                           "--time: wanted the form 2026-01-31T12:00:00Z, or an offset such as +01:00 for the Z");
        wanted.now = *time;
    }
    if (args.manifest) {
        CVMIN_TRY(manifest, load_manifest(*args.manifest));
        if (wanted.manifest && *wanted.manifest != manifest.digest)
            return explain(Errc::usage, *args.manifest + ": is another manifest than the one that the session names");
        wanted.manifest = manifest.digest;
    }
    CVMIN_CHECK(add_endorsements(args.endorsements, wanted.now, wanted.endorsements));
    if (args.endorsements.collateral && !args.endorsements.key)
        note(*args.endorsements.collateral +
             ": not checked who signed it (--collateral-key); what AMD signed in it counts, "
             "but a list or a minimum TCB may be missing");
    CVMIN_TRY(tpm, read_tpm_references(args.tpm, policy, args.image));
    want_tpm(wanted, std::move(tpm));
    return args.reference || args.release ? add_reference(args, policy, input) : Explained<void>{};
}

// The verdict of a service, and of what only we can see.
int verify_remotely(const Args &args) {
    auto wanted = read_result_expectations(args.result, args.policy, args.emulated_ark);
    if (!wanted)
        return report_error(command, wanted.error());
    const auto asked = read_question(args.verifier, args.tpm, args.policy, args.target);
    if (!asked)
        return report_error(command, asked.error());
    VerifierAccess access{args.verifier, asked->address};
    const auto verdict = judge_by_verifier(access.client, NonceFrom::us, std::move(*wanted), *asked, args.timeout_s);
    if (!verdict)
        return report_error(command, verdict.error());
    if (args.output.json)
        print_json(result_json(verdict->appraisal, verdict->binding, verdict->now));
    else
        std::fputs(result_table(verdict->appraisal, verdict->binding, verdict->now).c_str(), stdout);
    return verdict->accepted() ? Exit::ok : Exit::rejected;
}

} // namespace

int cmd_verify(int argc, char **argv) {
    Args args;
    CLI::App app{"Appraise evidence and print the verdict: every check, with what was found and what was wanted.",
                 "cvmin verify"};
    describe(app, args);
    if (const auto done = parse_options(app, argc, argv))
        return *done;
    if (const auto problem = usage_problem(args))
        return report_error(command, Exit::usage, *problem);
    if (const auto problem = usage_problem(args.output))
        return report_error(command, Exit::usage, *problem);
    if (const auto checked = check_output(args.output); !checked)
        return report_error(command, checked.error());
    if (args.verifier.url)
        return verify_remotely(args);

    auto policy = read_policy_file(args.policy);
    if (!policy)
        return report_error(command, policy.error());
    if (const auto signer = read_signer(args.signer, *policy); !signer)
        return report_error(command, signer.error());
    // of a report by itself the policy may skip it, and the verdict says what is missing
    if (!args.report.given() && wanted_sources(args) == 0 && policy->measurements.empty())
        return report_error(
            command, Exit::usage,
            "wanted one of: --image image.json, --measurement HEX, --signer KEY, --reference FILE, --release DIR, or "
            "launch digests in the policy");
    auto input = args.report.given() ? alone(args) : args.target.given() ? live(args, *policy) : stored(args);
    if (!input)
        return report_error(command, input.error());
    if (const auto added = add_references(args, *policy, *input); !added)
        return report_error(command, added.error());
    input->wanted.policy = std::move(*policy);
    if (args.signer.given())
        want_signer(input->wanted);

    Appraisal appraisal = args.report.given() ? appraise_report(input->evidence, input->certificates, input->wanted)
                                              : appraise(input->evidence, input->wanted);
    if (!args.image.empty())
        explain_failed_measurement(appraisal, args.image, args.vcpu_type.value_or(input->vcpu_type),
                                   args.vcpus.value_or(input->vcpus));
    if (const auto given = give_out(appraisal, input->wanted, args.output); !given)
        return report_error(command, given.error());
    return appraisal.verdict.accepted() ? Exit::ok : Exit::rejected;
}

} // namespace cvmin
