#include "agent-min/sandbox.hpp"

#include "agent-min/file.hpp"
#include "agent-min/seccomp_filter.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <csignal>
#include <memory>

#include <dirent.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <linux/mount.h>
#include <linux/sched.h>
#include <linux/securebits.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

namespace cvmin::agent {

namespace {

constexpr unsigned int algorithm_user =
    65534; // and group: "nobody" everywhere, and owner of nothing but the output folder
constexpr std::uint64_t max_open_files = 1024; // what select(2) can count to
constexpr std::uint64_t stack_size = 8 << 20;  // Linux's usual one
constexpr int landlock_abi = 6;                // Linux 6.12: the newest right that is named below
constexpr int lazy_unmount = 2;                // MNT_DETACH; <sys/mount.h> and <linux/mount.h> exclude each other
constexpr int start_limit_ms = 10'000;         // clone to execveat: milliseconds, some 100 under TCG
constexpr int end_limit_ms = 10'000;           // from SIGKILL to nothing left: as long as pages take to be freed
constexpr std::uint64_t max_processors = 255;  // that a guest has
constexpr std::size_t log_step = 16 * 1024;
constexpr std::size_t max_log_per_tick = 256 * 1024; // the loop has others to serve
constexpr std::uint64_t min_cpu_check_ms = 20;       // how far a run may be over its CPU time, for each processor
// Files, as many again while it works, and the folder itself.
constexpr std::size_t output_inodes = 2 * max_output_files + 1;

constexpr const char *root_cgroup_controllers = "/sys/fs/cgroup/cgroup.subtree_control";
constexpr const char *run_cgroup = "/sys/fs/cgroup/algorithm";
constexpr std::size_t max_cgroup_file_size = 4096; // cpu.stat and memory.events have ten lines or so

Result<std::uint64_t> to_result(long value, std::string_view where) {
    if (value < 0)
        return os_error(where);
    return static_cast<std::uint64_t>(value);
}

Result<Fd> to_fd(long value, std::string_view where) {
    if (value < 0)
        return os_error(where);
    return Fd{static_cast<int>(value)};
}

// ---- what runs between clone and exec -----------------------------------------------------------------------------
// It has a copy of the agent's memory, in whatever state that was: system calls and the stack, nothing else.

// The descriptors that are left when all others are closed.
enum Kept : int { standard_input, standard_output, standard_error, report, program, ruleset, first_closed };

// step, name in errors
#define CVMIN_SANDBOX_STEPS(X)                                                                                         \
    X(private_mounts, "sandbox.private_mounts")                                                                        \
    X(old_mounts, "sandbox.old_mounts")                                                                                \
    X(new_root, "sandbox.new_root")                                                                                    \
    X(inputs, "sandbox.inputs")                                                                                        \
    X(output, "sandbox.output")                                                                                        \
    X(enter_root, "sandbox.enter_root")                                                                                \
    X(session, "sandbox.session")                                                                                      \
    X(descriptors, "sandbox.descriptors")                                                                              \
    X(signals, "sandbox.signals")                                                                                      \
    X(resource_limits, "sandbox.resource_limits")                                                                      \
    X(capabilities, "sandbox.capabilities")                                                                            \
    X(user, "sandbox.user")                                                                                            \
    X(no_new_privileges, "sandbox.no_new_privileges")                                                                  \
    X(landlock, "sandbox.landlock")                                                                                    \
    X(seccomp, "sandbox.seccomp")                                                                                      \
    X(execute, "sandbox.execute")
enum class Step : std::uint32_t {
#define X(name, text) name,
    CVMIN_SANDBOX_STEPS(X)
#undef X
};
constexpr std::string_view step_names[] = {
#define X(name, text) text,
    CVMIN_SANDBOX_STEPS(X)
#undef X
};

struct Report {
    Step step;
    int error; // 0: all steps up to this one are done
};

struct ResourceLimit {
    int resource;
    std::uint64_t most;
};

struct Plan {               // made before the clone
    int kept[first_closed]; // none of them below first_closed
    int root, inputs, output;
    std::array<ResourceLimit, 11> limits;
    sock_fprog filter;
    char **argv;
    char **env;
};

class Child {
  public:
    explicit Child(const Plan &plan) : plan_(plan), report_fd_(plan.kept[report]) {}

    [[noreturn]] void run() {
        see_nothing_else();
        leave_everything_behind();
        become_nobody();
        check(Step::landlock, ::syscall(SYS_landlock_restrict_self, ruleset, 0));
        check(Step::seccomp, ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &plan_.filter));
        tell({Step::execute, 0});
        ::syscall(SYS_execveat, program, "", plan_.argv, plan_.env, AT_EMPTY_PATH);
        failed(Step::execute);
    }

  private:
    void see_nothing_else() {
        check(Step::private_mounts, mount(nullptr, "/", MS_REC | MS_PRIVATE));
        // rootfs itself cannot go; all that was mounted in it can
        for (const char *mounted : {"/run", "/dev", "/sys", "/proc"}) {
            if (::syscall(SYS_umount2, mounted, lazy_unmount) != 0 &&
                errno != EINVAL) // EINVAL: nothing is mounted there
                failed(Step::old_mounts);
        }
        check(Step::new_root, move_mount(plan_.root, AT_FDCWD, "/run"));
        check(Step::inputs, move_mount(plan_.inputs, plan_.root, "in"));
        check(Step::output, move_mount(plan_.output, plan_.root, "out"));
        check(Step::enter_root, ::syscall(SYS_fchdir, plan_.root));
        check(Step::enter_root, mount(".", "/", MS_MOVE));
        check(Step::enter_root, ::syscall(SYS_chroot, "."));
        check(Step::enter_root, ::syscall(SYS_chdir, "/out"));
    }

    void leave_everything_behind() {
        check(Step::session, ::syscall(SYS_setsid));
        ::syscall(SYS_umask, 022);
        for (int fd = 0; fd < first_closed; ++fd)
            check(Step::descriptors, ::syscall(SYS_dup3, plan_.kept[fd], fd, fd <= standard_error ? 0 : O_CLOEXEC));
        report_fd_ = report;
        check(Step::descriptors, ::syscall(SYS_close_range, first_closed, ~0u, 0));
        // handlers are gone by CLONE_CLEAR_SIGHAND; what the agent ignores, and blocks, is not
        struct {
            void (*handler)(int) = SIG_DFL;
            unsigned long flags = 0;
            void (*restorer)() = nullptr;
            std::uint64_t mask = 0;
        } as_ever; // struct sigaction as the kernel has it
        check(Step::signals, ::syscall(SYS_rt_sigaction, SIGPIPE, &as_ever, nullptr, sizeof as_ever.mask));
        check(Step::signals, ::syscall(SYS_rt_sigprocmask, SIG_SETMASK, &as_ever.mask, nullptr, sizeof as_ever.mask));
        for (const ResourceLimit &limit : plan_.limits) {
            const std::uint64_t soft_and_hard[] = {limit.most, limit.most};
            check(Step::resource_limits, ::syscall(SYS_prlimit64, 0, limit.resource, soft_and_hard, nullptr));
        }
    }

    void become_nobody() {
        for (unsigned long capability = 0;; ++capability) {
            if (::syscall(SYS_prctl, PR_CAPBSET_DROP, capability, 0, 0, 0) == 0)
                continue;
            if (errno != EINVAL || capability <= CAP_LAST_CAP) // EINVAL: the kernel knows no more
                failed(Step::capabilities);
            break;
        }
        // user 0, should anything ever become that, is nobody special
        constexpr unsigned long bits = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP_LOCKED |
                                       SECBIT_KEEP_CAPS_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE |
                                       SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;
        check(Step::capabilities, ::syscall(SYS_prctl, PR_SET_SECUREBITS, bits, 0, 0, 0));
        check(Step::user, ::syscall(SYS_setgroups, 0, nullptr));
        check(Step::user, ::syscall(SYS_setresgid, algorithm_user, algorithm_user, algorithm_user));
        check(Step::user, ::syscall(SYS_setresuid, algorithm_user, algorithm_user, algorithm_user));
        __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
        const __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3]{};
        check(Step::capabilities, ::syscall(SYS_capset, &header, none));
        check(Step::no_new_privileges, ::syscall(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    }

    static long mount(const char *source, const char *target, unsigned long flags) {
        return ::syscall(SYS_mount, source, target, nullptr, flags, nullptr);
    }
    static long move_mount(int from, int folder, const char *to) {
        return ::syscall(SYS_move_mount, from, "", folder, to, MOVE_MOUNT_F_EMPTY_PATH);
    }
    void check(Step step, long result) {
        if (result < 0)
            failed(step);
    }
    [[noreturn]] void failed(Step step) {
        tell({step, errno});
        for (;;)
            ::syscall(SYS_exit_group, 127);
    }
    void tell(Report said) { // 8 bytes go into a pipe as a whole; without a reader there is nobody to tell
        [[maybe_unused]] const long written = ::syscall(SYS_write, report_fd_, &said, sizeof said);
    }

    const Plan &plan_;
    int report_fd_;
};

// ---- what is prepared before the clone
// ---------------------------------------------------------------------------------

struct Pipe {
    Fd read, write;
};
Result<Pipe> make_pipe(std::string_view where) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0)
        return os_error(where);
    return Pipe{Fd{ends[0]}, Fd{ends[1]}};
}

// The child puts its descriptors at the lowest numbers, so none may come from there.
Result<Fd> above_kept(int fd) {
    return to_fd(::fcntl(fd, F_DUPFD_CLOEXEC, static_cast<int>(first_closed)), "sandbox.descriptors");
}

struct MountOption {
    const char *name;
    std::string value;
};
// A tmpfs that is mounted nowhere yet.
Result<Fd> make_tmpfs(std::span<const MountOption> options, std::string_view where) {
    CVMIN_TRY(context, to_fd(::syscall(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC), where));
    for (const MountOption &option : options)
        CVMIN_CHECK(to_result(
            ::syscall(SYS_fsconfig, context.get(), FSCONFIG_SET_STRING, option.name, option.value.c_str(), 0), where));
    CVMIN_CHECK(to_result(::syscall(SYS_fsconfig, context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0), where));
    constexpr unsigned int attributes =
        MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC | MOUNT_ATTR_NOSYMFOLLOW;
    return to_fd(::syscall(SYS_fsmount, context.get(), FSMOUNT_CLOEXEC, attributes), where);
}

Result<void> make_read_only(const Fd &mount, std::string_view where) {
    const mount_attr attributes{.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
                                            MOUNT_ATTR_NOEXEC | MOUNT_ATTR_NOSYMFOLLOW,
                                .attr_clr = 0,
                                .propagation = MS_PRIVATE,
                                .userns_fd = 0};
    CVMIN_CHECK(
        to_result(::syscall(SYS_mount_setattr, mount.get(), "", AT_EMPTY_PATH, &attributes, sizeof attributes), where));
    return {};
}

struct Tree {
    Fd root, inputs, output;
};
Result<Tree> make_tree(const SandboxJob &job) {
    Tree tree;
    const MountOption bare[] = {{"size", "4096"}, {"nr_inodes", "3"}, {"mode", "0555"}};
    CVMIN_TRY(root, make_tmpfs(bare, "sandbox.new_root"));
    for (const char *folder : {"in", "out"})
        CVMIN_CHECK(to_result(::mkdirat(root.get(), folder, 0555), "sandbox.new_root"));
    CVMIN_CHECK(make_read_only(root, "sandbox.new_root"));
    CVMIN_TRY(inputs, to_fd(::syscall(SYS_open_tree, AT_FDCWD, job.inputs_dir, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC),
                            "sandbox.inputs"));
    CVMIN_CHECK(make_read_only(inputs, "sandbox.inputs"));
    const std::string user = std::to_string(algorithm_user);
    const MountOption folder[] = {// rounded up to pages by the kernel, for which 0 would be "no limit"
                                  {"size", std::to_string(std::max<std::uint64_t>(job.limits.output, 1))},
                                  {"nr_inodes", std::to_string(output_inodes)},
                                  {"mode", "0700"},
                                  {"uid", user},
                                  {"gid", user}};
    CVMIN_TRY(output, make_tmpfs(folder, "sandbox.output"));
    return Tree{std::move(root), std::move(inputs), std::move(output)};
}

// Everything that Landlock knows is barred, but reading below /in and working with plain files and folders below /out.
Result<Fd> make_ruleset(const Tree &tree) {
    constexpr std::string_view where = "sandbox.landlock";
    constexpr std::uint64_t every_right = (LANDLOCK_ACCESS_FS_IOCTL_DEV << 1) - 1;
    constexpr std::uint64_t read_rights = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
    constexpr std::uint64_t work_rights = read_rights | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_TRUNCATE |
                                          LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_DIR |
                                          LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR |
                                          LANDLOCK_ACCESS_FS_REFER;
    const landlock_ruleset_attr all{.handled_access_fs = every_right,
                                    .handled_access_net =
                                        LANDLOCK_ACCESS_NET_BIND_TCP | LANDLOCK_ACCESS_NET_CONNECT_TCP,
                                    .scoped = LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET | LANDLOCK_SCOPE_SIGNAL};
    CVMIN_TRY(rules, to_fd(::syscall(SYS_landlock_create_ruleset, &all, sizeof all, 0), where));
    const auto allow = [&](std::uint64_t rights, const Fd &folder) {
        const landlock_path_beneath_attr beneath{.allowed_access = rights, .parent_fd = folder.get()};
        return to_result(::syscall(SYS_landlock_add_rule, rules.get(), LANDLOCK_RULE_PATH_BENEATH, &beneath, 0), where);
    };
    CVMIN_CHECK(allow(read_rights, tree.inputs));
    CVMIN_CHECK(allow(work_rights, tree.output));
    return rules;
}

Result<void> set_cgroup(const char *file, std::string_view value, std::string_view where) {
    return write_file(std::string{run_cgroup} + file, as_bytes(value), where);
}

Result<void> make_cgroup(const Limits &limits) {
    if (::mkdir(run_cgroup, 0755) != 0)
        return os_error("sandbox.cgroup");
    CVMIN_CHECK(set_cgroup("/memory.max", std::to_string(limits.memory), "sandbox.memory.max"));
    // all of its processes or none: what is left of a program that lost one is of no use
    CVMIN_CHECK(set_cgroup("/memory.oom.group", "1", "sandbox.memory.oom.group"));
    CVMIN_CHECK(set_cgroup("/pids.max", std::to_string(limits.processes), "sandbox.pids.max"));
    // however many threads it has, the agent gets ten times as much when both want the processors
    return set_cgroup("/cpu.weight", "10", "sandbox.cpu.weight");
}

// The number behind `key` in a file of "key number" lines.
Result<std::uint64_t> cgroup_value(const char *file, std::string_view key, std::string_view where) {
    CVMIN_TRY(bytes, read_file(std::string{run_cgroup} + file, max_cgroup_file_size, where));
    if (const auto value = number_behind(as_text(bytes), key))
        return *value;
    return fail(Errc::missing, where);
}
Result<std::uint64_t> cpu_time_us() {
    return cgroup_value("/cpu.stat", "usage_usec ", "sandbox.cpu.stat");
}

// Those that this process may use, which are all of the guest's.
std::uint64_t processors() {
    std::array<std::uint64_t, 16> bits{}; // 1024: the kernel was built for max_processors
    if (::syscall(SYS_sched_getaffinity, 0, sizeof bits, bits.data()) < 0)
        return max_processors; // then the time is looked at more often than needed
    std::uint64_t count = 0;
    for (const std::uint64_t word : bits)
        count += static_cast<std::uint64_t>(std::popcount(word));
    return count;
}

std::vector<char *> pointers(std::vector<std::string> &texts) {
    std::vector<char *> out;
    out.reserve(texts.size() + 1);
    for (std::string &text : texts)
        out.push_back(text.data());
    out.push_back(nullptr);
    return out;
}

bool is_output_name(std::string_view name) {
    return !name.empty() && name.size() <= max_output_name_size && std::ranges::all_of(name, [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
               c == '-';
    });
}

bool readable_within(const Fd &fd, int limit_ms) {
    pollfd wanted{.fd = fd.get(), .events = POLLIN, .revents = 0};
    int ready = 0;
    do
        ready = ::poll(&wanted, 1, limit_ms);
    while (ready < 0 && errno == EINTR);
    return ready > 0;
}

} // namespace

Result<std::vector<OutputFile>> list_outputs(int folder, std::uint64_t most_bytes) {
    const int opened = ::openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (opened < 0)
        return os_error("output");
    const std::unique_ptr<DIR, decltype([](DIR *open) { ::closedir(open); })> entries{::fdopendir(opened)};
    if (!entries) {
        const Fd still_ours{opened};
        return os_error("output");
    }
    std::vector<OutputFile> files;
    std::uint64_t total = 0;
    for (;;) {
        errno = 0;
        const dirent *entry = ::readdir(entries.get());
        if (entry == nullptr && errno != 0)
            return os_error("output");
        if (entry == nullptr)
            break;
        const std::string_view name = entry->d_name;
        if (name == "." || name == "..")
            continue;
        if (!is_output_name(name))
            return fail(Errc::malformed, "output.name");
        struct stat facts{};
        if (::fstatat(folder, entry->d_name, &facts, AT_SYMLINK_NOFOLLOW) != 0)
            return os_error("output");
        if (!S_ISREG(facts.st_mode) || facts.st_nlink != 1)
            return fail(Errc::unsupported, "output.kind");
        const auto size = static_cast<std::uint64_t>(facts.st_size);
        if (size > most_bytes - total)
            return fail(Errc::too_large, "output.size", most_bytes);
        total += size;
        if (files.size() == max_output_files)
            return fail(Errc::too_large, "output.files", max_output_files);
        // in order from the start: for so few a sort costs more code than time
        files.insert(std::ranges::upper_bound(files, name, {}, &OutputFile::name), {std::string{name}, size});
    }
    return files;
}

Result<void> read_output_file(int folder, const std::string &name, std::uint64_t offset, std::span<std::byte> into) {
    if (!is_output_name(name))
        return fail(Errc::malformed, "output.name");
    CVMIN_TRY(file, to_fd(::openat(folder, name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC), "output"));
    while (!into.empty()) {
        const ssize_t got = ::pread(file.get(), into.data(), into.size(), static_cast<off_t>(offset));
        if (got < 0)
            return os_error("output");
        if (got == 0)
            return fail(Errc::truncated, "output", offset);
        into = into.subspan(static_cast<std::size_t>(got));
        offset += static_cast<std::uint64_t>(got);
    }
    return {};
}

Result<std::unique_ptr<KernelSandbox>> KernelSandbox::open(Clock &clock) {
    const long abi = ::syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
    if (abi < 0)
        return os_error("sandbox.landlock");
    if (abi < landlock_abi)
        return fail(Errc::unsupported, "sandbox.landlock", static_cast<std::uint64_t>(abi));
    CVMIN_CHECK(
        write_file(root_cgroup_controllers, as_bytes(std::string_view{"+cpu +memory +pids"}), "sandbox.controllers"));
    return std::unique_ptr<KernelSandbox>{new KernelSandbox(clock)};
}

KernelSandbox::~KernelSandbox() {
    static_cast<void>(clean());
}

Result<void> KernelSandbox::start(const SandboxJob &job) {
    if (process_ || output_)
        return fail(Errc::busy, "sandbox");
    if (const auto started = try_start(job); !started) {
        static_cast<void>(clean());
        return started;
    }
    return {};
}

Result<void> KernelSandbox::try_start(const SandboxJob &job) {
    limits_ = job.limits;
    ended_ = Ended::by_itself;
    log_.clear();
    log_truncated_ = false;
    CVMIN_CHECK(make_cgroup(limits_));
    CVMIN_TRY(cgroup, to_fd(::open(run_cgroup, O_PATH | O_DIRECTORY | O_CLOEXEC), "sandbox.cgroup"));
    CVMIN_TRY(tree, make_tree(job));
    CVMIN_TRY(rules, make_ruleset(tree));
    CVMIN_TRY(input, make_pipe("sandbox.pipe")); // its writer is closed: standard input ends at once
    CVMIN_TRY(log, make_pipe("sandbox.pipe"));
    CVMIN_TRY(said, make_pipe("sandbox.pipe"));
    CVMIN_CHECK(to_result(::fcntl(log.read.get(), F_SETFL, O_NONBLOCK), "sandbox.pipe"));

    const int sources[first_closed] = {input.read.get(), log.write.get(), log.write.get(),
                                       said.write.get(), job.program_fd,  rules.get()};
    std::array<Fd, first_closed> kept;
    Plan plan{};
    for (std::size_t i = 0; i < kept.size(); ++i) {
        CVMIN_TRY(copy, above_kept(sources[i]));
        plan.kept[i] = copy.get();
        kept[i] = std::move(copy);
    }
    plan.root = tree.root.get();
    plan.inputs = tree.inputs.get();
    plan.output = tree.output.get();
    plan.limits = {{{RLIMIT_CORE, 0},
                    {RLIMIT_MEMLOCK, 0},
                    {RLIMIT_MSGQUEUE, 0},
                    {RLIMIT_NICE, 0},
                    {RLIMIT_RTPRIO, 0},
                    {RLIMIT_NOFILE, max_open_files},
                    {RLIMIT_SIGPENDING, max_open_files}, // queued by the kernel's memory
                    {RLIMIT_STACK, stack_size},
                    {RLIMIT_NPROC, limits_.processes},
                    {RLIMIT_FSIZE, limits_.output},
                    // of each process; should the agent be late
                    {RLIMIT_CPU, limits_.cpu_seconds + 1}}};
    const auto filter = algorithm_filter();
    plan.filter = {.len = static_cast<unsigned short>(filter.size()),
                   .filter = const_cast<sock_filter *>(filter.data())};
    auto argv = job.argv, env = job.env;
    auto argv_pointers = pointers(argv), env_pointers = pointers(env);
    plan.argv = argv_pointers.data();
    plan.env = env_pointers.data();

    int pidfd = -1;
    clone_args how{};
    // no IPC namespace: the kernel has neither System V IPC nor POSIX queues
    how.flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWUTS | CLONE_INTO_CGROUP | CLONE_PIDFD |
                CLONE_CLEAR_SIGHAND;
    how.pidfd = reinterpret_cast<std::uintptr_t>(&pidfd);
    how.exit_signal = SIGCHLD;
    how.cgroup = static_cast<std::uint64_t>(cgroup.get());
    const std::uint64_t now_ms = clock_.now_ms();
    const long pid = ::syscall(SYS_clone3, &how, sizeof how);
    if (pid < 0)
        return os_error("sandbox.clone");
    if (pid == 0)
        Child{plan}.run();
    process_.reset(pidfd);
    output_ = std::move(tree.output);
    log_pipe_ = std::move(log.read);
    wall_end_ms_ = now_ms + limits_.wall_seconds * 1000;
    cpu_check_ms_ = now_ms + limits_.cpu_seconds * 1000 / processors();

    for (Fd &fd : kept)
        fd.reset();
    said.write.reset();
    // "execute, 0" and then the end of the pipe, which exec closes
    bool executing = false;
    for (;;) {
        if (!readable_within(said.read, start_limit_ms))
            return fail(Errc::timed_out, "sandbox.start");
        Report report{};
        const ssize_t got = ::read(said.read.get(), &report, sizeof report);
        if (got < 0)
            return os_error("sandbox.start");
        if (got == 0)
            break;
        if (got != sizeof report || static_cast<std::size_t>(report.step) >= std::size(step_names))
            return fail(Errc::malformed, "sandbox.start");
        if (report.error != 0)
            return fail(Errc::system, step_names[static_cast<std::size_t>(report.step)],
                        static_cast<std::uint64_t>(report.error));
        executing = true;
    }
    if (!executing) // ended by a signal, say for want of memory
        return fail(Errc::truncated, "sandbox.start");
    return {};
}

std::optional<std::uint64_t> KernelSandbox::deadline_ms() const {
    if (!process_)
        return {};
    return std::min(wall_end_ms_, cpu_check_ms_);
}

void KernelSandbox::take_log(std::size_t most) {
    std::array<std::byte, log_step> piece;
    while (log_pipe_ && most > 0) {
        const ssize_t got = ::read(log_pipe_.get(), piece.data(), std::min(piece.size(), most));
        if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) {
            log_pipe_.reset(); // its last writer is gone
            return;
        }
        if (got < 0)
            return;
        const auto size = static_cast<std::size_t>(got);
        const std::size_t keep = std::min(size, max_log_size - log_.size());
        log_.insert(log_.end(), piece.begin(), piece.begin() + static_cast<std::ptrdiff_t>(keep));
        log_truncated_ |= keep < size;
        most -= size;
    }
}

Result<std::optional<SandboxExit>> KernelSandbox::tick() {
    if (!process_)
        return std::nullopt;
    take_log(max_log_per_tick);
    auto looked = look();
    if (!looked)
        static_cast<void>(end(Ended::killed));
    return looked;
}

Result<std::optional<SandboxExit>> KernelSandbox::look() {
    if (readable_within(process_, 0))
        return collect();
    const std::uint64_t now_ms = clock_.now_ms();
    if (now_ms >= wall_end_ms_)
        CVMIN_CHECK(end(Ended::wall_limit));
    if (now_ms >= cpu_check_ms_) {
        CVMIN_TRY(used_us, cpu_time_us());
        const std::uint64_t limit_us = limits_.cpu_seconds * 1'000'000;
        if (used_us >= limit_us)
            CVMIN_CHECK(end(Ended::cpu_limit));
        // not before it can be reached
        cpu_check_ms_ =
            now_ms + std::max(min_cpu_check_ms, (limit_us - std::min(used_us, limit_us)) / 1000 / processors());
    }
    return std::nullopt;
}

// The first process is gone, and with it, by the kernel's hand, all others of its namespace.
Result<std::optional<SandboxExit>> KernelSandbox::collect() {
    siginfo_t info{};
    if (::waitid(P_PIDFD, static_cast<id_t>(process_.get()), &info, WEXITED | WNOHANG) != 0)
        return os_error("sandbox.wait");
    process_.reset();
    take_log(SIZE_MAX); // no more than a pipe holds
    SandboxExit out{};
    out.wait_status = info.si_code == CLD_EXITED ? (info.si_status & 0xff) << 8 : info.si_status & 0x7f;
    CVMIN_TRY(cpu_us, cpu_time_us());
    out.cpu_us = cpu_us;
    CVMIN_TRY(killed_for_memory, cgroup_value("/memory.events", "oom_kill ", "sandbox.memory.events"));
    out.memory_peak = cgroup_value("/memory.peak", "", "sandbox.memory.peak").value_or(0);
    out.ended = ended_;
    // Its own signals do not kill the first process of a namespace: a SIGKILL came from outside.
    if (!WIFSIGNALED(out.wait_status) || WTERMSIG(out.wait_status) != SIGKILL)
        out.ended = Ended::by_itself; // before a limit could end it
    else if (ended_ == Ended::by_itself)
        out.ended = killed_for_memory > 0 ? Ended::memory_limit : Ended::cpu_limit; // the latter by RLIMIT_CPU
    return out;
}

Result<void> KernelSandbox::end(Ended why) {
    if (ended_ == Ended::by_itself)
        ended_ = why;
    return set_cgroup("/cgroup.kill", "1", "sandbox.cgroup.kill");
}

Result<std::vector<OutputFile>> KernelSandbox::outputs() {
    if (process_ || !output_)
        return fail(Errc::missing, "output");
    return list_outputs(output_.get(), limits_.output);
}

Result<void> KernelSandbox::read_output(const std::string &name, std::uint64_t offset, std::span<std::byte> into) {
    if (process_ || !output_)
        return fail(Errc::missing, "output");
    return read_output_file(output_.get(), name, offset, into);
}

void KernelSandbox::kill() {
    if (process_)
        static_cast<void>(end(Ended::killed));
}

Result<void> KernelSandbox::clean() {
    if (process_) {
        CVMIN_CHECK(end(Ended::killed));
        if (!readable_within(process_, end_limit_ms))
            return fail(Errc::timed_out, "sandbox.end");
        siginfo_t info{};
        if (::waitid(P_PIDFD, static_cast<id_t>(process_.get()), &info, WEXITED | WNOHANG) != 0)
            return os_error("sandbox.wait");
        process_.reset();
    }
    log_pipe_.reset();
    output_.reset(); // the last that holds the folder: its pages are freed
    log_ = {};
    log_truncated_ = false;
    if (::rmdir(run_cgroup) != 0 && errno != ENOENT)
        return os_error("sandbox.cgroup");
    return {};
}

} // namespace cvmin::agent
