#include "host-tools/present/ear.hpp"

#include "common/cose.hpp"
#include "host-tools/appraise/verdict.hpp"
#include "host-tools/base/base64url.hpp"

#include <algorithm>

namespace cvmin {

std::string_view name(EarProfile profile) {
    return profile == EarProfile::ietf ? "ietf" : "veraison";
}
std::optional<EarProfile> ear_profile_by_name(std::string_view text) {
    for (const EarProfile profile : {EarProfile::ietf, EarProfile::veraison})
        if (text == name(profile))
            return profile;
    return std::nullopt;
}

// ---- AR4SI --------------------------------------------------------------------------------------------------------

std::span<const TrustClaim> trust_claims() {
    static constexpr std::array<TrustClaim, 8> claims{{{"instance-identity", &TrustVector::instance_identity},
                                                       {"configuration", &TrustVector::configuration},
                                                       {"executables", &TrustVector::executables},
                                                       {"file-system", &TrustVector::file_system},
                                                       {"hardware", &TrustVector::hardware},
                                                       {"runtime-opaque", &TrustVector::runtime_opaque},
                                                       {"storage-opaque", &TrustVector::storage_opaque},
                                                       {"sourced-data", &TrustVector::sourced_data}}};
    return claims;
}
const TrustClaim *trust_claim_by_name(std::string_view name) {
    const auto claims = trust_claims();
    const auto found = std::ranges::find(claims, name, &TrustClaim::name);
    return found == claims.end() ? nullptr : &*found;
}

namespace {

// Questions about the verdict. A check that was not made counts as failed everywhere.
class Answers {
  public:
    explicit Answers(const Verdict &verdict) : verdict_(verdict) {}

    bool passed(std::string_view name) const { return is(name, Outcome::passed); }
    bool bad(std::string_view name) const { return is(name, Outcome::failed) || is(name, Outcome::not_made); }
    // of all checks whose name begins so
    bool any_bad(std::string_view prefix) const {
        return std::ranges::any_of(verdict_.checks(), [&](const Check &check) {
            return check.name.starts_with(prefix) &&
                   (check.outcome == Outcome::failed || check.outcome == Outcome::not_made);
        });
    }

  private:
    bool is(std::string_view name, Outcome outcome) const {
        const Check *check = verdict_.find(name);
        return check != nullptr && check->outcome == outcome;
    }
    const Verdict &verdict_;
};

} // namespace

// The report is one that an AMD-SP signed for us: whatever is not so says nothing about anything else.
static bool authentic(const Answers &is) {
    return is.passed("snp.format") && is.passed("snp.chain") && is.passed("snp.signing_key") &&
           is.passed("snp.signature") && !is.bad("evidence.format") && !is.bad("claims.format") &&
           !is.any_bad("binding.") && !is.bad("snp.revocation");
}

TrustVector trust_vector(const Appraisal &appraisal) {
    const Answers is{appraisal.verdict};
    TrustVector vector;

    if (!authentic(is))
        vector.instance_identity = ar4si::crypto_failed;
    else if (appraisal.verdict.emulated() || is.bad("snp.chip_id") || is.bad("snp.chip_id.allowed") ||
             is.bad("snp.csp_id") || is.bad("snp.report_id"))
        vector.instance_identity = ar4si::unrecognized;
    else if (is.passed("snp.chip_id.allowed") || is.passed("snp.csp_id")) // else any genuine machine would do: no claim
        vector.instance_identity = ar4si::affirming;

    if (is.any_bad("snp.policy.") || is.bad("snp.vmpl") || is.bad("snp.host_data") || is.bad("snp.report_id_ma") ||
        is.bad("claims.manifest"))
        vector.configuration = ar4si::contraindicated;
    else if (is.passed("snp.policy.debug") && is.passed("snp.policy.migration_agent"))
        vector.configuration = ar4si::affirming;

    const bool other_software = is.bad("snp.measurement") || is.bad("snp.family_id") || is.bad("snp.image_id") ||
                                is.bad("snp.guest_svn") || is.bad("snp.id_key_digest") ||
                                is.bad("snp.author_key_digest");
    if (other_software || is.bad("claims.runtime_log") || is.any_bad("tpm.") || is.any_bad("runtime_log.") ||
        is.any_bad("ima."))
        vector.executables = ar4si::contraindicated;
    else if (is.passed("snp.measurement") && is.passed("ima.allowed") && is.passed("tpm.svsm") &&
             is.passed("tpm.credential")) // a list that the host cannot write
        vector.executables = ar4si::affirming;
    else if (is.passed("snp.measurement"))
        vector.executables = ar4si::approved_boot;

    if (!is.passed("snp.chain") || !is.passed("snp.signature") || appraisal.verdict.emulated())
        vector.hardware = ar4si::unrecognized;
    else if (is.any_bad("snp.tcb.") || is.any_bad("snp.platform_info.") || is.any_bad("snp.mitigation.") ||
             is.bad("snp.version") || is.bad("snp.product") || is.bad("snp.advisories") ||
             is.bad("snp.provisional_firmware") || is.bad("snp.unknown_bits"))
        vector.hardware = ar4si::contraindicated;
    else if (is.passed("snp.tcb.minimum.reported") && is.passed("snp.tcb.minimum.committed") &&
             is.passed("snp.tcb.minimum.launch"))
        vector.hardware = ar4si::affirming;

    // Memory that the host can read: none is encrypted under emulation, and a debug guest's is decrypted on request.
    const bool open = is.bad("snp.policy.debug") || is.bad("snp.policy.migration_agent") ||
                      (appraisal.report && (appraisal.report->policy >> 19 & 1) != 0);
    if (!authentic(is) || appraisal.verdict.emulated() || open)
        vector.runtime_opaque = ar4si::contraindicated;
    else
        vector.runtime_opaque = ar4si::affirming;
    return vector;
}

std::string_view ear_status(const Appraisal &appraisal) {
    const TrustVector vector = trust_vector(appraisal);
    const auto claims = {vector.instance_identity, vector.configuration, vector.executables, vector.hardware,
                         vector.runtime_opaque};
    if (!appraisal.verdict.accepted() || appraisal.verdict.emulated() ||
        std::ranges::any_of(claims, [](int value) { return value >= ar4si::contraindicated; }))
        return "contraindicated";
    // what was skipped is not affirmed
    for (const int value : {vector.configuration, vector.executables, vector.hardware, vector.runtime_opaque})
        if (value == ar4si::no_claim)
            return "warning";
    return "affirming";
}

// ---- claims -------------------------------------------------------------------------------------------------------

namespace {

constexpr EarNames ietf_names{.status = "ear_status",
                              .vector = "ear_trustworthiness_vector",
                              .policy = "ear_appraisal_policy_ids",
                              .of_verifier = "ear_verifier_claims",
                              .of_attester = "ear_attester_claims",
                              .verifier = "ear_verifier_id"};
constexpr EarNames veraison_names{.status = "ear.status",
                                  .vector = "ear.trustworthiness-vector",
                                  .policy = "ear.appraisal-policy-id",
                                  .of_verifier = "ear.veraison.policy-claims",
                                  .of_attester = "ear.veraison.annotated-evidence",
                                  .verifier = "ear.verifier-id"};

} // namespace

const EarNames &ear_names(EarProfile profile) {
    return profile == EarProfile::ietf ? ietf_names : veraison_names;
}

namespace {

Json vector_json(const TrustVector &vector) {
    Json out;
    for (const TrustClaim &claim : trust_claims())
        out[std::string{claim.name}] = vector.*claim.value;
    return out;
}

struct Part { // of the evidence, beside the report
    std::string_view submodule;
    std::vector<std::string_view> prefixes; // of the checks that are about it
};

bool is_about(const Part &part, const Check &check) {
    return std::ranges::any_of(part.prefixes, [&](std::string_view prefix) { return check.name.starts_with(prefix); });
}

// Whether there was something to look at, and somebody did.
bool was_judged(const Part &part, const Verdict &verdict) {
    return std::ranges::any_of(verdict.checks(), [&](const Check &check) {
        return is_about(part, check) && (check.outcome == Outcome::passed || check.outcome == Outcome::failed);
    });
}

// What stands on a report that does not hold, or on another image, is not worth more than that.
void weigh_foundation(const Answers &is, const TrustVector &report, TrustVector &part) {
    if (!authentic(is))
        part.instance_identity = ar4si::crypto_failed;
    else if (report.instance_identity >= ar4si::contraindicated)
        part.instance_identity = report.instance_identity;
    if (report.executables >= ar4si::contraindicated)
        part.executables = ar4si::contraindicated;
}

TrustVector vtpm_vector(const Appraisal &appraisal, const TrustVector &report) {
    const Answers is{appraisal.verdict};
    TrustVector vector;
    const bool svsm = is.passed("tpm.svsm") && is.passed("tpm.credential"); // a TPM that the host cannot write
    if (is.bad("tpm.quote") || is.bad("tpm.ak") || is.bad("tpm.signature") || is.bad("tpm.extra_data"))
        vector.instance_identity = ar4si::crypto_failed;
    else if (is.bad("tpm.ek") || is.bad("tpm.credential") || is.bad("tpm.svsm") || is.bad("claims.ak"))
        vector.instance_identity = ar4si::unrecognized;
    else if (svsm)
        vector.instance_identity = ar4si::affirming;
    if (is.any_bad("tpm.") || is.any_bad("ima."))
        vector.executables = ar4si::contraindicated;
    else if (svsm && is.passed("ima.allowed"))
        vector.executables = ar4si::affirming;
    else if (svsm && (is.passed("tpm.boot_events") || is.passed("tpm.pcrs")))
        vector.executables = ar4si::approved_boot;
    weigh_foundation(is, report, vector);
    return vector;
}

TrustVector runtime_log_vector(const Appraisal &appraisal, const TrustVector &report) {
    const Answers is{appraisal.verdict};
    TrustVector vector;
    if (is.bad("claims.runtime_log") || is.any_bad("runtime_log."))
        vector.executables = ar4si::contraindicated;
    else if (is.passed("runtime_log.replay") && is.passed("runtime_log.events"))
        vector.executables = report.executables; // the measured agent's word
    weigh_foundation(is, report, vector);
    return vector;
}

std::string_view part_status(const TrustVector &vector) {
    if (std::max(vector.instance_identity, vector.executables) >= ar4si::contraindicated)
        return "contraindicated";
    return vector.executables == ar4si::no_claim ? "none" : "affirming";
}

} // namespace

Result<Json> ear_claims(const Appraisal &appraisal, const Expectations &expectations, const EarIssue &issue) {
    Bytes nonce = expectations.nonce;
    if (const auto *wanted = std::get_if<ByteArray<64>>(&expectations.report_data);
        wanted != nullptr && nonce.empty() && appraisal.verdict.report_only())
        nonce.assign(wanted->begin(), wanted->end());
    if (nonce.empty())
        return fail(Errc::missing, "ear.nonce");

    const TrustVector vector = trust_vector(appraisal);
    Json claims_of_verifier{{"accepted", appraisal.verdict.accepted()},
                            {"emulated", appraisal.verdict.emulated()},
                            {"subject", appraisal.verdict.report_only() ? "report" : "evidence"},
                            {"time", format_time(expectations.now)}};
    if (!appraisal.vtpm.empty()) // a quote of the host's own TPM must not be read as more than it is
        claims_of_verifier["vtpm"] = {{"anchor", appraisal.vtpm}, {"note", vtpm_note(appraisal.vtpm)}};
    const bool bound = authentic(Answers{appraisal.verdict});
    if (bound && appraisal.verdict.emulated() && expectations.emulated_ark)
        claims_of_verifier["emulated_ark"] = hex(sha256(*expectations.emulated_ark));
    if (bound && appraisal.report)
        claims_of_verifier["host_data"] = hex(appraisal.report->host_data);
    if (bound && appraisal.claims && appraisal.claims->manifest)
        claims_of_verifier["manifest"] = hex(*appraisal.claims->manifest);
    for (const Outcome outcome : {Outcome::failed, Outcome::not_made, Outcome::skipped}) {
        Json names = Json::array();
        for (const Check &check : appraisal.verdict.checks())
            if (check.outcome == outcome)
                names.push_back(check.name);
        claims_of_verifier[outcome == Outcome::not_made ? "not_made" : std::string{name(outcome)}] = std::move(names);
    }
    Json claims_of_attester = verdict_json(appraisal, expectations)["report"];

    const bool ietf = issue.profile == EarProfile::ietf;
    const EarNames &names = ear_names(issue.profile);
    const Json verifier{{"developer", "cvmin"}, {"build", std::string{"cvmin "} + CVMIN_VERSION}};
    const auto appraised = [&](std::string_view status, const TrustVector &trust) {
        Json out;
        out[names.status] = status;
        out[names.vector] = vector_json(trust);
        return out;
    };
    // by its digest: which policy it was is then beyond dispute
    const auto add_policy = [&](Json &submodule) {
        if (all_zero(expectations.policy.digest))
            return;
        std::string id = std::string{policy_id_prefix} + hex(expectations.policy.digest);
        submodule[names.policy] = ietf ? Json::array({std::move(id)}) : Json(std::move(id));
    };
    Json submodule = appraised(ear_status(appraisal), vector);
    submodule[names.of_verifier] = std::move(claims_of_verifier);
    add_policy(submodule);
    if (claims_of_attester.is_object())
        submodule[names.of_attester] = std::move(claims_of_attester);
    Json submodules;
    submodules[std::string{ear_submodule}] = std::move(submodule);
    if (const Part part{ear_vtpm_submodule, {"tpm.", "ima.", "claims.ak"}}; was_judged(part, appraisal.verdict)) {
        const TrustVector trust = vtpm_vector(appraisal, vector);
        add_policy(submodules[std::string{part.submodule}] = appraised(part_status(trust), trust));
    }
    if (const Part part{ear_runtime_log_submodule, {"runtime_log.", "claims.runtime_log"}};
        was_judged(part, appraisal.verdict)) {
        const TrustVector trust = runtime_log_vector(appraisal, vector);
        add_policy(submodules[std::string{part.submodule}] = appraised(part_status(trust), trust));
    }

    Json out{{"eat_profile", ietf ? ear_profile_ietf : ear_profile_veraison},
             {"iat", static_cast<std::int64_t>(issue.issued)}};
    if (issue.expires)
        out["exp"] = static_cast<std::int64_t>(*issue.expires);
    out["eat_nonce"] = base64url(nonce);
    if (bound && appraisal.claims)
        out["cnf"] = {{"jwk", jwk_of(appraisal.claims->key)}};
    out[names.verifier] = verifier;
    out["submods"] = std::move(submodules);
    return out;
}

// ---- keys ---------------------------------------------------------------------------------------------------------

Json jwk_of(const PublicKey &key) {
    return Json{{"kty", "EC"}, {"crv", "P-384"}, {"x", base64url(key.x)}, {"y", base64url(key.y)}};
}

Sha256Digest key_thumbprint(const PublicKey &key) {
    // RFC 7638: members in this order and without white space
    const std::string jwk =
        R"({"crv":"P-384","kty":"EC","x":")" + base64url(key.x) + R"(","y":")" + base64url(key.y) + "\"}";
    return sha256(as_bytes(jwk));
}

Json jwks_json(std::span<const PublicKey> keys) {
    Json list = Json::array();
    for (const PublicKey &key : keys) {
        Json jwk = jwk_of(key);
        jwk["kid"] = base64url(key_thumbprint(key));
        jwk["alg"] = "ES384";
        jwk["use"] = "sig";
        list.push_back(std::move(jwk));
    }
    return Json{{"keys", std::move(list)}};
}

// ---- JWT
// --------------------------------------------------------------------------------------------------------------

Result<std::string> sign_jwt(const Json &claims, const P384PrivateKey &key) {
    CVMIN_TRY(public_key, key.public_key());
    const Json header{{"alg", "ES384"}, {"typ", "JWT"}, {"kid", base64url(key_thumbprint(public_key))}};
    const std::string signed_part = base64url(as_bytes(header.dump())) + "." +
                                    base64url(as_bytes(claims.dump(-1, ' ', false, Json::error_handler_t::replace)));
    CVMIN_TRY(signature, key.sign(sha384(as_bytes(signed_part)), rfc6979_nonce, nullptr));
    return signed_part + "." + base64url(signature);
}

// ---- CWT ----------------------------------------------------------------------------------------------------------

namespace {

// Names of the draft's JSON and their labels in CBOR, by the place where they stand.
struct Label {
    std::string_view name;
    std::int64_t label;
};
constexpr Label top_labels[] = {{"exp", 4},
                                {"iat", 6},
                                {"cnf", 8},
                                {"eat_nonce", 10},
                                {"eat_profile", 265},
                                {"submods", 266},
                                {"ear_verifier_id", 1004}};
constexpr Label appraisal_labels[] = {{"ear_status", 1000},
                                      {"ear_trustworthiness_vector", 1001},
                                      {"ear_appraisal_policy_ids", 1003},
                                      {"ear_attester_claims", 1005},
                                      {"ear_verifier_claims", 1006}};
constexpr Label verifier_labels[] = {{"developer", 0}, {"build", 1}};

Bytes encoded(std::int64_t value) {
    cbor::Writer writer(16);
    writer.integer(value);
    return writer.finish();
}
Bytes encoded_text(std::string_view value) {
    cbor::Writer writer(value.size() + 8);
    writer.text(value);
    return writer.finish();
}

using Members = std::vector<std::pair<Bytes, Bytes>>; // encoded key, encoded value

Bytes encoded_map(Members members) {
    std::ranges::sort(members, {}, &Members::value_type::first);
    cbor::Writer writer(1024);
    writer.map(members.size());
    for (const auto &[key, value] : members) {
        writer.raw(key);
        writer.raw(value);
    }
    return writer.finish();
}

constexpr std::byte cbor_false{0xf4}, cbor_true{0xf5}, cbor_null{0xf6};

// Any JSON of ours: no fractions are in it.
Bytes encoded_json(const Json &json) {
    if (json.is_object()) {
        Members members;
        for (const auto &[name, value] : json.items())
            members.emplace_back(encoded_text(name), encoded_json(value));
        return encoded_map(std::move(members));
    }
    cbor::Writer writer(64);
    if (json.is_array()) {
        writer.array(json.size());
        for (const Json &item : json)
            writer.raw(encoded_json(item));
    } else if (json.is_string()) {
        writer.text(json.get_ref<const std::string &>());
    } else if (json.is_number_unsigned()) {
        writer.unsigned_integer(json.get<std::uint64_t>());
    } else if (json.is_number_integer()) {
        writer.integer(json.get<std::int64_t>());
    } else {
        const std::byte simple = json.is_boolean() ? (json.get<bool>() ? cbor_true : cbor_false) : cbor_null;
        writer.raw(ByteView{&simple, 1});
    }
    return writer.finish();
}

// An object whose members all have labels.
template <class Encode> Bytes encoded_labels(const Json &object, std::span<const Label> labels, Encode encode) {
    Members members;
    for (const Label &known : labels)
        if (const auto found = object.find(known.name); found != object.end())
            members.emplace_back(encoded(known.label), encode(known.label, *found));
    return encoded_map(std::move(members));
}

Bytes encoded_cose_key(const Json &jwk) { // RFC 9052, 7; RFC 9053, 7.1.1: kty EC2, crv P-384, x, y
    cbor::Writer writer(128);
    writer.map(4);
    writer.integer(1);
    writer.integer(2);
    writer.integer(-1);
    writer.integer(2);
    for (const auto &[label, member] : {std::pair{-2, "x"}, {-3, "y"}}) {
        writer.integer(label);
        writer.bytes(parse_base64url(jwk[member].get<std::string>(), "cnf").value_or(Bytes{}));
    }
    return writer.finish();
}

int tier(std::string_view status) {
    return status == "affirming" ? 2 : status == "warning" ? 32 : status == "none" ? 0 : ar4si::contraindicated;
}

Bytes encoded_appraisal(const Json &submodule) {
    return encoded_labels(submodule, appraisal_labels, [](std::int64_t label, const Json &value) {
        if (label == 1000)
            return encoded(tier(value.get<std::string>()));
        if (label == 1001) {
            std::vector<Label> labels; // by their places
            for (const TrustClaim &claim : trust_claims())
                labels.push_back({.name = claim.name, .label = static_cast<std::int64_t>(labels.size())});
            return encoded_labels(value, labels,
                                  [](std::int64_t, const Json &claim) { return encoded(claim.get<std::int64_t>()); });
        }
        return encoded_json(value);
    });
}

Bytes cwt_payload(const Json &claims) {
    return encoded_labels(claims, top_labels, [](std::int64_t label, const Json &value) {
        Members members;
        switch (label) {
        case 8: // cnf: 1 is COSE_Key (RFC 8747)
            members.emplace_back(encoded(1), encoded_cose_key(value["jwk"]));
            return encoded_map(std::move(members));
        case 10: {
            cbor::Writer writer(80);
            writer.bytes(parse_base64url(value.get<std::string>(), "eat_nonce").value_or(Bytes{}));
            return writer.finish();
        }
        case 266:
            for (const auto &[name, submodule] : value.items())
                members.emplace_back(encoded_text(name), encoded_appraisal(submodule));
            return encoded_map(std::move(members));
        case 1004:
            return encoded_labels(value, verifier_labels,
                                  [](std::int64_t, const Json &text) { return encoded_json(text); });
        default:
            return encoded_json(value);
        }
    });
}

} // namespace

Result<Bytes> sign_cwt(const Json &claims, const P384PrivateKey &key) {
    if (!claims.contains("eat_profile") || claims["eat_profile"] != ear_profile_ietf)
        return fail(Errc::unsupported, "ear.eat_profile");
    CVMIN_TRY(public_key, key.public_key());
    cbor::Writer header(96);
    header.map(3);
    header.integer(cose::label::alg);
    header.integer(cose::es384);
    header.integer(cose::label::kid);
    header.bytes(key_thumbprint(public_key));
    header.integer(cose_typ);
    header.text(cwt_media_type);
    return cose::make_sign1(header.finish(), cwt_payload(claims), key, rfc6979_nonce, nullptr);
}

} // namespace cvmin
