#include "host-tools/image_output.hpp"

#include "host-tools/base/text.hpp"

#include <cstdio>

namespace cvmin {

std::string difference_text(const ImageDifference &difference) {
    std::string text = path_text(difference);
    if (difference.offset) {
        char at[40];
        std::snprintf(at, sizeof at, ", first at byte 0x%zx", *difference.offset);
        text += at;
    }
    const auto side = [](const std::string &one) { return one.empty() ? std::string{"nothing"} : one; };
    return printable_line(text + ": " + side(difference.a) + " | " + side(difference.b));
}

void print_comparison(const ImageComparison &comparison, bool options_known) {
    if (comparison.same_bytes) {
        std::printf("same: every file of the two images has the same bytes\n");
        return;
    }
    if (comparison.measured.empty()) {
        std::printf("launch digests: the same; what differs is not measured\n");
    } else {
        std::printf("launch digests: not the same, because of:");
        for (const std::string &one : comparison.measured)
            std::printf("%s %s", &one == &comparison.measured.front() ? "" : ",", one.c_str());
        std::printf("\n");
    }
    for (const bool measured : {false, true}) {
        bool first = true;
        for (const ImageDifference &difference : comparison.differences)
            if (difference.measured == measured) {
                if (first)
                    std::printf("\n%s, first | second:\n", measured ? "measured" : "not measured");
                first = false;
                std::printf("  %s\n", difference_text(difference).c_str());
            }
    }
    if (comparison.left_out != 0)
        std::printf("\nand %zu more\n", comparison.left_out);
    if (!options_known)
        std::printf("\nkernel options were not compared: not both images record them (audit.json)\n");
}

Json comparison_json(const ImageComparison &comparison, bool options_known) {
    Json differences = Json::array(), measured = Json::array();
    for (const std::string &one : comparison.measured)
        measured.push_back(one);
    for (const ImageDifference &difference : comparison.differences) {
        Json path = Json::array();
        for (const std::string &one : difference.path)
            path.push_back(one);
        differences.push_back({{"path", std::move(path)},
                               {"measured", difference.measured},
                               {"offset", difference.offset ? Json(*difference.offset) : Json(nullptr)},
                               {"first", difference.a.empty() ? Json(nullptr) : Json(difference.a)},
                               {"second", difference.b.empty() ? Json(nullptr) : Json(difference.b)}});
    }
    return {{"schema", 1},
            {"same", comparison.same_bytes},
            {"same_launch_digest", comparison.measured.empty()},
            {"because_of", std::move(measured)},
            {"kernel_options_compared", options_known},
            {"differences", std::move(differences)},
            {"left_out", comparison.left_out}};
}

} // namespace cvmin
