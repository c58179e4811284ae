// ID block and ID_AUTH of a launch: the first 96 bytes are the block, the rest its authentication.
#include "host-tools/signing/id_block.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
    const cvmin::ByteView bytes = std::as_bytes(std::span{data, size});
    const std::size_t split = std::min(size, cvmin::id_block_size);
    (void)cvmin::parse_id_block(bytes.first(split));
    (void)cvmin::verify_id_auth(bytes.subspan(split), bytes.first(split), true);
    return 0;
}
