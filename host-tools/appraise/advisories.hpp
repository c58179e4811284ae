// Published holes of SEV-SNP platforms as data: policies/advisories.json, embedded at build time. Reads the file and
// holds reports against it; whether an advisory matters is the policy's business.
#pragma once

#include "common/snp_report.hpp"
#include "host-tools/appraise/policy.hpp"

#include <span>
#include <string>
#include <vector>

namespace cvmin {

inline constexpr std::uint64_t advisories_schema = 1;
inline constexpr std::size_t max_advisories = 256; // as many as a list of a policy can name
inline constexpr std::size_t max_floors = 32;      // of one advisory and product: a few per part

struct CpuId { // as in a report: combined family, model, and stepping
    std::uint8_t family, model, stepping;
    friend bool operator==(const CpuId &, const CpuId &) = default;
};

// What must all hold; what is not named is not looked at.
struct Floor {
    std::optional<CpuId> cpuid;                                       // of that part only
    std::array<std::optional<std::uint8_t>, tcb_component_count> tcb; // of each of the four TCBs
    std::array<std::optional<bool>, guest_policy_bits.size()> guest_policy;
    std::array<std::optional<bool>, platform_info_bits.size()> platform_info;
    std::uint64_t current_mitigations = 0; // bits that CURRENT_MIT_VECTOR must have
};

struct Advisory {
    std::string id;                // "AMD-SB-3019"
    std::vector<std::string> also; // other names of it
    std::string what;
    std::string date;       // of its publication, as far as it is known
    bool confirmed = false; // AMD's own bulletin was read for the values
    std::vector<std::string> sources;
    std::string comment;
    std::array<Skippable<std::vector<Floor>>, all_products.size()> floors; // nothing: "unset", no value has a source
};

// The same errors as parse_policy().
std::expected<std::vector<Advisory>, PolicyError> parse_advisories(ByteView text);

// Those that this program carries.
std::span<const Advisory> advisories();
// By its id or another name of it, exact.
const Advisory *find_advisory(std::string_view name);

// unknown: nothing of the report tells, because no value is known for the product or for this part of it.
enum class AdvisoryState : std::uint8_t { met, unmet, unknown };
std::string_view name(AdvisoryState state); // "met"

struct AdvisoryResult {
    const Advisory *advisory;
    AdvisoryState state = AdvisoryState::unknown;
    std::string why;       // of unmet and unknown: "launch snp 22, wanted 24"
    bool required = false; // by the policy
};

// `product` is that of the report's certificate. A report without CPUID bytes (version 2) is of no known part.
AdvisoryResult judge_advisory(const Advisory &advisory, const SnpReport &report, Product product);

} // namespace cvmin
