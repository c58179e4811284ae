// What a client posts to the verifier service, in any of the forms that are known: evidence of our agents, or a bare
// report with its certificates, wrapped as others wrap it. Unwraps; judges nothing: appraise() does.
#pragma once

#include "common/bytes.hpp"
#include "common/evidence.hpp"

#include <expected>
#include <span>
#include <string>
#include <string_view>

namespace cvmin {

namespace media {
inline constexpr std::string_view cmw_cbor = "application/cmw+cbor"; // RFC 9999: a record, or a collection
inline constexpr std::string_view cmw_json = "application/cmw+json";
inline constexpr std::string_view tsm_cbor = "application/vnd.veraison.tsm-report+cbor";
inline constexpr std::string_view tsm_json = "application/vnd.veraison.tsm-report+json";
inline constexpr std::string_view tsm_json_older = "application/vnd.veraison.configfs-tsm+json";
inline constexpr std::string_view snp_report = "application/vnd.amd.sev-snp.attestation-report";
inline constexpr std::string_view cert_table = "application/vnd.amd.ghcb.guid-table"; // in collections, beside a report
} // namespace media

// Those that a session accepts, in the order in which it says so.
std::span<const std::string_view> evidence_media_types();

// Evidence as binary, and the same in base64 with JSON around it.
inline constexpr std::size_t max_presented_json = max_evidence_size / 3 * 4 + 4096;
std::size_t max_presented_size(std::string_view media_type); // 0: not one of ours

// Parts of a collection: ours has nine; others put reports of devices beside a CPU's.
inline constexpr std::size_t max_collection_items = 32;

struct Presented {
    std::string media_type; // of what was unwrapped
    bool ours = false;      // evidence of our agents, in `evidence`; else a report by itself
    Bytes evidence{};
    Bytes report{}, certificates{}; // the GHCB table; each may be empty
    std::string problem{};          // the content cannot be read: an empty report is appraised, and refused
};

struct FormProblem {
    enum class Kind : std::uint8_t { unsupported, too_large, malformed } kind; // 415, 413, 400
    std::string text;
};
// `media_type` without parameters, in lower case. unsupported: of the request or inside of a wrapper; too_large; what
// should be a wrapper is none. What is wrong with a report inside of it is not said here: it is appraised.
std::expected<Presented, FormProblem> read_presented(std::string_view media_type, ByteView body);

} // namespace cvmin
