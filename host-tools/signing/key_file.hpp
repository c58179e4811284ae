// P-384 keys as people keep them in files: made here, encoded as OpenSSL does, read with reasons. Signing is
// common/p384.hpp's, reading and writing files the commands'.
#pragma once

#include "common/p384.hpp"
#include "common/secret.hpp"

namespace cvmin {

inline constexpr std::size_t max_key_file = 16u
                                            << 10; // PEM of a P-384 key is under 400 bytes; others put text around it

struct NewKey {
    Secret pem; // PKCS#8
    PublicKey public_key;
};
Result<NewKey> generate_key(); // crypto

// Private keys: PEM or DER, PKCS#8 or SEC 1. malformed; too_large; unsupported: encrypted, or not on P-384; mismatch:
// the public half that stands beside the private one is another key's.
Result<void> read_private_key(P384PrivateKey &key, ByteView text);
// SubjectPublicKeyInfo, PEM or DER. malformed; too_large; unsupported: not a key on P-384.
Result<PublicKey> read_public_key(ByteView text);

Bytes public_key_der(const PublicKey &key); // SubjectPublicKeyInfo
Result<std::string> public_key_pem(const PublicKey &key);

} // namespace cvmin
