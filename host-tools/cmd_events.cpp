// cvmin events: what the agent of a running CVM recorded, out of evidence that was appraised; and what it goes on to
// record, over the same connection.
#include "common/runtime_log.hpp"
#include "host-tools/cli.hpp"
#include "host-tools/judge_live.hpp"
#include "host-tools/present/runtime_log.hpp"
#include "host-tools/target_options.hpp"

#include <cstdio>
#include <thread>

namespace cvmin {

namespace {

constexpr const char *command = "events";
constexpr unsigned default_timeout_s = 30;         // under emulation a handshake may queue behind 63 others
constexpr std::chrono::seconds follow_interval{1}; // well within the agent's idle limit of 60 s

struct Args {
    TargetArgs target;
    JudgeArgs judge;
    unsigned timeout_s = default_timeout_s;
    std::uint64_t from = 0;
    bool unverified = false, follow = false, json = false;
};

struct Attested {
    LiveAttestation live;
    std::optional<bool> emulated; // nothing: not verified
};

Deadline deadline_of(const Args &args) {
    return std::chrono::steady_clock::now() + std::chrono::seconds{args.timeout_s};
}

// The exit code of a failure that was reported is the error.
std::expected<Attested, int> attest(const Args &args, const VmInfo &vm) {
    if (args.unverified) {
        auto live = attest_live(vm, deadline_of(args));
        if (!live)
            return std::unexpected(report_error(command, live.error(), args.target.name()));
        note(args.target.name() + ": NOT VERIFIED: whoever answered is believed");
        return Attested{.live = std::move(*live), .emulated = std::nullopt};
    }
    auto judged = judge_live(args.judge, vm, deadline_of(args));
    if (!judged)
        return std::unexpected(report_error(command, judged.error()));
    if (!judged->appraisal.accepted)
        return std::unexpected(
            report_rejection(command, *judged, args.json, args.target.name() + ": the evidence was rejected"));
    return Attested{.live = std::move(judged->live), .emulated = judged->appraisal.accepted->emulated()};
}

// Of the evidence: it replays to the head that the claims name. Whether the policy wants that or not, nothing else is
// printed here.
Explained<RuntimeLog> log_of(ByteView evidence_bytes) {
    const auto evidence = parse_evidence(evidence_bytes);
    if (!evidence)
        return explain(evidence.error(), "the agent's answer");
    const auto claims = parse_claims(evidence->claims);
    if (!claims)
        return explain(claims.error(), "the agent's claims");
    if (evidence->runtime_log.empty() || !claims->runtime_log)
        return explain(Errc::missing, "the agent keeps no runtime log");
    auto log = parse_runtime_log(evidence->runtime_log);
    if (!log)
        return explain(log.error(), "the agent's log");
    if (log->head != *claims->runtime_log)
        return explain(Errc::mismatch, "the agent's log ends in " + hex(log->head) + ", and its claims say " +
                                           hex(*claims->runtime_log));
    return *log;
}

void print_record(const RuntimeRecord &record, bool json) {
    std::fputs((json ? runtime_record_json(record).dump() + '\n' : runtime_record_line(record)).c_str(), stdout);
}

void print_whole(const Args &args, const Attested &attested, RuntimeLog log) {
    std::erase_if(log.records, [&](const RuntimeRecord &record) { return record.number < args.from; });
    if (!args.json) {
        std::fputs(runtime_log_table(log).c_str(), stdout);
        return;
    }
    Json json = runtime_log_json(log);
    json["name"] = args.target.name();
    json["verified"] = attested.emulated.has_value();
    json["emulated"] = attested.emulated ? Json(*attested.emulated) : Json(nullptr);
    print_json(json);
}

// Only comes back when there is no more to come.
int follow(const Args &args, Session &session, RuntimeLog log) {
    std::size_t printed = 0;
    for (;;) {
        for (; printed < log.records.size(); ++printed)
            if (log.records[printed].number >= args.from)
                print_record(log.records[printed], args.json);
        if (std::fflush(stdout) != 0)
            return Exit::system_failure; // main says so
        std::this_thread::sleep_for(follow_interval);
        const auto answer = session.request(request::Events{log.records.size()}, deadline_of(args));
        if (!answer)
            return report_error(command, answer.error(), args.target.name());
        const auto *chunk = std::get_if<response::EventsChunk>(&*answer);
        if (chunk == nullptr)
            return report_error(command, Exit::peer, args.target.name() + ": the agent gives no events");
        if (const auto added = append_records(log, chunk->records); !added)
            return report_error(command, added.error(), args.target.name() + ": what followed in the log");
        if (chunk->total != log.records.size())
            return report_error(command, Exit::bad_input,
                                args.target.name() + ": records are missing at the end of the log");
    }
}

} // namespace

int cmd_events(int argc, char **argv) {
    Args args;
    CLI::App app{"Print what the agent of a CVM recorded: sessions, secrets, what was refused. It is attested first.",
                 "cvmin events"};
    app.add_option("name", args.target.vm, "name of the CVM");
    app.add_flag("--follow", args.follow, "go on with what is recorded from now on, until the connection ends");
    app.add_option("--from", args.from, "print records from this number on");
    add_judge_options(app, args.judge);
    app.add_flag("--unverified", args.unverified, "appraise nothing and believe whoever answers; for tests");
    add_target_options(app, args.target);
    app.add_option("--timeout", args.timeout_s, "seconds for the evidence, and for each further answer")
        ->capture_default_str()
        ->check(CLI::Range(1u, 3600u));
    app.add_flag("--json", args.json, "print JSON (schema 1); with --follow one line for each record");
    app.footer("Examples:\n"
               "  cvmin events vm1 --image out/image.json --policy policies/genoa.json\n"
               "  cvmin events vm1 --image out/image.json --policy policies/genoa.json --follow --json\n\n"
               "Exit codes: 0 printed, 1 evidence rejected, 2 usage, 3 bad input, 4 system, 5 agent unreachable,\n"
               "refusing, too slow, or gone while it was followed.");
    if (const auto done = parse_options(app, argc, argv))
        return *done;
    if (const auto problem = usage_problem(args.target))
        return report_error(command, Exit::usage, *problem);
    if (args.unverified && args.judge.given())
        return report_error(command, Exit::usage, "--unverified goes without --image, --signer and --policy");
    if (!args.unverified)
        if (const auto problem = usage_problem(args.judge))
            return report_error(command, Exit::usage, *problem);

    const auto vm = find_target(args.target);
    if (!vm)
        return report_error(command, vm.error());
    auto attested = attest(args, *vm);
    if (!attested)
        return attested.error();
    auto log = log_of(attested->live.evidence);
    if (!log)
        return report_error(command, log.error());
    if (args.follow)
        return follow(args, attested->live.session, std::move(*log));
    print_whole(args, *attested, std::move(*log));
    return Exit::ok;
}

} // namespace cvmin
