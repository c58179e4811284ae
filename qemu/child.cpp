// fork, exec, pidfd.
#include "qemu/child.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdlib>

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace cvmin {

using std::chrono::milliseconds;

static std::unexpected<Error> system_error(std::string_view where) {
    return fail(Errc::system, where, static_cast<std::uint64_t>(errno));
}

// In the child: the reason why the program could not be started is written to `report`.
[[noreturn]] static void give_up(int report) {
    const int reason = errno;
    const ssize_t written = ::write(report, &reason, sizeof reason);
    ::_exit(written == sizeof reason ? 127 : 126);
}

// In the child: never returns.
[[noreturn]] static void become(char **args, const Child::Streams &streams, pid_t parent, int report) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) // died before the line above
        ::_exit(126);
    sigset_t none;
    sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    ::signal(SIGPIPE, SIG_DFL);
    const rlimit no_core{0, 0}; // QEMU aborts when KVM does not work; its memory is nobody's business
    ::setrlimit(RLIMIT_CORE, &no_core);
    const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0)
        give_up(report);
    if (::dup2(streams.in < 0 ? null : streams.in, STDIN_FILENO) < 0 ||
        ::dup2(streams.out < 0 ? null : streams.out, STDOUT_FILENO) < 0 ||
        ::dup2(streams.err < 0 ? null : streams.err, STDERR_FILENO) < 0)
        give_up(report);
    ::execvp(args[0], args);
    give_up(report);
}

// The children of this process, which has one thread.
static std::vector<pid_t> children() {
    std::vector<pid_t> found;
    const std::string self = std::to_string(::getpid());
    const auto text = read_file("/proc/" + self + "/task/" + self + "/children", 64u << 10);
    if (!text)
        return found;
    std::string_view rest = as_text(*text);
    while (!rest.empty()) {
        pid_t pid = 0;
        const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), pid);
        if (error != std::errc{})
            break;
        found.push_back(pid);
        rest.remove_prefix(static_cast<std::size_t>(end - rest.data()));
        rest.remove_prefix(std::min(rest.size(), rest.find_first_not_of(' ')));
    }
    return found;
}

// In the child of start_tree: never returns. `report` is closed once the program has started, or by its failure.
[[noreturn]] static void look_after(char **args, const Child::Streams &streams, pid_t parent, UniqueFd report,
                                    milliseconds grace) {
    using Clock = std::chrono::steady_clock;
    sigset_t handled;
    sigemptyset(&handled);
    sigaddset(&handled, SIGTERM);
    sigaddset(&handled, SIGCHLD);
    ::sigprocmask(SIG_SETMASK, &handled, nullptr);
    ::signal(SIGCHLD, SIG_DFL);
    UniqueFd signals{::signalfd(-1, &handled, SFD_CLOEXEC | SFD_NONBLOCK)};
    ::prctl(PR_SET_PDEATHSIG, SIGTERM);
    ::prctl(PR_SET_CHILD_SUBREAPER, 1);
    if (!signals || ::getppid() != parent)
        ::_exit(126);
    const pid_t self = ::getpid();
    const pid_t program = ::fork();
    if (program < 0)
        ::_exit(126);
    if (program == 0)
        become(args, streams, self, report.get());
    // whatever of the starter's is open here is not ours to keep open: locks, the log's pipe, the report
    UniqueFd kept{::fcntl(signals.get(), F_DUPFD_CLOEXEC, STDERR_FILENO + 1)};
    const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null >= 0)
        for (int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
            ::dup2(null, fd);
    if (kept.get() > STDERR_FILENO + 1)
        ::close_range(STDERR_FILENO + 1, static_cast<unsigned>(kept.get()) - 1, 0);
    ::close_range(static_cast<unsigned>(kept.get()) + 1, ~0u, 0);

    int status = 126;
    bool program_ended = false;
    std::optional<Clock::time_point> deadline; // set: it is to end
    while (!program_ended && (!deadline || Clock::now() < *deadline)) {
        const auto left = deadline ? std::chrono::ceil<milliseconds>(*deadline - Clock::now()) : milliseconds{60'000};
        pollfd waiting{.fd = kept.get(), .events = POLLIN, .revents = 0};
        (void)::poll(&waiting, 1, static_cast<int>(std::max<long long>(left.count(), 0)));
        signalfd_siginfo info;
        while (::read(kept.get(), &info, sizeof info) == sizeof info)
            if (info.ssi_signo == SIGTERM && !deadline)
                deadline = Clock::now() + grace;
        pid_t ended;
        int how = 0;
        while ((ended = ::waitpid(-1, &how, WNOHANG)) > 0)
            if (ended == program) {
                program_ended = true;
                status = WIFEXITED(how) ? WEXITSTATUS(how) : 128 + WTERMSIG(how);
            }
    }
    // what is killed leaves its own children to us
    for (std::vector<pid_t> left = children(); !left.empty(); left = children()) {
        for (pid_t pid : left)
            ::kill(pid, SIGKILL);
        while (::waitpid(-1, nullptr, 0) < 0 && errno == EINTR)
            ;
    }
    ::_exit(status);
}

Result<Child> Child::start(const std::vector<std::string> &argv, const Streams &streams) {
    return start(argv, streams, std::nullopt);
}

Result<Child> Child::start_tree(const std::vector<std::string> &argv, const Streams &streams, milliseconds grace) {
    return start(argv, streams, grace);
}

Result<Child> Child::start(const std::vector<std::string> &argv, const Streams &streams,
                           std::optional<milliseconds> tree_grace) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0)
        return system_error("process");
    UniqueFd reading{ends[0]};
    UniqueFd writing{ends[1]};
    std::vector<char *> args;
    args.reserve(argv.size() + 1);
    for (const std::string &arg : argv)
        args.push_back(const_cast<char *>(arg.c_str()));
    args.push_back(nullptr);

    Child child;
    const pid_t parent = ::getpid();
    child.pid_ = ::fork();
    if (child.pid_ < 0)
        return system_error("process");
    if (child.pid_ == 0 && tree_grace)
        look_after(args.data(), streams, parent, std::move(writing), *tree_grace);
    if (child.pid_ == 0)
        become(args.data(), streams, parent, writing.get());
    writing.reset();
    child.pidfd_.reset(static_cast<int>(::syscall(SYS_pidfd_open, child.pid_, 0)));
    if (!child.pidfd_)
        return system_error("process.pidfd");
    int reason = 0;
    ssize_t got;
    while ((got = ::read(reading.get(), &reason, sizeof reason)) < 0 && errno == EINTR)
        ;
    if (got == sizeof reason)
        return fail(reason == ENOENT ? Errc::missing : Errc::system, "process", static_cast<std::uint64_t>(reason));
    return child;
}

Child::Child(Child &&other) noexcept
    : pid_(std::exchange(other.pid_, -1)), pidfd_(std::move(other.pidfd_)), status_(std::exchange(other.status_, {})) {}

Child &Child::operator=(Child &&other) noexcept {
    if (this != &other) {
        kill_now();
        pid_ = std::exchange(other.pid_, -1);
        pidfd_ = std::move(other.pidfd_);
        status_ = std::exchange(other.status_, {});
    }
    return *this;
}

Child::~Child() {
    kill_now();
}

void Child::kill_now() {
    if (pid_ > 0 && !status_) {
        signal(SIGKILL);
        (void)wait(std::chrono::hours{1}); // what was killed ends at once; a device that hangs in the kernel may not
    }
}

void Child::signal(int number) {
    if (pid_ > 0 && !status_)
        ::kill(pid_, number); // not reaped yet, so the pid is still its own
}

std::optional<int> Child::wait(std::chrono::milliseconds limit) {
    if (status_)
        return status_;
    if (pid_ <= 0)
        return std::nullopt;
    constexpr milliseconds look_again{5}; // without a pidfd there is nothing to poll
    const auto deadline = std::chrono::steady_clock::now() + limit;
    for (;;) {
        int status = 0;
        const pid_t ended = ::waitpid(pid_, &status, WNOHANG);
        if (ended == pid_)
            return status_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        if (ended < 0 && errno != EINTR)
            return status_ = 126; // somebody else reaped it: cannot happen with our signal settings
        const auto left = std::chrono::ceil<milliseconds>(deadline - std::chrono::steady_clock::now());
        if (left.count() <= 0)
            return std::nullopt;
        pollfd waiting{.fd = pidfd_.get(), .events = POLLIN, .revents = 0};
        const auto most = pidfd_ ? milliseconds{60'000} : look_again;
        (void)::poll(&waiting, 1, static_cast<int>(std::min(left, most).count()));
    }
}

int Child::stop(std::chrono::milliseconds grace) {
    signal(SIGTERM);
    if (!wait(grace))
        kill_now();
    return status_.value_or(0);
}

Result<Captured> run_captured(const std::vector<std::string> &argv, std::chrono::milliseconds limit,
                              std::string_view enough) {
    constexpr std::size_t kept = 64u << 10;
    const auto deadline = std::chrono::steady_clock::now() + limit;
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0)
        return system_error("process");
    UniqueFd reading{ends[0]};
    UniqueFd writing{ends[1]};
    CVMIN_TRY(child, Child::start(argv, {.in = -1, .out = writing.get(), .err = writing.get()}));
    writing.reset();
    Captured captured;
    for (;;) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
        if (left.count() <= 0)
            return fail(Errc::timed_out, "process"); // ~Child kills it
        pollfd waiting{.fd = reading.get(), .events = POLLIN, .revents = 0};
        if (::poll(&waiting, 1, static_cast<int>(std::min<long long>(left.count(), 60'000))) <= 0)
            continue;
        char chunk[4096];
        const ssize_t got = ::read(reading.get(), chunk, sizeof chunk);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        captured.output.append(chunk, std::min(static_cast<std::size_t>(got), kept - captured.output.size()));
        if (!enough.empty() && captured.output.find(enough) != std::string::npos) {
            child.signal(SIGKILL);
            break;
        }
    }
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    const auto status = child.wait(left);
    if (!status)
        return fail(Errc::timed_out, "process");
    captured.status = *status;
    return captured;
}

} // namespace cvmin
