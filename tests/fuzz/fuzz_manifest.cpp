// Canonical encoding: what is accepted encodes back to the same bytes, and every item and party is found again.
#include "common/manifest.hpp"

#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
    const cvmin::ByteView input = std::as_bytes(std::span{data, size});
    const auto manifest = cvmin::parse_manifest(input);
    if (!manifest)
        return 0;
    const auto again = cvmin::encode_manifest(*manifest);
    if (!again || !cvmin::equal(*again, input))
        std::abort();
    for (const cvmin::ManifestItem &item : cvmin::items(*manifest)) {
        const auto found = cvmin::find_item(*manifest, item.name);
        if (!found || found->sha256 != item.sha256 || cvmin::find_party(*manifest, item.party) == nullptr)
            std::abort();
    }
    return 0;
}
