// cvmin status: where a computation stands, as its agent tells a party.
#include "host-tools/cli.hpp"
#include "host-tools/party.hpp"

#include <cstdio>
#include <thread>

namespace cvmin {

namespace {

constexpr const char *command = "status";
constexpr std::chrono::seconds follow_interval{1}; // well within the agent's idle limit of 60 s

bool final_state(RunState state) {
    return state == RunState::done || state == RunState::failed || state == RunState::stopped;
}

} // namespace

int cmd_status(int argc, char **argv) {
    PartyArgs args;
    bool follow = false;
    CLI::App app{"Show where a computation stands: what has been brought, whether it runs, how it ended. The CVM is "
                 "attested and verified first.",
                 "cvmin status"};
    add_party_options(app, args);
    app.add_flag("--follow", follow, "go on, a line or more at each change, until the computation is done or failed");
    app.footer(
        "Example:\n"
        "  cvmin status vm1 --manifest sum.json --party-key alice.pem --image out/image.json --policy P --follow\n\n"
        "Exit codes: 0 printed, 1 evidence rejected, 2 usage, 3 bad input, 4 system, 5 agent unreachable or\n"
        "refusing. With --json and --follow one line for each change.");
    if (const auto done = parse_options(app, argc, argv))
        return *done;
    if (const auto problem = usage_problem(args))
        return report_error(command, Exit::usage, *problem);
    PartyFiles files;
    if (const auto read = read_party_files(files, args); !read)
        return report_error(command, read.error());
    auto joined = join(command, args, files);
    if (!joined)
        return joined.error();
    std::optional<response::Status> before;
    for (;;) {
        auto status = ask<response::Status>(joined->session, request::Status{}, args.timeout_s);
        if (!status)
            return report_error(command, status.error());
        if (before != *status) {
            if (args.json && follow)
                std::printf("%s\n", status_json(*status).dump().c_str());
            else if (args.json)
                print_json(status_json(*status));
            else
                std::fputs(status_text(*status).c_str(), stdout);
            if (std::fflush(stdout) != 0)
                return Exit::system_failure; // main says so
        }
        if (!follow || final_state(status->state))
            return Exit::ok;
        before = std::move(*status);
        std::this_thread::sleep_for(follow_interval);
    }
}

} // namespace cvmin
