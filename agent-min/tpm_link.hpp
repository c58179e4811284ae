// The way to the TPM: one command, one answer, a deadline for each. What ESYS sends goes through here, and what comes
// back is checked here for its outer form before ESYS sees it. Knows nothing of what commands mean.
#pragma once

#include "agent-min/clock.hpp"
#include "agent-min/fd.hpp"
#include "common/bytes.hpp"

#include <optional>

#include <tss2/tss2_tcti.h>

namespace cvmin::agent {

// TPM 2.0 Part 2, 6.10.2 and the kernel's TPM_BUFSIZE: neither a command nor an answer is longer.
inline constexpr std::size_t max_tpm_message_size = 4096;
// For one command. A vTPM needs some milliseconds, and a second for an RSA key; what takes longer is no TPM for us.
inline constexpr std::uint64_t tpm_command_timeout_ms = 2000;

class TpmDevice { // where commands go: /dev/tpm0, a socket of swtpm, a script of a test
  public:
    // The whole command, or an error. Does not wait.
    virtual Result<void> send(ByteView command) = 0;
    // Up to out.size() bytes of the answer to the last command, in pieces of any size (the kernel gives all at once).
    // timed_out: not by then; unreachable: end of file.
    virtual Result<std::size_t> receive(MutableBytes out, std::uint64_t deadline_ms) = 0;

  protected:
    ~TpmDevice() = default;
};

// A non-blocking descriptor. Of /dev/tpm0 it is never asked whether there is an answer while a command is under way: in
// Linux 6.12 poll(2), read(2) and close(2) then wait for the command, however long the TPM takes. An epoll that watches
// for edges since before the command only waits to be woken. So the descriptor is not closed either before its user is.
class FdTpmDevice final : public TpmDevice {
  public:
    static Result<FdTpmDevice> open(Fd fd, Clock &clock); // system (errno)
    Result<void> send(ByteView command) override;
    Result<std::size_t> receive(MutableBytes out, std::uint64_t deadline_ms) override;

  private:
    FdTpmDevice(Fd fd, Fd epoll, Clock &clock) : fd_(std::move(fd)), epoll_(std::move(epoll)), clock_(clock) {}
    Fd fd_;
    Fd epoll_;
    Clock &clock_;
};

// The outer form of an answer (TPM 2.0 Part 1, 18): size field = size, a tag of TPM 2.0; a success has the command's
// tag, a failure no sessions and no body. truncated, trailing, unsupported: the tag.
Result<void> check_tpm_answer(ByteView answer, std::uint16_t command_tag);

// The TCTI that ESYS is given. After the first fault (I/O, time, form) every command fails at once, until the end.
class TpmLink {
  public:
    TpmLink(TpmDevice &device, Clock &clock);
    TpmLink(const TpmLink &) = delete;
    TpmLink &operator=(const TpmLink &) = delete;

    // From now on all commands together may take so long, until begin() is called again.
    void begin(std::uint64_t budget_ms) { operation_deadline_ms_ = clock_.now_ms() + budget_ms; }
    // Ends it for good; the first reason stays.
    void fault(const Error &error) {
        if (!fault_)
            fault_ = error;
    }
    const std::optional<Error> &fault() const { return fault_; }
    TSS2_TCTI_CONTEXT *tcti() { return reinterpret_cast<TSS2_TCTI_CONTEXT *>(&context_); }

  private:
    struct Context { // as the TCTI specification lays it out: the common part first
        TSS2_TCTI_CONTEXT_COMMON_V2 common;
        TpmLink *link;
    };
    static TpmLink &from(TSS2_TCTI_CONTEXT *context) { return *reinterpret_cast<Context *>(context)->link; }
    static TSS2_RC transmit(TSS2_TCTI_CONTEXT *context, std::size_t size, const std::uint8_t *command);
    static TSS2_RC receive(TSS2_TCTI_CONTEXT *context, std::size_t *size, std::uint8_t *response, std::int32_t);
    Result<void> send(ByteView command);
    Result<void> take_answer();

    TpmDevice &device_;
    Clock &clock_;
    Context context_{};
    std::optional<Error> fault_;
    std::uint64_t operation_deadline_ms_ = 0; // nothing is allowed before begin()
    std::uint64_t command_deadline_ms_ = 0;
    std::uint16_t command_tag_ = 0;
    bool waiting_ = false;        // a command is under way
    std::size_t answer_size_ = 0; // of the answer that ESYS has not taken yet
    ByteArray<max_tpm_message_size> answer_{};
};

} // namespace cvmin::agent
