// Any bytes as an attestation result: refused or read, and never accepted, since nobody whose key is trusted signed
// them.
#include "host-tools/base/json.hpp"
#include "host-tools/result/appraise_result.hpp"

#include <cstdlib>

using namespace cvmin;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
    static const ResultExpectations wanted = [] {
        ResultExpectations out;
        out.verifiers = {PublicKey{}}; // no point of the curve: nobody signs with it
        out.nonce = NonceOfService{};
        out.peer_key = PublicKey{};
        out.policies = Skip{};
        out.measurements = Skip{};
        out.manifest = Skip{};
        out.emulated_ark = Bytes(1);
        out.now = 1'790'000'060;
        return out;
    }();
    const ByteView input = std::as_bytes(std::span{data, size});
    const ResultAppraisal appraisal = appraise_result(input, wanted);
    if (appraisal.valid || appraisal.accepted ||
        appraisal.result.has_value() != (appraisal[ResultCheck::format].outcome == Outcome::passed))
        std::abort();
    if (!parse_json(as_bytes(result_json(appraisal, {}, wanted.now).dump()), "result"))
        std::abort();
    if (result_table(appraisal, {}, wanted.now).contains('\0'))
        std::abort();
    return 0;
}
