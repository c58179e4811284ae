// Records of the runtime log, printed for people and as JSON; and what can be said of a Canonical Event Log that
// another program wrote in TLV. Judges nothing.
#pragma once

#include "common/runtime_log.hpp"
#include "host-tools/present/show.hpp"

namespace cvmin {

inline constexpr std::uint64_t runtime_log_schema = 1;

// What an event says beside its kind, in one line; empty when that is all.
std::string event_text(const Event &event);
// One record as a line with its newline: number, seconds since boot, kind, and event_text.
std::string runtime_record_line(const RuntimeRecord &record);
std::string runtime_log_table(const RuntimeLog &log); // heading, lines, head
// {"number", "time_us", "event", what the event has, "digests": {"sha256", "sha384"}}
Json runtime_record_json(const RuntimeRecord &record);
// {"schema", "head", "pcr": {"sha256", "sha384"}, "records": [...]}; pcr: what PCR 15 holds when it mirrors the log
Json runtime_log_json(const RuntimeLog &log);

// TCG Canonical Event Log Format 1.0, 5.1 (TLV): type (1 byte), length (4 bytes, big-endian), value; of each record
// recnum, index, digests, content. Not ours: only named.
struct CelTlvSummary {
    std::uint64_t records = 0;
    std::vector<unsigned> index_types;   // 1: PCR, 2: NV index; 108: RTMR (Google), ascending
    std::vector<unsigned> content_types; // 4: CEL, 5: PC client, 7, 8: IMA; 80: Confidential Space (Google), ascending
};
inline constexpr std::size_t max_cel_tlv_size = 1u << 20; // Confidential Space's samples have under 4 KiB
// malformed: not records of this shape, numbered from 0; truncated; too_large. An empty input is malformed.
Result<CelTlvSummary> summarize_cel_tlv(ByteView bytes);

// For cvmin show: either of them.
Result<std::vector<Item>> show_runtime_log(ByteView bytes, const ShowOptions &options);

} // namespace cvmin
