// Canonical encoding: what is accepted encodes back to the same bytes.
#include "common/claims.hpp"

#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
    const cvmin::ByteView input = std::as_bytes(std::span{data, size});
    if (const auto claims = cvmin::parse_claims(input); claims && !cvmin::equal(cvmin::encode_claims(*claims), input))
        std::abort();
    return 0;
}
