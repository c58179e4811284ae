// ECDSA on P-384 over a SHA-384 digest: one signature checked, one made. Big-endian scalars, as X.509 and COSE have
// them. No I/O; randomness is the caller's.
#pragma once

#include "common/claims.hpp"
#include "common/hash.hpp"

#include <mbedtls/pk.h>

namespace cvmin {

inline constexpr std::size_t p384_scalar_size = 48;
using P384Scalar = ByteArray<p384_scalar_size>;
using P384Signature = ByteArray<2 * p384_scalar_size>; // r, s

// unsupported: the key is not a point of the curve. out_of_range: r or s is 0 or not below the order. mismatch: the
// signature is not one over `digest` by `key`. `where` names the signature in errors.
Result<void> verify_p384(const PublicKey &key, const Sha384Digest &digest, const P384Signature &signature,
                         std::string_view where);

// Fills a buffer with random bytes, as mbedTLS wants it; 0 is success.
using RandomSource = int (*)(void *context, unsigned char *out, std::size_t size);

// In the place of randomness for a signature: the nonce is made from key and digest (RFC 6979, with SHA-384), so that
// the same of both gives the same signature. On the host only; in the guest it is unsupported.
inline constexpr RandomSource rfc6979_nonce = nullptr;
// What is under that. crypto.
Result<P384Signature> sign_p384_deterministic(const P384Scalar &secret, const Sha384Digest &digest);

// A private key on P-384: wiped when it goes, neither copied nor moved.
class P384PrivateKey {
  public:
    P384PrivateKey() { mbedtls_pk_init(&key_); }
    ~P384PrivateKey() { mbedtls_pk_free(&key_); }
    P384PrivateKey(const P384PrivateKey &) = delete;
    P384PrivateKey &operator=(const P384PrivateKey &) = delete;

    // SEC 1 or PKCS#8, DER, or PEM where mbedTLS is built with it; not encrypted. malformed: not a private key;
    // unsupported: on another curve, or of another kind.
    Result<void> parse(ByteView text, RandomSource random, void *context, std::string_view where);
    Result<PublicKey> public_key() const;          // of a key that was parsed
    mbedtls_pk_context &context() { return key_; } // for TLS, which signs by itself
    // `random` may be rfc6979_nonce. crypto: the library or its randomness failed; unsupported.
    Result<P384Signature> sign(const Sha384Digest &digest, RandomSource random, void *context) const;

  private:
    mbedtls_pk_context key_;
};

// A public key (SubjectPublicKeyInfo), DER, or PEM where mbedTLS is built with it. malformed, unsupported.
Result<PublicKey> parse_p384_public_key(ByteView text, std::string_view where);

} // namespace cvmin
