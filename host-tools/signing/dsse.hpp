// DSSE envelopes: a payload, its type, and a signature over both, as in-toto attestations travel. ECDSA on P-384 with
// SHA-384; the signature is in DER, as cosign and OpenSSL have it. No I/O.
// Source: secure-systems-lab/dsse, protocol.md and envelope.md, 1.0.2.
#pragma once

#include "common/p384.hpp"

#include <string>

namespace cvmin {

inline constexpr const char *in_toto_payload_type = "application/vnd.in-toto+json";
inline constexpr std::size_t max_dsse_signatures = 16; // of one envelope; ours has two
inline constexpr std::size_t max_dsse_size = 1u << 20; // parse_json's limit: a payload of up to 780 KB; ours has 350 KB

// What is signed: "DSSEv1", and type and payload with their sizes.
Bytes dsse_pre_authentication_encoding(std::string_view type, ByteView payload);

// The envelope as one line of JSON and a newline, with two signatures of the key: over SHA-384, and over SHA-256 for
// cosign, which (2.5) takes that with any key on a NIST curve. Its keyid is the SHA-256 of the key's
// SubjectPublicKeyInfo in DER, in hex. `random` as for P384PrivateKey::sign, and its errors; too_large.
Result<std::string> sign_dsse(std::string_view type, ByteView payload, const P384PrivateKey &key, RandomSource random,
                              void *context);

// The payload, when one of the envelope's signatures is by `key` over SHA-384; whatever keyid says, which nobody has
// signed.
// malformed, missing, too_large; unsupported: another type of payload; mismatch: no signature is by this key.
Result<Bytes> verify_dsse(ByteView envelope, std::string_view type, const PublicKey &key);

// ECDSA-Sig-Value (RFC 3279, 2.2.3). malformed: anything but its one DER form.
Bytes signature_to_der(const P384Signature &signature);
Result<P384Signature> signature_from_der(ByteView der);

} // namespace cvmin
