// Evidence: a CBOR collection of conceptual message wrappers (RFC 9999 / draft-ietf-rats-msg-wrap), described in
// protocol.cddl:
//   { "__cmwc_t": "tag:cvmin,2026:evidence", "snp-report": [media type, bytes, 4], "certificates": [...], "claims":
//   [...] }
// Carries bytes; decodes only the wrapping. What is inside is parsed by whoever appraises.
#pragma once

#include "common/bytes.hpp"

namespace cvmin {

inline constexpr std::size_t max_evidence_size =
    256u << 10; // report + certificates (<= 64 KiB) + claims, with room for logs
inline constexpr std::string_view evidence_type = "tag:cvmin,2026:evidence";

struct Evidence {
    Bytes report;       // raw SNP report, as the AMD-SP signed it
    Bytes certificates; // GHCB certificate table as the host gave it; empty when it gave none
    Bytes claims;       // exact bytes hashed into REPORT_DATA
};

Bytes encode_evidence(const Evidence &evidence);
// too_large, malformed (not canonical CBOR, unknown or missing member, wrong media type).
Result<Evidence> parse_evidence(ByteView bytes);

} // namespace cvmin
