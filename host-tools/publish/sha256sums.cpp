#include "host-tools/publish/sha256sums.hpp"

namespace cvmin {

static bool letter_or_digit(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool is_release_name(std::string_view name) {
    static constexpr std::string_view marks = "._-";
    return !name.empty() && name.size() <= max_release_name_size && letter_or_digit(name.front()) &&
           std::ranges::all_of(name, [](char c) { return letter_or_digit(c) || marks.contains(c); });
}

Result<std::vector<NamedDigest>> parse_sha256sums(ByteView text) {
    static constexpr std::string_view where = "SHA256SUMS";
    static constexpr std::size_t digits = 2 * sizeof(Sha256Digest);
    if (text.size() > max_sha256sums_size)
        return fail(Errc::too_large, where, text.size());
    std::vector<NamedDigest> files;
    std::string_view rest = as_text(text);
    while (!rest.empty()) {
        const std::size_t number = files.size() + 1;
        if (number > max_release_files)
            return fail(Errc::too_large, where, number);
        const std::size_t end = rest.find('\n');
        if (end == std::string_view::npos || end < digits + 3 || rest.substr(digits, 2) != "  ")
            return fail(Errc::malformed, where, number);
        const std::string_view hexadecimal = rest.substr(0, digits);
        const std::string_view name = rest.substr(digits + 2, end - digits - 2);
        const auto digest = parse_hex_exactly<sizeof(Sha256Digest)>(hexadecimal, where);
        if (!digest || hex(*digest) != hexadecimal || !is_release_name(name) ||
            (!files.empty() && name <= files.back().name))
            return fail(Errc::malformed, where, number);
        files.push_back({std::string{name}, *digest});
        rest.remove_prefix(end + 1);
    }
    if (files.empty())
        return fail(Errc::malformed, where);
    return files;
}

std::string sha256sums_text(std::span<const NamedDigest> files) {
    std::string text;
    for (const NamedDigest &file : files)
        text += hex(file.sha256) + "  " + file.name + "\n";
    return text;
}

} // namespace cvmin
