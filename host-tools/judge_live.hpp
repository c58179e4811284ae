// Evidence of a running agent over a connection of our own, appraised by what a command line names: for commands that
// do something with an agent only after that. Judges nothing itself: appraise() does.
#pragma once

#include "host-tools/attest_live.hpp"
#include "host-tools/base/explained.hpp"
#include "host-tools/endorsements.hpp"
#include "host-tools/signer_options.hpp"
#include "host-tools/tpm_options.hpp"

#include <CLI/CLI.hpp>

namespace cvmin {

struct JudgeArgs {
    std::string image, policy;
    std::optional<std::string> emulated_ark, vcpu_type;
    std::optional<unsigned> vcpus;
    SignerArgs signer;
    TpmArgs tpm;
    EndorsementArgs endorsements;
    bool given() const { return !image.empty() || !policy.empty() || signer.given(); }
};
void add_judge_options(CLI::App &app, JudgeArgs &args);
// Says what is wrong with the arguments, before any work is done.
std::optional<std::string> usage_problem(const JudgeArgs &args);

struct Judgement {
    LiveAttestation live; // its session is open
    Expectations expectations;
    Appraisal appraisal;
};
// Reads the references, and only then asks the agent. The errors of reading them, and of attest_live().
Explained<Judgement> judge_live(const JudgeArgs &args, const VmInfo &vm, Deadline deadline);

} // namespace cvmin
