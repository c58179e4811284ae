// Any bytes as a PE image: a digest of every bank or the same error of each; a byte more at the end is another digest.
#include "host-tools/measured/pe_image.hpp"

#include <cstdlib>

using namespace cvmin;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
    const ByteView input = std::as_bytes(std::span{data, size});
    const auto digest = authenticode_digest(input, TpmAlg::sha256);
    const auto other = authenticode_digest(input, TpmAlg::sha384);
    if (digest.has_value() != other.has_value() || (!digest && digest.error() != other.error()))
        std::abort();
    if (!digest)
        return 0;
    Bytes longer = to_bytes(input);
    longer.push_back(std::byte{0});
    const auto of_longer = authenticode_digest(longer, TpmAlg::sha256); // refused when there are certificates
    if (of_longer && *of_longer == *digest)
        std::abort();
    return 0;
}
