// What people and other programs are shown: show's texts against known values of real files, the page's escaping, and
// attestation results that never say more than the verdict.
#include "tests/unit/appraise_fixture.hpp"
#include "tests/unit/vtpm_evidence.hpp"

#include "common/cose.hpp"
#include "host-tools/appraise/chain.hpp"
#include "host-tools/base/base64url.hpp"
#include "host-tools/present/ear.hpp"
#include "host-tools/present/html.hpp"
#include "host-tools/present/show.hpp"

#include <map>

using namespace cvmin;
using namespace cvmin::test;

static Result<std::vector<Item>> show(std::string_view kind, ByteView bytes, const ShowOptions &options = {}) {
    for (const ShowKind &each : show_kinds())
        if (each.name == kind)
            return each.show(bytes, options);
    abort();
}
static bool has(const std::string &text, const std::string &part) {
    if (!text.contains(part))
        print_error("no '%s' in:\n%s\n", part.c_str(), text.c_str());
    return text.contains(part);
}

// ---- show -----------------------------------------------------------------------------------------------------------

static void show_prints_every_real_report_as_the_index_has_it(void **) {
    const Json index = parse_json(data("reports.json"), "reports.json").value();
    int seen = 0;
    for (const Json &entry : index["reports"]) {
        const auto items = show("report", data(entry["dir"].get<std::string>() + "/report.bin"));
        assert_true(items.has_value());
        const Json json = show_json("report", *items)["report"];
        const Json &fields = entry["fields"];
        assert_true(json["version"] == fields["version"]);
        assert_true(json["vmpl"] == fields["vmpl"]);
        assert_true(json["measurement"] == fields["measurement"]);
        assert_true(json["report_data"] == fields["report_data"]);
        assert_true(json["policy"]["debug"] == ((fields["policy"].get<std::uint64_t>() >> 19 & 1) != 0));
        const std::string text = show_text(*items);
        assert_true(has(text, fields["measurement"].get<std::string>()));
        if (fields["version"] != 2 && !entry["vek"].is_null()) { // then the product is known, and the TCB in parts
            const Json &parts = entry["reported_tcb_parts"];
            assert_true(json["reported_tcb"]["boot_loader"] == parts["blSPL"]);
            assert_true(json["reported_tcb"]["snp"] == parts["snpSPL"]);
            assert_true(json["reported_tcb"]["microcode"] == parts["ucodeSPL"]);
        }
        ++seen;
    }
    assert_int_equal(seen, 13);
}

static void show_splits_the_tcb_of_a_version_2_report_for_a_named_product(void **) {
    const Bytes raw = data("sev/milan-v2/report.bin");
    Json json = show_json("report", show("report", raw).value())["report"];
    assert_true(json["reported_tcb"].is_string());
    json = show_json("report", show("report", raw, {.product = Product::milan}).value())["report"];
    const Tcb tcb = decode_tcb(Product::milan, parse_snp_report(raw)->reported_tcb);
    assert_true(json["reported_tcb"]["microcode"] == tcb[TcbComponent::microcode]);
    assert_false(json["reported_tcb"].contains("fmc"));
}

static void show_prints_certificates_of_all_kinds_and_forms(void **) {
    const std::string vcek = show_text(show("cert", data("oak/turin-v5-oc/vcek.der")).value());
    for (const char *const part : {"CN=SEV-VCEK", "VCEK", "Turin", "fmc", "hwid"})
        assert_true(has(vcek, part));
    const std::string vlek = show_text(show("cert", data("trustee/milan-v3-vlek-aws-vmpl1/vlek.der")).value());
    assert_true(has(vlek, "csp id") && has(vlek, "VLEK"));
    for (const AmdCertificate &amd : amd_certificates())
        assert_true(has(show_text(show("cert", amd.certificate->der()).value()),
                        std::string{amd.role} + " of " + std::string{name(amd.product)}));
    // one in PEM as that one in DER, and two after each other as two
    const Bytes pem = data("appraise/vcek-genoa.pem");
    assert_true(show_text(show("cert", pem).value()) == show_text(show("cert", der("vcek-genoa")).value()));
    Bytes two = pem;
    two.insert(two.end(), pem.begin(), pem.end());
    assert_int_equal(show("cert", two)->size(), 2);
    Bytes many;
    for (std::size_t i = 0; i <= max_shown_certificates; ++i)
        many.insert(many.end(), pem.begin(), pem.end());
    assert_true(show("cert", many).error().code == Errc::too_large);
    assert_true(show("cert", ByteView{two}.first(two.size() - 30)).error().code == Errc::truncated);
    // a host's table, with what cannot be read named
    const std::string table = show_text(show("cert", data("negative/forged-chain-Milan-B1/cert_table.bin")).value());
    assert_true(has(table, "VCEK") && has(table, "ARK"));
}

static void show_prints_lists_claims_and_evidence(void **) {
    const std::string list = show_text(show("crl", der("crl-revokes-ask")).value());
    assert_true(has(list, "revoked since") && has(list, "next update") && has(list, "serial "));
    const auto evidence = parse_evidence(data("appraise/evidence.cbor")).value();
    const std::string claims = show_text(show("claims", evidence.claims).value());
    assert_true(has(claims, "eat_nonce") && has(claims, hex(report_data_for(evidence.claims))));
    const auto items = show("evidence", data("appraise/evidence.cbor")).value();
    const Json json = show_json("evidence", items);
    assert_true(json["evidence"]["report_names_these_claims"] == true && json["verified"] == false);
    assert_true(json["evidence"]["certificates"].contains("vcek"));
    Case c = good_case();
    c.evidence = [](Evidence &e) {
        e.claims = encode_claims(
            {.nonce = Bytes(32, std::byte{1}), .key = {}, .exporter = {}, .runtime_log = {}, .manifest = {}, .ak = {}});
    };
    assert_true(has(show_text(show("evidence", make_evidence(c)).value()), "NO: REPORT_DATA is not their SHA-512"));
}

static void show_decodes_hex_and_leaves_the_rest(void **) {
    const Bytes raw = data("sev/milan-v2/report.bin");
    std::string digits = "0x" + hex(raw) + "\n";
    for (std::size_t at = 66; at < digits.size(); at += 65)
        digits.insert(at, "\n");
    assert_true(decoded(as_bytes(digits)) == raw);
    assert_true(decoded(raw) == raw);
    for (const std::string_view text : {"", "abc", "zz", "12 3x", "-----BEGIN CERTIFICATE-----"})
        assert_true(equal(decoded(as_bytes(text)), as_bytes(text)));
}

static void show_refuses_what_is_something_else(void **) {
    const std::map<std::string, Bytes> files = {{"report", data("sev/milan-v2/report.bin")},
                                                {"cert", der("ark")},
                                                {"crl", der("crl-empty")},
                                                {"evidence", data("appraise/evidence.cbor")},
                                                {"claims", parse_evidence(data("appraise/evidence.cbor"))->claims}};
    for (const auto &[kind, bytes] : files)
        for (const auto &[other, unused] : files)
            assert_int_equal(show(other, bytes).has_value(), kind == other);
    for (const auto &[kind, unused] : files) {
        assert_false(show(kind, {}).has_value());
        assert_false(show(kind, Bytes(5000, std::byte{0xff})).has_value());
    }
}

static void show_lets_no_control_character_through(void **) {
    Bytes certificate = der("vcek-genoa"); // its subject's common name, with an escape sequence in it
    const std::string wanted = "SEV-VCEK";
    const auto at = std::ranges::search(as_text(certificate), wanted).begin() - as_text(certificate).begin();
    certificate[static_cast<std::size_t>(at)] = std::byte{0x1b};
    certificate[static_cast<std::size_t>(at) + 1] = std::byte{0x9b};
    const auto items = show("cert", certificate);
    if (items)
        for (const char c : show_text(*items))
            assert_true(c == '\n' || (c >= 0x20 && c <= 0x7e));
}

// ---- page -----------------------------------------------------------------------------------------------------------

static void the_page_shows_the_verdict_and_nothing_that_loads(void **) {
    Case c = good_case();
    std::string page = verdict_html(appraise_case(c), c.want);
    for (const char *const part :
         {"id=\"emulated\"", "<h1 id=\"verdict\">ACCEPTED</h1>", "id=\"tcb\"", "default-src 'none'", "snp.measurement"})
        assert_true(has(page, part));
    for (const char *const part : {"<script", "http:", "https:", "url(", "@import", "<img", "<link", "id=\"why\""})
        assert_false(page.contains(part));
    c.want.measurements = {filled<48>(0xbb)};
    Appraisal explained = appraise_case(c);
    explained.explanation = {.lines = {"matches if vcpus = 4", "<b>"}, .json = {}};
    page = verdict_html(explained, c.want);
    assert_true(has(page, "<h1 id=\"verdict\">REFUSED</h1>") && has(page, "id=\"why\""));
    assert_true(has(page, "matches if vcpus = 4\n&lt;b&gt;"));
    c.want.emulated_ark.reset();
    assert_false(verdict_html(appraise_case(c), c.want).contains("id=\"emulated\""));
    assert_true(has(verdict_html(appraise({}, c.want), c.want), "REFUSED"));
}

static void the_page_escapes_what_it_is_given(void **) {
    Case c = good_case();
    c.want.measurement_source = "<script>alert('x')</script>\"&\x1b";
    Appraisal appraisal = appraise_case(c);
    appraisal.explanation = {.lines = {"<img src=x onerror=\"y\">"}, .json = {}};
    const std::string page = verdict_html(appraisal, c.want);
    assert_false(page.contains("<script") || page.contains("<img") || page.contains('\x1b'));
    assert_true(has(page, "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&quot;&amp;?"));
}

// ---- attestation results
// ----------------------------------------------------------------------------------------------

// A real report that is accepted, under AMD's root.
static Case real_case(Bytes &report, Bytes &table) {
    Case c = good_case();
    report = data("oak/genoa-v5-oc-mitvector/report.bin");
    const Bytes vcek = data("oak/genoa-v5-oc-mitvector/vcek.der");
    table = encode_cert_table({.vcek = vcek, .vlek = {}, .ask = {}, .ark = {}, .crl = {}});
    c.want.emulated_ark.reset();
    c.want.now = parse_time("2025-10-01T00:00:00Z").value();
    c.want.policy = parse_policy(data("../../policies/genoa.json")).value();
    c.want.measurements = {parse_snp_report(report)->measurement};
    c.want.report_data = parse_snp_report(report)->report_data;
    return c;
}

static void an_accepted_real_report_is_affirmed(void **) {
    Bytes report, table;
    Case c = real_case(report, table);
    Appraisal appraisal = appraise_report(report, table, c.want);
    assert_true(appraisal.verdict.accepted());
    assert_true(ear_status(appraisal) == "affirming");
    TrustVector vector = trust_vector(appraisal);
    assert_int_equal(vector.configuration, 2);
    assert_int_equal(vector.executables, 3);
    assert_int_equal(vector.hardware, 2);
    assert_int_equal(vector.runtime_opaque, 2);
    assert_int_equal(vector.instance_identity, 0); // any genuine chip would have done
    assert_int_equal(vector.file_system + vector.storage_opaque + vector.sourced_data, 0);
    c.want.policy.chip_ids = {{appraisal.report->chip_id}};
    assert_int_equal(trust_vector(appraise_report(report, table, c.want)).instance_identity, 2);
    // what was skipped is not affirmed
    c.want.policy.guest_policy[0].reset();
    appraisal = appraise_report(report, table, c.want);
    assert_true(appraisal.verdict.accepted() && ear_status(appraisal) == "warning");
}

static void a_refused_verdict_is_never_affirmed(void **) {
    Bytes report, table;
    const Case c = real_case(report, table);
    for (std::size_t i = 0; i < report.size(); i += 7) { // some bit of every field
        Bytes changed = report;
        changed[i] ^= std::byte{static_cast<unsigned char>(1u << i % 8)};
        assert_true(ear_status(appraise_report(changed, table, c.want)) == "contraindicated");
    }
    const std::vector<std::pair<const char *, std::function<void(Expectations &)>>> wrong = {
        {"measurement", [](Expectations &w) { w.measurements.clear(); }},
        {"report_data", [](Expectations &w) { w.report_data = filled<64>(1); }},
        {"unsaid", [](Expectations &w) { w.report_data = {}; }},
        {"debug", [](Expectations &w) { w.policy.guest_policy[0] = true; }},
        {"vmpl", [](Expectations &w) { w.policy.vmpl = 3; }},
        {"tcb", [](Expectations &w) { w.policy.minimum_tcb[1][2] = Tcb{.level = {0, 255, 0, 0, 0}}; }},
        {"chip", [](Expectations &w) { w.policy.chip_ids = {{filled<64>(1)}}; }},
        {"version", [](Expectations &w) { w.policy.report_versions = {2}; }},
        {"product", [](Expectations &w) { w.policy.products = {Product::milan}; }},
        {"ecc", [](Expectations &w) { w.policy.platform_info[2] = false; }},
        {"manifest", [](Expectations &w) { w.policy.manifest = filled<32>(1); }},
        {"revocation", [](Expectations &w) { w.policy.revocation = true; }},
        {"time", [](Expectations &w) { w.now = 0; }}};
    for (const auto &[what, change] : wrong) {
        Expectations want = c.want;
        change(want);
        const Appraisal appraisal = appraise_report(report, table, want);
        if (appraisal.verdict.accepted() || ear_status(appraisal) != "contraindicated")
            print_error("%s\n", what);
        assert_false(appraisal.verdict.accepted());
        assert_true(ear_status(appraisal) == "contraindicated");
    }
    // no evidence at all
    assert_true(ear_status(appraise({}, c.want)) == "contraindicated");
    assert_int_equal(trust_vector(appraise({}, c.want)).instance_identity, 99);
}

// Whoever reads one of them alone must not take a TPM of the host's for more than it is.
static void every_form_of_a_verdict_says_what_a_vtpm_proves(void **) {
    const Bytes evidence = vtpm_evidence("good-vtpm");
    Expectations wanted = vtpm_expectations(evidence);
    Appraisal appraisal = appraise(evidence, wanted);
    assert_true(appraisal.accepted.has_value() && appraisal.vtpm == "host-run vTPM");
    assert_true(appraisal.verdict[CheckId::tpm_quote].anchor == "host-run vTPM");
    assert_true(appraisal.verdict[CheckId::runtime_log_replay].anchor == "agent");
    const std::string note{vtpm_note("host-run vTPM")};
    assert_true(note.contains("they add no trust to the launch digest"));
    assert_true(has(verdict_table(appraisal, wanted), "Anchored in: host-run vTPM. " + note));
    const Json json = verdict_json(appraisal, wanted);
    assert_true(json["vtpm"]["anchor"] == "host-run vTPM" && json["vtpm"]["note"] == note);
    assert_true(has(verdict_html(appraisal, wanted), "Anchored in: host-run vTPM.</b> " + note));
    for (const EarProfile profile : {EarProfile::ietf, EarProfile::veraison}) {
        const Json claims = ear_claims(appraisal, wanted, {.profile = profile, .issued = 1}).value();
        const Json &said = claims["submods"]["sev-snp"]
                                 [profile == EarProfile::ietf ? "ear_verifier_claims" : "ear.veraison.policy-claims"];
        assert_true(said["vtpm"]["anchor"] == "host-run vTPM" && said["vtpm"]["note"] == note);
    }
    assert_int_equal(trust_vector(appraisal).executables, 3);

    // of an SVSM only when its EK is attested and the AK shown to be beside it
    const Bytes inside = vtpm_evidence("good-svsm");
    wanted = vtpm_expectations(inside);
    wanted.policy.vmpl = 2;
    wanted.policy.vtpm->svsm = true;
    appraisal = appraise(inside, wanted);
    assert_true(appraisal.accepted.has_value() && appraisal.vtpm == "SVSM vTPM");
    assert_true(appraisal.verdict[CheckId::tpm_quote].anchor == "SVSM vTPM");
    assert_true(appraisal.verdict[CheckId::tpm_svsm].anchor == "EMULATED ARK");
    assert_int_equal(trust_vector(appraisal).executables, 2);
    Expectations untried = wanted;
    untried.activation = Skip{};
    appraisal = appraise(inside, untried);
    assert_true(appraisal.accepted.has_value() && appraisal.vtpm == "host-run vTPM");
    assert_int_equal(trust_vector(appraisal).executables, 3);
    wanted.policy.vtpm->svsm = false; // nobody looked
    assert_true(appraise(inside, wanted).vtpm == "host-run vTPM");
    untried.activation = {}; // said neither what came back nor skip
    assert_false(appraise(inside, untried).accepted.has_value());

    // where no quote was looked at nothing is said of one
    wanted.policy.vtpm.reset();
    wanted.policy.event_log = wanted.policy.boot_events = false;
    wanted.policy.ima.reset();
    appraisal = appraise(inside, wanted);
    assert_true(appraisal.accepted.has_value() && appraisal.vtpm.empty());
    assert_true(verdict_json(appraisal, wanted)["vtpm"].is_null());
    assert_false(has(verdict_table(appraisal, wanted), "Anchored in"));
    // and a report by itself has none
    const Appraisal alone = appraise_report(parse_evidence(evidence)->report, {}, vtpm_expectations(evidence));
    for (const CheckId id : {CheckId::tpm_quote, CheckId::claims_runtime_log})
        assert_true(alone.verdict[id].outcome == Outcome::failed);
    assert_true(alone.vtpm.empty());
}

static void an_emulated_root_is_never_affirmed(void **) {
    const Case c = good_case();
    const Appraisal appraisal = appraise_case(c);
    assert_true(appraisal.verdict.accepted() && ear_status(appraisal) == "contraindicated");
    const TrustVector vector = trust_vector(appraisal);
    assert_int_equal(vector.hardware, 97);
    assert_int_equal(vector.instance_identity, 97);
    assert_int_equal(vector.runtime_opaque, 96);
}

static void ear_claims_equal_the_golden_files(void **) {
    for (const EarProfile profile : {EarProfile::ietf, EarProfile::veraison}) {
        Bytes report, table;
        Case c = real_case(report, table);
        c.want.policy.digest = filled<32>(0xd1);
        c.want.nonce.clear(); // a question of its own (below) would stand above REPORT_DATA
        Json claims =
            ear_claims(appraise_report(report, table, c.want), c.want, {.profile = profile, .issued = 1790000000})
                .value();
        // what the shipped policy skips is not this test's business
        Json &of_verifier = claims["submods"]["sev-snp"]
                                  [profile == EarProfile::ietf ? "ear_verifier_claims" : "ear.veraison.policy-claims"];
        assert_true(of_verifier["skipped"].is_array());
        of_verifier.erase("skipped");
        const std::string wanted{as_text(data("appraise/ear-" + std::string{name(profile)} + ".json"))};
        const std::string found = claims.dump(2) + "\n";
        if (found != wanted)
            print_error("ear-%s.json:\n%s", std::string{name(profile)}.c_str(), found.c_str());
        assert_true(found == wanted);
    }
}

static void an_ear_carries_the_nonce_or_is_not_made(void **) {
    Case c = good_case();
    Json claims = ear_claims(appraise_case(c), c.want, {.issued = 1}).value();
    assert_true(claims["eat_nonce"] == "WlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlo");
    Bytes report, table;
    c = real_case(report, table); // REPORT_DATA is wanted, and the question that it answers is shorter
    assert_true(ear_claims(appraise_report(report, table, c.want), c.want, {.issued = 1})->at("eat_nonce") ==
                "WlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlo");
    c.want.nonce.clear();
    c.want.report_data = Skip{};
    const Appraisal appraisal = appraise_report(report, table, c.want);
    assert_true(appraisal.verdict.accepted());
    assert_true(ear_claims(appraisal, c.want, {.issued = 1}).error().code == Errc::missing);
    assert_true(ear_profile_by_name("veraison") == EarProfile::veraison && !ear_profile_by_name("none"));
}

static void an_ear_expires_and_names_the_key_that_the_report_binds(void **) {
    Case c = good_case();
    Appraisal appraisal = appraise_case(c);
    Json claims = ear_claims(appraisal, c.want, {.issued = 10, .expires = 70}).value();
    assert_true(claims["iat"] == 10 && claims["exp"] == 70);
    assert_true(claims["cnf"]["jwk"] == jwk_of(appraisal.claims->key));
    assert_true(claims["cnf"]["jwk"]["kty"] == "EC" && claims["cnf"]["jwk"]["crv"] == "P-384");
    const Json &said = claims["submods"]["sev-snp"]["ear_verifier_claims"];
    assert_true(said["emulated_ark"] == hex(sha256(*c.want.emulated_ark)));
    assert_true(said["host_data"] == hex(appraisal.report->host_data));
    assert_false(ear_claims(appraisal, c.want, {.issued = 10}).value().contains("exp"));
    // claims that no report binds, or a report that nobody signed, name nothing
    for (const bool forged : {false, true}) {
        c = good_case();
        if (forged)
            c.want.emulated_ark.reset();
        else
            c.want.nonce.back() ^= std::byte{1};
        appraisal = appraise_case(c);
        assert_true(appraisal.claims.has_value() && !appraisal.verdict.accepted());
        claims = ear_claims(appraisal, c.want, {.issued = 10}).value();
        assert_false(claims.contains("cnf"));
        for (const char *const member : {"emulated_ark", "host_data", "manifest"})
            assert_false(claims["submods"]["sev-snp"]["ear_verifier_claims"].contains(member));
    }
}

static int part(const Json &claims, const char *submodule, const char *claim) {
    return claims["submods"][submodule]["ear_trustworthiness_vector"][claim].get<int>();
}

static void each_part_of_the_evidence_has_a_submodule(void **) {
    const Bytes evidence = vtpm_evidence("good-svsm");
    Expectations wanted = vtpm_expectations(evidence);
    wanted.policy.vmpl = 2;
    wanted.policy.vtpm->svsm = true;
    Json claims = ear_claims(appraise(evidence, wanted), wanted, {.issued = 1}).value();
    assert_int_equal(claims["submods"].size(), 3);
    assert_int_equal(part(claims, "vtpm", "executables"), 2);
    assert_int_equal(part(claims, "runtime-log", "executables"), 2);
    for (const char *const submodule : {"vtpm", "runtime-log"}) { // an emulated root is none
        assert_int_equal(part(claims, submodule, "instance-identity"), 97);
        assert_true(claims["submods"][submodule]["ear_status"] == "contraindicated");
    }
    // a TPM of the host's affirms nothing
    const Bytes outside = vtpm_evidence("good-vtpm");
    wanted = vtpm_expectations(outside);
    claims = ear_claims(appraise(outside, wanted), wanted, {.issued = 1}).value();
    assert_int_equal(part(claims, "vtpm", "executables"), 0);
    assert_int_equal(part(claims, "runtime-log", "executables"), 3);
    // of another image nothing counts that it says
    wanted.measurements = {filled<48>(0xbb)};
    claims = ear_claims(appraise(outside, wanted), wanted, {.issued = 1}).value();
    assert_int_equal(part(claims, "vtpm", "executables"), 96);
    assert_int_equal(part(claims, "runtime-log", "executables"), 96);
    // what nobody looked at has none
    const Case c = good_case();
    claims = ear_claims(appraise_case(c), c.want, {.issued = 1}).value();
    assert_false(claims["submods"].contains("vtpm"));
}

static void a_jwk_set_names_each_key_by_its_thumbprint(void **) {
    PublicKey key;
    key.x = filled<48>(1);
    key.y = filled<48>(2);
    const Json set = jwks_json(std::vector{key, PublicKey{key.y, key.x}});
    assert_int_equal(set["keys"].size(), 2);
    // by sha256sum(1) of the members in RFC 7638's order, with 48 times 0x01 and 48 times 0x02
    assert_true(set["keys"][0]["kid"] == "6_Wj_nmVPFYtU8uKQPXN66l7Gk9DxRK8aI5GObxJPz0");
    assert_true(set["keys"][0]["alg"] == "ES384" && set["keys"][0]["use"] == "sig");
    assert_true(set["keys"][0]["x"] == set["keys"][1]["y"] && set["keys"][0]["kid"] != set["keys"][1]["kid"]);
}

static void base64url_has_one_text_for_the_same_bytes(void **) {
    for (std::size_t size = 0; size < 70; ++size) {
        Bytes bytes(size, std::byte{0xfb});
        const std::string text = base64url(bytes);
        assert_true(parse_base64url(text, "text").value() == bytes);
        assert_true(text.find_first_of("+/=") == text.npos);
    }
    assert_true(base64url(as_bytes("\xfb\xff")) == "-_8");
    for (const char *const bad : {"-_9", "-_8==", "+/8", "-", "-_8\n", "-_8 ", "a.b", "-_\x80"})
        assert_true(parse_base64url(bad, "text").error().code == Errc::malformed);
}

static void a_cwt_has_the_draft_s_labels(void **) {
    P384PrivateKey key;
    std::uint64_t state = 1;
    const Bytes private_key = data("appraise/vek-key.der");
    assert_true(key.parse(private_key, test_random, &state, "key").has_value());
    const Case c = good_case();
    const Json claims = ear_claims(appraise_case(c), c.want, {.issued = 1666529184, .expires = 1666529484}).value();
    const Bytes cwt = sign_cwt(claims, key).value();
    const cose::Sign1 message = cose::parse_sign1(cwt, cwt.size()).value();
    assert_true(cose::verify_sign1(message, key.public_key().value()).has_value());
    assert_true(cose::find_member(message.protected_header, cose::label::kid).has_value());
    cbor::Cursor in(message.payload, message.payload.size(), "payload", cbor::Form::deterministic);
    assert_int_equal(in.map(), 7);
    assert_int_equal(in.key().value(), 4); // exp
    assert_int_equal(in.unsigned_integer(), 1666529484);
    assert_int_equal(in.key().value(), 6); // iat
    assert_int_equal(in.unsigned_integer(), 1666529184);
    assert_int_equal(in.key().value(), 8); // cnf: COSE_Key of kind EC2 on P-384
    assert_true(hex(in.skip_item()).starts_with("a101a401022002215830" + hex(c.claims.key.x) + "225830"));
    assert_int_equal(in.key().value(), 10); // eat_nonce
    assert_true(equal(in.bytes(32, 32), c.want.nonce));
    assert_int_equal(in.key().value(), 265); // eat_profile
    assert_true(in.text(1, 64) == "tag:ietf.org,2026:rats/ear#04");
    assert_int_equal(in.key().value(), 266); // submods
    assert_true(in.map() >= 1);
    // "sev-snp", 1000: contraindicated, 1001: the vector by AR4SI's labels
    assert_true(hex(message.payload)
                    .contains("677365762d736e70a5"
                              "1903e81860"
                              "1903e9a8001861010202030300041861051860060007001903eb"));
    // 1004: developer, build
    assert_true(hex(message.payload)
                    .ends_with("1903eca20065" + hex(as_bytes("cvmin")) + "016b" + hex(as_bytes("cvmin 0.1.0"))));
    assert_true(
        sign_cwt(ear_claims(appraise_case(c), c.want, {.profile = EarProfile::veraison, .issued = 1}).value(), key)
            .error()
            .code == Errc::unsupported);
}

static void a_jwt_is_signed_with_es384(void **) {
    P384PrivateKey key;
    std::uint64_t state = 1;
    const Bytes private_key = data("appraise/vek-key.der");
    assert_true(key.parse(private_key, test_random, &state, "key").has_value());
    const std::string jwt = sign_jwt(Json{{"a", 1}}, key).value();
    assert_true(jwt.starts_with("eyJhbGciOiJFUzM4NCIsInR5cCI6IkpXVCIsImtpZCI6")); // {"alg":"ES384","typ":"JWT","kid":"
    const std::size_t first = jwt.find('.'), last = jwt.rfind('.');
    assert_true(jwt.substr(first + 1, last - first - 1) == "eyJhIjoxfQ");
    std::string text = jwt.substr(last + 1);
    assert_int_equal(text.size(), 128);
    std::ranges::replace(text, '-', '+');
    std::ranges::replace(text, '_', '/');
    P384Signature signature;
    std::ranges::copy(parse_base64(text, "signature").value(), signature.begin());
    const Sha384Digest digest = sha384(as_bytes(jwt.substr(0, last)));
    assert_true(verify_p384(key.public_key().value(), digest, signature, "jwt").has_value());
}

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(show_prints_every_real_report_as_the_index_has_it),
        cmocka_unit_test(show_splits_the_tcb_of_a_version_2_report_for_a_named_product),
        cmocka_unit_test(show_prints_certificates_of_all_kinds_and_forms),
        cmocka_unit_test(show_prints_lists_claims_and_evidence),
        cmocka_unit_test(show_decodes_hex_and_leaves_the_rest),
        cmocka_unit_test(show_refuses_what_is_something_else),
        cmocka_unit_test(show_lets_no_control_character_through),
        cmocka_unit_test(the_page_shows_the_verdict_and_nothing_that_loads),
        cmocka_unit_test(the_page_escapes_what_it_is_given),
        cmocka_unit_test(an_accepted_real_report_is_affirmed),
        cmocka_unit_test(a_refused_verdict_is_never_affirmed),
        cmocka_unit_test(every_form_of_a_verdict_says_what_a_vtpm_proves),
        cmocka_unit_test(an_emulated_root_is_never_affirmed),
        cmocka_unit_test(ear_claims_equal_the_golden_files),
        cmocka_unit_test(an_ear_carries_the_nonce_or_is_not_made),
        cmocka_unit_test(an_ear_expires_and_names_the_key_that_the_report_binds),
        cmocka_unit_test(each_part_of_the_evidence_has_a_submodule),
        cmocka_unit_test(a_jwk_set_names_each_key_by_its_thumbprint),
        cmocka_unit_test(base64url_has_one_text_for_the_same_bytes),
        cmocka_unit_test(a_cwt_has_the_draft_s_labels),
        cmocka_unit_test(a_jwt_is_signed_with_es384),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
