// The certificate of the key that signs reports: VCEK or VLEK (AMD 57230 "VCEK Certificate and KDS Interface", tables
// of X.509 extensions below 1.3.6.1.4.1.3704.1). Reads it; whether anyone trusts it is the chain's business
// (host-tools/appraise/chain.hpp).
#pragma once

#include "common/claims.hpp"
#include "common/tcb.hpp"

#include <mbedtls/x509_crt.h>

#include <memory>

namespace cvmin {

inline constexpr std::size_t max_certificate_size = 8u << 10; // AMD's are under 1.7 KB in DER, 2.4 KB in PEM
inline constexpr std::size_t max_product_name_size = 32;      // "Milan-B0"
inline constexpr std::size_t max_csp_id_size = 128;           // a host name in practice
inline constexpr std::size_t max_hwid_size = 64;

// One X.509 certificate in DER, or in PEM with nothing but white space around it; gives DER. too_large, malformed.
Result<Bytes> certificate_der(ByteView der_or_pem, std::string_view where);

// Owns a parsed certificate.
class X509Certificate {
  public:
    // Exactly one DER certificate. malformed (detail: minus the mbedTLS code), trailing, too_large.
    static Result<X509Certificate> parse(ByteView der, std::string_view where);

    const mbedtls_x509_crt &get() const { return *crt_; }
    ByteView der() const { return {reinterpret_cast<const std::byte *>(crt_->raw.p), crt_->raw.len}; }
    ByteView spki() const { return {reinterpret_cast<const std::byte *>(crt_->pk_raw.p), crt_->pk_raw.len}; }
    ByteView subject() const {
        return {reinterpret_cast<const std::byte *>(crt_->subject_raw.p), crt_->subject_raw.len};
    }
    ByteView issuer() const { return {reinterpret_cast<const std::byte *>(crt_->issuer_raw.p), crt_->issuer_raw.len}; }
    std::string subject_name() const; // its common name, for people
    std::string issuer_name() const;

  private:
    struct Free {
        void operator()(mbedtls_x509_crt *crt) const;
    };
    std::unique_ptr<mbedtls_x509_crt, Free> crt_;
};

enum class VekKind : std::uint8_t { vcek, vlek };
std::string_view name(VekKind kind); // "VCEK"

struct VekCert {
    VekKind kind;               // a VCEK names a chip (HWID), a VLEK a cloud provider (CSP_ID)
    PublicKey key;              // P-384
    unsigned structure_version; // 0 or 1
    std::string product_name;   // "Milan-B0"; VLEK and newer VCEK without stepping
    Product product;
    Tcb tcb;            // the SPLs that the key is derived for
    Bytes hwid;         // 64 bytes, Turin 8; empty for a VLEK
    std::string csp_id; // empty for a VCEK

    // HWID as it stands in a report's CHIP_ID: zero padded.
    ByteArray<64> chip_id() const;
};

// missing: an extension, `where` names it. malformed: doubled or of another form. unsupported: structure version,
// product, key that is not P-384. out_of_range: an SPL above 255, a length.
Result<VekCert> parse_vek_cert(const X509Certificate &certificate);

} // namespace cvmin
