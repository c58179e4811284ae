#include "host-tools/present/show.hpp"
#include "host-tools/base/text.hpp"
#include "host-tools/present/measured.hpp"
#include "host-tools/present/runtime_log.hpp"

#include "common/cert_table.hpp"
#include "common/claims.hpp"
#include "common/snp_report.hpp"
#include "common/vek_cert.hpp"
#include "host-tools/appraise/chain.hpp"
#include "host-tools/appraise/crl.hpp"
#include "host-tools/appraise/policy.hpp"
#include "host-tools/appraise/unknown_bits.hpp"
#include "host-tools/appraise/verdict.hpp"

#include <algorithm>
#include <cstdio>

#include <mbedtls/x509.h>

namespace cvmin {

// ---- items ----------------------------------------------------------------------------------------------------------

static Item text_item(std::string name, std::string text) {
    text = printable_line(std::move(text));
    Json json = text;
    return {std::move(name), std::move(text), std::move(json), {}};
}
static Item hex_item(std::string name, ByteView bytes) {
    return text_item(std::move(name), bytes.empty() ? "none" : hex(bytes));
}
static Item number_item(std::string name, std::uint64_t value, std::string note = {}) {
    return {std::move(name), std::to_string(value) + std::move(note), value, {}};
}
static Item group(std::string name, std::string text, std::vector<Item> items) {
    return {std::move(name), std::move(text), nullptr, std::move(items)};
}
static Item bit_item(std::string name, unsigned bit, std::uint64_t word, std::string_view set, std::string_view clear) {
    const bool is_set = (word >> bit & 1) != 0;
    return {std::move(name), std::string{is_set ? set : clear} + "  (bit " + std::to_string(bit) + ")", is_set, {}};
}
static std::string hex64(std::uint64_t value) {
    ByteArray<8> big_endian;
    store_be(big_endian, value);
    return "0x" + hex(big_endian);
}

// ---- report
// -----------------------------------------------------------------------------------------------------------

// Names of AMD 56860, tables GUEST_POLICY and PLATFORM_INFO; bits that no table here names are under UNKNOWN_BITS.
static Item policy_item(std::uint64_t policy) {
    return group("POLICY", hex64(policy),
                 {text_item("ABI_MINIMUM", std::to_string(policy >> 8 & 0xff) + "." + std::to_string(policy & 0xff)),
                  bit_item("SMT", 16, policy, "allowed", "not allowed"),
                  bit_item("MIGRATE_MA", 18, policy, "a migration agent is allowed", "no migration agent"),
                  bit_item("DEBUG", 19, policy, "ALLOWED: the host can decrypt the guest", "not allowed"),
                  bit_item("SINGLE_SOCKET", 20, policy, "one socket only", "any number of sockets"),
                  bit_item("CXL_ALLOW", 21, policy, "allowed", "not allowed"),
                  bit_item("MEM_AES_256_XTS", 22, policy, "required", "not required"),
                  bit_item("RAPL_DIS", 23, policy, "power readings must be off", "power readings may be on"),
                  bit_item("CIPHERTEXT_HIDING_DRAM", 24, policy, "required", "not required"),
                  bit_item("PAGE_SWAP_DISABLE", 25, policy, "disabled", "not disabled")});
}

static Item platform_item(std::uint64_t info) {
    return group("PLATFORM_INFO", hex64(info),
                 {bit_item("SMT_EN", 0, info, "on", "off"), bit_item("TSME_EN", 1, info, "on", "off"),
                  bit_item("ECC_EN", 2, info, "on", "off"),
                  bit_item("RAPL_DIS", 3, info, "power readings are off", "power readings are on"),
                  bit_item("CIPHERTEXT_HIDING_DRAM_EN", 4, info, "on", "off"),
                  bit_item("ALIAS_CHECK_COMPLETE", 5, info, "complete", "not complete"),
                  bit_item("SEV_TIO_EN", 7, info, "on", "off")});
}

static Item tcb_item(std::string name, std::uint64_t value, std::optional<Product> product) {
    if (!product)
        return text_item(std::move(name), hex64(value));
    const Tcb tcb = decode_tcb(*product, value);
    std::vector<Item> parts;
    for (const TcbComponent component : all_tcb_components)
        if (tcb_byte(*product, component))
            parts.push_back(number_item(std::string{cvmin::name(component)}, tcb[component]));
    return group(std::move(name), hex64(value), std::move(parts));
}

static std::string version_text(const FirmwareVersion &version) {
    return std::to_string(version.major) + "." + std::to_string(version.minor) + " build " +
           std::to_string(version.build);
}

static std::string_view key_name(SigningKey key) {
    switch (key) {
    case SigningKey::vcek:
        return "VCEK";
    case SigningKey::vlek:
        return "VLEK";
    default:
        return static_cast<unsigned>(key) == 7 ? "none" : "reserved value";
    }
}

static Result<std::vector<Item>> show_report(ByteView bytes, const ShowOptions &options) {
    CVMIN_TRY(report, parse_snp_report(bytes));
    const bool known = known_report_version(report.version);
    const bool has_cpuid = known && report.version >= 3;
    std::optional<Product> product = options.product;
    if (has_cpuid)
        product = product_of_cpuid(report.cpuid_family, report.cpuid_model);

    std::vector<Item> out;
    out.push_back(number_item("VERSION", report.version, known ? "" : "  (not known to this program)"));
    out.push_back(number_item("GUEST_SVN", report.guest_svn));
    out.push_back(policy_item(report.policy));
    out.push_back(hex_item("FAMILY_ID", report.family_id));
    out.push_back(hex_item("IMAGE_ID", report.image_id));
    out.push_back(
        number_item("VMPL", report.vmpl, report.vmpl == 0xffffffff ? "  (the host asked for this report)" : ""));
    out.push_back(number_item("SIGNATURE_ALGO", report.signature_algo, "  (ECDSA P-384 with SHA-384)"));
    out.push_back(tcb_item("CURRENT_TCB", report.current_tcb, product));
    out.push_back(platform_item(report.platform_info));
    out.push_back(group("KEY_INFO", hex64(report.key_info),
                        {bit_item("AUTHOR_KEY_EN", 0, report.key_info, "yes", "no"),
                         bit_item("MASK_CHIP_KEY", 1, report.key_info, "yes", "no"),
                         text_item("SIGNING_KEY", std::string{key_name(report.signing_key())})}));
    out.push_back(hex_item("REPORT_DATA", report.report_data));
    out.push_back(hex_item("MEASUREMENT", report.measurement));
    out.push_back(hex_item("HOST_DATA", report.host_data));
    out.push_back(hex_item("ID_KEY_DIGEST", report.id_key_digest));
    out.push_back(hex_item("AUTHOR_KEY_DIGEST", report.author_key_digest));
    out.push_back(hex_item("REPORT_ID", report.report_id));
    out.push_back(hex_item("REPORT_ID_MA", report.report_id_ma));
    out.push_back(tcb_item("REPORTED_TCB", report.reported_tcb, product));
    if (has_cpuid) {
        out.push_back(number_item("CPUID_FAM_ID", report.cpuid_family));
        out.push_back(number_item("CPUID_MOD_ID", report.cpuid_model));
        out.push_back(number_item("CPUID_STEP", report.cpuid_stepping));
    }
    out.push_back(text_item("PRODUCT", product     ? std::string{name(*product)}
                                       : has_cpuid ? "no product with a known root"
                                                   : "not in a report of this version; --product splits the TCBs"));
    out.push_back(text_item("CHIP_ID", all_zero(report.chip_id) ? "masked (zero)" : hex(report.chip_id)));
    out.push_back(tcb_item("COMMITTED_TCB", report.committed_tcb, product));
    out.push_back(text_item("CURRENT_VERSION", version_text(report.current)));
    out.push_back(text_item("COMMITTED_VERSION", version_text(report.committed)));
    out.push_back(tcb_item("LAUNCH_TCB", report.launch_tcb, product));
    if (known && report.version >= 5) {
        out.push_back(text_item("LAUNCH_MIT_VECTOR", hex64(report.launch_mit_vector)));
        out.push_back(text_item("CURRENT_MIT_VECTOR", hex64(report.current_mit_vector)));
    }
    // as a number is read: the most significant byte first
    Bytes r{report.signature_r.rbegin(), report.signature_r.rend()};
    Bytes s{report.signature_s.rbegin(), report.signature_s.rend()};
    out.push_back(group("SIGNATURE", "", {hex_item("R", r), hex_item("S", s)}));
    std::string unknown;
    for (const std::string &bit : unknown_bits(bytes, report, product))
        unknown += (unknown.empty() ? "" : ", ") + bit;
    out.push_back(text_item("UNKNOWN_BITS", unknown.empty() ? "none" : unknown));
    return out;
}

// ---- certificates ---------------------------------------------------------------------------------------------------

static std::string time_text(const mbedtls_x509_time &time) {
    char text[96];
    std::snprintf(text, sizeof text, "%04d-%02d-%02dT%02d:%02d:%02dZ", time.year, time.mon, time.day, time.hour,
                  time.min, time.sec);
    return text;
}

static std::string dn_text(const mbedtls_x509_name &name) {
    char text[1024];
    return mbedtls_x509_dn_gets(text, sizeof text, &name) < 0 ? "(too long to show)" : text;
}

static ByteView view_of(const mbedtls_x509_buf &buffer) {
    return {reinterpret_cast<const std::byte *>(buffer.p), buffer.len};
}

static std::string key_text(const mbedtls_pk_context &pk) {
    const std::size_t bits = mbedtls_pk_get_bitlen(&pk);
    switch (mbedtls_pk_get_type(&pk)) {
    case MBEDTLS_PK_RSA:
        return "RSA-" + std::to_string(bits);
    case MBEDTLS_PK_ECKEY:
        return "P-" + std::to_string(bits);
    default:
        return "of another kind, " + std::to_string(bits) + " bits";
    }
}

static std::vector<Item> certificate_items(const X509Certificate &certificate) {
    const mbedtls_x509_crt &crt = certificate.get();
    std::vector<Item> out;
    out.push_back(text_item("subject", dn_text(crt.subject)));
    out.push_back(text_item("issuer", dn_text(crt.issuer)));
    out.push_back(hex_item("serial", view_of(crt.serial)));
    out.push_back(text_item("not before", time_text(crt.valid_from)));
    out.push_back(text_item("not after", time_text(crt.valid_to)));
    out.push_back(text_item("key", key_text(crt.pk)));
    out.push_back(text_item("authority", mbedtls_x509_crt_get_ca_istrue(&crt) == 1 ? "yes" : "no"));
    const Sha256Digest spki = spki_digest(certificate);
    for (const AmdCertificate &amd : amd_certificates())
        if (spki_digest(*amd.certificate) == spki)
            out.push_back(text_item("built in", std::string{amd.role} + " of " + std::string{name(amd.product)}));
    if (const auto vek = parse_vek_cert(certificate)) {
        std::vector<Item> levels;
        for (const TcbComponent component : all_tcb_components)
            if (tcb_byte(vek->product, component))
                levels.push_back(number_item(std::string{name(component)}, vek->tcb[component]));
        std::vector<Item> parts{text_item("kind", std::string{name(vek->kind)}),
                                text_item("product name", vek->product_name),
                                text_item("product", std::string{name(vek->product)}),
                                number_item("structure version", vek->structure_version),
                                group("security patch levels", "", std::move(levels))};
        if (vek->kind == VekKind::vcek)
            parts.push_back(hex_item("hwid", vek->hwid));
        else
            parts.push_back(text_item("csp id", vek->csp_id));
        parts.push_back(hex_item("x", vek->key.x));
        parts.push_back(hex_item("y", vek->key.y));
        out.push_back(group("endorsement key", "", std::move(parts)));
    } else if (mbedtls_x509_crt_get_ca_istrue(&crt) != 1) {
        out.push_back(text_item("endorsement key", "no VCEK or VLEK: " + to_string(vek.error())));
    }
    out.push_back(hex_item("key sha-256", spki));
    out.push_back(hex_item("sha-256", sha256(certificate.der())));
    return out;
}

static Result<Item> certificate_item(std::string label, ByteView der_or_pem) {
    CVMIN_TRY(der, certificate_der(der_or_pem, "certificate"));
    CVMIN_TRY(certificate, X509Certificate::parse(der, "certificate"));
    return group(std::move(label), "", certificate_items(certificate));
}

static Result<Item> crl_item(std::string label, ByteView der_or_pem);

static Result<std::vector<Item>> table_items(ByteView bytes) {
    CVMIN_TRY(table, parse_cert_table(bytes));
    std::vector<Item> out;
    const struct {
        const char *label;
        ByteView entry;
    } entries[] = {{"VCEK", table.vcek}, {"VLEK", table.vlek}, {"ASK", table.ask}, {"ARK", table.ark}};
    for (const auto &[label, entry] : entries) {
        if (entry.empty())
            continue;
        auto item = certificate_item(label, entry);
        // a table with one bad entry is still shown: its reader wants to know which one
        out.push_back(item ? std::move(*item) : text_item(label, to_string(item.error())));
    }
    if (!table.crl.empty()) {
        auto item = crl_item("CRL", table.crl);
        out.push_back(item ? std::move(*item) : text_item("CRL", to_string(item.error())));
    }
    if (out.empty()) // other files, too, begin with 16 bytes that nobody knows
        return fail(Errc::unsupported, "certificate");
    out.push_back(number_item("other entries", table.unknown));
    return out;
}

static Result<std::vector<Item>> show_certificate(ByteView bytes, const ShowOptions &) {
    constexpr std::string_view begin = "-----BEGIN CERTIFICATE-----", end = "-----END CERTIFICATE-----";
    if (const std::string_view text = as_text(bytes); text.contains(begin)) {
        std::vector<Item> out;
        for (std::size_t at = text.find(begin); at != std::string_view::npos; at = text.find(begin, at)) {
            const std::size_t stop = text.find(end, at);
            if (stop == std::string_view::npos)
                return fail(Errc::truncated, "certificate", at);
            if (out.size() == max_shown_certificates)
                return fail(Errc::too_large, "certificate", out.size() + 1);
            CVMIN_TRY(item, certificate_item("certificate " + std::to_string(out.size() + 1),
                                             as_bytes(text.substr(at, stop + end.size() - at))));
            out.push_back(std::move(item));
            at = stop;
        }
        return out.size() == 1 ? std::move(out.front().items) : std::move(out);
    }
    if (!bytes.empty() && bytes.front() == std::byte{0x30}) { // a DER sequence; no GUID of a known entry begins so
        CVMIN_TRY(item, certificate_item("certificate", bytes));
        return std::move(item.items);
    }
    return table_items(bytes);
}

// ---- revocation lists -----------------------------------------------------------------------------------------------

static Result<Item> crl_item(std::string label, ByteView der_or_pem) {
    CVMIN_TRY(list, RevocationList::parse(der_or_pem, "crl"));
    const mbedtls_x509_crl &crl = list.get();
    std::vector<Item> out;
    out.push_back(text_item("issuer", dn_text(crl.issuer)));
    out.push_back(text_item("this update", time_text(crl.this_update)));
    out.push_back(text_item("next update", crl.next_update.year == 0 ? "none" : time_text(crl.next_update)));
    std::vector<Item> revoked;
    for (const mbedtls_x509_crl_entry *entry = &crl.entry; entry != nullptr && entry->raw.len != 0; entry = entry->next)
        revoked.push_back(text_item("serial " + hex(view_of(entry->serial)), time_text(entry->revocation_date)));
    out.push_back(number_item("entries", revoked.size()));
    if (!revoked.empty())
        out.push_back(group("revoked since", "", std::move(revoked)));
    out.push_back(hex_item("sha-256", sha256(list.der())));
    return group(std::move(label), "", std::move(out));
}

static Result<std::vector<Item>> show_crl(ByteView bytes, const ShowOptions &) {
    CVMIN_TRY(item, crl_item("crl", bytes));
    return std::move(item.items);
}

// ---- claims and evidence
// ----------------------------------------------------------------------------------------------

static Result<std::vector<Item>> show_claims(ByteView bytes, const ShowOptions &) {
    CVMIN_TRY(claims, parse_claims(bytes));
    const auto optional = [](std::string name, const auto &value) {
        return value ? hex_item(std::move(name), *value) : Item{std::move(name), "null", nullptr, {}};
    };
    std::vector<Item> out;
    out.push_back(text_item("eat_profile", std::string{claims_profile}));
    out.push_back(hex_item("eat_nonce", claims.nonce));
    out.push_back(group("cnf", "COSE key, P-384", {hex_item("x", claims.key.x), hex_item("y", claims.key.y)}));
    out.push_back(optional("tls-exporter", claims.exporter));
    out.push_back(optional("runtime-log", claims.runtime_log));
    out.push_back(optional("manifest", claims.manifest));
    out.push_back(optional("ak", claims.ak));
    out.push_back(hex_item("report_data to find", report_data_for(bytes)));
    return out;
}

static Result<std::vector<Item>> show_evidence(ByteView bytes, const ShowOptions &options) {
    CVMIN_TRY(evidence, parse_evidence(bytes));
    std::vector<Item> out;
    const auto add = [&](std::string name, ByteView part, Result<std::vector<Item>> items) {
        if (items)
            out.push_back(group(std::move(name), std::to_string(part.size()) + " bytes", std::move(*items)));
        else
            out.push_back(text_item(std::move(name), to_string(items.error())));
    };
    add("report", evidence.report, show_report(evidence.report, options));
    if (evidence.certificates.empty())
        out.push_back(text_item("certificates", "none"));
    else
        add("certificates", evidence.certificates, table_items(evidence.certificates));
    add("claims", evidence.claims, show_claims(evidence.claims, options));
    const auto add_optional = [&](std::string name, ByteView part, auto show) {
        if (part.empty())
            out.push_back(text_item(std::move(name), "none"));
        else
            add(std::move(name), part, show(part, options));
    };
    if (evidence.tpm)
        add("tpm", evidence.tpm->attest, show_tpm_evidence(*evidence.tpm));
    else
        out.push_back(text_item("tpm", "none"));
    add_optional("event log", evidence.event_log, show_event_log);
    add_optional("ima log", evidence.ima_log, show_ima);
    add_optional("runtime log", evidence.runtime_log, show_runtime_log);
    if (evidence.svsm)
        out.push_back(group("svsm", evidence.svsm->service_guid,
                            {number_item("report bytes", evidence.svsm->report.size()),
                             hex_item("manifest sha-256", sha256(evidence.svsm->manifest))}));
    else
        out.push_back(text_item("svsm", "none"));
    const auto report = parse_snp_report(evidence.report);
    const bool bound = report && equal(report->report_data, report_data_for(evidence.claims));
    out.push_back({"report names these claims", bound ? "yes" : "NO: REPORT_DATA is not their SHA-512", bound, {}});
    return out;
}

// ---- all of them ----------------------------------------------------------------------------------------------------

std::span<const ShowKind> show_kinds() {
    static constexpr ShowKind kinds[] = {
        {"report", "attestation report of the AMD-SP (1184 bytes)", show_report},
        {"cert", "X.509 certificate, a file of several in PEM, or the host's certificate table", show_certificate},
        {"crl", "certificate revocation list", show_crl},
        {"claims", "claims that a report's REPORT_DATA names", show_claims},
        {"evidence", "evidence of cvmin attest, with all that is in it", show_evidence},
        {"eventlog", "event log of the firmware (binary_bios_measurements)", show_event_log},
        {"quote", "what a TPM signed about its PCRs (TPMS_ATTEST)", show_quote},
        {"ima", "IMA measurement list (binary_runtime_measurements)", show_ima},
        {"runtime-log", "runtime log of the agent, or a Canonical Event Log in TLV", show_runtime_log},
    };
    return kinds;
}

Bytes decoded(ByteView file) {
    std::string digits;
    for (const char c : as_text(file)) {
        if (c == ' ' || c == '\n' || c == '\r' || c == '\t')
            continue;
        const bool prefix = c == 'x' && digits == "0";
        if (!prefix && !(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'f') && !(c >= 'A' && c <= 'F'))
            return {file.begin(), file.end()};
        digits += c;
    }
    auto bytes = parse_hex(digits, "file");
    return bytes && !bytes->empty() ? std::move(*bytes) : Bytes{file.begin(), file.end()};
}

static void print_items(std::string &out, const std::vector<Item> &items, std::size_t depth) {
    std::size_t width = 0;
    for (const Item &item : items)
        width = std::max(width, item.name.size());
    for (const Item &item : items) {
        std::string line(2 * depth, ' ');
        line += item.name;
        if (!item.text.empty()) {
            line.resize(2 * depth + width + 2, ' ');
            line += item.text;
        }
        out += line + "\n";
        print_items(out, item.items, depth + 1);
    }
}

std::string show_text(const std::vector<Item> &items) {
    std::string out;
    print_items(out, items, 0);
    return out;
}

static Json members_of(const std::vector<Item> &items) {
    Json out = Json::object();
    for (const Item &item : items) {
        std::string member = item.name;
        for (char &c : member)
            c = c == ' ' || c == '-' ? '_' : c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
        const bool of_items = !item.items.empty() && item.json.is_null();
        Json value = of_items ? members_of(item.items) : item.json;
        if (of_items && item.text.starts_with("0x")) // the whole word beside its parts
            value["raw"] = item.text;
        out[member] = std::move(value);
    }
    return out;
}

Json show_json(std::string_view kind, const std::vector<Item> &items) {
    Json own = members_of(items), out{{"schema", show_schema}, {"kind", kind}, {"verified", false}};
    if (const auto pcrs = own.find("pcrs"); pcrs != own.end()) { // of every log in the same place
        out["pcrs"] = *pcrs;
        own.erase("pcrs");
    }
    out[std::string{kind}] = std::move(own);
    return out;
}

} // namespace cvmin
