// Who vouches for a report's signing key: VEK <- ASK or ASVK <- ARK, every link checked on its own and explained.
// AMD's three ARKs are pinned; AMD's intermediates are carried, so a chain verifies offline. An ARK that evidence
// brings along is never believed: an emulated one must be given by the caller, byte for byte.
#pragma once

#include "common/cert_table.hpp"
#include "common/vek_cert.hpp"
#include "host-tools/appraise/crl.hpp"

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

// Intermediates that the relying party brings itself, in a file that it trusts: tried under the same roots.
using Intermediates = std::span<const std::shared_ptr<const X509Certificate>>;

// `vek` as found in evidence. Of each link: issuer and subject are the same name, RSA-4096, RSASSA-PSS with SHA-384 and
// 48 bytes of salt, the issuer has a keyUsage with keyCertSign and the key below is no authority, all are valid at
// `now`. Under AMD's roots the intermediate is a carried one; one that `table` brings counts only where revocation is
// required, because AMD's signature alone does not tell a newer intermediate from a withdrawn one; one of `own` counts
// always, because the relying party says so.
std::expected<TrustedChain, ChainProblem> verify_chain(const X509Certificate &vek, const CertTable &table,
                                                       const std::optional<Bytes> &emulated_ark, std::time_t now,
                                                       Revocation revocation = Revocation::skip,
                                                       Intermediates own = {});

// The part above a VEK: `intermediate` is AMD's ASK or ASVK of `product`, under that product's pinned ARK; or, when an
// emulated ARK is given, it is issued by that one. The same demands of each link; `path` begins with the intermediate.
std::expected<TrustedChain, ChainProblem>
verify_intermediate(const std::shared_ptr<const X509Certificate> &intermediate, Product product,
                    const std::optional<Bytes> &emulated_ark, std::time_t now);

// `list` is issued and signed by `ark`, current at `now`, and not older than `max_age_days`, if that is given.
std::expected<void, ChainProblem> check_crl(const RevocationList &list, const X509Certificate &ark, std::time_t now,
                                            std::optional<std::uint32_t> max_age_days = std::nullopt);
// The same of the chain's ARK, and the list names neither the intermediate nor the ARK. Gives what was found, for the
// verdict. A VEK cannot be on it: an ARK's list is about what the ARK issued, and all of AMD's VCEKs have serial 0.
std::expected<std::string, ChainProblem> check_revocation(const RevocationList &list, const TrustedChain &chain,
                                                          std::time_t now,
                                                          std::optional<std::uint32_t> max_age_days = std::nullopt);
// Of a list in DER or PEM, as a host brings it; empty: there is none.
std::expected<std::string, ChainProblem> check_revocation(ByteView crl, const TrustedChain &chain, std::time_t now,
                                                          std::optional<std::uint32_t> max_age_days = std::nullopt);

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
                                               Revocation revocation, Intermediates own = {});

} // namespace cvmin
