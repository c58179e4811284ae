#include "host-tools/base/text.hpp"

#include <cstdio>

namespace cvmin {

std::string printable_text(std::string_view text) {
    std::string out;
    out.reserve(text.size());
    for (char c : text) {
        if (c == '\r')
            continue;
        // bytes from 0x80 on are UTF-8 or worse: C1 controls are among them
        if ((c >= ' ' && c < 0x7f) || c == '\n' || c == '\t') {
            out += c;
            continue;
        }
        char escape[5];
        std::snprintf(escape, sizeof escape, "\\x%02x", static_cast<unsigned>(static_cast<unsigned char>(c)));
        out += escape;
    }
    return out;
}

std::string printable_line(std::string text) {
    for (char &c : text)
        if (c < 0x20 || c > 0x7e)
            c = '?';
    return text;
}

std::string html_escaped(std::string_view text) {
    std::string out;
    out.reserve(text.size());
    for (char c : text) {
        switch (c) {
        case '&':
            out += "&amp;";
            break;
        case '<':
            out += "&lt;";
            break;
        case '>':
            out += "&gt;";
            break;
        case '"':
            out += "&quot;";
            break;
        case '\'':
            out += "&#39;";
            break;
        default:
            out += c;
        }
    }
    return out;
}

} // namespace cvmin
