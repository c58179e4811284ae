// cvmin attest: takes evidence from a CVM and stores it with what a verifier must know of the connection.
#include "host-tools/attest_live.hpp"
#include "host-tools/cli.hpp"
#include "host-tools/computation/manifest_file.hpp"
#include "host-tools/target_options.hpp"
#include "host-tools/tpm_options.hpp"

#include <cstdio>

namespace cvmin {

namespace {

constexpr const char *command = "attest";
constexpr std::uint64_t session_schema = 1;

constexpr unsigned default_timeout_s = 30; // under emulation a handshake may queue behind 63 others

struct Args {
    TargetArgs target;
    std::string out;
    std::optional<std::string> nonce, manifest;
    TpmArgs tpm;
    unsigned timeout_s = default_timeout_s;
    bool json = false;
};

} // namespace

int cmd_attest(int argc, char **argv) {
    Args args;
    CLI::App app{"Ask a CVM for evidence and store it. Nothing is appraised here: see cvmin verify.", "cvmin attest"};
    app.add_option("name", args.target.vm, "name of the CVM");
    app.add_option("--out", args.out, "file for the evidence; FILE.session.json gets what binds it")->required();
    app.add_option("--nonce", args.nonce, "32 to 64 bytes in hexadecimal (default: random)");
    app.add_option("--manifest", args.manifest,
                   "record in the session that this computation is meant; verify --session then wants it");
    add_pcr_option(app, args.tpm);
    add_target_options(app, args.target);
    app.add_option("--timeout", args.timeout_s, "seconds for the whole exchange")
        ->capture_default_str()
        ->check(CLI::Range(1u, 3600u));
    app.add_flag("--json", args.json, "print JSON (schema 1)");
    app.footer("Example:\n"
               "  cvmin attest vm1 --out evidence.cbor\n"
               "  cvmin verify evidence.cbor --session evidence.cbor.session.json \\\n"
               "      --image out/image.json --policy policies/genoa.json");
    if (const auto done = parse_options(app, argc, argv))
        return *done;

    if (const auto problem = usage_problem(args.target))
        return report_error(command, Exit::usage, *problem);
    std::optional<Bytes> nonce;
    if (args.nonce) {
        auto given = parse_hex(*args.nonce, "--nonce");
        if (!given || given->size() < min_nonce_size || given->size() > max_nonce_size)
            return report_error(command, Exit::usage, "--nonce: wanted 32 to 64 bytes in hexadecimal");
        nonce = std::move(*given);
    }
    const auto pcrs = args.tpm.pcrs ? parse_pcrs(*args.tpm.pcrs) : every_pcr;
    if (!pcrs)
        return report_error(command, pcrs.error());
    Json manifest_digest_text(nullptr);
    if (args.manifest) {
        const auto manifest = load_manifest(*args.manifest);
        if (!manifest)
            return report_error(command, manifest.error());
        manifest_digest_text = hex(manifest->digest);
    }
    const auto vm = find_target(args.target);
    if (!vm)
        return report_error(command, vm.error());
    const auto live = attest_live(*vm, std::chrono::steady_clock::now() + std::chrono::seconds{args.timeout_s},
                                  {.nonce = std::move(nonce), .pcrs = *pcrs, .activate = true});
    if (!live)
        return report_error(command, live.error(), args.target.name());

    const std::string session_file = args.out + ".session.json";
    const Json session{{"schema", session_schema},
                       {"nonce", hex(live->nonce)},
                       {"exporter", hex(live->exporter)},
                       {"key", {{"x", hex(live->key.x)}, {"y", hex(live->key.y)}}},
                       {"vcpu_type", vm->cpu_model.empty() ? Json(nullptr) : Json(vm->cpu_model)}, // behind a relay
                       {"vcpus", vm->vcpus == 0 ? Json(nullptr) : Json(vm->vcpus)},
                       {"manifest", manifest_digest_text},
                       {"pcrs", *pcrs ? Json(pcrs_text(**pcrs)) : Json(nullptr)},
                       {"tpm", live->epoch ? epoch_json(*live->epoch) : Json(nullptr)},
                       {"credential", live->activation ? activation_json(*live->activation) : Json(nullptr)}};
    // the session first: evidence without it cannot be verified, a session without evidence misleads nobody
    if (const auto written = write_file(session_file, as_bytes(session.dump(2) + "\n")); !written)
        return report_error(command, written.error(), session_file);
    if (const auto written = write_file(args.out, live->evidence); !written)
        return report_error(command, written.error(), args.out);

    if (args.json)
        print_json({{"schema", 1},
                    {"name", args.target.name()},
                    {"evidence", args.out},
                    {"session", session_file},
                    {"size", live->evidence.size()},
                    {"sha256", hex(sha256(live->evidence))},
                    {"nonce", hex(live->nonce)},
                    {"quote", live->epoch.has_value()}});
    else
        std::printf("%s\n", args.out.c_str());
    note("evidence taken, not appraised; the session is in " + session_file);
    if (*pcrs && !live->epoch)
        note("no quote in it: the CVM has no TPM that works");
    if (live->activation && !live->activation->answered)
        note("its TPM did not open a credential for the keys of the quote: " + live->activation->found);
    return Exit::ok;
}

} // namespace cvmin
