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
constexpr std::string_view media_tpm = "application/vnd.cvmin.tpm-quote+cbor";
constexpr std::string_view media_svsm = "application/vnd.cvmin.svsm-vtpm+cbor";
constexpr std::string_view media_event_log = "application/vnd.tcg.crypto-agile-log";
constexpr std::string_view media_ima_log = "application/vnd.linux.ima-measurements";
constexpr std::string_view media_runtime_log = "application/vnd.tcg.cel+cbor";
constexpr std::uint64_t indicator_evidence = 4; // CMW indicator: bit 2, evidence

// Not in the record of a part: what the wrapping and the small parts take at most.
constexpr std::size_t max_tpm_size = max_tpm_attest_size + max_tpm_signature_size + 2 * max_tpm_public_size +
                                     max_ek_certificate_size + pcr_count * (64 + 4) + 64;
constexpr std::size_t max_svsm_size = snp_report_size + max_svsm_manifest_size + svsm_guid_size + 64;
constexpr std::size_t max_wrapping = 1024;
static_assert(snp_report_size + max_cert_table_size + max_claims_size + max_tpm_size + max_svsm_size +
                  max_event_log_size + max_ima_log_size + max_runtime_log_size + max_wrapping <=
              max_evidence_size);

// A record: [media type, value, indicator].
void put_record(cbor::Encoder &out, std::string_view key, std::string_view media_type, ByteView value) {
    out.text(key);
    out.open_array(3);
    out.text(media_type);
    out.bytes(value);
    out.unsigned_integer(indicator_evidence);
    out.close();
}

ByteView take_record(cbor::Decoder &in, std::string_view media_type, std::size_t min, std::size_t max) {
    in.open_array(3);
    in.expect_text(media_type);
    const ByteView value = in.bytes(min, max);
    in.expect_integer(indicator_evidence);
    in.close();
    return value;
}

Bytes encode_tpm(const TpmEvidence &tpm) {
    cbor::Encoder out(max_tpm_size);
    out.open_map(tpm.ek_certificate.empty() ? 5 : 6);
    out.integer(1);
    out.bytes(tpm.attest);
    out.integer(2);
    out.bytes(tpm.signature);
    out.integer(3);
    out.bytes(tpm.ak_public);
    out.integer(4);
    out.bytes(tpm.ek_public);
    out.integer(5);
    out.open_map(1);
    out.unsigned_integer(static_cast<std::uint16_t>(tpm.pcr_values.bank));
    out.open_map(tpm.pcr_values.values.size());
    for (const PcrValue &value : tpm.pcr_values.values) {
        out.unsigned_integer(value.index);
        out.bytes(value.digest);
    }
    out.close();
    out.close();
    if (!tpm.ek_certificate.empty()) {
        out.integer(6);
        out.bytes(tpm.ek_certificate);
    }
    out.close();
    return out.finish();
}

PcrValues take_pcr_values(cbor::Decoder &in) {
    PcrValues values;
    in.open_map();
    const auto bank = tpm_hash_alg(in.unsigned_integer());
    if (!bank)
        in.refuse(Errc::unsupported);
    values.bank = bank.value_or(TpmAlg::sha256);
    in.open_map();
    if (!in.more())
        in.refuse(Errc::out_of_range);
    while (in.more()) {
        const auto index = static_cast<std::uint8_t>(in.unsigned_integer(pcr_count - 1));
        const std::size_t size = digest_size(values.bank);
        values.values.push_back({index, to_bytes(in.bytes(size, size))});
    }
    in.close();
    in.close();
    return values;
}

Result<TpmEvidence> parse_tpm(ByteView bytes) {
    TpmEvidence tpm;
    cbor::Decoder in(bytes, max_tpm_size, "evidence.tpm");
    in.open_map();
    in.member(1, "evidence.tpm.attest");
    tpm.attest = to_bytes(in.bytes(1, max_tpm_attest_size));
    in.member(2, "evidence.tpm.signature");
    tpm.signature = to_bytes(in.bytes(1, max_tpm_signature_size));
    in.member(3, "evidence.tpm.ak_public");
    tpm.ak_public = to_bytes(in.bytes(1, max_tpm_public_size));
    in.member(4, "evidence.tpm.ek_public");
    tpm.ek_public = to_bytes(in.bytes(1, max_tpm_public_size));
    in.member(5, "evidence.tpm.pcr_values");
    tpm.pcr_values = take_pcr_values(in);
    if (in.optional_member(6, "evidence.tpm.ek_certificate"))
        tpm.ek_certificate = to_bytes(in.bytes(1, max_ek_certificate_size));
    in.close();
    CVMIN_CHECK(in.finish());
    return tpm;
}

Bytes encode_svsm(const SvsmEvidence &svsm) {
    cbor::Encoder out(max_svsm_size);
    out.open_map(3);
    out.integer(1);
    out.bytes(svsm.report);
    out.integer(2);
    out.bytes(svsm.manifest);
    out.integer(3);
    out.text(svsm.service_guid);
    out.close();
    return out.finish();
}

Result<SvsmEvidence> parse_svsm(ByteView bytes) {
    SvsmEvidence svsm;
    cbor::Decoder in(bytes, max_svsm_size, "evidence.svsm");
    in.open_map();
    in.member(1, "evidence.svsm.report");
    svsm.report = to_bytes(in.bytes(snp_report_size, snp_report_size));
    in.member(2, "evidence.svsm.manifest");
    svsm.manifest = to_bytes(in.bytes(1, max_svsm_manifest_size));
    in.member(3, "evidence.svsm.service_guid");
    svsm.service_guid = in.text(svsm_guid_size, svsm_guid_size);
    in.close();
    CVMIN_CHECK(in.finish());
    return svsm;
}

} // namespace

// Keys in the bytewise order of their encodings: shorter ones first.
Bytes encode_evidence(const Evidence &evidence) {
    const Bytes tpm = evidence.tpm ? encode_tpm(*evidence.tpm) : Bytes{};
    const Bytes svsm = evidence.svsm ? encode_svsm(*evidence.svsm) : Bytes{};
    struct Part {
        std::string_view key, media_type;
        const Bytes &value;
    };
    const Part before[] = {{"tpm", media_tpm, tpm},
                           {"svsm", media_svsm, svsm},
                           {"claims", media_claims, evidence.claims},
                           {"ima-log", media_ima_log, evidence.ima_log}};
    const Part after[] = {{"event-log", media_event_log, evidence.event_log},
                          {"snp-report", media_report, evidence.report},
                          {"runtime-log", media_runtime_log, evidence.runtime_log},
                          {"certificates", media_certificates, evidence.certificates}};
    // claims and the report are always there, be they empty: whoever leaves one out has made no evidence
    const auto there = [&](const Part &part) {
        return !part.value.empty() || &part.value == &evidence.claims || &part.value == &evidence.report;
    };
    std::size_t members = 1;
    std::size_t size = max_wrapping;
    for (const auto &parts : {std::span{before}, std::span{after}})
        for (const Part &part : parts) {
            members += there(part) ? 1 : 0;
            size += part.value.size();
        }
    const auto put = [&](cbor::Encoder &out, std::span<const Part> parts) {
        for (const Part &part : parts)
            if (there(part))
                put_record(out, part.key, part.media_type, part.value);
    };
    cbor::Encoder out(size);
    out.open_map(members);
    put(out, before);
    out.text("__cmwc_t");
    out.text(evidence_type);
    put(out, after);
    out.close();
    return out.finish();
}

Result<Evidence> parse_evidence(ByteView bytes) {
    Evidence evidence;
    ByteView tpm, svsm;
    cbor::Decoder in(bytes, max_evidence_size, "evidence");
    in.open_map();
    if (in.optional_member("tpm", "evidence.tpm"))
        tpm = take_record(in, media_tpm, 1, max_tpm_size);
    if (in.optional_member("svsm", "evidence.svsm"))
        svsm = take_record(in, media_svsm, 1, max_svsm_size);
    in.member("claims", "evidence.claims");
    evidence.claims = to_bytes(take_record(in, media_claims, 1, max_claims_size));
    if (in.optional_member("ima-log", "evidence.ima-log"))
        evidence.ima_log = to_bytes(take_record(in, media_ima_log, 1, max_ima_log_size));
    in.member("__cmwc_t", "evidence.__cmwc_t");
    in.expect_text(evidence_type, Errc::unsupported);
    if (in.optional_member("event-log", "evidence.event-log"))
        evidence.event_log = to_bytes(take_record(in, media_event_log, 1, max_event_log_size));
    in.member("snp-report", "evidence.snp-report");
    evidence.report = to_bytes(take_record(in, media_report, snp_report_size, snp_report_size));
    if (in.optional_member("runtime-log", "evidence.runtime-log"))
        evidence.runtime_log = to_bytes(take_record(in, media_runtime_log, 1, max_runtime_log_size));
    if (in.optional_member("certificates", "evidence.certificates"))
        evidence.certificates = to_bytes(take_record(in, media_certificates, 1, max_cert_table_size));
    in.close();
    CVMIN_CHECK(in.finish());
    if (!tpm.empty()) {
        CVMIN_TRY(parsed, parse_tpm(tpm));
        evidence.tpm = std::move(parsed);
    }
    if (!svsm.empty()) {
        CVMIN_TRY(parsed, parse_svsm(svsm));
        evidence.svsm = std::move(parsed);
    }
    return evidence;
}

} // namespace cvmin
