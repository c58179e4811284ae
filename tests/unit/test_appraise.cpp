// The appraisal: good evidence is accepted; for every check there is evidence in which only that is wrong; nothing that
// differs from good evidence by one bit is accepted; real reports fail exactly where they must.
#include "tests/unit/appraise_fixture.hpp"
#include "tests/unit/every_check.hpp"

#include "host-tools/appraise/chain.hpp"
#include "host-tools/appraise/report_signature.hpp"

#include <map>
#include <set>

using namespace cvmin;
using namespace cvmin::test;

static std::set<std::string> with_outcome(const Appraisal &appraisal, Outcome outcome) {
    std::set<std::string> names;
    for (const Check &check : appraisal.verdict.checks())
        if (check.outcome == outcome)
            names.emplace(check.name);
    return names;
}

static void explain(const Appraisal &appraisal, const Case &c) {
    print_error("%s", verdict_table(appraisal, c.want).c_str());
}

static void appraise_accepts_good_evidence(void **) {
    const Case c = good_case();
    const Appraisal appraisal = appraise_case(c);
    if (!appraisal.accepted)
        explain(appraisal, c);
    assert_true(appraisal.accepted.has_value());
    assert_true(appraisal.verdict.accepted() && appraisal.verdict.emulated() && appraisal.accepted->emulated());
    assert_true(appraisal.accepted->key() == c.claims.key);
    assert_true(appraisal.accepted->measurement() == c.report.measurement);
    assert_true(equal(appraisal.accepted->nonce(), c.claims.nonce));
    assert_true(appraisal.accepted->exporter() == c.claims.exporter);
    assert_true(with_outcome(appraisal, Outcome::failed).empty());
    assert_true(with_outcome(appraisal, Outcome::not_made).empty());
}

static void a_verdict_starts_refused(void **) {
    const Verdict verdict;
    assert_false(verdict.accepted());
    assert_int_equal(verdict.checks().size(), check_kinds().size());
    Expectations nothing; // a default-constructed expectation accepts nothing, not even good evidence
    const Appraisal appraisal = appraise(make_evidence(good_case()), nothing);
    assert_false(appraisal.accepted.has_value());
    for (const char *const name : {"snp.chain", "snp.measurement", "snp.version", "snp.product", "binding.nonce"})
        assert_int_equal(appraisal.verdict.find(name)->outcome, Outcome::failed);
    assert_false(appraise({}, good_case().want).accepted.has_value());
}

static void a_binding_that_the_caller_does_not_speak_of_is_not_made_and_refused(void **) {
    Case c = good_case();
    c.want.exporter = {};
    Appraisal appraisal = appraise_case(c);
    assert_false(appraisal.accepted.has_value());
    assert_true(with_outcome(appraisal, Outcome::not_made) == std::set<std::string>{"binding.exporter"});
    assert_true(with_outcome(appraisal, Outcome::failed).empty());
    assert_true(appraisal.verdict.find("binding.exporter")->found == "the caller said neither what is wanted nor skip");
    c = good_case();
    c.want.peer_key = {};
    appraisal = appraise_case(c);
    assert_false(appraisal.accepted.has_value());
    assert_true(with_outcome(appraisal, Outcome::not_made) == std::set<std::string>{"binding.key"});
}

static void a_binding_of_stored_evidence_rests_on_the_caller(void **) {
    for (const bool live : {true, false}) {
        Case c = good_case();
        c.want.live = live;
        const Appraisal appraisal = appraise_case(c);
        assert_true(appraisal.accepted.has_value());
        for (const char *const name : {"binding.nonce", "binding.exporter", "binding.key"})
            assert_true(appraisal.verdict.find(name)->anchor == (live ? "this connection" : "caller"));
    }
    assert_false(Expectations{}.live);
    Case c = good_case();
    c.want.exporter = Skip{};
    assert_false(appraise_case(c).accepted->exporter().has_value());
}

// ---- one thing wrong ------------------------------------------------------------------------------------------------

using Change = std::function<void(Case &)>;

static std::shared_ptr<const RevocationList> crl_of(const char *name) {
    return std::make_shared<const RevocationList>(RevocationList::parse(der(name), "test").value());
}
static std::shared_ptr<const X509Certificate> certificate_of(const char *name) {
    return std::make_shared<const X509Certificate>(X509Certificate::parse(der(name), "test").value());
}

static void set_tcb(std::uint64_t &field, TcbComponent component, std::uint8_t level) {
    Tcb tcb = decode_tcb(fixture_product, field);
    tcb[component] = level;
    field = encode_tcb(fixture_product, tcb);
}

// A policy bit demanded the other way round.
template <std::size_t N>
static Change demand(std::array<Skippable<bool>, N> Policy::*bits, std::size_t index, bool value) {
    return [=](Case &c) { (c.want.policy.*bits)[index] = value; };
}

static const std::vector<std::pair<std::string, Change>> &one_thing_wrong() {
    static const std::vector<std::pair<std::string, Change>> cases = {
        {"evidence.format", [](Case &c) { c.encoded = [](Bytes &b) { b.push_back(std::byte{0}); }; }},
        {"evidence.format", [](Case &c) { c.encoded = [](Bytes &b) { b.resize(max_evidence_size + 1); }; }},
        {"evidence.format", [](Case &c) { c.encoded = [](Bytes &b) { b.clear(); }; }},
        {"claims.format",
         [](Case &c) {
             // a trailing byte that REPORT_DATA covers: still not the agreed format
             c.evidence = [](Evidence &e) {
                 e.claims.push_back(std::byte{0});
                 report_field::report_data::put(e.report, report_data_for(e.claims));
                 sign_report(e.report);
             };
         }},
        {"snp.format", [](Case &c) { c.report.signature_algo = 2; }},
        {"evidence.format", [](Case &c) { c.evidence = [](Evidence &e) { e.report.push_back(std::byte{0}); }; }},
        {"snp.version", [](Case &c) { c.report.version = 6; }},
        {"snp.version", [](Case &c) { c.want.policy.report_versions = {2, 3}; }},
        {"snp.chain", [](Case &c) { c.want.emulated_ark.reset(); }},
        {"snp.chain", [](Case &c) { c.want.emulated_ark = der("ark-same-name"); }},
        {"snp.chain", [](Case &c) { c.want.emulated_ark = Bytes{}; }},
        {"snp.chain", [](Case &c) { c.want.now = parse_time("2046-01-01T00:00:00Z").value(); }},
        {"snp.chain", [](Case &c) { c.vek = "vcek-expired"; }},
        {"snp.chain", [](Case &c) { c.vek = "vcek-pkcs1"; }},
        {"snp.chain", [](Case &c) { c.ask = "ask-not-ca"; }},
        {"snp.chain", [](Case &c) { c.vek = "vek-key"; }},                                   // not a certificate
        {"snp.chain", [](Case &c) { c.evidence = [](Evidence &e) { e.certificates = {}; }; }}, // no table at all
        {"snp.chain", [](Case &c) { c.evidence = [](Evidence &e) { e.certificates.resize(40); }; }},
        {"snp.chain", [](Case &c) { c.evidence = [](Evidence &e) { e.certificates = Bytes(24); }; }},
        {"snp.revocation", [](Case &c) { c.want.policy.revocation = true; }},
        {"snp.revocation",
         [](Case &c) {
             c.want.policy.revocation = true;
             c.crl = "crl-revokes-ask";
         }},
        {"snp.revocation",
         [](Case &c) {
             c.want.policy.revocation = true;
             c.want.policy.crl_maximum_age_days = 516; // and a half
             c.crl = "crl-empty";
         }},
        // the relying party's own list counts instead of the host's, whatever the policy says
        {"snp.revocation",
         [](Case &c) {
             c.want.endorsements.crl = crl_of("crl-revokes-ask");
             c.crl = "crl-empty";
         }},
        {"snp.revocation", [](Case &c) { c.want.endorsements.crl = crl_of("crl-old"); }},
        {"snp.revocation", [](Case &c) { c.want.endorsements.crl = crl_of("usage-crl"); }}, // another ARK's
        {"snp.revocation",
         [](Case &c) {
             c.want.endorsements.crls = {crl_of("usage-crl"), crl_of("crl-revokes-ark")};
         }},
        {"snp.revocation",
         [](Case &c) {
             c.want.policy.revocation = true; // a list of another root is none
             c.want.endorsements.crls = {crl_of("usage-crl")};
         }},
        // what the collateral adds to the policy's minimum
        {"snp.tcb.minimum.launch",
         [](Case &c) {
             c.want.endorsements.minimum_tcb[1][static_cast<std::size_t>(TcbKind::launch)] =
                 Tcb{.level = {0, 10, 0, 25, 85}};
         }},
        {"snp.tcb.minimum.committed",
         [](Case &c) {
             c.want.endorsements.minimum_tcb[1][static_cast<std::size_t>(TcbKind::committed)] =
                 Tcb{.level = {0, 0, 1, 0, 0}};
         }},
        {"snp.signing_key", [](Case &c) { c.report.key_info |= 1u << 2; }},      // says VLEK, is a VCEK's
        {"snp.signing_key", [](Case &c) { c.report.key_info |= 7u << 2; }},      // says none
        {"snp.signing_key", [](Case &c) { c.report.key_info |= 2u << 2; }},      // says something unknown
        {"snp.signing_key", [](Case &c) { c.report.key_info |= 2; }},            // masked
        {"snp.signing_key", [](Case &c) { c.want.policy.signing_keys = {VekKind::vlek}; }},
        {"snp.signing_key", [](Case &c) { c.vek = "vcek-both"; }},
        {"snp.signature", [](Case &c) { c.after_signing = [](Bytes &b) { b[0x2a0] ^= std::byte{1}; }; }},
        {"snp.signature", [](Case &c) { c.after_signing = [](Bytes &b) { b[0x2a0 + 48] = std::byte{1}; }; }},
        {"snp.signature", [](Case &c) { c.after_signing = [](Bytes &b) { b[0x2e8 + 71] = std::byte{1}; }; }},
        {"snp.signature",
         [](Case &c) { c.after_signing = [](Bytes &b) { std::fill_n(b.begin() + 0x2a0, 48, std::byte{0}); }; }},
        {"snp.signature",
         [](Case &c) { c.after_signing = [](Bytes &b) { std::fill_n(b.begin() + 0x2e8, 48, std::byte{0xff}); }; }},
        {"binding.report_data", [](Case &c) { c.before_signing = [](Bytes &b) { b[0x50] ^= std::byte{1}; }; }},
        {"binding.report_data", [](Case &c) { c.before_signing = [](Bytes &b) { b[0x8f] ^= std::byte{0x80}; }; }},
        {"binding.nonce", [](Case &c) { c.want.nonce[31] ^= std::byte{1}; }},
        {"binding.nonce", [](Case &c) { c.claims.nonce.push_back(std::byte{0}); }},
        {"binding.nonce", [](Case &c) { c.want.nonce.clear(); }},
        {"binding.exporter", [](Case &c) { c.want.exporter = filled<exporter_size>(0x34); }},
        {"binding.exporter", [](Case &c) { c.claims.exporter.reset(); }},
        {"binding.key", [](Case &c) { c.want.peer_key = PublicKey{filled<48>(0x11), filled<48>(0x23)}; }},
        {"snp.product", [](Case &c) { c.report.cpuid_model = 0x01; }},  // Milan
        {"snp.product", [](Case &c) { c.report.cpuid_family = 0x1b; }}, // nothing that we know
        // another product than the policy's: it has no minimum for that, so those checks cannot be made
        {"snp.product", [](Case &c) { c.want.policy.products = {Product::milan}; }},
        {"snp.tcb.certificate", [](Case &c) { set_tcb(c.report.reported_tcb, TcbComponent::snp, 26); }},
        {"snp.tcb.certificate", [](Case &c) { set_tcb(c.report.reported_tcb, TcbComponent::boot_loader, 11); }},
        {"snp.tcb.minimum.reported",
         [](Case &c) { (*c.want.policy.minimum_tcb[1][0])[TcbComponent::microcode] = 85; }},
        {"snp.tcb.minimum.committed", [](Case &c) { set_tcb(c.report.committed_tcb, TcbComponent::snp, 24); }},
        {"snp.tcb.minimum.launch", [](Case &c) { set_tcb(c.report.launch_tcb, TcbComponent::boot_loader, 9); }},
        {"snp.tcb.minimum.current", [](Case &c) { set_tcb(c.report.current_tcb, TcbComponent::microcode, 83); }},
        {"snp.mitigation.launch", [](Case &c) { c.want.policy.launch_mitigations = 4; }}, // 3 has not bit 2, though 4 > 3
        {"snp.mitigation.current", [](Case &c) { c.want.policy.current_mitigations = 5; }},
        {"snp.advisories",
         [](Case &c) {
             c.want.policy.advisories = {{"AMD-SB-3015", "AMD-SB-3019"}};
             c.report.cpuid_stepping = 9; // a part of which no level is known
         }},
        {"snp.advisories", [](Case &c) { c.want.policy.advisories = {{"AMD-SB-3021"}}; }}, // pages may be swapped
        {"snp.advisories", [](Case &c) { c.want.policy.advisories = {{"AMD-SB-3030"}}; }}, // Genoa: nothing known
        {"snp.advisories", [](Case &c) { c.want.policy.advisories = {{"AMD-SB-1"}}; }},    // nobody's
        {"snp.provisional_firmware",
         [](Case &c) {
             c.want.policy.provisional_firmware = false;
             c.report.committed.build = 42;
         }},
        {"snp.provisional_firmware",
         [](Case &c) {
             c.want.policy.provisional_firmware = false;
             set_tcb(c.report.current_tcb, TcbComponent::microcode, 85);
         }},
        {"snp.report_id", [](Case &c) { c.want.policy.report_id = filled<32>(0x1d); }},
        {"snp.report_id_ma",
         [](Case &c) {
             c.want.policy.report_id_ma = filled<32>(0xff); // "none"
             c.report.report_id_ma = filled<32>(0x3a);
         }},
        {"snp.chip_id", [](Case &c) { c.report.chip_id[63] ^= std::byte{1}; }},
        {"snp.chip_id", [](Case &c) { c.report.chip_id = {}; }}, // masked without permission
        {"snp.chip_id.allowed", [](Case &c) { c.want.policy.chip_ids = {{filled<64>(1)}}; }},
        {"snp.csp_id", [](Case &c) { c.want.policy.csp_ids = {{"CN=cloud.example"}}; }},
        {"snp.measurement", [](Case &c) { c.report.measurement[47] ^= std::byte{1}; }},
        {"snp.measurement", [](Case &c) { c.want.measurements.clear(); }},
        {"snp.host_data", [](Case &c) { c.want.policy.host_data = filled<32>(0x0e); }},
        // launched for another manifest than the caller's, for none, and for one that the policy does not take
        {"snp.host_data", [](Case &c) { c.want.manifest = c.claims.manifest = filled<32>(0x0e); }},
        {"snp.host_data",
         [](Case &c) {
             c.want.manifest = c.claims.manifest = filled<32>(0x0d);
             c.report.host_data = {};
         }},
        {"snp.host_data",
         [](Case &c) {
             c.want.manifest = c.claims.manifest = filled<32>(0x0d);
             c.want.policy.host_data = filled<32>(0x0e);
         }},
        {"snp.host_data", // only zeros say that it was launched for none
         [](Case &c) {
             c.want.manifest = c.claims.manifest = filled<32>(0x0d);
             c.want.policy.host_data = ByteArray<32>{};
         }},
        {"snp.vmpl", [](Case &c) { c.report.vmpl = 1; }},
        {"snp.vmpl", [](Case &c) { c.report.vmpl = 0xffffffff; }},
        {"snp.vmpl",
         [](Case &c) {
             c.report.vmpl = 4;
             c.want.policy.vmpl = 4;
         }},
        {"snp.vmpl",
         [](Case &c) {
             c.report.vmpl = 4;
             c.want.policy.vmpl.reset();
         }},
        {"snp.vmpl",
         [](Case &c) {
             c.report.vmpl = 0xffffffff;
             c.want.policy.vmpl.reset();
         }},
        {"snp.measurement",
         [](Case &c) { // the policy's "skip" is none for evidence of an agent
             c.want.measurements.clear();
             c.want.policy.any_measurement = true;
         }},
        {"snp.measurement", [](Case &c) { c.want.policy.measurements = {filled<48>(0xab)}; }},
        {"snp.measurement",
         [](Case &c) {
             c.want.measurements = {filled<48>(0xab)};
             c.want.policy.measurements = {filled<48>(0xaa)};
         }},
        {"snp.policy.debug", [](Case &c) { c.report.policy |= 1u << 19; }},
        {"snp.policy.migration_agent", [](Case &c) { c.report.policy |= 1u << 18; }},
        {"snp.policy.smt", demand(&Policy::guest_policy, 2, false)},
        {"snp.policy.single_socket", demand(&Policy::guest_policy, 3, true)},
        {"snp.policy.cxl", [](Case &c) { c.report.policy |= 1u << 21; }},
        {"snp.policy.aes_256_xts", demand(&Policy::guest_policy, 5, true)},
        {"snp.policy.rapl_disabled", demand(&Policy::guest_policy, 6, true)},
        {"snp.policy.ciphertext_hiding", demand(&Policy::guest_policy, 7, true)},
        {"snp.policy.page_swap_disabled", demand(&Policy::guest_policy, 8, true)},
        {"snp.policy.abi", [](Case &c) { c.want.policy.abi_minimum = AbiVersion{0, 1}; }},
        {"snp.policy.abi",
         [](Case &c) {
             c.report.policy |= 0x01ff; // 1.255
             c.want.policy.abi_minimum = AbiVersion{2, 0};
         }},
        {"snp.platform_info.smt", demand(&Policy::platform_info, 0, false)},
        {"snp.platform_info.tsme", demand(&Policy::platform_info, 1, true)},
        {"snp.platform_info.ecc", [](Case &c) { c.report.platform_info &= ~std::uint64_t{4}; }},
        {"snp.platform_info.rapl_disabled", demand(&Policy::platform_info, 3, true)},
        {"snp.platform_info.ciphertext_hiding", demand(&Policy::platform_info, 4, true)},
        {"snp.platform_info.alias_check_complete", [](Case &c) { c.report.platform_info &= ~std::uint64_t{0x20}; }},
        {"snp.platform_info.tio", demand(&Policy::platform_info, 6, true)},
        {"snp.unknown_bits", [](Case &c) { c.report.platform_info |= 0x40; }},
        {"snp.unknown_bits", [](Case &c) { c.report.policy &= ~(std::uint64_t{1} << 17); }}, // must be one
        {"snp.unknown_bits", [](Case &c) { c.report.policy |= std::uint64_t{1} << 26; }},
        {"snp.unknown_bits", // a field that version 4 has not
         [](Case &c) {
             c.report.version = 4;
             c.report.launch_mit_vector = 0;
             c.want.policy.report_versions = {4};
         }},
        {"snp.unknown_bits", [](Case &c) { c.report.key_info |= 0x20; }},
        {"snp.unknown_bits", [](Case &c) { c.report.current_tcb |= 0xff0000; }},
        {"snp.unknown_bits", [](Case &c) { c.before_signing = [](Bytes &b) { b[0x18b] = std::byte{1}; }; }},
        {"snp.unknown_bits", [](Case &c) { c.before_signing = [](Bytes &b) { b[0x29f] = std::byte{0x80}; }; }},
        {"snp.unknown_bits", [](Case &c) { c.after_signing = [](Bytes &b) { b[0x49f] = std::byte{1}; }; }},
        {"snp.family_id",
         [](Case &c) {
             c.want.policy.id_key_digest = c.report.id_key_digest;
             c.want.policy.family_id = filled<16>(0xf2);
         }},
        {"snp.image_id",
         [](Case &c) {
             c.want.policy.author_key_digest = c.report.author_key_digest;
             c.want.policy.image_id = filled<16>(0x1e);
         }},
        {"snp.guest_svn",
         [](Case &c) {
             c.want.policy.id_key_digest = c.report.id_key_digest;
             c.want.policy.guest_svn_minimum = 8;
         }},
        // the right values, in an ID block that the host may have signed
        {"snp.family_id", [](Case &c) { c.want.policy.family_id = c.report.family_id; }},
        {"snp.image_id", [](Case &c) { c.want.policy.image_id = c.report.image_id; }},
        {"snp.guest_svn", [](Case &c) { c.want.policy.guest_svn_minimum = 7; }},
        {"snp.id_key_digest", [](Case &c) { c.want.policy.id_key_digest = filled<48>(0x1b); }},
        {"snp.author_key_digest", [](Case &c) { c.want.policy.author_key_digest = filled<48>(0xad); }},
        {"snp.author_key_digest", // the right digest, that nobody checked
         [](Case &c) {
             c.want.policy.author_key_digest = filled<48>(0xac);
             c.report.key_info = 0;
         }},
        {"claims.manifest", [](Case &c) { c.want.policy.manifest = filled<32>(0x77); }},
        {"claims.manifest",
         [](Case &c) {
             c.want.policy.manifest = filled<32>(0x77);
             c.claims.manifest = filled<32>(0x78);
         }},
        // launched for the caller's manifest, and given none yet, or another; two that are wanted
        {"claims.manifest", [](Case &c) { c.want.manifest = filled<32>(0x0d); }},
        {"claims.manifest",
         [](Case &c) {
             c.want.manifest = filled<32>(0x0d);
             c.claims.manifest = filled<32>(0x0e);
         }},
        {"claims.manifest",
         [](Case &c) {
             c.want.manifest = c.claims.manifest = filled<32>(0x0d);
             c.want.policy.manifest = filled<32>(0x0e);
         }},
    };
    return cases;
}

static void appraise_refuses_evidence_in_which_one_thing_is_wrong(void **) {
    for (const auto &[check, change] : one_thing_wrong()) {
        Case c = good_case();
        change(c);
        const Appraisal appraisal = appraise_case(c);
        const auto failed = with_outcome(appraisal, Outcome::failed);
        if (appraisal.accepted || failed != std::set<std::string>{check}) {
            print_error("%s:\n", check.c_str());
            explain(appraisal, c);
        }
        assert_false(appraisal.accepted.has_value());
        assert_false(appraisal.verdict.accepted());
        assert_true(failed == std::set<std::string>{check});
        assert_false(appraisal.verdict.find(check)->found.empty());
        assert_false(appraisal.verdict.find(check)->wanted.empty());
    }
}

static void every_check_has_evidence_in_which_only_it_fails(void **) {
    std::set<std::string> covered;
    for (const auto &[check, change] : one_thing_wrong())
        covered.insert(check);
    assert_int_equal(wrongly_covered(covered, of_measured_boot), 0);
}

static void bit_tables_and_checks_have_the_same_names(void **) {
    const auto same = [](CheckId first, const auto &bits) {
        for (std::size_t i = 0; i < bits.size(); ++i)
            assert_true(check_kinds()[static_cast<std::size_t>(first) + i].name == bits[i].check);
    };
    same(CheckId::snp_policy_debug, guest_policy_bits);
    same(CheckId::snp_platform_info_smt, platform_info_bits);
}

static void appraise_never_skips_what_may_not_be_skipped(void **) {
    // everything skipped that a policy or a caller can skip
    Case c = good_case();
    c.want.exporter = Skip{};
    c.want.peer_key = Skip{};
    for (auto &bit : c.want.policy.guest_policy)
        bit.reset();
    for (auto &bit : c.want.policy.platform_info)
        bit.reset();
    for (auto &product : c.want.policy.minimum_tcb)
        for (auto &minimum : product)
            minimum.reset();
    c.want.policy.masked_chip_id = true;
    c.want.policy.vmpl.reset();
    c.want.policy.any_report_data = true;
    c.report.chip_id = {};
    const Appraisal appraisal = appraise_case(c);
    assert_true(appraisal.accepted.has_value());
    for (std::size_t i = 0; i < check_kinds().size(); ++i) {
        const Check &check = appraisal.verdict.checks()[i];
        const Skipping skipping = check_kinds()[i].skipping;
        const bool never = skipping == Skipping::never || skipping == Skipping::report_only;
        assert_int_equal(check.outcome, never ? Outcome::passed : Outcome::skipped);
        if (!never)
            assert_true(check.anchor == "nothing");
    }
    for (const char *const name : {"evidence.format", "claims.format", "snp.format", "snp.version", "snp.chain",
                                   "snp.signing_key", "snp.signature", "binding.report_data", "binding.nonce",
                                   "snp.product", "snp.tcb.certificate", "snp.measurement", "snp.unknown_bits"})
        assert_int_equal(appraisal.verdict.find(name)->outcome, Outcome::passed);
}

static void appraise_accepts_what_a_policy_names(void **) {
    const std::vector<std::pair<const char *, Change>> cases = {
        {"an unknown bit",
         [](Case &c) {
             c.report.platform_info |= 0x40;
             c.want.policy.allowed_unknown_bits = {"platform_info.6"};
         }},
        {"bit 17 clear", [](Case &c) { c.want.policy.host_data = filled<32>(0x0d); }},
        {"an unknown version, whose CPUID bytes then say nothing",
         [](Case &c) {
             c.report.version = 9;
             c.report.cpuid_family = 0x77;
             c.want.policy.report_versions = {9};
         }},
        {"versions 3 and 4, without the fields of 5",
         [](Case &c) {
             c.report.version = 4;
             c.report.launch_mit_vector = c.report.current_mit_vector = 0;
             c.want.policy.report_versions = {3, 4};
         }},
        {"version 2 without CPUID bytes",
         [](Case &c) {
             c.report.version = 2;
             c.report.cpuid_family = c.report.cpuid_model = c.report.cpuid_stepping = 0;
             c.report.launch_mit_vector = c.report.current_mit_vector = 0;
             c.want.policy.report_versions = {2};
         }},
        {"exact identities",
         [](Case &c) {
             c.want.policy.host_data = c.report.host_data;
             c.want.policy.report_id = c.report.report_id;
             c.want.policy.report_id_ma = c.report.report_id_ma;
             c.want.policy.provisional_firmware = false;
             c.want.policy.advisories = {{"AMD-SB-3015", "AMD-SB-3019", "AMD-SB-7033"}};
             c.want.policy.family_id = c.report.family_id;
             c.want.policy.image_id = c.report.image_id;
             c.want.policy.id_key_digest = c.report.id_key_digest;
             c.want.policy.author_key_digest = c.report.author_key_digest;
             c.want.policy.guest_svn_minimum = 7;
             c.want.policy.chip_ids = {{filled<64>(9), c.report.chip_id}};
             c.want.policy.launch_mitigations = 1;
             c.want.policy.current_mitigations = 2;
             c.want.policy.abi_minimum = AbiVersion{0, 0};
         }},
        {"a masked CHIP_ID, of a chip that the certificate names",
         [](Case &c) {
             c.want.policy.chip_ids = {{c.report.chip_id}};
             c.report.chip_id = {};
             c.want.policy.masked_chip_id = true;
         }},
        {"a manifest", [](Case &c) { c.want.policy.manifest = c.claims.manifest = filled<32>(0x77); }},
        {"the caller's manifest, in HOST_DATA and claims",
         [](Case &c) { c.want.manifest = c.claims.manifest = filled<32>(0x0d); }},
        {"the caller's manifest, given to a CVM that was launched for none, where the policy wants that",
         [](Case &c) {
             c.want.manifest = c.claims.manifest = filled<32>(0x77);
             c.report.host_data = {};
             c.want.policy.host_data = ByteArray<32>{};
         }},
        {"a revocation list",
         [](Case &c) {
             c.want.policy.revocation = true;
             c.crl = "crl-other-serial";
         }},
        {"no certificate from the host, and the relying party's own",
         [](Case &c) {
             c.evidence = [](Evidence &e) { e.certificates = {}; };
             c.want.endorsements.veks = {certificate_of("vcek-milan"), certificate_of("vcek-genoa")};
             c.want.endorsements.intermediates = {certificate_of("ask")};
             c.want.endorsements.crls = {crl_of("usage-crl"), crl_of("crl-empty")};
             c.want.policy.revocation = true;
         }},
        {"the relying party's own list while the host's is of another",
         [](Case &c) {
             c.want.policy.revocation = true;
             c.crl = "crl-revokes-ask";
             c.want.endorsements.crl = crl_of("crl-empty");
         }},
        {"a wrong certificate from the host, and the relying party's own",
         [](Case &c) {
             c.vek = "vcek-expired";
             c.want.endorsements.veks = {certificate_of("vcek-genoa")};
         }},
        {"collateral for another chip beside the host's certificate",
         [](Case &c) { c.want.endorsements.veks = {certificate_of("vcek-milan"), certificate_of("vcek-turin")}; }},
        {"a minimum of the collateral's that is below the policy's",
         [](Case &c) { c.want.endorsements.minimum_tcb[1].fill(Tcb{.level = {0, 1, 0, 1, 1}}); }},
        {"a Turin certificate with 8 bytes of HWID and an FMC level",
         [](Case &c) {
             c.vek = "vcek-turin";
             c.report.cpuid_family = 0x1a;
             c.report.cpuid_model = 0x02;
             std::fill(c.report.chip_id.begin() + 8, c.report.chip_id.end(), std::byte{0});
             const Tcb tcb{.level = {3, 1, 0, 2, 71}};
             c.report.current_tcb = c.report.reported_tcb = c.report.committed_tcb = c.report.launch_tcb =
                 encode_tcb(Product::turin, tcb);
             c.want.policy.products = {Product::turin};
             c.want.policy.minimum_tcb[2].fill(tcb);
         }},
        {"a VLEK of a named provider",
         [](Case &c) {
             c.vek = "vlek-milan";
             c.as_vlek = true;
             c.report.key_info |= 1u << 2;
             c.report.cpuid_model = 0x01;
             c.report.chip_id = {};
             c.report.current_tcb = c.report.reported_tcb = c.report.committed_tcb = c.report.launch_tcb =
                 encode_tcb(Product::milan, Tcb{.level = {0, 4, 0, 24, 219}});
             c.want.policy.products = {Product::milan};
             c.want.policy.signing_keys = {VekKind::vlek};
             c.want.policy.csp_ids = {{"CN=cloud.example"}};
             c.want.policy.masked_chip_id = true;
         }},
    };
    for (const auto &[what, change] : cases) {
        Case c = good_case();
        change(c);
        const Appraisal appraisal = appraise_case(c);
        if (!appraisal.accepted) {
            print_error("%s:\n", what);
            explain(appraisal, c);
        }
        assert_true(appraisal.accepted.has_value());
    }
}

static void a_vlek_vouches_for_no_chip_of_a_list(void **) {
    Case c = good_case();
    c.vek = "vlek-milan";
    c.as_vlek = true;
    c.report.key_info |= 1u << 2;
    c.want.policy.signing_keys = {VekKind::vlek};
    // any provider will do only where the policy says so in writing, and the verdict shows it
    assert_int_equal(appraise_case(c).verdict.find("snp.csp_id")->outcome, Outcome::skipped);
    // nor does the CHIP_ID beside it count, though it is on the list
    c.want.policy.chip_ids = {{c.report.chip_id}};
    assert_int_equal(appraise_case(c).verdict.find("snp.chip_id.allowed")->outcome, Outcome::failed);
}

static void a_vlek_without_a_chip_never_matches_a_chip_list(void **) {
    Case c = good_case();
    c.vek = "vlek-milan";
    c.as_vlek = true;
    c.report.chip_id = {};
    c.want.policy.masked_chip_id = true;
    c.want.policy.chip_ids = {{ByteArray<64>{}}};
    assert_int_equal(appraise_case(c).verdict.find("snp.chip_id.allowed")->outcome, Outcome::failed);
}

// ---- a signer in the place of a launch digest
// --------------------------------------------------------------------------

static Case signed_case() {
    Case c = good_case();
    c.want.measurements.clear();
    c.want.signer_vouches = true;
    c.want.measurement_source = "the policy's signer";
    c.want.policy.signer = Signer{.id_key_digests = {filled<48>(0x1b), c.report.id_key_digest},
                                  .author_key_digests = {},
                                  .family_id = {},
                                  .image_id = {},
                                  .guest_svn_minimum = 7};
    return c;
}

static void appraise_accepts_what_a_pinned_signer_signed(void **) {
    const std::vector<std::pair<const char *, Change>> cases = {
        {"by the ID key", [](Case &) {}},
        {"whatever digest", [](Case &c) { c.report.measurement = filled<48>(0x99); }},
        {"a higher SVN", [](Case &c) { c.report.guest_svn = 0xffffffff; }},
        {"by the author key, whatever the ID key",
         [](Case &c) {
             c.want.policy.signer->id_key_digests.clear();
             c.want.policy.signer->author_key_digests = {c.report.author_key_digest};
             c.report.id_key_digest = filled<48>(0x77);
         }},
        {"without an author key, which nobody asked for",
         [](Case &c) {
             c.report.key_info = 0;
             c.report.author_key_digest = {};
         }},
        {"both keys, family and image",
         [](Case &c) {
             c.want.policy.signer->author_key_digests = {c.report.author_key_digest};
             c.want.policy.signer->family_id = c.report.family_id;
             c.want.policy.signer->image_id = c.report.image_id;
         }},
        {"and single members that agree",
         [](Case &c) {
             c.want.policy.id_key_digest = c.report.id_key_digest;
             c.want.policy.family_id = c.report.family_id;
             c.want.policy.guest_svn_minimum = 3;
         }},
    };
    for (const auto &[what, change] : cases) {
        Case c = signed_case();
        change(c);
        const Appraisal appraisal = appraise_case(c);
        if (!appraisal.accepted) {
            print_error("%s:\n", what);
            explain(appraisal, c);
        }
        assert_true(appraisal.accepted.has_value());
        assert_true(appraisal.accepted->by_signer());
        assert_true(appraisal.accepted->measurement() == c.report.measurement);
        assert_true(appraisal.verdict.find("snp.measurement")->anchor == "image signer");
    }
    const Case digest = good_case();
    assert_false(appraise_case(digest).accepted->by_signer());
    assert_true(appraise_case(digest).verdict.find("snp.measurement")->anchor == "image builder");
}

static void appraise_refuses_what_the_pinned_signer_did_not_sign(void **) {
    using Names = std::set<std::string>;
    const std::vector<std::tuple<const char *, Names, Change>> cases = {
        {"another ID key",
         {"snp.measurement", "snp.id_key_digest"},
         [](Case &c) { c.report.id_key_digest = filled<48>(0x77); }},
        {"no ID block at all",
         {"snp.measurement", "snp.id_key_digest", "snp.guest_svn"},
         [](Case &c) {
             c.report.id_key_digest = c.report.author_key_digest = {};
             c.report.key_info = 0;
             c.report.guest_svn = 0;
             c.report.family_id = c.report.image_id = {};
         }},
        {"no ID block, and zeros among the pinned keys",
         {"snp.measurement", "snp.id_key_digest"},
         [](Case &c) {
             c.report.id_key_digest = {};
             c.want.policy.signer->id_key_digests = {Sha384Digest{}};
         }},
        {"no ID block, and an author key pinned",
         {"snp.measurement"},
         [](Case &c) {
             c.report.id_key_digest = {};
             c.want.policy.signer->id_key_digests.clear();
             c.want.policy.signer->author_key_digests = {c.report.author_key_digest};
         }},
        {"a lower SVN", {"snp.measurement", "snp.guest_svn"}, [](Case &c) { c.report.guest_svn = 6; }},
        {"another author key",
         {"snp.measurement", "snp.author_key_digest"},
         [](Case &c) { c.want.policy.signer->author_key_digests = {filled<48>(0x77)}; }},
        {"the author key's digest without its bit",
         {"snp.measurement", "snp.author_key_digest"},
         [](Case &c) {
             c.want.policy.signer->author_key_digests = {c.report.author_key_digest};
             c.report.key_info = 0;
         }},
        {"an author key of zeros",
         {"snp.measurement", "snp.author_key_digest"},
         [](Case &c) {
             c.report.author_key_digest = {};
             c.want.policy.signer->author_key_digests = {Sha384Digest{}};
         }},
        {"another family",
         {"snp.measurement", "snp.family_id"},
         [](Case &c) { c.want.policy.signer->family_id = filled<16>(0xf2); }},
        {"another image",
         {"snp.measurement", "snp.image_id"},
         [](Case &c) { c.want.policy.signer->image_id = filled<16>(0x1e); }},
        {"a signer that names no key",
         {"snp.measurement"},
         [](Case &c) { c.want.policy.signer->id_key_digests.clear(); }},
        {"no signer in the policy", {"snp.measurement"}, [](Case &c) { c.want.policy.signer.reset(); }},
        {"nobody said that a signer will do", {"snp.measurement"}, [](Case &c) { c.want.signer_vouches = false; }},
        {"a launch digest was wanted as well",
         {"snp.measurement"},
         [](Case &c) { c.want.measurements = {filled<48>(0xbb)}; }},
        {"a single member demands another key",
         {"snp.id_key_digest"},
         [](Case &c) { c.want.policy.id_key_digest = filled<48>(0x1b); }},
        {"a single member demands another family",
         {"snp.family_id"},
         [](Case &c) {
             c.want.policy.signer->family_id = c.report.family_id;
             c.want.policy.family_id = filled<16>(0xf2);
         }},
        {"a single member demands a higher SVN",
         {"snp.guest_svn"},
         [](Case &c) { c.want.policy.guest_svn_minimum = 8; }},
        {"a debug guest, signed", {"snp.policy.debug"}, [](Case &c) { c.report.policy |= 1u << 19; }},
        {"a report that was changed after signing",
         {"snp.signature"},
         [](Case &c) { c.after_signing = [](Bytes &b) { b[0x90] ^= std::byte{1}; }; }},
    };
    for (const auto &[what, names, change] : cases) {
        Case c = signed_case();
        change(c);
        const Appraisal appraisal = appraise_case(c);
        if (appraisal.accepted || with_outcome(appraisal, Outcome::failed) != names) {
            print_error("%s:\n", what);
            explain(appraisal, c);
        }
        assert_false(appraisal.accepted.has_value());
        assert_true(with_outcome(appraisal, Outcome::failed) == names);
    }
}

static void a_signer_in_the_policy_counts_beside_a_launch_digest_too(void **) {
    Case c = signed_case();
    c.want.signer_vouches = false;
    c.want.measurements = {c.report.measurement};
    assert_true(appraise_case(c).accepted.has_value());
    assert_false(appraise_case(c).accepted->by_signer());
    c.report.guest_svn = 6;
    assert_true(with_outcome(appraise_case(c), Outcome::failed) == std::set<std::string>{"snp.guest_svn"});
}

// ---- changed evidence -----------------------------------------------------------------------------------------------

// All bits of a real one: test_flipped.
static void appraise_refuses_a_flipped_bit_in_every_byte_of_the_report(void **) {
    const Case c = good_case();
    const Bytes good = make_evidence(c);
    const Bytes report = parse_evidence(good)->report;
    const auto found = std::ranges::search(good, report);
    assert_int_equal(found.size(), snp_report_size);
    const std::size_t start = static_cast<std::size_t>(found.begin() - good.begin());
    assert_true(appraise(good, c.want).accepted.has_value());
    Bytes changed = good;
    std::size_t refused = 0;
    for (std::size_t at = start; at < start + snp_report_size; ++at) {
        const auto bit = static_cast<std::byte>(1u << (at * 5 % 8));
        changed[at] ^= bit;
        refused += !appraise(changed, c.want).accepted.has_value();
        changed[at] ^= bit;
    }
    assert_int_equal(refused, snp_report_size);
}

static void appraise_refuses_changed_bytes_around_the_report(void **) {
    const Case c = good_case();
    const Bytes good = make_evidence(c);
    const Evidence parts = parse_evidence(good).value();
    const auto offset = [&good](const Bytes &part) {
        return static_cast<std::size_t>(std::ranges::search(good, part).begin() - good.begin());
    };
    const std::size_t report = offset(parts.report);
    const std::size_t end_of_table = offset(parts.certificates) + 2 * std::size_t{24};
    Bytes changed = good;
    std::size_t accepted = 0;
    std::size_t tried = 0;
    for (std::size_t at = 0; at < good.size(); ++at) {
        if (at >= report && at < report + parts.report.size())
            continue; // every bit of it: above
        if (at >= end_of_table + 16 && at < end_of_table + 24)
            continue; // offset and length beside the zero GUID that ends the table: nobody reads them
        ++tried;
        changed[at] ^= std::byte{0x01};
        if (appraise(changed, c.want).accepted) {
            print_error("byte %zu of %zu (certificates from %zu, claims from %zu)\n", at, good.size(),
                        offset(parts.certificates), offset(parts.claims));
            ++accepted;
        }
        changed[at] ^= std::byte{0x01};
    }
    assert_true(tried > 2000);
    assert_int_equal(accepted, 0);
}

static void appraise_refuses_truncated_evidence(void **) {
    const Case c = good_case();
    const Bytes good = make_evidence(c);
    for (std::size_t size = 0; size < good.size(); ++size)
        assert_false(appraise(ByteView{good}.first(size), c.want).accepted.has_value());
}

static void signature_has_one_encoding(void **) {
    // n - s is the other signature of the same message: a valid one, and no way around any other check
    const Bytes evidence = make_evidence(good_case());
    const Bytes raw = parse_evidence(evidence)->report;
    const auto vek = parse_vek_cert(X509Certificate::parse(der("vcek-genoa"), "test").value()).value();
    assert_true(verify_report_signature(raw, vek.key).has_value());
    // r + n where that fits into 72 bytes
    const Bytes order =
        parse_hex("ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973",
                  "n")
            .value();
    Bytes changed = raw;
    unsigned carry = 0;
    for (std::size_t i = 0; i < 72; ++i) {
        const unsigned n = i < 48 ? std::to_integer<unsigned>(order[47 - i]) : 0;
        const unsigned sum = std::to_integer<unsigned>(changed[0x2a0 + i]) + n + carry;
        changed[0x2a0 + i] = static_cast<std::byte>(sum & 0xff);
        carry = sum >> 8;
    }
    assert_int_equal(verify_report_signature(changed, vek.key).error().code, Errc::out_of_range);
    // r = n exactly
    changed = raw;
    for (std::size_t i = 0; i < 48; ++i)
        changed[0x2a0 + i] = order[47 - i];
    assert_true(verify_report_signature(changed, vek.key).error() ==
                (Error{Errc::out_of_range, "snp_report.signature", 0}));
    PublicKey off_curve = vek.key;
    off_curve.y[0] ^= std::byte{1};
    assert_int_equal(verify_report_signature(raw, off_curve).error().code, Errc::unsupported);
    assert_int_equal(verify_report_signature(ByteView{raw}.first(1183), vek.key).error().code, Errc::truncated);
}

// ---- real reports ---------------------------------------------------------------------------------------------------

static void appraise_agrees_with_the_index_of_real_reports(void **) {
    const Json index = parse_json(data("reports.json"), "reports.json").value();
    std::map<std::string, int> seen;
    for (const Json &entry : index["reports"]) {
        Case c = good_case();
        c.want.emulated_ark.reset();
        c.want.now = parse_time("2025-10-01T00:00:00Z").value();
        c.want.policy.report_versions = {2, 3, 5};
        c.want.policy.products = {Product::milan, Product::genoa, Product::turin};
        c.want.policy.signing_keys = {VekKind::vcek, VekKind::vlek};
        const std::string dir = entry["dir"].get<std::string>() + "/";
        Evidence evidence;
        evidence.report = data(dir + entry["report"].get<std::string>());
        evidence.claims = encode_claims(c.claims);
        const Bytes vek = entry["vek"].is_null() ? Bytes{} : data(dir + entry["vek"].get<std::string>());
        CertTableParts parts{};
        (entry.value("vek_kind", "") == "vlek" ? parts.vlek : parts.vcek) = vek;
        evidence.certificates = encode_cert_table(parts);
        const Appraisal appraisal = appraise(encode_evidence(evidence), c.want);
        const auto passed = [&](const char *name) { return appraisal.verdict.find(name)->outcome == Outcome::passed; };

        assert_false(appraisal.accepted.has_value()); // their REPORT_DATA is not ours
        assert_false(appraisal.verdict.emulated());
        assert_true(passed("snp.format") && passed("snp.version"));
        assert_int_equal(appraisal.verdict.find("binding.report_data")->outcome, Outcome::failed);
        if (entry["vek"].is_null()) {
            assert_int_equal(appraisal.verdict.find("snp.chain")->outcome, Outcome::failed);
            assert_int_equal(appraisal.verdict.find("snp.signature")->outcome, Outcome::not_made);
            continue;
        }
        ++seen[entry["product_line"].get<std::string>()];
        assert_int_equal(passed("snp.chain"), entry["chain_valid"].get<bool>());
        assert_int_equal(passed("snp.signature"), entry["signature_valid"].get<bool>());
        assert_int_equal(passed("snp.tcb.certificate"), entry["tcb_matches_cert"].get<bool>());
        assert_int_equal(passed("snp.chip_id"), entry["hwid_matches_chip_id"].get<bool>());
        assert_true(passed("snp.signing_key") && passed("snp.product"));
        // the debug guest, the report at VMPL 1, and the bit of Turin's firmware
        assert_int_equal(passed("snp.policy.debug"), entry["name"] != "milan-v2-gcp-debug");
        assert_int_equal(passed("snp.vmpl"), entry["name"] != "milan-v3-vlek-aws-vmpl1");
        assert_int_equal(passed("snp.unknown_bits"), entry["name"] != "turin-v5-oc");
    }
    assert_int_equal(seen["Milan"], 9);
    assert_int_equal(seen["Genoa"], 1);
    assert_int_equal(seen["Turin"], 1);
}

// ---- a report by itself ---------------------------------------------------------------------------------------------

static Appraisal appraise_alone(const Case &c, const std::function<void(CertTableParts &)> &change = {}) {
    const auto evidence = parse_evidence(make_evidence(c)).value();
    const auto table = parse_cert_table(evidence.certificates).value();
    CertTableParts parts{.vcek = table.vcek, .vlek = table.vlek, .ask = table.ask, .ark = table.ark, .crl = table.crl};
    if (change)
        change(parts);
    return appraise_report(evidence.report, encode_cert_table(parts), c.want);
}

static void a_report_by_itself_is_accepted_but_nothing_is_released_to_it(void **) {
    Case c = good_case();
    c.want.report_data = parse_snp_report(parse_evidence(make_evidence(c))->report)->report_data;
    const Appraisal appraisal = appraise_alone(c);
    if (!appraisal.verdict.accepted())
        explain(appraisal, c);
    assert_true(appraisal.verdict.accepted() && appraisal.verdict.report_only());
    assert_false(appraisal.accepted.has_value());
    assert_true(appraisal.verdict[CheckId::binding_report_data].outcome == Outcome::passed);
    assert_true(appraisal.verdict[CheckId::binding_report_data].anchor == "caller");
    for (const char *const name : {"evidence.format", "claims.format", "binding.nonce", "binding.exporter",
                                   "binding.key", "claims.runtime_log", "claims.manifest", "claims.ak"})
        assert_int_equal(appraisal.verdict.find(name)->outcome, Outcome::skipped);
    assert_int_equal(appraisal.chain.size(), 3);
    assert_true(verdict_table(appraisal, c.want).starts_with("ACCEPTED (a report by itself"));
    const Json json = verdict_json(appraisal, c.want);
    assert_true(json["accepted"] == true && json["subject"] == "report");
}

static void report_data_of_a_report_by_itself_is_given_or_skipped_by_name(void **) {
    Case c = good_case();
    assert_true(with_outcome(appraise_alone(c), Outcome::not_made) == std::set<std::string>{"binding.report_data"});
    assert_false(appraise_alone(c).verdict.accepted());
    c.want.report_data = filled<64>(0);
    assert_true(with_outcome(appraise_alone(c), Outcome::failed) == std::set<std::string>{"binding.report_data"});
    c.want.report_data = Skip{};
    assert_true(appraise_alone(c).verdict.accepted());
    assert_true(appraise_alone(c).verdict[CheckId::binding_report_data].outcome == Outcome::skipped);
    // of evidence it says nothing: there the claims decide
    assert_true(appraise_case(c).verdict[CheckId::binding_report_data].outcome == Outcome::passed);
}

static void a_policy_may_skip_what_ties_a_report_to_a_question(void **) {
    Case c = good_case();
    c.want.measurements.clear();
    c.want.policy.any_measurement = c.want.policy.any_report_data = true;
    const Appraisal appraisal = appraise_alone(c);
    if (!appraisal.verdict.accepted())
        explain(appraisal, c);
    assert_true(appraisal.verdict.accepted() && !appraisal.accepted.has_value());
    for (const CheckId id : {CheckId::snp_measurement, CheckId::binding_report_data})
        assert_true(appraisal.verdict[id].outcome == Outcome::skipped && appraisal.verdict[id].wanted == "skip");
    assert_true(verdict_table(appraisal, c.want).contains("no launch digest wanted"));
    // what the caller says counts all the same
    c.want.measurements = {filled<48>(0xbb)};
    c.want.report_data = filled<64>(7);
    assert_true(with_outcome(appraise_alone(c), Outcome::failed) ==
                (std::set<std::string>{"snp.measurement", "binding.report_data"}));
    // and evidence of a connection is refused: unknown software could be at its other end
    c.want.measurements.clear();
    assert_true(with_outcome(appraise_case(c), Outcome::failed) == std::set<std::string>{"snp.measurement"});
    assert_false(appraise_case(c).accepted.has_value());
    // where neither says anything it fails as ever
    c = good_case();
    c.want.measurements.clear();
    c.want.report_data = Skip{};
    assert_true(with_outcome(appraise_alone(c), Outcome::failed) == std::set<std::string>{"snp.measurement"});
}

static void a_policy_may_say_what_ties_a_report_to_a_question(void **) {
    Case c = good_case();
    const auto report_data = parse_snp_report(parse_evidence(make_evidence(c))->report)->report_data;
    c.want.measurements.clear();
    c.want.policy.measurements = {filled<48>(0xbb), filled<48>(0xaa)};
    c.want.policy.report_data = report_data;
    const Appraisal appraisal = appraise_alone(c);
    assert_true(appraisal.verdict.accepted());
    for (const CheckId id : {CheckId::snp_measurement, CheckId::binding_report_data})
        assert_true(appraisal.verdict[id].outcome == Outcome::passed && appraisal.verdict[id].anchor == "policy");
    assert_true(appraise_case(c).accepted.has_value() && !appraise_case(c).accepted->by_signer());
    // skipped by the caller is not skipped by the policy
    c.want.report_data = Skip{};
    c.want.policy.report_data = filled<64>(7);
    assert_true(with_outcome(appraise_alone(c), Outcome::failed) == std::set<std::string>{"binding.report_data"});
    c.want.report_data = report_data; // both must hold
    assert_true(with_outcome(appraise_alone(c), Outcome::failed) == std::set<std::string>{"binding.report_data"});
    c.want.policy.report_data = report_data;
    c.want.measurements = {filled<48>(0xaa)};
    assert_true(appraise_alone(c).verdict.accepted());
    c.want.policy.measurements = {filled<48>(0xbb)};
    assert_true(with_outcome(appraise_alone(c), Outcome::failed) == std::set<std::string>{"snp.measurement"});
}

static void a_manifest_cannot_be_demanded_of_a_report_by_itself(void **) {
    Case c = good_case();
    c.want.report_data = Skip{};
    c.want.policy.manifest = filled<32>(1);
    assert_true(with_outcome(appraise_alone(c), Outcome::failed) == std::set<std::string>{"claims.manifest"});
}

static void of_a_report_by_itself_the_callers_manifest_is_wanted_in_host_data(void **) {
    Case c = good_case();
    c.want.report_data = Skip{};
    c.want.manifest = filled<32>(0x0d);
    assert_true(appraise_alone(c).verdict.accepted());
    c.want.manifest = filled<32>(0x0e);
    assert_true(with_outcome(appraise_alone(c), Outcome::failed) == std::set<std::string>{"snp.host_data"});
    c.report.host_data = {}; // nothing in the report says which manifest it is
    c.want.policy.host_data = ByteArray<32>{};
    assert_true(with_outcome(appraise_alone(c), Outcome::failed) == std::set<std::string>{"claims.manifest"});
}

static void a_given_ask_or_ark_must_be_the_one_of_the_chain(void **) {
    Case c = good_case();
    c.want.report_data = Skip{};
    const Bytes ark = der("ark"), forged = der("ark-same-name"), other = der("ask-other-name");
    assert_true(appraise_alone(c, [&](CertTableParts &p) { p.ark = ark; }).verdict.accepted());
    Appraisal appraisal = appraise_alone(c, [&](CertTableParts &p) { p.ark = forged; });
    assert_false(appraisal.verdict.accepted() || appraisal.verdict.emulated());
    assert_true(appraisal.verdict[CheckId::snp_chain].found.starts_with("the given ARK is "));
    assert_true(appraisal.chain.empty());
    appraisal = appraise_alone(c, [&](CertTableParts &p) { p.ark = ByteView{ark}.first(100); });
    assert_true(appraisal.verdict[CheckId::snp_chain].outcome == Outcome::failed);
    appraisal = appraise_alone(c, [&](CertTableParts &p) { p.ask = other; });
    assert_true(appraisal.verdict[CheckId::snp_chain].outcome == Outcome::failed);
}

static void recommended_policies_hold_for_real_reports_of_current_firmware(void **) {
    const struct {
        const char *policy, *dir;
    } cases[] = {
        {"milan", "oak/milan-v3-oc-release/"}, {"genoa", "oak/genoa-v5-oc-mitvector/"}, {"turin", "oak/turin-v5-oc/"}};
    for (const auto &[policy, dir] : cases) {
        Case c = good_case();
        c.want.emulated_ark.reset();
        c.want.now = parse_time("2025-10-01T00:00:00Z").value();
        c.want.policy = parse_policy(data(std::string{"../../policies/"} + policy + ".json")).value();
        Evidence evidence;
        evidence.report = data(std::string{dir} + "report.bin");
        evidence.claims = encode_claims(c.claims);
        c.want.measurements = {parse_snp_report(evidence.report)->measurement};
        const Bytes vcek = data(std::string{dir} + "vcek.der");
        evidence.certificates = encode_cert_table({.vcek = vcek, .vlek = {}, .ask = {}, .ark = {}, .crl = {}});
        const Appraisal appraisal = appraise(encode_evidence(evidence), c.want);
        const auto failed = with_outcome(appraisal, Outcome::failed);
        if (failed != std::set<std::string>{"binding.report_data"})
            explain(appraisal, c);
        assert_true(failed == std::set<std::string>{"binding.report_data"}); // somebody else's, and nothing else
    }
}

static void appraise_refuses_reports_under_forged_roots(void **) {
    for (const char *const folder : {"negative/forged-chain-Milan-B1/", "negative/forged-chain-Turin-B0/"}) {
        Case c = good_case();
        c.want.emulated_ark.reset();
        c.want.now = parse_time("2026-06-01T00:00:00Z").value();
        Evidence evidence;
        evidence.report = data(std::string{folder} + "report.bin");
        evidence.certificates = data(std::string{folder} + "cert_table.bin");
        evidence.claims = encode_claims(c.claims);
        const Appraisal appraisal = appraise(encode_evidence(evidence), c.want);
        assert_false(appraisal.accepted.has_value());
        const Check &chain = *appraisal.verdict.find("snp.chain");
        assert_int_equal(chain.outcome, Outcome::failed);
        assert_true(chain.found.contains("no AMD intermediate"));
    }
}

// ---- output ---------------------------------------------------------------------------------------------------------

static void verdict_json_equals_the_golden_file(void **) {
    const Case c = good_case();
    const std::string good = verdict_json(appraise_case(c), c.want).dump(2) + "\n";
    Case bad = good_case();
    bad.report.measurement = filled<48>(0xcc);
    const std::string refused = verdict_json(appraise_case(bad), bad.want).dump(2) + "\n";
    const std::pair<const char *, const std::string &> files[] = {{"verdict-accepted.json", good},
                                                                  {"verdict-refused.json", refused}};
    for (const auto &[name, text] : files) {
        if (const char *const folder = std::getenv("CVMIN_WRITE_GOLDEN")) // then look at the difference, and commit it
            std::ofstream{std::string{folder} + "/" + name} << text;
        assert_string_equal(text.c_str(), std::string{as_text(data(std::string{"appraise/"} + name))}.c_str());
    }
}

static void verdict_table_shows_what_people_need(void **) {
    Case c = good_case();
    std::string text = verdict_table(appraise_case(c), c.want);
    assert_true(text.starts_with("ACCEPTED (EMULATED"));
    assert_true(text.substr(text.rfind('\n', text.size() - 2) + 1).starts_with("ACCEPTED (EMULATED"));
    assert_true(text.contains("[EMULATED ARK]") && !text.contains("AMD ARK"));

    c.report.measurement = filled<48>(0xcc);
    text = verdict_table(appraise_case(c), c.want);
    assert_true(text.starts_with("REFUSED (EMULATED"));
    assert_true(text.substr(text.rfind('\n', text.size() - 2) + 1).starts_with("REFUSED"));
    std::string cc, bb;
    for (int i = 0; i < 48; ++i) {
        cc += "cc";
        bb += "bb";
    }
    assert_true(text.contains(cc) && text.contains(bb)); // both digests in full
    assert_true(text.contains("5a5a5a5a...5a5a5a5a"));   // the nonce is not

    c = good_case();
    c.want.emulated_ark.reset();
    text = verdict_table(appraise_case(c), c.want);
    assert_true(text.starts_with("REFUSED\n"));
}

static void verdict_output_is_printable_whatever_evidence_says(void **) {
    Case c = good_case();
    c.want.measurement_source = "\x1b[31mred\nACCEPTED";
    const std::string table = verdict_table(appraise_case(c), c.want);
    assert_false(table.contains('\x1b'));
    assert_true(table.contains("?[31mred?ACCEPTED"));
    assert_false(verdict_json(appraise_case(c), c.want).dump().contains("\\u001b"));
}

static void parse_time_takes_utc_or_an_offset(void **) {
    assert_int_equal(parse_time("1970-01-01T00:00:00Z").value(), 0);
    assert_int_equal(parse_time("2026-06-01T12:34:56Z").value(), 1780317296);
    assert_true(format_time(1780317296) == "2026-06-01T12:34:56Z");
    for (const char *const text :
         {"", "2026-06-01", "2026-06-01T12:34:56", "2026-06-01T12:34:56+02", "2026-06-01 12:34:56Z",
          "2026-06-01t12:34:56z", "+026-06-01T12:34:56Z", "2026-06-01T12:34:56Zx", "2026-06-01T12:34:56+2:00x",
          "2026-06-01T12:34:56 02:00", "2026-06-01T12:34:56+02.00", "2026-06-01T12:34:5Z+02:00"})
        assert_int_equal(parse_time(text).error().code, Errc::malformed);
    assert_int_equal(parse_time("2026-06-01T14:34:56+02:00").value(), 1780317296); // RFC 3339, 5.6: time-numoffset
    assert_int_equal(parse_time("2026-06-01T05:04:56-07:30").value(), 1780317296);
    assert_int_equal(parse_time("2026-06-01T12:34:56-00:00").value(), 1780317296);
    for (const char *const text : {"2026-06-01T12:34:56+24:00", "2026-06-01T12:34:56+00:60"})
        assert_int_equal(parse_time(text).error().code, Errc::out_of_range);
    for (const char *const text : {"2026-02-30T00:00:00Z", "2026-13-01T00:00:00Z", "2026-06-01T24:00:00Z",
                                   "2026-06-01T00:60:00Z", "2026-06-01T23:59:60Z", "2026-00-01T00:00:00Z"})
        assert_int_equal(parse_time(text).error().code, Errc::out_of_range);
}

// ---- genuine and acceptable
// -------------------------------------------------------------------------------------------

static void a_verdict_is_accepted_when_it_is_genuine_and_acceptable(void **) {
    const std::set<std::string> about_the_report{"snp.format",          "snp.chain",     "snp.revocation",
                                                 "snp.signing_key",     "snp.signature", "snp.product",
                                                 "snp.tcb.certificate", "snp.chip_id"};
    for (const auto &[check, change] : one_thing_wrong()) {
        Case c = good_case();
        change(c);
        const Verdict verdict = appraise_case(c).verdict;
        assert_int_equal(verdict.accepted(), verdict.genuine() != Genuine::no && verdict.acceptable());
        assert_false(verdict.accepted());
        if (!about_the_report.contains(check) && check != "evidence.format") {
            if (verdict.genuine() != Genuine::emulated)
                print_error("%s\n", check.c_str());
            assert_true(verdict.genuine() == Genuine::emulated); // and the policy refuses it
            assert_false(verdict.acceptable());
        }
    }
    const Verdict good = appraise_case(good_case()).verdict;
    assert_true(good.accepted() && good.acceptable() && good.genuine() == Genuine::emulated);
    assert_true(Verdict{}.genuine() == Genuine::no && !Verdict{}.acceptable());
}

static void a_genuine_report_may_be_unacceptable_and_the_other_way_round(void **) {
    const auto answers = [](const Change &change) {
        Case c = good_case();
        change(c);
        const Appraisal appraisal = appraise_case(c);
        const Json json = verdict_json(appraisal, c.want);
        assert_true(json["genuine"] == name(appraisal.verdict.genuine()));
        assert_true(json["acceptable"] == appraisal.verdict.acceptable());
        return std::pair{appraisal.verdict.genuine(), appraisal.verdict.acceptable()};
    };
    // of another product than the policy's, with a key that it does not take, of a masked chip: genuine all the same
    assert_true(answers([](Case &c) { c.want.policy.products = {Product::milan}; }).first == Genuine::emulated);
    assert_true(answers([](Case &c) { c.want.policy.signing_keys = {VekKind::vlek}; }) ==
                std::pair(Genuine::emulated, false));
    assert_true(answers([](Case &c) { c.report.chip_id = {}; }) == std::pair(Genuine::emulated, false));
    assert_true(answers([](Case &c) { c.report.policy |= 1u << 19; }) == std::pair(Genuine::emulated, false));
    // what it says would do, but nobody vouches for it
    assert_true(answers([](Case &c) { c.after_signing = [](Bytes &b) { b[0x2a0] ^= std::byte{1}; }; }) ==
                std::pair(Genuine::no, true));
    assert_true(answers([](Case &c) { c.report.chip_id[63] ^= std::byte{1}; }) == std::pair(Genuine::no, true));
    assert_true(answers([](Case &c) { c.report.cpuid_model = 0x01; }) == std::pair(Genuine::no, true));
    assert_true(answers([](Case &c) { c.report.key_info |= 2; }) == std::pair(Genuine::no, true));
    assert_true(answers([](Case &c) { c.want.emulated_ark.reset(); }) == std::pair(Genuine::no, true));

    Case c = good_case();
    c.report.policy |= 1u << 19;
    assert_true(verdict_table(appraise_case(c), c.want)
                    .contains("\ngenuine: for the emulated root only, which is no "
                              "hardware; acceptable: no\n"));
    c = good_case();
    c.after_signing = [](Bytes &b) { b[0x2a0] ^= std::byte{1}; };
    assert_true(
        verdict_table(appraise_case(c), c.want).contains("\ngenuine: no; acceptable: yes, if it were genuine\n"));
}

static void a_verdict_tells_of_advisories_that_nobody_required(void **) {
    Case c = good_case();
    set_tcb(c.report.launch_tcb, TcbComponent::snp, 22);
    for (auto &minimum : c.want.policy.minimum_tcb[1])
        minimum.reset();
    const Appraisal appraisal = appraise_case(c);
    assert_true(appraisal.accepted.has_value() && !c.want.policy.advisories);
    assert_true(appraisal.verdict[CheckId::snp_advisories].outcome == Outcome::skipped);
    assert_true(appraisal.verdict[CheckId::snp_advisories].found.contains("not met: AMD-SB-3019"));
    const std::string table = verdict_table(appraisal, c.want);
    assert_true(table.contains("  AMD-SB-3019: forged microcode takes a guest's confidentiality and integrity; launch "
                               "snp 22, wanted 23 (unconfirmed)\n"));
    assert_true(table.contains("Of these its report tells nothing: AMD-SB-3005, AMD-SB-3030, AMD-SB-3034"));
    const Json json = verdict_json(appraisal, c.want);
    assert_int_equal(json["advisories"].size(), advisories().size());
    assert_true(json["advisories"][1]["id"] == "AMD-SB-3019" && json["advisories"][1]["state"] == "unmet");
    assert_true(json["advisories"][1]["required"] == false && json["advisories"][0]["state"] == "met");
}

// docs/appraisal.md has one section per check, and none for what is no check.
static void documentation_names_every_check(void **) {
    const Bytes text = data("../../docs/appraisal.md");
    const std::string_view doc = as_text(text);
    for (const CheckKind &kind : check_kinds()) {
        const bool documented = doc.contains("| `" + std::string{kind.name} + "` |");
        if (!documented)
            print_error("docs/appraisal.md does not name %s\n", std::string{kind.name}.c_str());
        assert_true(documented);
    }
    for (std::size_t at = doc.find("\n| `"); at != doc.npos; at = doc.find("\n| `", at + 1)) {
        const std::string name{doc.substr(at + 4, doc.find('`', at + 4) - at - 4)};
        if (name.starts_with("snp.") || name.starts_with("binding.") || name.starts_with("claims."))
            assert_non_null(Verdict{}.find(name));
    }
}

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(appraise_accepts_good_evidence),
        cmocka_unit_test(a_verdict_starts_refused),
        cmocka_unit_test(a_binding_that_the_caller_does_not_speak_of_is_not_made_and_refused),
        cmocka_unit_test(a_binding_of_stored_evidence_rests_on_the_caller),
        cmocka_unit_test(appraise_refuses_evidence_in_which_one_thing_is_wrong),
        cmocka_unit_test(every_check_has_evidence_in_which_only_it_fails),
        cmocka_unit_test(bit_tables_and_checks_have_the_same_names),
        cmocka_unit_test(appraise_never_skips_what_may_not_be_skipped),
        cmocka_unit_test(appraise_accepts_what_a_policy_names),
        cmocka_unit_test(a_vlek_vouches_for_no_chip_of_a_list),
        cmocka_unit_test(a_vlek_without_a_chip_never_matches_a_chip_list),
        cmocka_unit_test(appraise_accepts_what_a_pinned_signer_signed),
        cmocka_unit_test(appraise_refuses_what_the_pinned_signer_did_not_sign),
        cmocka_unit_test(a_signer_in_the_policy_counts_beside_a_launch_digest_too),
        cmocka_unit_test(appraise_refuses_a_flipped_bit_in_every_byte_of_the_report),
        cmocka_unit_test(appraise_refuses_changed_bytes_around_the_report),
        cmocka_unit_test(appraise_refuses_truncated_evidence),
        cmocka_unit_test(signature_has_one_encoding),
        cmocka_unit_test(appraise_agrees_with_the_index_of_real_reports),
        cmocka_unit_test(recommended_policies_hold_for_real_reports_of_current_firmware),
        cmocka_unit_test(appraise_refuses_reports_under_forged_roots),
        cmocka_unit_test(a_report_by_itself_is_accepted_but_nothing_is_released_to_it),
        cmocka_unit_test(report_data_of_a_report_by_itself_is_given_or_skipped_by_name),
        cmocka_unit_test(a_policy_may_skip_what_ties_a_report_to_a_question),
        cmocka_unit_test(a_policy_may_say_what_ties_a_report_to_a_question),
        cmocka_unit_test(a_manifest_cannot_be_demanded_of_a_report_by_itself),
        cmocka_unit_test(of_a_report_by_itself_the_callers_manifest_is_wanted_in_host_data),
        cmocka_unit_test(a_given_ask_or_ark_must_be_the_one_of_the_chain),
        cmocka_unit_test(verdict_json_equals_the_golden_file),
        cmocka_unit_test(verdict_table_shows_what_people_need),
        cmocka_unit_test(verdict_output_is_printable_whatever_evidence_says),
        cmocka_unit_test(parse_time_takes_utc_or_an_offset),
        cmocka_unit_test(a_verdict_is_accepted_when_it_is_genuine_and_acceptable),
        cmocka_unit_test(a_genuine_report_may_be_unacceptable_and_the_other_way_round),
        cmocka_unit_test(a_verdict_tells_of_advisories_that_nobody_required),
        cmocka_unit_test(documentation_names_every_check),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
