#define OPENSSL_SUPPRESS_DEPRECATED // see common/p384_verify_openssl.cpp
#include "host-tools/measured/quote.hpp"

#include <openssl/bn.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/obj_mac.h>
#include <openssl/rsa.h>

#include <memory>

namespace cvmin {

namespace {

template <auto F> struct Freed {
    template <class T> void operator()(T *value) const { F(value); }
};
using Number = std::unique_ptr<BIGNUM, Freed<BN_free>>;
using Group = std::unique_ptr<EC_GROUP, Freed<EC_GROUP_free>>;
using Point = std::unique_ptr<EC_POINT, Freed<EC_POINT_free>>;
using EcKey = std::unique_ptr<EC_KEY, Freed<EC_KEY_free>>;
using EcSignature = std::unique_ptr<ECDSA_SIG, Freed<ECDSA_SIG_free>>;
using RsaKey = std::unique_ptr<RSA, Freed<RSA_free>>;

constexpr std::string_view where = "tpm.signature";
constexpr std::uint32_t rsa_exponent = 65537; // with 1 anything is a signature; no TPM makes another one by default
constexpr std::uint16_t min_rsa_bits = 2048;

// Whatever failed is said in our own words; nothing stays in the thread's queue.
std::unexpected<Error> failed(Errc code) {
    ERR_clear_error();
    return fail(code, where);
}

Number number_of(ByteView bytes) {
    return Number{BN_bin2bn(u8(bytes), static_cast<int>(bytes.size()), nullptr)};
}

Result<Number> read_scalar(ByteView field, const EC_GROUP &group) {
    if (field.size() > max_ecc_bytes)
        return fail(Errc::out_of_range, where, field.size());
    Number number = number_of(field);
    if (!number)
        return failed(Errc::crypto);
    if (BN_is_zero(number.get()) || BN_cmp(number.get(), EC_GROUP_get0_order(&group)) >= 0)
        return fail(Errc::out_of_range, where);
    return number;
}

Result<void> verify_ecdsa(const TpmDigest &digest, const TpmtSignature &signature, const TpmtPublic &key) {
    if (key.curve != TpmCurve::p256 && key.curve != TpmCurve::p384)
        return fail(Errc::unsupported, where, static_cast<std::uint64_t>(key.curve));
    const bool p256 = key.curve == TpmCurve::p256;
    const std::size_t size = p256 ? 32 : 48;
    if (key.x.size() > size || key.y.size() > size)
        return fail(Errc::unsupported, where, key.x.size());
    const Group group{EC_GROUP_new_by_curve_name(p256 ? NID_X9_62_prime256v1 : NID_secp384r1)};
    const Point point{group ? EC_POINT_new(group.get()) : nullptr};
    const EcKey ec_key{EC_KEY_new()};
    const EcSignature parsed{ECDSA_SIG_new()};
    if (!point || !ec_key || !parsed)
        return failed(Errc::crypto);
    Bytes encoded(1 + 2 * size); // SEC 1, 2.3.3: not compressed; a TPM may leave leading zeros out
    encoded[0] = std::byte{4};
    std::ranges::copy(key.x, encoded.begin() + static_cast<std::ptrdiff_t>(1 + size - key.x.size()));
    std::ranges::copy(key.y, encoded.begin() + static_cast<std::ptrdiff_t>(1 + 2 * size - key.y.size()));
    // refuses coordinates that are not below the field's prime or not on the curve
    if (EC_POINT_oct2point(group.get(), point.get(), u8(ByteView{encoded}), encoded.size(), nullptr) != 1)
        return failed(Errc::unsupported);
    if (EC_KEY_set_group(ec_key.get(), group.get()) != 1 || EC_KEY_set_public_key(ec_key.get(), point.get()) != 1)
        return failed(Errc::crypto);
    CVMIN_TRY(r, read_scalar(signature.r, *group));
    CVMIN_TRY(s, read_scalar(signature.s, *group));
    if (ECDSA_SIG_set0(parsed.get(), r.get(), s.get()) != 1)
        return failed(Errc::crypto);
    (void)r.release(); // the signature's now
    (void)s.release();
    ERR_clear_error();
    switch (ECDSA_do_verify(u8(digest.view()), static_cast<int>(digest.size()), parsed.get(), ec_key.get())) {
    case 1:
        return {};
    case 0:
        return failed(Errc::mismatch);
    default: // a sum without an x is no failure of the library's
        return failed(ERR_GET_REASON(ERR_peek_error()) == EC_R_POINT_AT_INFINITY ? Errc::mismatch : Errc::crypto);
    }
}

const EVP_MD *evp_of(TpmAlg hash) {
    return hash == TpmAlg::sha256 ? EVP_sha256() : hash == TpmAlg::sha384 ? EVP_sha384() : EVP_sha512();
}

Result<void> verify_rsa(const TpmDigest &digest, const TpmtSignature &signature, const TpmtPublic &key) {
    const std::size_t size = key.rsa_modulus.size();
    if (key.rsa_bits < min_rsa_bits || key.rsa_bits != size * 8 || size > max_rsa_bytes ||
        key.rsa_exponent != rsa_exponent || (std::to_integer<unsigned>(key.rsa_modulus.front()) & 0x80) == 0)
        return fail(Errc::unsupported, where, key.rsa_bits);
    if (signature.rsa.size() != size)
        return fail(Errc::mismatch, where, signature.rsa.size());
    // MGF1 needs a provider, whose loading would read the machine's openssl.cnf, and may then be another one's.
    if (OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, nullptr) != 1)
        return failed(Errc::crypto);
    Number n = number_of(key.rsa_modulus);
    Number e{BN_new()};
    const RsaKey rsa{RSA_new()};
    if (!n || !e || !rsa || BN_set_word(e.get(), key.rsa_exponent) != 1 ||
        RSA_set0_key(rsa.get(), n.get(), e.get(), nullptr) != 1)
        return failed(Errc::crypto);
    (void)n.release(); // the key's now
    (void)e.release();
    bool holds = false;
    if (signature.alg == TpmAlgId::rsassa) {
        holds =
            RSA_verify(EVP_MD_get_type(evp_of(signature.hash)), u8(digest.view()), static_cast<unsigned>(digest.size()),
                       u8(ByteView{signature.rsa}), static_cast<unsigned>(size), rsa.get()) == 1;
    } else {
        ByteArray<max_rsa_bytes> padded;
        // the salt's length is the TPM's choice: the digest's, or the longest that fits (Part 1, B.7)
        holds = RSA_public_decrypt(static_cast<int>(size), u8(ByteView{signature.rsa}), u8(MutableBytes{padded}),
                                   rsa.get(), RSA_NO_PADDING) == static_cast<int>(size) &&
                RSA_verify_PKCS1_PSS_mgf1(rsa.get(), u8(digest.view()), evp_of(signature.hash), evp_of(signature.hash),
                                          u8(ByteView{padded}), RSA_PSS_SALTLEN_AUTO) == 1;
    }
    if (!holds)
        return failed(Errc::mismatch);
    ERR_clear_error();
    return {};
}

} // namespace

Result<void> verify_tpm_signature(ByteView message, const TpmtSignature &signature, const TpmtPublic &key) {
    if (signature.hash != TpmAlg::sha256 && signature.hash != TpmAlg::sha384 && signature.hash != TpmAlg::sha512)
        return fail(Errc::unsupported, "tpm.signature.hash", static_cast<std::uint64_t>(signature.hash));
    if (key.scheme != TpmAlgId::null && (key.scheme != signature.alg || key.scheme_hash != signature.hash))
        return fail(Errc::unsupported, "tpm.signature.scheme", static_cast<std::uint64_t>(key.scheme));
    const TpmDigest digest = tpm_hash(signature.hash, message);
    if (signature.alg == TpmAlgId::ecdsa && key.type == TpmAlgId::ecc)
        return verify_ecdsa(digest, signature, key);
    if ((signature.alg == TpmAlgId::rsassa || signature.alg == TpmAlgId::rsapss) && key.type == TpmAlgId::rsa)
        return verify_rsa(digest, signature, key);
    return fail(Errc::unsupported, "tpm.signature.scheme", static_cast<std::uint64_t>(signature.alg));
}

TpmDigest pcr_digest(TpmAlg signature_hash, std::span<const ByteView> values) {
    return tpm_hash(signature_hash, values);
}

} // namespace cvmin
