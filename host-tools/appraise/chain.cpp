#include "host-tools/appraise/chain.hpp"

#include "amd_roots.hpp"
#include "host-tools/appraise/rsa_pss.hpp"

#include <mbedtls/oid.h>
#include <mbedtls/pk.h>

#include <cstdlib>
#include <vector>

namespace cvmin {

using Problem = std::optional<ChainProblem>; // nothing: the check passed

// ---- AMD's certificates -----------------------------------------------------------------------------------------

Sha256Digest spki_digest(const X509Certificate &certificate) {
    return sha256(certificate.spki());
}

// The pins: SHA-256 of the SubjectPublicKeyInfo of each ARK.
static std::string_view pinned_ark(Product product) {
    switch (product) {
    case Product::milan:
        return "9f056bee44377e29308cb5ffa895bdfb62d18881fa6bed8d6f075b0204089cb9";
    case Product::genoa:
        return "429a69c9422aa258ee4d8db5fcda9c6470ef15f8cd5a9cebd6cbc7d90b863831";
    case Product::turin:
        return "4f125410563a2ab9a50356f9243f6fe0b6f73de98603f53f90339c70e9d7ad08";
    }
    return {};
}

static AmdCertificate carried(Product product, std::string_view role, std::span<const unsigned char> der) {
    auto certificate = X509Certificate::parse(std::as_bytes(der), "amd_root");
    // only a broken build gets here: without its roots nothing can be appraised
    if (!certificate || (role == "ARK" && hex(spki_digest(*certificate)) != pinned_ark(product)))
        std::abort();
    return {product, role, std::make_shared<const X509Certificate>(std::move(*certificate))};
}

std::span<const AmdCertificate> amd_certificates() {
    static const std::vector<AmdCertificate> all = {
        carried(Product::milan, "ARK", roots::ark_milan),   carried(Product::milan, "ASK", roots::ask_milan),
        carried(Product::milan, "ASVK", roots::asvk_milan), carried(Product::genoa, "ARK", roots::ark_genoa),
        carried(Product::genoa, "ASK", roots::ask_genoa),   carried(Product::genoa, "ASVK", roots::asvk_genoa),
        carried(Product::turin, "ARK", roots::ark_turin),   carried(Product::turin, "ASK", roots::ask_turin),
        carried(Product::turin, "ASVK", roots::asvk_turin),
    };
    return all;
}

// ---- what is asked of one certificate -----------------------------------------------------------------------------

static std::string text_of(const mbedtls_x509_time &time) {
    char text[96];
    std::snprintf(text, sizeof text, "%04d-%02d-%02dT%02d:%02d:%02dZ", time.year, time.mon, time.day, time.hour,
                  time.min, time.sec);
    return text;
}

static mbedtls_x509_time time_of(std::time_t now) {
    std::tm utc{};
    gmtime_r(&now, &utc);
    return {.year = utc.tm_year + 1900,
            .mon = utc.tm_mon + 1,
            .day = utc.tm_mday,
            .hour = utc.tm_hour,
            .min = utc.tm_min,
            .sec = utc.tm_sec};
}

static auto order_of(const mbedtls_x509_time &time) {
    return std::array{time.year, time.mon, time.day, time.hour, time.min, time.sec};
}

static Problem check_period(std::string_view what, const mbedtls_x509_time &from, const mbedtls_x509_time &to,
                            std::time_t now) {
    const mbedtls_x509_time at = time_of(now);
    if (order_of(at) < order_of(from) || order_of(to) < order_of(at))
        return ChainProblem{std::string{what} + " is valid from " + text_of(from) + " to " + text_of(to),
                            "valid at " + text_of(at)};
    return std::nullopt;
}

static bool is_rsa_4096(const mbedtls_pk_context &pk) {
    return mbedtls_pk_get_type(&pk) == MBEDTLS_PK_RSA && mbedtls_pk_get_bitlen(&pk) == 4096;
}

// mbedTLS finds every usage allowed where the extension is missing. All of AMD's authorities have it.
static bool may(const X509Certificate &authority, unsigned usage) {
    return mbedtls_x509_crt_has_ext_type(&authority.get(), MBEDTLS_X509_EXT_KEY_USAGE) != 0 &&
           mbedtls_x509_crt_check_key_usage(&authority.get(), usage) == 0;
}

// An ARK, ASK or ASVK: may sign certificates.
static Problem check_authority(const X509Certificate &authority, std::time_t now) {
    const std::string name = authority.subject_name();
    if (!is_rsa_4096(authority.get().pk))
        return ChainProblem{name + " has a key of another kind", "RSA-4096"};
    if (mbedtls_x509_crt_get_ca_istrue(&authority.get()) != 1)
        return ChainProblem{name + " is no certificate authority", "basicConstraints CA"};
    if (!may(authority, MBEDTLS_X509_KU_KEY_CERT_SIGN))
        return ChainProblem{name + " may not sign certificates", "keyUsage keyCertSign"};
    return check_period(name, authority.get().valid_from, authority.get().valid_to, now);
}

// ---- signatures -----------------------------------------------------------------------------------------------------

namespace {

struct Signed { // SEQUENCE { to-be-signed, AlgorithmIdentifier, BIT STRING }: a certificate or a CRL
    ByteView tbs;
    ByteView algorithm;
    ByteView signature;
};

} // namespace

static std::optional<Signed> split(ByteView der) {
    constexpr int sequence = MBEDTLS_ASN1_CONSTRUCTED | MBEDTLS_ASN1_SEQUENCE;
    auto *at = const_cast<unsigned char *>(u8(der)); // mbedTLS reads through a pointer to non-const
    const unsigned char *end = at + der.size();
    const auto view = [](const unsigned char *from, const unsigned char *to) {
        return ByteView{reinterpret_cast<const std::byte *>(from), static_cast<std::size_t>(to - from)};
    };
    std::size_t length = 0;
    if (mbedtls_asn1_get_tag(&at, end, &length, sequence) != 0 || at + length != end)
        return std::nullopt;
    Signed out;
    const unsigned char *from = at;
    if (mbedtls_asn1_get_tag(&at, end, &length, sequence) != 0)
        return std::nullopt;
    at += length;
    out.tbs = view(from, at);
    from = at;
    if (mbedtls_asn1_get_tag(&at, end, &length, sequence) != 0)
        return std::nullopt;
    at += length;
    out.algorithm = view(from, at);
    if (mbedtls_asn1_get_bitstring_null(&at, end, &length) != 0 || at + length != end)
        return std::nullopt;
    out.signature = view(at, end);
    return out;
}

// AlgorithmIdentifier of RSASSA-PSS, SHA-384, MGF1 with SHA-384, 48 bytes of salt. AMD's certificates write the default
// trailer field out or leave it away, depending on their age; no other encoding is known, and none is accepted.
static bool is_pss_sha384(ByteView algorithm) {
    static const auto encodings = std::to_array<std::string_view>(
        {"304106092a864886f70d01010a3034a00f300d06096086480165030402020500a11c301a06092a864886f70d010108300d0609608648"
         "0165030402020500a203020130",
         "304606092a864886f70d01010a3039a00f300d06096086480165030402020500a11c301a06092a864886f70d010108300d0609608648"
         "0165030402020500a203020130a303020101"});
    const std::string found = hex(algorithm);
    return std::ranges::find(encodings, found) != encodings.end();
}

static Problem check_signature(const std::string &what, ByteView der, const X509Certificate &signer) {
    const std::optional<Signed> parts = split(der);
    if (!parts)
        return ChainProblem{what + " is not a signed DER structure", "X.509"};
    if (!is_pss_sha384(parts->algorithm))
        return ChainProblem{what + " has another signature algorithm",
                            "RSASSA-PSS, SHA-384, MGF1 with SHA-384, salt 48"};
    if (!is_rsa_4096(signer.get().pk))
        return ChainProblem{signer.subject_name() + " has a key of another kind", "RSA-4096"};
    const Sha384Digest digest = sha384(parts->tbs);
    if (!verify_rsa_pss(*mbedtls_pk_rsa(signer.get().pk), digest, parts->signature))
        return ChainProblem{"the signature of " + what + " does not verify", "signed by " + signer.subject_name()};
    return std::nullopt;
}

static Problem check_link(const X509Certificate &child, const X509Certificate &parent) {
    if (!equal(child.issuer(), parent.subject()))
        return ChainProblem{child.subject_name() + " names another issuer: " + child.issuer_name(),
                            "issued by " + parent.subject_name()};
    return check_signature(child.subject_name(), child.der(), parent);
}

static Problem check_authorities(const X509Certificate &intermediate, const X509Certificate &ark, std::time_t now) {
    if (auto problem = check_link(intermediate, ark))
        return problem;
    if (auto problem = check_link(ark, ark))
        return problem;
    if (auto problem = check_authority(intermediate, now))
        return problem;
    return check_authority(ark, now);
}

static Problem check_path(const X509Certificate &vek, const X509Certificate &intermediate, const X509Certificate &ark,
                          std::time_t now) {
    if (mbedtls_x509_crt_get_ca_istrue(&vek.get()) == 1)
        return ChainProblem{vek.subject_name() + " is a certificate authority", "an end entity"};
    if (auto problem = check_link(vek, intermediate))
        return problem;
    if (auto problem = check_period(vek.subject_name(), vek.get().valid_from, vek.get().valid_to, now))
        return problem;
    return check_authorities(intermediate, ark, now);
}

static std::string path_of(const X509Certificate &vek, const X509Certificate &intermediate,
                           const X509Certificate &ark) {
    return vek.subject_name() + " <- " + intermediate.subject_name() + " <- " + ark.subject_name();
}

// ---- the chain ----------------------------------------------------------------------------------------------------

static std::shared_ptr<const X509Certificate> from_table(ByteView entry, std::string_view where) {
    if (entry.empty())
        return nullptr;
    const auto der = certificate_der(entry, where);
    if (!der)
        return nullptr;
    auto parsed = X509Certificate::parse(*der, where);
    if (!parsed)
        return nullptr;
    return std::make_shared<const X509Certificate>(std::move(*parsed));
}

std::vector<AmdIntermediate> amd_intermediates(const X509Certificate &vek,
                                               const std::shared_ptr<const X509Certificate> &brought,
                                               Revocation revocation, Intermediates own) {
    std::vector<AmdIntermediate> out;
    for (const AmdCertificate &carried : amd_certificates()) {
        if (carried.role == "ARK" || !equal(carried.certificate->subject(), vek.issuer()))
            continue;
        const VekKind kind = carried.role == "ASVK" ? VekKind::vlek : VekKind::vcek;
        out.push_back({carried.product, kind, carried.certificate});
        for (const auto &certificate : own)
            if (equal(certificate->subject(), vek.issuer()) && !equal(certificate->der(), carried.certificate->der()))
                out.push_back({carried.product, kind, certificate});
        if (revocation == Revocation::required && brought && equal(brought->subject(), vek.issuer()) &&
            !equal(brought->der(), carried.certificate->der()))
            out.push_back({carried.product, kind, brought});
    }
    return out;
}

std::expected<TrustedChain, ChainProblem> verify_chain(const X509Certificate &vek, const CertTable &table,
                                                       const std::optional<Bytes> &emulated_ark, std::time_t now,
                                                       Revocation revocation, Intermediates own) {
    const auto brought = from_table(table.ask, "cert_table.ask");
    Problem first;
    const auto attempt = [&](const std::shared_ptr<const X509Certificate> &intermediate,
                             const std::shared_ptr<const X509Certificate> &ark) {
        auto problem = check_path(vek, *intermediate, *ark, now);
        if (!problem)
            return true;
        if (!first)
            first = std::move(problem);
        return false;
    };

    for (const AmdIntermediate &candidate : amd_intermediates(vek, brought, revocation, own)) {
        const auto ark = std::ranges::find_if(amd_certificates(), [&](const AmdCertificate &certificate) {
            return certificate.role == "ARK" && certificate.product == candidate.product;
        });
        if (attempt(candidate.certificate, ark->certificate))
            return TrustedChain{.emulated = false,
                                .product = candidate.product,
                                .kind = candidate.kind,
                                .intermediate = candidate.certificate,
                                .ark = ark->certificate,
                                .path = path_of(vek, *candidate.certificate, *ark->certificate)};
    }

    // emulated: only under the very ARK that the caller named; what evidence calls its ARK plays no part
    if (emulated_ark) {
        auto parsed = X509Certificate::parse(*emulated_ark, "emulated_ark");
        if (!parsed)
            return std::unexpected(ChainProblem{to_string(parsed.error()), "a DER certificate of an emulated ARK"});
        const auto ark = std::make_shared<const X509Certificate>(std::move(*parsed));
        std::vector<std::shared_ptr<const X509Certificate>> candidates(own.begin(), own.end());
        if (brought)
            candidates.push_back(brought);
        if (candidates.empty())
            return std::unexpected(
                ChainProblem{"the certificate table has no readable ASK", "an ASK issued by " + ark->subject_name()});
        first.reset(); // AMD's intermediates may share a name with the emulated ones: their problem is not ours
        for (const auto &candidate : candidates)
            if (attempt(candidate, ark))
                return TrustedChain{.emulated = true,
                                    .product = std::nullopt,
                                    .kind = std::nullopt,
                                    .intermediate = candidate,
                                    .ark = ark,
                                    .path = "EMULATED: " + path_of(vek, *candidate, *ark)};
    }

    if (first)
        return std::unexpected(std::move(*first));
    std::string found = vek.subject_name() + " is issued by " + vek.issuer_name() + ", no AMD intermediate";
    if (const auto claimed = from_table(table.ark, "cert_table.ark"))
        found += "; the evidence's own root is " + claimed->subject_name() + " (SPKI SHA-256 " +
                 hex(spki_digest(*claimed)) + ")";
    return std::unexpected(ChainProblem{std::move(found), "a chain to a pinned AMD ARK"});
}

std::expected<TrustedChain, ChainProblem>
verify_intermediate(const std::shared_ptr<const X509Certificate> &intermediate, Product product,
                    const std::optional<Bytes> &emulated_ark, std::time_t now) {
    TrustedChain chain{.emulated = emulated_ark.has_value(),
                       .product = std::nullopt,
                       .kind = std::nullopt,
                       .intermediate = intermediate,
                       .ark = nullptr,
                       .path = {}};
    if (emulated_ark) {
        auto parsed = X509Certificate::parse(*emulated_ark, "emulated_ark");
        if (!parsed)
            return std::unexpected(ChainProblem{to_string(parsed.error()), "a DER certificate of an emulated ARK"});
        chain.ark = std::make_shared<const X509Certificate>(std::move(*parsed));
    } else {
        for (const AmdCertificate &carried : amd_certificates()) {
            if (carried.product != product)
                continue;
            if (carried.role == "ARK")
                chain.ark = carried.certificate;
            else if (equal(carried.certificate->subject(), intermediate->subject()))
                chain.kind = carried.role == "ASVK" ? VekKind::vlek : VekKind::vcek;
        }
        chain.product = product;
        if (!chain.kind)
            return std::unexpected(ChainProblem{intermediate->subject_name() + " has no name of AMD's intermediates",
                                                "the ASK or ASVK of " + std::string{name(product)}});
    }
    if (auto problem = check_authorities(*intermediate, *chain.ark, now))
        return std::unexpected(std::move(*problem));
    chain.path = std::string{chain.emulated ? "EMULATED: " : ""} + intermediate->subject_name() + " <- " +
                 chain.ark->subject_name();
    return chain;
}

// ---- revocation -----------------------------------------------------------------------------------------------------

static ByteView view(const mbedtls_x509_buf &buffer) {
    return {reinterpret_cast<const std::byte *>(buffer.p), buffer.len};
}

std::expected<void, ChainProblem> check_crl(const RevocationList &list, const X509Certificate &ark, std::time_t now,
                                            std::optional<std::uint32_t> max_age_days) {
    constexpr std::time_t day = 24 * 60 * 60;
    const std::string name = ark.subject_name();
    // the list of another product's ARK says nothing about this chain
    if (!equal(list.issuer(), ark.subject()))
        return std::unexpected(ChainProblem{"a CRL of another issuer", "a CRL of " + name});
    if (!may(ark, MBEDTLS_X509_KU_CRL_SIGN))
        return std::unexpected(ChainProblem{name + " may not sign CRLs", "keyUsage cRLSign"});
    if (auto problem = check_signature("the CRL", list.der(), ark))
        return std::unexpected(std::move(*problem));
    // a list without an end would let a host replay an old one for ever
    if (!list.next_update())
        return std::unexpected(ChainProblem{"a CRL without next update", "a CRL with an end"});
    if (auto problem = check_period("the CRL", list.get().this_update, list.get().next_update, now))
        return std::unexpected(std::move(*problem));
    // AMD's lists are valid for long; a shorter limit catches one that was held back
    if (max_age_days && now - list.this_update() > day * *max_age_days)
        return std::unexpected(
            ChainProblem{"the CRL is of " + text_of(list.get().this_update),
                         "at most " + std::to_string(*max_age_days) + " days old at " + text_of(time_of(now))});
    return {};
}

std::expected<std::string, ChainProblem> check_revocation(const RevocationList &list, const TrustedChain &chain,
                                                          std::time_t now, std::optional<std::uint32_t> max_age_days) {
    CVMIN_CHECK(check_crl(list, *chain.ark, now, max_age_days));
    for (const mbedtls_x509_crl_entry *entry = &list.get().entry; entry != nullptr && entry->raw.len != 0;
         entry = entry->next)
        for (const auto &certificate : {chain.intermediate, chain.ark})
            if (equal(view(entry->serial), view(certificate->get().serial)))
                return std::unexpected(ChainProblem{certificate->subject_name() + " (serial " +
                                                        hex(view(entry->serial)) + ") is revoked since " +
                                                        text_of(entry->revocation_date),
                                                    "not revoked"});
    return "CRL of " + chain.ark->subject_name() + " of " + text_of(list.get().this_update) + " lists " +
           std::to_string(list.entries()) + " serials, none of this chain";
}

std::expected<std::string, ChainProblem> check_revocation(ByteView crl, const TrustedChain &chain, std::time_t now,
                                                          std::optional<std::uint32_t> max_age_days) {
    const std::string wanted = "a CRL of " + chain.ark->subject_name();
    if (crl.empty())
        return std::unexpected(ChainProblem{"no CRL in the certificate table", wanted});
    const auto list = RevocationList::parse(crl, "crl");
    if (!list)
        return std::unexpected(ChainProblem{"a CRL that cannot be read", wanted + " in DER or PEM"});
    return check_revocation(*list, chain, now, max_age_days);
}

} // namespace cvmin
