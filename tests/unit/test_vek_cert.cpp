// VCEK and VLEK certificates: the real ones against the index, and byte-patched ones in which one extension is wrong.
// Reading does not look at the signature, so a patched certificate can still be read.
#include "tests/unit/cmocka.hpp"

#include "common/vek_cert.hpp"
#include "host-tools/base/json.hpp"

using namespace cvmin;

static Result<VekCert> read(ByteView der) {
    CVMIN_TRY(certificate, X509Certificate::parse(der, "vek_cert"));
    return parse_vek_cert(certificate);
}

// The DER of the object identifier 1.3.6.1.4.1.3704.1 and a suffix.
static Bytes oid(std::initializer_list<unsigned> suffix) {
    Bytes out = parse_hex("06002b060104019c7801", "oid").value();
    for (const unsigned arc : suffix)
        out.push_back(static_cast<std::byte>(arc));
    out[1] = static_cast<std::byte>(out.size() - 2);
    return out;
}

// Position of the extension's value: contents of the OCTET STRING after its object identifier.
static std::size_t value_of(const Bytes &der, std::initializer_list<unsigned> suffix) {
    const Bytes wanted = oid(suffix);
    const auto found = std::ranges::search(der, wanted);
    if (found.empty())
        abort();
    return static_cast<std::size_t>(found.end() - der.begin()) + 2;
}
static Bytes without(Bytes der, std::initializer_list<unsigned> suffix) {
    der[value_of(der, suffix) - 3] = std::byte{0x7f}; // last arc: an extension nobody knows
    return der;
}

static void parse_vek_agrees_with_the_index_of_real_certificates(void **) {
    const Json index = parse_json(test::data("reports.json"), "reports.json").value();
    std::size_t count = 0;
    for (const Json &entry : index["reports"]) {
        if (entry["vek"].is_null())
            continue;
        const auto vek = read(test::data(entry["dir"].get<std::string>() + "/" + entry["vek"].get<std::string>()));
        assert_true(vek.has_value());
        assert_true((vek->kind == VekKind::vlek) == (entry["vek_kind"] == "vlek"));
        assert_true(name(vek->product) == entry["product_line"].get<std::string>());
        assert_true(vek->product_name == entry["vek_product_name"].get<std::string>());
        assert_int_equal(vek->structure_version, entry["vek_struct_version"].get<unsigned>());
        const Json &spl = entry["vek_spl"];
        assert_int_equal(vek->tcb[TcbComponent::boot_loader], spl["blSPL"].get<unsigned>());
        assert_int_equal(vek->tcb[TcbComponent::tee], spl["teeSPL"].get<unsigned>());
        assert_int_equal(vek->tcb[TcbComponent::snp], spl["snpSPL"].get<unsigned>());
        assert_int_equal(vek->tcb[TcbComponent::microcode], spl["ucodeSPL"].get<unsigned>());
        assert_int_equal(vek->tcb[TcbComponent::fmc], spl.value("fmcSPL", 0u));
        assert_true(hex(vek->hwid) == (entry["vek_hwid"].is_null() ? "" : entry["vek_hwid"].get<std::string>()));
        assert_true(vek->csp_id == (entry["vek_csp_id"].is_null() ? "" : entry["vek_csp_id"].get<std::string>()));
        ++count;
    }
    assert_int_equal(count, 11);
}

static void parse_vek_reads_certificates_of_another_program(void **) {
    const VekCert turin = read(test::data("appraise/vcek-turin.der")).value();
    assert_true(turin.product == Product::turin && turin.tcb == (Tcb{.level = {3, 1, 0, 2, 71}}));
    assert_true(hex(turin.hwid) == "0102030405060708");
    assert_true(hex(turin.chip_id()) == "0102030405060708" + std::string(112, '0'));
    const VekCert milan = read(test::data("appraise/vcek-milan.der")).value();
    assert_true(milan.hwid.size() == 64 && milan.tcb == (Tcb{.level = {0, 4, 0, 24, 219}}));
    const VekCert genoa = read(test::data("appraise/vcek-genoa.der")).value(); // HWID as an OCTET STRING
    assert_true(genoa.hwid == milan.hwid && genoa.structure_version == 1);
    const VekCert vlek = read(test::data("appraise/vlek-milan.der")).value();
    assert_true(vlek.kind == VekKind::vlek && vlek.csp_id == "CN=cloud.example" && vlek.hwid.empty());
}

static void parse_vek_names_each_missing_extension(void **) {
    const Bytes turin = test::data("oak/turin-v5-oc/vcek.der");
    const struct {
        Bytes der;
        std::string_view where;
    } cases[] = {
        {without(turin, {1}), "vek_cert.structure_version"},  {without(turin, {2}), "vek_cert.product_name"},
        {without(turin, {3, 1}), "vek_cert.boot_loader_spl"}, {without(turin, {3, 2}), "vek_cert.tee_spl"},
        {without(turin, {3, 3}), "vek_cert.snp_spl"},         {without(turin, {3, 8}), "vek_cert.microcode_spl"},
        {without(turin, {3, 9}), "vek_cert.fmc_spl"},         {without(turin, {4}), "vek_cert.hwid"}};
    for (const auto &[der, where] : cases)
        assert_true(read(der).error() == (Error{Errc::missing, where, 0}));
    // a VLEK without its CSP_ID has neither
    const Bytes vlek = without(test::data("appraise/vlek-milan.der"), {5});
    assert_true(read(vlek).error() == (Error{Errc::missing, "vek_cert.hwid", 0}));
}

static void parse_vek_refuses_doubled_extensions(void **) {
    Bytes der = test::data("go-sev-guest/milan-v2-gcp-debug/vcek.der");
    der[value_of(der, {3, 4}) - 3] = std::byte{1}; // a spare level, now a second boot loader level
    assert_true(read(der).error() == (Error{Errc::malformed, "vek_cert.boot_loader_spl", 0}));
}

static void parse_vek_refuses_hwid_and_csp_id_together(void **) {
    assert_true(read(test::data("appraise/vcek-both.der")).error() == (Error{Errc::malformed, "vek_cert.csp_id", 0}));
}

static void parse_vek_refuses_levels_that_are_no_small_integers(void **) {
    const Bytes good = test::data("trustee/milan-v3-vlek-aws-vmpl1/vlek.der"); // microcode 217: 02 02 00 d9
    const std::size_t microcode = value_of(good, {3, 8});
    const std::size_t snp = value_of(good, {3, 3});
    const struct {
        std::size_t at;
        unsigned value;
        Errc code;
    } cases[] = {{microcode + 0, 0x04, Errc::malformed},    // OCTET STRING
                 {microcode + 1, 0x01, Errc::malformed},    // shorter than its octets
                 {microcode + 2, 0x01, Errc::out_of_range}, // 0x01d9
                 {microcode + 3, 0x59, Errc::out_of_range}, // 00 59: a leading zero that is none
                 {snp + 2, 0x80, Errc::out_of_range},       // negative
                 {snp + 1, 0x81, Errc::malformed},          // long form of a length
                 {snp + 1, 0x00, Errc::malformed}};
    for (const auto &[at, value, code] : cases) {
        Bytes der = good;
        der[at] = static_cast<std::byte>(value);
        assert_int_equal(read(der).error().code, code);
    }
}

static void parse_vek_refuses_a_spare_level_other_than_zero(void **) {
    const Bytes good = test::data("go-sev-guest/milan-v2-gcp-debug/vcek.der");
    const std::pair<unsigned, std::string_view> spares[] = {{4, "vek_cert.spare_spl_4"},
                                                            {5, "vek_cert.spare_spl_5"},
                                                            {6, "vek_cert.spare_spl_6"},
                                                            {7, "vek_cert.spare_spl_7"}};
    for (const auto &[arc, where] : spares) {
        Bytes der = good;
        der[value_of(der, {3, arc}) + 2] = std::byte{1};
        assert_true(read(der).error() == (Error{Errc::unsupported, where, 1}));
        der[value_of(der, {3, arc})] = std::byte{0x04}; // nor one that is no number
        assert_true(read(der).error() == (Error{Errc::malformed, where, 3}));
        assert_true(read(without(good, {3, arc})).has_value()); // nor need it be there
    }
}

static void parse_vek_refuses_unknown_products_and_structures(void **) {
    Bytes der = test::data("go-sev-guest/milan-v2-gcp-debug/vcek.der");
    der[value_of(der, {2}) + 2] = std::byte{'V'};
    assert_true(read(der).error() == (Error{Errc::unsupported, "vek_cert.product_name", 0}));
    der = test::data("go-sev-guest/milan-v2-gcp-debug/vcek.der");
    der[value_of(der, {1}) + 2] = std::byte{2};
    assert_true(read(der).error() == (Error{Errc::unsupported, "vek_cert.structure_version", 2}));
    der = test::data("go-sev-guest/milan-v2-gcp-debug/vcek.der");
    der[value_of(der, {2}) + 2] = std::byte{'\n'};
    assert_true(read(der).error() == (Error{Errc::malformed, "vek_cert.product_name", 0}));
}

static void parse_vek_refuses_a_hwid_of_another_length(void **) {
    Bytes der = test::data("oak/turin-v5-oc/vcek.der"); // raw 8 bytes; now it claims to be an OCTET STRING of 6
    const std::size_t hwid = value_of(der, {4});
    der[hwid] = std::byte{0x04};
    der[hwid + 1] = std::byte{0x06};
    assert_true(read(der).has_value()); // 8 bytes are 8 bytes, whatever they look like
    // an OCTET STRING that says it is shorter than what is there
    Bytes genoa = test::data("appraise/vcek-genoa.der");
    const std::size_t at = value_of(genoa, {4});
    genoa[at + 1] = std::byte{0x3f};
    assert_true(read(genoa).error() == (Error{Errc::malformed, "vek_cert.hwid", 66}));
}

static void parse_vek_refuses_keys_that_are_not_p384(void **) {
    assert_true(read(test::data("appraise/ask.der")).error() == (Error{Errc::unsupported, "vek_cert.key", 0}));
}

static void parse_certificate_refuses_what_is_not_exactly_one(void **) {
    const Bytes good = test::data("appraise/vcek-genoa.der");
    for (std::size_t size = 0; size < good.size(); size += 1)
        assert_false(X509Certificate::parse(ByteView{good}.first(size), "c").has_value());
    Bytes longer = good;
    longer.push_back(std::byte{0});
    assert_true(X509Certificate::parse(longer, "c").error() == (Error{Errc::trailing, "c", good.size()}));
    assert_true(X509Certificate::parse(Bytes(max_certificate_size + 1), "c").error().code == Errc::too_large);
}

static void certificate_der_reads_pem_and_der(void **) {
    const Bytes der = test::data("appraise/vcek-genoa.der");
    const Bytes pem = test::data("appraise/vcek-genoa.pem"); // by OpenSSL
    assert_true(equal(certificate_der(der, "c").value(), der));
    assert_true(equal(certificate_der(pem, "c").value(), der));
    assert_true(read(certificate_der(test::data("trustee/az-snp-vtpm/vcek-genoa.pem"), "c").value()).has_value());
    // a whole chain in one PEM file is not a certificate
    assert_true(certificate_der(test::data("trustee/az-snp-vtpm/vcek.pem"), "c").error() ==
                (Error{Errc::malformed, "c", 0}));
    std::string text{as_text(pem)};
    for (const std::string &bad :
         {text + "x", text.substr(0, 60), text + text, std::string{"-----BEGIN CERTIFICATE-----"},
          std::string{"-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----"}})
        assert_true(certificate_der(as_bytes(bad), "c").error().code == Errc::malformed);
    assert_true(certificate_der(as_bytes("\n\r\n " + text + "\n\n"), "c").has_value());
    assert_true(certificate_der(Bytes(max_certificate_size + 1), "c").error().code == Errc::too_large);
}

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(parse_vek_agrees_with_the_index_of_real_certificates),
        cmocka_unit_test(parse_vek_reads_certificates_of_another_program),
        cmocka_unit_test(parse_vek_names_each_missing_extension),
        cmocka_unit_test(parse_vek_refuses_doubled_extensions),
        cmocka_unit_test(parse_vek_refuses_hwid_and_csp_id_together),
        cmocka_unit_test(parse_vek_refuses_levels_that_are_no_small_integers),
        cmocka_unit_test(parse_vek_refuses_a_spare_level_other_than_zero),
        cmocka_unit_test(parse_vek_refuses_unknown_products_and_structures),
        cmocka_unit_test(parse_vek_refuses_a_hwid_of_another_length),
        cmocka_unit_test(parse_vek_refuses_keys_that_are_not_p384),
        cmocka_unit_test(parse_certificate_refuses_what_is_not_exactly_one),
        cmocka_unit_test(certificate_der_reads_pem_and_der),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
