// What ESYS needs of cryptography for its sessions, over mbedTLS and getrandom(2): hashes, HMAC, nonces. Not for
// parameter encryption or salted sessions, which the agent does not use: whoever listens on the way to a host-run TPM
// runs it.
#pragma once

#include <tss2/tss2_esys.h>

namespace cvmin::agent {

// Gives the context its crypto backend; before any command.
TSS2_RC set_tpm_crypto(ESYS_CONTEXT *context);

} // namespace cvmin::agent
