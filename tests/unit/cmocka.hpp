// cmocka for C++: its prerequisites, and the header last. Its asserts leave by longjmp, so no object with a destructor
// may be live across one: compute into plain values first.
#pragma once

#include <csetjmp>
#include <cstdarg>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "common/bytes.hpp"

extern "C" {
#include <cmocka.h>
}
#undef fail // cmocka's macro; ours is cvmin::fail

namespace cvmin::test {

// A file of tests/data; the test stops when it is missing: a comparison must not pass for want of an input.
inline Bytes data(const std::string &name) {
    std::ifstream in(std::string{CVMIN_TEST_DATA} + "/" + name, std::ios::binary);
    if (!in) {
        print_error("missing test data: %s\n", name.c_str());
        abort();
    }
    const std::string text{std::istreambuf_iterator<char>(in), {}};
    return to_bytes(as_bytes(text));
}

} // namespace cvmin::test
