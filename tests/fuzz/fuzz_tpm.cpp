// Any bytes as TPMS_ATTEST, TPMT_PUBLIC and TPMT_SIGNATURE: the first byte says where key and signature begin. A
// signature that holds over these bytes does not hold over others.
#include "host-tools/measured/quote.hpp"

#include <cstdlib>

using namespace cvmin;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
    const ByteView input = std::as_bytes(std::span{data, size});
    for (const ByteView bytes : {input, input.subspan(std::min<std::size_t>(size, 1))}) {
        if (const auto attest = parse_attest(bytes);
            attest && (attest->selection.size() > max_pcr_selections || attest->pcr_digest.size() > bytes.size()))
            std::abort();
        if (const auto key = parse_public(bytes)) {
            if (key->rsa_modulus.size() > max_rsa_bytes || key->x.size() > max_ecc_bytes)
                std::abort();
            const auto name = tpm_name(bytes);
            if (name && (name->size() < 34 || !tpm_qualified_name(tpm_rh_endorsement, *name)))
                std::abort();
        }
        (void)parse_signature(bytes);
    }
    if (size < 3)
        return 0;
    // key size (2 bytes), key, signature: the message is the key's bytes
    const std::size_t key_size = std::min<std::size_t>(load_be(input.first(2)), size - 2);
    const ByteView key_bytes = input.subspan(2, key_size);
    const auto key = parse_public(key_bytes);
    const auto signature = parse_signature(input.subspan(2 + key_size));
    if (key && signature && verify_tpm_signature(key_bytes, *signature, *key) &&
        verify_tpm_signature(input.first(1), *signature, *key))
        std::abort();
    return 0;
}
