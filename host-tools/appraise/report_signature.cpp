#include "host-tools/appraise/report_signature.hpp"

#include <mbedtls/ecdsa.h>
#include <mbedtls/ecp.h>

namespace cvmin {

static constexpr std::size_t scalar_size = 48;

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

} // namespace

static Result<void> read_scalar(mbedtls_mpi &out, ByteView field, const mbedtls_mpi &order, std::string_view where) {
    if (!all_zero(field.subspan(scalar_size)))
        return fail(Errc::out_of_range, where);
    if (mbedtls_mpi_read_binary_le(&out, u8(field), scalar_size) != 0)
        return fail(Errc::crypto, where);
    if (mbedtls_mpi_cmp_int(&out, 1) < 0 || mbedtls_mpi_cmp_mpi(&out, &order) >= 0)
        return fail(Errc::out_of_range, where);
    return {};
}

Result<void> verify_report_signature(ByteView raw, const PublicKey &key) {
    if (raw.size() != snp_report_size)
        return fail(raw.size() < snp_report_size ? Errc::truncated : Errc::trailing, "snp_report", raw.size());
    Curve curve;
    if (mbedtls_ecp_group_load(&curve.group, MBEDTLS_ECP_DP_SECP384R1) != 0)
        return fail(Errc::crypto, "snp_report.signature.curve");
    ByteArray<1 + 2 * scalar_size> point;
    point[0] = std::byte{4};
    std::ranges::copy(key.x, point.begin() + 1);
    std::ranges::copy(key.y, point.begin() + 1 + scalar_size);
    if (mbedtls_ecp_point_read_binary(&curve.group, &curve.point, u8(ByteView{point}), point.size()) != 0 ||
        mbedtls_ecp_check_pubkey(&curve.group, &curve.point) != 0)
        return fail(Errc::unsupported, "snp_report.signature.key");

    Mpi r;
    Mpi s;
    CVMIN_CHECK(read_scalar(r.value, report_field::signature_r::view(raw), curve.group.N, "snp_report.signature.r"));
    CVMIN_CHECK(read_scalar(s.value, report_field::signature_s::view(raw), curve.group.N, "snp_report.signature.s"));
    const Sha384Digest digest = sha384(raw.first(snp_report_signed_size));
    const int result =
        mbedtls_ecdsa_verify(&curve.group, u8(ByteView{digest}), digest.size(), &curve.point, &r.value, &s.value);
    if (result == MBEDTLS_ERR_ECP_VERIFY_FAILED)
        return fail(Errc::mismatch, "snp_report.signature");
    if (result != 0)
        return fail(Errc::crypto, "snp_report.signature", static_cast<std::uint64_t>(-result));
    return {};
}

} // namespace cvmin
