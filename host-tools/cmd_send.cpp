// cvmin send: takes evidence and appraises it, or judges the agent's passport, and only then sends a secret, all over
// one connection.
#include "host-tools/cli.hpp"
#include "host-tools/passport.hpp"
#include "host-tools/release.hpp"
#include "host-tools/target_options.hpp"
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
    TargetArgs target;
    std::string secret_name, file;
    JudgeArgs judge;
    PassportArgs passport;
    unsigned timeout_s = default_timeout_s;
    bool allow_debug = false;
    bool json = false;
    OutputArgs output; // its json is not used: the answer is about the secret
};

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
    app.add_option("name", args.target.vm, "name of the CVM");
    app.add_option("--secret-name", args.secret_name, "name in the CVM: 1 to 64 of a-z, 0-9, '.', '_', '-'")
        ->required();
    app.add_option("--file", args.file, "file with the secret, sent byte for byte; - is standard input")->required();
    add_judge_options(app, args.judge);
    add_passport_options(app, args.passport);
    add_target_options(app, args.target);
    app.add_option("--timeout", args.timeout_s, "seconds for the whole exchange")
        ->capture_default_str()
        ->check(CLI::Range(1u, 3600u));
    app.add_flag("--allow-debug", args.allow_debug, "send also to a debug image, whose console is on; for tests");
    add_verdict_files(app, args.output);
    app.add_flag("--json", args.json, "print JSON (schema 1)");
    app.footer(
        "A secret is never an argument: it is read from a file or from standard input.\n"
        "Example:\n"
        "  cvmin send vm1 --secret-name db-key --file key.bin --image out/image.json \\\n"
        "      --policy policies/genoa.json\n"
        "  cvmin send vm1 --secret-name db-key --file key.bin --signer release.pub.pem --minimum-svn 3 \\\n"
        "      --policy policies/genoa.json\n"
        "  cvmin send vm1 --secret-name db-key --file key.bin --reference signed.corim \\\n"
        "      --reference-key publisher.pub.pem --policy policies/genoa.json --html verdict.html\n"
        "  cvmin send vm1 --secret-name db-key --file key.bin --passport --trust-verifier verifier.pub.pem \\\n"
        "      --policy policies/genoa.json\n\n"
        "Exit codes: 0 sent and confirmed, 1 evidence or passport rejected (nothing was sent), 2 usage, 3 bad input,\n"
        "4 system, 5 agent unreachable, refusing or too slow.");
}

std::optional<std::string> usage_problem(const Args &args) {
    if (const auto problem = usage_problem(args.target))
        return problem;
    if (const auto problem = usage_problem(args.passport, args.judge))
        return problem;
    if (args.passport.wanted) {
        if (args.output.html || args.output.ear || args.allow_debug)
            return "--html, --ear and --allow-debug are about evidence, which --passport does not ask for";
        return std::nullopt;
    }
    if (const auto problem = usage_problem(args.judge))
        return problem;
    if (args.judge.signer.given() && args.allow_debug)
        return "--vcpu-type, --vcpus and --allow-debug go with --image or --reference";
    return usage_problem(args.output);
}

struct Entitling {
    Session session;
    Entitled entitled;
    Json said; // members about it, for JSON
};

// The exit code of a failure or rejection that was reported is the error.
std::expected<Entitling, int> by_evidence(const Args &args, const VmInfo &vm, Deadline deadline) {
    auto judged = judge_live(args.judge, vm, deadline);
    if (!judged)
        return std::unexpected(report_error(command, judged.error()));
    const Appraisal &appraisal = judged->appraisal;
    // before the secret goes: whoever wants a record of the verdict wants no secret sent without one
    const auto recorded = write_verdict_files(appraisal, judged->expectations, args.output);
    if (!recorded && appraisal.accepted)
        return std::unexpected(report_error(command, static_cast<Exit>(exit_code(recorded.error().code)),
                                            recorded.error().text + "; nothing was sent"));
    if (!appraisal.accepted) {
        if (!recorded)
            report_error(command, recorded.error());
        return std::unexpected(report_rejection(command, *judged, args.json,
                                                args.target.name() + ": the evidence was rejected; nothing was sent"));
    }
    const Accepted &accepted = *appraisal.accepted;
    return Entitling{.session = std::move(judged->live.session),
                     .entitled = accepted,
                     .said = {{"launch_digest", hex(accepted.measurement())}, {"by_signer", accepted.by_signer()}}};
}

std::expected<Entitling, int> by_passport(const Args &args, const VmInfo &vm, Deadline deadline) {
    auto judged = judge_passport(args.passport, args.judge, nullptr, vm, deadline);
    if (!judged)
        return std::unexpected(report_error(command, judged.error()));
    const ResultAppraisal &appraisal = judged->appraisal;
    if (!appraisal.accepted)
        return std::unexpected(report_rejection(command, *judged, args.json,
                                                args.target.name() + ": the passport was rejected; nothing was sent"));
    const auto &measurement = appraisal.accepted->measurement();
    return Entitling{
        .session = std::move(judged->session),
        .entitled = *appraisal.accepted,
        .said = {{"launch_digest", measurement ? Json(hex(*measurement)) : Json(nullptr)}, {"passport", true}}};
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
    if (!args.allow_debug)
        args.judge.debug_refusal = debug_refusal;
    if (const auto image = check_image(args.judge); !image)
        return report_error(command, image.error());
    const auto vm = find_target(args.target);
    if (!vm)
        return report_error(command, vm.error());
    ::prctl(PR_SET_DUMPABLE, 0); // no core dump with the secret in it
    auto secret = read_secret(args);
    if (!secret)
        return secret.error();
    const std::size_t size = secret->view().size();

    const Deadline deadline = std::chrono::steady_clock::now() + std::chrono::seconds{args.timeout_s};
    auto to = args.passport.wanted ? by_passport(args, *vm, deadline) : by_evidence(args, *vm, deadline);
    if (!to)
        return to.error();
    const auto digest = release_secret(to->session, to->entitled, args.secret_name, std::move(*secret), deadline);
    if (!digest)
        return report_error(command, static_cast<Exit>(exit_code(digest.error().code)),
                            digest.error().text + (digest.error().may_have_been_sent
                                                       ? "; the secret may have arrived in " + args.target.name()
                                                       : "; nothing was sent"));
    if (args.json) {
        Json json{{"schema", 1},
                  {"name", args.target.name()},
                  {"secret", args.secret_name},
                  {"size", size},
                  {"sha256", hex(*digest)},
                  {"confirmed", true},
                  {"emulated", emulated(to->entitled)}};
        json.update(to->said);
        print_json(json);
    } else {
        std::printf("%s: %zu bytes sent to %s, which confirms sha256 %s%s\n", args.secret_name.c_str(), size,
                    args.target.name().c_str(), hex(*digest).c_str(),
                    emulated(to->entitled) ? " (EMULATED platform)" : "");
    }
    return Exit::ok;
}

} // namespace cvmin
