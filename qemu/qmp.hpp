// A small QMP client (QEMU Machine Protocol): one connection, one command at a time; of the events only STOP and RESUME
// are remembered. Not responsible for starting QEMU, nor for what commands mean.
#pragma once

#include "host-tools/base/json.hpp"
#include "host-tools/base/os.hpp"

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>

namespace cvmin {

using Deadline = std::chrono::steady_clock::time_point;

struct QemuVersion {
    unsigned major = 0, minor = 0, micro = 0;
    friend auto operator<=>(const QemuVersion &, const QemuVersion &) = default;
};
std::string to_string(const QemuVersion &version);
// Of the first line that `qemu-system-x86_64 --version` prints. malformed.
Result<QemuVersion> parse_qemu_version(std::string_view text);

// The longest line that a command of ours is answered with is under 1 KiB; events are under 4 KiB.
inline constexpr std::size_t max_qmp_line = 64u << 10;

struct QmpMessage {
    enum class Kind : std::uint8_t { greeting, success, failure, event };
    Kind kind = Kind::event;
    Json body;            // "return" of a success, version of a greeting, else null
    std::string text;     // description of a failure, name of an event
    std::uint64_t id = 0; // of success and failure
};
// One line without its newline. malformed, too_large.
Result<QmpMessage> parse_qmp_line(std::string_view line);

class Qmp {
  public:
    // Connects, retrying while the socket is not there yet, reads the greeting and leaves negotiation mode.
    // timed_out; unreachable; malformed: the peer does not speak QMP.
    static Result<Qmp> connect(const std::filesystem::path &socket, Deadline deadline);

    const QemuVersion &version() const { return version_; }
    int fd() const { return fd_.get(); } // readable: call take_events
    // "return" of the answer. refused: QEMU answered with an error (see failure()); unreachable: it closed; timed_out.
    Result<Json> execute(std::string_view command, const Json &arguments, Deadline deadline);
    const std::string &failure() const { return failure_; } // text of the last refused command
    // Reads the events that are there without waiting. unreachable: QEMU closed the connection; malformed; too_large.
    Result<void> take_events();
    // The guest was stopped and not resumed, by whomever: an event said so.
    bool stopped() const { return stopped_; }

  private:
    Result<std::optional<QmpMessage>> buffered(); // a whole line, if there is one
    Result<QmpMessage> next(Deadline deadline);
    Result<void> fill(Deadline deadline); // reads once; timed_out, unreachable

    UniqueFd fd_;
    std::string buffer_; // bytes after the last whole line
    QemuVersion version_;
    std::string failure_;
    std::uint64_t last_id_ = 0;
    bool stopped_ = false;
};

} // namespace cvmin
