// Provenance of a release: an in-toto Statement v1 with the SLSA v1 predicate. Says which commit and pinned files the
// files and launch digests come from. Writing, and reading what others wrote; reads no file, checks no signature.
// Described in docs/provenance.md. Sources: https://in-toto.io/Statement/v1, https://slsa.dev/provenance/v1
#pragma once

#include "host-tools/measure/measure.hpp"
#include "image/document.hpp"
#include "image/image_diff.hpp"
#include "image/lock.hpp"

namespace cvmin {

inline constexpr const char *provenance_name = "provenance.json"; // in a release
inline constexpr const char *provenance_statement_type = "https://in-toto.io/Statement/v1";
inline constexpr const char *provenance_predicate_type = "https://slsa.dev/provenance/v1";
inline constexpr const char *provenance_build_type = "tag:cvmin,2026:build/1"; // docs/provenance.md says what it means
// Who built it, unless the publisher says: any machine with ./dev. What counts is who signed the release.
inline constexpr const char *provenance_default_builder = "tag:cvmin,2026:builder/dev";

struct ProvenanceInput {
    const LoadedImage &image;                  // load_image(); image.json and its files are subjects
    std::span<const ReferenceValues> launches; // predict_all() of the image
    std::span<const LockText> locks;           // as for the SBOM
    std::string commit;                        // 40 or 64 lower-case hexadecimal digits
    std::string firmware = "package";          // or "source"
    std::span<const NamedDigest> others = {};  // further files of the release: SBOM, ID block, ...; no signatures
    std::string source_uri{};                  // where the commit can be fetched, "git+https://..."; empty: not said
    std::string builder_id = provenance_default_builder;
};
// Subjects: each file with sha256; then each distinct launch as "launch-digest:0x00800f12:2" (CPUID signature, vCPUs)
// with its digest as sha384. No time is in it: the same input gives the same bytes. malformed: commit, firmware,
// source_uri, builder_id, a name; mismatch: a file twice, or locks that are not the image's.
Result<Json> slsa_statement(const ProvenanceInput &input);

// ---- reading ----------------------------------------------------------------------------------------------------

inline constexpr std::size_t max_provenance_size = max_json_size; // ours has 300 KB
inline constexpr std::size_t max_provenance_subjects = 8192;      // ours: 1,275 launches and some 12 files
inline constexpr std::size_t max_provenance_dependencies = 20000; // ours: 370
inline constexpr std::size_t max_provenance_text = 1024;          // names, URIs

struct ProvenanceLaunch {
    std::uint32_t signature;
    unsigned vcpus;
    Sha384Digest digest;
};
struct ProvenanceDependency {
    std::string name, uri;         // one of them may be empty
    std::string algorithm, digest; // "sha256", "gitCommit", ...; lower-case hex
};
struct Provenance {
    std::vector<NamedDigest> files;
    std::vector<ProvenanceLaunch> launches;
    std::string commit, firmware, source_uri, builder_id;
    bool debug = false;
    std::vector<ProvenanceDependency> dependencies;
};
// A statement of our build type. malformed, missing, out_of_range, too_large, mismatch (a subject twice); unsupported:
// another statement, predicate or build type.
Result<Provenance> parse_provenance(ByteView statement);

// The first difference between the statement and what there is: debug or not, files and launches in both directions
// (one that the statement does not name is a difference as well), and every input that image.json records. `files`: all
// of the release but the statement itself and signatures.
std::optional<DocumentMismatch> first_mismatch(const Provenance &provenance, const ImageManifest &manifest,
                                               std::span<const NamedDigest> files,
                                               std::span<const ReferenceValues> launches);

} // namespace cvmin
