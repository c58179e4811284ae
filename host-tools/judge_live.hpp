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
    std::optional<std::string> emulated_ark, vcpu_type, reference, reference_key, release, publisher, manifest;
    std::optional<unsigned> vcpus;
    SignerArgs signer;
    TpmArgs tpm;
    EndorsementArgs endorsements;
    // Not an option: what is said of a debug image, which then is refused; empty: it is taken like another. A debug
    // image's launch digest is as genuine as another's: that its console is on is told by image.json or by the
    // publisher of a CoRIM. (Of an image that only its signer knows, nothing is known here: sign keeps away from debug
    // images.)
    std::string debug_refusal;
    bool given() const { return !image.empty() || !policy.empty() || signer.given() || reference || release; }
};
void add_judge_options(CLI::App &app, JudgeArgs &args);
// Says what is wrong with the arguments, before any work is done.
std::optional<std::string> usage_problem(const JudgeArgs &args);

// Before anything is looked at that may take time, or need a CVM: the image, if it is one. usage: a debug image that is
// not taken; the errors of load_image_manifest.
Explained<void> check_image(const JudgeArgs &args);

struct Judgement {
    LiveAttestation live; // its session is open
    Expectations expectations;
    Appraisal appraisal;
};
// Reads the references, and only then asks the agent. The errors of reading them, and of attest_live().
Explained<Judgement> judge_live(const JudgeArgs &args, const VmInfo &vm, Deadline deadline);

// The verdict on standard error, with `json` on standard output too, and the error line with `text`. Exit::rejected.
int report_rejection(std::string_view command, const Judgement &judgement, bool json, std::string_view text);

// The same for a party of the computation that --manifest names, over a connection by its key. `offered` (encoded) is
// sent to an agent that has none yet and about which nothing else is wrong; then it is attested and judged again.
// refused: the agent does not take the manifest.
Explained<Judgement> judge_live_as(P384PrivateKey &party, ByteView offered, const JudgeArgs &args, const VmInfo &vm,
                                   Deadline deadline);

struct StoredJudgement {
    Expectations expectations;
    Appraisal appraisal;
};
// Evidence that answers `nonce` and is about no connection: a receipt's. Of --image --vcpu-type and --vcpus are needed.
Explained<StoredJudgement> judge_receipt(const JudgeArgs &args, ByteView evidence, Bytes nonce);

} // namespace cvmin
