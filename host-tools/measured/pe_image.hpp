// The Authenticode digest of a PE image: what UEFI firmware measures when it loads a kernel. Microsoft "Windows
// Authenticode Portable Executable Signature Format" 1.0, as EDK II computes it. Reads no signature.
#pragma once

#include "common/tpm.hpp"

namespace cvmin {

inline constexpr std::size_t max_pe_sections = 96; // Windows' own limit; a kernel has about five

// truncated; malformed: no PE image, or headers, sections or certificates outside of the file or over one another;
// unsupported: neither PE32 nor PE32+, or a hash that is not here; too_large: more sections than the limit.
Result<TpmDigest> authenticode_digest(ByteView image, TpmAlg alg);

} // namespace cvmin
