// Acting on a verifier's word: options that say whose results count, and a connection to an agent with the result that
// it keeps (its passport). Judges nothing itself: appraise_result() does.
#pragma once

#include "host-tools/base/explained.hpp"
#include "host-tools/judge_live.hpp"
#include "host-tools/result/appraise_result.hpp"

#include <CLI/CLI.hpp>

namespace cvmin {

struct ResultArgs {                     // what a result must be
    std::vector<std::string> verifiers; // files with public keys
    std::vector<std::string> policy_ids;
    std::vector<std::string> measurements;
    std::optional<unsigned> max_age_s;
    bool given() const {
        return !verifiers.empty() || !policy_ids.empty() || !measurements.empty() || max_age_s.has_value();
    }
};
void add_result_options(CLI::App &app, ResultArgs &args);

// What these, a policy file (empty: none) and an emulated ARK say. What depends on the connection is still to be filled
// in. usage; the errors of reading the files.
Explained<ResultExpectations> read_result_expectations(const ResultArgs &args, const std::string &policy,
                                                       const std::optional<std::string> &emulated_ark);

struct PassportArgs {
    bool wanted = false; // --passport
    ResultArgs result;
};
void add_passport_options(CLI::App &app, PassportArgs &args);
// Says what is wrong with the arguments; of `judge` policy, emulated ARK and manifest count with a passport, and no
// other.
std::optional<std::string> usage_problem(const PassportArgs &args, const JudgeArgs &judge);

// What an agent keeps. refused: it keeps none, or an error of its own; malformed; the errors of Session::request.
Explained<Bytes> get_passport(Session &session, Deadline deadline);
// The agent keeps `result` from now on. mismatch: it keeps something else.
Explained<void> put_passport(Session &session, ByteView result, Deadline deadline);

struct PassportJudgement {
    Session session; // open
    std::time_t now;
    ResultAppraisal appraisal;
};
// Connects, asks for the passport and judges it by what the arguments say and by the key of the connection.
// `party`: whose connection it is. The errors of reading files, of open_session() and get_passport().
Explained<PassportJudgement> judge_passport(const PassportArgs &args, const JudgeArgs &judge, P384PrivateKey *party,
                                            const VmInfo &vm, Deadline deadline);

// The verdict on standard error, with `json` on standard output too, and the error line with `text`. Exit::rejected.
int report_rejection(std::string_view command, const PassportJudgement &judgement, bool json, std::string_view text);

} // namespace cvmin
