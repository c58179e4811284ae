// A TPM that answers from a script, each answer spoilt as a test wants it, under a clock that is the test's.
#pragma once

#include "agent-min/esys_tpm.hpp"
#include "tests/unit/agent_fakes.hpp"

#include <functional>

namespace cvmin::test {

struct ScriptedAnswer {
    std::uint32_t code = 0; // of the command it was for
    Bytes bytes;
};

// Command code, size, both 4 bytes big-endian, answer; as cvmin-test-tpm records it. Ends at the first that is not
// whole.
inline std::vector<ScriptedAnswer> parse_script(ByteView bytes) {
    std::vector<ScriptedAnswer> script;
    Reader reader{bytes};
    while (reader.ok() && reader.left() != 0) {
        const auto code = static_cast<std::uint32_t>(reader.be(4));
        const ByteView answer = reader.take(reader.be(4));
        if (reader.ok())
            script.push_back({code, to_bytes(answer)});
    }
    return script;
}

class ScriptedDevice final : public agent::TpmDevice {
  public:
    ScriptedDevice(std::vector<ScriptedAnswer> script, FakeClock &clock) : script_(std::move(script)), clock_(clock) {}

    std::size_t piece = agent::max_tpm_message_size; // most bytes at once
    std::uint64_t delay_ms = 0;                      // until an answer begins
    bool silent = false;                             // no answer any more
    bool strict = true;                              // commands must be those of the script
    std::optional<Error> send_error;
    std::size_t sent = 0; // commands
    bool off_script = false;

    Result<void> send(ByteView command) override {
        ++sent;
        if (send_error)
            return std::unexpected(*send_error);
        if (command.size() < 10 || load_be(command.subspan(2, 4)) != command.size())
            off_script = true;
        answer_ = {};
        if (next_ < script_.size()) {
            if (strict && load_be(command.subspan(6, 4)) != script_[next_].code)
                off_script = true;
            answer_ = script_[next_++].bytes;
        } else if (strict) {
            off_script = true;
        }
        begun_ = false;
        return {};
    }
    Result<std::size_t> receive(MutableBytes out, std::uint64_t deadline_ms) override {
        const std::uint64_t now = clock_.us / 1000;
        const std::uint64_t at = begun_ ? now : now + delay_ms;
        if (silent || at >= deadline_ms || (answer_.empty() && begun_)) {
            clock_.us = std::max(clock_.us, deadline_ms * 1000);
            return cvmin::fail(Errc::timed_out, "tpm.receive");
        }
        clock_.us = at * 1000;
        begun_ = true;
        if (answer_.empty() || out.empty())
            return cvmin::fail(Errc::unreachable, "tpm.receive");
        const std::size_t count = std::min({out.size(), answer_.size(), piece});
        std::copy_n(answer_.begin(), count, out.begin());
        answer_.erase(answer_.begin(), answer_.begin() + static_cast<std::ptrdiff_t>(count));
        return count;
    }
    std::size_t played() const { return next_; }

  private:
    std::vector<ScriptedAnswer> script_;
    FakeClock &clock_;
    std::size_t next_ = 0;
    Bytes answer_;
    bool begun_ = false;
};

// What the recorded session was: everything that the agent asks of a TPM. The number of steps that worked.
inline constexpr std::size_t session_steps = 5;
inline const request::PcrSelection session_pcrs{TpmAlg::sha256, 0xffffff};
inline const request::PcrSelection session_few_pcrs{TpmAlg::sha384, 0x8011};

struct Played {
    std::size_t steps = 0;
    std::unique_ptr<agent::EsysTpm> tpm;
    std::optional<TpmEvidence> quote;
    Bytes credential;
    std::optional<Error> error; // of the step that failed
    std::uint64_t longest_ms = 0;
};

inline Played play(ScriptedDevice &device, FakeClock &clock) {
    Played out;
    std::uint64_t started = clock.us;
    const auto ended = [&](const auto &result) {
        out.longest_ms = std::max(out.longest_ms, (clock.us - started) / 1000);
        started = clock.us;
        if (!result)
            out.error = result.error();
        else
            ++out.steps;
        return result.has_value();
    };
    auto opened = agent::EsysTpm::open(device, clock);
    if (!ended(opened))
        return out;
    out.tpm = std::move(*opened);
    if (!ended(out.tpm->extend(filled<32>(0x01), filled<48>(0x02))))
        return out;
    auto quote = out.tpm->quote(session_pcrs, filled<32>(0xc5));
    if (!ended(quote))
        return out;
    out.quote = std::move(*quote);
    if (!ended(out.tpm->quote(session_few_pcrs, filled<32>(0xc5))))
        return out;
    auto credential = out.tpm->activate(Bytes(52), Bytes(256));
    if (ended(credential))
        out.credential = std::move(*credential);
    return out;
}

} // namespace cvmin::test
