// The certificate of a TPM's endorsement key (EK): who says that this key is in a TPM, and of which make. A chain to
// roots that the caller gives, and the rules of "TCG EK Credential Profile For TPM Family 2.0" 2.5, 3.2. Opens no file,
// fetches nothing. Whether the TPM holds the key is credential.hpp's question.
#pragma once

#include "common/bytes.hpp"

#include <ctime>
#include <expected>
#include <memory>
#include <string>
#include <vector>

namespace cvmin {

inline constexpr std::size_t max_ek_root_file_size = 64u << 10; // a vendor's roots and intermediates in one PEM file
inline constexpr std::size_t max_ek_authorities = 64;           // certificates in all such files

// Authorities in whose word about EKs the relying party believes. A self-issued certificate is a root, every other one
// an intermediate that still needs a root above it.
class EkAuthorities {
  public:
    EkAuthorities();
    EkAuthorities(const EkAuthorities &) = default; // shares the certificates
    EkAuthorities &operator=(const EkAuthorities &) = default;
    EkAuthorities(EkAuthorities &&) noexcept = default;
    EkAuthorities &operator=(EkAuthorities &&) noexcept = default;
    ~EkAuthorities();

    // Adds what a file holds: one certificate in DER, or one or more in PEM. malformed: no certificate, or one that
    // cannot be read; trailing: bytes after the DER; too_large: the file, or more than max_ek_authorities.
    Result<void> add(ByteView der_or_pem);
    bool has_root() const;
    std::size_t size() const;

    struct Impl;
    const Impl &impl() const { return *impl_; }

  private:
    std::shared_ptr<const Impl> impl_;
};

struct EkProblem { // for people; a certificate that does not hold is a verdict and not an error
    std::string found;
    std::string wanted;
};

struct EkIdentity {           // as the certificate says it; printable, one line each
    std::string manufacturer; // TCG's four characters of tpmManufacturer "id:474F4F47": "GOOG"; else the text itself
    std::string model;        // tpmModel
    std::string version;      // tpmVersion: "id:20160511"
    std::string path;         // "EK <- intermediate <- root"
};

// `certificate` (DER) is about the key of `ek_public` (TPMT_PUBLIC), an EK certificate by TCG's profile, and chains to
// a root of `authorities`, every certificate valid at `now`:
//  - X.509 version 3, nothing behind its end, of at most max_ek_certificate_size bytes (common/evidence.hpp)
//  - its key is the EK: modulus and exponent, or curve and point. Not supported: keys marked as id-RSAES-OAEP.
//  - extended key usage 2.23.133.8.1 (tcg-kp-EKCertificate)
//  - key usage keyEncipherment (RSA), keyAgreement (ECC); no authority
//  - subject alternative name with a directory name that says manufacturer, model and version of the TPM; critical
//    where the subject is empty
//  - of each authority above it: basicConstraints CA, keyUsage keyCertSign; signatures and keys of 112 bits of security
//    or more
// Not looked at: revocation. The problem's texts name which of these did not hold.
std::expected<EkIdentity, EkProblem> check_ek_certificate(ByteView certificate, ByteView ek_public,
                                                          const EkAuthorities &authorities, std::time_t now);

// Manufacturer, model and version of a certificate that nobody has judged; malformed.
Result<EkIdentity> describe_ek_certificate(ByteView certificate);

} // namespace cvmin
