// Which CVM a command talks to: one of this user's by name, or one behind a relay on another host.
#pragma once

#include "qemu/vm.hpp"

#include <CLI/CLI.hpp>

#include <optional>
#include <string>

namespace cvmin {

struct TargetArgs {
    std::string vm;
    std::optional<std::string> connect, vsock_socket;
    bool given() const { return !vm.empty() || connect; }
    std::string name() const { return connect ? *connect : vm; } // for people
};
// --connect and --vsock-socket; the name is the command's own option.
void add_target_options(CLI::App &app, TargetArgs &args);
// Says what is wrong with the arguments: not exactly one of name and --connect, or --vsock-socket without a name.
std::optional<std::string> usage_problem(const TargetArgs &args);

// Of a CVM behind a relay only name and address are known: its cpu_model is empty, its vcpus 0.
// usage: the endpoint; the errors of find_vm.
Explained<VmInfo> find_target(const TargetArgs &args);

inline constexpr const char *launch_unknown =
    "--image needs --vcpus and --vcpu-type: each vCPU is part of the launch digest, and how a CVM behind a relay was "
    "launched is not known here";

} // namespace cvmin
