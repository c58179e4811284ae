// Certificates of any kind: DER or PEM, AMD's extensions, chains up to AMD's roots, revocation lists.
#include "host-tools/appraise/chain.hpp"

#include <cstdlib>

using namespace cvmin;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
    const ByteView input = std::as_bytes(std::span{data, size});
    TrustedChain chain;
    chain.intermediate = amd_certificates()[1].certificate;
    chain.ark = amd_certificates()[0].certificate;
    (void)check_revocation(input, chain, 1'760'000'000);

    const auto der = certificate_der(input, "fuzz");
    if (!der)
        return 0;
    const auto certificate = X509Certificate::parse(*der, "fuzz");
    if (!certificate)
        return 0;
    if (const auto vek = parse_vek_cert(*certificate)) {
        const bool vcek = vek->kind == VekKind::vcek;
        if (vcek == vek->hwid.empty() || vcek != vek->csp_id.empty() || vek->hwid.size() > max_hwid_size ||
            vek->csp_id.size() > max_csp_id_size || vek->product_name.size() > max_product_name_size)
            std::abort();
    }
    // the input as its own intermediate: never a chain to AMD, unless it is one of the real ones under the real ones
    CertTable table;
    table.ask = input;
    table.ark = input;
    (void)verify_chain(*certificate, table, *der, 1'760'000'000);
    return 0;
}
