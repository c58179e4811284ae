// cvmin passport: gets an attestation result for a CVM from a verifier, has its agent keep it, and shows what it keeps
// (RFC 9334, 5.1: the passport model).
#include "host-tools/appraise/verdict.hpp"
#include "host-tools/cli.hpp"
#include "host-tools/remote_verdict.hpp"
#include "host-tools/target_options.hpp"

#include <cstdio>

namespace cvmin {

namespace {

constexpr const char *command = "passport";
constexpr unsigned default_timeout_s = 30; // under emulation a handshake may queue behind 63 others

// A passport is renewed when this part of its life is over: what is left is for a verifier that is down.
constexpr int renew_after_thirds = 2;
constexpr std::chrono::seconds shortest_renewal{1};

struct Args {
    TargetArgs target;
    VerifierArgs verifier;
    ResultArgs result;
    TpmArgs tpm;
    std::string policy, file;
    std::optional<std::string> emulated_ark;
    unsigned timeout_s = default_timeout_s;
    bool renew = false, unverified = false, raw = false, json = false;
};

void describe(CLI::App &app, Args &args) { // what all of them have
    app.add_option("name", args.target.vm, "name of the CVM");
    add_target_options(app, args.target);
    add_result_options(app, args.result);
    app.add_option("--policy", args.policy, "the policy (JSON) that the verifier must have appraised by");
    app.add_option("--trust-emulated", args.emulated_ark,
                   "ARK of an emulated AMD-SP to trust (certificate file); for tests");
    app.add_option("--timeout", args.timeout_s,
                   "seconds for what the agent is asked; a verifier has its own 90 for each answer")
        ->capture_default_str()
        ->check(CLI::Range(1u, 3600u));
    app.add_flag("--json", args.json, "print JSON (schema 1)");
}

Deadline deadline_of(const Args &args) {
    return std::chrono::steady_clock::now() + std::chrono::seconds{args.timeout_s};
}

Explained<ResultExpectations> expectations(const Args &args) {
    return read_result_expectations(args.result, args.policy, args.emulated_ark);
}

Explained<Session> open_agent(const Args &args, Deadline deadline) {
    const auto vm = find_target(args.target);
    if (!vm)
        return std::unexpected(vm.error());
    auto session = open_session(*vm, deadline);
    if (!session)
        return explain(session.error(), args.target.name());
    return std::move(*session);
}

// ---- obtain -------------------------------------------------------------------------------------------------------

struct Obtaining { // what stays the same from one renewal to the next
    const Args &args;
    const RemoteQuestion &asked;
    VerifierClient &verifier;
};

// One result, checked and kept by the agent.
Explained<RemoteVerdict> obtain_once(const Obtaining &what) {
    CVMIN_TRY(wanted, expectations(what.args)); // read again: a trusted key may have been exchanged
    CVMIN_TRY(verdict,
              judge_by_verifier(what.verifier, NonceFrom::service, std::move(wanted), what.asked, what.args.timeout_s));
    if (verdict.accepted() && verdict.appraisal.accepted)
        CVMIN_CHECK(put_passport(verdict.live.session, as_bytes(verdict.token), deadline_of(what.args)));
    return verdict;
}

void print_obtained(const Args &args, const RemoteVerdict &verdict) {
    const AttestationResult &result = *verdict.appraisal.result;
    if (args.json) {
        Json json = result_json(verdict.appraisal, verdict.binding, verdict.now);
        json["name"] = args.target.name();
        // with --renew one line for each
        std::printf("%s\n", args.renew ? json.dump().c_str() : json.dump(2).c_str());
    } else {
        std::printf("%s: passport of %s, %s%s\n", args.target.name().c_str(), format_time(result.issued).c_str(),
                    result.expires ? ("until " + format_time(*result.expires)).c_str() : "without an end",
                    verdict.appraisal.emulated ? " (EMULATED platform)" : "");
    }
    std::fflush(stdout);
}

int reject(const Args &args, const RemoteVerdict &verdict) {
    std::fputs(result_table(verdict.appraisal, verdict.binding, verdict.now).c_str(), stderr);
    if (args.json)
        print_json(result_json(verdict.appraisal, verdict.binding, verdict.now));
    return report_error(command, Exit::rejected,
                        args.target.name() + ": the verifier's result was rejected; the agent was given nothing");
}

std::chrono::seconds until_renewal(const AttestationResult &result) {
    const std::time_t lifetime = result.expires.value_or(result.issued) - result.issued;
    return std::max<std::chrono::seconds>(std::chrono::seconds{lifetime * renew_after_thirds / 3}, shortest_renewal);
}

// Until a result is rejected. What passes (nobody answers) is tried again until it does.
int keep_renewed(const Obtaining &what, AttestationResult kept, Pacing &pacing) {
    std::chrono::seconds wait = until_renewal(kept);
    for (unsigned failures = 0;;) {
        pacing.wait(wait);
        const auto verdict = obtain_once(what);
        if (!verdict && exit_code(verdict.error().code) != Exit::peer)
            return report_error(command, verdict.error());
        if (!verdict) {
            wait = std::chrono::ceil<std::chrono::seconds>(backoff(failures++, pacing.random()));
            const std::time_t expires = kept.expires.value_or(kept.issued);
            note(verdict.error().text + "; the passport " +
                 (std::time(nullptr) < expires ? "is good until " : "EXPIRED at ") + format_time(expires) +
                 "; again in " + std::to_string(wait.count()) + " s");
            continue;
        }
        if (!verdict->accepted())
            return reject(what.args, *verdict);
        print_obtained(what.args, *verdict);
        failures = 0;
        kept = *verdict->appraisal.result;
        wait = until_renewal(kept);
    }
}

int obtain(const Args &args) {
    if (!args.verifier.url)
        return report_error(command, Exit::usage, "--verifier URL is required");
    if (const auto wanted = expectations(args); !wanted) // before anybody is asked for anything
        return report_error(command, wanted.error());
    const auto asked = read_question(args.verifier, args.tpm, args.policy, args.target);
    if (!asked)
        return report_error(command, asked.error());
    VerifierAccess access{args.verifier, asked->address};
    const Obtaining what{.args = args, .asked = *asked, .verifier = access.client};
    const auto first = obtain_once(what);
    if (!first)
        return report_error(command, first.error());
    if (!first->accepted())
        return reject(args, *first);
    print_obtained(args, *first);
    if (!args.renew)
        return Exit::ok;
    if (!first->appraisal.result->expires)
        return report_error(command, Exit::usage, "--renew: this verifier's results have no end");
    return keep_renewed(what, *first->appraisal.result, access.pacing);
}

// ---- put, show ----------------------------------------------------------------------------------------------------

struct Kept {
    Session session;
    ResultExpectations wanted;
};

// A connection, and what a passport is held against over it.
Explained<Kept> connect(const Args &args, Deadline deadline) {
    CVMIN_TRY(wanted, expectations(args));
    CVMIN_TRY(session, open_agent(args, deadline));
    wanted.nonce = NonceOfService{};
    wanted.peer_key = session.peer_key();
    return Kept{.session = std::move(session), .wanted = std::move(wanted)};
}

int print_verdict(const Args &args, const ResultAppraisal &appraisal, std::time_t now) {
    if (args.json)
        print_json(result_json(appraisal, {}, now));
    else
        std::fputs(result_table(appraisal, {}, now).c_str(), stdout);
    return appraisal.accepted ? Exit::ok : Exit::rejected;
}

int put(const Args &args) {
    if (args.unverified && args.result.given())
        return report_error(command, Exit::usage, "--unverified checks nothing: leave the rest out");
    auto token = read_file(args.file, max_result_size);
    if (!token)
        return report_error(command, token.error(), args.file);
    while (!token->empty() && token->back() == std::byte{'\n'})
        token->pop_back();
    const Deadline deadline = deadline_of(args);
    std::optional<Session> session;
    if (args.unverified) {
        auto opened = open_agent(args, deadline);
        if (!opened)
            return report_error(command, opened.error());
        session = std::move(*opened);
    } else {
        auto kept = connect(args, deadline);
        if (!kept)
            return report_error(command, kept.error());
        const ResultAppraisal appraisal = appraise_result(*token, kept->wanted);
        if (!appraisal.accepted) {
            std::fputs(result_table(appraisal, {}, kept->wanted.now).c_str(), stderr);
            return report_error(command, Exit::rejected, args.file + ": was rejected; the agent was given nothing");
        }
        session = std::move(kept->session);
    }
    // the agent takes it from those who have looked at what it is; what it says is not needed here
    auto live = attest_live(std::move(*session), deadline);
    if (!live)
        return report_error(command, live.error(), args.target.name());
    if (const auto stored = put_passport(live->session, *token, deadline); !stored)
        return report_error(command, stored.error());
    if (args.json)
        print_json({{"schema", 1},
                    {"name", args.target.name()},
                    {"size", token->size()},
                    {"sha256", hex(sha256(*token))},
                    {"verified", !args.unverified}});
    else
        std::printf("%s keeps %s%s\n", args.target.name().c_str(), args.file.c_str(),
                    args.unverified ? ", NOT VERIFIED" : "");
    return Exit::ok;
}

int show(const Args &args) {
    const Deadline deadline = deadline_of(args);
    if (args.raw) {
        if (args.result.given() || !args.policy.empty() || args.json)
            return report_error(command, Exit::usage, "--raw prints the result as it is kept, and checks nothing");
        auto session = open_agent(args, deadline);
        if (!session)
            return report_error(command, session.error());
        const auto token = get_passport(*session, deadline);
        if (!token)
            return report_error(command, token.error());
        std::fwrite(token->data(), 1, token->size(), stdout);
        std::fputc('\n', stdout);
        return Exit::ok;
    }
    auto kept = connect(args, deadline);
    if (!kept)
        return report_error(command, kept.error());
    const auto token = get_passport(kept->session, deadline);
    if (!token)
        return report_error(command, Failure{token.error().code, args.target.name() + ": " + token.error().text});
    return print_verdict(args, appraise_result(*token, kept->wanted), kept->wanted.now);
}

} // namespace

int cmd_passport(int argc, char **argv) {
    Args args;
    CLI::App app{"A CVM's passport: the attestation result of a verifier, which its agent keeps for relying parties.",
                 "cvmin passport"};
    app.require_subcommand(1);
    CLI::App *get = app.add_subcommand("obtain", "Have a verifier appraise the CVM, check its result, and give it to "
                                                 "the agent to keep.");
    describe(*get, args);
    add_verifier_options(*get, args.verifier);
    add_pcr_option(*get, args.tpm);
    get->add_flag("--renew", args.renew, "go on, with a new one when two thirds of its life are over");
    get->footer("Examples:\n"
                "  cvmin passport obtain vm1 --verifier https://verifier.example --trust-verifier verifier.pub.pem \\\n"
                "      --policy policies/genoa.json\n"
                "and a relying party, which trusts that verifier:\n"
                "  cvmin send vm1 --passport --trust-verifier verifier.pub.pem --policy policies/genoa.json \\\n"
                "      --secret-name db-key --file key.bin\n\n"
                "Exit codes: 0 the agent has it, 1 the result was rejected, 2 usage, 3 bad input, 4 system,\n"
                "5 verifier or agent unreachable, refusing or too slow.");
    CLI::App *give = app.add_subcommand("put", "Give the agent a result that was got otherwise.");
    describe(*give, args);
    give->add_option("--file", args.file, "the result (JWT); - is standard input")->required();
    give->add_flag("--unverified", args.unverified, "whatever is in the file; for tests of those who read it");
    give->footer("Exit codes: 0 the agent has it, 1 the result was rejected, 2 usage, 3 bad input, 4 system,\n"
                 "5 agent unreachable, refusing or too slow.");
    CLI::App *look = app.add_subcommand("show", "Judge the passport as a relying party would, and print every check.");
    describe(*look, args);
    look->add_flag("--raw", args.raw, "print it as it is kept, and check nothing");
    look->footer("Exit codes: 0 accepted, 1 refused, 2 usage, 3 bad input, 4 system, 5 agent unreachable, or it keeps "
                 "none.");
    if (const auto done = parse_options(app, argc, argv))
        return *done;
    if (const auto problem = usage_problem(args.target))
        return report_error(command, Exit::usage, *problem);
    if (get->parsed())
        return obtain(args);
    return give->parsed() ? put(args) : show(args);
}

} // namespace cvmin
