// Any bytes as collateral: a bundle's payload and its signed form, PEM files, revocation lists, minimum TCBs, and what
// a key service may answer. A payload that is taken has one encoding, and appraisal can use it.
#include "host-tools/collateral/bundle.hpp"
#include "host-tools/collateral/collateral.hpp"

#include <cstdlib>

using namespace cvmin;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
    const ByteView input = std::as_bytes(std::span{data, size});
    if (const auto bundle = parse_bundle(input)) {
        if (!equal(encode_bundle(*bundle), input) || !endorsements_of(*bundle, "fuzz"))
            std::abort();
        if (bundle->expires <= bundle->created || bundle->veks.size() > max_bundle_veks)
            std::abort();
    }
    if (const auto bundle = read_bundle(input); bundle && !endorsements_of(*bundle, "fuzz"))
        std::abort();
    if (const auto blocks = split_pem(input, 8, "fuzz"); blocks && (blocks->empty() || blocks->size() > 8))
        std::abort();
    if (const auto list = RevocationList::parse(input, "fuzz"))
        if (list->issuer_name().empty() || list->entries() > size)
            std::abort();
    (void)parse_minimum_tcb(input);
    BundleMaker maker(1'780'000'000, std::nullopt);
    if (maker.add(input, "fuzz"))
        (void)maker.finish(1'790'000'000, {}, [](std::string_view) {});
    const std::string text{as_text(input)};
    (void)parse_service_address(text);
    for (const Product product : all_products)
        (void)parse_tcb(product, text);
    return 0;
}
