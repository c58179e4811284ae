// SEV-SNP attestation report. AMD 56860 "SEV Secure Nested Paging Firmware ABI", table ATTESTATION_REPORT.
// Decodes and encodes; does not judge (see appraise). Unknown versions and set reserved bits are decoded, not refused.
#pragma once

#include "common/bytes.hpp"
#include "common/hash.hpp"

namespace cvmin {

inline constexpr std::size_t snp_report_size = 1184;
inline constexpr std::size_t snp_report_signed_size = 0x2A0; // the signature covers bytes 0x000..0x29F
inline constexpr std::uint32_t signature_algo_ecdsa_p384_sha384 = 1;

namespace report_field { // in table order
using version = Field<0x000, 4>;
using guest_svn = Field<0x004, 4>;
using policy = Field<0x008, 8>;
using family_id = Field<0x010, 16>;
using image_id = Field<0x020, 16>;
using vmpl = Field<0x030, 4>;
using signature_algo = Field<0x034, 4>;
using current_tcb = Field<0x038, 8>;
using platform_info = Field<0x040, 8>;
using key_info = Field<0x048, 4>; // bit 0 AUTHOR_KEY_EN, 1 MASK_CHIP_KEY, 2-4 SIGNING_KEY
using reserved_04c = Field<0x04C, 4>;
using report_data = Field<0x050, 64>;
using measurement = Field<0x090, 48>;
using host_data = Field<0x0C0, 32>;
using id_key_digest = Field<0x0E0, 48>;
using author_key_digest = Field<0x110, 48>;
using report_id = Field<0x140, 32>;
using report_id_ma = Field<0x160, 32>;
using reported_tcb = Field<0x180, 8>;
using cpuid_family = Field<0x188, 1>;
using cpuid_model = Field<0x189, 1>;
using cpuid_stepping = Field<0x18A, 1>;
using reserved_18b = Field<0x18B, 21>;
using chip_id = Field<0x1A0, 64>;
using committed_tcb = Field<0x1E0, 8>;
using current_build = Field<0x1E8, 1>;
using current_minor = Field<0x1E9, 1>;
using current_major = Field<0x1EA, 1>;
using reserved_1eb = Field<0x1EB, 1>;
using committed_build = Field<0x1EC, 1>;
using committed_minor = Field<0x1ED, 1>;
using committed_major = Field<0x1EE, 1>;
using reserved_1ef = Field<0x1EF, 1>;
using launch_tcb = Field<0x1F0, 8>;
using launch_mit_vector = Field<0x1F8, 8>;
using current_mit_vector = Field<0x200, 8>;
using reserved_208 = Field<0x208, 152>;
using signature_r = Field<0x2A0, 72>; // little-endian, zero padded
using signature_s = Field<0x2E8, 72>;
using reserved_330 = Field<0x330, 368>;
static_assert(
    fields_tile<snp_report_size, version, guest_svn, policy, family_id, image_id, vmpl, signature_algo, current_tcb,
                platform_info, key_info, reserved_04c, report_data, measurement, host_data, id_key_digest,
                author_key_digest, report_id, report_id_ma, reported_tcb, cpuid_family, cpuid_model, cpuid_stepping,
                reserved_18b, chip_id, committed_tcb, current_build, current_minor, current_major, reserved_1eb,
                committed_build, committed_minor, committed_major, reserved_1ef, launch_tcb, launch_mit_vector,
                current_mit_vector, reserved_208, signature_r, signature_s, reserved_330>());
} // namespace report_field

enum class SigningKey : std::uint8_t { vcek = 0, vlek = 1, none = 7 }; // other values are kept as they are

struct FirmwareVersion {
    std::uint8_t major, minor, build;
    friend auto operator<=>(const FirmwareVersion &, const FirmwareVersion &) = default;
};

struct SnpReport {
    std::uint32_t version;
    std::uint32_t guest_svn;
    std::uint64_t policy;
    ByteArray<16> family_id;
    ByteArray<16> image_id;
    std::uint32_t vmpl;
    std::uint32_t signature_algo;
    std::uint64_t current_tcb; // TCB_VERSION as an opaque u64; components depend on the product (tcb.hpp)
    std::uint64_t platform_info;
    std::uint32_t key_info;
    ByteArray<64> report_data;
    Sha384Digest measurement;
    ByteArray<32> host_data;
    Sha384Digest id_key_digest;
    Sha384Digest author_key_digest;
    ByteArray<32> report_id;
    ByteArray<32> report_id_ma;
    std::uint64_t reported_tcb;
    std::uint8_t cpuid_family, cpuid_model, cpuid_stepping; // version >= 3, else zero
    ByteArray<64> chip_id;
    std::uint64_t committed_tcb;
    FirmwareVersion current, committed;
    std::uint64_t launch_tcb;
    std::uint64_t launch_mit_vector, current_mit_vector; // version >= 5
    ByteArray<72> signature_r, signature_s;

    bool author_key_enabled() const { return key_info & 1; }
    bool chip_key_masked() const { return key_info & 2; }
    SigningKey signing_key() const { return static_cast<SigningKey>(key_info >> 2 & 7); }
};

// truncated, trailing: any size but 1184. unsupported: signature algorithm other than 1.
Result<SnpReport> parse_snp_report(ByteView raw);
// All fields but the signature and reserved bytes, which are zero.
ByteArray<snp_report_size> encode_snp_report(const SnpReport &report);

} // namespace cvmin
