// The claims that REPORT_DATA binds: REPORT_DATA = SHA-512(the exact claims bytes in the evidence).
// A CBOR map in the shape of an EAT claims set (RFC 9711), canonical (RFC 8949 4.2.1), described in protocol.cddl.
#pragma once

#include "common/bytes.hpp"
#include "common/hash.hpp"

#include <optional>

namespace cvmin {

inline constexpr std::string_view claims_profile = "tag:cvmin,2026:1";
inline constexpr std::size_t min_nonce_size = 32; // DESIGN: 32..64 bytes; shorter ones can be guessed or repeat
inline constexpr std::size_t max_nonce_size = 64;
inline constexpr std::size_t exporter_size = 32;
inline constexpr std::string_view exporter_label = "EXPORTER-cvmin-attestation";
inline constexpr std::size_t max_claims_size = 2048; // all fields at their largest need under 700

// A P-384 public key: coordinates big-endian.
struct PublicKey {
    ByteArray<48> x;
    ByteArray<48> y;
    friend bool operator==(const PublicKey &, const PublicKey &) = default;
};

struct Claims {
    Bytes nonce;                                      // eat_nonce (10)
    PublicKey key;                                    // cnf (8): COSE_Key of the agent's TLS key
    std::optional<ByteArray<exporter_size>> exporter; // tls-exporter (-70001); null for a passport
    std::optional<Sha384Digest> runtime_log; // runtime-log (-70002): head of the log; null of an agent that keeps none
    std::optional<Sha256Digest> manifest;    // manifest (-70003)
    std::optional<Sha256Digest> ak;          // ak (-70004)
    friend bool operator==(const Claims &, const Claims &) = default;
};

Bytes encode_claims(const Claims &claims);
// malformed: not canonical CBOR, unknown, missing or doubled claim, wrong type; unsupported: profile or key kind;
// out_of_range: a length; too_large.
Result<Claims> parse_claims(ByteView bytes);

Sha512Digest report_data_for(ByteView claims_bytes);

} // namespace cvmin
