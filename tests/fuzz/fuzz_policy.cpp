// Any bytes as a policy: refused with the name of each wrong member, or a policy that allows something in writing. And
// as advisories: refused, or floors that a report can miss.
#include "host-tools/appraise/advisories.hpp"
#include "host-tools/appraise/policy_text.hpp"

#include <cstdlib>

using namespace cvmin;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
    const ByteView text = std::as_bytes(std::span{data, size});
    if (const auto all = parse_advisories(text)) {
        for (const Advisory &advisory : *all)
            for (const Product product : all_products) {
                const AdvisoryResult result = judge_advisory(advisory, SnpReport{}, product);
                if (result.why.empty() != (result.state == AdvisoryState::met))
                    std::abort();
            }
    } else if (to_string(all.error()).empty()) {
        std::abort();
    }
    const auto checked = check_policy(text);
    const auto policy = parse_policy(text);
    if (checked.has_value() != policy.has_value() || (!checked && checked.error().empty()))
        std::abort();
    if (!policy) {
        if (to_string(policy.error()).empty())
            std::abort();
        return 0;
    }
    for (const PolicyLine &line : explain_policy(parse_json(text, "policy").value()))
        if (line.meaning.empty())
            std::abort();
    if (policy->products.empty() || policy->report_versions.empty() || policy->signing_keys.empty() || policy->vmpl > 3)
        std::abort();
    return 0;
}
