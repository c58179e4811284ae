// What the reader of audit.json takes, comes back the same; the texts that a build makes it of are read without harm.
#include "image/hardening.hpp"

#include <cstdlib>

using namespace cvmin;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
    const ByteView input = std::as_bytes(std::span{data, size});
    if (const auto audit = parse_image_audit(input)) {
        const std::string text = to_json(*audit).dump(-1, ' ', false, Json::error_handler_t::replace);
        const auto again = parse_image_audit(as_bytes(text));
        if (!again || again->options != audit->options || again->parameters != audit->parameters ||
            again->hardening != audit->hardening || again->sources != audit->sources)
            std::abort();
    }
    if (const auto options = parse_kernel_options(input))
        for (std::size_t i = 1; i < options->size(); ++i)
            if ((*options)[i - 1].name >= (*options)[i].name)
                std::abort();
    if (const auto licences = parse_licences(input))
        for (const SourceLicence &one : *licences)
            if (one.name.empty() || one.licence.empty())
                std::abort();
    if (const auto parameters = parse_commented_parameters(input))
        for (const CommandLineParameter &one : *parameters)
            if (one.text.empty() || one.reason.empty())
                std::abort();
    if (auto list = parse_recommendations(input)) {
        const std::vector<CommandLineParameter> line{{"quiet", "hush"}};
        const bool held = hold_recommendations(*list, input, line).has_value();
        for (const Recommendation &one : *list)
            if (!valid(one) || (held && !followed(one) && one.reason.empty()))
                std::abort();
    }
    return 0;
}
