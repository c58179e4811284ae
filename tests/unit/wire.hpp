// Helpers for tests of wire formats: bytes typed by hand as hex with blanks, and the loop over every truncation.
#pragma once

#include "tests/unit/cmocka.hpp"

namespace cvmin::test {

// Hex digits, blanks between them ignored. A typing mistake stops the test.
inline Bytes bytes_of(std::string_view typed) {
    std::string digits;
    for (char c : typed)
        if (c != ' ')
            digits += c;
    auto bytes = parse_hex(digits, "test");
    if (!bytes)
        abort();
    return *bytes;
}
inline std::string repeat(std::string_view digits, std::size_t count) {
    std::string text;
    for (std::size_t i = 0; i < count; ++i)
        text += digits;
    return text;
}
template <std::size_t N> ByteArray<N> filled(unsigned value) {
    ByteArray<N> out;
    out.fill(static_cast<std::byte>(value));
    return out;
}

// The number of proper prefixes that `parse` accepts; a prefix is copied so that a sanitizer sees reads past its end.
template <class Parse> std::size_t accepted_truncations(ByteView whole, Parse parse) {
    std::size_t accepted = 0;
    for (std::size_t size = 0; size < whole.size(); ++size)
        if (parse(ByteView{to_bytes(whole.first(size))}))
            ++accepted;
    return accepted;
}

template <class R> bool refused_with(const R &result, Errc code) {
    return !result && result.error().code == code;
}

} // namespace cvmin::test
