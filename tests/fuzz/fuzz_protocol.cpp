// Requests, responses and the emulated AMD-SP's messages: what is accepted encodes back to the same bytes.
#include "common/protocol.hpp"

#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
    using namespace cvmin;
    const ByteView input = std::as_bytes(std::span{data, size});
    auto same = [&](const Bytes &encoded) {
        if (!equal(encoded, input))
            std::abort();
    };
    if (const auto request = parse_request(input))
        same(encode_request(*request));
    if (const auto response = parse_response(input))
        same(encode_response(*response));
    if (const auto request = parse_sp_request(input))
        same(encode_sp_request(*request));
    if (const auto response = parse_sp_response(input))
        same(encode_sp_response(*response));
    return 0;
}
