// Random bytes straight from the kernel. There is no generator of our own: one state less to protect and to seed.
#pragma once

#include "common/bytes.hpp"

namespace cvmin::agent {

// Waits until the kernel's generator is seeded. system (errno).
Result<void> fill_random(MutableBytes out);

// The same in the shape that mbedTLS asks for.
int mbedtls_random(void *, unsigned char *out, std::size_t size);

} // namespace cvmin::agent
