// The hashes of PCR banks, SHA-1 among them: old logs and IMA lists have nothing else. Not for signatures of our own.
#pragma once

#include "common/tpm.hpp"

namespace cvmin {

// sha1, sha256, sha384, sha512.
bool can_hash(TpmAlg alg);
// Over the parts one after the other. Empty: the algorithm is none of those above.
TpmDigest tpm_hash(TpmAlg alg, std::span<const ByteView> parts);
TpmDigest tpm_hash(TpmAlg alg, ByteView bytes);
// value = H(value || digest), in place. `value` has the size of the bank.
void pcr_extend(TpmAlg alg, TpmDigest &value, ByteView digest);

} // namespace cvmin
