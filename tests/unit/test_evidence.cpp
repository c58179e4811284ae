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

static void the_largest_evidence_fits(void **) {
    const Evidence evidence{.report = Bytes(snp_report_size),
                            .certificates = Bytes(max_cert_table_size, std::byte{1}),
                            .claims = Bytes(max_claims_size)};
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
        cmocka_unit_test(the_largest_evidence_fits),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(records_of_another_kind_are_refused),
        cmocka_unit_test(members_that_are_missing_or_unknown_are_refused),
        cmocka_unit_test(reports_and_tables_of_another_size_are_refused),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
