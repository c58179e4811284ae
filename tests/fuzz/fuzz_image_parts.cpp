// An image's files are of others: the parts that are found are inside of the file, in order and all of it; frames stay
// within their limit.
#include "image/image_parts.hpp"

#include <cstdlib>

using namespace cvmin;

static void check_parts(const Result<std::vector<Part>> &parts, std::size_t total) {
    if (!parts)
        return;
    std::size_t at = 0;
    for (const Part &part : *parts) {
        if (part.offset != at || part.size == 0 || part.size > total - at)
            std::abort();
        at += part.size;
    }
    if (at != total)
        std::abort();
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
    static constexpr std::size_t limit = 1u << 20; // of unpacked bytes: the smaller, the faster
    const ByteView input = std::as_bytes(std::span{data, size});
    check_parts(elf_parts(input), size);
    check_parts(bzimage_parts(input), size);
    if (const auto payload = bzimage_payload(input)) {
        if (payload->size == 0 || payload->offset > size || payload->size > size - payload->offset)
            std::abort();
        if (const auto kernel = decompress_zstd(payload->in(input), limit, "fuzz"))
            check_parts(elf_parts(kernel->bytes), kernel->bytes.size());
    }
    const auto unpacked = decompress_zstd(input, limit, "fuzz");
    if (unpacked && (unpacked->bytes.size() > limit || unpacked->packed_size > size))
        std::abort();
    return 0;
}
