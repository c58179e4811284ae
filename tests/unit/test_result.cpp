// Attestation results as a relying party reads and judges them. Each check has a result in which only that is wrong.
#include "tests/unit/appraise_fixture.hpp"

#include "host-tools/base/base64url.hpp"
#include "host-tools/result/appraise_result.hpp"

#include <set>

using namespace cvmin;
using namespace cvmin::test;

namespace {

constexpr std::time_t issued = 1'790'000'000, expires = issued + 3600, now = issued + 60;
const std::string policy = std::string{policy_id_prefix} + std::string(64, 'a');
const std::string other_policy = std::string{policy_id_prefix} + std::string(64, 'b');

struct Signer {
    P384PrivateKey key;
    PublicKey public_key{};
    explicit Signer(const char *file) {
        std::uint64_t state = 1;
        if (!key.parse(data(file), test_random, &state, "key"))
            abort();
        public_key = key.public_key().value();
    }
};
const Signer &verifier() {
    static const Signer signer{"appraise/vek-key.der"};
    return signer;
}
const Signer &stranger() {
    static const Signer signer{"negative/certificates/vek-key.der"};
    return signer;
}

PublicKey agent_key() {
    return {filled<48>(0x11), filled<48>(0x22)};
}

// Written down here, and not made by what makes results: what a verifier says of a machine with AMD's root.
Json good_claims() {
    Json json = parse_json(as_bytes(R"({
        "eat_profile": "tag:ietf.org,2026:rats/ear#04",
        "iat": 1790000000, "exp": 1790003600,
        "eat_nonce": "Wlpaf1pa",
        "ear_verifier_id": {"developer": "cvmin", "build": "cvmin 0.1.0"},
        "submods": {
            "sev-snp": {
                "ear_status": "affirming",
                "ear_trustworthiness_vector": {"instance-identity": 0, "configuration": 2, "executables": 3,
                    "file-system": 0, "hardware": 2, "runtime-opaque": 2, "storage-opaque": 0, "sourced-data": 0},
                "ear_verifier_claims": {"accepted": true, "emulated": false, "subject": "evidence",
                    "nonce_by": "service"},
                "ear_attester_claims": {"version": 5}
            },
            "vtpm": {"ear_status": "none", "ear_trustworthiness_vector": {}},
            "runtime-log": {"ear_status": "affirming", "ear_trustworthiness_vector": {"executables": 3}}
        }})"),
                           "claims")
                    .value();
    json["cnf"] = {{"jwk", jwk_of(agent_key())}};
    Json &part = json["submods"]["sev-snp"];
    part["ear_appraisal_policy_ids"] = Json::array({policy});
    part["ear_verifier_claims"]["manifest"] = hex(filled<32>(0x77));
    part["ear_attester_claims"]["measurement"] = hex(filled<48>(0xaa));
    return json;
}
Json &part(Json &claims) {
    return claims["submods"]["sev-snp"];
}

// The same of an emulated machine.
Json emulated_claims() {
    Json claims = good_claims();
    part(claims)["ear_status"] = "contraindicated";
    part(claims)["ear_trustworthiness_vector"] = {
        {"instance-identity", 97}, {"configuration", 2}, {"executables", 3}, {"hardware", 97}, {"runtime-opaque", 96}};
    part(claims)["ear_verifier_claims"]["emulated"] = true;
    part(claims)["ear_verifier_claims"]["emulated_ark"] = hex(sha256(as_bytes("an ARK")));
    claims["submods"]["vtpm"] = {{"ear_status", "contraindicated"},
                                 {"ear_trustworthiness_vector", {{"instance-identity", 97}}}};
    claims["submods"]["runtime-log"] = {
        {"ear_status", "contraindicated"},
        {"ear_trustworthiness_vector", {{"instance-identity", 97}, {"executables", 3}}}};
    return claims;
}

ResultExpectations good_wanted() {
    ResultExpectations wanted;
    wanted.verifiers = {stranger().public_key, verifier().public_key};
    wanted.nonce = NonceOfService{};
    wanted.peer_key = agent_key();
    wanted.policies = std::vector{other_policy, policy};
    wanted.measurements = std::vector{filled<48>(0xbb), filled<48>(0xaa)};
    wanted.manifest = filled<32>(0x77);
    wanted.now = now;
    return wanted;
}

std::string token_of(const Json &claims, const Signer &signer = verifier()) {
    return sign_jwt(claims, signer.key).value();
}

struct Wrong { // one thing
    const char *check;
    std::function<void(Json &)> claims;
    std::function<void(ResultExpectations &)> wanted;
};

// The only failed check is this one, and no other is missing.
void only_fails(const Json &claims, const ResultExpectations &wanted, std::string_view check) {
    const ResultAppraisal appraisal = appraise_result(as_bytes(token_of(claims)), wanted);
    assert_false(appraisal.valid || appraisal.accepted.has_value());
    for (const Check &row : appraisal.checks) {
        const bool fine = row.outcome == Outcome::passed || row.outcome == Outcome::skipped;
        if (fine == (row.name == check))
            print_error("%s: %s is %s: %s\n", std::string{check}.c_str(), std::string{row.name}.c_str(),
                        std::string{name(row.outcome)}.c_str(), row.found.c_str());
        assert_true(fine != (row.name == check));
    }
}

const std::vector<Wrong> &wrongs() {
    static const std::vector<Wrong> all{
        {"result.issued", {}, [](auto &w) { w.now = issued - max_clock_skew_s - 1; }},
        {"result.issued", {}, [](auto &w) { w.max_age_s = 59; }},
        {"result.expiry", {}, [](auto &w) { w.now = expires; }},
        {"result.expiry", [](Json &c) { c["exp"] = issued; }, [](auto &w) { w.now = issued - 1; }},
        {"result.expiry", [](Json &c) { c.erase("exp"); }, {}},
        {"result.nonce", [](Json &c) { part(c)["ear_verifier_claims"]["nonce_by"] = "client"; }, {}},
        {"result.nonce", [](Json &c) { part(c)["ear_verifier_claims"].erase("nonce_by"); }, {}},
        {"result.nonce", {}, [](auto &w) { w.nonce = Bytes(6, std::byte{0x5a}); }},
        {"result.nonce", {}, [](auto &w) { w.nonce = Bytes{}; }},
        {"result.nonce", {}, [](auto &w) { w.nonce = std::monostate{}; }},
        {"result.key", [](Json &c) { c.erase("cnf"); }, {}},
        {"result.key", {}, [](auto &w) { w.peer_key = PublicKey{filled<48>(0x11), filled<48>(0x23)}; }},
        {"result.key", {}, [](auto &w) { w.peer_key = std::monostate{}; }},
        {"result.policy", [](Json &c) { part(c)["ear_appraisal_policy_ids"] = {policy + "0"}; }, {}},
        {"result.policy", [](Json &c) { part(c).erase("ear_appraisal_policy_ids"); }, {}},
        // of another part: that is not what was asked
        {"result.policy",
         [](Json &c) {
             part(c).erase("ear_appraisal_policy_ids");
             c["submods"]["vtpm"]["ear_appraisal_policy_ids"] = {policy};
         },
         {}},
        {"result.policy", {}, [](auto &w) { w.policies = std::monostate{}; }},
        {"result.emulated", [](Json &c) { part(c)["ear_verifier_claims"].erase("emulated"); }, {}},
        {"result.status", [](Json &c) { part(c)["ear_status"] = "warning"; }, {}},
        {"result.status", [](Json &c) { part(c)["ear_status"] = "contraindicated"; }, {}},
        {"result.status", [](Json &c) { part(c)["ear_status"] = "none"; }, {}},
        {"result.status", [](Json &c) { part(c)["ear_verifier_claims"]["accepted"] = false; }, {}},
        {"result.status", [](Json &c) { part(c)["ear_verifier_claims"].erase("accepted"); }, {}},
        {"result.status", [](Json &c) { part(c)["ear_verifier_claims"]["subject"] = "report"; }, {}},
        {"result.status", [](Json &c) { c["submods"]["runtime-log"]["ear_status"] = "contraindicated"; }, {}},
        {"result.status", [](Json &c) { c["submods"]["vtpm"]["ear_status"] = "warning"; }, {}},
        {"result.measurement", {}, [](auto &w) { w.measurements = std::vector{filled<48>(0xbb)}; }},
        {"result.measurement", [](Json &c) { part(c).erase("ear_attester_claims"); }, {}},
        {"result.measurement", {}, [](auto &w) { w.measurements = std::monostate{}; }},
        {"result.manifest", {}, [](auto &w) { w.manifest = filled<32>(0x78); }},
        {"result.manifest", [](Json &c) { part(c)["ear_verifier_claims"].erase("manifest"); }, {}},
        {"result.manifest", {}, [](auto &w) { w.manifest = std::monostate{}; }},
    };
    return all;
}

} // namespace

static void a_good_result_is_accepted(void **) {
    const ResultAppraisal appraisal = appraise_result(as_bytes(token_of(good_claims()) + "\n"), good_wanted());
    for (const Check &check : appraisal.checks)
        assert_true(check.outcome == Outcome::passed);
    assert_true(appraisal.valid && appraisal.accepted && !appraisal.emulated);
    assert_true(appraisal.accepted->key() == agent_key() && !appraisal.accepted->emulated());
    assert_true(appraisal.accepted->measurement() == filled<48>(0xaa));
    // both members' names
    std::string text = good_claims().dump();
    for (const auto &[ietf, veraison] : {std::pair{"tag:ietf.org,2026:rats/ear#04", "tag:github.com,2023:veraison/ear"},
                                         {"ear_status", "ear.status"},
                                         {"ear_trustworthiness_vector", "ear.trustworthiness-vector"},
                                         {"ear_appraisal_policy_ids", "ear.appraisal-policy-id"},
                                         {"ear_verifier_claims", "ear.veraison.policy-claims"},
                                         {"ear_attester_claims", "ear.veraison.annotated-evidence"},
                                         {"ear_verifier_id", "ear.verifier-id"}})
        for (std::size_t at = 0; (at = text.find(ietf, at)) != text.npos;)
            text.replace(at, std::strlen(ietf), veraison);
    Json older = parse_json(as_bytes(text), "claims").value();
    part(older)["ear.appraisal-policy-id"] = policy;
    assert_true(appraise_result(as_bytes(token_of(older)), good_wanted()).accepted.has_value());
}

static void a_result_in_which_one_thing_is_wrong_is_refused(void **) {
    std::set<std::string> covered;
    for (const Wrong &wrong : wrongs()) {
        Json claims = good_claims();
        ResultExpectations wanted = good_wanted();
        if (wrong.claims)
            wrong.claims(claims);
        if (wrong.wanted)
            wrong.wanted(wanted);
        only_fails(claims, wanted, wrong.check);
        covered.insert(wrong.check);
    }
    // each claim of the vector that is worse than it may be, of each part
    for (const char *name : {"sev-snp", "vtpm", "runtime-log"})
        for (const TrustClaim &claim : trust_claims())
            for (const int value : {1, 32, 96, 127, -1}) {
                Json claims = good_claims();
                claims["submods"][name]["ear_trustworthiness_vector"][std::string{claim.name}] = value;
                only_fails(claims, good_wanted(), "result.vector");
            }
    for (const char *claim : {"configuration", "executables", "hardware", "runtime-opaque"}) { // not affirmed
        Json claims = good_claims();
        part(claims)["ear_trustworthiness_vector"].erase(claim);
        only_fails(claims, good_wanted(), "result.vector");
    }
    covered.insert("result.vector");
    for (const CheckKind &kind : result_check_kinds()) // the first three have tests of their own
        assert_true(covered.contains(std::string{kind.name}) || kind.name == "result.format" ||
                    kind.name == "result.verifier" || kind.name == "result.signature");
}

static void only_a_trusted_verifier_s_signature_counts(void **) {
    const auto failed = [](const std::string &token, const ResultExpectations &wanted, ResultCheck check) {
        const ResultAppraisal appraisal = appraise_result(as_bytes(token), wanted);
        return !appraisal.valid && !appraisal.accepted && appraisal[check].outcome == Outcome::failed;
    };
    ResultExpectations wanted = good_wanted();
    wanted.verifiers = {stranger().public_key};
    assert_true(failed(token_of(good_claims()), wanted, ResultCheck::verifier));
    wanted.verifiers = {};
    assert_true(failed(token_of(good_claims()), wanted, ResultCheck::verifier));
    // the stranger's signature under the verifier's name
    const std::string ours = token_of(good_claims());
    Json header{{"alg", "ES384"}, {"kid", base64url(key_thumbprint(verifier().public_key))}};
    const auto signed_by_stranger = [&](const std::string &head) {
        const std::string text = base64url(as_bytes(head)) + "." + base64url(as_bytes(good_claims().dump()));
        return text + "." + base64url(stranger().key.sign(sha384(as_bytes(text)), rfc6979_nonce, nullptr).value());
    };
    assert_true(failed(signed_by_stranger(header.dump()), good_wanted(), ResultCheck::signature));
    // any other claims under the verifier's signature
    Json claims = good_claims();
    claims["exp"] = expires + 1;
    const std::string other = token_of(claims);
    const std::string mixed = other.substr(0, other.rfind('.')) + ours.substr(ours.rfind('.'));
    assert_true(failed(mixed, good_wanted(), ResultCheck::signature));
}

static void what_can_not_be_read_is_refused(void **) {
    const auto reads = [](const std::string &token) {
        const ResultAppraisal appraisal = appraise_result(as_bytes(token), good_wanted());
        assert_false(appraisal.valid && appraisal[ResultCheck::format].outcome != Outcome::passed);
        return appraisal[ResultCheck::format].outcome == Outcome::passed;
    };
    const std::string good = token_of(good_claims());
    assert_true(reads(good));
    const std::string body = good.substr(good.find('.'));
    const auto with_header = [&](std::string_view header) { return base64url(as_bytes(header)) + body; };
    const std::string kid = base64url(key_thumbprint(verifier().public_key));
    assert_true(reads(with_header(R"({"alg":"ES384","kid":")" + kid + "\"}")));
    for (const std::string &header :
         {R"({"alg":"none","kid":")" + kid + "\"}", R"({"alg":"ES256","kid":")" + kid + "\"}",
          R"({"alg":"ES384","crit":["b64"],"kid":")" + kid + "\"}", std::string{R"({"alg":"ES384"})"},
          std::string{R"({"alg":"ES384","kid":"AAAA"})"}, std::string{"[]"}, std::string{"x"},
          R"({"alg":"ES384","alg":"ES384","kid":")" + kid + "\"}"})
        assert_false(reads(with_header(header)));
    for (const std::string &token :
         {std::string{}, std::string{"."}, std::string{".."}, good + ".", good + "=", good + "\n\n", " " + good,
          good.substr(0, good.size() - 4), good.substr(0, good.rfind('.')), std::string(max_result_size + 1, 'A')})
        assert_false(reads(token));

    using Change = std::function<void(Json &)>;
    for (const Change &change : std::initializer_list<Change>{
             [](Json &c) { c.erase("iat"); },
             [](Json &c) { c["iat"] = "1790000000"; },
             [](Json &c) { c["iat"] = -1; },
             [](Json &c) { c["iat"] = 1.5; },
             [](Json &c) { c["exp"] = max_result_time + 1; },
             [](Json &c) { c.erase("eat_nonce"); },
             [](Json &c) { c["eat_nonce"] = ""; },
             [](Json &c) { c["eat_nonce"] = Json::array({"Wlpa", "Wlpa"}); },
             [](Json &c) { c.erase("eat_profile"); },
             [](Json &c) { c["eat_profile"] = "tag:ietf.org,2026:rats/ear"; },
             [](Json &c) { c["cnf"] = {{"kid", "x"}}; },
             [](Json &c) { c["cnf"]["jwk"]["crv"] = "P-256"; },
             [](Json &c) { c["cnf"]["jwk"]["x"] = "AAAA"; },
             [](Json &c) { c.erase("submods"); },
             [](Json &c) { c["submods"] = Json::object(); },
             [](Json &c) { c["submods"].erase("sev-snp"); },
             [](Json &c) { part(c).erase("ear_status"); },
             [](Json &c) { part(c)["ear_status"] = "fine"; },
             [](Json &c) { part(c)["ear_status"] = 2; },
             [](Json &c) { part(c).erase("ear_trustworthiness_vector"); },
             [](Json &c) { part(c)["ear_trustworthiness_vector"]["hardware"] = 128; },
             [](Json &c) { part(c)["ear_trustworthiness_vector"]["hardware"] = 2.0; },
             [](Json &c) { part(c)["ear_trustworthiness_vector"]["hard-ware"] = 2; },
             [](Json &c) { part(c)["ear_appraisal_policy_ids"] = {1}; },
             [](Json &c) { part(c)["ear_appraisal_policy_ids"] = std::vector<std::string>(17, "x"); },
             [](Json &c) { part(c)["ear_verifier_claims"]["accepted"] = "true"; },
             [](Json &c) { part(c)["ear_verifier_claims"]["manifest"] = "77"; },
             [](Json &c) { part(c)["ear_attester_claims"]["measurement"] = std::string(96, 'g'); },
             [](Json &c) {
                 for (int i = 0; i < 14; ++i)
                     c["submods"]["part-" + std::to_string(i)] = c["submods"]["vtpm"];
             }}) {
        Json claims = good_claims();
        change(claims);
        if (reads(token_of(claims)))
            print_error("%s\n", claims.dump().c_str());
        assert_false(reads(token_of(claims)));
    }
}

static void an_emulated_machine_counts_only_for_those_who_name_its_root(void **) {
    ResultExpectations wanted = good_wanted();
    only_fails(emulated_claims(), wanted, "result.emulated");
    wanted.emulated_ark = to_bytes(as_bytes("an ARK"));
    const ResultAppraisal appraisal = appraise_result(as_bytes(token_of(emulated_claims())), wanted);
    assert_true(appraisal.accepted && appraisal.accepted->emulated() && appraisal.emulated);
    assert_true(result_table(appraisal, {}, now).starts_with("ACCEPTED, on a verifier's word (EMULATED"));
    // a real one is none the worse for it
    assert_true(appraise_result(as_bytes(token_of(good_claims())), wanted).accepted.has_value());
    wanted.emulated_ark = to_bytes(as_bytes("another"));
    only_fails(emulated_claims(), wanted, "result.emulated");
    wanted.emulated_ark = to_bytes(as_bytes("an ARK"));
    Json claims = emulated_claims();
    part(claims)["ear_verifier_claims"].erase("emulated_ark");
    only_fails(claims, wanted, "result.emulated");
    // what being emulated does not explain
    for (const auto &[claim, value] : {std::pair{"configuration", 96},
                                       {"executables", 96},
                                       {"executables", 0},
                                       {"instance-identity", 99},
                                       {"hardware", 96},
                                       {"runtime-opaque", 97},
                                       {"file-system", 96}}) {
        claims = emulated_claims();
        part(claims)["ear_trustworthiness_vector"][claim] = value;
        only_fails(claims, wanted, "result.vector");
    }
    claims = emulated_claims();
    claims["submods"]["runtime-log"]["ear_trustworthiness_vector"]["executables"] = 96;
    only_fails(claims, wanted, "result.vector");
    claims = emulated_claims();
    part(claims)["ear_verifier_claims"]["accepted"] = false;
    only_fails(claims, wanted, "result.status");
    // nor is an emulated machine affirmed by anybody
    claims = emulated_claims();
    part(claims)["ear_status"] = "affirming";
    only_fails(claims, wanted, "result.status");
}

static void nothing_is_accepted_unless_somebody_said_what(void **) {
    const ResultAppraisal appraisal = appraise_result(as_bytes(token_of(good_claims())), {});
    assert_false(appraisal.valid || appraisal.accepted.has_value());
    for (const ResultCheck check : {ResultCheck::signature, ResultCheck::nonce, ResultCheck::key, ResultCheck::policy,
                                    ResultCheck::measurement, ResultCheck::manifest})
        assert_true(appraisal[check].outcome == Outcome::not_made);
    // what was skipped is shown, and a result that was held against no connection lets nobody in
    ResultExpectations wanted = good_wanted();
    wanted.peer_key = Skip{};
    wanted.policies = Skip{};
    wanted.measurements = Skip{};
    wanted.manifest = Skip{};
    const ResultAppraisal skipped = appraise_result(as_bytes(token_of(good_claims())), wanted);
    assert_true(skipped.valid && !skipped.accepted);
    for (const ResultCheck check :
         {ResultCheck::key, ResultCheck::policy, ResultCheck::measurement, ResultCheck::manifest})
        assert_true(skipped[check].outcome == Outcome::skipped);
}

static void limits_of_time_are_exact(void **) {
    ResultExpectations wanted = good_wanted();
    const std::string token = token_of(good_claims());
    wanted.now = issued - max_clock_skew_s;
    assert_true(appraise_result(as_bytes(token), wanted).valid);
    wanted.now = expires - 1;
    assert_true(appraise_result(as_bytes(token), wanted).valid);
    wanted.now = now;
    wanted.max_age_s = 60;
    assert_true(appraise_result(as_bytes(token), wanted).valid);
    Json endless = good_claims();
    endless.erase("exp");
    assert_true(appraise_result(as_bytes(token_of(endless)), wanted).valid);
}

// What makes results and what judges them agree: evidence that is accepted here is accepted there.
static void a_result_of_ours_is_accepted(void **) {
    for (const EarProfile profile : {EarProfile::ietf, EarProfile::veraison}) {
        const Case c = good_case();
        const Appraisal judged = appraise_case(c);
        assert_true(judged.accepted.has_value());
        const Json claims =
            ear_claims(judged, c.want, {.profile = profile, .issued = issued, .expires = expires}).value();
        ResultExpectations wanted;
        wanted.verifiers = {verifier().public_key};
        wanted.nonce = c.want.nonce;
        wanted.peer_key = c.claims.key;
        wanted.policies = std::vector{std::string{policy_id_prefix} + hex(c.want.policy.digest)};
        wanted.emulated_ark = c.want.emulated_ark;
        wanted.measurements = std::vector{filled<48>(0xaa)};
        wanted.manifest = Skip{};
        wanted.now = now;
        const ResultAppraisal appraisal = appraise_result(as_bytes(token_of(claims)), wanted);
        if (!appraisal.accepted)
            print_error("%s", result_table(appraisal, {}, now).c_str());
        assert_true(appraisal.accepted && appraisal.accepted->emulated());
        // and evidence that is not, is not
        Case bad = good_case();
        bad.want.measurements = {filled<48>(0xbb)};
        const Json refused =
            ear_claims(appraise_case(bad), bad.want, {.profile = profile, .issued = issued, .expires = expires})
                .value();
        const ResultAppraisal none = appraise_result(as_bytes(token_of(refused)), wanted);
        assert_false(none.valid);
        assert_true(none[ResultCheck::status].outcome == Outcome::failed &&
                    none[ResultCheck::vector].outcome == Outcome::failed);
    }
}

static void output_shows_every_check_and_what_was_checked_beside_it(void **) {
    const ResultAppraisal appraisal = appraise_result(as_bytes(token_of(good_claims())), good_wanted());
    Check beside{.name = "binding.exporter", .outcome = Outcome::passed, .found = "x", .wanted = "x"};
    assert_true(holds(appraisal, std::span{&beside, 1}));
    Json json = result_json(appraisal, std::span{&beside, 1}, now);
    assert_true(json["accepted"] == true && json["checks"].size() == result_check_kinds().size() + 1);
    assert_true(json["result"]["measurement"] == hex(filled<48>(0xaa)) && json["subject"] == "result");
    for (const Outcome outcome : {Outcome::failed, Outcome::not_made, Outcome::skipped}) {
        beside.outcome = outcome;
        assert_false(holds(appraisal, std::span{&beside, 1}));
        assert_true(result_json(appraisal, std::span{&beside, 1}, now)["accepted"] == false);
        assert_true(result_table(appraisal, std::span{&beside, 1}, now).starts_with("REFUSED"));
    }
    const ResultAppraisal unread = appraise_result(as_bytes("x"), good_wanted());
    assert_true(result_json(unread, {}, now)["result"].is_null());
}

static void documentation_names_every_result_check(void **) {
    const Bytes text = data("../../docs/passport.md");
    const std::string_view doc = as_text(text);
    std::size_t rows = 0;
    for (std::size_t at = doc.find("\n| `result."); at != doc.npos; at = doc.find("\n| `result.", at + 1))
        ++rows;
    assert_int_equal(rows, result_check_kinds().size());
    for (const CheckKind &kind : result_check_kinds())
        assert_true(doc.contains("\n| `" + std::string{kind.name} + "` |"));
}

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(a_good_result_is_accepted),
        cmocka_unit_test(a_result_in_which_one_thing_is_wrong_is_refused),
        cmocka_unit_test(only_a_trusted_verifier_s_signature_counts),
        cmocka_unit_test(what_can_not_be_read_is_refused),
        cmocka_unit_test(an_emulated_machine_counts_only_for_those_who_name_its_root),
        cmocka_unit_test(nothing_is_accepted_unless_somebody_said_what),
        cmocka_unit_test(limits_of_time_are_exact),
        cmocka_unit_test(a_result_of_ours_is_accepted),
        cmocka_unit_test(output_shows_every_check_and_what_was_checked_beside_it),
        cmocka_unit_test(documentation_names_every_result_check),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
