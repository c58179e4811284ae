// fork, exec, pidfd.
#include "qemu/child.hpp"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace cvmin {

using std::chrono::milliseconds;

static std::unexpected<Error> system_error(std::string_view where) {
    return fail(Errc::system, where, static_cast<std::uint64_t>(errno));
}

// In the child: never returns. The reason why it could not start is written to `report`.
[[noreturn]] static void become(char **args, const Child::Streams &streams, pid_t parent, int report) {
    auto give_up = [&] {
        const int reason = errno;
        const ssize_t written = ::write(report, &reason, sizeof reason);
        ::_exit(written == sizeof reason ? 127 : 126);
    };
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
        give_up();
    if (::dup2(streams.in < 0 ? null : streams.in, STDIN_FILENO) < 0 ||
        ::dup2(streams.out < 0 ? null : streams.out, STDOUT_FILENO) < 0 ||
        ::dup2(streams.err < 0 ? null : streams.err, STDERR_FILENO) < 0)
        give_up();
    ::execvp(args[0], args);
    give_up();
    std::abort();
}

Result<Child> Child::start(const std::vector<std::string> &argv, const Streams &streams) {
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
