// A verdict as a table for people and as JSON (docs/verdict.schema.json). Formats; judges nothing.
#pragma once

#include "host-tools/appraise/appraise.hpp"

namespace cvmin {

inline constexpr std::uint64_t verdict_schema = 1;

// First and last line say ACCEPTED or REFUSED, and EMULATED where the root is an emulated one. Long hex is abbreviated,
// but not in rows that failed and not the measurement's.
std::string verdict_table(const Appraisal &appraisal, const Expectations &expectations);
Json verdict_json(const Appraisal &appraisal, const Expectations &expectations);

// The parts of them that show checks, of this or another verdict: a line or two for each; JSON; "75 passed, 0 failed,
// ...".
std::string check_rows(std::span<const Check> checks);
Json checks_json(std::span<const Check> checks);
std::string check_tally(std::span<const Check> checks);

// RFC 3339 in UTC: "2026-01-31T12:00:00Z". The parser also takes an offset ("2026-01-31T13:00:00+01:00"), but no parts
// of a second. malformed, out_of_range.
std::string format_time(std::time_t time);
Result<std::time_t> parse_time(std::string_view text);

} // namespace cvmin
