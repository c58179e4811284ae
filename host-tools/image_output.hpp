// A comparison of two images as text and as JSON (schema 1), for `cvmin image diff` and `cvmin reproduce`.
#pragma once

#include "image/image_diff.hpp"

namespace cvmin {

// `options_known`: both images say their kernel options; else the text says that these were not compared.
void print_comparison(const ImageComparison &comparison, bool options_known);
Json comparison_json(const ImageComparison &comparison, bool options_known);
// "initrd: init: .text, first at byte 0x1f3: 4889e5... and 4889c7..."
std::string difference_text(const Difference &difference);

} // namespace cvmin
