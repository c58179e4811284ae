// What agent and relying party must take from a TLS connection in the same way: the key of a certificate and the
// exporter. No I/O.
#pragma once

#include "common/claims.hpp"

#include <mbedtls/pk.h>
#include <mbedtls/ssl.h>

namespace cvmin {

// unsupported: not an ECDSA key on P-384.
Result<PublicKey> public_key_of(const mbedtls_pk_context &key);

// RFC 8446, 7.5 exporter with exporter_label and the nonce as context. crypto: handshake not over, or the library
// failed (detail: its code).
Result<ByteArray<exporter_size>> tls_exporter(mbedtls_ssl_context &tls, ByteView nonce);

// mbedTLS codes are negative; an Error carries them as positive numbers.
inline std::uint64_t mbedtls_detail(int code) {
    return static_cast<std::uint64_t>(-static_cast<std::int64_t>(code));
}

} // namespace cvmin
