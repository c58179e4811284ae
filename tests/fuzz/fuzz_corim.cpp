// CoRIMs of others: never a crash, and launches that are read out of one can be written and read again.
#include "host-tools/corim/corim.hpp"

#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
    using namespace cvmin;
    const auto parsed = corim::parse(std::as_bytes(std::span{data, size}));
    if (!parsed)
        return 0;
    auto launches = corim::launches_of(*parsed);
    if (!launches)
        return 0;
    (void)corim::first_difference(*launches, *launches);
    std::size_t number = 0;
    for (corim::Launch &launch : *launches) // two triples of one tag share its id, which two of our tags may not
        launch.tag_id = std::to_string(number++);
    const auto again = corim::parse(corim::encode(*launches, corim::is_debug_image(*parsed)));
    if (!again || corim::launches_of(*again) != *launches)
        std::abort();
    return 0;
}
