// Certificates by mbedTLS; AMD's extensions by hand, each with its own bounds.
#include "common/vek_cert.hpp"

#include <mbedtls/ecp.h>
#include <mbedtls/oid.h>
#include <mbedtls/pk.h>

#include <cstring>

namespace cvmin {

static ByteView view(const mbedtls_x509_buf &buffer) {
    return {reinterpret_cast<const std::byte *>(buffer.p), buffer.len};
}

Result<Bytes> certificate_der(ByteView der_or_pem, std::string_view where) {
    constexpr std::string_view begin = "-----BEGIN CERTIFICATE-----";
    constexpr std::string_view end = "-----END CERTIFICATE-----";
    constexpr std::string_view blank = " \t\r\n";
    if (der_or_pem.size() > max_certificate_size)
        return fail(Errc::too_large, where, der_or_pem.size());
    std::string_view text = as_text(der_or_pem);
    text.remove_prefix(std::min(text.find_first_not_of(blank), text.size()));
    if (!text.starts_with(begin))
        return to_bytes(der_or_pem);
    text.remove_prefix(begin.size());
    const std::size_t stop = text.find(end);
    if (stop == text.npos || text.find_first_not_of(blank, stop + end.size()) != text.npos)
        return fail(Errc::malformed, where);
    std::string base64_text;
    for (const char c : text.substr(0, stop))
        if (!blank.contains(c))
            base64_text += c;
    return parse_base64(base64_text, where);
}

void X509Certificate::Free::operator()(mbedtls_x509_crt *crt) const {
    mbedtls_x509_crt_free(crt);
    delete crt;
}

Result<X509Certificate> X509Certificate::parse(ByteView der, std::string_view where) {
    if (der.size() > max_certificate_size)
        return fail(Errc::too_large, where, der.size());
    X509Certificate certificate;
    certificate.crt_.reset(new mbedtls_x509_crt);
    mbedtls_x509_crt_init(certificate.crt_.get());
    // from here on a failure frees it through the owner; parse_der alone would also take PEM
    if (const int result = mbedtls_x509_crt_parse_der(certificate.crt_.get(), u8(der), der.size()); result != 0)
        return fail(Errc::malformed, where, static_cast<std::uint64_t>(-result));
    if (certificate.crt_->raw.len != der.size())
        return fail(Errc::trailing, where, certificate.crt_->raw.len);
    return certificate;
}

static std::string common_name(const mbedtls_x509_name &names) {
    for (const mbedtls_x509_name *at = &names; at != nullptr; at = at->next) {
        if (at->oid.p == nullptr || MBEDTLS_OID_CMP(MBEDTLS_OID_AT_CN, &at->oid) != 0)
            continue;
        std::string text;
        for (const std::byte b : view(at->val)) { // shown to people: nothing that could move a cursor
            const auto c = std::to_integer<char>(b);
            text += c >= 0x20 && c < 0x7f ? c : '?';
        }
        return text.substr(0, 64);
    }
    return "(no common name)";
}
std::string X509Certificate::subject_name() const {
    return common_name(crt_->subject);
}
std::string X509Certificate::issuer_name() const {
    return common_name(crt_->issuer);
}

std::string_view name(VekKind kind) {
    return kind == VekKind::vcek ? "VCEK" : "VLEK";
}

ByteArray<64> VekCert::chip_id() const {
    ByteArray<64> out{};
    std::ranges::copy(ByteView{hwid}.first(std::min(hwid.size(), out.size())), out.begin());
    return out;
}

// ---- extensions -------------------------------------------------------------------------------------------------

// 1.3.6.1.4.1.3704.1, DER contents; a suffix of one or two small arcs follows.
static constexpr std::array<std::uint8_t, 8> amd_arc{0x2b, 0x06, 0x01, 0x04, 0x01, 0x9c, 0x78, 0x01};

namespace {

struct Extension {
    std::array<std::uint8_t, 2> suffix;
    std::size_t suffix_size;
    std::string_view where;
    ByteView value{};
    bool seen = false;
};

enum ExtensionIndex : std::size_t {
    structure_version,
    product_name,
    boot_loader_spl,
    tee_spl,
    snp_spl,
    spare_spl_4,
    spare_spl_5,
    spare_spl_6,
    spare_spl_7,
    microcode_spl,
    fmc_spl,
    hwid,
    csp_id,
    extension_count,
};

using Extensions = std::array<Extension, extension_count>;

} // namespace

static Extensions wanted_extensions() {
    return {{{.suffix = {1, 0}, .suffix_size = 1, .where = "vek_cert.structure_version"},
             {.suffix = {2, 0}, .suffix_size = 1, .where = "vek_cert.product_name"},
             {.suffix = {3, 1}, .suffix_size = 2, .where = "vek_cert.boot_loader_spl"},
             {.suffix = {3, 2}, .suffix_size = 2, .where = "vek_cert.tee_spl"},
             {.suffix = {3, 3}, .suffix_size = 2, .where = "vek_cert.snp_spl"},
             {.suffix = {3, 4}, .suffix_size = 2, .where = "vek_cert.spare_spl_4"},
             {.suffix = {3, 5}, .suffix_size = 2, .where = "vek_cert.spare_spl_5"},
             {.suffix = {3, 6}, .suffix_size = 2, .where = "vek_cert.spare_spl_6"},
             {.suffix = {3, 7}, .suffix_size = 2, .where = "vek_cert.spare_spl_7"},
             {.suffix = {3, 8}, .suffix_size = 2, .where = "vek_cert.microcode_spl"},
             {.suffix = {3, 9}, .suffix_size = 2, .where = "vek_cert.fmc_spl"},
             {.suffix = {4, 0}, .suffix_size = 1, .where = "vek_cert.hwid"},
             {.suffix = {5, 0}, .suffix_size = 1, .where = "vek_cert.csp_id"}}};
}

// Tag, definite length and contents that end exactly where `bytes` does. Lengths below 128 are all that fit here.
static Result<ByteView> short_der(ByteView bytes, unsigned char tag, std::string_view where) {
    if (bytes.size() < 2 || u8(bytes)[0] != tag || u8(bytes)[1] >= 0x80 || bytes.size() != 2u + u8(bytes)[1])
        return fail(Errc::malformed, where, bytes.size());
    return bytes.subspan(2);
}

// The list of extensions has been walked by mbedTLS, so its structure holds; it is walked again to find ours.
static Result<Extensions> find_extensions(const mbedtls_x509_crt &crt) {
    Extensions wanted = wanted_extensions();
    unsigned char *at = crt.v3_ext.p;
    if (at == nullptr)
        return wanted;
    const unsigned char *const end = at + crt.v3_ext.len;
    std::size_t length = 0;
    constexpr int sequence = MBEDTLS_ASN1_CONSTRUCTED | MBEDTLS_ASN1_SEQUENCE;
    if (mbedtls_asn1_get_tag(&at, end, &length, sequence) != 0)
        return fail(Errc::malformed, "vek_cert.extensions");
    while (at < end) {
        if (mbedtls_asn1_get_tag(&at, end, &length, sequence) != 0)
            return fail(Errc::malformed, "vek_cert.extensions");
        unsigned char *const next = at + length;
        if (mbedtls_asn1_get_tag(&at, next, &length, MBEDTLS_ASN1_OID) != 0)
            return fail(Errc::malformed, "vek_cert.extensions");
        const ByteView oid{reinterpret_cast<const std::byte *>(at), length};
        at += length;
        int critical = 0;
        if (at < next && *at == MBEDTLS_ASN1_BOOLEAN && mbedtls_asn1_get_bool(&at, next, &critical) != 0)
            return fail(Errc::malformed, "vek_cert.extensions");
        if (mbedtls_asn1_get_tag(&at, next, &length, MBEDTLS_ASN1_OCTET_STRING) != 0 || at + length != next)
            return fail(Errc::malformed, "vek_cert.extensions");
        const ByteView value{reinterpret_cast<const std::byte *>(at), length};
        at = next;
        if (oid.size() < amd_arc.size() || !equal(oid.first(amd_arc.size()), std::as_bytes(std::span{amd_arc})))
            continue;
        const ByteView suffix = oid.subspan(amd_arc.size());
        for (Extension &extension : wanted) {
            if (!equal(suffix, std::as_bytes(std::span{extension.suffix}.first(extension.suffix_size))))
                continue;
            if (extension.seen)
                return fail(Errc::malformed, extension.where);
            extension.seen = true;
            extension.value = value;
        }
    }
    return wanted;
}

// INTEGER of 0..255: one byte, or two when the first would look like a sign.
static Result<std::uint8_t> small_integer(const Extension &extension) {
    if (!extension.seen)
        return fail(Errc::missing, extension.where);
    CVMIN_TRY(contents, short_der(extension.value, MBEDTLS_ASN1_INTEGER, extension.where));
    const unsigned char *const bytes = u8(contents);
    if (contents.size() == 1 && bytes[0] < 0x80)
        return bytes[0];
    if (contents.size() == 2 && bytes[0] == 0 && bytes[1] >= 0x80)
        return bytes[1];
    return fail(Errc::out_of_range, extension.where, contents.size());
}

static Result<std::string> ia5_string(const Extension &extension, std::size_t limit) {
    if (!extension.seen)
        return fail(Errc::missing, extension.where);
    CVMIN_TRY(contents, short_der(extension.value, MBEDTLS_ASN1_IA5_STRING, extension.where));
    if (contents.empty() || contents.size() > limit)
        return fail(Errc::out_of_range, extension.where, contents.size());
    for (const std::byte b : contents)
        if (b < std::byte{0x20} || b > std::byte{0x7e})
            return fail(Errc::malformed, extension.where);
    return std::string{as_text(contents)};
}

// Raw bytes on older certificates, an OCTET STRING on newer ones. The two are told apart by length: `size` or 2 more.
static Result<Bytes> octets(const Extension &extension, std::size_t size) {
    if (!extension.seen)
        return fail(Errc::missing, extension.where);
    if (extension.value.size() == size)
        return to_bytes(extension.value);
    CVMIN_TRY(contents, short_der(extension.value, MBEDTLS_ASN1_OCTET_STRING, extension.where));
    if (contents.size() != size)
        return fail(Errc::out_of_range, extension.where, contents.size());
    return to_bytes(contents);
}

static Result<PublicKey> p384_key(const mbedtls_pk_context &pk) {
    if (mbedtls_pk_get_type(&pk) != MBEDTLS_PK_ECKEY)
        return fail(Errc::unsupported, "vek_cert.key");
    const mbedtls_ecp_keypair *const pair = mbedtls_pk_ec(pk);
    if (mbedtls_ecp_keypair_get_group_id(pair) != MBEDTLS_ECP_DP_SECP384R1)
        return fail(Errc::unsupported, "vek_cert.key");
    std::array<std::byte, 97> point; // 04 X Y
    std::size_t written = 0;
    if (mbedtls_ecp_write_public_key(pair, MBEDTLS_ECP_PF_UNCOMPRESSED, &written, u8(MutableBytes{point}),
                                     point.size()) != 0 ||
        written != point.size())
        return fail(Errc::crypto, "vek_cert.key");
    PublicKey key;
    std::ranges::copy(ByteView{point}.subspan(1, 48), key.x.begin());
    std::ranges::copy(ByteView{point}.subspan(49, 48), key.y.begin());
    return key;
}

Result<VekCert> parse_vek_cert(const X509Certificate &certificate) {
    VekCert vek{};
    CVMIN_TRY(key, p384_key(certificate.get().pk));
    vek.key = key;
    CVMIN_TRY(extension, find_extensions(certificate.get()));

    CVMIN_TRY(version, small_integer(extension[structure_version]));
    if (version > 1)
        return fail(Errc::unsupported, extension[structure_version].where, version);
    vek.structure_version = version;

    CVMIN_TRY(product_text, ia5_string(extension[product_name], max_product_name_size));
    const std::optional<Product> product = product_of_certificate(product_text);
    if (!product)
        return fail(Errc::unsupported, extension[product_name].where);
    vek.product_name = product_text;
    vek.product = *product;

    const struct {
        TcbComponent component;
        ExtensionIndex index;
    } levels[] = {{TcbComponent::boot_loader, boot_loader_spl},
                  {TcbComponent::tee, tee_spl},
                  {TcbComponent::snp, snp_spl},
                  {TcbComponent::microcode, microcode_spl}};
    for (const auto &[component, index] : levels) {
        CVMIN_TRY(level, small_integer(extension[index]));
        vek.tcb[component] = level;
    }
    if (tcb_byte(*product, TcbComponent::fmc)) {
        CVMIN_TRY(level, small_integer(extension[fmc_spl]));
        vek.tcb[TcbComponent::fmc] = level;
    } else if (extension[fmc_spl].seen) { // no place for it in this product's TCB_VERSION: it could not be compared
        CVMIN_TRY(level, small_integer(extension[fmc_spl]));
        if (level != 0)
            return fail(Errc::unsupported, extension[fmc_spl].where, level);
    }

    // Levels without a meaning so far. Of a report their bytes must be zero (unknown_bits), so a certificate with
    // another level is for a TCB that no report here can state.
    for (const ExtensionIndex index : {spare_spl_4, spare_spl_5, spare_spl_6, spare_spl_7}) {
        if (!extension[index].seen)
            continue;
        CVMIN_TRY(level, small_integer(extension[index]));
        if (level != 0)
            return fail(Errc::unsupported, extension[index].where, level);
    }

    if (extension[csp_id].seen && extension[hwid].seen) // neither a VCEK nor a VLEK
        return fail(Errc::malformed, extension[csp_id].where);
    if (extension[csp_id].seen) {
        vek.kind = VekKind::vlek;
        CVMIN_TRY(csp, ia5_string(extension[csp_id], max_csp_id_size));
        vek.csp_id = csp;
    } else {
        vek.kind = VekKind::vcek;
        CVMIN_TRY(id, octets(extension[hwid], *product == Product::turin ? 8 : max_hwid_size));
        vek.hwid = id;
    }
    return vek;
}

} // namespace cvmin
