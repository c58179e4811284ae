#include "host-tools/present/ear.hpp"

#include "host-tools/appraise/verdict.hpp"
#include "host-tools/base/base64url.hpp"
#include "host-tools/base/mbed.hpp"

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

// ---- AR4SI
// ------------------------------------------------------------------------------------------------------------

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

Result<Json> ear_claims(const Appraisal &appraisal, const Expectations &expectations, EarProfile profile,
                        std::time_t issued) {
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
    for (const Outcome outcome : {Outcome::failed, Outcome::not_made, Outcome::skipped}) {
        Json names = Json::array();
        for (const Check &check : appraisal.verdict.checks())
            if (check.outcome == outcome)
                names.push_back(check.name);
        claims_of_verifier[outcome == Outcome::not_made ? "not_made" : std::string{name(outcome)}] = std::move(names);
    }
    Json trust{{"instance-identity", vector.instance_identity},
               {"configuration", vector.configuration},
               {"executables", vector.executables},
               {"file-system", vector.file_system},
               {"hardware", vector.hardware},
               {"runtime-opaque", vector.runtime_opaque},
               {"storage-opaque", vector.storage_opaque},
               {"sourced-data", vector.sourced_data}};
    Json claims_of_attester = verdict_json(appraisal, expectations)["report"];

    const bool ietf = profile == EarProfile::ietf;
    const Json verifier{{"developer", "cvmin"}, {"build", std::string{"cvmin "} + CVMIN_VERSION}};
    Json submodule;
    submodule[ietf ? "ear_status" : "ear.status"] = ear_status(appraisal);
    submodule[ietf ? "ear_trustworthiness_vector" : "ear.trustworthiness-vector"] = std::move(trust);
    submodule[ietf ? "ear_verifier_claims" : "ear.veraison.policy-claims"] = std::move(claims_of_verifier);
    // by its digest: which policy it was is then beyond dispute
    if (!all_zero(expectations.policy.digest)) {
        const std::string id = "tag:cvmin,2026:policy:sha-256:" + hex(expectations.policy.digest);
        if (ietf)
            submodule["ear_appraisal_policy_ids"] = Json::array({id});
        else
            submodule["ear.appraisal-policy-id"] = id;
    }
    if (claims_of_attester.is_object())
        submodule[ietf ? "ear_attester_claims" : "ear.veraison.annotated-evidence"] = std::move(claims_of_attester);
    return Json{{"eat_profile", ietf ? "tag:ietf.org,2026:rats/ear#04" : "tag:github.com,2023:veraison/ear"},
                {"iat", static_cast<std::int64_t>(issued)},
                {"eat_nonce", base64url(nonce)},
                {ietf ? "ear_verifier_id" : "ear.verifier-id", verifier},
                {"submods", {{std::string{ear_submodule}, std::move(submodule)}}}};
}

// ---- JWT
// --------------------------------------------------------------------------------------------------------------

Result<std::string> sign_jwt(const Json &claims, const P384PrivateKey &key) {
    CVMIN_TRY(public_key, key.public_key());
    // RFC 7638: the thumbprint of the key, from its members in this order and without white space
    const std::string jwk =
        R"({"crv":"P-384","kty":"EC","x":")" + base64url(public_key.x) + R"(","y":")" + base64url(public_key.y) + "\"}";
    const Json header{{"alg", "ES384"}, {"typ", "JWT"}, {"kid", base64url(sha256(as_bytes(jwk)))}};
    const std::string signed_part = base64url(as_bytes(header.dump())) + "." +
                                    base64url(as_bytes(claims.dump(-1, ' ', false, Json::error_handler_t::replace)));
    CVMIN_TRY(signature, key.sign(sha384(as_bytes(signed_part)), rfc6979_nonce, nullptr));
    return signed_part + "." + base64url(signature);
}

} // namespace cvmin
