// What the agent's own log shows. Apart from measured_boot.cpp, because firmware logs have events of the same name.
#include "host-tools/appraise/measured_boot.hpp"

#include "common/runtime_log.hpp"

#include <algorithm>

namespace cvmin {

namespace {

constexpr std::string_view agent = "agent"; // measured at launch, and REPORT_DATA has the head of its log
constexpr std::size_t max_named = 3;

// PCR 15 has what the log says, where the agent wrote both. nullopt: it did, or it did not and says so.
std::optional<std::string> mirror_problem(const RuntimeLog &log, const std::map<unsigned, TpmDigest> &quoted) {
    const auto pcr = quoted.find(runtime_log_pcr);
    const auto *boot = log.records.empty() ? nullptr : std::get_if<event::Boot>(&log.records.front().event);
    const bool lost = std::ranges::any_of(
        log.records, [](const RuntimeRecord &record) { return std::holds_alternative<event::TpmLost>(record.event); });
    if (pcr == quoted.end() || boot == nullptr || boot->tpm != PartState::ready || lost)
        return std::nullopt;
    if (equal(pcr->second.view(), log.pcr256) || equal(pcr->second.view(), log.head))
        return std::nullopt;
    return "the quoted PCR 15 is " + hex(pcr->second.view());
}

std::vector<std::string> refused_events(const RuntimeLog &log, const std::vector<std::string> &refused) {
    std::vector<std::string> out;
    for (const RuntimeRecord &record : log.records) {
        std::vector<std::string_view> names{kind_name(record.event)};
        if (const auto *boot = std::get_if<event::Boot>(&record.event)) {
            if (boot->debug_image)
                names.emplace_back("debug-image");
            if (boot->tpm != PartState::ready)
                names.emplace_back("no-tpm");
            if (boot->ima != PartState::ready)
                names.emplace_back("no-ima");
        }
        for (const std::string_view name : names)
            if (std::ranges::contains(refused, name))
                out.push_back(std::string{name} + " (record " + std::to_string(record.number) + ")");
    }
    return out;
}

} // namespace

bool valid_runtime_refusal(std::string_view name) {
    static const Event kinds[] = {
        event::SessionOpened{}, event::Manifest{},   event::SecretReceived{},    event::Start{},
        event::Result{},        event::Violation{},  event::LogFull{},           event::SessionsDropped{},
        event::Stop{},          event::TpmLost{},    event::ViolationsDropped{}, event::InputReceived{},
        event::RunFailed{},     event::ResultTaken{}};
    return name == "debug-image" || name == "no-tpm" || name == "no-ima" ||
           std::ranges::any_of(kinds, [name](const Event &kind) { return kind_name(kind) == name; });
}

std::vector<VerdictRow> judge_runtime_log(const Evidence &evidence, const Claims &claims, const Expectations &want,
                                          const std::map<unsigned, TpmDigest> &quoted) {
    std::vector<VerdictRow> rows;
    const auto judge = [&rows](CheckId id, bool holds, std::string found, std::string wanted) {
        rows.push_back({id, holds ? Outcome::passed : Outcome::failed, std::move(found), std::move(wanted), agent});
    };
    const auto skip = [&rows](CheckId id, std::string found) {
        rows.push_back({id, Outcome::skipped, std::move(found), "skip", "nothing"});
    };
    const auto &refused = want.policy.runtime_log;
    const std::string head = claims.runtime_log ? hex(*claims.runtime_log) : "null";
    if (!refused) {
        skip(CheckId::claims_runtime_log, head);
        const std::string found = evidence.runtime_log.empty()
                                      ? "none"
                                      : std::to_string(evidence.runtime_log.size()) + " bytes, not looked at";
        skip(CheckId::runtime_log_replay, found);
        skip(CheckId::runtime_log_events, found);
        return rows;
    }
    // an agent that keeps no log, or says so
    judge(CheckId::claims_runtime_log, claims.runtime_log.has_value(), head, "the head of the agent's log");
    if (!claims.runtime_log)
        return rows;

    const auto log = parse_runtime_log(evidence.runtime_log);
    if (!log) {
        judge(CheckId::runtime_log_replay, false,
              evidence.runtime_log.empty() ? "no runtime log" : to_string(log.error()), "a log with head " + head);
        return rows;
    }
    // events that were taken out, changed or cut off on the way
    const bool whole = equal(log->head, *claims.runtime_log);
    const auto mirror = mirror_problem(*log, quoted);
    judge(CheckId::runtime_log_replay, whole && !mirror,
          std::to_string(log->records.size()) + " records replay to " + hex(log->head) + (mirror ? "; " + *mirror : ""),
          "head " + head + (quoted.contains(runtime_log_pcr) ? ", and PCR 15 that mirrors it" : ""));
    if (!whole)
        return rows;

    // a guest in which something happened that the policy does not want, before we came or since
    const std::vector<std::string> seen = refused_events(*log, *refused);
    std::string found;
    for (std::size_t i = 0; i < std::min(seen.size(), max_named); ++i)
        found += (i == 0 ? "" : ", ") + seen[i];
    if (seen.size() > max_named)
        found += " and " + std::to_string(seen.size() - max_named) + " more";
    // a log that was kept aside: the agent records our own question before it answers
    const Sha256Digest ours = sha256(claims.nonce);
    const bool asked = std::ranges::any_of(log->records, [&ours](const RuntimeRecord &record) {
        const auto *session = std::get_if<event::SessionOpened>(&record.event);
        return (session != nullptr && session->nonce == ours) ||
               std::holds_alternative<event::SessionsDropped>(record.event);
    });
    if (!asked)
        found += (found.empty() ? "" : ", ") + std::string{"no record of this session"};
    if (found.empty())
        found = std::to_string(log->records.size()) + " records, none of a refused kind";
    std::string wanted = "this session, and none of:";
    for (const std::string &name : *refused)
        wanted += " " + name;
    judge(CheckId::runtime_log_events, seen.empty() && asked, std::move(found),
          refused->empty() ? "this session" : wanted);
    return rows;
}

} // namespace cvmin
