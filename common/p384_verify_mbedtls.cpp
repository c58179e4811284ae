// verify_p384 by mbedTLS, for the guest.
#include "common/p384.hpp"

#include "common/mbed.hpp"
#include "common/tls_key.hpp"

#include <mbedtls/ecdsa.h>

namespace cvmin {

namespace {

Result<void> read_scalar(mbedtls_mpi &out, ByteView field, const mbedtls_mpi &order, std::string_view where) {
    if (mbedtls_mpi_read_binary(&out, u8(field), field.size()) != 0)
        return fail(Errc::crypto, where);
    if (mbedtls_mpi_cmp_int(&out, 1) < 0 || mbedtls_mpi_cmp_mpi(&out, &order) >= 0)
        return fail(Errc::out_of_range, where);
    return {};
}

} // namespace

Result<void> verify_p384(const PublicKey &key, const Sha384Digest &digest, const P384Signature &signature,
                         std::string_view where) {
    MbedGroup group;
    MbedPoint point;
    if (mbedtls_ecp_group_load(group.get(), MBEDTLS_ECP_DP_SECP384R1) != 0)
        return fail(Errc::crypto, where);
    ByteArray<1 + 2 * p384_scalar_size> encoded;
    encoded[0] = std::byte{4}; // SEC 1, 2.3.3: not compressed
    std::ranges::copy(key.x, encoded.begin() + 1);
    std::ranges::copy(key.y, encoded.begin() + 1 + p384_scalar_size);
    if (mbedtls_ecp_point_read_binary(group.get(), point.get(), u8(ByteView{encoded}), encoded.size()) != 0 ||
        mbedtls_ecp_check_pubkey(group.get(), point.get()) != 0)
        return fail(Errc::unsupported, where);
    MbedMpi r;
    MbedMpi s;
    CVMIN_CHECK(read_scalar(*r.get(), ByteView{signature}.first(p384_scalar_size), group->N, where));
    CVMIN_CHECK(read_scalar(*s.get(), ByteView{signature}.last(p384_scalar_size), group->N, where));
    const int result =
        mbedtls_ecdsa_verify(group.get(), u8(ByteView{digest}), digest.size(), point.get(), r.get(), s.get());
    if (result == MBEDTLS_ERR_ECP_VERIFY_FAILED)
        return fail(Errc::mismatch, where);
    if (result != 0)
        return fail(Errc::crypto, where, mbedtls_detail(result));
    return {};
}

} // namespace cvmin
