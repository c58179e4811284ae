// A TPM that answers anything: the input is a script of answers, and the agent does with it what it does with a TPM.
#include "tests/unit/scripted_tpm.hpp"

using namespace cvmin;
using namespace cvmin::test;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *input, std::size_t size) {
    FakeClock clock;
    ScriptedDevice device{parse_script(std::as_bytes(std::span{input, size})), clock};
    device.strict = false;
    Played played = play(device, clock);
    if (played.longest_ms > 3000)
        __builtin_trap();
    if (played.quote &&
        (played.quote->attest.size() > max_tpm_attest_size || played.quote->signature.size() > max_tpm_signature_size ||
         played.quote->ek_public.size() > max_tpm_public_size ||
         played.quote->ek_certificate.size() > max_ek_certificate_size || played.quote->pcr_values.values.size() != 24))
        __builtin_trap();
    if (played.credential.size() > max_credential_size)
        __builtin_trap();
    played.tpm.reset();
    if (device.sent > 200) // nothing goes on for ever
        __builtin_trap();
    return 0;
}
