// What the C interfaces of the libraries share: a caller's structure and bytes as values of ours, and the text for its
// buffer. Judges no member and knows no status code; each library says what a problem means in its own.
#pragma once

#include "common/bytes.hpp"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <expected>

namespace cvmin {

inline constexpr std::size_t max_options_size = 4096; // as Linux bounds its extensible structures

enum class OptionsProblem : std::uint8_t {
    null,
    size,    // not that of this version's structure, nor of a later one's
    unknown, // a later version's member is set
};

// The caller's structure in the form that this version knows. Its first member is its size: `least` is that of a caller
// who does not know what was appended later, which then is absent.
template <class Options>
std::expected<Options, OptionsProblem> copy_options(const Options *given, std::size_t least = sizeof(Options)) {
    if (!given)
        return std::unexpected(OptionsProblem::null);
    std::size_t size; // read before anything else: only that many bytes are the caller's
    std::memcpy(&size, given, sizeof size);
    if ((size < sizeof(Options) && size != least) || size > max_options_size)
        return std::unexpected(OptionsProblem::size);
    Options options{};
    std::memcpy(&options, given, std::min(size, sizeof options));
    if (size > sizeof options &&
        !all_zero(ByteView{reinterpret_cast<const std::byte *>(given) + sizeof options, size - sizeof options}))
        return std::unexpected(OptionsProblem::unknown);
    return options;
}

// A struct cvmin_..._bytes.
template <class CallerBytes> bool absent(const CallerBytes &bytes) {
    return !bytes.data;
}
template <class CallerBytes> ByteView view(const CallerBytes &bytes) {
    return {static_cast<const std::byte *>(bytes.data), bytes.size};
}

// `why` into the caller's buffer, where there is one, cut to its size.
inline int say(char *text, std::size_t text_size, int status, const char *why) {
    if (text && text_size != 0)
        std::snprintf(text, text_size, "%s", why);
    return status;
}

} // namespace cvmin
