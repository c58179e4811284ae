#include "common/evidence.hpp"

#include "common/cbor.hpp"
#include "common/cert_table.hpp"
#include "common/claims.hpp"
#include "common/snp_report.hpp"

namespace cvmin {

namespace {

constexpr std::string_view media_report = "application/vnd.amd.sev-snp.attestation-report";
constexpr std::string_view media_certificates = "application/vnd.amd.ghcb.guid-table";
constexpr std::string_view media_claims = "application/eat-ucs+cbor";
constexpr std::uint64_t indicator_evidence = 4; // CMW indicator: bit 2, evidence

// A record: [media type, value, indicator].
void put_record(cbor::Encoder &out, std::string_view key, std::string_view media_type, ByteView value) {
    out.text(key);
    out.open_array(3);
    out.text(media_type);
    out.bytes(value);
    out.unsigned_integer(indicator_evidence);
    out.close();
}

Bytes take_record(cbor::Decoder &in, std::string_view media_type, std::size_t min, std::size_t max) {
    in.open_array(3);
    in.expect_text(media_type);
    const ByteView value = in.bytes(min, max);
    in.expect_integer(indicator_evidence);
    in.close();
    return to_bytes(value);
}

} // namespace

Bytes encode_evidence(const Evidence &evidence) {
    const bool with_certificates = !evidence.certificates.empty();
    cbor::Encoder out(evidence.report.size() + evidence.certificates.size() + evidence.claims.size() + 512);
    out.open_map(with_certificates ? 4 : 3);
    put_record(out, "claims", media_claims, evidence.claims);
    out.text("__cmwc_t");
    out.text(evidence_type);
    put_record(out, "snp-report", media_report, evidence.report);
    if (with_certificates)
        put_record(out, "certificates", media_certificates, evidence.certificates);
    out.close();
    return out.finish();
}

Result<Evidence> parse_evidence(ByteView bytes) {
    Evidence evidence;
    cbor::Decoder in(bytes, max_evidence_size, "evidence");
    in.open_map();
    in.member("claims", "evidence.claims");
    evidence.claims = take_record(in, media_claims, 1, max_claims_size);
    in.member("__cmwc_t", "evidence.__cmwc_t");
    in.expect_text(evidence_type, Errc::unsupported);
    in.member("snp-report", "evidence.snp-report");
    evidence.report = take_record(in, media_report, snp_report_size, snp_report_size);
    if (in.optional_member("certificates", "evidence.certificates"))
        evidence.certificates = take_record(in, media_certificates, 1, max_cert_table_size);
    in.close();
    CVMIN_CHECK(in.finish());
    return evidence;
}

} // namespace cvmin
