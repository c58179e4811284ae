// Texts of the error table.
#include "common/error.hpp"

namespace cvmin {

std::string_view message(Errc code) {
    switch (code) {
#define X(name, message, exit_code)                                                                                    \
    case Errc::name:                                                                                                   \
        return message;
        CVMIN_ERRC_TABLE(X)
#undef X
    }
    return "is an unknown error";
}

std::string_view name(Errc code) {
    switch (code) {
#define X(name, message, exit_code)                                                                                    \
    case Errc::name:                                                                                                   \
        return #name;
        CVMIN_ERRC_TABLE(X)
#undef X
    }
    return "unknown";
}

int exit_code(Errc code) {
    static constexpr int codes[] = {
#define X(name, message, exit_code) exit_code,
        CVMIN_ERRC_TABLE(X)
#undef X
    };
    return codes[static_cast<std::size_t>(code)];
}

std::string to_string(const Error &error) {
    std::string text{error.where};
    text += ' ';
    text += message(error.code);
    if (error.detail != 0) {
        char digits[20];
        std::size_t count = 0;
        for (std::uint64_t rest = error.detail; rest != 0; rest /= 10)
            digits[count++] = static_cast<char>('0' + rest % 10);
        text += " (";
        while (count != 0)
            text += digits[--count];
        text += ')';
    }
    return text;
}

} // namespace cvmin
