// Chains: AMD's nine certificates, every real VCEK and VLEK, forged chains, and chains in which one thing is wrong.
#include "tests/unit/cmocka.hpp"

#include "host-tools/appraise/chain.hpp"
#include "host-tools/appraise/verdict.hpp"
#include "host-tools/base/json.hpp"

#include <mbedtls/oid.h>

using namespace cvmin;

// All certificates of the index are valid then, the VLEK among them.
static std::time_t real_time() {
    return parse_time("2025-10-01T00:00:00Z").value();
}
static X509Certificate certificate(const std::string &name) {
    auto parsed = X509Certificate::parse(test::data(name), "test");
    if (!parsed) {
        print_error("%s: %s\n", name.c_str(), to_string(parsed.error()).c_str());
        abort();
    }
    return std::move(*parsed);
}

static void carried_certificates_are_those_of_the_index(void **) {
    const Json index = parse_json(test::data("reports.json"), "reports.json").value();
    std::size_t found = 0;
    for (const AmdCertificate &carried : amd_certificates())
        for (const Json &root : index["roots"]) {
            if (root["sha256"] != hex(sha256(carried.certificate->der())))
                continue;
            ++found;
            assert_true(root["spki_sha256"] == hex(spki_digest(*carried.certificate)));
            assert_true(root["subject"] == carried.certificate->subject_name());
            assert_true(root["issuer"] == carried.certificate->issuer_name());
            std::string file{carried.role};
            file += "_" + std::string{name(carried.product)};
            for (char &c : file)
                c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
            assert_true(root["file"] == "amd-roots/" + file + ".der");
        }
    assert_int_equal(found, 9);
}

static void verify_chain_agrees_with_the_index_of_real_reports(void **) {
    const Json index = parse_json(test::data("reports.json"), "reports.json").value();
    std::size_t count = 0;
    for (const Json &entry : index["reports"]) {
        if (entry["vek"].is_null())
            continue;
        const auto vek = certificate(entry["dir"].get<std::string>() + "/" + entry["vek"].get<std::string>());
        const auto chain = verify_chain(vek, {}, std::nullopt, real_time());
        assert_int_equal(chain.has_value(), entry["chain_valid"].get<bool>());
        assert_false(chain->emulated);
        assert_true(name(*chain->product) == entry["product_line"].get<std::string>());
        assert_true((*chain->kind == VekKind::vlek) == (entry["vek_kind"] == "vlek"));
        ++count;
    }
    assert_int_equal(count, 11);
}

static void verify_chain_refuses_certificates_outside_of_their_time(void **) {
    const auto vek =
        certificate("trustee/milan-v3-vlek-aws-vmpl1/vlek.der"); // 2024-12-10T22:14:21 to 2025-12-10T22:14:21
    const struct {
        const char *time;
        bool valid;
    } cases[] = {{"2024-12-10T22:14:20Z", false},
                 {"2024-12-10T22:14:21Z", true},
                 {"2025-12-10T22:14:21Z", true},
                 {"2025-12-10T22:14:22Z", false}};
    for (const auto &[time, valid] : cases)
        assert_int_equal(verify_chain(vek, {}, std::nullopt, parse_time(time).value()).has_value(), valid);
}

static void verify_chain_refuses_forged_chains(void **) {
    const std::time_t now = parse_time("2026-06-01T00:00:00Z").value();
    for (const char *const folder : {"negative/forged-chain-Milan-B1/", "negative/forged-chain-Turin-B0/"})
        for (const char *const file : {"vcek.der", "vlek.der"}) {
            const auto vek = certificate(std::string{folder} + file);
            const Bytes table = test::data(std::string{folder} + "cert_table.bin");
            const auto chain = verify_chain(vek, parse_cert_table(table).value(), std::nullopt, now);
            assert_false(chain.has_value());
            assert_true(chain.error().found.contains("no AMD intermediate"));
        }
    // under AMD's own names, so that only the signatures tell
    const auto vek = certificate("appraise/forged-vcek-milan.der");
    const Bytes ask = test::data("appraise/forged-ask-milan.der");
    const Bytes ark = test::data("appraise/forged-ark-milan.der");
    CertTable table;
    table.ask = ask;
    table.ark = ark;
    const auto chain = verify_chain(vek, table, std::nullopt, now);
    assert_false(chain.has_value());
    assert_true(chain.error().found == "the signature of SEV-VCEK does not verify");
    // the very same chain holds for whoever names its root, and says EMULATED
    const auto emulated = verify_chain(vek, table, ark, now);
    assert_true(emulated && emulated->emulated && emulated->path.starts_with("EMULATED"));
}

static void verify_chain_refuses_changed_real_certificates(void **) {
    // trustee's two VCEKs with changed contents and the signature of before
    for (const char *const file :
         {"trustee/snp/test-vcek-invalid-new.der", "trustee/snp/test-vcek-invalid-legacy.der"}) {
        const auto chain = verify_chain(certificate(file), {}, std::nullopt, real_time());
        assert_false(chain.has_value());
        assert_true(chain.error().found == "the signature of SEV-VCEK does not verify");
    }
}

// ---- emulated chains: one thing wrong at a time ---------------------------------------------------------------------

static std::expected<TrustedChain, ChainProblem> emulated(const char *vek, const char *ask, const char *ark,
                                                          const char *time = "2026-06-01T00:00:00Z") {
    const Bytes ask_der = test::data(ask);
    CertTable table;
    table.ask = ask_der;
    return verify_chain(certificate(vek), table, test::data(ark), parse_time(time).value());
}

static void verify_chain_accepts_an_emulated_root_only_when_it_is_named(void **) {
    const auto named = emulated("appraise/vcek-genoa.der", "appraise/ask.der", "appraise/ark.der");
    assert_true(named.has_value());
    assert_true(named->emulated && !named->product && !named->kind);
    const Bytes ask = test::data("appraise/ask.der");
    const Bytes ark = test::data("appraise/ark.der");
    CertTable table;
    table.ask = ask;
    table.ark = ark; // the evidence's own root is never believed
    const auto unnamed = verify_chain(certificate("appraise/vcek-genoa.der"), table, std::nullopt, real_time());
    assert_false(unnamed.has_value());
    assert_true(unnamed.error().found.contains("no AMD intermediate") &&
                unnamed.error().found.contains("ARK-Test EMULATED"));
    const auto other = emulated("appraise/vcek-genoa.der", "appraise/ask.der", "appraise/ark-same-name.der");
    assert_true(!other && other.error().found == "the signature of SEV-Test EMULATED does not verify");
}

static void verify_chain_does_not_call_amd_emulated(void **) {
    // a real VCEK stays AMD's, also for a caller who trusts an emulated root beside it
    const auto chain = verify_chain(certificate("oak/genoa-v5-oc-mitvector/vcek.der"), {},
                                    test::data("appraise/ark.der"), real_time());
    assert_true(chain && !chain->emulated && chain->product == Product::genoa);
}

static void verify_chain_names_what_is_wrong_with_a_link(void **) {
    const struct {
        const char *vek, *ask;
        const char *found;
    } cases[] = {
        {"vcek-ca", "ask", "SEV-VCEK is a certificate authority"},
        {"vcek-pkcs1", "ask", "SEV-VCEK has another signature algorithm"},
        {"vcek-salt32", "ask", "SEV-VCEK has another signature algorithm"},
        {"vcek-expired", "ask", "SEV-VCEK is valid from 2025-01-01T00:00:00Z to 2025-02-01T00:00:00Z"},
        {"vcek-other-issuer", "ask", "SEV-VCEK names another issuer: SEV-Other EMULATED"},
        {"vcek-genoa", "ask-other-name", "SEV-VCEK names another issuer: SEV-Test EMULATED"},
        {"vcek-genoa", "ask-not-ca", "SEV-Test EMULATED is no certificate authority"},
        {"vcek-genoa", "ask-no-cert-sign", "SEV-Test EMULATED may not sign certificates"},
        {"vcek-genoa", "ask-expired", "SEV-Test EMULATED is valid from 2025-01-01T00:00:00Z to 2025-02-01T00:00:00Z"},
        {"vcek-by-2048", "ask-2048", "SEV-Test EMULATED has a key of another kind"},
        {"vcek-genoa", "ask-2048", "SEV-Test EMULATED has a key of another kind"},
        {"vcek-genoa", "ark", "SEV-VCEK names another issuer: SEV-Test EMULATED"},
        {"vcek-genoa", "vek-key", "the certificate table has no readable ASK"},
    };
    for (const auto &[vek, ask, found] : cases) {
        const auto chain = emulated((std::string{"appraise/"} + vek + ".der").c_str(),
                                    (std::string{"appraise/"} + ask + ".der").c_str(), "appraise/ark.der");
        if (chain || chain.error().found != found)
            print_error("%s under %s: %s\n", vek, ask, chain ? "accepted" : chain.error().found.c_str());
        assert_true(!chain && chain.error().found == found);
    }
    const auto ark =
        emulated("appraise/vcek-genoa.der", "appraise/ask.der", "appraise/ark.der", "2046-01-01T00:00:00Z");
    assert_true(!ark && ark.error().wanted == "valid at 2046-01-01T00:00:00Z");
    const auto no_root = emulated("appraise/vcek-genoa.der", "appraise/ask.der", "appraise/vek-key.der");
    assert_true(!no_root && no_root.error().wanted == "a DER certificate of an emulated ARK");
    // an emulated root that is no root: the intermediate as its own ARK
    assert_false(emulated("appraise/vcek-genoa.der", "appraise/ask.der", "appraise/ask.der").has_value());
}

static void verify_chain_demands_a_key_usage_of_every_authority(void **) {
    for (const AmdCertificate &carried : amd_certificates()) // AMD's own have it
        assert_true(mbedtls_x509_crt_has_ext_type(&carried.certificate->get(), MBEDTLS_X509_EXT_KEY_USAGE));
    assert_true(emulated("appraise/usage-vcek.der", "appraise/usage-ask.der", "appraise/usage-ark.der").has_value());
    const auto ask = emulated("appraise/usage-vcek.der", "appraise/usage-ask-without.der", "appraise/usage-ark.der");
    assert_true(!ask && ask.error().found == "SEV-Usage EMULATED may not sign certificates");
    const auto ark = emulated("appraise/usage-vcek.der", "appraise/usage-ask.der", "appraise/usage-ark-without.der");
    assert_true(!ark && ark.error().found == "ARK-Usage EMULATED may not sign certificates");
    // nor does such an ARK vouch for a list
    TrustedChain chain =
        emulated("appraise/usage-vcek.der", "appraise/usage-ask.der", "appraise/usage-ark.der").value();
    assert_true(check_revocation(test::data("appraise/usage-crl.der"), chain, real_time()).has_value());
    chain.ark = std::make_shared<const X509Certificate>(certificate("appraise/usage-ark-without.der"));
    const auto list = check_revocation(test::data("appraise/usage-crl.der"), chain, real_time());
    assert_true(!list && list.error().found == "ARK-Usage EMULATED may not sign CRLs");
}

// A withdrawn intermediate is signed by AMD as well as a newer one: only a list tells them apart.
static void an_intermediate_that_the_host_brings_counts_only_with_a_revocation_list(void **) {
    const auto vek = certificate("trustee/snp/test-vcek-invalid-new.der"); // any certificate of SEV-Milan's
    const auto carried = amd_intermediates(vek, nullptr, Revocation::required);
    assert_int_equal(carried.size(), 1);
    const auto forged = std::make_shared<const X509Certificate>(certificate("appraise/forged-ask-milan.der"));
    const auto milan = certificate("appraise/forged-vcek-milan.der"); // names forged-ask-milan's subject
    for (const AmdIntermediate &candidate : amd_intermediates(milan, forged, Revocation::skip))
        assert_true(candidate.certificate != forged);
    bool tried = false;
    for (const AmdIntermediate &candidate : amd_intermediates(milan, forged, Revocation::required))
        tried = tried || candidate.certificate == forged;
    assert_true(tried);
    // and then it must be AMD's: this one is not
    const Bytes ask = test::data("appraise/forged-ask-milan.der");
    CertTable table;
    table.ask = ask;
    for (const Revocation revocation : {Revocation::skip, Revocation::required})
        assert_false(verify_chain(milan, table, std::nullopt, real_time(), revocation).has_value());
}

static void verify_chain_refuses_every_changed_byte_of_a_vcek(void **) {
    const Bytes good = test::data("oak/genoa-v5-oc-mitvector/vcek.der");
    std::size_t read = 0;
    for (std::size_t at = 0; at < good.size(); ++at) {
        Bytes changed = good;
        changed[at] ^= std::byte{0x01};
        const auto parsed = X509Certificate::parse(changed, "test");
        if (!parsed)
            continue;
        ++read;
        assert_false(verify_chain(*parsed, {}, std::nullopt, real_time()).has_value());
    }
    assert_true(read > 500); // the others are no certificates any more
}

// ---- revocation -----------------------------------------------------------------------------------------------------

static void check_revocation_reads_lists_of_the_root(void **) {
    const auto chain = emulated("appraise/vcek-genoa.der", "appraise/ask.der", "appraise/ark.der");
    assert_true(chain.has_value());
    const std::time_t now = parse_time("2026-06-01T00:00:00Z").value();
    const struct {
        const char *file;
        const char *found; // of a refusal; else the list is accepted
    } cases[] = {
        {"crl-empty", nullptr},
        {"crl-other-serial", nullptr},
        {"crl-revokes-ask", "SEV-Test EMULATED (serial 7e0001) is revoked since 2025-06-01T00:00:00Z"},
        {"crl-revokes-ark", "ARK-Test EMULATED (serial 7e0000) is revoked since 2025-06-01T00:00:00Z"},
        {"crl-old", "the CRL is valid from 2025-01-01T00:00:00Z to 2025-02-01T00:00:00Z"},
        {"crl-other-key", "the signature of the CRL does not verify"},
        {"ark", "a CRL that cannot be read"},
    };
    for (const auto &[file, found] : cases) {
        const auto result = check_revocation(test::data(std::string{"appraise/"} + file + ".der"), *chain, now);
        if (result.has_value() == (found != nullptr))
            print_error("%s: %s\n", file, result ? result->c_str() : result.error().found.c_str());
        assert_true(found == nullptr ? result.has_value() : !result && result.error().found == found);
    }
    assert_true(check_revocation(ByteView{}, *chain, now).error().found == "no CRL in the certificate table");
    const auto other = verify_chain(certificate("oak/genoa-v5-oc-mitvector/vcek.der"), {}, std::nullopt, real_time());
    assert_true(check_revocation(test::data("appraise/crl-empty.der"), *other, now).error().found ==
                "a CRL of another issuer");
    const Bytes good = test::data("appraise/crl-empty.der");
    for (std::size_t at = 0; at < good.size(); at += 7) {
        Bytes changed = good;
        changed[at] ^= std::byte{0x01};
        assert_false(check_revocation(changed, *chain, now).has_value());
    }
}

static void check_revocation_limits_the_age_of_a_list(void **) {
    const auto chain = emulated("appraise/vcek-genoa.der", "appraise/ask.der", "appraise/ark.der");
    const Bytes list = test::data("appraise/crl-empty.der");            // of 2025-01-01T00:00:00Z
    const std::time_t now = parse_time("2026-06-01T00:00:00Z").value(); // 516 days later
    assert_true(check_revocation(list, *chain, now, 516).has_value());
    assert_true(check_revocation(list, *chain, now + 1, std::nullopt).has_value());
    const auto old = check_revocation(list, *chain, now + 1, 516);
    assert_true(!old && old.error().found == "the CRL is of 2025-01-01T00:00:00Z");
    assert_true(old.error().wanted == "at most 516 days old at 2026-06-01T00:00:01Z");
}

static void a_list_is_read_from_der_or_pem_and_nothing_else(void **) {
    const Bytes der = test::data("appraise/crl-revokes-ask.der");
    const std::string pem = "\n-----BEGIN X509 CRL-----\n" + base64(der) + "\n-----END X509 CRL-----\n\n";
    for (const ByteView form : {ByteView{der}, as_bytes(pem)}) {
        const auto list = RevocationList::parse(form, "crl");
        assert_true(list && equal(list->der(), der) && list->issuer_name() == "ARK-Test EMULATED");
        assert_true(list->entries() == 1 && list->this_update() == parse_time("2025-01-01T00:00:00Z").value());
        assert_true(list->next_update() == parse_time("2045-01-01T00:00:00Z").value());
    }
    const auto refused = [](ByteView bytes) { return RevocationList::parse(bytes, "crl").error().code; };
    const auto and_more = [&](std::string_view more) { return to_bytes(as_bytes(pem + std::string{more})); };
    assert_true(refused(and_more("x")) == Errc::malformed);
    assert_true(refused(and_more("-----BEGIN X509 CRL-----")) == Errc::malformed);
    assert_true(refused({}) == Errc::malformed);
    assert_true(refused(test::data("appraise/ark.der")) == Errc::malformed);
    assert_true(refused(Bytes(max_crl_size + 1)) == Errc::too_large);
    Bytes longer = der;
    longer.push_back(std::byte{0});
    assert_false(RevocationList::parse(longer, "crl").has_value());
    for (std::size_t size = 0; size < der.size(); size += 11)
        assert_false(RevocationList::parse(ByteView{der}.first(size), "crl").has_value());
}

static void an_intermediate_of_the_relying_partys_own_needs_no_list(void **) {
    // under an emulated root: instead of what the table brings
    const std::shared_ptr<const X509Certificate> own[] = {
        std::make_shared<const X509Certificate>(certificate("appraise/ask-not-ca.der")),
        std::make_shared<const X509Certificate>(certificate("appraise/ask.der"))};
    const auto vek = certificate("appraise/vcek-genoa.der");
    const auto chain = verify_chain(vek, {}, test::data("appraise/ark.der"), real_time(), Revocation::skip, own);
    assert_true(chain && chain->emulated && chain->intermediate == own[1]);
    // under AMD's roots: a candidate, and one that AMD has not signed does not count
    const auto milan = certificate("appraise/forged-vcek-milan.der");
    const std::shared_ptr<const X509Certificate> forged[] = {
        std::make_shared<const X509Certificate>(certificate("appraise/forged-ask-milan.der"))};
    const auto candidates = amd_intermediates(milan, nullptr, Revocation::skip, forged);
    assert_true(candidates.size() == 2 && candidates[1].certificate == forged[0]);
    assert_false(verify_chain(milan, {}, std::nullopt, real_time(), Revocation::skip, forged).has_value());
}

static void verify_intermediate_finds_the_pinned_root(void **) {
    const auto shared = [](const char *name) { return std::make_shared<const X509Certificate>(certificate(name)); };
    std::size_t count = 0;
    for (const AmdCertificate &carried : amd_certificates())
        for (const Product product : all_products) {
            const auto chain = verify_intermediate(carried.certificate, product, std::nullopt, real_time());
            assert_int_equal(chain.has_value(), carried.role != "ARK" && product == carried.product);
            if (!chain)
                continue;
            ++count;
            assert_true(chain->product == product && !chain->emulated);
            assert_true((chain->kind == VekKind::vlek) == (carried.role == "ASVK"));
        }
    assert_int_equal(count, 6);
    const auto forged =
        verify_intermediate(shared("appraise/forged-ask-milan.der"), Product::milan, std::nullopt, real_time());
    assert_true(!forged && forged.error().found == "the signature of SEV-Milan does not verify");
    const Bytes ark = test::data("appraise/ark.der");
    const auto emulated_chain = verify_intermediate(shared("appraise/ask.der"), Product::genoa, ark, real_time());
    assert_true(emulated_chain && emulated_chain->emulated && !emulated_chain->product);
    assert_false(
        verify_intermediate(shared("appraise/ask.der"), Product::genoa, std::nullopt, real_time()).has_value());
    for (const char *const wrong : {"ask-not-ca", "ask-no-cert-sign", "ask-expired", "ask-2048", "forged-ask-milan"})
        assert_false(verify_intermediate(shared((std::string{"appraise/"} + wrong + ".der").c_str()), Product::genoa,
                                         ark, real_time())
                         .has_value());
}

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(verify_intermediate_finds_the_pinned_root),
        cmocka_unit_test(check_revocation_limits_the_age_of_a_list),
        cmocka_unit_test(a_list_is_read_from_der_or_pem_and_nothing_else),
        cmocka_unit_test(an_intermediate_of_the_relying_partys_own_needs_no_list),
        cmocka_unit_test(carried_certificates_are_those_of_the_index),
        cmocka_unit_test(verify_chain_agrees_with_the_index_of_real_reports),
        cmocka_unit_test(verify_chain_refuses_certificates_outside_of_their_time),
        cmocka_unit_test(verify_chain_refuses_forged_chains),
        cmocka_unit_test(verify_chain_refuses_changed_real_certificates),
        cmocka_unit_test(verify_chain_accepts_an_emulated_root_only_when_it_is_named),
        cmocka_unit_test(verify_chain_does_not_call_amd_emulated),
        cmocka_unit_test(verify_chain_names_what_is_wrong_with_a_link),
        cmocka_unit_test(verify_chain_demands_a_key_usage_of_every_authority),
        cmocka_unit_test(an_intermediate_that_the_host_brings_counts_only_with_a_revocation_list),
        cmocka_unit_test(verify_chain_refuses_every_changed_byte_of_a_vcek),
        cmocka_unit_test(check_revocation_reads_lists_of_the_root),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
