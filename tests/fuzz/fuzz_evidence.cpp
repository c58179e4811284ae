// Canonical encoding: what is accepted encodes back to the same bytes.
#include "common/evidence.hpp"

#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
    const cvmin::ByteView input = std::as_bytes(std::span{data, size});
    if (const auto evidence = cvmin::parse_evidence(input);
        evidence && !cvmin::equal(cvmin::encode_evidence(*evidence), input))
        std::abort();
    return 0;
}
