// GUIDs as UEFI stores them (UEFI specification, EFI_GUID): first three groups little-endian, the rest as written.
// Comparison is of bytes; nothing here knows what a GUID stands for.
#pragma once

#include "common/bytes.hpp"

namespace cvmin {

using Guid = ByteArray<16>;

void not_a_guid(); // never defined: calling it while compiling is the error message

// guid("96b582de-1fb2-45f7-baea-a366c55a082d"); another form does not compile.
consteval Guid guid(const char (&text)[37]) {
    auto digit = [](char c) -> unsigned {
        if (c >= '0' && c <= '9')
            return static_cast<unsigned>(c - '0');
        if (c >= 'a' && c <= 'f')
            return static_cast<unsigned>(c - 'a') + 10;
        not_a_guid();
        return 0;
    };
    // For each stored byte, where its two digits stand in the text.
    constexpr std::size_t at[16] = {6, 4, 2, 0, 11, 9, 16, 14, 19, 21, 24, 26, 28, 30, 32, 34};
    for (std::size_t dash : {8u, 13u, 18u, 23u})
        if (text[dash] != '-')
            not_a_guid();
    Guid out{};
    for (std::size_t i = 0; i < out.size(); ++i)
        out[i] = static_cast<std::byte>(digit(text[at[i]]) << 4 | digit(text[at[i] + 1]));
    return out;
}

} // namespace cvmin
