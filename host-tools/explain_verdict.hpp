// Under a failed snp.measurement: what would have to be different for the image to have the digest that was reported.
// Words for whoever reads the verdict. The decision stands before, and nothing here can change it.
#pragma once

#include "host-tools/appraise/appraise.hpp"

#include <filesystem>

namespace cvmin {

// Fills in appraisal.explanation when the launch digest was the image's to have and is another one, the image can be
// read, and the search ends in time (1.5 s). Else nothing is said.
void explain_failed_measurement(Appraisal &appraisal, const std::filesystem::path &image_json,
                                std::string_view vcpu_type, unsigned vcpus);

} // namespace cvmin
