// How commands give out a verdict: a table or JSON on standard output, a page and an attestation result as files.
// Decides nothing.
#pragma once

#include "host-tools/appraise/appraise.hpp"
#include "host-tools/base/explained.hpp"

#include <CLI/CLI.hpp>

namespace cvmin {

struct OutputArgs {
    bool json = false;
    std::optional<std::string> html, ear, ear_key;
    std::string ear_profile = "ietf";
};
void add_output_options(CLI::App &app, OutputArgs &args); // all of them
void add_verdict_files(CLI::App &app, OutputArgs &args);  // without --json, for commands whose output is something else

// Says what is wrong with the arguments, before any work is done.
std::optional<std::string> usage_problem(const OutputArgs &args);

// Reads the key of the attestation result, if one is asked for: before the evidence is taken.
Explained<void> check_output(const OutputArgs &args);

// Writes the files that were asked for. system: a file could not be written; usage: an attestation result without a
// nonce; and the errors of its key.
Explained<void> write_verdict_files(const Appraisal &appraisal, const Expectations &expectations,
                                    const OutputArgs &args);
// The same, then standard output.
Explained<void> give_out(const Appraisal &appraisal, const Expectations &expectations, const OutputArgs &args);

} // namespace cvmin
