// COSE_Sign1 of others: never a crash, and what parses has headers that can be looked into.
#include "common/cose.hpp"

#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
    using namespace cvmin;
    const ByteView input = std::as_bytes(std::span{data, size});
    const auto message = cose::parse_sign1(input, 1u << 20);
    if (!message)
        return 0;
    if (!cose::find_member(message->protected_header, cose::label::alg) ||
        cose::find_member(message->unprotected, cose::label::alg))
        std::abort();
    PublicKey key{};
    if (cose::verify_sign1(*message, key)) // not a point
        std::abort();
    return 0;
}
