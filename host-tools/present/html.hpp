// A verdict as one self-contained page: no scripts, nothing fetched, light and dark, wide and narrow. For people:
// nothing reads it back.
#pragma once

#include "host-tools/appraise/appraise.hpp"

namespace cvmin {

std::string verdict_html(const Appraisal &appraisal, const Expectations &expectations);

} // namespace cvmin
