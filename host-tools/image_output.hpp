// What `cvmin build`, `image` and `reproduce` print alike: a comparison of two images as text and as JSON (schema 1),
// and why a build failed.
#pragma once

#include "image/build.hpp"
#include "image/image_diff.hpp"

namespace cvmin {

// `options_known`: both images say their kernel options; else the text says that these were not compared.
void print_comparison(const ImageComparison &comparison, bool options_known);
Json comparison_json(const ImageComparison &comparison, bool options_known);
// "initrd: init: .text, first at byte 0x1f3: 4889e5... and 4889c7..."
std::string difference_text(const ImageDifference &difference);

// Error line and exit code; dies of the signal that interrupted the build. cmd_build.cpp.
int report_build_failure(const char *command, const BuildFailure &failure);

} // namespace cvmin
