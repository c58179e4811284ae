// A verdict as an EAT Attestation Result (draft-ietf-rats-ear): claims with an AR4SI trustworthiness vector, in a JWT
// signed with ES384. How checks become claims is the table in docs/ear.md. Judges nothing: it only makes a verdict
// coarser, and never better.
#pragma once

#include "common/p384.hpp"
#include "host-tools/appraise/appraise.hpp"

namespace cvmin {

// The claim names have changed: readers of the older profile are deployed, the newer one is the draft's.
enum class EarProfile : std::uint8_t {
    ietf,     // tag:ietf.org,2026:rats/ear#04: ear_status, ...
    veraison, // tag:github.com,2023:veraison/ear: ear.status, ...
};
std::string_view name(EarProfile profile);
struct EarNames { // members of a result and of its submodules
    const char *status, *vector, *policy, *of_verifier, *of_attester, *verifier;
};
const EarNames &ear_names(EarProfile profile);
std::optional<EarProfile> ear_profile_by_name(std::string_view name);

inline constexpr std::string_view ear_profile_ietf = "tag:ietf.org,2026:rats/ear#04";
inline constexpr std::string_view ear_profile_ietf_03 = "tag:ietf.org,2026:rats/ear#03"; // the same members; only read
inline constexpr std::string_view ear_profile_veraison = "tag:github.com,2023:veraison/ear";
inline constexpr std::string_view policy_id_prefix = "tag:cvmin,2026:policy:sha-256:"; // then the file's digest in hex

// The parts of evidence that are appraised, each a submodule: the report always, the others where something was looked
// at.
inline constexpr std::string_view ear_submodule = "sev-snp";
inline constexpr std::string_view ear_vtpm_submodule = "vtpm";
inline constexpr std::string_view ear_runtime_log_submodule = "runtime-log";

// AR4SI values that are used here. Tiers: 0 none, 2..31 affirming, 32..95 warning, 96..127 contraindicated.
namespace ar4si {
inline constexpr int no_claim = 0;
inline constexpr int affirming = 2;
inline constexpr int approved_boot = 3; // executables: what was loaded during boot, and not what runs later
inline constexpr int contraindicated = 96;
inline constexpr int unrecognized = 97; // an instance, a platform
inline constexpr int crypto_failed = 99;
} // namespace ar4si

struct TrustVector {
    int instance_identity = 0, configuration = 0, executables = 0, file_system = 0, hardware = 0, runtime_opaque = 0,
        storage_opaque = 0, sourced_data = 0;
};
struct TrustClaim {
    std::string_view name; // "instance-identity"
    int TrustVector::*value;
};
std::span<const TrustClaim> trust_claims(); // in AR4SI's order
const TrustClaim *trust_claim_by_name(std::string_view name);
TrustVector trust_vector(const Appraisal &appraisal);
// "affirming" only of an accepted verdict under AMD's root that speaks of hardware, configuration, executables and
// memory; "warning" where an accepted one leaves one of these out; else "contraindicated".
std::string_view ear_status(const Appraisal &appraisal);

struct EarIssue {
    EarProfile profile = EarProfile::ietf;
    std::time_t issued = 0;
    std::optional<std::time_t> expires{}; // nothing: the reader sets a limit of its own to `iat`
};

// missing: no nonce (a result for evidence whose freshness nobody checked could be replayed for ever).
Result<Json> ear_claims(const Appraisal &appraisal, const Expectations &expectations, const EarIssue &issue);

// A P-384 key as a JWK (RFC 7517): kty, crv, x, y.
Json jwk_of(const PublicKey &key);
// RFC 7638 with SHA-256: what `kid` names a key by, in base64url.
Sha256Digest key_thumbprint(const PublicKey &key);
// A JWK set: each key with its kid, "alg": "ES384", "use": "sig".
Json jwks_json(std::span<const PublicKey> keys);

// Compact JWS. crypto.
Result<std::string> sign_jwt(const Json &claims, const P384PrivateKey &key);

inline constexpr std::int64_t cose_typ = 16; // RFC 9596
inline constexpr std::string_view cwt_media_type = "application/eat+cwt";
// What ear_claims() made under the ietf profile as a CWT: COSE_Sign1 (tag 18) with ES384 over the claims with the
// draft's integer keys, in deterministic CBOR. `kid` is the thumbprint's bytes, `typ` (RFC 9596) the media type.
// unsupported: claims of the older profile, which has no keys of its own for this; crypto.
Result<Bytes> sign_cwt(const Json &claims, const P384PrivateKey &key);

} // namespace cvmin
