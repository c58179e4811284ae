// Any bytes as an EK certificate, and as a file of authorities: read or refused. Believed only when they are, bit for
// bit, one of the certificates that the root stands behind; and no file of authorities makes another one believed
// whose signer it does not hold.
#include "common/evidence.hpp"
#include "host-tools/tpm/ek_certificate.hpp"
#include "tests/fuzz/data_file.hpp"

using namespace cvmin;

static bool fit_for_a_line(const std::string &text) {
    return std::ranges::all_of(text, [](char c) { return c >= ' ' && c < 0x7f; });
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
    static const Bytes ek = fuzz::data_file("tpm/swtpm_rsa.tpmt");
    static const Bytes good = fuzz::data_file("tpm/ek_good.crt");
    static const Bytes no_subject = fuzz::data_file("tpm/ek_no_subject.crt");
    static const Bytes by_root = fuzz::data_file("tpm/ek_by_root.crt");
    static const EkAuthorities usual = [] {
        EkAuthorities made;
        if (!made.add(fuzz::data_file("tpm/root.pem")) || !made.add(fuzz::data_file("tpm/intermediate.pem")))
            std::abort();
        return made;
    }();
    constexpr std::time_t in_2030 = 1'893'456'000;
    const ByteView input = std::as_bytes(std::span{data, size});

    const auto judged = check_ek_certificate(input, ek, usual, in_2030);
    if (judged && !equal(input, good) && !equal(input, no_subject) && !equal(input, by_root))
        std::abort();
    if (!judged && (judged.error().found.empty() || judged.error().wanted.empty() ||
                    !fit_for_a_line(judged.error().found) || !fit_for_a_line(judged.error().wanted)))
        std::abort();
    if (const auto described = describe_ek_certificate(input))
        for (const std::string &text : {described->manufacturer, described->model, described->version, described->path})
            if (!fit_for_a_line(text))
                std::abort();

    EkAuthorities own;
    if (own.add(input)) {
        if (own.size() == 0 || own.size() > max_ek_authorities)
            std::abort();
        (void)check_ek_certificate(good, ek, own, in_2030);
    }
    (void)check_ek_certificate(good, input, usual, in_2030);
    return 0;
}
