// The agent's runtime log: what is recorded when there is little room, and the mirror of every record in the TPM.
// Append-only; the format is common/runtime_log.hpp's.
#pragma once

#include "agent-min/clock.hpp"
#include "agent-min/measured.hpp"
#include "common/runtime_log.hpp"

namespace cvmin::agent {

// Kept for what matters when anybody who reaches the port can have sessions recorded: 16 secrets, max_violations
// violations, manifest, 17 inputs, start, result, its end, the loss of the TPM, and the marks of what was dropped take
// 14,768 bytes in 72 records when each is as large as it can be (test_agent_log), and 768 bytes and 2 records are kept
// for the end of the log. The rest is for kinds that are not there yet.
inline constexpr std::size_t log_reserve = 20u << 10;
inline constexpr std::size_t log_reserve_records = 128;
// What nobody who only reaches the port may fill the reserve with.
inline constexpr unsigned max_violations = 32;

// Anybody may make these, and the agent does them whether they are recorded or not.
template <class E>
concept Droppable = std::same_as<E, event::SessionOpened> || std::same_as<E, event::Stop>;

class RuntimeLog {
  public:
    // `tpm` may be nullptr: there is none.
    RuntimeLog(Clock &clock, Tpm *tpm, RuntimeLogWriter writer = RuntimeLogWriter{})
        : clock_(clock), tpm_(tpm), writer_(std::move(writer)) {}
    RuntimeLog(const RuntimeLog &) = delete;
    RuntimeLog &operator=(const RuntimeLog &) = delete;

    // Whether record() will take an event. If not the log says that it is full, and what would have to be recorded must
    // not be done: ask before doing it.
    bool has_room();
    void record(const Event &event); // what matters
    // Leaves the reserve alone. The first session that is dropped is replaced by the mark that says so.
    template <Droppable E> void note(const E &event) {
        note(Event{event}, event::SessionsDropped{}, sessions_dropped_);
    }
    void violation(const event::Violation &violation); // at most max_violations

    // The TPM while it works. An error of it that says that it does not (every one but those that measured.hpp names)
    // goes to lost(), after which there is none.
    Tpm *tpm() const { return tpm_; }
    void lost(const Error &error);

    const Sha384Digest &head() const { return writer_.head(); }
    std::size_t count() const { return writer_.count(); }
    Bytes log() const { return writer_.log(); }
    ByteView records_from(std::uint64_t number) const { return writer_.records_from(number); }

  private:
    void note(const Event &event, const Event &mark, bool &dropped);
    bool append(const Event &event, std::size_t keep, std::size_t keep_records);

    Clock &clock_;
    Tpm *tpm_;
    RuntimeLogWriter writer_;
    bool sessions_dropped_ = false, violations_dropped_ = false, full_ = false;
    unsigned violations_ = 0;
};

} // namespace cvmin::agent
