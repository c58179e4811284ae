// Owners for mbedTLS contexts. Knows nothing of what the contexts are used for.
#pragma once

#include <mbedtls/bignum.h>
#include <mbedtls/ecp.h>
#include <mbedtls/pk.h>

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

} // namespace cvmin
