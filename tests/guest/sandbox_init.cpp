// PID 1 of a guest in which the agent's sandbox runs hostile programs, one after the other. Says for each on the
// console what came of it, and whether anything is left; tests/vm/sandbox.sh compares that with sandbox.expected.
// Judges nothing by itself.
#include "agent-min/mounts.hpp"
#include "agent-min/sandbox.hpp"

#include <algorithm>
#include <array>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/reboot.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <sys/wait.h>

namespace cvmin::agent {

namespace {

constexpr std::uint64_t mib = std::uint64_t{1} << 20;
constexpr std::uint64_t max_lost_memory = 4 * mib; // caches of the kernel; a run that is not given back has 16 MiB
constexpr std::uint64_t max_late_ms = 2000;
constexpr std::size_t max_shown_log = 8192;

__attribute__((format(printf, 1, 2))) void say(const char *format, ...) {
    va_list values;
    va_start(values, format);
    std::printf("SANDBOX ");
    std::vprintf(format, values);
    std::printf("\n");
    std::fflush(stdout);
    va_end(values);
}

std::string text_of(const std::string &path) {
    std::string text;
    const Fd fd{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
    std::array<char, 4096> piece{};
    for (ssize_t got = 0; fd && (got = ::read(fd.get(), piece.data(), piece.size())) > 0;)
        text.append(piece.data(), static_cast<std::size_t>(got));
    return text;
}
std::size_t lines(std::string_view text) {
    return static_cast<std::size_t>(std::ranges::count(text, '\n'));
}

template <class Act> void each_entry(const char *folder, Act act) {
    DIR *entries = ::opendir(folder);
    while (const dirent *entry = entries == nullptr ? nullptr : ::readdir(entries))
        if (entry->d_name[0] != '.')
            act(std::string{entry->d_name});
    if (entries != nullptr)
        ::closedir(entries);
}

// Processes that are neither this one nor the kernel's.
int strangers() {
    int found = 0;
    each_entry("/proc", [&](const std::string &name) {
        const int pid = std::atoi(name.c_str());
        if (pid <= 1)
            return;
        const std::string stat = text_of("/proc/" + name + "/stat");
        const std::size_t end = stat.rfind(')');
        char state = 0;
        int parent = 0, group = 0, session = 0, terminal = 0, foreground = 0;
        unsigned flags = 0;
        if (end == std::string::npos || std::sscanf(stat.c_str() + end + 2, "%c %d %d %d %d %d %u", &state, &parent,
                                                    &group, &session, &terminal, &foreground, &flags) != 7)
            return;
        constexpr unsigned kernel_thread = 0x0020'0000; // PF_KTHREAD
        if ((flags & kernel_thread) == 0)
            ++found;
    });
    return found;
}
int open_descriptors() {
    int found = 0;
    each_entry("/proc/self/fd", [&](const std::string &) { ++found; });
    return found;
}
// With the pages that each processor keeps for itself, which are free as well.
std::uint64_t free_memory() {
    struct sysinfo now{};
    ::sysinfo(&now);
    std::uint64_t kept = 0;
    const std::string zones = text_of("/proc/zoneinfo");
    constexpr std::string_view key = " count:";
    for (std::size_t at = zones.find(key); at != std::string::npos; at = zones.find(key, at + 1))
        kept += std::strtoull(zones.c_str() + at + key.size(), nullptr, 10);
    return static_cast<std::uint64_t>(now.freeram) * now.mem_unit + kept * 4096;
}

struct Left {
    int strangers = 0, descriptors = 0;
    std::size_t mounts = 0;
    std::uint64_t memory = 0;
    static Left now() {
        return {agent::strangers(), open_descriptors(), lines(text_of("/proc/self/mountinfo")), free_memory()};
    }
};

Fd load(const char *path) {
    const Fd file{::open(path, O_RDONLY | O_CLOEXEC)};
    struct stat facts{};
    ::fstat(file.get(), &facts);
    Fd memory{::memfd_create("algorithm", MFD_CLOEXEC | MFD_ALLOW_SEALING)};
    while (::sendfile(memory.get(), file.get(), nullptr, static_cast<std::size_t>(facts.st_size)) > 0) {}
    ::fcntl(memory.get(), F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
    return memory;
}

struct Case {
    const char *name;
    const char *program = "/attacks";
    std::vector<std::string> arguments{}; // the name, if empty
    Limits limits{.memory = 16 * mib, .cpu_seconds = 10, .wall_seconds = 60, .output = mib, .processes = 32};
    void (*while_running)(KernelSandbox &) = nullptr;
    const char *inputs = "/run/data";
};
Case with(const char *name, void (*change)(Limits &), std::vector<std::string> arguments = {}) {
    Case out{.name = name, .arguments = std::move(arguments)};
    change(out.limits);
    return out;
}

// What only the outside can see of a running program.
void look_at(KernelSandbox &) {
    const std::string pid = text_of("/sys/fs/cgroup/algorithm/cgroup.procs");
    const std::string at = "/proc/" + pid.substr(0, pid.find('\n'));
    std::string_view status_view;
    const std::string status = text_of(at + "/status");
    status_view = status;
    for (const char *wanted :
         {"Uid:", "Gid:", "Groups:", "NSpid:", "CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:", "NoNewPrivs:",
          "Seccomp:", "Seccomp_filters:", "SigBlk:", "SigIgn:", "SigCgt:", "Threads:"}) {
        const std::size_t start = status_view.find(std::string{"\n"} + wanted);
        if (start == std::string_view::npos)
            continue;
        std::string line{status_view.substr(start + 1, status_view.find('\n', start + 1) - start - 1)};
        std::ranges::replace(line, '\t', ' ');
        if (line.starts_with("NSpid:"))
            line = "NSpid: ends with " + line.substr(line.rfind(' ') + 1);
        say("| %s", line.c_str());
    }
    for (const char *name : {"mnt", "pid", "net", "uts", "ipc", "user", "cgroup"}) {
        std::array<char, 64> own{}, its{};
        if (::readlink((std::string{"/proc/self/ns/"} + name).c_str(), own.data(), own.size()) > 0 &&
            ::readlink((at + "/ns/" + name).c_str(), its.data(), its.size()) > 0)
            say("| namespace %s: %s", name, own == its ? "the agent's" : "its own");
    }
    const std::string mounts = text_of(at + "/mountinfo");
    std::string_view rest = mounts;
    while (!rest.empty()) {
        std::array<char, 256> point{}, options{};
        const std::string line{rest.substr(0, rest.find('\n'))};
        rest.remove_prefix(std::min(line.size() + 1, rest.size()));
        std::sscanf(line.c_str(), "%*s %*s %*s %*s %255s %255s", point.data(), options.data());
        say("| mount %s %s", point.data(), options.data());
    }
    int descriptors = 0;
    each_entry((at + "/fd").c_str(), [&](const std::string &) { ++descriptors; });
    say("| descriptors: %d", descriptors);
}
void kill_it(KernelSandbox &sandbox) {
    sandbox.kill();
}
void start_another(KernelSandbox &sandbox) {
    const auto second = sandbox.start({.program_fd = 0, .argv = {}, .env = {}, .inputs_dir = "/", .limits = {}});
    say("| a second one: %s", second ? "started" : to_string(second.error()).c_str());
}

void show_log(const KernelSandbox &sandbox) {
    const std::string_view log = as_text(sandbox.log());
    std::string_view rest = log.substr(0, max_shown_log);
    if (log.size() > max_shown_log)
        say("| a log of %zu bytes", log.size());
    else
        while (!rest.empty()) {
            const std::string line{rest.substr(0, rest.find('\n'))};
            rest.remove_prefix(std::min(line.size() + 1, rest.size()));
            say("| %s", line.c_str());
        }
    if (sandbox.log_truncated())
        say("| truncated");
}

const char *name_of(Ended ended) {
    switch (ended) {
    case Ended::by_itself:
        return "by itself";
    case Ended::wall_limit:
        return "wall clock";
    case Ended::cpu_limit:
        return "CPU time";
    case Ended::memory_limit:
        return "memory";
    case Ended::killed:
        return "killed";
    }
    return "?";
}

void show_end(KernelSandbox &sandbox, const SandboxExit &end, const Case &it, std::uint64_t wall_ms) {
    if (WIFSIGNALED(end.wait_status))
        say("-> signal %d, ended: %s", WTERMSIG(end.wait_status), name_of(end.ended));
    else
        say("-> exit %d, ended: %s", WEXITSTATUS(end.wait_status), name_of(end.ended));
    // late by what a busy host takes away from the guest
    if (end.cpu_us > it.limits.cpu_seconds * 1'000'000 + max_late_ms * 1000)
        say("-> %llu us of CPU time", static_cast<unsigned long long>(end.cpu_us));
    if (end.ended == Ended::cpu_limit && end.cpu_us < it.limits.cpu_seconds * 1'000'000)
        say("-> too early: %llu us of CPU time", static_cast<unsigned long long>(end.cpu_us));
    if (end.memory_peak == 0 || end.memory_peak > it.limits.memory)
        say("-> %llu bytes of memory", static_cast<unsigned long long>(end.memory_peak));
    if (end.ended == Ended::wall_limit &&
        (wall_ms < it.limits.wall_seconds * 1000 || wall_ms > it.limits.wall_seconds * 1000 + max_late_ms))
        say("-> ended after %llu ms", static_cast<unsigned long long>(wall_ms));
    const auto outputs = sandbox.outputs();
    if (!outputs) {
        say("-> outputs: %s", to_string(outputs.error()).c_str());
        return;
    }
    if (end.ended != Ended::by_itself) // how far it came is chance
        return;
    for (const OutputFile &file : *outputs) {
        std::array<std::byte, 16> start{};
        const std::size_t shown = std::min<std::size_t>(start.size(), file.size);
        const auto read = sandbox.read_output(file.name, 0, std::span{start}.first(shown));
        std::string text{as_text(std::span{start}.first(shown))};
        std::ranges::replace_if(text, [](char c) { return c < ' ' || c > '~'; }, '.');
        say("-> output %s, %llu bytes: %s", file.name.c_str(), static_cast<unsigned long long>(file.size),
            read ? text.c_str() : to_string(read.error()).c_str());
    }
}

void run(const Case &it, KernelSandbox &sandbox, BootClock &clock) {
    say("== %s", it.name);
    const Left before = Left::now();
    {
        const Fd program = load(it.program);
        SandboxJob job{.program_fd = program.get(),
                       .argv = {"algorithm"},
                       .env = {"GREETING=good day"},
                       .inputs_dir = it.inputs,
                       .limits = it.limits};
        if (it.arguments.empty())
            job.argv.emplace_back(it.name);
        else
            job.argv.insert(job.argv.end(), it.arguments.begin(), it.arguments.end());
        const std::uint64_t start_us = clock.now_us();
        const auto started = sandbox.start(job);
        const std::uint64_t started_us = clock.now_us();
        if (!started) {
            say("-> not started: %s", to_string(started.error()).c_str());
        } else {
            if (it.while_running != nullptr)
                it.while_running(sandbox);
            for (;;) {
                pollfd waiting[] = {{sandbox.exit_fd(), POLLIN, 0}, {sandbox.log_fd(), POLLIN, 0}};
                const std::uint64_t now_ms = clock.now_ms(), deadline_ms = sandbox.deadline_ms().value_or(now_ms);
                ::poll(waiting, 2,
                       static_cast<int>(std::min<std::uint64_t>(deadline_ms - std::min(deadline_ms, now_ms), 60'000)));
                const auto end = sandbox.tick();
                if (!end) {
                    say("-> cannot be watched: %s", to_string(end.error()).c_str());
                    break;
                }
                if (*end) {
                    const std::uint64_t wall_ms = (clock.now_us() - start_us) / 1000;
                    show_log(sandbox);
                    show_end(sandbox, **end, it, wall_ms);
                    std::printf(
                        "TIME %s: started in %llu us, ended after %llu ms, %llu us of CPU time, peak %llu bytes\n",
                        it.name, static_cast<unsigned long long>(started_us - start_us),
                        static_cast<unsigned long long>(wall_ms), static_cast<unsigned long long>((*end)->cpu_us),
                        static_cast<unsigned long long>((*end)->memory_peak));
                    break;
                }
            }
        }
        const auto cleaned = sandbox.clean();
        if (!cleaned)
            say("-> not cleaned: %s", to_string(cleaned.error()).c_str());
    }
    Left after = Left::now();
    for (int tries = 0; tries < 100 && after.memory + max_lost_memory < before.memory;
         ++tries) { // freed a little later
        ::poll(nullptr, 0, 10);
        after = Left::now();
    }
    if (after.strangers != 0)
        say("-> left: %d processes", after.strangers);
    if (after.descriptors != before.descriptors || after.mounts != before.mounts)
        say("-> left: %d descriptors, %zu mounts", after.descriptors - before.descriptors,
            after.mounts - before.mounts);
    if (::access("/sys/fs/cgroup/algorithm", F_OK) == 0)
        say("-> left: the cgroup");
    if (after.memory + max_lost_memory < before.memory)
        say("-> left: %llu bytes of memory", static_cast<unsigned long long>(before.memory - after.memory));
}

std::vector<Case> cases() {
    std::vector<Case> all;
    all.push_back({.name = "hello", .arguments = {"hello", "an argument", ""}});
    // the smallest memory that a manifest can name
    all.push_back(with("hello in 1 MiB", [](Limits &l) { l.memory = mib; }, {"hello"}));
    all.push_back({.name = "seen from outside",
                   .arguments = {"sleep"},
                   .limits = {16 * mib, 10, 1, mib, 32},
                   .while_running = look_at});
    all.push_back({.name = "killed", .arguments = {"sleep"}, .while_running = kill_it});
    all.push_back({.name = "only one", .arguments = {"hello"}, .while_running = start_another});
    all.push_back({.name = "no program", .program = "/text"});
    all.push_back({.name = "a program that needs a loader", .program = "/dynamic"});
    all.push_back({.name = "an empty program", .program = "/empty"});
    all.push_back({.name = "no inputs", .inputs = "/run/none"});
    all.push_back({.name = "glibc", .program = "/glibc"});
    all.push_back({.name = "threads", .program = "/threads"});
    all.push_back({.name = "forks"});
    all.push_back(with("fork_bomb", [](Limits &l) { l.wall_seconds = 2; }));
    all.push_back({.name = "eat"});
    all.push_back({.name = "eat_in_children"});
    all.push_back(with("fill up to the memory", [](Limits &l) { l.output = l.memory; }, {"fill"}));
    all.push_back({.name = "fill"});
    all.push_back({.name = "fill_two"});
    all.push_back({.name = "many_files"});
    all.push_back({.name = "sparse"});
    all.push_back(with("spin", [](Limits &l) { l.cpu_seconds = 1; }));
    all.push_back(with("spin_in_children", [](Limits &l) { l.cpu_seconds = 1; }));
    all.push_back(with("sleep", [](Limits &l) { l.wall_seconds = 1; }));
    all.push_back(with("stopped", [](Limits &l) { l.wall_seconds = 1; }));
    all.push_back({.name = "flood"});
    all.push_back({.name = "ptrace"});
    all.push_back({.name = "crash"});
    all.push_back({.name = "abort"});
    all.push_back({.name = "dangerous_calls"});
    all.push_back({.name = "refused_calls"});
    all.push_back({.name = "other_tables"});
    all.push_back({.name = "files"});
    all.push_back({.name = "executes"});
    all.push_back({.name = "signals"});
    all.push_back({.name = "leave_daemon"});
    all.push_back({.name = "leave_folder"});
    all.push_back({.name = "leave_name"});
    return all;
}

void all() {
    if (const auto mounted = mount_all(mounts); !mounted)
        return say("mounts: %s", to_string(mounted.error()).c_str());
    ::mkdir("/run/data", 0755);
    ::mount("tmpfs", "/run/data", "tmpfs", plain_files, "mode=0755,size=1m");
    {
        const Fd numbers{::open("/run/data/numbers", O_WRONLY | O_CREAT | O_CLOEXEC, 0444)};
        [[maybe_unused]] const ssize_t written = ::write(numbers.get(), "1\n2\n39\n", 7);
    }
    BootClock clock;
    auto sandbox = KernelSandbox::open(clock);
    if (!sandbox)
        return say("open: %s", to_string(sandbox.error()).c_str());
    for (const Case &it : cases())
        run(it, **sandbox, clock);
    say("numbers: %zu bytes", text_of("/run/data/numbers").size());
    say("end");
}

} // namespace

} // namespace cvmin::agent

int main() {
    ::umask(022);
    cvmin::agent::all();
    ::reboot(RB_POWER_OFF);
}
