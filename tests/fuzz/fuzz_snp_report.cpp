// What is read encodes to a report that reads the same; any bytes of the right size have names for their unknown bits.
#include "host-tools/appraise/unknown_bits.hpp"

#include <cstdlib>

using namespace cvmin;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
    const ByteView input = std::as_bytes(std::span{data, size});
    const auto report = parse_snp_report(input);
    if (!report)
        return 0;
    const auto again = encode_snp_report(*report);
    const auto second = parse_snp_report(again);
    if (!second || !equal(encode_snp_report(*second), again))
        std::abort();
    for (const std::string &bit : unknown_bits(input, *report, Product::turin))
        if (bit != "!policy.17" && !valid_unknown_bit(bit))
            std::abort();
    return 0;
}
