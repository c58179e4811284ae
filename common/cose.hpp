// COSE_Sign1 (RFC 9052) with ES384 (RFC 9053): signed and checked, payload attached, external_aad empty. Used for
// CoRIM; fit for receipts of the agent. No I/O. What the payload and the header's own members mean is the caller's.
#pragma once

#include "common/cbor_stream.hpp"
#include "common/p384.hpp"

namespace cvmin::cose {

inline constexpr std::uint64_t sign1_tag = 18;
inline constexpr std::int64_t es384 = -35; // ECDSA with SHA-384; here on P-384 only, which RFC 9053 recommends
// Header labels (IANA, COSE Header Parameters)
namespace label {
inline constexpr std::int64_t alg = 1;
inline constexpr std::int64_t crit = 2;
inline constexpr std::int64_t content_type = 3;
inline constexpr std::int64_t kid = 4;
} // namespace label

// One header. Ours has under 200 bytes; others put a certificate chain (x5chain) there.
inline constexpr std::size_t max_header_size = 32u << 10;

struct Sign1 {                 // views into the message
    ByteView protected_header; // the encoded map, as it was signed
    ByteView unprotected;      // the encoded map; nobody vouches for it
    ByteView payload;
    P384Signature signature;
};

// The structure of a tagged COSE_Sign1, nothing about the signature. Refused: another tag or none; a payload that is
// not there (detached); an algorithm other than ES384, or not in the protected header; `crit`; a label in both headers.
// truncated, trailing, malformed, too_large (more than `limit` bytes), out_of_range, unsupported.
Result<Sign1> parse_sign1(ByteView message, std::size_t limit);

// A member of an encoded header map, as an encoded item; nothing when it is not there.
std::optional<ByteView> find_member(ByteView header, std::int64_t label);

// What is signed: RFC 9052, 4.4, Sig_structure with context "Signature1".
Bytes sig_structure(ByteView protected_header, ByteView payload);

// mismatch: not signed by this key. The errors of verify_p384.
Result<void> verify_sign1(const Sign1 &message, const PublicKey &key);

// `protected_header` is the encoded map with alg: es384 in it, in deterministic form. Errors: those of
// P384PrivateKey::sign; malformed, unsupported: the header is not such a map.
Result<Bytes> make_sign1(ByteView protected_header, ByteView payload, const P384PrivateKey &key, RandomSource random,
                         void *context);

// The same of a header that is the caller's own program text, and right: without the checks, which the agent has no
// room for. The errors of P384PrivateKey::sign.
Result<Bytes> sign_sign1(ByteView protected_header, ByteView payload, const P384PrivateKey &key, RandomSource random,
                         void *context);

} // namespace cvmin::cose
