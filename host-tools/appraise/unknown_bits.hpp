// Bits of a report that this version of cvmin gives no meaning to. AMD turns reserved bits into fields with every
// firmware step: they are listed and judged by policy, and never a reason not to read a report.
#pragma once

#include "common/snp_report.hpp"
#include "common/tcb.hpp"

#include <optional>
#include <string>
#include <vector>

namespace cvmin {

inline constexpr std::uint32_t newest_report_version = 5;
inline constexpr bool known_report_version(std::uint32_t version) {
    return version >= 2 && version <= newest_report_version;
}

// Names as in a policy: field and bit number, counted little-endian over the whole field ("platform_info.6"). A bit
// that must be set and is not is named with a "!" before it ("!policy.17"). Without a product the TCBs' bytes are left
// out.
std::vector<std::string> unknown_bits(ByteView raw, const SnpReport &report, std::optional<Product> product);

// A name that unknown_bits could give.
bool valid_unknown_bit(std::string_view name);

} // namespace cvmin
