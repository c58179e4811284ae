// What others recommend for a hardened kernel (image/hardening.list), and whether this one follows: each recommendation
// with what the resolved configuration or the command line has instead, and why. Not responsible for whether a reason
// is a good one.
#pragma once

#include "host-tools/base/explained.hpp"
#include "image/image_audit.hpp"

#include <span>

namespace cvmin {

// The list; `ours` is empty but for sysctl. malformed (detail: line): a kind that is not config, cmdline or sysctl, too
// few or too many words, a sysctl without a reason, control characters; mismatch (detail: line): a name twice.
Result<std::vector<Recommendation>> parse_recommendations(ByteView text);

// Fills in `ours` from a resolved .config and the command line's parameters (NAME or NAME=VALUE). The failure names
// every recommendation that is not followed without a reason, and every reason of one that is followed.
Explained<void> hold_recommendations(std::vector<Recommendation> &list, ByteView config,
                                     std::span<const CommandLineParameter> parameters);

} // namespace cvmin
