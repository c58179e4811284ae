// The software bill of materials of an image: SPDX 2.3 as JSON, with every source and package that it was made from
// (version, SHA-256, licence), its files, and which is made from what. The same image gives the same bytes. Reads no
// file. Described in docs/sbom.md. Source: https://spdx.github.io/spdx-spec/v2.3/
#pragma once

#include "image/document.hpp"
#include "image/image_diff.hpp"
#include "image/lock.hpp"

namespace cvmin {

inline constexpr const char *sbom_name = "sbom.spdx.json"; // in a release

struct SbomInput {
    const LoadedImage &image;        // load_image(); with audit.json
    std::span<const LockText> locks; // toolchain/debs.lock, toolchain/sources.lock, and more that the image records
    std::string commit;              // of cvmin's sources: 40 or 64 lower-case hexadecimal digits
    std::int64_t created = 0;        // seconds since 1970: the commit's time, not the clock's
};
// missing: the image has no audit.json, a source has no licence in it, or a lock is missing; malformed: commit;
// out_of_range: created; unsupported: what is_licence_expression refuses; mismatch: the locks, or the version of a
// source, are not the image's.
Result<Json> spdx_document(const SbomInput &input);

// Whether the text is a licence expression by SPDX's grammar. Says nothing about whether its ids are on SPDX's list;
// LicenseRef-... is not taken, for its text would have to be in the document.
bool is_licence_expression(std::string_view text);

// ---- reading ----------------------------------------------------------------------------------------------------

inline constexpr std::size_t max_sbom_size = max_json_size; // ours has 380 KB
inline constexpr std::size_t max_sbom_entries = 20000;      // packages, files; ours: 353 and 9
inline constexpr std::size_t max_sbom_text = 4096;          // of what is read

struct SbomPackage {
    std::string name, version, licence; // licence: as declared
    std::optional<Sha256Digest> sha256; // none: a package that is no single file
};
struct Sbom {
    std::vector<NamedDigest> files; // without "./"
    std::vector<SbomPackage> packages;
};
// Names, versions and digests of an SPDX 2.3 document; the rest is not looked at. malformed, missing, too_large;
// unsupported: another version of SPDX; mismatch: a file twice.
Result<Sbom> parse_sbom(ByteView document);

// The first difference between a document and what there is, in both directions: the image's files, what its locks pin
// (name, version, digest), and the licences of audit.json.
std::optional<DocumentMismatch> first_mismatch(const Sbom &sbom, const LoadedImage &image,
                                               std::span<const LockedInput> inputs);

} // namespace cvmin
