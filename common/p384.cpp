#include "common/p384.hpp"

#include "common/mbed.hpp"
#include "common/tls_key.hpp"

#include <mbedtls/ecdsa.h>
#include <mbedtls/platform_util.h>

namespace cvmin {

namespace {

// mbedTLS takes PEM only with a NUL at its end; a copy of a private key is wiped.
struct Terminated {
    Bytes text;
    explicit Terminated(ByteView key) : text(to_bytes(key)) {
        if (as_text(text).starts_with("-----BEGIN"))
            text.push_back(std::byte{0});
    }
    ~Terminated() { mbedtls_platform_zeroize(text.data(), text.size()); }
    Terminated(const Terminated &) = delete;
    Terminated &operator=(const Terminated &) = delete;
};

struct Scalar { // of a private key: wiped
    P384Scalar bytes{};
    Scalar() = default;
    ~Scalar() { mbedtls_platform_zeroize(bytes.data(), bytes.size()); }
    Scalar(const Scalar &) = delete;
    Scalar &operator=(const Scalar &) = delete;
};

} // namespace

Result<void> P384PrivateKey::parse(ByteView text, RandomSource random, void *context, std::string_view where) {
    mbedtls_pk_free(&key_);
    mbedtls_pk_init(&key_);
    const Terminated terminated{text};
    if (const int failed = mbedtls_pk_parse_key(&key_, u8(ByteView{terminated.text}), terminated.text.size(), nullptr,
                                                0, random, context);
        failed != 0)
        return fail(Errc::malformed, where, mbedtls_detail(failed));
    if (!public_key())
        return fail(Errc::unsupported, where, mbedtls_pk_get_bitlen(&key_));
    return {};
}

Result<PublicKey> P384PrivateKey::public_key() const {
    return public_key_of(key_);
}

Result<P384Signature> P384PrivateKey::sign(const Sha384Digest &digest, RandomSource random, void *context) const {
    static constexpr std::string_view where = "p384.sign";
    MbedGroup group;
    MbedPoint point;
    MbedMpi secret;
    MbedMpi r;
    MbedMpi s;
    P384Signature out{};
    const MutableBytes bytes{out};
    int failed = mbedtls_ecp_export(mbedtls_pk_ec(key_), group.get(), secret.get(), point.get());
    if (failed == 0 && random == rfc6979_nonce) {
        Scalar number;
        failed = mbedtls_mpi_write_binary(secret.get(), u8(MutableBytes{number.bytes}), number.bytes.size());
        return failed == 0 ? sign_p384_deterministic(number.bytes, digest)
                           : fail(Errc::crypto, where, mbedtls_detail(failed));
    }
    if (failed == 0)
        failed = mbedtls_ecdsa_sign(group.get(), r.get(), s.get(), secret.get(), u8(ByteView{digest}), digest.size(),
                                    random, context);
    if (failed == 0)
        failed = mbedtls_mpi_write_binary(r.get(), u8(bytes), p384_scalar_size);
    if (failed == 0)
        failed = mbedtls_mpi_write_binary(s.get(), u8(bytes) + p384_scalar_size, p384_scalar_size);
    if (failed != 0)
        return fail(Errc::crypto, where, mbedtls_detail(failed));
    return out;
}

Result<PublicKey> parse_p384_public_key(ByteView text, std::string_view where) {
    const Terminated terminated{text};
    mbedtls_pk_context key;
    mbedtls_pk_init(&key);
    const int failed = mbedtls_pk_parse_public_key(&key, u8(ByteView{terminated.text}), terminated.text.size());
    auto found =
        failed == 0 ? public_key_of(key) : Result<PublicKey>{fail(Errc::malformed, where, mbedtls_detail(failed))};
    mbedtls_pk_free(&key);
    if (!found && found.error().code == Errc::unsupported)
        return fail(Errc::unsupported, where, found.error().detail);
    return found;
}

} // namespace cvmin
