// What firmware and kernel have written down: the firmware's event log, IMA's measurement list. Hands on bytes, and
// loads the policy that says what IMA measures. Replaying them is the verifier's work.
#pragma once

#include "agent-min/measured.hpp"
#include "agent-min/tsm_source.hpp"

#include <array>
#include <string>

namespace cvmin::agent {

// Everything that is executed, by whomever: programs, and files mapped to be executed (libraries). Not what is read
// (FILE_CHECK): data that decides something comes through the agent, which hashes it and records it in its own log; a
// list that grows with every open(2) could be filled by an algorithm, and a full list is none.
inline constexpr std::array<std::string_view, 2> ima_rules{"measure func=BPRM_CHECK",
                                                           "measure func=MMAP_CHECK mask=MAY_EXEC"};
inline constexpr std::size_t max_ima_policy_size = 4096; // ours has under 100 bytes

class KernelLogs final : public BootLogs {
  public:
    // `tsm`: of a kernel that has a provider for reports, else nullptr; outlives it.
    explicit KernelLogs(TsmSource *tsm, std::string securityfs = "/sys/kernel/security")
        : tsm_(tsm), securityfs_(std::move(securityfs)) {}

    // From here on IMA measures by exactly ima_rules. system (errno): there is no IMA, or it does not take them;
    // mismatch: others have loaded rules before us, which come first.
    Result<void> load_ima_policy();

    Bytes event_log() override;
    Bytes ima_log() override;
    std::optional<SvsmEvidence> svsm(const ByteArray<64> &report_data) override;

  private:
    TsmSource *tsm_;
    std::string securityfs_;
};

} // namespace cvmin::agent
