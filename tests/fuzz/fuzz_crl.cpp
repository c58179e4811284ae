// Any bytes as a revocation list: read or refused; believed only when they are a list that the root signed, and then
// only for the chain that it does not name.
#include "host-tools/appraise/chain.hpp"
#include "tests/fuzz/data_file.hpp"

using namespace cvmin;

static std::shared_ptr<const X509Certificate> certificate(const char *name) {
    return std::make_shared<const X509Certificate>(
        X509Certificate::parse(fuzz::data_file(std::string{"negative/certificates/"} + name), "fuzz").value());
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
    static const TrustedChain chain{.emulated = true,
                                    .product = std::nullopt,
                                    .kind = std::nullopt,
                                    .intermediate = certificate("ask.der"),
                                    .ark = certificate("ark.der"),
                                    .path = "fuzz"};
    static const Bytes good = fuzz::data_file("negative/certificates/crl-good.der");
    constexpr std::time_t now = 1'780'000'000; // in 2026
    const ByteView input = std::as_bytes(std::span{data, size});

    const auto list = RevocationList::parse(input, "fuzz");
    if (list) {
        if (list->entries() > size || list->der().size() > max_crl_size || list->issuer_name().empty())
            std::abort();
        (void)list->this_update();
        (void)list->next_update();
        if (const auto read_again = RevocationList::parse(list->der(), "fuzz");
            !read_again || !equal(read_again->der(), list->der()))
            std::abort();
    }
    const auto checked = check_revocation(input, chain, now);
    if (!checked && (checked.error().found.empty() || checked.error().wanted.empty()))
        std::abort();
    if (checked && (!list || !equal(list->der(), good)))
        std::abort();
    if (check_revocation(input, chain, now, 1)) // the good one is of 2025
        std::abort();
    return 0;
}
