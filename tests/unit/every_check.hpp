// That a set of cases has one for each check of the appraisal: shared by the tests that have such a set.
#pragma once

#include "tests/unit/cmocka.hpp"

#include "host-tools/appraise/appraise.hpp"

#include <set>

namespace cvmin::test {

// Of a vTPM and logs, which only the negative corpus has.
inline bool of_measured_boot(const CheckKind &kind) {
    return kind.name.starts_with("tpm.") || kind.name.starts_with("ima.") || kind.name.starts_with("runtime_log.") ||
           kind.name == "claims.runtime_log" || kind.name == "claims.ak";
}

// The checks without a case in which only they fail; prints them.
inline std::size_t wrongly_covered(const std::set<std::string> &covered, bool (*elsewhere)(const CheckKind &) = {}) {
    std::size_t wrong = 0;
    for (const CheckKind &kind : check_kinds())
        if (!covered.contains(std::string{kind.name}) && (elsewhere == nullptr || !elsewhere(kind))) {
            print_error("%s\n", std::string{kind.name}.c_str());
            ++wrong;
        }
    return wrong;
}

} // namespace cvmin::test
