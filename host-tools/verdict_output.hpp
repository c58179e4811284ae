// How commands give out a verdict: a table or JSON on standard output. Decides nothing.
#pragma once

#include "host-tools/appraise/appraise.hpp"
#include "host-tools/base/explained.hpp"

#include <CLI/CLI.hpp>

namespace cvmin {

struct OutputArgs {
    bool json = false;
};
void add_output_options(CLI::App &app, OutputArgs &args);

// Writes the files that were asked for, then standard output. system: a file could not be written.
Explained<void> give_out(const Appraisal &appraisal, const Expectations &expectations, const OutputArgs &args);

} // namespace cvmin
