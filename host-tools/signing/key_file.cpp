#include "host-tools/signing/key_file.hpp"

#include "common/tls_key.hpp"
#include "host-tools/base/mbed.hpp"

#include <mbedtls/pem.h>

namespace cvmin {

namespace {

using Point = ByteArray<1 + 2 * p384_scalar_size>; // SEC 1, 2.3.3: 0x04, x, y

template <std::size_t N> constexpr ByteArray<N> bytes_of(const unsigned char (&values)[N]) {
    ByteArray<N> out;
    for (std::size_t i = 0; i < N; ++i)
        out[i] = static_cast<std::byte>(values[i]);
    return out;
}
// RFC 5280, 5480: SubjectPublicKeyInfo of id-ecPublicKey on secp384r1, up to the point.
constexpr auto spki_head = bytes_of({0x30, 0x76, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02,
                                     0x01, 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22, 0x03, 0x62, 0x00});
// RFC 5208, 5915: PrivateKeyInfo with an ECPrivateKey, up to the number; then the public half, up to the point.
constexpr auto pkcs8_head = bytes_of({0x30, 0x81, 0xb6, 0x02, 0x01, 0x00, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86,
                                      0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22,
                                      0x04, 0x81, 0x9e, 0x30, 0x81, 0x9b, 0x02, 0x01, 0x01, 0x04, 0x30});
constexpr auto pkcs8_middle = bytes_of({0xa1, 0x64, 0x03, 0x62, 0x00});
constexpr std::size_t max_pem_size = 512; // of either half: 306 and 215 bytes

void append(Bytes &out, ByteView more) {
    out.insert(out.end(), more.begin(), more.end());
}

Result<Secret> to_pem(ByteView der, const char *header, const char *footer) {
    Bytes buffer(max_pem_size);
    std::size_t size = 0;
    const int failed =
        mbedtls_pem_write_buffer(header, footer, u8(der), der.size(), u8(MutableBytes{buffer}), buffer.size(), &size);
    const Secret whole{std::move(buffer)}; // wiped with all that it has room for
    if (failed != 0)
        return fail(Errc::crypto, "key.pem", mbedtls_detail(failed));
    return Secret{to_bytes(whole.view().first(size - 1))}; // without the NUL
}

} // namespace

Result<NewKey> generate_key() {
    static constexpr std::string_view where = "key";
    MbedGroup group;
    MbedMpi d;
    MbedPoint q;
    CVMIN_MBED(where, mbedtls_ecp_group_load(group.get(), MBEDTLS_ECP_DP_SECP384R1));
    CVMIN_MBED(where, mbedtls_ecp_gen_keypair(group.get(), d.get(), q.get(), system_random, nullptr));
    Point point;
    std::size_t size = 0;
    CVMIN_MBED(where, mbedtls_ecp_point_write_binary(group.get(), q.get(), MBEDTLS_ECP_PF_UNCOMPRESSED, &size,
                                                     u8(MutableBytes{point}), point.size()));
    Bytes der(pkcs8_head.size() + p384_scalar_size + pkcs8_middle.size() + point.size());
    const MutableBytes all{der};
    std::ranges::copy(pkcs8_head, der.begin());
    const MutableBytes number = all.subspan(pkcs8_head.size(), p384_scalar_size);
    std::ranges::copy(pkcs8_middle, number.end());
    std::ranges::copy(point, number.end() + pkcs8_middle.size());
    const int failed = mbedtls_mpi_write_binary(d.get(), u8(number), number.size());
    const Secret whole{std::move(der)};
    CVMIN_MBED(where, failed);
    CVMIN_TRY(pem, to_pem(whole.view(), "-----BEGIN PRIVATE KEY-----\n", "-----END PRIVATE KEY-----\n"));
    return NewKey{
        std::move(pem),
        {Field<1, p384_scalar_size>::array(point), Field<1 + p384_scalar_size, p384_scalar_size>::array(point)}};
}

Result<void> read_private_key(P384PrivateKey &key, ByteView text) {
    static constexpr std::string_view where = "private key";
    if (text.size() > max_key_file)
        return fail(Errc::too_large, where, text.size());
    if (as_text(text).contains("-----BEGIN ") && as_text(text).contains("ENCRYPTED"))
        return fail(Errc::unsupported, "private key: encrypted, and");
    if (auto parsed = key.parse(text, system_random, nullptr, where); !parsed) {
        if (parsed.error().code == Errc::unsupported)
            return fail(Errc::unsupported, "private key: not ECDSA on P-384, and");
        return fail(parsed.error().code, where); // the library's number tells people nothing
    }
    // with another key's public half nothing that it signs would verify
    const Sha384Digest digest = sha384(as_bytes(where));
    CVMIN_TRY(signature, key.sign(digest, rfc6979_nonce, nullptr));
    CVMIN_TRY(beside, key.public_key());
    if (!verify_p384(beside, digest, signature, where))
        return fail(Errc::mismatch, "private key: its public half");
    return {};
}

Result<PublicKey> read_public_key(ByteView text) {
    static constexpr std::string_view where = "public key";
    if (text.size() > max_key_file)
        return fail(Errc::too_large, where, text.size());
    auto key = parse_p384_public_key(text, where);
    if (!key && key.error().code == Errc::unsupported)
        return fail(Errc::unsupported, "public key: not ECDSA on P-384, and");
    if (!key)
        return fail(key.error().code, where);
    return key;
}

Bytes public_key_der(const PublicKey &key) {
    Bytes der = to_bytes(spki_head);
    der.push_back(std::byte{4});
    append(der, key.x);
    append(der, key.y);
    return der;
}

Result<std::string> public_key_pem(const PublicKey &key) {
    CVMIN_TRY(pem, to_pem(public_key_der(key), "-----BEGIN PUBLIC KEY-----\n", "-----END PUBLIC KEY-----\n"));
    return std::string{as_text(pem.view())};
}

} // namespace cvmin
