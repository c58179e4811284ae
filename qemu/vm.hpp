// CVMs of this user: names, state directories, who is alive. A VM's directory holds its sockets, logs and vm.json; its
// supervisor holds a lock on it for as long as it lives, so that a directory whose owner died is known for certain.
// Starting a VM is supervisor.hpp's business.
#pragma once

#include "host-tools/base/agent_address.hpp"
#include "host-tools/base/json.hpp"
#include "host-tools/base/os.hpp"
#include "qemu/explained.hpp"
#include "qemu/machine.hpp"

#include <optional>
#include <string>
#include <vector>

namespace cvmin {

struct VmInfo { // vm.json in the VM's directory
    std::string name;
    std::filesystem::path directory;
    Platform platform = Platform::emulated;
    std::filesystem::path image_json; // absolute
    std::string cpu_model;            // QEMU's name
    unsigned vcpus = 1;
    AgentAddress address;
    bool running = false; // the agent has answered, and the supervisor lives
    Json details;         // the whole of vm.json, for describe
};

inline constexpr int vm_json_schema = 1;
inline constexpr std::size_t max_vm_name_size = 32;
// [a-z0-9] first, then [a-z0-9._-], at most max_vm_name_size characters: safe as a file name and in QEMU's options.
bool valid_vm_name(std::string_view name);

// runtime_directory()/vms
std::filesystem::path vms_directory();

// The same, after a look at both levels: without one, anybody could have put there what we then remove, or signal. Who
// uses the directory gets it from here. Nothing: there is none, hence no CVM. system: a level is not a directory of
// ours that nobody else may write to, and was refused; the text names it and says why.
Explained<std::optional<std::filesystem::path>> open_vms_directory();

// missing: no CVM of that name, or one whose supervisor died (it is cleaned up); system: see open_vms_directory. The
// text begins with the name.
Explained<VmInfo> find_vm(std::string_view name);
// Sorted by name, also those that are starting. What dead supervisors left behind is removed. system.
Explained<std::vector<VmInfo>> list_vms();
// malformed, missing, unsupported (schema).
Result<VmInfo> parse_vm_json(ByteView text);

// ---- a VM's directory
// ------------------------------------------------------------------------------------------------

namespace vm_file {
inline constexpr const char *lock = "lock"; // locked by the supervisor; holds its pid and start time
inline constexpr const char *json = "vm.json";
inline constexpr const char *console = "console.log"; // the newest part; the part before it in console.log.1
inline constexpr const char *console_before = "console.log.1";
inline constexpr const char *qemu_log = "qemu.log";
inline constexpr const char *vsock_log = "vsock.log";
inline constexpr const char *vtpm_log = "vtpm.log";
inline constexpr const char *relay_log = "relay.log";
inline constexpr const char *hash_page = "hash-page.bin";
inline constexpr const char *qmp_socket = "qmp";
inline constexpr const char *vtpm_socket = "vtpm-ctl";   // swtpm <-> QEMU
inline constexpr const char *vsock_device = "vsock-dev"; // vhost-device-vsock <-> QEMU
inline constexpr const char *vsock_socket = "vsock";     // host -> guest; the guest's connections: vsock_<port>
} // namespace vm_file

// Linux: sun_path has 108 bytes, the last of which is the NUL.
inline constexpr std::size_t max_socket_path = 107;
// out_of_range: a socket in `directory` would have too long a path; the text names it and both lengths.
Explained<void> check_socket_paths(const std::filesystem::path &directory);

// A directory that is ours: made and locked. The lock is held by every process that has the descriptor, so a forked
// supervisor keeps it when its parent lets go.
class VmDirectory {
  public:
    // An empty name takes the first free of vm1, vm2, ... A directory that a dead supervisor left is removed first.
    // busy: a CVM of this name is there; usage: not a valid name; out_of_range: see check_socket_paths; system.
    static Explained<VmDirectory> create(std::string_view name);
    VmDirectory(VmDirectory &&) noexcept = default;
    VmDirectory &operator=(VmDirectory &&) noexcept = default;

    const std::string &name() const { return name_; }
    const std::filesystem::path &path() const { return path_; }
    std::filesystem::path file(const char *file) const { return path_ / file; }
    int lock_fd() const { return lock_.get(); }
    Result<void> write_owner(); // our pid and start time into the lock file
    void remove();              // with all that is in it
    void let_go() { lock_.reset(); }

  private:
    VmDirectory() = default;
    std::string name_;
    std::filesystem::path path_;
    UniqueFd lock_;
};

// What stop needs: the supervisor as a pidfd, so that a reused pid is never hit.
struct Supervisor {
    pid_t pid = -1;
    UniqueFd pidfd;
};
// missing: it is not there or does not hold the lock (any more).
Result<Supervisor> find_supervisor(const std::filesystem::path &directory);
// Removes the directory of a VM whose supervisor is dead. busy: it lives; refused: there is no lock file of ours in it,
// so it is not known to be a VM's; missing.
Result<void> remove_dead_vm(const std::filesystem::path &directory);
// A process by pid and start time (clock ticks after boot, /proc/PID/stat field 22); missing when it is gone.
Result<UniqueFd> open_process(pid_t pid, std::uint64_t start_time);
Result<std::uint64_t> process_start_time(pid_t pid);

} // namespace cvmin
