// A certificate revocation list, read. Whether it is genuine, current and of the right authority is the chain's
// business (chain.hpp).
#pragma once

#include "common/bytes.hpp"

#include <mbedtls/x509_crl.h>

#include <ctime>
#include <memory>
#include <optional>
#include <string>

namespace cvmin {

inline constexpr std::size_t max_crl_size = 64u << 10; // AMD's are under 2 KB; a certificate table holds no more

class RevocationList {
  public:
    // Exactly one list, DER or PEM. too_large; malformed (detail: minus the mbedTLS code); trailing.
    static Result<RevocationList> parse(ByteView der_or_pem, std::string_view where);

    const mbedtls_x509_crl &get() const { return *crl_; }
    ByteView der() const { return {reinterpret_cast<const std::byte *>(crl_->raw.p), crl_->raw.len}; }
    ByteView issuer() const { return {reinterpret_cast<const std::byte *>(crl_->issuer_raw.p), crl_->issuer_raw.len}; }
    std::string issuer_name() const; // its common name, for people
    std::time_t this_update() const;
    std::optional<std::time_t> next_update() const;
    std::size_t entries() const;

  private:
    struct Free {
        void operator()(mbedtls_x509_crl *crl) const;
    };
    std::unique_ptr<mbedtls_x509_crl, Free> crl_;
};

} // namespace cvmin
