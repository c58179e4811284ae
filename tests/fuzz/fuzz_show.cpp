// Any bytes as each kind of file that `cvmin show` knows: what is printed is ASCII in lines, and JSON that can be read.
#include "host-tools/present/show.hpp"

#include <cstdlib>

using namespace cvmin;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
    const ByteView input = std::as_bytes(std::span{data, size});
    if (size > max_shown_size)
        return 0;
    const Bytes bytes = decoded(input);
    if (bytes.size() > input.size())
        std::abort();
    for (const ShowKind &kind : show_kinds()) {
        const auto items = kind.show(bytes, {.product = size % 2 == 0 ? std::optional{Product::turin} : std::nullopt});
        if (!items)
            continue;
        for (const char c : show_text(*items))
            if (c != '\n' && (c < 0x20 || c > 0x7e))
                std::abort();
        if (show_json(kind.name, *items).dump().empty())
            std::abort();
    }
    return 0;
}
