#include "host-tools/result/appraise_result.hpp"

#include "host-tools/appraise/verdict.hpp"
#include "host-tools/base/text.hpp"

#include <algorithm>

namespace cvmin {

std::span<const CheckKind> result_check_kinds() {
    static constexpr CheckKind kinds[] = {
#define X(id, name, skip) {name, Skipping::skip},
        CVMIN_RESULT_TABLE(X)
#undef X
    };
    return kinds;
}

namespace {

std::string age_text(std::time_t seconds) {
    return std::to_string(seconds) + " s";
}

std::string joined(const std::vector<std::string> &texts, std::string_view if_none) {
    std::string out;
    for (const std::string &text : texts)
        out += (out.empty() ? "" : ", ") + text;
    return out.empty() ? std::string{if_none} : out;
}

std::string hex_or(const auto &digest, std::string_view if_none) {
    return digest ? hex(*digest) : std::string{if_none};
}

std::string key_text(const PublicKey &key) {
    return "thumbprint " + hex(key_thumbprint(key));
}

// AR4SI's tier for what may be relied on.
bool affirming(int claim) {
    return claim >= ar4si::affirming && claim < 32;
}

// The claims that a root which is no hardware cannot but contraindicate (trust_vector), and their values.
bool says_emulated(std::string_view claim, int value) {
    if (claim == "instance-identity" || claim == "hardware")
        return value == ar4si::unrecognized;
    return claim == "runtime-opaque" && value == ar4si::contraindicated;
}

// Of the part about the report these are affirmed and not only left alone; else what was skipped would be as good as
// what was looked at.
bool must_affirm(std::string_view claim, bool emulated) {
    return claim == "configuration" || claim == "executables" ||
           (!emulated && (claim == "hardware" || claim == "runtime-opaque"));
}

} // namespace

class ResultAppraiser {
  public:
    ResultAppraiser(ByteView bytes, const ResultExpectations &wanted) : bytes_(bytes), wanted_(wanted) {
        for (const CheckKind &kind : result_check_kinds())
            out_.checks.push_back({.name = kind.name, .found = "nothing to look at", .wanted = {}});
    }

    ResultAppraisal appraise() {
        auto token = parse_result_token(bytes_);
        if (!token) {
            set(ResultCheck::format, false, to_string(token.error()), "an attestation result (EAR in a JWT)",
                "nothing");
            return std::move(out_);
        }
        set(ResultCheck::format, true, "EAR in a JWT", "EAR in a JWT", "nothing");
        out_.result = token->result;
        check_signature(*token);
        const AttestationResult &result = token->result;
        check_time(result);
        check_nonce(result);
        check_key(result);
        check_policy(result);
        check_emulated(result);
        check_status(result);
        check_vector(result);
        check_measurement(result);
        check_manifest(result);
        decide(result);
        return std::move(out_);
    }

  private:
    void set(ResultCheck id, bool good, std::string found, std::string wanted, std::string_view anchor) {
        Check &check = out_.checks[static_cast<std::size_t>(id)];
        check.outcome = good ? Outcome::passed : Outcome::failed;
        check.found = std::move(found);
        check.wanted = std::move(wanted);
        check.anchor = anchor;
    }
    void skip(ResultCheck id, std::string found) {
        Check &check = out_.checks[static_cast<std::size_t>(id)];
        check.outcome = Outcome::skipped;
        check.found = std::move(found);
        check.wanted = "skip";
    }
    void nobody_said(ResultCheck id, std::string found) {
        Check &check = out_.checks[static_cast<std::size_t>(id)];
        check.found = std::move(found) + "; nobody said what is wanted";
    }

    void check_signature(const ResultToken &token) {
        const auto signer = std::ranges::find(wanted_.verifiers, token.kid, key_thumbprint);
        std::vector<std::string> trusted;
        trusted.reserve(wanted_.verifiers.size());
        for (const PublicKey &key : wanted_.verifiers)
            trusted.push_back(hex(key_thumbprint(key)));
        set(ResultCheck::verifier, signer != wanted_.verifiers.end(), hex(token.kid),
            joined(trusted, "no verifier is trusted"), "caller");
        if (signer == wanted_.verifiers.end())
            return;
        const auto verified = verify_result_token(token, *signer);
        set(ResultCheck::signature, verified.has_value(),
            verified ? "by the key of result.verifier" : to_string(verified.error()), "by the key of result.verifier",
            "verifier");
    }

    void check_time(const AttestationResult &result) {
        const std::time_t age = wanted_.now - result.issued;
        const bool too_old = wanted_.max_age_s && age > static_cast<std::time_t>(*wanted_.max_age_s);
        set(ResultCheck::issued, age >= -max_clock_skew_s && !too_old, format_time(result.issued),
            "no later than " + format_time(wanted_.now) +
                (wanted_.max_age_s ? ", and at most " + age_text(*wanted_.max_age_s) + " before it" : std::string{}),
            "verifier");
        const std::string wanted = "after " + format_time(wanted_.now);
        if (!result.expires)
            set(ResultCheck::expiry, wanted_.max_age_s.has_value(), "no end",
                wanted_.max_age_s ? wanted + ", or no end" : wanted, "verifier");
        else
            set(ResultCheck::expiry, *result.expires > wanted_.now && *result.expires > result.issued,
                format_time(*result.expires), wanted, "verifier");
    }

    void check_nonce(const AttestationResult &result) {
        if (const auto *ours = std::get_if<Bytes>(&wanted_.nonce))
            set(ResultCheck::nonce, !ours->empty() && equal(result.nonce, *ours), hex(result.nonce), hex(*ours),
                "this connection");
        else if (std::holds_alternative<NonceOfService>(wanted_.nonce))
            set(ResultCheck::nonce, result.nonce_by == "service",
                result.nonce_by.empty() ? "not said whose" : "made by the " + result.nonce_by, "made by the service",
                "verifier");
        else
            nobody_said(ResultCheck::nonce, hex(result.nonce));
    }

    void check_key(const AttestationResult &result) {
        const std::string found = result.key ? key_text(*result.key) : "no key";
        if (const auto *peer = std::get_if<PublicKey>(&wanted_.peer_key))
            set(ResultCheck::key, result.key && *result.key == *peer, found, key_text(*peer), "this connection");
        else if (std::holds_alternative<Skip>(wanted_.peer_key))
            skip(ResultCheck::key, found);
        else
            nobody_said(ResultCheck::key, found);
    }

    void check_policy(const AttestationResult &result) {
        const std::vector<std::string> &found = result.report_part().policies;
        if (const auto *wanted = std::get_if<std::vector<std::string>>(&wanted_.policies))
            set(ResultCheck::policy,
                std::ranges::any_of(found, [&](const std::string &id) { return std::ranges::contains(*wanted, id); }),
                joined(found, "none"), joined(*wanted, "none"), "verifier");
        else if (std::holds_alternative<Skip>(wanted_.policies))
            skip(ResultCheck::policy, joined(found, "none"));
        else
            nobody_said(ResultCheck::policy, joined(found, "none"));
    }

    void check_emulated(const AttestationResult &result) {
        out_.emulated = result.emulated.value_or(false);
        if (!result.emulated) {
            set(ResultCheck::emulated, false, "not said", "said: true or false", "verifier");
        } else if (!*result.emulated) {
            set(ResultCheck::emulated, true, "AMD's root", "AMD's root", "verifier");
        } else {
            const std::string found = "EMULATED ARK " + hex_or(result.emulated_ark, "that is not named");
            if (wanted_.emulated_ark)
                set(ResultCheck::emulated, result.emulated_ark == sha256(*wanted_.emulated_ark), found,
                    "EMULATED ARK " + hex(sha256(*wanted_.emulated_ark)), "verifier");
            else
                set(ResultCheck::emulated, false, found, "AMD's root", "verifier");
        }
    }

    // Contraindicated is what an emulated platform always is; beside that its verifier says whether it would have
    // accepted it.
    void check_status(const AttestationResult &result) {
        const std::string wanted_status = out_.emulated ? "contraindicated" : "affirming";
        std::vector<std::string> found;
        bool good = result.accepted.value_or(false) && result.subject == "evidence";
        found.push_back(result.accepted ? (*result.accepted ? "accepted" : "refused") : "not said whether accepted");
        found.push_back("about " + (result.subject.empty() ? std::string{"nothing that is said"} : result.subject));
        for (const ResultPart &part : result.parts) {
            found.push_back(part.name + " " + part.status);
            good = good && (part.name == ear_submodule
                                ? part.status == wanted_status
                                : part.status == "affirming" || part.status == "none" || part.status == wanted_status);
        }
        set(ResultCheck::status, good, joined(found, ""),
            "accepted, about evidence, sev-snp " + wanted_status + ", no other part worse", "verifier");
    }

    void check_vector(const AttestationResult &result) {
        std::vector<std::string> wrong;
        for (const ResultPart &part : result.parts)
            for (const TrustClaim &claim : trust_claims()) {
                const int value = part.vector.*claim.value;
                const bool excused = out_.emulated && says_emulated(claim.name, value);
                const bool needed = part.name == ear_submodule && must_affirm(claim.name, out_.emulated);
                if (!(affirming(value) || excused || (value == ar4si::no_claim && !needed)))
                    wrong.push_back(part.name + " " + std::string{claim.name} + " " + std::to_string(value));
            }
        set(ResultCheck::vector, wrong.empty(), joined(wrong, "no claim worse than wanted"),
            out_.emulated ? "configuration and executables 2 to 31, no claim worse but for the emulated root"
                          : "configuration, executables, hardware and runtime-opaque 2 to 31, no claim worse",
            "verifier");
    }

    void check_measurement(const AttestationResult &result) {
        const std::string found = hex_or(result.measurement, "no launch digest");
        if (const auto *wanted = std::get_if<std::vector<Sha384Digest>>(&wanted_.measurements)) {
            std::vector<std::string> texts;
            texts.reserve(wanted->size());
            for (const Sha384Digest &digest : *wanted)
                texts.push_back(hex(digest));
            set(ResultCheck::measurement, result.measurement && std::ranges::contains(*wanted, *result.measurement),
                found, joined(texts, "none"), "caller");
        } else if (std::holds_alternative<Skip>(wanted_.measurements)) {
            skip(ResultCheck::measurement, found);
        } else {
            nobody_said(ResultCheck::measurement, found);
        }
    }

    void check_manifest(const AttestationResult &result) {
        const std::string found = hex_or(result.manifest, "none");
        if (const auto *wanted = std::get_if<Sha256Digest>(&wanted_.manifest))
            set(ResultCheck::manifest, result.manifest == *wanted, found, hex(*wanted), "caller");
        else if (std::holds_alternative<Skip>(wanted_.manifest))
            skip(ResultCheck::manifest, found);
        else
            nobody_said(ResultCheck::manifest, found);
    }

    void decide(const AttestationResult &result) {
        const auto kinds = result_check_kinds();
        out_.valid = true;
        for (std::size_t i = 0; i < kinds.size(); ++i) {
            const Outcome outcome = out_.checks[i].outcome;
            out_.valid = out_.valid && (outcome == Outcome::passed ||
                                        (outcome == Outcome::skipped && kinds[i].skipping == Skipping::by_caller));
        }
        if (!out_.valid || out_[ResultCheck::key].outcome != Outcome::passed || !result.key)
            return;
        AcceptedResult accepted;
        accepted.key_ = *result.key;
        accepted.emulated_ = out_.emulated;
        accepted.measurement_ = result.measurement;
        out_.accepted = accepted;
    }

    ByteView bytes_;
    const ResultExpectations &wanted_;
    ResultAppraisal out_;
};

ResultAppraisal appraise_result(ByteView token, const ResultExpectations &expectations) {
    return ResultAppraiser{token, expectations}.appraise();
}

// ---- output -------------------------------------------------------------------------------------------------------

bool holds(const ResultAppraisal &appraisal, std::span<const Check> further) {
    return appraisal.valid &&
           std::ranges::all_of(further, [](const Check &check) { return check.outcome == Outcome::passed; });
}

static std::string headline(const ResultAppraisal &appraisal, std::span<const Check> further) {
    return std::string{holds(appraisal, further) ? "ACCEPTED" : "REFUSED"} + ", on a verifier's word" +
           (appraisal.emulated ? " (EMULATED: vouched for by an emulated ARK, not by AMD)" : "");
}

static std::vector<Check> all_of(const ResultAppraisal &appraisal, std::span<const Check> further) {
    std::vector<Check> checks = appraisal.checks;
    checks.insert(checks.end(), further.begin(), further.end());
    return checks;
}

std::string result_table(const ResultAppraisal &appraisal, std::span<const Check> further, std::time_t now) {
    const std::vector<Check> checks = all_of(appraisal, further);
    std::string out = headline(appraisal, further) + "\nat " + format_time(now);
    if (appraisal.result && !appraisal.result->build.empty())
        out += ", result of " + printable_line(appraisal.result->build);
    out += "\n\n" + check_rows(checks) + "\n" + headline(appraisal, further) + ": " + check_tally(checks) + "\n";
    return out;
}

Json result_json(const ResultAppraisal &appraisal, std::span<const Check> further, std::time_t now) {
    Json out{{"schema", result_schema},
             {"subject", "result"},
             {"accepted", holds(appraisal, further)},
             {"emulated", appraisal.emulated},
             {"time", format_time(now)},
             {"checks", checks_json(all_of(appraisal, further))}};
    Json shown(nullptr);
    if (const auto &result = appraisal.result) {
        shown = {{"issued", format_time(result->issued)},
                 {"expires", result->expires ? Json(format_time(*result->expires)) : Json(nullptr)},
                 {"verifier", printable_line(result->build)},
                 {"status", result->report_part().status},
                 {"measurement", result->measurement ? Json(hex(*result->measurement)) : Json(nullptr)},
                 {"manifest", result->manifest ? Json(hex(*result->manifest)) : Json(nullptr)},
                 {"key", result->key ? Json(hex(key_thumbprint(*result->key))) : Json(nullptr)}};
    }
    out["result"] = std::move(shown);
    return out;
}

} // namespace cvmin
