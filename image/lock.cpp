#include "image/lock.hpp"

#include <set>

namespace cvmin {

static constexpr std::size_t words_in_line = 6;
static constexpr std::size_t max_size_digits = 12; // under a terabyte

static bool letter_or_digit(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}
// What Debian's policy and archive allow. Nothing of it needs quoting in JSON or a URL but '+'.
static bool made_of(std::string_view text, std::string_view more) {
    return !text.empty() && std::ranges::all_of(text, [&](char c) { return letter_or_digit(c) || more.contains(c); });
}

static std::vector<std::string_view> words_of(std::string_view line) {
    std::vector<std::string_view> words;
    line = line.substr(0, line.find('#'));
    for (std::size_t at = 0; (at = line.find_first_not_of(" \t\r", at)) != std::string_view::npos;) {
        const std::size_t end = std::min(line.find_first_of(" \t\r", at), line.size());
        words.push_back(line.substr(at, end - at));
        at = end;
    }
    return words;
}

Result<std::vector<LockedFile>> parse_lock(ByteView text) {
    std::vector<LockedFile> files;
    std::set<std::string_view> paths;
    std::uint64_t number = 0;
    const std::string_view all = as_text(text);
    for (std::size_t at = 0; at < all.size();) {
        const std::size_t end = std::min(all.find('\n', at), all.size());
        const auto words = words_of(all.substr(at, end - at));
        at = end + 1;
        ++number;
        if (words.empty())
            continue;
        if (words.size() != words_in_line || words[0].size() != 2 * sizeof(Sha256Digest) ||
            words[1].size() > max_size_digits ||
            !std::ranges::all_of(words[1], [](char c) { return c >= '0' && c <= '9'; }) ||
            !made_of(words[2], "/._+~:%-") || !made_of(words[3], "+.-") || !made_of(words[4], ".+:~-") ||
            !made_of(words[5], "-"))
            return fail(Errc::malformed, "lock", number);
        const auto digest = parse_hex_exactly<sizeof(Sha256Digest)>(words[0], "lock");
        if (!digest)
            return fail(Errc::malformed, "lock", number);
        if (!paths.insert(words[2]).second)
            return fail(Errc::mismatch, "lock", number);
        if (files.size() == max_lock_lines)
            return fail(Errc::too_large, "lock", max_lock_lines);
        files.push_back({*digest, std::stoull(std::string{words[1]}), std::string{words[2]}, std::string{words[3]},
                         std::string{words[4]}, std::string{words[5]}});
    }
    return files;
}

std::string_view file_name(const LockedFile &file) {
    const std::string_view path = file.path;
    return path.substr(path.rfind('/') + 1); // all of it where there is none
}

std::string package_url(const LockedFile &file) {
    const auto encoded = [](std::string_view text) {
        std::string out;
        for (const char c : text)
            out += c == '+' ? std::string{"%2B"} : std::string{c};
        return out;
    };
    const bool source = file.architecture == "source" || file.architecture == "packaging";
    return "pkg:deb/debian/" + encoded(file.package) + "@" + encoded(file.version) +
           "?arch=" + (source ? "source" : file.architecture);
}

// An input of image.json; its texts are what parse_image_manifest found to be texts.
struct RecordedInput {
    std::string kind, name, sha256;
    bool found = false;
};
static Result<std::vector<RecordedInput>> recorded_inputs(const ImageManifest &manifest) {
    std::vector<RecordedInput> inputs;
    for (const Json &input : manifest.inputs) {
        CVMIN_TRY(kind, json_string(input, "kind", "image.inputs"));
        CVMIN_TRY(name, json_string(input, "name", "image.inputs"));
        CVMIN_TRY(digest, json_string(input, "sha256", "image.inputs"));
        inputs.push_back({std::move(kind), std::move(name), std::move(digest)});
    }
    return inputs;
}

Result<std::vector<LockedInput>> locked_inputs(const ImageManifest &manifest, std::span<const LockText> locks) {
    CVMIN_TRY(recorded, recorded_inputs(manifest));
    const auto find = [&](std::string_view name, std::string_view digest) {
        const auto at = std::ranges::find_if(
            recorded, [&](const RecordedInput &one) { return one.name == name && one.sha256 == digest; });
        if (at != recorded.end())
            at->found = true;
        return at != recorded.end() ? &*at : nullptr;
    };
    std::vector<LockedInput> inputs;
    std::set<Sha256Digest> seen;
    for (const LockText &lock : locks) {
        CVMIN_TRY(files, parse_lock(lock.text));
        const bool as_file = find(lock.name, hex(sha256(lock.text))) != nullptr;
        for (LockedFile &file : files) {
            const RecordedInput *line = find(file_name(file), hex(file.sha256));
            const bool source = line != nullptr && line->kind == "source";
            if (!as_file && !source)
                return fail(Errc::mismatch, "lock and image.json");
            if (seen.insert(file.sha256).second)
                inputs.push_back({std::move(file), source});
        }
    }
    for (const RecordedInput &one : recorded)
        if (!one.found && (one.kind == "source" || one.name.ends_with(".lock")))
            return fail(Errc::missing, "lock");
    return inputs;
}

bool is_commit_id(std::string_view text) {
    return (text.size() == 40 || text.size() == 64) &&
           std::ranges::all_of(text, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

} // namespace cvmin
