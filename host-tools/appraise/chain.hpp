// Who vouches for a report's signing key: VEK <- ASK or ASVK <- ARK, every link checked on its own and explained.
// AMD's three ARKs are pinned; AMD's intermediates are carried, so a chain verifies offline. An ARK that evidence
// brings along is never believed: an emulated one must be given by the caller, byte for byte.
#pragma once

#include "common/cert_table.hpp"
#include "common/vek_cert.hpp"

#include <ctime>
#include <expected>
#include <memory>
#include <optional>
#include <string>

namespace cvmin {

struct ChainProblem { // for people; a chain that does not hold is a verdict and not an error
    std::string found;
    std::string wanted;
};

struct TrustedChain {
    bool emulated = false;          // ends at the emulated ARK that the caller named
    std::optional<Product> product; // whose root it is; nothing for an emulated one
    std::optional<VekKind> kind;    // what AMD's intermediate signs; nothing for an emulated one
    std::shared_ptr<const X509Certificate> intermediate;
    std::shared_ptr<const X509Certificate> ark;
    std::string path; // "SEV-VCEK <- SEV-Milan <- ARK-Milan"
};

// `vek` as found in evidence; `table` may bring an intermediate, which then must chain to a pinned ARK like AMD's own.
// Of each link: issuer and subject are the same name, RSA-4096, RSASSA-PSS with SHA-384 and 48 bytes of salt, the
// issuer may sign certificates and the key below may not, all are valid at `now`.
std::expected<TrustedChain, ChainProblem> verify_chain(const X509Certificate &vek, const CertTable &table,
                                                       const std::optional<Bytes> &emulated_ark, std::time_t now);

// `crl` in DER: issued and signed by the chain's ARK, current at `now`, and lists neither the intermediate nor the ARK.
// Gives what was found, for the verdict.
std::expected<std::string, ChainProblem> check_revocation(ByteView crl, const TrustedChain &chain, std::time_t now);

// SHA-256 of a certificate's SubjectPublicKeyInfo.
Sha256Digest spki_digest(const X509Certificate &certificate);

// A carried certificate of AMD's, for tests and documents.
struct AmdCertificate {
    Product product;
    std::string_view role; // "ARK", "ASK", "ASVK"
    std::shared_ptr<const X509Certificate> certificate;
};
std::span<const AmdCertificate> amd_certificates();

} // namespace cvmin
