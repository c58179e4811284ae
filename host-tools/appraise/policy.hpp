// Appraisal policy: what a relying party demands of a report beyond being genuine. A JSON file; every member must be
// there, "skip" must be written down. Schema: docs/policy.schema.json; meaning of each member: docs/appraisal.md.
#pragma once

#include "common/hash.hpp"
#include "common/tcb.hpp"
#include "common/tpm_alg.hpp"
#include "common/vek_cert.hpp"
#include "host-tools/base/json.hpp"

#include <array>
#include <expected>
#include <map>
#include <optional>

namespace cvmin {

inline constexpr std::uint64_t policy_schema = 1;
inline constexpr std::size_t max_policy_list = 256; // entries of one list: chips of a rack, not of a data centre

// A bit with a name, and the check that looks at it. Its member in the policy file is the last part of the name.
struct NamedBit {
    std::string_view check;
    unsigned bit;
    constexpr std::string_view member() const { return check.substr(check.rfind('.') + 1); }
};

// AMD 56860, table GUEST_POLICY.
inline constexpr std::array<NamedBit, 9> guest_policy_bits{{{"snp.policy.debug", 19},
                                                            {"snp.policy.migration_agent", 18},
                                                            {"snp.policy.smt", 16},
                                                            {"snp.policy.single_socket", 20},
                                                            {"snp.policy.cxl", 21},
                                                            {"snp.policy.aes_256_xts", 22},
                                                            {"snp.policy.rapl_disabled", 23},
                                                            {"snp.policy.ciphertext_hiding", 24},
                                                            {"snp.policy.page_swap_disabled", 25}}};
// AMD 56860, table PLATFORM_INFO.
inline constexpr std::array<NamedBit, 7> platform_info_bits{{{"snp.platform_info.smt", 0},
                                                             {"snp.platform_info.tsme", 1},
                                                             {"snp.platform_info.ecc", 2},
                                                             {"snp.platform_info.rapl_disabled", 3},
                                                             {"snp.platform_info.ciphertext_hiding", 4},
                                                             {"snp.platform_info.alias_check_complete", 5},
                                                             {"snp.platform_info.tio", 7}}};

enum class TcbKind : std::uint8_t { reported, committed, launch, current };
inline constexpr std::size_t tcb_kind_count = 4;
inline constexpr std::array<std::string_view, tcb_kind_count> tcb_kind_names{"reported", "committed", "launch",
                                                                             "current"};

struct AbiVersion {
    std::uint8_t major, minor;
    friend auto operator<=>(const AbiVersion &, const AbiVersion &) = default;
};

template <class T> using Skippable = std::optional<T>; // nothing: "skip" is written in the policy

// Who may vouch for the launch digest in the place of a digest that the relying party knows. All of it must hold.
struct Signer {
    std::vector<Sha384Digest> id_key_digests;     // one of these signed the ID block; empty: "skip"
    std::vector<Sha384Digest> author_key_digests; // one of these signed the ID key; empty: "skip"; never both are
    Skippable<ByteArray<16>> family_id;
    Skippable<ByteArray<16>> image_id;
    std::uint32_t guest_svn_minimum = 0;
};

// What a quote of a vTPM must show beyond its own consistency.
struct VtpmDemands {
    TpmAlg bank = TpmAlg::sha256; // sha256 or sha384
    bool credential = true;       // the EK's TPM answers on this connection, with the AK in it; false: "skip"
    bool ek_certificate = true;   // of an authority that the caller names; false: "skip"
    bool svsm = true;             // the SVSM's, and not the host's; false: "skip"
};

// An executable that IMA may have measured.
struct AllowedFile {
    Sha256Digest digest{};
    Skippable<std::string> path; // nothing: wherever it lies
};

// A default-constructed policy allows no product and no report version, so nothing passes under it.
struct Policy {
    std::vector<Product> products;
    std::vector<std::uint32_t> report_versions;
    std::vector<VekKind> signing_keys;
    // Launch digests of which one must be there, beside what the caller wants; empty: "caller" or "skip".
    std::vector<Sha384Digest> measurements;
    // "skip": a report by itself may have any launch digest where the caller wants none. Never evidence of an agent: it
    // could open a connection to software that nobody knows.
    bool any_measurement = false;
    std::optional<ByteArray<64>> report_data; // of a report by itself, beside what the caller wants
    bool any_report_data = false;             // "skip": where the caller says nothing
    std::array<Skippable<bool>, guest_policy_bits.size()> guest_policy;
    Skippable<AbiVersion> abi_minimum;
    Skippable<std::uint32_t> vmpl = 0; // nothing: any of a guest's, 0 to 3
    Skippable<ByteArray<32>> host_data;
    Skippable<ByteArray<32>> report_id;    // of one running guest
    Skippable<ByteArray<32>> report_id_ma; // of its migration agent; all ones: there is none
    Skippable<std::vector<ByteArray<64>>> chip_ids;
    bool masked_chip_id = false; // true or "skip": a CHIP_ID of zeros is let pass
    Skippable<std::vector<std::string>> csp_ids;
    Skippable<ByteArray<16>> family_id;
    Skippable<ByteArray<16>> image_id;
    Skippable<std::uint32_t> guest_svn_minimum;
    Skippable<Sha384Digest> id_key_digest;
    Skippable<Sha384Digest> author_key_digest;
    std::optional<Signer> signer; // the one member that a file may leave out: then only a known launch digest counts
    // by product and kind of TCB; products that `products` does not name are "skip" and never looked at
    std::array<std::array<Skippable<Tcb>, tcb_kind_count>, all_products.size()> minimum_tcb;
    Skippable<std::vector<std::string>> advisories; // by id (advisories.hpp), whatever name the file uses
    bool provisional_firmware = false;              // true: "skip"; false: CURRENT must be COMMITTED
    std::array<Skippable<bool>, platform_info_bits.size()> platform_info;
    Skippable<std::uint64_t> launch_mitigations;       // bits that LAUNCH_MIT_VECTOR must have
    Skippable<std::uint64_t> current_mitigations;      // bits that CURRENT_MIT_VECTOR must have
    std::vector<std::string> allowed_unknown_bits;     // "platform_info.6"
    bool revocation = false;                           // false: "skip"; true: a current CRL must be there
    std::optional<std::uint32_t> crl_maximum_age_days; // with `revocation`: and its thisUpdate not longer ago
    Skippable<Sha256Digest> manifest;
    Skippable<Sha256Digest> ak; // the vTPM's key of this one boot
    Skippable<VtpmDemands> vtpm;
    Skippable<std::map<unsigned, std::vector<Bytes>>> pcrs; // by number: values of which one must be there
    bool event_log = false;                                 // true: replays to the quoted values; false: "skip"
    bool boot_events = false;                               // true: shows the image's files; false: "skip"
    Skippable<std::vector<std::string>> runtime_log;        // kinds of event that must not be in it
    Skippable<std::vector<AllowedFile>> ima;
    Sha256Digest digest{}; // SHA-256 of the file that it was read from; zero: of none
};

// Of these members of the ID block anyone may choose the value, the host too, unless one of its keys is demanded.
inline bool id_block_is_vouched_for(const Policy &policy) {
    return policy.id_key_digest || policy.author_key_digest || policy.signer;
}

// A kind of event of the runtime log, or "debug-image", "no-tpm", "no-ima" of its first.
bool valid_runtime_refusal(std::string_view name);

struct PolicyError {
    Error error;
    std::string member;        // "guest_policy.debug"
    std::string_view why = {}; // of a demand that would prove nothing: what else it needs
};
std::string to_string(const PolicyError &error);

// missing: a member (other than signer); malformed: another type, an unknown or doubled member; unsupported: schema, or
// a value that this version cannot check; out_of_range: a number, a length, an empty list; mismatch: a demand that
// proves nothing beside another member's value.
std::expected<Policy, PolicyError> parse_policy(ByteView text);
// The same with everything that is wrong, in the file's order of meaning; never an empty list.
std::expected<Policy, std::vector<PolicyError>> check_policy(ByteView text);

} // namespace cvmin
