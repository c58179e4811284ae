// Owners for mbedTLS contexts, and randomness for it. Knows nothing of what the contexts are used for.
#pragma once

#include "common/bytes.hpp"

#include <cerrno>
#include <cstdlib>

#include <mbedtls/bignum.h>
#include <mbedtls/ecdsa.h>
#include <mbedtls/ecp.h>
#include <mbedtls/pk.h>
#include <sys/random.h>

namespace cvmin {

// Initialised on construction, freed (and wiped, where mbedTLS does so) on destruction; neither copied nor moved.
template <class T, auto Init, auto Free> class Mbed {
  public:
    Mbed() { Init(&value_); }
    ~Mbed() { Free(&value_); }
    Mbed(const Mbed &) = delete;
    Mbed &operator=(const Mbed &) = delete;
    T *get() { return &value_; }
    const T *get() const { return &value_; }
    T *operator->() { return &value_; }
    const T *operator->() const { return &value_; }

  private:
    T value_;
};
using MbedMpi = Mbed<mbedtls_mpi, mbedtls_mpi_init, mbedtls_mpi_free>;
using MbedPoint = Mbed<mbedtls_ecp_point, mbedtls_ecp_point_init, mbedtls_ecp_point_free>;
using MbedGroup = Mbed<mbedtls_ecp_group, mbedtls_ecp_group_init, mbedtls_ecp_group_free>;
using MbedPk = Mbed<mbedtls_pk_context, mbedtls_pk_init, mbedtls_pk_free>;

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
