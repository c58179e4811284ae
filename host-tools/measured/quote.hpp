// A quote's signature and what its digest is over. Decides nothing about keys or values: appraise does.
#pragma once

#include "common/tpm.hpp"
#include "host-tools/measured/tpm_hash.hpp"

namespace cvmin {

// The TPM's signature over `message` (the exact TPMS_ATTEST). mismatch: not made by `key` over these bytes.
// unsupported: not ECDSA on P-256 or P-384, RSASSA or RSAPSS of 2048 to 4096 bits, or not with SHA-256, SHA-384 or
// SHA-512; a key whose scheme names something else than the signature. out_of_range: r or s is 0 or not below the
// order.
Result<void> verify_tpm_signature(ByteView message, const TpmtSignature &signature, const TpmtPublic &key);

// TPMS_QUOTE_INFO.pcrDigest: the hash of the signature scheme over the selected PCRs' values, in ascending order in
// each bank, banks in the quote's order. Empty: a hash that cannot be computed.
TpmDigest pcr_digest(TpmAlg signature_hash, std::span<const ByteView> values);

} // namespace cvmin
