// That a set of cases has one for each check of the appraisal: shared by the tests that have such a set.
#pragma once

#include "tests/unit/cmocka.hpp"

#include "host-tools/appraise/appraise.hpp"

#include <set>

namespace cvmin::test {

// Shown, and skipped by the policy in writing: this version has nothing to compare them with.
inline bool never_fails(const CheckKind &kind) {
    return kind.name == "claims.runtime_log" || kind.name == "claims.ak";
}

// The checks without a case in which only they fail, and cases of checks that cannot fail; prints them.
inline std::size_t wrongly_covered(const std::set<std::string> &covered) {
    std::size_t wrong = 0;
    for (const CheckKind &kind : check_kinds())
        if (covered.contains(std::string{kind.name}) == never_fails(kind)) {
            print_error("%s\n", std::string{kind.name}.c_str());
            ++wrong;
        }
    return wrong;
}

} // namespace cvmin::test
