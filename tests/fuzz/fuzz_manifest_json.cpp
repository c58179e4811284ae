// What is accepted is what the agent's parser accepts, and written out again gives the same bytes; what is refused has
// a reason, and every reason a line that is there.
#include "host-tools/computation/manifest_json.hpp"

#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
    using namespace cvmin;
    const ByteView input = std::as_bytes(std::span{data, size});
    const auto written = parse_manifest_json(input);
    if (!written) {
        const auto lines = 1 + static_cast<std::size_t>(std::ranges::count(as_text(input), '\n'));
        if (written.error().empty())
            std::abort();
        for (const ManifestMistake &mistake : written.error())
            if (mistake.line == 0 || mistake.line > lines || mistake.text.empty() || to_string(mistake).contains('\n'))
                std::abort();
        return 0;
    }
    const auto parsed = parse_manifest(written->encoded);
    if (!parsed || *parsed != written->manifest)
        std::abort();
    const auto again = parse_manifest_json(as_bytes(manifest_json(written->manifest).dump()));
    if (!again || again->encoded != written->encoded)
        std::abort();
    return 0;
}
