// ID block and ID_AUTH of a launch: the first 96 bytes are the block, the rest its authentication. The same bytes as
// the files that hold them: base64, id-blocks.json.
#include "host-tools/signing/id_block_file.hpp"

#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
    const cvmin::ByteView bytes = std::as_bytes(std::span{data, size});
    const std::size_t split = std::min(size, cvmin::id_block_size);
    (void)cvmin::parse_id_block(bytes.first(split));
    (void)cvmin::verify_id_auth(bytes.subspan(split), bytes.first(split), true);
    (void)cvmin::parse_guest_id(cvmin::as_text(bytes), "fuzz");
    (void)cvmin::parse_raw_or_base64(bytes, cvmin::id_block_size, "fuzz");
    if (cvmin::looks_like_json(bytes))
        if (const auto blocks = cvmin::parse_id_blocks(bytes)) {
            // what was read can be written and read again, and is the same
            const std::string text = cvmin::to_json(*blocks).dump();
            const auto again = cvmin::parse_id_blocks(cvmin::as_bytes(text));
            if (!again || again->size() != blocks->size() ||
                again->front().signed_block.auth != blocks->front().signed_block.auth)
                std::abort();
        }
    return 0;
}
