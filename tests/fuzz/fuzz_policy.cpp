// Any bytes as a policy: refused with the name of a member, or a policy that allows something in writing.
#include "host-tools/appraise/policy.hpp"

#include <cstdlib>

using namespace cvmin;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
    const auto policy = parse_policy(std::as_bytes(std::span{data, size}));
    if (!policy) {
        if (to_string(policy.error()).empty())
            std::abort();
        return 0;
    }
    if (policy->products.empty() || policy->report_versions.empty() || policy->signing_keys.empty() || policy->vmpl > 3)
        std::abort();
    return 0;
}
