// Hex and base64.
#include "common/bytes.hpp"

#include <mbedtls/base64.h>

namespace cvmin {

std::string hex(ByteView bytes) {
    static constexpr char digits[] = "0123456789abcdef";
    std::string text;
    text.reserve(bytes.size() * 2);
    for (std::byte b : bytes) {
        text += digits[std::to_integer<unsigned>(b >> 4)];
        text += digits[std::to_integer<unsigned>(b & std::byte{15})];
    }
    return text;
}

static int hex_digit(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

Result<Bytes> parse_hex(std::string_view text, std::string_view where) {
    if (text.starts_with("0x") || text.starts_with("0X"))
        text.remove_prefix(2);
    if (text.size() % 2 != 0)
        return fail(Errc::malformed, where, text.size());
    Bytes bytes;
    bytes.reserve(text.size() / 2);
    for (std::size_t i = 0; i < text.size(); i += 2) {
        const int high = hex_digit(text[i]);
        const int low = hex_digit(text[i + 1]);
        if (high < 0 || low < 0)
            return fail(Errc::malformed, where, i);
        bytes.push_back(static_cast<std::byte>(high << 4 | low));
    }
    return bytes;
}

std::string base64(ByteView bytes) {
    std::string text((bytes.size() + 2) / 3 * 4 + 1, '\0');
    std::size_t written = 0;
    mbedtls_base64_encode(reinterpret_cast<unsigned char *>(text.data()), text.size(), &written, u8(bytes),
                          bytes.size());
    text.resize(written);
    return text;
}

Result<Bytes> parse_base64(std::string_view text, std::string_view where) {
    Bytes bytes(text.size() / 4 * 3 + 3);
    std::size_t written = 0;
    if (mbedtls_base64_decode(u8(MutableBytes{bytes}), bytes.size(), &written, u8(as_bytes(text)), text.size()) != 0)
        return fail(Errc::malformed, where);
    bytes.resize(written);
    return bytes;
}

} // namespace cvmin
