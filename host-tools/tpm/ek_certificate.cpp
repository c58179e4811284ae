#define OPENSSL_SUPPRESS_DEPRECATED // d2i_RSAPublicKey, for the numbers of an RSA key and nothing else
#include "host-tools/tpm/ek_certificate.hpp"

#include "common/evidence.hpp"
#include "common/tpm.hpp"
#include "host-tools/base/text.hpp"
#include "host-tools/tpm/openssl.hpp"

#include <openssl/pem.h>
#include <openssl/rsa.h>

#include <algorithm>

namespace cvmin {

namespace {

using Problem = std::unexpected<EkProblem>;

// TCG EK Credential Profile 2.5, 3.2 and A: object identifiers below 2.23.133.
constexpr const char *oid_ek_certificate = "2.23.133.8.1"; // tcg-kp-EKCertificate
constexpr const char *oid_manufacturer = "2.23.133.2.1";   // tcg-at-tpmManufacturer
constexpr const char *oid_model = "2.23.133.2.2";          // tcg-at-tpmModel
constexpr const char *oid_version = "2.23.133.2.3";        // tcg-at-tpmVersion
constexpr int security_level = 2;                          // libcrypto's: 112 bits, so RSA-2048, P-256, SHA-224 or more
constexpr int max_depth = 6; // authorities between an EK certificate and its root: vendors have one or two
constexpr long x509_version_3 = 2;
constexpr std::size_t max_name_text = 160;

Problem problem(std::string found, std::string wanted) {
    ERR_clear_error();
    return Problem{EkProblem{std::move(found), std::move(wanted)}};
}

std::string shortened(std::string text) {
    text = printable_line(std::move(text));
    if (text.size() > max_name_text)
        text.resize(max_name_text);
    return text;
}

// ---- parsing --------------------------------------------------------------------------------------------------------

// In our context; `rest` is what stands behind the certificate.
openssl::Certificate parse_der(ByteView der, ByteView &rest) {
    X509 *made = X509_new_ex(openssl::context(), nullptr);
    const unsigned char *at = u8(der);
    if (made == nullptr || d2i_X509(&made, &at, static_cast<long>(der.size())) == nullptr) {
        ERR_clear_error();
        return nullptr; // d2i_X509 has freed it
    }
    rest = der.subspan(static_cast<std::size_t>(at - u8(der)));
    return openssl::Certificate{made};
}

std::string name_text(const X509_NAME *name) { // the common name, else all of it
    const int at = X509_NAME_get_index_by_NID(name, NID_commonName, -1);
    if (at >= 0) {
        const ASN1_STRING *text = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at));
        return shortened({reinterpret_cast<const char *>(ASN1_STRING_get0_data(text)),
                          static_cast<std::size_t>(ASN1_STRING_length(text))});
    }
    char line[256];
    if (X509_NAME_oneline(name, line, sizeof line) == nullptr || line[0] == 0)
        return "(no subject)";
    return shortened(line);
}

std::string time_text(const ASN1_TIME *time) {
    std::tm at{};
    char out[96];
    if (ASN1_TIME_to_tm(time, &at) != 1)
        return "(unreadable time)";
    std::snprintf(out, sizeof out, "%04d-%02d-%02dT%02d:%02d:%02dZ", at.tm_year + 1900, at.tm_mon + 1, at.tm_mday,
                  at.tm_hour, at.tm_min, at.tm_sec);
    return out;
}
std::string time_text(std::time_t time) {
    const openssl::Owner<ASN1_TIME, ASN1_STRING_free> at{ASN1_TIME_set(nullptr, time)};
    return at ? time_text(at.get()) : std::string{"(no time)"};
}

// ---- what the certificate says of the TPM ---------------------------------------------------------------------------

std::string attribute(const X509_NAME *name, const char *oid) {
    const openssl::Object type{OBJ_txt2obj(oid, 1)};
    const int at = type ? X509_NAME_get_index_by_OBJ(name, type.get(), -1) : -1;
    if (at < 0)
        return {};
    const ASN1_STRING *text = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at));
    return shortened({reinterpret_cast<const char *>(ASN1_STRING_get0_data(text)),
                      static_cast<std::size_t>(ASN1_STRING_length(text))});
}

// TCG Vendor ID Registry: "id:" and four characters in hexadecimal, padded with zeros: "id:474F4F47" is "GOOG".
std::string manufacturer_text(std::string text) {
    if (!text.starts_with("id:"))
        return text;
    const auto bytes = parse_hex(std::string_view{text}.substr(3), "manufacturer");
    if (!bytes || bytes->size() != 4)
        return text;
    std::string out{as_text(*bytes)};
    while (!out.empty() && (out.back() == 0 || out.back() == ' '))
        out.pop_back();
    if (out.empty() || !std::ranges::all_of(out, [](char c) { return c > ' ' && c < 0x7f; }))
        return text; // not characters: "id:00001014" of IBM
    return out;
}

struct Alternative {
    bool present = false;
    bool critical = false;
    EkIdentity identity; // path is empty
};

Alternative alternative_name(X509 *certificate) {
    Alternative out;
    int critical = -1;
    const openssl::Names names{
        static_cast<GENERAL_NAMES *>(X509_get_ext_d2i(certificate, NID_subject_alt_name, &critical, nullptr))};
    out.critical = critical == 1;
    for (int i = 0; names && i < sk_GENERAL_NAME_num(names.get()); ++i) {
        const GENERAL_NAME *entry = sk_GENERAL_NAME_value(names.get(), i);
        if (entry->type != GEN_DIRNAME)
            continue;
        EkIdentity identity{.manufacturer = manufacturer_text(attribute(entry->d.directoryName, oid_manufacturer)),
                            .model = attribute(entry->d.directoryName, oid_model),
                            .version = attribute(entry->d.directoryName, oid_version),
                            .path = {}};
        if (out.present && identity.manufacturer.empty())
            continue; // the first with a manufacturer counts, else the first
        if (!out.present || out.identity.manufacturer.empty())
            out.identity = std::move(identity);
        out.present = true;
    }
    return out;
}

// ---- the key --------------------------------------------------------------------------------------------------------

struct SubjectKey {
    const X509_ALGOR *algorithm = nullptr;
    ByteView key; // RSAPublicKey, or a point
};

std::optional<SubjectKey> subject_key(const X509 *certificate) {
    const unsigned char *key = nullptr;
    int size = 0;
    X509_ALGOR *algorithm = nullptr;
    if (X509_PUBKEY_get0_param(nullptr, &key, &size, &algorithm, X509_get_X509_PUBKEY(certificate)) != 1 || size <= 0)
        return std::nullopt;
    return SubjectKey{algorithm, {reinterpret_cast<const std::byte *>(key), static_cast<std::size_t>(size)}};
}
int algorithm_of(const SubjectKey &key) {
    const ASN1_OBJECT *object = nullptr;
    X509_ALGOR_get0(&object, nullptr, nullptr, key.algorithm);
    return OBJ_obj2nid(object);
}

bool same_number(const BIGNUM *number, ByteView big_endian) {
    const openssl::Number other{BN_bin2bn(u8(big_endian), static_cast<int>(big_endian.size()), nullptr)};
    return number != nullptr && other && BN_cmp(number, other.get()) == 0;
}

bool is_rsa_key(const SubjectKey &key, const TpmtPublic &ek) {
    const unsigned char *at = u8(key.key);
    const openssl::Owner<RSA, RSA_free> rsa{d2i_RSAPublicKey(nullptr, &at, static_cast<long>(key.key.size()))};
    ByteArray<4> exponent;
    store_be(exponent, ek.rsa_exponent);
    return rsa && at == u8(key.key) + key.key.size() && same_number(RSA_get0_n(rsa.get()), ek.rsa_modulus) &&
           same_number(RSA_get0_e(rsa.get()), exponent);
}

bool is_ecc_key(const SubjectKey &key, const TpmtPublic &ek) {
    const void *value = nullptr;
    int type = 0;
    X509_ALGOR_get0(nullptr, &type, &value, key.algorithm);
    int nid = NID_undef;
    std::size_t size = 0;
    switch (ek.curve) {
    case TpmCurve::p256:
        nid = NID_X9_62_prime256v1;
        size = 32;
        break;
    case TpmCurve::p384:
        nid = NID_secp384r1;
        size = 48;
        break;
    case TpmCurve::p521:
        nid = NID_secp521r1;
        size = 66;
        break;
    default:
        return false;
    }
    if (type != V_ASN1_OBJECT || OBJ_obj2nid(static_cast<const ASN1_OBJECT *>(value)) != nid)
        return false;
    if (key.key.size() != 1 + 2 * size || key.key[0] != std::byte{4} || ek.x.size() > size || ek.y.size() > size)
        return false;
    return same_number(openssl::Number{BN_bin2bn(u8(key.key.subspan(1, size)), static_cast<int>(size), nullptr)}.get(),
                       ek.x) &&
           same_number(openssl::Number{BN_bin2bn(u8(key.key.subspan(1 + size)), static_cast<int>(size), nullptr)}.get(),
                       ek.y);
}

std::expected<void, EkProblem> check_key(const X509 *certificate, ByteView ek_public) {
    const auto ek = parse_public(ek_public);
    if (!ek)
        return problem("an EK that cannot be read: " + to_string(ek.error()), "a TPMT_PUBLIC");
    const auto key = subject_key(certificate);
    if (!key)
        return problem("a certificate without a readable key", "the EK's");
    const int algorithm = algorithm_of(*key);
    if (algorithm == NID_rsaesOaep) // some older TPMs' (Infineon SLB 9665); libcrypto checks no chain of such a one
        return problem("a certificate of a key that is marked id-RSAES-OAEP, which is not supported", "rsaEncryption");
    const bool rsa = algorithm == NID_rsaEncryption;
    if (!rsa && algorithm != NID_X9_62_id_ecPublicKey)
        return problem("a certificate of a key that is neither RSA nor ECC", "the EK's");
    if (rsa != (ek->type == TpmAlgId::rsa))
        return problem(rsa ? "a certificate of an RSA key, and an ECC EK"
                           : "a certificate of an ECC key, and an RSA EK",
                       "a certificate of the evidence's EK");
    if (rsa ? !is_rsa_key(*key, *ek) : !is_ecc_key(*key, *ek))
        return problem("a certificate of another key than the evidence's EK", "a certificate of this EK");
    return {};
}

// ---- TCG's profile
// ----------------------------------------------------------------------------------------------------

bool has_usage(X509 *certificate, const char *oid) {
    const openssl::Usages usages{
        static_cast<STACK_OF(ASN1_OBJECT) *>(X509_get_ext_d2i(certificate, NID_ext_key_usage, nullptr, nullptr))};
    const openssl::Object wanted{OBJ_txt2obj(oid, 1)};
    for (int i = 0; usages && wanted && i < sk_ASN1_OBJECT_num(usages.get()); ++i)
        if (OBJ_cmp(sk_ASN1_OBJECT_value(usages.get(), i), wanted.get()) == 0)
            return true;
    return false;
}

std::expected<EkIdentity, EkProblem> check_profile(X509 *certificate) {
    if (X509_get_version(certificate) != x509_version_3)
        return problem("an X.509 certificate of version " + std::to_string(X509_get_version(certificate) + 1),
                       "version 3");
    if ((X509_get_extension_flags(certificate) & EXFLAG_INVALID) != 0)
        return problem("extensions that are not well-formed, or twice the same", "RFC 5280");
    if ((X509_get_extension_flags(certificate) & EXFLAG_CA) != 0)
        return problem("a certificate authority", "basicConstraints without CA: an EK signs nothing");
    if (!has_usage(certificate, oid_ek_certificate))
        return problem("no extended key usage 2.23.133.8.1", "extended key usage tcg-kp-EKCertificate (2.23.133.8.1)");
    const auto key = subject_key(certificate);
    const bool ecc = key && algorithm_of(*key) == NID_X9_62_id_ecPublicKey;
    // libcrypto says "all" where the extension is missing; the profile demands it
    const bool stated = (X509_get_extension_flags(certificate) & EXFLAG_KUSAGE) != 0;
    const std::uint32_t usage = X509_get_key_usage(certificate);
    if (!stated || (usage & (ecc ? KU_KEY_AGREEMENT : KU_KEY_ENCIPHERMENT)) == 0)
        return problem(stated ? "a key usage without it (another key of the TPM than an EK has such a certificate)"
                              : "no key usage",
                       ecc ? "key usage keyAgreement" : "key usage keyEncipherment");
    Alternative alternative = alternative_name(certificate);
    if (!alternative.present)
        return problem("no subject alternative name with a directory name",
                       "the TPM's manufacturer, model and version in the subject alternative name");
    if (alternative.identity.manufacturer.empty() || alternative.identity.model.empty() ||
        alternative.identity.version.empty())
        return problem(std::string{"a subject alternative name without the TPM's "} +
                           (alternative.identity.manufacturer.empty() ? "manufacturer"
                            : alternative.identity.model.empty()      ? "model"
                                                                      : "version"),
                       "manufacturer, model and version");
    if (X509_NAME_entry_count(X509_get_subject_name(certificate)) == 0 && !alternative.critical)
        return problem("an empty subject, and a subject alternative name that is not critical",
                       "critical where the subject is empty");
    return std::move(alternative.identity);
}

// ---- the chain
// --------------------------------------------------------------------------------------------------------

bool self_issued(X509 *certificate) {
    return X509_NAME_cmp(X509_get_subject_name(certificate), X509_get_issuer_name(certificate)) == 0;
}

std::expected<void, EkProblem> check_authority(X509 *authority) {
    const std::string name = name_text(X509_get_subject_name(authority));
    // libcrypto takes old root certificates without the extension for authorities, too
    if ((X509_get_extension_flags(authority) & EXFLAG_CA) == 0)
        return problem(name + " is no certificate authority", "basicConstraints CA");
    if ((X509_get_extension_flags(authority) & EXFLAG_KUSAGE) == 0 ||
        (X509_get_key_usage(authority) & KU_KEY_CERT_SIGN) == 0)
        return problem(name + " may not sign certificates", "key usage keyCertSign");
    return {};
}

std::string wanted_for(int error, std::time_t now) {
    switch (error) {
    case X509_V_ERR_CERT_NOT_YET_VALID:
    case X509_V_ERR_CERT_HAS_EXPIRED:
        return "valid at " + time_text(now);
    case X509_V_ERR_EE_KEY_TOO_SMALL:
    case X509_V_ERR_CA_KEY_TOO_SMALL:
    case X509_V_ERR_CA_MD_TOO_WEAK:
        return "keys and signatures of 112 bits of security (RSA-2048, P-256, SHA-256)";
    default:
        return "a chain to a root of --ek-root";
    }
}

EkProblem chain_problem(const X509_STORE_CTX *context, std::time_t now) {
    const int error = X509_STORE_CTX_get_error(context);
    const X509 *at = X509_STORE_CTX_get_current_cert(context);
    std::string found = X509_verify_cert_error_string(error);
    if (at != nullptr) {
        const bool leaf = X509_STORE_CTX_get_error_depth(context) == 0;
        found = (leaf ? std::string{"the EK certificate"} : name_text(X509_get_subject_name(at))) + ": " + found;
        if (error == X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY || error == X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT)
            found += " (" + name_text(X509_get_issuer_name(at)) + ")";
        if (error == X509_V_ERR_CERT_NOT_YET_VALID || error == X509_V_ERR_CERT_HAS_EXPIRED)
            found +=
                " (valid from " + time_text(X509_get0_notBefore(at)) + " to " + time_text(X509_get0_notAfter(at)) + ")";
    }
    return {std::move(found), wanted_for(error, now)};
}

} // namespace

struct EkAuthorities::Impl {
    std::vector<std::shared_ptr<X509>> roots,
        intermediates; // shared: taking part in a chain changes nothing but caches
};

namespace {

std::expected<std::string, EkProblem> check_chain(X509 *certificate, const EkAuthorities &authorities,
                                                  std::time_t now) {
    if (!authorities.has_root())
        return problem("no root to believe in", "a root certificate by --ek-root");
    const openssl::Store store{X509_STORE_new()};
    const openssl::Certificates others{sk_X509_new_null()};
    const openssl::StoreContext context{X509_STORE_CTX_new_ex(openssl::context(), nullptr)};
    bool ready = store && others && context;
    for (const auto &root : authorities.impl().roots)
        ready = ready && X509_STORE_add_cert(store.get(), root.get()) == 1;
    for (const auto &intermediate : authorities.impl().intermediates)
        ready = ready && sk_X509_push(others.get(), intermediate.get()) > 0;
    if (!ready || X509_STORE_CTX_init(context.get(), store.get(), certificate, others.get()) != 1)
        return problem("the chain could not be looked at: libcrypto failed", "a chain to a root of --ek-root");
    X509_VERIFY_PARAM *parameters = X509_STORE_CTX_get0_param(context.get());
    X509_VERIFY_PARAM_set_time(parameters, now);
    X509_VERIFY_PARAM_set_auth_level(parameters, security_level);
    X509_VERIFY_PARAM_set_depth(parameters, max_depth);
    if (X509_verify_cert(context.get()) != 1) {
        EkProblem found = chain_problem(context.get(), now);
        return problem(std::move(found.found), std::move(found.wanted));
    }
    const STACK_OF(X509) *chain = X509_STORE_CTX_get0_chain(context.get());
    std::string path;
    for (int i = 1; i < sk_X509_num(chain); ++i) {
        X509 *authority = sk_X509_value(chain, i);
        CVMIN_CHECK(check_authority(authority));
        path += " <- " + name_text(X509_get_subject_name(authority));
    }
    return path;
}

} // namespace

// ---- the authorities of the caller --------------------------------------------------------------------------------

EkAuthorities::EkAuthorities() : impl_(std::make_shared<const Impl>()) {}
EkAuthorities::~EkAuthorities() = default;

bool EkAuthorities::has_root() const {
    return !impl_->roots.empty();
}
std::size_t EkAuthorities::size() const {
    return impl_->roots.size() + impl_->intermediates.size();
}

// The DER of each certificate of a PEM text.
static Result<std::vector<Bytes>> certificates_of(ByteView text) {
    const openssl::Owner<BIO, BIO_free> in{BIO_new_mem_buf(text.data(), static_cast<int>(text.size()))};
    std::vector<Bytes> out;
    for (;;) {
        char *kind = nullptr;
        char *header = nullptr;
        unsigned char *data = nullptr;
        long size = 0;
        const int read = in ? PEM_read_bio(in.get(), &kind, &header, &data, &size) : 0;
        if (read != 1)
            break;
        const bool certificate = std::string_view{kind} == "CERTIFICATE" && *header == 0;
        out.emplace_back(reinterpret_cast<std::byte *>(data), reinterpret_cast<std::byte *>(data) + size);
        OPENSSL_free(kind);
        OPENSSL_free(header);
        OPENSSL_free(data);
        if (!certificate || out.size() > max_ek_authorities)
            return openssl::failed(certificate ? Errc::too_large : Errc::malformed, "ek_root");
    }
    // at the end PEM_read_bio finds no further line that starts a block; anything else is a broken one
    const bool ended = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
    ERR_clear_error();
    if (out.empty() || !ended)
        return fail(Errc::malformed, "ek_root");
    return out;
}

Result<void> EkAuthorities::add(ByteView der_or_pem) {
    if (openssl::context() == nullptr)
        return fail(Errc::crypto, "libcrypto");
    if (der_or_pem.size() > max_ek_root_file_size)
        return fail(Errc::too_large, "ek_root", der_or_pem.size());
    std::vector<Bytes> all;
    if (!der_or_pem.empty() && der_or_pem.front() == std::byte{0x30}) {
        all.push_back(to_bytes(der_or_pem));
    } else {
        CVMIN_TRY(blocks, certificates_of(der_or_pem));
        all = std::move(blocks);
    }
    auto next = std::make_shared<Impl>(*impl_);
    for (const Bytes &der : all) {
        ByteView rest;
        openssl::Certificate certificate = parse_der(der, rest);
        if (!certificate)
            return fail(Errc::malformed, "ek_root");
        if (!rest.empty())
            return fail(Errc::trailing, "ek_root", der.size() - rest.size());
        auto &list = self_issued(certificate.get()) ? next->roots : next->intermediates;
        list.emplace_back(certificate.release(), X509_free);
    }
    if (next->roots.size() + next->intermediates.size() > max_ek_authorities)
        return fail(Errc::too_large, "ek_root", max_ek_authorities);
    impl_ = std::move(next);
    return {};
}

// ---- the whole
// ----------------------------------------------------------------------------------------------------------

Result<EkIdentity> describe_ek_certificate(ByteView certificate) {
    ByteView rest;
    if (certificate.size() > max_ek_certificate_size)
        return fail(Errc::too_large, "ek_certificate", certificate.size());
    const openssl::Certificate parsed = parse_der(certificate, rest);
    if (!parsed || !rest.empty())
        return fail(Errc::malformed, "ek_certificate");
    EkIdentity identity = alternative_name(parsed.get()).identity;
    identity.path =
        name_text(X509_get_subject_name(parsed.get())) + " <- " + name_text(X509_get_issuer_name(parsed.get()));
    ERR_clear_error();
    return identity;
}

std::expected<EkIdentity, EkProblem> check_ek_certificate(ByteView certificate, ByteView ek_public,
                                                          const EkAuthorities &authorities, std::time_t now) {
    if (openssl::context() == nullptr)
        return problem("libcrypto failed", "a certificate that can be looked at");
    if (certificate.empty())
        return problem("no EK certificate", "an EK certificate of a root of --ek-root");
    if (certificate.size() > max_ek_certificate_size)
        return problem("a certificate of " + std::to_string(certificate.size()) + " bytes",
                       "at most " + std::to_string(max_ek_certificate_size));
    ByteView rest;
    const openssl::Certificate parsed = parse_der(certificate, rest);
    if (!parsed)
        return problem("a certificate that cannot be read", "X.509 in DER");
    if (!rest.empty())
        return problem(std::to_string(rest.size()) + " bytes behind the certificate", "nothing");
    CVMIN_CHECK(check_key(parsed.get(), ek_public));
    CVMIN_TRY(identity, check_profile(parsed.get()));
    CVMIN_TRY(path, check_chain(parsed.get(), authorities, now));
    identity.path = "EK" + path;
    ERR_clear_error();
    return identity;
}

} // namespace cvmin
