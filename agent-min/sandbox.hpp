// Running one program of which nothing is trusted: start, limits, log, what it leaves in its output folder, end. What
// the program is, and who may have its result, is not decided here. Driven by the agent's event loop through file
// descriptors and a deadline; no threads. docs/sandbox.md says what the program finds and what it cannot do.
#pragma once

#include "agent-min/clock.hpp"
#include "agent-min/fd.hpp"
#include "common/manifest.hpp"

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace cvmin::agent {

inline constexpr std::size_t max_log_size =
    std::size_t{64} * 1024;                             // standard output and error together; the rest is dropped
inline constexpr std::size_t max_output_files = 64;     // listed in one answer, whose frame has 64 KiB
inline constexpr std::size_t max_output_name_size = 64; // the same

struct SandboxJob {
    int program_fd;                // a memfd with a static ELF executable, sealed against writing; stays the caller's
    std::vector<std::string> argv; // [0] is what the program finds as its name
    std::vector<std::string> env;  // NAME=value
    const char *inputs_dir; // shown as /in, read-only; user 65534 must be able to read it (directory 0755, files 0444)
    Limits limits;
};

// What ended the run.
enum class Ended : std::uint8_t { by_itself, wall_limit, cpu_limit, memory_limit, killed };

struct SandboxExit {
    int wait_status;           // as wait(2) has it
    Ended ended;               // killed: by kill()
    std::uint64_t cpu_us;      // of all processes
    std::uint64_t memory_peak; // bytes; 0: not known
};

struct OutputFile {
    std::string name; // [A-Za-z0-9._-]{1,64}
    std::uint64_t size;
};

// One run after another, never two at once. An interface, so that who decides about runs is tested without a kernel's
// help.
class Sandbox {
  public:
    // Returns when the program has been executed (some milliseconds), or the reason why it has not: `where` names the
    // step, detail is the errno. busy: the run before has not been cleaned up. After an error nothing is left of the
    // run.
    virtual Result<void> start(const SandboxJob &job) = 0;
    // To wait for with epoll, for reading; -1 while there is nothing to wait for. Both change with start, tick and
    // clean.
    virtual int exit_fd() const = 0; // readable: the program has ended
    virtual int log_fd() const = 0;  // readable: it has written, or has closed its end
    // When tick wants to be called without anything being readable; nothing: no run is under way. Of the clock given at
    // open.
    virtual std::optional<std::uint64_t> deadline_ms() const = 0;
    // Takes what was written, at most 256 KiB a call, and keeps max_log_size of it; ends the run at a limit. The end,
    // once, when it is there: all its processes are gone, the log is complete and outputs() can be asked. system: the
    // limits cannot be watched any more; the run is killed, and clean() must follow.
    virtual Result<std::optional<SandboxExit>> tick() = 0;
    virtual ByteView log() const = 0;       // so far; valid until the next call of start or clean
    virtual bool log_truncated() const = 0; // more was written than is kept
    // After the end, sorted by name. unsupported: something that is no regular file, or has a second name; malformed: a
    // name; too_large: more files, or together more bytes (holes count), than allowed.
    virtual Result<std::vector<OutputFile>> outputs() = 0;
    // Bytes of a file that outputs() listed. truncated: it has fewer than asked for.
    virtual Result<void> read_output(const std::string &name, std::uint64_t offset, std::span<std::byte> into) = 0;
    virtual void kill() = 0; // at once, with all it has started; the end still comes out of tick
    // Kills what runs, and gives everything back: processes, log, outputs, memory. Nothing to do is no error.
    virtual Result<void> clean() = 0;

  protected:
    Sandbox() = default;
    Sandbox(const Sandbox &) = default;
    Sandbox &operator=(const Sandbox &) = default;
    ~Sandbox() = default;
};

// What outputs() and read_output() are made of: `folder` is open, and nobody changes it.
Result<std::vector<OutputFile>> list_outputs(int folder, std::uint64_t most_bytes);
Result<void> read_output_file(int folder, const std::string &name, std::uint64_t offset, std::span<std::byte> into);

// By namespaces, cgroup v2, Landlock and seccomp. Every one of them must be there: what the kernel lacks is an error of
// open. The program's process is a child of the agent: nobody else may wait for it (no waitpid(-1) while a run is under
// way).
class KernelSandbox final : public Sandbox {
  public:
    // Needs the mounts of mounts.hpp. `clock` outlives the sandbox.
    static Result<std::unique_ptr<KernelSandbox>> open(Clock &clock);
    KernelSandbox(const KernelSandbox &) = delete;
    KernelSandbox &operator=(const KernelSandbox &) = delete;
    ~KernelSandbox();

    Result<void> start(const SandboxJob &job) override;
    int exit_fd() const override { return process_.get(); }
    int log_fd() const override { return log_pipe_.get(); }
    std::optional<std::uint64_t> deadline_ms() const override;
    Result<std::optional<SandboxExit>> tick() override;
    ByteView log() const override { return log_; }
    bool log_truncated() const override { return log_truncated_; }
    Result<std::vector<OutputFile>> outputs() override;
    Result<void> read_output(const std::string &name, std::uint64_t offset, std::span<std::byte> into) override;
    void kill() override;
    Result<void> clean() override;

  private:
    explicit KernelSandbox(Clock &clock) : clock_(clock) {}
    Result<void> try_start(const SandboxJob &job);
    void take_log(std::size_t most);
    Result<std::optional<SandboxExit>> look();
    Result<std::optional<SandboxExit>> collect();
    Result<void> end(Ended why);

    Clock &clock_;
    Fd process_;  // pidfd
    Fd log_pipe_; // the agent's end
    Fd output_;   // the output folder, which outlives the program
    Limits limits_{};
    std::uint64_t wall_end_ms_ = 0;
    std::uint64_t cpu_check_ms_ = 0;
    Ended ended_ = Ended::by_itself;
    Bytes log_;
    bool log_truncated_ = false;
};

} // namespace cvmin::agent
