#include "common/tls_key.hpp"

namespace cvmin {

Result<PublicKey> public_key_of(const mbedtls_pk_context &key) {
    constexpr std::size_t coordinate = 48;
    constexpr std::size_t point_size = 1 + 2 * coordinate; // SEC 1, 2.3.3: 0x04, x, y
    if (mbedtls_pk_can_do(&key, MBEDTLS_PK_ECDSA) == 0 || mbedtls_pk_get_bitlen(&key) != 8 * coordinate)
        return fail(Errc::unsupported, "tls.key", mbedtls_pk_get_bitlen(&key));
    ByteArray<point_size> point{};
    unsigned char *start = u8(MutableBytes{point});
    unsigned char *at = start + point_size; // mbedTLS writes backwards from the end
    if (const int written = mbedtls_pk_write_pubkey(&at, start, &key);
        written != static_cast<int>(point_size) || point[0] != std::byte{4})
        return fail(Errc::unsupported, "tls.key");
    return PublicKey{Field<1, coordinate>::array(point), Field<1 + coordinate, coordinate>::array(point)};
}

Result<ByteArray<exporter_size>> tls_exporter(mbedtls_ssl_context &tls, ByteView nonce) {
    ByteArray<exporter_size> out{};
    const int failed =
        mbedtls_ssl_export_keying_material(&tls, u8(MutableBytes{out}), out.size(), exporter_label.data(),
                                           exporter_label.size(), u8(nonce), nonce.size(), 1);
    if (failed != 0)
        return fail(Errc::crypto, "tls.exporter", mbedtls_detail(failed));
    return out;
}

} // namespace cvmin
