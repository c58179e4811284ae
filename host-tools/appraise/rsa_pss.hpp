// RSASSA-PSS with SHA-384, MGF1 with SHA-384 and 48 bytes of salt, by RSA-4096: how AMD signs certificates and lists.
// By libcrypto, which takes a quarter of the time of mbedTLS, and in objects of each call's own: mbedTLS writes to a
// key that it verifies with, and the carried ones belong to every thread.
#pragma once

#include "common/hash.hpp"

#include <mbedtls/rsa.h>

namespace cvmin {

// Only read from `key`. False also where the library fails.
bool verify_rsa_pss(const mbedtls_rsa_context &key, const Sha384Digest &digest, ByteView signature);

} // namespace cvmin
