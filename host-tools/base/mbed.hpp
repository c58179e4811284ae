// Randomness for mbedTLS, and its failures as ours, for the host.
#pragma once

#include "common/bytes.hpp"
#include "common/mbed.hpp"

#include <cerrno>
#include <cstdlib>

#include <mbedtls/ecdsa.h>
#include <sys/random.h>

namespace cvmin {

// The kernel's generator, as mbedTLS wants it. It cannot fail once the kernel is up; if it does, no key may be made.
inline int system_random(void *, unsigned char *out, std::size_t size) {
    while (size != 0) {
        const ssize_t got = ::getrandom(out, size, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            std::abort();
        out += got;
        size -= static_cast<std::size_t>(got);
    }
    return 0;
}

// CVMIN_MBED(where, call): returns Errc::crypto with mbedTLS's (positive) code unless the call gave 0.
#define CVMIN_MBED(where, call)                                                                                        \
    do {                                                                                                               \
        if (const int cvmin_mbed_ = (call); cvmin_mbed_ != 0)                                                          \
            return fail(Errc::crypto, where,                                                                           \
                        static_cast<std::uint64_t>(cvmin_mbed_ < 0 ? -cvmin_mbed_ : cvmin_mbed_));                     \
    } while (0)

} // namespace cvmin
