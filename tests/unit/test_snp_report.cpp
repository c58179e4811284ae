// Attestation report: every field at its own offset, every wrong size, and the real reports of tests/data/reports.json.
#include "tests/unit/cmocka.hpp"

#include "common/snp_report.hpp"
#include "host-tools/base/json.hpp"

using namespace cvmin;

// Bytes 1, 2, 3, ... over the whole report, with a signature algorithm that can be read.
static Bytes counting_report() {
    Bytes raw(snp_report_size);
    for (std::size_t i = 0; i < raw.size(); ++i)
        raw[i] = static_cast<std::byte>((i * 7 + 1) & 0xff);
    store_le(MutableBytes{raw}.subspan(0x34, 4), 1);
    return raw;
}

static std::uint64_t counted_le(std::size_t offset, std::size_t size) {
    std::uint64_t value = 0;
    for (std::size_t i = size; i-- > 0;)
        value = value << 8 | (((offset + i) * 7 + 1) & 0xff);
    return value;
}

template <std::size_t N> static bool counted(const ByteArray<N> &found, std::size_t offset) {
    for (std::size_t i = 0; i < N; ++i)
        if (std::to_integer<std::size_t>(found[i]) != (((offset + i) * 7 + 1) & 0xff))
            return false;
    return true;
}

// Offsets typed from SNP.md section 2 (AMD 56860, table ATTESTATION_REPORT), not from the code.
static void parse_report_reads_every_field_at_its_own_offset(void **) {
    const SnpReport report = parse_snp_report(counting_report()).value();
    assert_int_equal(report.version, counted_le(0x000, 4));
    assert_int_equal(report.guest_svn, counted_le(0x004, 4));
    assert_int_equal(report.policy, counted_le(0x008, 8));
    assert_true(counted(report.family_id, 0x010));
    assert_true(counted(report.image_id, 0x020));
    assert_int_equal(report.vmpl, counted_le(0x030, 4));
    assert_int_equal(report.signature_algo, 1);
    assert_int_equal(report.current_tcb, counted_le(0x038, 8));
    assert_int_equal(report.platform_info, counted_le(0x040, 8));
    assert_int_equal(report.key_info, counted_le(0x048, 4));
    assert_true(counted(report.report_data, 0x050));
    assert_true(counted(report.measurement, 0x090));
    assert_true(counted(report.host_data, 0x0C0));
    assert_true(counted(report.id_key_digest, 0x0E0));
    assert_true(counted(report.author_key_digest, 0x110));
    assert_true(counted(report.report_id, 0x140));
    assert_true(counted(report.report_id_ma, 0x160));
    assert_int_equal(report.reported_tcb, counted_le(0x180, 8));
    assert_int_equal(report.cpuid_family, counted_le(0x188, 1));
    assert_int_equal(report.cpuid_model, counted_le(0x189, 1));
    assert_int_equal(report.cpuid_stepping, counted_le(0x18A, 1));
    assert_true(counted(report.chip_id, 0x1A0));
    assert_int_equal(report.committed_tcb, counted_le(0x1E0, 8));
    assert_int_equal(report.current.build, counted_le(0x1E8, 1));
    assert_int_equal(report.current.minor, counted_le(0x1E9, 1));
    assert_int_equal(report.current.major, counted_le(0x1EA, 1));
    assert_int_equal(report.committed.build, counted_le(0x1EC, 1));
    assert_int_equal(report.committed.minor, counted_le(0x1ED, 1));
    assert_int_equal(report.committed.major, counted_le(0x1EE, 1));
    assert_int_equal(report.launch_tcb, counted_le(0x1F0, 8));
    assert_int_equal(report.launch_mit_vector, counted_le(0x1F8, 8));
    assert_int_equal(report.current_mit_vector, counted_le(0x200, 8));
    assert_true(counted(report.signature_r, 0x2A0));
    assert_true(counted(report.signature_s, 0x2E8));
}

static void encode_report_writes_what_parse_reads(void **) {
    Bytes raw = counting_report();
    const ByteArray<snp_report_size> again = encode_snp_report(parse_snp_report(raw).value());
    // reserved bytes and the signature are written as zero
    constexpr struct {
        std::size_t from, to;
    } zero[] = {{0x04C, 0x050}, {0x18B, 0x1A0}, {0x1EB, 0x1EC}, {0x1EF, 0x1F0}, {0x208, snp_report_size}};
    for (const auto &[from, to] : zero)
        std::fill(raw.begin() + static_cast<std::ptrdiff_t>(from), raw.begin() + static_cast<std::ptrdiff_t>(to),
                  std::byte{0});
    assert_true(equal(again, raw));
}

static void parse_report_rejects_every_other_size(void **) {
    const Bytes raw = counting_report();
    for (std::size_t size = 0; size < snp_report_size; ++size)
        assert_true(parse_snp_report(ByteView{raw}.first(size)).error() ==
                    (Error{Errc::truncated, "snp_report", size}));
    for (std::size_t more = 1; more < 5000; more += 311) {
        Bytes longer = raw;
        longer.resize(raw.size() + more);
        assert_true(parse_snp_report(longer).error() == (Error{Errc::trailing, "snp_report", snp_report_size}));
    }
}

static void parse_report_rejects_other_signature_algorithms(void **) {
    for (const std::uint64_t algorithm : {0u, 2u, 0x101u, 0xffffffffu}) {
        Bytes raw = counting_report();
        store_le(MutableBytes{raw}.subspan(0x34, 4), algorithm);
        assert_true(parse_snp_report(raw).error() ==
                    (Error{Errc::unsupported, "snp_report.signature_algo", algorithm}));
    }
}

static void parse_report_accepts_unknown_versions_and_reserved_bits(void **) {
    Bytes raw = counting_report();
    for (const std::uint64_t version : {0u, 1u, 6u, 0xffffffffu}) {
        store_le(MutableBytes{raw}.first(4), version);
        assert_int_equal(parse_snp_report(raw).value().version, version);
    }
}

static std::uint64_t le_text(const Json &text) { // "0200000000000544": the report's bytes in their order
    return load_le(parse_hex(text.get<std::string>(), "reports.json").value());
}
template <std::size_t N> static bool is(const ByteArray<N> &found, const Json &wanted) {
    return hex(found) == wanted.get<std::string>();
}
static bool is(const FirmwareVersion &found, const Json &wanted) {
    return std::to_string(found.major) + "." + std::to_string(found.minor) + "." + std::to_string(found.build) ==
           wanted.get<std::string>();
}

static void parse_report_agrees_with_the_index_of_real_reports(void **) {
    const Json index = parse_json(test::data("reports.json"), "reports.json").value();
    std::size_t count = 0;
    for (const Json &entry : index["reports"]) {
        const Bytes raw = test::data(entry["dir"].get<std::string>() + "/" + entry["report"].get<std::string>());
        assert_true(hex(sha256(raw)) == entry["report_sha256"].get<std::string>());
        const SnpReport report = parse_snp_report(raw).value();
        const Json &want = entry["fields"];
        assert_int_equal(report.version, want["version"].get<std::uint64_t>());
        assert_int_equal(report.guest_svn, want["guest_svn"].get<std::uint64_t>());
        assert_int_equal(report.policy, want["policy"].get<std::uint64_t>());
        assert_int_equal(report.vmpl, want["vmpl"].get<std::uint64_t>());
        assert_int_equal(report.platform_info, want["platform_info"].get<std::uint64_t>());
        assert_int_equal(report.key_info, want["key_info"].get<std::uint64_t>());
        assert_int_equal(report.current_tcb, le_text(want["current_tcb"]));
        assert_int_equal(report.reported_tcb, le_text(want["reported_tcb"]));
        assert_int_equal(report.committed_tcb, le_text(want["committed_tcb"]));
        assert_int_equal(report.launch_tcb, le_text(want["launch_tcb"]));
        assert_int_equal(report.cpuid_family, want["cpuid_fam"].get<std::uint64_t>());
        assert_int_equal(report.cpuid_model, want["cpuid_mod"].get<std::uint64_t>());
        assert_int_equal(report.cpuid_stepping, want["cpuid_step"].get<std::uint64_t>());
        assert_int_equal(report.launch_mit_vector, want["launch_mit_vector"].get<std::uint64_t>());
        assert_int_equal(report.current_mit_vector, want["current_mit_vector"].get<std::uint64_t>());
        assert_true(is(report.current, want["current_ver"]));
        assert_true(is(report.committed, want["committed_ver"]));
        assert_true(is(report.family_id, want["family_id"]) && is(report.image_id, want["image_id"]));
        assert_true(is(report.report_data, want["report_data"]) && is(report.measurement, want["measurement"]));
        assert_true(is(report.host_data, want["host_data"]) && is(report.id_key_digest, want["id_key_digest"]));
        assert_true(is(report.author_key_digest, want["author_key_digest"]) && is(report.report_id, want["report_id"]));
        assert_true(is(report.report_id_ma, want["report_id_ma"]) && is(report.chip_id, want["chip_id"]));
        assert_int_equal(report.signing_key() == SigningKey::vlek, entry.value("vek_kind", "") == "vlek");
        ++count;
    }
    assert_int_equal(count, 13);
}

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(parse_report_reads_every_field_at_its_own_offset),
        cmocka_unit_test(encode_report_writes_what_parse_reads),
        cmocka_unit_test(parse_report_rejects_every_other_size),
        cmocka_unit_test(parse_report_rejects_other_signature_algorithms),
        cmocka_unit_test(parse_report_accepts_unknown_versions_and_reserved_bits),
        cmocka_unit_test(parse_report_agrees_with_the_index_of_real_reports),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
