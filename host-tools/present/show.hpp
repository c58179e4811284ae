// Reports, certificates, revocation lists, claims and evidence, printed for people and as JSON. Verifies nothing: what
// is shown may be forged (host-tools/appraise judges).
#pragma once

#include "common/evidence.hpp"
#include "common/tcb.hpp"
#include "host-tools/base/json.hpp"

#include <optional>
#include <string>
#include <vector>

namespace cvmin {

inline constexpr std::uint64_t show_schema = 1;
// The largest that is looked at: evidence, as hex with line breaks and blanks between the bytes.
inline constexpr std::size_t max_shown_size = 4 * max_evidence_size;
inline constexpr std::size_t max_shown_certificates = 16; // of one PEM file: AMD's chains have two or three

// One thing with a name: a value, or the things it is made of. Texts are ASCII without control characters.
struct Item {
    std::string name;
    std::string text; // for people
    Json json;        // null: an object of `items`; else this stands for them
    std::vector<Item> items;
};

struct ShowOptions {
    std::optional<Product> product; // of a version 2 report, which does not say it
};

struct ShowKind {
    std::string_view name;
    std::string_view summary;
    Result<std::vector<Item>> (*show)(ByteView bytes, const ShowOptions &options);
};
std::span<const ShowKind> show_kinds(); // each once, in the order of the help

// What a file holds: hex digits with white space between them are decoded; PEM and anything else stay as they are.
Bytes decoded(ByteView file);

std::string show_text(const std::vector<Item> &items);
// Names become members: lower case, with underscores. The values that a log replays to stand beside it, as "pcrs".
Json show_json(std::string_view kind, const std::vector<Item> &items);

} // namespace cvmin
