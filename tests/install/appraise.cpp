// A user of the installed C++ interface: appraises a report under a policy; prints accepted or refused.
#include <cvmin/appraise.hpp>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <vector>

static std::vector<char> read_file(const char *path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

int main(int argc, char **argv) {
    if (argc != 5)
        return 2;
    const auto report = read_file(argv[1]), vek = read_file(argv[2]), policy = read_file(argv[3]);
    cvmin::attestation::Options options;
    options.time = std::chrono::sys_seconds{std::chrono::seconds{std::strtoll(argv[4], nullptr, 10)}};
    options.evidence = std::as_bytes(std::span{report});
    options.vek = std::as_bytes(std::span{vek});
    options.policy = {policy.data(), policy.size()};
    if (report.size() >= 0xc0)
        options.measurements = std::as_bytes(std::span{report}).subspan(0x90, 48);
    options.skip = CVMIN_APPRAISE_SKIP_REPORT_DATA;
    const auto verdict = cvmin::attestation::appraise(options);
    if (!verdict) {
        std::fprintf(stderr, "%s\n", verdict.error().text.c_str());
        return 3;
    }
    std::printf("%s\n", verdict->accepted ? "accepted" : "refused");
    return verdict->accepted ? 0 : 1;
}
