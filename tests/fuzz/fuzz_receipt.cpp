// Receipts and their bodies: what is accepted as a body encodes back to the same bytes.
#include "common/receipt.hpp"

#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
    using namespace cvmin;
    const ByteView input = std::as_bytes(std::span{data, size});
    if (const auto body = parse_receipt_body(input); body && !equal(encode_receipt_body(*body), input))
        std::abort();
    if (const auto receipt = parse_receipt(input); receipt && receipt->body_bytes.empty())
        std::abort();
    return 0;
}
