// An attestation result of a verifier (EAR in a JWT, docs/ear.md), read by a relying party. What is read here is what
// somebody wrote: whether it may be believed is appraise_result()'s to say.
#pragma once

#include "common/p384.hpp"
#include "common/protocol.hpp"
#include "host-tools/present/ear.hpp"

#include <ctime>
#include <optional>
#include <string>
#include <vector>

namespace cvmin {

inline constexpr std::size_t max_result_size = max_passport_size; // ours have under 6 KiB
inline constexpr std::size_t max_result_parts = 16;               // submodules; ours are 3
inline constexpr std::size_t max_result_policies = 16;            // identifiers of one submodule; ours has 1
inline constexpr unsigned max_result_age_s = 365 * 86400;         // --max-age; verifiers give 30 days at most
// Seconds since 1970: until the year 9999, behind which there is no date to print.
inline constexpr std::uint64_t max_result_time = 253'402'300'799;

struct ResultPart { // a submodule
    std::string name;
    std::string status; // "none", "affirming", "warning", "contraindicated"
    TrustVector vector; // a claim that is not there is 0: no claim
    std::vector<std::string> policies;
};

struct AttestationResult {
    std::time_t issued = 0;
    std::optional<std::time_t> expires{};
    Bytes nonce;
    std::optional<PublicKey> key{}; // cnf
    std::vector<ResultPart> parts;  // one is ear_submodule
    // Of that part, in cvmin's own members; nothing where the verifier says nothing of it.
    std::optional<bool> accepted{}, emulated{};
    std::optional<Sha256Digest> emulated_ark{}, manifest{};
    std::optional<Sha384Digest> measurement{};
    std::string subject, nonce_by, developer, build;

    const ResultPart &report_part() const;
};

struct ResultToken {
    Sha256Digest kid; // RFC 7638 thumbprint of the key that is said to have signed it
    Sha384Digest digest;
    P384Signature signature;
    AttestationResult result;
};

// malformed: no compact JWS, no JSON, a member of another type, a status or a claim of the vector that is unknown;
// missing: a member without which nothing can be decided (`iat`, `eat_nonce`, the part of the report, its status or
// vector); unsupported: another algorithm, another profile, `crit`; too_large; out_of_range. A line feed at the end is
// taken: files have one.
Result<ResultToken> parse_result_token(ByteView token);

// mismatch: not signed by this key. The errors of verify_p384.
Result<void> verify_result_token(const ResultToken &token, const PublicKey &key);

} // namespace cvmin
