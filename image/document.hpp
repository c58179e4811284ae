// What the documents of a release have in common: files by digest, and how one of them differs from what there is.
#pragma once

#include "common/hash.hpp"

#include <map>
#include <optional>
#include <string>

namespace cvmin {

struct NamedDigest { // of a file, relative to the release's directory
    std::string name;
    Sha256Digest sha256;
    friend bool operator==(const NamedDigest &, const NamedDigest &) = default;
};

struct DocumentMismatch {
    std::string subject;       // "bzImage", "launch digest of EPYC-Genoa (0x00a10f10), 2 vCPUs", "input image/cmdline"
    std::string found, wanted; // wanted: what the document says; empty: nothing is there
};

// Of two tables by name, the first difference in either direction.
inline std::optional<DocumentMismatch> first_difference(const std::map<std::string, std::string> &found,
                                                        const std::map<std::string, std::string> &wanted) {
    for (const auto &[name, value] : found) {
        const auto there = wanted.find(name);
        if (there == wanted.end() || there->second != value)
            return DocumentMismatch{name, value, there == wanted.end() ? std::string{} : there->second};
    }
    for (const auto &[name, value] : wanted)
        if (!found.contains(name))
            return DocumentMismatch{name, "", value};
    return std::nullopt;
}

} // namespace cvmin
