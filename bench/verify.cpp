// Verifications per second on one core: a real report appraised under a policy, beside the floor, which is one P-384
// verification by the fastest library here. In turns, in one process; the least of many rounds is what the code needs.
// Prints, for bench/verify.sh: name, least and median of microseconds per call.
#include "common/cert_table.hpp"
#include "host-tools/appraise/appraise.hpp"
#include "host-tools/appraise/chain.hpp"
#include "host-tools/appraise/report_signature.hpp"
#include "host-tools/appraise/verdict.hpp"
#include "host-tools/base/os.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <functional>

#include <openssl/ec.h>
#include <openssl/evp.h>

using namespace cvmin;

namespace {

double seconds() {
    timespec time{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time); // other work on a busy machine is not ours
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

void must(bool holds, const char *what) {
    if (holds)
        return;
    std::fprintf(stderr, "bench verify: %s\n", what);
    std::exit(1);
}

struct Run {
    const char *name;
    std::function<bool()> call; // false would be a wrong verdict, and stops everything
    std::vector<double> times{};
};

} // namespace

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

    EVP_PKEY *floor_key = EVP_EC_gen("P-384");
    unsigned char digest[48] = {1}, signature[128];
    std::size_t size = sizeof signature;
    EVP_PKEY_CTX *sign = EVP_PKEY_CTX_new(floor_key, nullptr);
    must(EVP_PKEY_sign_init(sign) == 1 && EVP_PKEY_sign(sign, signature, &size, digest, sizeof digest) == 1,
         "libcrypto cannot sign");
    EVP_PKEY_CTX *verify = EVP_PKEY_CTX_new(floor_key, nullptr);
    must(EVP_PKEY_verify_init(verify) == 1, "libcrypto cannot verify");

    Run runs[] = {
        {"floor: one P-384 verification (EVP, key ready)",
         [&] { return EVP_PKEY_verify(verify, signature, size, digest, sizeof digest) == 1; }},
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
    constexpr int calls = 20;
    const long rounds = std::strtol(argv[5], nullptr, 10);
    must(rounds > 0, "wanted at least one round");
    for (long round = 0; round <= rounds; ++round) // the first only warms the caches
        for (Run &run : runs) {
            const double begin = seconds();
            for (int i = 0; i < calls; ++i)
                must(run.call(), run.name);
            if (round > 0)
                run.times.push_back((seconds() - begin) * 1e6 / calls);
        }
    for (Run &run : runs) {
        std::ranges::sort(run.times);
        std::printf("%s\t%.2f\t%.2f\n", run.name, run.times.front(), run.times[run.times.size() / 2]);
    }
    EVP_PKEY_CTX_free(sign);
    EVP_PKEY_CTX_free(verify);
    EVP_PKEY_free(floor_key);
    return 0;
}
