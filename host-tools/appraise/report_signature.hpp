// The signature of an attestation report: ECDSA P-384 with SHA-384 over the raw bytes 0x000..0x29F (AMD 56860, table
// ATTESTATION_REPORT and the signature format ECDSA P-384 with SHA-384). Whose key it is, the chain says.
#pragma once

#include "common/claims.hpp"
#include "common/snp_report.hpp"

namespace cvmin {

// `raw` is a whole report. truncated, trailing: another size. out_of_range: R or S is not below the order of the curve,
// is zero, or has bytes set above its 48 (there would be many encodings of one signature). mismatch: not signed by
// `key`. unsupported: `key` is not a point of the curve.
Result<void> verify_report_signature(ByteView raw, const PublicKey &key);

} // namespace cvmin
