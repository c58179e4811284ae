#define OPENSSL_SUPPRESS_DEPRECATED // see common/p384_verify_openssl.cpp
#include "host-tools/appraise/rsa_pss.hpp"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>

#include <memory>

namespace cvmin {

static constexpr std::size_t modulus_size = 512;
static constexpr std::size_t max_exponent_size = 8; // AMD's are 65537
static constexpr int salt_size = 48;

namespace {

template <auto F> struct Freed {
    template <class T> void operator()(T *value) const { F(value); }
};
using Number = std::unique_ptr<BIGNUM, Freed<BN_free>>;
using Key = std::unique_ptr<RSA, Freed<RSA_free>>;

Key key_of(const mbedtls_rsa_context &from) {
    ByteArray<modulus_size> modulus;
    ByteArray<max_exponent_size> exponent;
    if (mbedtls_rsa_get_len(&from) != modulus_size ||
        mbedtls_rsa_export_raw(&from, u8(MutableBytes{modulus}), modulus.size(), nullptr, 0, nullptr, 0, nullptr, 0,
                               u8(MutableBytes{exponent}), exponent.size()) != 0)
        return nullptr;
    Number n{BN_bin2bn(u8(ByteView{modulus}), static_cast<int>(modulus.size()), nullptr)};
    Number e{BN_bin2bn(u8(ByteView{exponent}), static_cast<int>(exponent.size()), nullptr)};
    Key key{RSA_new()};
    if (!n || !e || !key || RSA_set0_key(key.get(), n.get(), e.get(), nullptr) != 1)
        return nullptr;
    (void)n.release(); // the key's now
    (void)e.release();
    return key;
}

} // namespace

bool verify_rsa_pss(const mbedtls_rsa_context &key, const Sha384Digest &digest, ByteView signature) {
    // MGF1 needs a provider, whose loading would read the machine's openssl.cnf, and may then be another one's.
    if (signature.size() != modulus_size || OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, nullptr) != 1)
        return false;
    const Key rsa = key_of(key);
    ByteArray<modulus_size> padded;
    const bool holds = rsa &&
                       RSA_public_decrypt(static_cast<int>(signature.size()), u8(signature), u8(MutableBytes{padded}),
                                          rsa.get(), RSA_NO_PADDING) == static_cast<int>(modulus_size) &&
                       RSA_verify_PKCS1_PSS_mgf1(rsa.get(), u8(ByteView{digest}), EVP_sha384(), EVP_sha384(),
                                                 u8(ByteView{padded}), salt_size) == 1;
    ERR_clear_error();
    return holds;
}

} // namespace cvmin
