// Owners for libcrypto's objects, and the library context in which host-tools/tpm works. Knows nothing of TPMs.
#pragma once

#include "common/bytes.hpp"

#include <openssl/bn.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/param_build.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include <memory>

namespace cvmin::openssl {

template <auto F> struct Freed {
    template <class T> void operator()(T *value) const { F(value); }
};
template <class T, auto F> using Owner = std::unique_ptr<T, Freed<F>>;

inline void free_numbers(STACK_OF(ASN1_OBJECT) * stack) {
    sk_ASN1_OBJECT_pop_free(stack, ASN1_OBJECT_free);
}
inline void free_certificates(STACK_OF(X509) * stack) {
    sk_X509_free(stack); // the stack, not what it points at
}

using Number = Owner<BIGNUM, BN_clear_free>;
using Key = Owner<EVP_PKEY, EVP_PKEY_free>;
using KeyContext = Owner<EVP_PKEY_CTX, EVP_PKEY_CTX_free>;
using Cipher = Owner<EVP_CIPHER, EVP_CIPHER_free>;
using CipherContext = Owner<EVP_CIPHER_CTX, EVP_CIPHER_CTX_free>;
using Kdf = Owner<EVP_KDF, EVP_KDF_free>;
using KdfContext = Owner<EVP_KDF_CTX, EVP_KDF_CTX_free>;
using Parameters = Owner<OSSL_PARAM, OSSL_PARAM_free>;
using ParameterBuilder = Owner<OSSL_PARAM_BLD, OSSL_PARAM_BLD_free>;
using Certificate = Owner<X509, X509_free>;
using Certificates = Owner<STACK_OF(X509), free_certificates>;
using Store = Owner<X509_STORE, X509_STORE_free>;
using StoreContext = Owner<X509_STORE_CTX, X509_STORE_CTX_free>;
using Usages = Owner<STACK_OF(ASN1_OBJECT), free_numbers>;
using Names = Owner<GENERAL_NAMES, GENERAL_NAMES_free>;
using Object = Owner<ASN1_OBJECT, ASN1_OBJECT_free>;

// A context of our own, in which nobody has set anything; and libcrypto is told first to load no configuration: the
// machine's openssl.cnf may put other providers in the place of its own. nullptr: no memory. Never freed: libcrypto's
// clean-up at exit comes before static objects' destruction.
inline OSSL_LIB_CTX *context() {
    static OSSL_LIB_CTX *const own =
        OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, nullptr) == 1 ? OSSL_LIB_CTX_new() : nullptr;
    return own;
}

// Whatever failed is said in our own words; nothing stays in the thread's queue.
inline std::unexpected<Error> failed(Errc code, std::string_view where) {
    const auto reason = static_cast<std::uint64_t>(ERR_peek_error());
    ERR_clear_error();
    return fail(code, where, code == Errc::crypto ? reason : 0);
}

} // namespace cvmin::openssl
