// A verdict as one self-contained page: no scripts, nothing fetched, light and dark, wide and narrow. For people:
// nothing reads it back.
#pragma once

#include "host-tools/appraise/appraise.hpp"

namespace cvmin {

// From the doctype to </head>, with the style that our pages share and `more_style` after it.
std::string page_head(std::string_view title, std::string_view more_style = {});

std::string verdict_html(const Appraisal &appraisal, const Expectations &expectations);

} // namespace cvmin
