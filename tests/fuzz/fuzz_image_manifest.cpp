// What parses is written back in a form that parses to the same text.
#include "image/image_manifest.hpp"

#include <cstdlib>

using namespace cvmin;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
    const auto manifest = parse_image_manifest(std::as_bytes(std::span{data, size}), "out");
    if (!manifest)
        return 0;
    const std::string text = to_json(*manifest).dump(2, ' ', false, Json::error_handler_t::replace);
    const auto again = parse_image_manifest(as_bytes(text), "out");
    if (!again || to_json(*again).dump(2, ' ', false, Json::error_handler_t::replace) != text)
        std::abort();
    return 0;
}
