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
#include <vector>

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

enum class Revocation : std::uint8_t { skip, required }; // required: the caller goes on with check_revocation()

// `vek` as found in evidence. Of each link: issuer and subject are the same name, RSA-4096, RSASSA-PSS with SHA-384 and
// 48 bytes of salt, the issuer has a keyUsage with keyCertSign and the key below is no authority, all are valid at
// `now`. Under AMD's roots the intermediate is a carried one; one that `table` brings counts only where revocation is
// required, because AMD's signature alone does not tell a newer intermediate from a withdrawn one.
std::expected<TrustedChain, ChainProblem> verify_chain(const X509Certificate &vek, const CertTable &table,
                                                       const std::optional<Bytes> &emulated_ark, std::time_t now,
                                                       Revocation revocation = Revocation::skip);

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

// What verify_chain() tries under AMD's roots for a certificate with this issuer, in this order. Nothing here has been
// verified yet: `certificate` may be one that the host brought.
struct AmdIntermediate {
    Product product;
    VekKind kind;
    std::shared_ptr<const X509Certificate> certificate;
};
std::vector<AmdIntermediate> amd_intermediates(const X509Certificate &vek,
                                               const std::shared_ptr<const X509Certificate> &brought,
                                               Revocation revocation);

} // namespace cvmin
