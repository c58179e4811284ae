// The published interface of the appraisal under any bytes: lengths, then evidence, certificates and policy. No input
// may be accepted: what would have to be signed is not in reach of a fuzzer.
#include <cvmin/appraise.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
    constexpr std::size_t header = 8; // flags, and lengths in 16 bits: evidence, certificates or vek, crl
    if (size < header)
        return 0;
    const std::uint8_t flags = data[0];
    std::size_t at = header;
    const auto take = [&](std::size_t wanted) {
        const std::size_t length = wanted < size - at ? wanted : size - at;
        const cvmin_appraise_bytes out{length == 0 ? nullptr : data + at, length};
        at += length;
        return out;
    };
    const auto length = [&](std::size_t index) { return static_cast<std::size_t>(data[index] | data[index + 1] << 8); };
    static const std::uint8_t fixed[96] = {1};
    cvmin_appraise_options options = CVMIN_APPRAISE_OPTIONS_INIT;
    const bool report = (flags & 1) == 0;
    options.subject = report ? CVMIN_APPRAISE_SUBJECT_REPORT : CVMIN_APPRAISE_SUBJECT_EVIDENCE;
    options.time = 1759276800;
    options.evidence = take(length(1));
    (report ? (flags & 2) != 0 ? options.certificates : options.vek : options.emulated_ark) = take(length(3));
    options.crl = take(length(5));
    options.policy = take(size);
    options.measurements = {fixed, 48};
    if (report) {
        options.skip = CVMIN_APPRAISE_SKIP_REPORT_DATA;
    } else {
        options.nonce = {fixed, 32};
        options.exporter = {fixed, 32};
        options.peer_key = {fixed, 96};
    }
    std::vector<char> verdict((flags & 4) != 0 ? 100 : CVMIN_APPRAISE_VERDICT_SIZE);
    std::size_t verdict_size = verdict.size();
    char error[64];
    const int status = cvmin_appraise(&options, verdict.data(), &verdict_size, error, sizeof error);
    if (status == CVMIN_APPRAISE_ACCEPTED)
        std::abort();
    if (status == CVMIN_APPRAISE_REFUSED && std::strlen(verdict.data()) != verdict_size)
        std::abort();
    if (status == CVMIN_APPRAISE_INTERNAL || error[0] == '\0' ? status != CVMIN_APPRAISE_REFUSED : false)
        std::abort();
    return 0;
}
