#include "host-tools/base/base64url.hpp"

namespace cvmin {

std::string base64url(ByteView bytes) {
    std::string text = base64(bytes);
    std::ranges::replace(text, '+', '-');
    std::ranges::replace(text, '/', '_');
    text.erase(std::min(text.find('='), text.size()));
    return text;
}

Result<Bytes> parse_base64url(std::string_view text, std::string_view where) {
    std::string_view digits = text;
    if (text.size() % 4 == 0)
        for (int padding = 0; padding < 2 && digits.ends_with('='); ++padding)
            digits.remove_suffix(1);
    std::string standard{digits};
    for (char &c : standard) {
        if (c == '+' || c == '/')
            return fail(Errc::malformed, where);
        c = c == '-' ? '+' : c == '_' ? '/' : c;
    }
    standard.resize((standard.size() + 3) / 4 * 4, '=');
    CVMIN_TRY(bytes, parse_base64(standard, where));
    if (base64url(bytes) != digits) // as well as white space, which mbedTLS skips
        return fail(Errc::malformed, where);
    return bytes;
}

} // namespace cvmin
