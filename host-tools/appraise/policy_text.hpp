// Policies as texts: new ones to start from, and existing ones in words. Judges nothing.
#pragma once

#include "host-tools/appraise/policy.hpp"

#include <span>
#include <string>
#include <vector>

namespace cvmin {

// A policy for these products out of the recommended ones: what all of them ask for, with each product's own minima.
// With skip_all every member that depends on the site is "skip"; what can never be skipped is not a member.
Json new_policy(std::span<const Product> products, bool skip_all);

struct PolicyLine {
    std::string path;    // "$.guest_policy.debug"
    std::string value;   // as in the file
    std::string meaning; // what is demanded, or what nobody looks at
    std::string reason;  // the comment of the object that it stands in
    bool skipped = false;
};

// Every member of a policy that parse_policy() takes, in the file's order.
std::vector<PolicyLine> explain_policy(const Json &policy);

} // namespace cvmin
