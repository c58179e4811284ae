// cvmin stop: ends a CVM by way of its supervisor (which asks QEMU, then insists) and sees to it that nothing is left.
#include "host-tools/cli.hpp"
#include "qemu/supervisor.hpp"
#include "qemu/vm.hpp"

#include <csignal>
#include <cstdio>
#include <thread>

#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace cvmin {

namespace {

using std::chrono::milliseconds;

constexpr milliseconds kill_limit{5'000};

void signal_process(const UniqueFd &process, int number) {
    (void)::syscall(SYS_pidfd_send_signal, process.get(), number, nullptr, 0);
}

bool ends_within(const UniqueFd &process, milliseconds limit) {
    const auto deadline = std::chrono::steady_clock::now() + limit;
    for (;;) {
        const auto left = std::chrono::ceil<milliseconds>(deadline - std::chrono::steady_clock::now());
        pollfd waiting{.fd = process.get(), .events = POLLIN, .revents = 0};
        if (::poll(&waiting, 1, static_cast<int>(std::max<long long>(left.count(), 0))) > 0)
            return true;
        if (left.count() <= 0)
            return false;
    }
}

// The processes that vm.json names, as far as they live: to be sure that they end when the supervisor had to be killed.
std::vector<UniqueFd> children_of(const Json &details) {
    std::vector<UniqueFd> children;
    for (const char *role : {"qemu", "vsock_device", "vtpm"}) {
        const Json child = details.value(role, Json::object());
        const auto pid = json_unsigned(child, "pid", role);
        const auto start_time = json_unsigned(child, "start_time", role);
        if (pid && start_time && *pid > 0)
            if (auto process = open_process(static_cast<pid_t>(*pid), *start_time))
                children.push_back(std::move(*process));
    }
    return children;
}

Explained<void> stop_vm(const std::string &vm_name) {
    const auto vms = open_vms_directory();
    if (!vms)
        return explain(vms.error().code, vm_name + ": " + vms.error().text);
    std::error_code error;
    if (!*vms || !valid_vm_name(vm_name) || !std::filesystem::exists(**vms / vm_name, error))
        return explain(Error{Errc::missing, "CVM of this name"}, vm_name);
    const std::filesystem::path directory = **vms / vm_name;
    const auto text = read_file(directory / vm_file::json, 1u << 20);
    const auto vm = text ? parse_vm_json(*text) : Result<VmInfo>{std::unexpected(text.error())};
    std::vector<UniqueFd> children = vm ? children_of(vm->details) : std::vector<UniqueFd>{};

    if (const auto supervisor = find_supervisor(directory)) {
        signal_process(supervisor->pidfd, SIGTERM);
        if (!ends_within(supervisor->pidfd, supervisor_limit::patience)) {
            signal_process(supervisor->pidfd, SIGKILL);
            if (!ends_within(supervisor->pidfd, kill_limit))
                return explain(Error{Errc::timed_out, "supervisor"}, vm_name);
        }
    }
    // they die with their supervisor; whoever does not is helped along
    for (const UniqueFd &child : children)
        if (!ends_within(child, milliseconds{500})) {
            signal_process(child, SIGKILL);
            if (!ends_within(child, kill_limit))
                return explain(Error{Errc::timed_out, "QEMU"}, vm_name);
        }
    // after an orderly end there is nothing to remove any more
    const auto removed = remove_dead_vm(directory);
    if (!removed && removed.error().code == Errc::refused)
        return explain(Errc::system, directory.native() + " holds no lock file of a CVM: it is not removed");
    if (!removed && removed.error().code != Errc::missing)
        return explain(removed.error(), vm_name);
    return {};
}

} // namespace

int cmd_stop(int argc, char **argv) {
    std::string vm_name;
    bool all = false, as_json = false;
    CLI::App app{"Stop a CVM and remove its state.", "cvmin stop"};
    auto *name_option = app.add_option("name", vm_name, "name of the CVM");
    app.add_flag("--all", all, "stop every CVM of this user")->excludes(name_option);
    app.add_flag("--json", as_json, "print JSON: {schema, stopped}");
    app.footer("Example: cvmin stop vm1");
    if (const auto done = parse_options(app, argc, argv))
        return *done;
    if (!all && vm_name.empty())
        return report_error("stop", Exit::usage, "the name of a CVM, or --all, is wanted");

    std::vector<std::string> names;
    if (all) {
        const auto vms = list_vms();
        if (!vms)
            return report_error("stop", vms.error());
        for (const VmInfo &vm : *vms)
            names.push_back(vm.name);
    } else {
        names.push_back(vm_name);
    }
    int exit = Exit::ok;
    Json stopped = Json::array();
    for (const std::string &each : names) {
        if (const auto result = stop_vm(each); !result) {
            // with --all, one that ended by itself meanwhile is as good as stopped
            if (!all || result.error().code != Errc::missing)
                exit = report_error("stop", result.error());
            continue;
        }
        stopped.push_back(each);
        if (!as_json)
            std::printf("%s\n", each.c_str());
    }
    if (as_json)
        print_json({{"schema", 1}, {"stopped", stopped}});
    return exit;
}

} // namespace cvmin
