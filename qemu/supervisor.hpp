// The supervisor: one process per VM that starts it, is its emulated AMD-SP, keeps its logs within bounds, and removes
// everything when the VM ends. It outlives the shell that asked for it; its children do not outlive it.
//
// boot talks to it over a socket pair, one JSON object per packet:
//   supervisor -> boot  {"stage": TEXT, "ms": N}                     a step of the launch is done
//                       {"doing": TEXT}                                  something takes long; for people
//                       {"failed": CODE, "text": TEXT}               it gave up, or QEMU ended; the VM is being removed
//                       (with "kvm_failed": true when KVM could not go on with the guest)
//   boot -> supervisor  {"agent": {...} or null, "agent_answered": N} the agent has answered: the VM stays
// When boot's end closes before that (Ctrl-C, a deadline), the VM is removed.
#pragma once

#include "qemu/boot.hpp"
#include "qemu/vm.hpp"

#include <chrono>

namespace cvmin {

namespace launch_stage {
inline constexpr std::string_view vtpm_ready = "vtpm_ready"; // swtpm is manufactured and answers
inline constexpr std::string_view qemu_ready = "qemu_ready"; // QEMU answers QMP, the guest is paused
inline constexpr std::string_view measured = "measured";     // guest memory read, launch digest complete
inline constexpr std::string_view started = "started";       // the guest runs
} // namespace launch_stage

namespace supervisor_limit {
inline constexpr std::chrono::seconds command{10}; // for one QMP command; the longest copies the firmware, some ms
inline constexpr std::chrono::seconds closing{1};  // for a QEMU that closed its control connection to end
inline constexpr std::chrono::seconds quit{3};     // for QEMU to take the command to end, and again for it to end
inline constexpr std::chrono::seconds term{2};     // for QEMU, vsock device and swtpm each to end after SIGTERM
inline constexpr std::chrono::seconds setup{2};    // for swtpm_setup to end by itself, when it is not wanted any more
// From being told to stop until everything is removed, at the worst; whoever waits for a supervisor waits for longer.
inline constexpr std::chrono::seconds worst_case = command + closing + 2 * quit + 3 * term + setup;
inline constexpr std::chrono::seconds patience = worst_case + std::chrono::seconds{5};
} // namespace supervisor_limit

struct SupervisorHandle {
    pid_t pid = -1;
    UniqueFd channel;
};
// Forks. The directory's lock goes to the supervisor; the caller lets go of its own. `began`: when boot was asked for.
// `listener` (-1: none) is a listening TCP socket that is relayed to the agent for as long as the VM lives.
Explained<SupervisorHandle> start_supervisor(const BootPlan &plan, VmDirectory &directory,
                                             std::chrono::steady_clock::time_point began, int listener);

// The last lines of a log, printable, without QEMU's warnings about CPU features; empty when there is nothing.
std::string log_tail(const std::filesystem::path &file, std::size_t lines);

} // namespace cvmin
