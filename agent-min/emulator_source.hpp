// Reports from the emulated AMD-SP on the host. Chosen only when the kernel has no provider of its own: on a machine
// with SNP it is never asked, and what it signs is trusted by nobody who was not told to.
#pragma once

#include "agent-min/clock.hpp"
#include "agent-min/fd.hpp"
#include "agent-min/report_source.hpp"

namespace cvmin::agent {

// The whole exchange blocks the agent, which has nothing better to do for one request than wait for its report; the
// deadline keeps a host that says nothing from stopping it for longer.
inline constexpr std::uint64_t emulator_timeout_ms = 2000;

class EmulatorLink { // makes connections to the emulated AMD-SP
  public:
    virtual Result<Fd> connect(std::uint64_t deadline_ms) = 0; // non-blocking stream socket

  protected:
    ~EmulatorLink() = default;
};

class EmulatorSource final : public ReportSource {
  public:
    EmulatorSource(EmulatorLink &link, Clock &clock) : link_(link), clock_(clock) {}

    std::string_view name() const override { return "emulated"; }
    // timed_out, system, unreachable: no answer; refused: it answered with an error status; mismatch: sequence or
    // REPORT_DATA is not the request's; parse_sp_response's errors.
    Result<PlatformReport> report(const ByteArray<64> &report_data) override;

  private:
    Result<PlatformReport> exchange(const ByteArray<64> &report_data, std::uint64_t deadline_ms);
    EmulatorLink &link_;
    Clock &clock_;
    std::uint64_t sequence_ = 1;
    bool lost_ = false; // a request went out and no answer came: it may have been counted
};

} // namespace cvmin::agent
