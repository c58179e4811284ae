// sign_p384_deterministic of the guest, which has no need of it: its mbedTLS is built without RFC 6979.
#include "common/p384.hpp"

namespace cvmin {

Result<P384Signature> sign_p384_deterministic(const P384Scalar &, const Sha384Digest &) {
    return fail(Errc::unsupported, "p384.sign");
}

} // namespace cvmin
