#include "host-tools/verdict_output.hpp"

#include "host-tools/appraise/verdict.hpp"
#include "host-tools/cli.hpp"

#include <cstdio>

namespace cvmin {

void add_output_options(CLI::App &app, OutputArgs &args) {
    app.add_flag("--json", args.json, "print the verdict as JSON (schema 1)");
}

Explained<void> give_out(const Appraisal &appraisal, const Expectations &expectations, const OutputArgs &args) {
    if (args.json)
        print_json(verdict_json(appraisal, expectations));
    else
        std::fputs(verdict_table(appraisal, expectations).c_str(), stdout);
    return {};
}

} // namespace cvmin
