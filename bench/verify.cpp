// Verifications per second on one core: a real report appraised under a policy, beside the floor, which is one P-384
// verification by the fastest library here. In turns, in one process; the least of many rounds is what the code needs.
// Prints, for bench/verify.sh: name, least and median of microseconds per call.
#include "bench/turns.hpp"
#include "common/cert_table.hpp"
#include "host-tools/appraise/appraise.hpp"
#include "host-tools/appraise/chain.hpp"
#include "host-tools/appraise/report_signature.hpp"
#include "host-tools/appraise/verdict.hpp"
#include "host-tools/base/os.hpp"

using namespace cvmin;
using bench::must;

// REPORT VEK POLICY TIME ROUNDS
int main(int argc, char **argv) {
    must(argc == 6, "wanted REPORT VEK POLICY TIME ROUNDS");
    const auto report = read_file(argv[1], max_evidence_size);
    const auto vek_file = read_file(argv[2], max_certificate_size);
    const auto policy_text = read_file(argv[3], max_json_size);
    const auto now = parse_time(argv[4]);
    must(report && vek_file && policy_text && now, "a file cannot be read");
    auto policy = parse_policy(*policy_text);
    must(policy.has_value(), "the policy cannot be read");

    const auto certificate = X509Certificate::parse(*vek_file, "vek").value();
    const auto vek = parse_vek_cert(certificate).value();
    const Bytes table = encode_cert_table({.vcek = *vek_file, .vlek = {}, .ask = {}, .ark = {}, .crl = {}});
    const CertTable parsed_table = parse_cert_table(table).value();
    Expectations wanted;
    wanted.report_data = parse_snp_report(*report)->report_data;
    wanted.measurements = {parse_snp_report(*report)->measurement};
    wanted.policy = std::move(*policy);
    wanted.now = *now;

    bench::P384Floor floor;
    bench::Run runs[] = {
        {"floor: one P-384 verification (EVP, key ready)", [&] { return floor.verify(); }},
        {"signature of the report", [&] { return verify_report_signature(*report, vek.key).has_value(); }},
        {"chain: VEK, ASK and ARK",
         [&] { return verify_chain(certificate, parsed_table, std::nullopt, *now).has_value(); }},
        {"certificate parsed",
         [&] {
             const auto parsed = X509Certificate::parse(*vek_file, "vek");
             return parsed && parse_vek_cert(*parsed).has_value();
         }},
        {"appraised, chain checked every time",
         [&] { return appraise_report(*report, table, wanted).verdict.accepted(); }},
        {"the same and its verdict as JSON",
         [&] {
             const Appraisal appraisal = appraise_report(*report, table, wanted);
             return appraisal.verdict.accepted() && !verdict_json(appraisal, wanted).dump().empty();
         }},
    };
    bench::in_turns(runs, 20, argv[5]);
    bench::print_microseconds(runs);
    return 0;
}
