// A child process that does not outlive us: started with the streams it is given, killed and reaped by its owner, and
// killed by the kernel when we die first.
#pragma once

#include "host-tools/base/os.hpp"

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include <sys/types.h>

namespace cvmin {

class Child {
  public:
    struct Streams { // -1: /dev/null
        int in = -1, out = -1, err = -1;
    };
    // argv[0] is looked up in PATH. missing: no such program; system: it could not be started. Must be called by the
    // process's only thread: the kernel ties "when the parent dies" to the thread.
    static Result<Child> start(const std::vector<std::string> &argv, const Streams &streams);
    // For a program that starts others in the background: a process of ours stands between, which all of them fall to
    // when they lose their parent, and which ends what is left of them when the program ends, when it gets SIGTERM, or
    // when we die; in the last two cases it first gives the program `grace` to end by itself and clean up. Its status
    // is the program's.
    static Result<Child> start_tree(const std::vector<std::string> &argv, const Streams &streams,
                                    std::chrono::milliseconds grace);
    Child() = default;
    Child(Child &&) noexcept;
    Child &operator=(Child &&) noexcept;
    ~Child(); // SIGKILL, and waits

    pid_t pid() const { return pid_; }
    int pidfd() const { return pidfd_.get(); } // readable when it has ended
    // Exit status, 128 + signal when killed; nothing: it still runs after `limit`.
    std::optional<int> wait(std::chrono::milliseconds limit);
    // Asks by SIGTERM, insists by SIGKILL after `grace`. Returns the status as wait() does.
    int stop(std::chrono::milliseconds grace);
    void signal(int number);

  private:
    static Result<Child> start(const std::vector<std::string> &argv, const Streams &streams,
                               std::optional<std::chrono::milliseconds> tree_grace);
    void kill_now();

    pid_t pid_ = -1;
    UniqueFd pidfd_;
    std::optional<int> status_;
};

// Runs to its end with standard output and error together captured (at most 64 KiB are kept), or until `enough` is
// among the output: then it is killed, and the status is 128 + SIGKILL. timed_out: killed.
struct Captured {
    int status = 0;
    std::string output;
};
Result<Captured> run_captured(const std::vector<std::string> &argv, std::chrono::milliseconds limit,
                              std::string_view enough = {});

} // namespace cvmin
