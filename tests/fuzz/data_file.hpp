// A file of tests/data for a fuzz target that has something to compare with.
#pragma once

#include "common/bytes.hpp"

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>

namespace cvmin::fuzz {

inline Bytes data_file(const std::string &name) {
    std::ifstream in(std::string{CVMIN_TEST_DATA} + "/" + name, std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(in), {}};
    if (text.empty()) {
        std::fprintf(stderr, "missing: %s\n", name.c_str());
        std::abort();
    }
    return to_bytes(as_bytes(text));
}

} // namespace cvmin::fuzz
