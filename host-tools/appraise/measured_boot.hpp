// The rows of a verdict about a vTPM's quote and the logs beside it, and about the agent's own log. Judges what the
// evidence holds against the policy; who signed the report is appraise()'s part.
#pragma once

#include "host-tools/appraise/appraise.hpp"

#include <map>

namespace cvmin {

struct VerdictRow {
    CheckId id;
    Outcome outcome;
    std::string found, wanted;
    std::string_view anchor;
};

inline constexpr std::string_view host_vtpm = "host-run vTPM";
inline constexpr std::string_view svsm_vtpm = "SVSM vTPM";

struct VtpmJudged {
    std::vector<VerdictRow> rows; // those that are not in it are not made
    std::string_view anchor;      // who runs the vTPM; empty: no quote was looked at
    // By number, where the quote and all that it stands on passed.
    std::map<unsigned, TpmDigest> pcrs;
};
// `of_svsm`: tpm.svsm passed, so that the EK in the evidence is the SVSM's. Whether the AK is beside it is told by
// tpm.credential. Rows of tpm.* but tpm.svsm, and of ima.*.
VtpmJudged judge_vtpm(const Evidence &evidence, const Claims &claims, const Expectations &want, bool of_svsm);

// claims.runtime_log and runtime_log.*. `quoted`: of judge_vtpm.
std::vector<VerdictRow> judge_runtime_log(const Evidence &evidence, const Claims &claims, const Expectations &want,
                                          const std::map<unsigned, TpmDigest> &quoted);

} // namespace cvmin
