#include "agent-min/tpm_crypto.hpp"

#include "agent-min/random.hpp"
#include "common/mbed.hpp"

#include <memory>

#include <mbedtls/md.h>

namespace cvmin::agent {

namespace {

struct State {
    Mbed<mbedtls_md_context_t, mbedtls_md_init, mbedtls_md_free> md;
    bool hmac = false;
};

State *state_of(ESYS_CRYPTO_CONTEXT_BLOB *context) {
    return reinterpret_cast<State *>(context);
}
TSS2_RC result(int mbedtls) {
    return mbedtls == 0 ? TSS2_RC_SUCCESS : TSS2_ESYS_RC_GENERAL_FAILURE;
}

const mbedtls_md_info_t *info_for(TPM2_ALG_ID algorithm) {
    switch (algorithm) {
    case TPM2_ALG_SHA256:
        return mbedtls_md_info_from_type(MBEDTLS_MD_SHA256);
    case TPM2_ALG_SHA384:
        return mbedtls_md_info_from_type(MBEDTLS_MD_SHA384);
    default: // no key and no session of ours has another
        return nullptr;
    }
}

TSS2_RC start(ESYS_CRYPTO_CONTEXT_BLOB **context, TPM2_ALG_ID algorithm, bool hmac) {
    const mbedtls_md_info_t *const info = info_for(algorithm);
    if (info == nullptr)
        return TSS2_ESYS_RC_NOT_IMPLEMENTED;
    auto state = std::make_unique<State>();
    state->hmac = hmac;
    if (mbedtls_md_setup(state->md.get(), info, hmac ? 1 : 0) != 0)
        return TSS2_ESYS_RC_GENERAL_FAILURE;
    *context = reinterpret_cast<ESYS_CRYPTO_CONTEXT_BLOB *>(state.release());
    return TSS2_RC_SUCCESS;
}

void abort_any(ESYS_CRYPTO_CONTEXT_BLOB **context, void *) {
    if (context == nullptr)
        return;
    const std::unique_ptr<State> ended{state_of(*context)};
    *context = nullptr;
}

TSS2_RC hash_start(ESYS_CRYPTO_CONTEXT_BLOB **context, TPM2_ALG_ID algorithm, void *) {
    if (const TSS2_RC rc = start(context, algorithm, false); rc != TSS2_RC_SUCCESS)
        return rc;
    return result(mbedtls_md_starts(state_of(*context)->md.get()));
}

TSS2_RC hmac_start(ESYS_CRYPTO_CONTEXT_BLOB **context, TPM2_ALG_ID algorithm, const std::uint8_t *key, std::size_t size,
                   void *) {
    if (const TSS2_RC rc = start(context, algorithm, true); rc != TSS2_RC_SUCCESS)
        return rc;
    return result(mbedtls_md_hmac_starts(state_of(*context)->md.get(), key, size));
}

TSS2_RC update(ESYS_CRYPTO_CONTEXT_BLOB *context, const std::uint8_t *bytes, std::size_t size, void *) {
    State &state = *state_of(context);
    return result(state.hmac ? mbedtls_md_hmac_update(state.md.get(), bytes, size)
                             : mbedtls_md_update(state.md.get(), bytes, size));
}

TSS2_RC finish(ESYS_CRYPTO_CONTEXT_BLOB **context, std::uint8_t *out, std::size_t *size, void *) {
    State &state = *state_of(*context);
    const std::size_t wanted = mbedtls_md_get_size(mbedtls_md_info_from_ctx(state.md.get()));
    if (*size < wanted)
        return TSS2_ESYS_RC_BAD_SIZE;
    const int ended = state.hmac ? mbedtls_md_hmac_finish(state.md.get(), out) : mbedtls_md_finish(state.md.get(), out);
    *size = wanted;
    abort_any(context, nullptr);
    return result(ended);
}

TSS2_RC random2b(TPM2B_NONCE *nonce, std::size_t size, void *) {
    // 0: as many as fit into the largest digest, the meaning that tpm2-tss gives it
    nonce->size = static_cast<UINT16>(size == 0 ? sizeof(TPMU_HA) : size);
    if (nonce->size > sizeof nonce->buffer)
        return TSS2_ESYS_RC_BAD_SIZE;
    const auto filled = fill_random(std::as_writable_bytes(std::span{nonce->buffer}.first(nonce->size)));
    return filled ? TSS2_RC_SUCCESS : TSS2_ESYS_RC_GENERAL_FAILURE;
}

// ESYS wants these to be there; they are for salted sessions and encrypted parameters.
TSS2_RC no_rsa(TPM2B_PUBLIC *, std::size_t, BYTE *, std::size_t, BYTE *, std::size_t *, const char *, void *) {
    return TSS2_ESYS_RC_NOT_IMPLEMENTED;
}
TSS2_RC no_ecdh(TPM2B_PUBLIC *, std::size_t, TPM2B_ECC_PARAMETER *, TPMS_ECC_POINT *, BYTE *, std::size_t *, void *) {
    return TSS2_ESYS_RC_NOT_IMPLEMENTED;
}
TSS2_RC no_cipher(std::uint8_t *, TPM2_ALG_ID, TPMI_AES_KEY_BITS, TPM2_ALG_ID, std::uint8_t *, std::size_t,
                  std::uint8_t *, void *) {
    return TSS2_ESYS_RC_NOT_IMPLEMENTED;
}

} // namespace

TSS2_RC set_tpm_crypto(ESYS_CONTEXT *context) {
    ESYS_CRYPTO_CALLBACKS backend{.rsa_pk_encrypt = no_rsa,
                                  .hash_start = hash_start,
                                  .hash_update = update,
                                  .hash_finish = finish,
                                  .hash_abort = abort_any,
                                  .hmac_start = hmac_start,
                                  .hmac_update = update,
                                  .hmac_finish = finish,
                                  .hmac_abort = abort_any,
                                  .get_random2b = random2b,
                                  .get_ecdh_point = no_ecdh,
                                  .aes_encrypt = no_cipher,
                                  .aes_decrypt = no_cipher,
                                  .sm4_encrypt = no_cipher,
                                  .sm4_decrypt = no_cipher,
                                  .init = nullptr,
                                  .userdata = nullptr};
    return Esys_SetCryptoCallbacks(context, &backend);
}

} // namespace cvmin::agent
