#include "agent-min/random.hpp"

#include "agent-min/fd.hpp"

#include <mbedtls/entropy.h>
#include <psa/crypto.h>

#include <sys/random.h>

namespace cvmin::agent {

Result<void> fill_random(MutableBytes out) {
    while (!out.empty()) {
        const ssize_t got = ::getrandom(out.data(), out.size(), 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return os_error("getrandom");
        out = out.subspan(static_cast<std::size_t>(got));
    }
    return {};
}

int mbedtls_random(void *, unsigned char *out, std::size_t size) {
    return fill_random(std::as_writable_bytes(std::span{out, size})) ? 0 : MBEDTLS_ERR_ENTROPY_SOURCE_FAILED;
}

} // namespace cvmin::agent

#if defined(MBEDTLS_PSA_CRYPTO_EXTERNAL_RNG)
// What mbedTLS' PSA layer, which TLS 1.3 stands on, takes its random bytes from.
extern "C" psa_status_t mbedtls_psa_external_get_random(mbedtls_psa_external_random_context_t *, uint8_t *output,
                                                        size_t output_size, size_t *output_length) {
    *output_length = 0;
    if (!cvmin::agent::fill_random(std::as_writable_bytes(std::span{output, output_size})))
        return PSA_ERROR_INSUFFICIENT_ENTROPY;
    *output_length = output_size;
    return PSA_SUCCESS;
}
#endif
