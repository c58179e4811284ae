#include "image/child.hpp"

#include "host-tools/base/os.hpp"

#include <cerrno>
#include <csignal>
#include <cstdlib>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace cvmin {

static constexpr int handled[] = {SIGINT, SIGTERM, SIGHUP};
static volatile std::sig_atomic_t noted_signal = 0;
static volatile std::sig_atomic_t child_group = 0;
static struct sigaction former[std::size(handled)];

static void on_signal(int number) {
    const int saved = errno;
    noted_signal = number;
    if (child_group > 0)
        ::kill(-child_group, SIGTERM);
    errno = saved;
}

Interrupts::Interrupts() {
    noted_signal = 0;
    struct sigaction action{};
    action.sa_handler = on_signal; // without SA_RESTART: waiting calls return
    for (std::size_t i = 0; i < std::size(handled); ++i) {
        ::sigaction(handled[i], nullptr, &former[i]);
        if (former[i].sa_handler != SIG_IGN) // nohup stays nohup
            ::sigaction(handled[i], &action, nullptr);
    }
}

Interrupts::~Interrupts() {
    for (std::size_t i = 0; i < std::size(handled); ++i)
        ::sigaction(handled[i], &former[i], nullptr);
}

int Interrupts::signal() const {
    return noted_signal;
}

static std::unexpected<Error> os_error(std::string_view where) {
    return fail(Errc::system, where, static_cast<std::uint64_t>(errno));
}

Result<ChildResult> run_child(const std::vector<std::string> &argv, const ChildOptions &options,
                              const Interrupts &interrupts) {
    int ends[2] = {-1, -1};
    if (options.capture_output && ::pipe2(ends, O_CLOEXEC) != 0)
        return os_error("process");
    UniqueFd reading{ends[0]};
    UniqueFd writing{ends[1]};
    UniqueFd null{::open("/dev/null", O_RDONLY | O_CLOEXEC)};
    if (!null)
        return os_error("/dev/null");
    UniqueFd log;
    if (!options.log.empty()) {
        log.reset(::open(options.log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
        if (!log)
            return os_error("process.log");
    }
    std::vector<char *> args;
    args.reserve(argv.size() + 1);
    for (const auto &arg : argv)
        args.push_back(const_cast<char *>(arg.c_str()));
    args.push_back(nullptr);

    // Blocked until the group is known: no signal may fall between fork and the handler's knowledge of it.
    sigset_t blocked, before;
    ::sigemptyset(&blocked);
    for (const int number : handled)
        ::sigaddset(&blocked, number);
    ::sigprocmask(SIG_BLOCK, &blocked, &before);
    if (interrupts.signal() != 0) {
        ::sigprocmask(SIG_SETMASK, &before, nullptr);
        return fail(Errc::system, "process", EINTR);
    }
    const pid_t pid = ::fork();
    if (pid == 0) {
        ::setpgid(0, 0);
        for (const int number : handled)
            std::signal(number, SIG_DFL);
        ::sigprocmask(SIG_SETMASK, &before, nullptr);
        ::dup2(null.get(), STDIN_FILENO);
        ::dup2(options.capture_output ? writing.get() : log ? log.get() : STDERR_FILENO, STDOUT_FILENO);
        if (log)
            ::dup2(log.get(), STDERR_FILENO);
        for (const auto &[key, value] : options.environment)
            ::setenv(key.c_str(), value.c_str(), 1);
        ::execvp(args[0], args.data());
        ::_exit(127);
    }
    if (pid > 0) {
        ::setpgid(pid, pid); // in both, whoever comes first
        child_group = pid;
    }
    const int fork_errno = errno;
    ::sigprocmask(SIG_SETMASK, &before, nullptr);
    if (pid < 0) {
        errno = fork_errno;
        return os_error("process");
    }

    writing.reset();
    ChildResult result;
    bool too_large = false;
    if (reading) {
        char buffer[4096];
        ssize_t got;
        while ((got = ::read(reading.get(), buffer, sizeof buffer)) > 0 || (got < 0 && errno == EINTR)) {
            if (got > 0 && result.output.size() < max_child_output)
                result.output.append(buffer, static_cast<std::size_t>(got));
            else if (got > 0)
                too_large = true; // read on, so that the child can end
        }
    }
    int status = 0;
    while (::waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            break;
    child_group = 0;
    result.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    if (result.status == 127)
        return fail(Errc::missing, "process");
    if (too_large)
        return fail(Errc::too_large, "process.output");
    return result;
}

} // namespace cvmin
