// verify_p384 by mbedTLS, for the guest.
#include "common/p384.hpp"

#include "common/tls_key.hpp"

#include <mbedtls/ecdsa.h>
#include <mbedtls/ecp.h>

namespace cvmin {

namespace {

struct Mpi {
    mbedtls_mpi value;
    Mpi() { mbedtls_mpi_init(&value); }
    ~Mpi() { mbedtls_mpi_free(&value); }
    Mpi(const Mpi &) = delete;
    Mpi &operator=(const Mpi &) = delete;
};

struct Curve {
    mbedtls_ecp_group group;
    mbedtls_ecp_point point;
    Curve() {
        mbedtls_ecp_group_init(&group);
        mbedtls_ecp_point_init(&point);
    }
    ~Curve() {
        mbedtls_ecp_point_free(&point);
        mbedtls_ecp_group_free(&group);
    }
    Curve(const Curve &) = delete;
    Curve &operator=(const Curve &) = delete;
};

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
    Curve curve;
    if (mbedtls_ecp_group_load(&curve.group, MBEDTLS_ECP_DP_SECP384R1) != 0)
        return fail(Errc::crypto, where);
    ByteArray<1 + 2 * p384_scalar_size> point;
    point[0] = std::byte{4}; // SEC 1, 2.3.3: not compressed
    std::ranges::copy(key.x, point.begin() + 1);
    std::ranges::copy(key.y, point.begin() + 1 + p384_scalar_size);
    if (mbedtls_ecp_point_read_binary(&curve.group, &curve.point, u8(ByteView{point}), point.size()) != 0 ||
        mbedtls_ecp_check_pubkey(&curve.group, &curve.point) != 0)
        return fail(Errc::unsupported, where);
    Mpi r;
    Mpi s;
    CVMIN_CHECK(read_scalar(r.value, ByteView{signature}.first(p384_scalar_size), curve.group.N, where));
    CVMIN_CHECK(read_scalar(s.value, ByteView{signature}.last(p384_scalar_size), curve.group.N, where));
    const int result =
        mbedtls_ecdsa_verify(&curve.group, u8(ByteView{digest}), digest.size(), &curve.point, &r.value, &s.value);
    if (result == MBEDTLS_ERR_ECP_VERIFY_FAILED)
        return fail(Errc::mismatch, where);
    if (result != 0)
        return fail(Errc::crypto, where, mbedtls_detail(result));
    return {};
}

} // namespace cvmin
