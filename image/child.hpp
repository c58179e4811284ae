// Child processes of a build, and interrupts: each child leads its own process group, so that Ctrl-C or a kill of ours
// ends all of it, however deep, and the build can clean up before it dies of the signal itself.
#pragma once

#include "common/error.hpp"

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace cvmin {

// While one exists, SIGINT, SIGTERM and SIGHUP are noted and passed on to the running child's group. One at a time.
class Interrupts {
  public:
    Interrupts();
    ~Interrupts(); // restores the former dispositions
    Interrupts(const Interrupts &) = delete;
    Interrupts &operator=(const Interrupts &) = delete;
    int signal() const; // 0: none yet
};

struct ChildOptions {
    std::vector<std::pair<std::string, std::string>> environment; // added to ours
    bool capture_output = false; // standard output; else it goes to the log or to our standard error
    std::filesystem::path log;   // when not empty: both streams are appended here
};
struct ChildResult {
    int status = 0; // exit status; 128 + signal when killed
    std::string output;
};
inline constexpr std::size_t max_child_output = 1u << 20; // our scripts print one path
// Runs and waits; standard input is empty. system (errno), missing (no such program), too_large (output).
Result<ChildResult> run_child(const std::vector<std::string> &argv, const ChildOptions &options,
                              const Interrupts &interrupts);

} // namespace cvmin
