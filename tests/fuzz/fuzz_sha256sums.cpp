// What parses is written back as the same bytes: one list has one text.
#include "host-tools/publish/sha256sums.hpp"

#include <cstdlib>

using namespace cvmin;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
    const ByteView text = std::as_bytes(std::span{data, size});
    const auto files = parse_sha256sums(text);
    if (!files)
        return 0;
    for (const NamedDigest &file : *files)
        if (!is_release_name(file.name))
            std::abort();
    if (sha256sums_text(*files) != as_text(text))
        std::abort();
    return 0;
}
