// audit.json: why an image is as it is. Written by the build beside image.json, which has its digest: every kernel
// option that differs from Linux's allnoconfig with its reason, every command line parameter with its reason, what is
// recommended for hardening and what is here, and the licence of every source. For people and their tools; no launch
// and no appraisal reads it. Also the two texts it is made of.
#pragma once

#include "host-tools/base/json.hpp"

#include <string>
#include <vector>

namespace cvmin {

inline constexpr std::uint64_t image_audit_schema = 1;
inline constexpr std::size_t max_audit_size = max_json_size; // ours has 70 KB
inline constexpr std::size_t max_audit_entries = 20000;      // options: all of Linux's; ours has under 500

struct KernelOption {
    std::string name;   // without CONFIG_
    std::string value;  // as in a .config; n: not set
    std::string base;   // allnoconfig's
    std::string origin; // asked, selected, default: image/kernel_options.sh
    std::string reason; // asked: for people; selected: options; default: a Kconfig file
    friend bool operator==(const KernelOption &, const KernelOption &) = default;
};
struct CommandLineParameter {
    std::string text, reason;
    friend bool operator==(const CommandLineParameter &, const CommandLineParameter &) = default;
};
struct SourceLicence {
    std::string name, version; // of the package, as in the lock; version: empty until the lock has been asked
    std::string part;          // kernel, agent, firmware; "-": a tool beside the image
    std::string licence;       // SPDX expression
    friend bool operator==(const SourceLicence &, const SourceLicence &) = default;
};
// One line of image/hardening.list, with what this image has.
struct Recommendation {
    std::string kind;   // config, cmdline, sysctl
    std::string name;   // config: without CONFIG_
    std::string wanted; // config: n: not set; cmdline: absent, set (without a value), not-off
    std::string by;     // who recommends it
    std::string ours;   // the same words
    std::string reason; // empty only when followed
    friend bool operator==(const Recommendation &, const Recommendation &) = default;
};
bool valid(const Recommendation &one);
bool followed(const Recommendation &one);

struct ImageAudit {
    std::vector<KernelOption> options; // by name
    std::vector<CommandLineParameter> parameters;
    std::vector<Recommendation> hardening;
    std::vector<SourceLicence> sources;
};

// malformed (also unknown members, an origin that is not one of the three, options not sorted by name, a recommendation
// that is not followed and has no reason), unsupported
// (schema, kind), missing, too_large.
Result<ImageAudit> parse_image_audit(ByteView text);
Json to_json(const ImageAudit &audit);

// What image/kernel_options.sh prints. malformed (detail: line).
Result<std::vector<KernelOption>> parse_kernel_options(ByteView text);
// toolchain/licences: "package part expression" lines. malformed (detail: line); mismatch: a package twice.
Result<std::vector<SourceLicence>> parse_licences(ByteView text);
// Parameters of a commented command line file with their comments; "the same" stands for the comment before. malformed.
Result<std::vector<CommandLineParameter>> parse_commented_parameters(ByteView text);

} // namespace cvmin
