// CoRIM: reference values of SEV-SNP guests as verifiers exchange them. Writes and reads the parts of
// draft-ietf-rats-corim-11 that AMD's profile (draft-deeglaze-amd-sev-snp-corim-profile-02, in the form Veraison has)
// uses for them; the form is described in docs/reference-values.md. Reads no file and judges no evidence.
#pragma once

#include "common/cose.hpp"
#include "common/snp_report.hpp"
#include "host-tools/measure/measure.hpp"

#include <optional>
#include <string>
#include <vector>

namespace cvmin::corim {

// Limits on what others wrote. Ours: 1,275 tags of one triple with two measurements, under 400 KiB.
inline constexpr std::size_t max_size = 4u << 20;
inline constexpr std::size_t max_tags = 4096;
inline constexpr std::size_t max_triples = 8192;    // in the whole file
inline constexpr std::size_t max_measurements = 64; // in one triple; a report has 27 fields
inline constexpr std::size_t max_digests = 8;       // in one measurement: algorithms in use at a time
inline constexpr std::size_t max_text = 1024;       // names, identifiers, URIs
inline constexpr std::size_t max_bytes = 256;       // identifiers and raw values; the longest report field has 64

// Profile identifiers that mean the form we read. Another one is refused, as the draft demands.
inline constexpr std::string_view profile_2024 = "tag:amd.com,2024:snp-corim-profile"; // published -02, Veraison; ours
inline constexpr std::string_view profile_2025 = "tag:amd.com,2025:snp-corim-profile"; // the editor's copy

// Measurement keys of the profile that we write, or compare with a report.
enum class Key : std::uint64_t {
    version = 0,
    guest_svn = 1,
    policy = 2,
    family_id = 3,
    image_id = 4,
    vmpl = 5,
    current_tcb = 6,
    platform_info = 7,
    report_data = 640,
    measurement = 641,
    host_data = 642,
    id_key_digest = 643,
    author_key_digest = 644,
    report_id = 645,
    report_id_ma = 646,
    reported_tcb = 647,
    chip_id = 3328,
    committed_tcb = 3329,
    current_version = 3330,
    committed_version = 3936,
    launch_tcb = 3968,
};
std::string_view name(std::uint64_t key); // "MEASUREMENT"; empty: not a key of the profile

inline constexpr std::int64_t digest_sha384 = 7; // IANA, Named Information Hash Algorithm Registry

struct Digest {
    std::int64_t algorithm = 0; // 0: named by text
    std::string algorithm_text;
    Bytes value;
};
struct Svn {
    std::uint64_t value = 0;
    bool minimum = false; // else exactly this one
    friend bool operator==(const Svn &, const Svn &) = default;
};
struct Measurement {
    std::optional<std::uint64_t> key; // absent: named by something else than a number
    std::string version;
    std::optional<Svn> svn;
    std::vector<Digest> digests;
    std::optional<Bytes> raw;
    std::optional<Bytes> raw_mask;
    bool has_more = false; // values that are not read here
};
struct Environment {
    std::string class_id; // "1.3.6.1.4.1.3704.3.1", a UUID, or hex of other bytes
    std::string vendor, model;
    Bytes instance;        // of tagged bytes; empty: none
    bool has_more = false; // group, other kinds of instance, layer, index, other members
};
struct Reference { // one reference-values triple
    Environment environment;
    std::vector<Measurement> measurements;
};
struct Comid {
    std::string id; // text, or UUID
    std::vector<Reference> references;
    std::size_t other_triples = 0; // kinds of triples that are no reference values: endorsements, keys, ...
};
struct Validity { // seconds since 1970
    std::optional<std::int64_t> not_before;
    std::int64_t not_after = 0;
};
struct Signature { // what the protected header says; nobody has checked it until verify_signature
    std::string signer_name;
    std::string signer_uri;
    std::optional<Validity> validity;
};
struct Corim {
    std::string id; // text, or UUID
    std::string profile;
    std::optional<Validity> validity;
    std::vector<Comid> tags;
    std::size_t other_tags = 0;         // CoSWID, CoTL and others: skipped
    std::optional<Signature> signature; // of a signed one
};

// Signed (tag 18) or not (tag 501). What the drafts call extensions is skipped and remembered in `has_more`; what is
// known must be of its type. unsupported: another tag, profile, algorithm or content type; missing: a member that must
// be there; malformed (also two tags of one id), out_of_range, too_large, truncated, trailing.
Result<Corim> parse(ByteView file);

// That a signed CoRIM is signed by `key`, and that `now` lies in its signature's validity. missing: it is not signed;
// mismatch: not by this key; out_of_range: validity.
Result<void> verify_signature(ByteView file, const PublicKey &key, std::int64_t now);

// `file`, which is not signed, signed: RFC 9052 COSE_Sign1, ES384, with corim-meta. usage: the name is empty or too
// long; unsupported: the file is signed already; and the errors of parse and make_sign1.
Result<Bytes> sign(ByteView file, const P384PrivateKey &key, std::string_view signer_name, RandomSource random,
                   void *context);
// "sha256:" and the hex digest of the key's point: a signer's name when nobody gave one.
std::string fingerprint(const PublicKey &key);

// ---- launch digests ---------------------------------------------------------------------------------------------

// What one way to launch an image looks like in a report.
struct Launch {
    std::string tag_id; // names the configuration
    Sha384Digest digest{};
    std::optional<Svn> guest_svn{};
    std::optional<std::uint64_t> policy{};
    std::optional<ByteArray<16>> family_id{}, image_id{};
    friend bool operator==(const Launch &, const Launch &) = default;
};

// What an ID block adds to the image's own values.
struct IdBlockValues {
    std::optional<Svn> guest_svn{};
    std::optional<ByteArray<16>> family_id{}, image_id{};
};

// One Launch for each signature and vCPU count, in this order.
std::vector<Launch> launches(const ImageManifest &manifest, std::span<const ReferenceValues> values,
                             const IdBlockValues &id_block = {});
// The configuration that a tag id of ours names. Nothing for other tag ids.
struct Configuration {
    std::uint32_t signature;
    unsigned vcpus;
};
std::optional<Configuration> configuration_of(std::string_view tag_id);
// "EPYC-Genoa (0x00a10f10), 2 vCPUs", or the tag id.
std::string describe_launch(std::string_view tag_id);

// Not signed. The same launches give the same bytes. Its id is "tag:cvmin,2026:image/" and the SHA-256 of its tags, or
// "tag:cvmin,2026:debug-image/" and that.
Bytes encode(std::span<const Launch> launches, bool debug_image);
bool is_debug_image(const Corim &corim); // says so of itself

// Every launch that a CoRIM of AMD's profile speaks of. missing: none. unsupported: a triple demands what we do not
// compare with a report, so that taking its digest alone would accept more than its author meant.
Result<std::vector<Launch>> launches_of(const Corim &corim);

// Whether now lies in it; always, when there is none.
bool holds_at(const std::optional<Validity> &validity, std::int64_t now);

// Whether a report is of this launch: digest, and whatever else is set.
bool meets(const SnpReport &report, const Launch &launch);

// The first difference in words, or nothing: "EPYC-v4 (0x00800f12), 1 vCPU: launch digest: found ..., wanted ...".
std::optional<std::string> first_difference(std::span<const Launch> found, std::span<const Launch> wanted);

} // namespace cvmin::corim
