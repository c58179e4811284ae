// A collateral bundle: certificates, lists and minimum TCBs in one signed file with an end date, for verifying with the
// network unplugged. A COSE_Sign1 (ES384) over a map in canonical CBOR:
//   collateral = {
//     "crls": [* bytes],            DER
//     "type": "tag:cvmin,2026:collateral",
//     "veks": [* bytes],            VCEKs and VLEKs, DER
//     "created": uint, "expires": uint,     seconds since 1970, UTC
//     "minimum-tcb": { ? "Genoa" | "Milan" | "Turin": { ? "launch" | "current" | "reported" | "committed": uint } },
//     "intermediates": [* bytes],   ASKs and ASVKs, DER
//   }
// The signature says that the relying party, or somebody whom it trusts with this, chose these; it vouches for nothing
// in them: appraisal judges each certificate and list as strictly as a host's.
#pragma once

#include "common/p384.hpp"
#include "host-tools/appraise/appraise.hpp"
#include "host-tools/base/explained.hpp"

namespace cvmin {

inline constexpr std::string_view bundle_type = "tag:cvmin,2026:collateral";
// in the protected header: a signature of the same key over another kind of payload is not one over collateral
inline constexpr std::string_view bundle_content_type = "application/vnd.cvmin.collateral+cbor";
inline constexpr std::size_t max_bundle_veks = 1024; // a few racks, or one rack through many TCBs; each has 1.4 KB
inline constexpr std::size_t max_bundle_intermediates = 16;       // AMD has 6
inline constexpr std::size_t max_bundle_crls = 16;                // AMD has 3
inline constexpr std::size_t max_bundle_size = 4u << 20;          // all of these at their usual sizes, twice over
inline constexpr std::uint64_t max_bundle_time = 253'402'300'799; // 9999-12-31T23:59:59Z

using MinimumTcb = std::array<std::array<std::optional<Tcb>, tcb_kind_count>, all_products.size()>;

struct Bundle {
    std::uint64_t created = 0, expires = 0;
    std::vector<Bytes> veks, intermediates, crls; // DER, none twice
    MinimumTcb minimum_tcb;
};

// The payload. parse refuses: truncated, trailing; malformed: not canonical, an unknown, missing or doubled member,
// what is no certificate or list, one that is there twice; unsupported: type, product, a TCB with unknown levels;
// out_of_range: a number, more entries than the limits, an end before the beginning; too_large.
Bytes encode_bundle(const Bundle &bundle);
Result<Bundle> parse_bundle(ByteView payload);

// The signed file. Errors name collateral.format, collateral.signature.
Result<Bytes> sign_bundle(const Bundle &bundle, const P384PrivateKey &key, RandomSource random, void *context);
// Without asking who signed: for showing only.
Result<Bundle> read_bundle(ByteView file);
// Signed by `key`, if one is given, and `now` is before its end. The text of a refusal begins with collateral.format,
// collateral.signature or collateral.expiry; exit code 3. Without a key anybody may have chosen what is in it: nothing
// that AMD did not sign counts for more by that, but a list or a minimum TCB may be missing.
Explained<Bundle> open_bundle(ByteView file, const std::optional<PublicKey> &key, std::time_t now);

// For appraisal; `source` names the file in verdicts. malformed: cannot be, after parse_bundle().
Result<Endorsements> endorsements_of(const Bundle &bundle, std::string source);

// A file of minimum TCBs: the member `minimum_tcb` of a policy, in which products and kinds may be left out. Products
// and kinds that are there need every component, or are "skip". The text of an error names the member.
Explained<MinimumTcb> parse_minimum_tcb(ByteView json);

// ---- making one --------------------------------------------------------------------------------------------------

// What is put into a bundle: sorted by what it is, checked up to a pinned ARK (or the emulated one) at `now`.
class BundleMaker {
  public:
    BundleMaker(std::time_t now, std::optional<Bytes> emulated_ark);

    // A file's contents: DER or PEM, one or more certificates and lists. mismatch: does not verify; malformed: is none.
    Explained<void> add(ByteView bytes, std::string_view file);
    // Checks the VEKs under the intermediates that were added or are built in, and against every list. Of several lists
    // of one ARK only the newest stays. missing: nothing was added; too_large.
    Explained<Bundle> finish(std::uint64_t expires, const MinimumTcb &minimum_tcb,
                             const std::function<void(std::string_view)> &note);

  private:
    struct Vek {
        std::shared_ptr<const X509Certificate> certificate;
        std::string file;
    };
    Explained<void> add_certificate(Bytes der, std::string_view file);
    Explained<void> add_list(ByteView der, std::string_view file);

    std::time_t now_;
    std::optional<Bytes> emulated_ark_;
    std::vector<Vek> veks_;
    std::vector<std::shared_ptr<const X509Certificate>> intermediates_;
    std::vector<std::shared_ptr<const RevocationList>> crls_;
};

} // namespace cvmin
