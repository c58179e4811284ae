// The emulated AMD-SP of one guest: launch as a state machine, then attestation reports. AMD 56860,
// SNP_LAUNCH_START, SNP_LAUNCH_UPDATE, SNP_LAUNCH_FINISH, MSG_REPORT_REQ. Refuses what the real one refuses.
// Encrypts nothing and protects nothing: it is test equipment. No I/O; who feeds it pages is vm.cpp's business.
#pragma once

#include "common/launch.hpp"
#include "common/protocol.hpp"
#include "common/snp_report.hpp"
#include "host-tools/signing/id_block.hpp"
#include "qemu/emulated_keys.hpp"

#include <optional>

namespace cvmin {

// POLICY bits that decide whether this platform can start a guest; the others are the guest owner's wishes.
namespace policy_bit {
inline constexpr std::uint64_t smt_allowed = 1ull << 16;
inline constexpr std::uint64_t reserved_one = 1ull << 17;
inline constexpr std::uint64_t xts_required = 1ull << 22;
inline constexpr std::uint64_t rapl_disabled = 1ull << 23;
inline constexpr std::uint64_t ciphertext_hiding = 1ull << 24;
inline constexpr std::uint64_t must_be_zero = ~std::uint64_t{0} << 26; // bits 26-63 of a version 5 firmware
} // namespace policy_bit

// unsupported, with the policy as detail and `where` naming the reason: bit 17 is not 1; a reserved bit is set; an ABI
// version above the firmware's; SMT forbidden (this platform has it on); AES-256-XTS, RAPL disabled or ciphertext
// hiding required (it has none of them).
Result<void> check_guest_policy(std::uint64_t policy);

class EmulatedSp {
  public:
    explicit EmulatedSp(EmulatedKeys keys);

    // Every call out of order is refused: Errc::refused, "emulated_sp.state".
    Result<void> launch_start(std::uint64_t policy); // see check_guest_policy
    // `contents` has `size` bytes for types that are measured by content (normal, vmsa), else it is empty.
    // out_of_range: not whole pages, or past the 52-bit address space; unsupported: page type.
    Result<void> launch_update(PageType type, std::uint64_t gpa, std::uint64_t size, ByteView contents);
    struct Finish {
        ByteArray<32> host_data{};
        ByteView id_block; // both or none
        ByteView id_auth;
        bool author_key_enabled = false;
    };
    // mismatch: the ID block's digest or policy is not this launch's, or a signature; unsupported: its version.
    Result<void> launch_finish(const Finish &finish);

    // Why launch_finish() refused this ID block, for people: which check, what the launch has and what the block says.
    std::string why_refused(const Finish &finish, const Error &error) const;

    const Sha384Digest &launch_digest() const { return digest_.value(); }
    std::uint64_t policy() const { return policy_; }

    // One guest message. Sequence numbers start at 1 and go up by 2 (the response has the one between), over all
    // connections of the guest; a request out of order, or for a VMPL above 3, is refused and changes nothing.
    SpResponse guest_request(const SpRequest &request);

  private:
    enum class State : std::uint8_t { init, launching, running };
    Result<Bytes> make_report(const SpRequest &request) const;

    EmulatedKeys keys_;
    State state_ = State::init;
    LaunchDigest digest_;
    std::uint64_t policy_ = 0;
    std::uint64_t next_sequence_ = 1;
    SnpReport template_{}; // all that does not change from report to report
    Bytes certificates_;
};

} // namespace cvmin
