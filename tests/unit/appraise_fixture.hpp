// Complete evidence under the test chain of tests/data/appraise, good unless a test changes it. The chain is OpenSSL's
// work; what is made here is the report and its signature.
#pragma once

#include "tests/unit/cmocka.hpp"

#include "common/cert_table.hpp"
#include "host-tools/appraise/appraise.hpp"
#include "host-tools/appraise/verdict.hpp"

#include <functional>

#include <mbedtls/ecdsa.h>
#include <mbedtls/pk.h>

namespace cvmin::test {

template <std::size_t N> ByteArray<N> filled(unsigned value) {
    ByteArray<N> out;
    out.fill(static_cast<std::byte>(value));
    return out;
}

inline int test_random(void *state, unsigned char *out, std::size_t size) { // xorshift: for test signatures only
    auto &s = *static_cast<std::uint64_t *>(state);
    for (std::size_t i = 0; i < size; ++i) {
        s ^= s << 13;
        s ^= s >> 7;
        s ^= s << 17;
        out[i] = static_cast<unsigned char>(s & 0xff);
    }
    return 0;
}

inline void sign_report(Bytes &raw) {
    static std::uint64_t state = 0x9e3779b97f4a7c15;
    const Bytes key = data("appraise/vek-key.der");
    mbedtls_pk_context pk;
    mbedtls_pk_init(&pk);
    mbedtls_ecp_group group;
    mbedtls_ecp_group_init(&group);
    mbedtls_mpi d, r, s;
    mbedtls_mpi_init(&d);
    mbedtls_mpi_init(&r);
    mbedtls_mpi_init(&s);
    const Sha384Digest digest = sha384(ByteView{raw}.first(snp_report_signed_size));
    const bool ok =
        mbedtls_pk_parse_key(&pk, u8(key), key.size(), nullptr, 0, test_random, &state) == 0 &&
        mbedtls_ecp_export(mbedtls_pk_ec(pk), &group, &d, nullptr) == 0 &&
        mbedtls_ecdsa_sign(&group, &r, &s, &d, u8(ByteView{digest}), digest.size(), test_random, &state) == 0 &&
        mbedtls_mpi_write_binary_le(&r, u8(report_field::signature_r::view(MutableBytes{raw})), 72) == 0 &&
        mbedtls_mpi_write_binary_le(&s, u8(report_field::signature_s::view(MutableBytes{raw})), 72) == 0;
    mbedtls_mpi_free(&d);
    mbedtls_mpi_free(&r);
    mbedtls_mpi_free(&s);
    mbedtls_ecp_group_free(&group);
    mbedtls_pk_free(&pk);
    if (!ok)
        abort();
}

struct Case {
    SnpReport report{};
    Claims claims{};
    CertTableParts table{};         // views: into `vek`, `ask`, `crl`
    std::string vek = "vcek-genoa"; // of tests/data/appraise
    std::string ask = "ask";
    std::string crl; // empty: none
    bool as_vlek = false;
    Expectations want{};
    std::function<void(Bytes &)> before_signing; // raw report
    std::function<void(Bytes &)> after_signing;
    std::function<void(Evidence &)> evidence;
    std::function<void(Bytes &)> encoded;
};

inline Bytes der(const std::string &name) {
    return data("appraise/" + name + ".der");
}

inline Policy emulated_policy() {
    return parse_policy(data("../../policies/emulated.json")).value();
}

inline constexpr Product fixture_product = Product::genoa;

inline Case good_case() {
    Case c;
    const std::uint64_t tcb = encode_tcb(fixture_product, Tcb{.level = {0, 10, 0, 25, 84}});
    c.report.version = 5;
    c.report.policy = 0x30000;
    c.report.signature_algo = 1;
    c.report.current_tcb = c.report.reported_tcb = c.report.committed_tcb = c.report.launch_tcb = tcb;
    c.report.platform_info = 0x25;
    c.report.measurement = filled<48>(0xaa);
    c.report.host_data = filled<32>(0x0d);
    c.report.family_id = filled<16>(0xf1);
    c.report.image_id = filled<16>(0x1d);
    c.report.guest_svn = 7;
    c.report.key_info = 1; // author key in use
    c.report.id_key_digest = filled<48>(0x1c);
    c.report.author_key_digest = filled<48>(0xac);
    c.report.report_id_ma = filled<32>(0xff);
    c.report.cpuid_family = 0x19;
    c.report.cpuid_model = 0x11;
    c.report.cpuid_stepping = 1;
    for (std::size_t i = 0; i < 64; ++i)
        c.report.chip_id[i] = static_cast<std::byte>(i + 1);
    c.report.current = c.report.committed = {1, 55, 43};
    c.report.launch_mit_vector = c.report.current_mit_vector = 3;

    c.claims.nonce = Bytes(32, std::byte{0x5a});
    c.claims.key = {filled<48>(0x11), filled<48>(0x22)};
    c.claims.exporter = filled<32>(0x33);

    c.want.nonce = c.claims.nonce;
    c.want.exporter = *c.claims.exporter;
    c.want.peer_key = c.claims.key;
    c.want.live = true;
    c.want.measurements = {filled<48>(0xbb), filled<48>(0xaa)};
    c.want.measurement_source = "a test";
    c.want.emulated_ark = der("ark");
    c.want.policy = emulated_policy();
    c.want.now = parse_time("2026-06-01T12:00:00Z").value();
    return c;
}

inline Bytes make_evidence(const Case &c) {
    Evidence evidence;
    evidence.claims = encode_claims(c.claims);
    const auto encoded = encode_snp_report(c.report);
    Bytes raw = to_bytes(encoded);
    report_field::report_data::put(raw, report_data_for(evidence.claims));
    if (c.before_signing)
        c.before_signing(raw);
    sign_report(raw);
    if (c.after_signing)
        c.after_signing(raw);
    evidence.report = raw;
    const Bytes vek = der(c.vek);
    const Bytes ask = der(c.ask);
    const Bytes crl = c.crl.empty() ? Bytes{} : der(c.crl);
    CertTableParts parts{.vcek = {}, .vlek = {}, .ask = ask, .ark = {}, .crl = crl};
    (c.as_vlek ? parts.vlek : parts.vcek) = vek;
    evidence.certificates = encode_cert_table(parts);
    if (c.evidence)
        c.evidence(evidence);
    Bytes bytes = encode_evidence(evidence);
    if (c.encoded)
        c.encoded(bytes);
    return bytes;
}

inline Appraisal appraise_case(const Case &c) {
    return appraise(make_evidence(c), c.want);
}

} // namespace cvmin::test
