// One bit: a real report, or the certificate of the key that signed it, in which one bit is another is never accepted.
// All bits of one, one bit of each byte of the others; each by a whole appraisal, in processes beside each other.
#include "tests/unit/cmocka.hpp"

#include "common/cert_table.hpp"
#include "host-tools/appraise/chain.hpp"
#include "host-tools/appraise/verdict.hpp"

#include <sys/wait.h>
#include <unistd.h>

using namespace cvmin;
using namespace cvmin::test;

struct RealReport {
    std::string name;
    Bytes report, vek;
    bool is_vlek;
    Expectations wanted;
};

// A policy under which this report is accepted: only what a report of this kind can never meet is left out.
static RealReport genuine(const Json &entry) {
    const std::string dir = entry["dir"].get<std::string>() + "/";
    RealReport out{.name = entry["name"].get<std::string>(),
                   .report = data(dir + entry["report"].get<std::string>()),
                   .vek = data(dir + entry["vek"].get<std::string>()),
                   .is_vlek = entry["vek_kind"] == "vlek",
                   .wanted = {}};
    const SnpReport report = parse_snp_report(out.report).value();
    Policy &policy = out.wanted.policy;
    policy.products = {product_by_name(entry["product_line"].get<std::string>()).value()};
    policy.report_versions = {report.version};
    policy.signing_keys = {out.is_vlek ? VekKind::vlek : VekKind::vcek};
    policy.vmpl = report.vmpl;
    policy.masked_chip_id = out.is_vlek;
    policy.provisional_firmware = true;
    if (out.is_vlek)
        policy.csp_ids = {{entry["vek_csp_id"].get<std::string>()}};
    if (out.name == "turin-v5-oc")
        policy.allowed_unknown_bits = {"platform_info.6"};
    out.wanted.report_data = report.report_data;
    out.wanted.measurements = {report.measurement};
    out.wanted.now = parse_time("2025-10-01T00:00:00Z").value();
    return out;
}

static bool accepted(const RealReport &real, ByteView report, ByteView vek) {
    CertTableParts parts{};
    (real.is_vlek ? parts.vlek : parts.vcek) = vek;
    return appraise_report(report, encode_cert_table(parts), real.wanted).verdict.accepted();
}

static bool refused_with_each_flip(const RealReport &real, bool of_certificate, unsigned process, unsigned processes,
                                   bool all_bits) {
    Bytes changed = of_certificate ? real.vek : real.report;
    bool refused = true;
    for (std::size_t at = process; at < changed.size(); at += processes)
        for (unsigned bit = 0; bit < 8; ++bit) {
            if (!all_bits && bit != at * 5 % 8) // any bit, and always the same
                continue;
            changed[at] ^= static_cast<std::byte>(1u << bit);
            if (accepted(real, of_certificate ? ByteView{real.report} : ByteView{changed},
                         of_certificate ? ByteView{changed} : ByteView{real.vek})) {
                print_error("%s: accepted with bit %u of byte %zu of the %s flipped\n", real.name.c_str(), bit, at,
                            of_certificate ? "certificate" : "report");
                refused = false;
            }
            changed[at] ^= static_cast<std::byte>(1u << bit);
        }
    return refused;
}

// Processes and not threads: nothing is shared, whatever the libraries below keep in a key.
static bool refused_in_all_processes(const RealReport &real, bool all_bits) {
    const unsigned processes = static_cast<unsigned>(std::clamp(sysconf(_SC_NPROCESSORS_ONLN), 1L, 8L));
    std::vector<pid_t> children;
    bool refused = true;
    for (unsigned i = 0; i < processes; ++i) {
        const pid_t child = fork();
        if (child == 0)
            _exit(refused_with_each_flip(real, false, i, processes, all_bits) &&
                          refused_with_each_flip(real, true, i, processes, all_bits)
                      ? 0
                      : 1);
        refused = refused && child > 0;
        children.push_back(child);
    }
    for (const pid_t child : children) {
        int status = -1;
        refused = child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0 &&
                  refused;
    }
    return refused;
}

static constexpr const char *all_bits_of = "milan-v3-oc-release";

template <class Function> static std::size_t each_real_report(Function function) {
    const Json index = parse_json(data("reports.json"), "reports.json").value();
    std::size_t seen = 0;
    for (const Json &entry : index["reports"])
        if (!entry["vek"].is_null()) {
            function(genuine(entry));
            ++seen;
        }
    return seen;
}

static void appraise_accepts_every_real_report_with_its_certificate(void **) {
    bool all = true;
    const std::size_t seen = each_real_report([&](const RealReport &real) {
        const bool holds = accepted(real, real.report, real.vek);
        if (!holds)
            print_error("%s\n", real.name.c_str());
        all = all && holds;
    });
    assert_int_equal(seen, 11);
    assert_true(all);
}

static void appraise_refuses_every_flipped_bit_of_a_real_report_and_of_its_certificate(void **) {
    bool all = true;
    std::size_t tried = 0;
    each_real_report([&](const RealReport &real) {
        if (real.name != all_bits_of)
            return;
        ++tried;
        all = all && refused_in_all_processes(real, true);
    });
    assert_int_equal(tried, 1);
    assert_true(all);
}

static void appraise_refuses_a_flipped_bit_in_every_byte_of_the_other_reports_and_certificates(void **) {
    bool all = true;
    std::size_t tried = 0;
    each_real_report([&](const RealReport &real) {
        if (real.name == all_bits_of)
            return;
        ++tried;
        all = all && refused_in_all_processes(real, false);
    });
    assert_int_equal(tried, 10);
    assert_true(all);
}

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(appraise_accepts_every_real_report_with_its_certificate),
        cmocka_unit_test(appraise_refuses_every_flipped_bit_of_a_real_report_and_of_its_certificate),
        cmocka_unit_test(appraise_refuses_a_flipped_bit_in_every_byte_of_the_other_reports_and_certificates),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
