// Credential protection (TCG "TPM 2.0 Library" 1.59, Part 1, clause 24): a value that only the TPM with this
// endorsement key (EK) can read, and gives out only while it holds the key of this name. Whoever gets the value back
// knows that both keys are in one TPM. Makes the blob; whether the EK is a TPM's at all is ek_certificate.hpp's
// question. Every primitive is libcrypto's.
#pragma once

#include "common/secret.hpp"
#include "common/tpm.hpp"

namespace cvmin {

struct ProtectedCredential { // what TPM2_ActivateCredential takes, each without the size prefix of its TPM2B
    Bytes id_object;         // TPMS_ID_OBJECT (Part 2, 12.4.2): TPM2B integrityHMAC, encIdentity
    Bytes encrypted_secret;  // the seed, as the EK's algorithm conveys it: OAEP, or TPMS_ECC_POINT
};

inline constexpr std::uint16_t min_ek_rsa_bits = 2048; // TCG EK Credential Profile 2.5, B.3: no template is smaller
inline constexpr std::uint16_t max_ek_rsa_bits = 4096;

// As TPM2_MakeCredential does (Part 3, 12.6). `ek_public`: TPMT_PUBLIC of a restricted decryption key, RSA of 2048 to
// 4096 bits or ECC on P-256 or P-384, nameAlg SHA-256, SHA-384 or SHA-512, AES in CFB mode. `ak_name`: TPM2B_NAME's
// buffer of the key to be bound. `credential`: 1 byte up to the size of a digest of the EK's nameAlg.
// The errors of parse_public; unsupported (where names the member): another kind of key; malformed: a modulus or point
// that cannot be a key; out_of_range: the name's or the credential's size; crypto.
Result<ProtectedCredential> make_credential(ByteView ek_public, ByteView ak_name, ByteView credential);

// ---- its parts, for known answers
// ------------------------------------------------------------------------------------

// Part 1, 11.4.10.2: KDFa with HMAC of `hash`, a multiple of 8 bits. `label` without its terminating zero.
Result<Secret> tpm_kdfa(TpmAlg hash, ByteView key, std::string_view label, ByteView context_u, ByteView context_v,
                        std::size_t bits);
// Part 1, 11.4.10.3.
Result<Secret> tpm_kdfe(TpmAlg hash, ByteView z, std::string_view label, ByteView party_u, ByteView party_v,
                        std::size_t bits);
// 24.4 and 24.5: the TPMS_ID_OBJECT for a seed that the TPM will find by itself.
Result<Bytes> protect_credential(const TpmtPublic &ek, const Secret &seed, ByteView ak_name, ByteView credential);

} // namespace cvmin
