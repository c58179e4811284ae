// Evidence: the wrapping, typed from the conceptual message wrapper's CDDL (record [type, value, indicator]).
#include "common/cert_table.hpp"
#include "common/claims.hpp"
#include "common/evidence.hpp"
#include "common/snp_report.hpp"
#include "tests/unit/wire.hpp"

using namespace cvmin;
using namespace cvmin::test;

namespace {

std::string text(std::string_view value) { // CBOR text of 24 to 255 bytes
    return "78" + hex(Bytes{static_cast<std::byte>(value.size())}) + hex(as_bytes(value));
}

struct Parts {
    std::string map = "a4";
    std::string claims = "66 636c61696d73 83 78 18" + hex(as_bytes("application/eat-ucs+cbor")) + "43 010203 04";
    std::string type = "68 5f5f636d77635f74 77" + hex(as_bytes("tag:cvmin,2026:evidence"));
    std::string report = "6a 736e702d7265706f7274 83" + text("application/vnd.amd.sev-snp.attestation-report") +
                         "5904a0" + repeat("5a", 1184) + "04";
    std::string certificates =
        "6c 636572746966696361746573 83" + text("application/vnd.amd.ghcb.guid-table") + "42 0a0b 04";
    std::string end = "";
    Bytes bytes() const { return bytes_of(map + claims + type + report + certificates + end); }
};

Errc refusal(const Parts &parts) {
    const auto evidence = parse_evidence(parts.bytes());
    return evidence ? Errc::usage : evidence.error().code;
}

} // namespace

static void evidence_is_written_and_read_as_typed(void **) {
    const Evidence evidence{
        .report = Bytes(1184, std::byte{0x5a}), .certificates = bytes_of("0a0b"), .claims = bytes_of("010203")};
    assert_true(equal(encode_evidence(evidence), Parts{}.bytes()));
    const auto read = parse_evidence(Parts{}.bytes());
    assert_true(read && read->report == evidence.report && read->certificates == evidence.certificates &&
                read->claims == evidence.claims);
}

static void certificates_are_left_out_when_there_are_none(void **) {
    const Evidence evidence{.report = Bytes(1184, std::byte{0x5a}), .certificates = {}, .claims = bytes_of("010203")};
    const Parts without{.map = "a3", .certificates = ""};
    assert_true(equal(encode_evidence(evidence), without.bytes()));
    const auto read = parse_evidence(without.bytes());
    assert_true(read && read->certificates.empty());
}

namespace {

std::string tpm_content(std::string_view pcrs, std::string_view end = "06 42 e1e2", std::string_view map = "a6") {
    return std::string{map} + "01 42 a1a2 02 41 b1 03 41 c1 04 41 d1 05" + std::string{pcrs} + std::string{end};
}

std::string record(std::string_view key, std::string_view media_type, const Bytes &value) {
    const std::size_t size = value.size();
    std::string head = size < 24 ? hex(Bytes{static_cast<std::byte>(0x40 + size)})
                       : size < 256
                           ? "58" + hex(Bytes{static_cast<std::byte>(size)})
                           : "59" + hex(Bytes{static_cast<std::byte>(size >> 8), static_cast<std::byte>(size)});
    return hex(Bytes{static_cast<std::byte>(0x60 + key.size())}) + hex(as_bytes(key)) + "83" + text(media_type) + head +
           hex(value) + "04";
}

const std::string two_pcrs = "a1 04 a2 00 54" + repeat("00", 20) + "17 54" + repeat("17", 20); // SHA-1, PCR 0 and 23
const std::string guid = "c476f1eb-0123-45a5-9641-b4e7dde5bfe3";
const std::string svsm_content = "a3 01 5904a0" + repeat("77", 1184) + "02 42 0a0b 03 7824" + hex(as_bytes(guid));

Parts with_tpm(const std::string &content) {
    Parts parts;
    parts.map = "a5";
    parts.claims = record("tpm", "application/vnd.cvmin.tpm-quote+cbor", bytes_of(content)) + parts.claims;
    return parts;
}
Parts with_svsm(const std::string &content) {
    Parts parts;
    parts.map = "a5";
    parts.claims = record("svsm", "application/vnd.cvmin.svsm-vtpm+cbor", bytes_of(content)) + parts.claims;
    return parts;
}

} // namespace

// RFC 8949, 4.2.1: keys in the bytewise order of their encodings, so the shorter before the longer.
static void what_was_measured_is_written_and_read_as_typed(void **) {
    Evidence evidence{
        .report = Bytes(1184, std::byte{0x5a}), .certificates = bytes_of("0a0b"), .claims = bytes_of("010203")};
    evidence.tpm =
        TpmEvidence{.attest = bytes_of("a1a2"),
                    .signature = bytes_of("b1"),
                    .ak_public = bytes_of("c1"),
                    .ek_public = bytes_of("d1"),
                    .ek_certificate = bytes_of("e1e2"),
                    .pcr_values = {.bank = TpmAlg::sha1, .values = {{0, Bytes(20)}, {23, Bytes(20, std::byte{0x17})}}}};
    evidence.svsm =
        SvsmEvidence{.report = Bytes(1184, std::byte{0x77}), .manifest = bytes_of("0a0b"), .service_guid = guid};
    evidence.event_log = bytes_of("e0e1");
    evidence.ima_log = bytes_of("f0f1f2");
    evidence.runtime_log = bytes_of("80");
    Parts typed;
    typed.map = "a9";
    typed.claims = record("tpm", "application/vnd.cvmin.tpm-quote+cbor", bytes_of(tpm_content(two_pcrs))) +
                   record("svsm", "application/vnd.cvmin.svsm-vtpm+cbor", bytes_of(svsm_content)) + typed.claims +
                   record("ima-log", "application/vnd.linux.ima-measurements", evidence.ima_log);
    typed.type += record("event-log", "application/vnd.tcg.crypto-agile-log", evidence.event_log);
    typed.report += record("runtime-log", "application/vnd.tcg.cel+cbor", evidence.runtime_log);
    assert_true(equal(encode_evidence(evidence), typed.bytes()));
    const auto read = parse_evidence(typed.bytes());
    assert_true(read && read->tpm == evidence.tpm && read->svsm == evidence.svsm);
    assert_true(read->event_log == evidence.event_log && read->ima_log == evidence.ima_log &&
                read->runtime_log == evidence.runtime_log && read->claims == evidence.claims);
    assert_int_equal(accepted_truncations(typed.bytes(), parse_evidence), 0);

    evidence.tpm->ek_certificate.clear();
    const auto without = parse_evidence(encode_evidence(evidence));
    assert_true(without && without->tpm == evidence.tpm);
    const Parts old; // evidence of an agent that measures nothing
    const auto before = parse_evidence(old.bytes());
    assert_true(before && !before->tpm && !before->svsm && before->runtime_log.empty());
}

static void tpm_parts_out_of_their_limits_are_refused(void **) {
    assert_true(refusal(with_tpm(tpm_content(two_pcrs))) == Errc::usage); // accepted
    assert_true(refusal(with_tpm(tpm_content(two_pcrs, "", "a5"))) == Errc::usage);
    assert_true(refusal(with_tpm(tpm_content(two_pcrs, "06 40"))) == Errc::out_of_range);
    assert_true(refusal(with_tpm(tpm_content(two_pcrs, "07 42 e1e2"))) == Errc::malformed);
    assert_true(refusal(with_tpm(tpm_content("a1 12 a1 00 54" + repeat("00", 20)))) == Errc::unsupported); // SM3-256
    assert_true(refusal(with_tpm(tpm_content("a1 0b a1 00 54" + repeat("00", 20)))) == Errc::out_of_range);
    assert_true(refusal(with_tpm(tpm_content("a1 04 a1 1818 54" + repeat("00", 20)))) == Errc::out_of_range); // 24
    assert_true(refusal(with_tpm(tpm_content("a1 04 a1 00 53" + repeat("00", 19)))) == Errc::out_of_range);
    assert_true(refusal(with_tpm(tpm_content("a1 04 a0"))) == Errc::out_of_range);
    assert_true(refusal(with_tpm(tpm_content("a0"))) == Errc::malformed);
    assert_true(refusal(with_tpm(tpm_content("a2 04 a1 00 54" + repeat("00", 20) + "0b a1 00 5820" +
                                             repeat("00", 32)))) == Errc::malformed); // one bank only
    assert_true(refusal(with_tpm(tpm_content(two_pcrs) + "00")) == Errc::trailing);
    assert_true(refusal(with_tpm("a0")) == Errc::malformed);
    Evidence large{.report = Bytes(snp_report_size), .certificates = {}, .claims = Bytes(1)};
    large.event_log = Bytes(max_event_log_size + 1);
    assert_true(refused_with(parse_evidence(encode_evidence(large)), Errc::out_of_range));
    large.event_log = {};
    large.ima_log = Bytes(max_ima_log_size + 1);
    assert_true(refused_with(parse_evidence(encode_evidence(large)), Errc::out_of_range));
    large.ima_log = {};
    large.runtime_log = Bytes(max_runtime_log_size + 1);
    assert_true(refused_with(parse_evidence(encode_evidence(large)), Errc::out_of_range));
}

static void svsm_parts_out_of_their_limits_are_refused(void **) {
    assert_true(refusal(with_svsm(svsm_content)) == Errc::usage); // accepted
    assert_true(refusal(with_svsm("a3 01 5904a0" + repeat("77", 1184) + "02 40 03 7824" + hex(as_bytes(guid)))) ==
                Errc::out_of_range);
    assert_true(refusal(with_svsm("a3 01 59049f" + repeat("77", 1183) + "02 41 00 03 7824" + hex(as_bytes(guid)))) ==
                Errc::out_of_range);
    assert_true(refusal(with_svsm("a3 01 5904a0" + repeat("77", 1184) + "02 41 00 03 60")) == Errc::out_of_range);
    assert_true(refusal(with_svsm("a2 01 5904a0" + repeat("77", 1184) + "02 41 00")) == Errc::malformed);
}

static void the_largest_evidence_fits(void **) {
    PcrValues values{.bank = TpmAlg::sha512, .values = {}};
    for (unsigned i = 0; i < pcr_count; ++i)
        values.values.push_back({static_cast<std::uint8_t>(i), Bytes(64)});
    const Evidence evidence{.report = Bytes(snp_report_size),
                            .certificates = Bytes(max_cert_table_size, std::byte{1}),
                            .claims = Bytes(max_claims_size),
                            .tpm = TpmEvidence{.attest = Bytes(max_tpm_attest_size),
                                               .signature = Bytes(max_tpm_signature_size),
                                               .ak_public = Bytes(max_tpm_public_size),
                                               .ek_public = Bytes(max_tpm_public_size),
                                               .ek_certificate = Bytes(max_ek_certificate_size),
                                               .pcr_values = values},
                            .event_log = Bytes(max_event_log_size),
                            .ima_log = Bytes(max_ima_log_size),
                            .runtime_log = Bytes(max_runtime_log_size),
                            .svsm = SvsmEvidence{.report = Bytes(snp_report_size),
                                                 .manifest = Bytes(max_svsm_manifest_size),
                                                 .service_guid = std::string(svsm_guid_size, 'a')}};
    const Bytes bytes = encode_evidence(evidence);
    assert_true(bytes.size() <= max_evidence_size);
    assert_true(parse_evidence(bytes).has_value());
}

static void every_truncation_is_refused(void **) {
    assert_int_equal(accepted_truncations(Parts{}.bytes(), parse_evidence), 0);
    assert_true(refusal({.end = "00"}) == Errc::trailing);
}

static void records_of_another_kind_are_refused(void **) {
    const std::string claims_type = hex(as_bytes("application/eat-ucs+cbor"));
    assert_true(refusal({.claims = "66 636c61696d73 83 78 18" + hex(as_bytes("application/eat-ucs+json")) +
                                   "43 010203 04"}) == Errc::malformed);
    assert_true(refusal({.claims = "66 636c61696d73 83 78 18" + claims_type + "43 010203 08"}) ==
                Errc::malformed); // indicator: attestation results
    assert_true(refusal({.claims = "66 636c61696d73 82 78 18" + claims_type + "43 010203"}) == Errc::malformed);
    assert_true(refusal({.claims = "66 636c61696d73 83 78 18" + claims_type + "63 616263 04"}) == Errc::malformed);
    assert_true(refusal({.claims = "66 636c61696d73 83 78 18" + claims_type + "40 04"}) == Errc::out_of_range);
}

static void members_that_are_missing_or_unknown_are_refused(void **) {
    assert_true(refusal({.map = "a3", .claims = ""}) == Errc::malformed);
    assert_true(refusal({.map = "a3", .report = ""}) == Errc::malformed);
    assert_true(refusal({.map = "a3", .type = ""}) == Errc::malformed);
    assert_true(refusal({.type = "68 5f5f636d77635f74 77" + hex(as_bytes("tag:cvmin,2026:evidencf"))}) ==
                Errc::unsupported);
    assert_true(refusal({.map = "a5", .end = "6d" + hex(as_bytes("zzzzzzzzzzzzz")) + "00"}) == Errc::malformed);
}

static void reports_and_tables_of_another_size_are_refused(void **) {
    const std::string head = "6a 736e702d7265706f7274 83" + text("application/vnd.amd.sev-snp.attestation-report");
    assert_true(refusal({.report = head + "59049f" + repeat("5a", 1183) + "04"}) == Errc::out_of_range);
    assert_true(refusal({.report = head + "5904a1" + repeat("5a", 1185) + "04"}) == Errc::out_of_range);
    Evidence evidence{
        .report = Bytes(snp_report_size), .certificates = Bytes(max_cert_table_size + 1), .claims = Bytes(1)};
    assert_true(refused_with(parse_evidence(encode_evidence(evidence)), Errc::out_of_range));
    assert_true(refused_with(parse_evidence(Bytes(max_evidence_size + 1)), Errc::too_large));
}

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(evidence_is_written_and_read_as_typed),
        cmocka_unit_test(certificates_are_left_out_when_there_are_none),
        cmocka_unit_test(what_was_measured_is_written_and_read_as_typed),
        cmocka_unit_test(tpm_parts_out_of_their_limits_are_refused),
        cmocka_unit_test(svsm_parts_out_of_their_limits_are_refused),
        cmocka_unit_test(the_largest_evidence_fits),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(records_of_another_kind_are_refused),
        cmocka_unit_test(members_that_are_missing_or_unknown_are_refused),
        cmocka_unit_test(reports_and_tables_of_another_size_are_refused),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
