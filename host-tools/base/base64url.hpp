// base64url (RFC 4648, section 5), as JOSE, EAT and the verifier's API have it.
#pragma once

#include "common/bytes.hpp"

namespace cvmin {

std::string base64url(ByteView bytes); // without padding
// With padding or without; one encoding for each value: bits that mean nothing are zero. malformed.
Result<Bytes> parse_base64url(std::string_view text, std::string_view where);

} // namespace cvmin
