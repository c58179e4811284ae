// Ctrl-C for commands that ask a service and wait: the signal is kept, so that the command ends where nothing is half
// done.
#pragma once

#include "host-tools/base/os.hpp"
#include "host-tools/collateral/retry.hpp"

#include <csignal>
#include <random>

#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

namespace cvmin {

// From construction on SIGINT, SIGTERM and SIGHUP are kept, asked for, and at the end given back: nothing is left half
// written, and the shell sees how the command ended.
class Signals {
  public:
    Signals() {
        sigset_t handled;
        sigemptyset(&handled);
        for (const int number : {SIGINT, SIGTERM, SIGHUP})
            sigaddset(&handled, number);
        ::sigprocmask(SIG_BLOCK, &handled, &before_);
        fd_ = UniqueFd{::signalfd(-1, &handled, SFD_CLOEXEC | SFD_NONBLOCK)};
    }
    Signals(const Signals &) = delete;
    Signals &operator=(const Signals &) = delete;
    ~Signals() { ::sigprocmask(SIG_SETMASK, &before_, nullptr); }

    bool arrived() { return wait(std::chrono::milliseconds{0}); }
    bool wait(std::chrono::milliseconds time) { // whether one came
        pollfd waiting{.fd = fd_.get(), .events = POLLIN, .revents = 0};
        signalfd_siginfo info{};
        if (signal_ == 0 && ::poll(&waiting, 1, static_cast<int>(time.count())) > 0 &&
            ::read(fd_.get(), &info, sizeof info) == sizeof info)
            signal_ = static_cast<int>(info.ssi_signo);
        return signal_ != 0;
    }
    void end_by_it() { // does not return if one came
        if (signal_ == 0)
            return;
        ::signal(signal_, SIG_DFL);
        ::sigprocmask(SIG_SETMASK, &before_, nullptr);
        ::raise(signal_);
    }

  private:
    sigset_t before_{};
    UniqueFd fd_;
    int signal_ = 0;
};

// Waits that end with a signal.
class RealPacing final : public Pacing {
  public:
    explicit RealPacing(Signals &signals) : signals_(signals) {}
    std::chrono::steady_clock::time_point now() override { return std::chrono::steady_clock::now(); }
    bool wait(std::chrono::milliseconds time) override { return !signals_.wait(time); }
    double random() override { return std::uniform_real_distribution<double>{0, 1}(source_); }

  private:
    Signals &signals_;
    std::random_device source_; // once a second at most
};

} // namespace cvmin
