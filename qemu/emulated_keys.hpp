// Identity of the emulated AMD-SP: an emulated ARK, ASK and VCEK, made once per user and kept private.
// The chain has the structure of AMD's (57230), under names that say EMULATED. Not responsible for launches and reports
// (emulated_sp.hpp), nor for who trusts this ARK: nobody does, unless told to by name.
#pragma once

#include "common/bytes.hpp"
#include "common/p384.hpp"
#include "common/secret.hpp"
#include "common/tcb.hpp"

#include <filesystem>
#include <functional>

namespace cvmin {

// The platform that is emulated: one EPYC of the Genoa line with the levels of a real report
// (genoa-v5-oc-mitvector in the test vectors), so that a policy with real minimums has something to compare.
namespace emulated_platform {
inline constexpr Product product = Product::genoa;
inline constexpr std::string_view product_name = "Genoa-B1"; // certificate extension .2
inline constexpr std::uint8_t cpuid_family = 0x19, cpuid_model = 0x11, cpuid_stepping = 0x01;
inline constexpr std::uint8_t boot_loader_spl = 10, tee_spl = 0, snp_spl = 25, microcode_spl = 84;
inline constexpr std::uint8_t firmware_major = 1, firmware_minor = 55, firmware_build = 43;
inline constexpr std::uint64_t mitigation_vector = 1;
// PLATFORM_INFO: bit 0 SMT enabled, bit 2 ECC, bit 5 alias check complete; not: TSME, RAPL disabled, ciphertext hiding.
inline constexpr std::uint64_t platform_info = 1u << 0 | 1u << 2 | 1u << 5;
Tcb tcb();
} // namespace emulated_platform

inline constexpr std::size_t chip_id_size = 64;

struct EmulatedChain { // DER
    Bytes ark, ask, vcek;
};
class EmulatedKeys {
  public:
    static std::filesystem::path directory();                                   // state_directory()/emulated-sp
    static std::filesystem::path ark_file() { return directory() / "ark.der"; } // what relying parties may trust

    // Reads and checks the whole set: chain, keys that fit their certificates, extensions. missing: not made yet (where
    // = "emulated_sp") or a file is gone; malformed, mismatch; out_of_range: not valid now;
    // refused: directory not ours or open to others; system.
    static Result<EmulatedKeys> load(const std::filesystem::path &directory);
    // The same, after making a set when there is none; calls `making` before it does (2 RSA-4096 keys: seconds). A set
    // that is there but broken is an error and is left alone. Two processes at once agree on one set.
    static Result<EmulatedKeys> load_or_make(const std::filesystem::path &directory,
                                             const std::function<void()> &making);

    const EmulatedChain &chain() const { return chain_; }
    const ByteArray<chip_id_size> &chip_id() const { return chip_id_; } // the HWID in the VCEK
    // Signs SHA-384(message) with the VCEK. crypto.
    Result<P384Signature> sign(ByteView message) const;

  private:
    EmulatedKeys() = default;
    EmulatedChain chain_;
    ByteArray<chip_id_size> chip_id_{};
    Secret vcek_key_; // SEC1 DER
};

} // namespace cvmin
