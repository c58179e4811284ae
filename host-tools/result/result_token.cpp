#include "host-tools/result/result_token.hpp"

#include "host-tools/base/base64url.hpp"
#include "host-tools/base/json.hpp"

#include <algorithm>

namespace cvmin {

namespace {

// Members whose absence is something else than their being wrong.
const Json *find(const Json &object, std::string_view member) {
    if (!object.is_object())
        return nullptr;
    const auto found = object.find(member);
    return found == object.end() ? nullptr : &*found;
}

Result<std::string> text_or_empty(const Json &object, const char *member, std::string_view where) {
    return find(object, member) == nullptr ? std::string{} : json_string(object, member, where);
}

Result<std::optional<bool>> optional_bool(const Json &object, const char *member, std::string_view where) {
    const Json *value = find(object, member);
    if (value == nullptr)
        return std::nullopt;
    if (!value->is_boolean())
        return fail(Errc::malformed, where);
    return value->get<bool>();
}

template <class Digest>
Result<std::optional<Digest>> optional_hex(const Json &object, const char *member, std::string_view where) {
    if (find(object, member) == nullptr)
        return std::nullopt;
    CVMIN_TRY(text, json_string(object, member, where));
    CVMIN_TRY(digest, parse_hex_exactly<sizeof(Digest)>(text, where));
    return digest;
}

Result<std::time_t> time_of(const Json &object, const char *member, std::string_view where) {
    CVMIN_TRY(seconds, json_unsigned(object, member, where));
    if (seconds > max_result_time)
        return fail(Errc::out_of_range, where);
    return static_cast<std::time_t>(seconds);
}

Result<Json> decoded(std::string_view part, std::string_view where) {
    CVMIN_TRY(bytes, parse_base64url(part, where));
    CVMIN_TRY(json, parse_json(bytes, where));
    if (!json.is_object())
        return fail(Errc::malformed, where);
    return json;
}

// RFC 7515. `typ` says "JWT" here and "JWT" or nothing with others, and decides nothing.
Result<Sha256Digest> read_header(const Json &header) {
    CVMIN_TRY(algorithm, json_string(header, "alg", "result.alg"));
    if (algorithm != "ES384") // also "none"
        return fail(Errc::unsupported, "result.alg");
    if (find(header, "crit") != nullptr)
        return fail(Errc::unsupported, "result.crit");
    CVMIN_TRY(kid, json_string(header, "kid", "result.kid"));
    CVMIN_TRY(bytes, parse_base64url(kid, "result.kid"));
    Sha256Digest thumbprint;
    if (bytes.size() != thumbprint.size())
        return fail(Errc::malformed, "result.kid");
    std::ranges::copy(bytes, thumbprint.begin());
    return thumbprint;
}

Result<PublicKey> read_key(const Json &cnf) { // RFC 7800, 3.2, with a JWK of RFC 7518, 6.2
    CVMIN_TRY(jwk, json_object(cnf, "jwk", "result.cnf"));
    CVMIN_TRY(type, json_string(jwk, "kty", "result.cnf"));
    CVMIN_TRY(curve, json_string(jwk, "crv", "result.cnf"));
    if (type != "EC" || curve != "P-384")
        return fail(Errc::unsupported, "result.cnf");
    PublicKey key;
    for (const auto &[member, coordinate] : {std::pair{"x", &key.x}, {"y", &key.y}}) {
        CVMIN_TRY(text, json_string(jwk, member, "result.cnf"));
        CVMIN_TRY(bytes, parse_base64url(text, "result.cnf"));
        if (bytes.size() != coordinate->size())
            return fail(Errc::malformed, "result.cnf");
        std::ranges::copy(bytes, coordinate->begin());
    }
    return key;
}

Result<TrustVector> read_vector(const Json &json) {
    TrustVector vector;
    for (const auto &[name, value] : json.items()) {
        // an unknown claim could be one that contraindicates
        const TrustClaim *claim = trust_claim_by_name(name);
        if (claim == nullptr || !value.is_number_integer())
            return fail(Errc::malformed, "result.trustworthiness_vector");
        const auto number = value.get<std::int64_t>();
        if (number < -128 || number > 127) // AR4SI: one signed byte
            return fail(Errc::out_of_range, "result.trustworthiness_vector");
        vector.*claim->value = static_cast<int>(number);
    }
    return vector;
}

Result<std::vector<std::string>> read_policies(const Json &submodule, const EarNames &names) {
    std::vector<std::string> policies;
    const Json *value = find(submodule, names.policy);
    if (value == nullptr)
        return policies;
    const Json list = value->is_array() ? *value : Json::array({*value}); // the older profile has one, and no array
    if (list.size() > max_result_policies)
        return fail(Errc::out_of_range, "result.policy");
    for (const Json &policy : list) {
        if (!policy.is_string())
            return fail(Errc::malformed, "result.policy");
        policies.push_back(policy.get<std::string>());
    }
    return policies;
}

Result<ResultPart> read_part(const std::string &name, const Json &submodule, const EarNames &names) {
    ResultPart part;
    part.name = name;
    CVMIN_TRY(status, json_string(submodule, names.status, "result.status"));
    if (status != "none" && status != "affirming" && status != "warning" && status != "contraindicated")
        return fail(Errc::malformed, "result.status");
    part.status = std::move(status);
    CVMIN_TRY(vector, json_object(submodule, names.vector, "result.trustworthiness_vector"));
    CVMIN_TRY(claims, read_vector(vector));
    part.vector = claims;
    CVMIN_TRY(policies, read_policies(submodule, names));
    part.policies = std::move(policies);
    return part;
}

// What cvmin's verifiers say beyond the draft. Not there in results of others.
Result<void> read_own_claims(const Json &submodule, const EarNames &names, AttestationResult &result) {
    if (const Json *of_verifier = find(submodule, names.of_verifier)) {
        CVMIN_TRY(accepted, optional_bool(*of_verifier, "accepted", "result.accepted"));
        CVMIN_TRY(emulated, optional_bool(*of_verifier, "emulated", "result.emulated"));
        CVMIN_TRY(ark, optional_hex<Sha256Digest>(*of_verifier, "emulated_ark", "result.emulated_ark"));
        CVMIN_TRY(manifest, optional_hex<Sha256Digest>(*of_verifier, "manifest", "result.manifest"));
        CVMIN_TRY(subject, text_or_empty(*of_verifier, "subject", "result.subject"));
        CVMIN_TRY(nonce_by, text_or_empty(*of_verifier, "nonce_by", "result.nonce_by"));
        result.accepted = accepted;
        result.emulated = emulated;
        result.emulated_ark = ark;
        result.manifest = manifest;
        result.subject = std::move(subject);
        result.nonce_by = std::move(nonce_by);
    }
    if (const Json *of_attester = find(submodule, names.of_attester)) {
        CVMIN_TRY(measurement, optional_hex<Sha384Digest>(*of_attester, "measurement", "result.measurement"));
        result.measurement = measurement;
    }
    return {};
}

Result<EarProfile> read_profile(const Json &claims) {
    CVMIN_TRY(profile, json_string(claims, "eat_profile", "result.eat_profile"));
    if (profile == ear_profile_veraison)
        return EarProfile::veraison;
    if (profile == ear_profile_ietf || profile == ear_profile_ietf_03)
        return EarProfile::ietf;
    return fail(Errc::unsupported, "result.eat_profile");
}

Result<AttestationResult> read_claims(const Json &claims) {
    CVMIN_TRY(profile, read_profile(claims));
    const EarNames &names = ear_names(profile);
    AttestationResult result;
    CVMIN_TRY(issued, time_of(claims, "iat", "result.iat"));
    result.issued = issued;
    if (find(claims, "exp") != nullptr) {
        CVMIN_TRY(expires, time_of(claims, "exp", "result.exp"));
        result.expires = expires;
    }
    CVMIN_TRY(nonce_text, json_string(claims, "eat_nonce", "result.eat_nonce"));
    CVMIN_TRY(nonce, parse_base64url(nonce_text, "result.eat_nonce"));
    if (nonce.empty())
        return fail(Errc::malformed, "result.eat_nonce");
    result.nonce = std::move(nonce);
    if (const Json *cnf = find(claims, "cnf")) {
        CVMIN_TRY(key, read_key(*cnf));
        result.key = key;
    }
    if (const Json *verifier = find(claims, names.verifier)) {
        CVMIN_TRY(developer, text_or_empty(*verifier, "developer", "result.verifier_id"));
        CVMIN_TRY(build, text_or_empty(*verifier, "build", "result.verifier_id"));
        result.developer = std::move(developer);
        result.build = std::move(build);
    }
    CVMIN_TRY(submodules, json_object(claims, "submods", "result.submods"));
    if (submodules.size() > max_result_parts)
        return fail(Errc::out_of_range, "result.submods", submodules.size());
    for (const auto &[name, submodule] : submodules.items()) {
        CVMIN_TRY(part, read_part(name, submodule, names));
        result.parts.push_back(std::move(part));
        if (name == ear_submodule)
            CVMIN_CHECK(read_own_claims(submodule, names, result));
    }
    if (!std::ranges::contains(result.parts, ear_submodule, &ResultPart::name))
        return fail(Errc::missing, "result.submods.sev-snp");
    return result;
}

} // namespace

const ResultPart &AttestationResult::report_part() const {
    return *std::ranges::find(parts, ear_submodule, &ResultPart::name);
}

Result<ResultToken> parse_result_token(ByteView token) {
    std::string_view text = as_text(token);
    if (text.ends_with('\n'))
        text.remove_suffix(1);
    if (text.size() > max_result_size)
        return fail(Errc::too_large, "result", text.size());
    const std::size_t first = text.find('.');
    const std::size_t second = first == std::string_view::npos ? first : text.find('.', first + 1);
    if (second == std::string_view::npos)
        return fail(Errc::malformed, "result");
    ResultToken out;
    CVMIN_TRY(header, decoded(text.substr(0, first), "result.header"));
    CVMIN_TRY(kid, read_header(header));
    out.kid = kid;
    CVMIN_TRY(claims, decoded(text.substr(first + 1, second - first - 1), "result.claims"));
    CVMIN_TRY(result, read_claims(claims));
    out.result = std::move(result);
    CVMIN_TRY(signature, parse_base64url(text.substr(second + 1), "result.signature")); // no '.' in it: three parts
    if (signature.size() != out.signature.size())
        return fail(Errc::malformed, "result.signature", signature.size());
    std::ranges::copy(signature, out.signature.begin());
    out.digest = sha384(as_bytes(text.substr(0, second)));
    return out;
}

Result<void> verify_result_token(const ResultToken &token, const PublicKey &key) {
    return verify_p384(key, token.digest, token.signature, "result.signature");
}

} // namespace cvmin
