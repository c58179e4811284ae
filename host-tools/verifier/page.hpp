// The verifier service as a person sees it in a browser: the last appraisals, and the verdict of each. No scripts,
// nothing fetched; like all pages of ours light and dark, wide and narrow.
#pragma once

#include "host-tools/verifier/history.hpp"

namespace cvmin {

// The page at "/": one row for each, newest first, linking to the verdict's page at /appraisals/ID.
std::string history_html(const std::vector<std::shared_ptr<const HistoryEntry>> &entries, std::time_t now);
// The verdict's page, with the way back.
std::string appraisal_html(const HistoryEntry &entry);

} // namespace cvmin
