// sign_p384_deterministic by libcrypto, for the host: RFC 6979 is its own, and its P-384 takes constant time. In a
// library context of our own, so that no configuration file of the machine puts another provider in its place.
#include "common/p384.hpp"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>

#include <memory>

namespace cvmin {

namespace {

constexpr std::size_t max_der_signature = 104; // SEQUENCE of two INTEGERs of up to 49 bytes
constexpr unsigned nonce_of_rfc6979 = 1;       // OSSL_SIGNATURE_PARAM_NONCE_TYPE

template <auto F> struct Freed {
    template <class T> void operator()(T *value) const { F(value); }
};
template <class T, auto F> using Owner = std::unique_ptr<T, Freed<F>>;

// Never freed: libcrypto's clean-up at exit comes before static objects' destruction.
OSSL_LIB_CTX *context() {
    static OSSL_LIB_CTX *const own =
        OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, nullptr) == 1 ? OSSL_LIB_CTX_new() : nullptr;
    return own;
}

std::unexpected<Error> failed() {
    const auto reason = static_cast<std::uint64_t>(ERR_peek_error());
    ERR_clear_error();
    return fail(Errc::crypto, "p384.sign", reason);
}

} // namespace

Result<P384Signature> sign_p384_deterministic(const P384Scalar &secret, const Sha384Digest &digest) {
    const Owner<BIGNUM, BN_clear_free> number{BN_secure_new()};
    const Owner<OSSL_PARAM_BLD, OSSL_PARAM_BLD_free> builder{OSSL_PARAM_BLD_new()};
    if (context() == nullptr || !number || !builder ||
        BN_bin2bn(u8(ByteView{secret}), static_cast<int>(secret.size()), number.get()) == nullptr ||
        OSSL_PARAM_BLD_push_utf8_string(builder.get(), OSSL_PKEY_PARAM_GROUP_NAME, "secp384r1", 0) != 1 ||
        OSSL_PARAM_BLD_push_BN_pad(builder.get(), OSSL_PKEY_PARAM_PRIV_KEY, number.get(), secret.size()) != 1)
        return failed();
    const Owner<OSSL_PARAM, OSSL_PARAM_free> of_key{OSSL_PARAM_BLD_to_param(builder.get())};
    const Owner<EVP_PKEY_CTX, EVP_PKEY_CTX_free> maker{EVP_PKEY_CTX_new_from_name(context(), "EC", nullptr)};
    EVP_PKEY *made = nullptr;
    if (!of_key || !maker || EVP_PKEY_fromdata_init(maker.get()) != 1 ||
        EVP_PKEY_fromdata(maker.get(), &made, EVP_PKEY_KEYPAIR, of_key.get()) != 1)
        return failed();
    const Owner<EVP_PKEY, EVP_PKEY_free> key{made};
    BIGNUM *order = nullptr;
    const bool has_order = EVP_PKEY_get_bn_param(key.get(), OSSL_PKEY_PARAM_EC_ORDER, &order) == 1;
    const Owner<BIGNUM, BN_free> owned{order};
    if (!has_order || BN_is_zero(number.get()) || BN_cmp(number.get(), order) >= 0) // libcrypto would take it
        return failed();

    unsigned nonce_type = nonce_of_rfc6979;
    char digest_name[] = "SHA2-384";
    const OSSL_PARAM how[] = {OSSL_PARAM_construct_uint(OSSL_SIGNATURE_PARAM_NONCE_TYPE, &nonce_type),
                              OSSL_PARAM_construct_utf8_string(OSSL_SIGNATURE_PARAM_DIGEST, digest_name, 0),
                              OSSL_PARAM_construct_end()};
    const Owner<EVP_PKEY_CTX, EVP_PKEY_CTX_free> signer{EVP_PKEY_CTX_new_from_pkey(context(), key.get(), nullptr)};
    ByteArray<max_der_signature> der;
    std::size_t size = der.size();
    if (!signer || EVP_PKEY_sign_init_ex(signer.get(), how) != 1 ||
        EVP_PKEY_sign(signer.get(), u8(MutableBytes{der}), &size, u8(ByteView{digest}), digest.size()) != 1)
        return failed();

    const unsigned char *at = u8(ByteView{der});
    const Owner<ECDSA_SIG, ECDSA_SIG_free> parsed{d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(size))};
    P384Signature out{};
    const MutableBytes bytes{out};
    constexpr int width = p384_scalar_size;
    if (!parsed || BN_bn2binpad(ECDSA_SIG_get0_r(parsed.get()), u8(bytes), width) != width ||
        BN_bn2binpad(ECDSA_SIG_get0_s(parsed.get()), u8(bytes) + width, width) != width)
        return failed();
    return out;
}

} // namespace cvmin
