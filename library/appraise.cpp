// The C interface of host-tools/appraise. Checks what a caller in another language can get wrong, and turns results
// into status codes and exceptions into one. It judges nothing itself.
#include "host-tools/appraise/appraise.hpp"
#include "common/cert_table.hpp"
#include "common/evidence.hpp"
#include "common/protocol.hpp"
#include "host-tools/appraise/verdict.hpp"
#include "library/caller.hpp"

#include <cvmin/appraise.h>

#include <cstdio>
#include <cstring>
#include <new>
#include <utility>

namespace cvmin {

namespace {

using Options = cvmin_appraise_options;

static_assert(sizeof(void *) == 8 && sizeof(Options) == 248 && CVMIN_APPRAISE_OPTIONS_LEAST_SIZE == 232,
              "the structure of the published interface");
static_assert(CVMIN_APPRAISE_MAX_EVIDENCE_SIZE == max_evidence_size);
static_assert(CVMIN_APPRAISE_MAX_CERTIFICATE_SIZE == max_certificate_size);
static_assert(CVMIN_APPRAISE_MAX_CERTIFICATE_TABLE_SIZE == max_cert_table_size);
static_assert(CVMIN_APPRAISE_MAX_CRL_SIZE == max_crl_size);
#define CVMIN_STRING_(x) #x
#define CVMIN_STRING(x) CVMIN_STRING_(x)
constexpr std::string_view header_version = CVMIN_STRING(CVMIN_APPRAISE_VERSION_MAJOR) "." CVMIN_STRING(
    CVMIN_APPRAISE_VERSION_MINOR) "." CVMIN_STRING(CVMIN_APPRAISE_VERSION_PATCH);
static_assert(header_version == CVMIN_VERSION);

constexpr std::uint32_t skips_of_reports = CVMIN_APPRAISE_SKIP_REPORT_DATA;
constexpr std::uint32_t skips_of_evidence = CVMIN_APPRAISE_SKIP_EXPORTER | CVMIN_APPRAISE_SKIP_PEER_KEY;

struct Failure {
    int status;
    std::string text;
};
template <class T> using OrFailure = std::expected<T, Failure>;

std::unexpected<Failure> failure(int status, std::string text) {
    return std::unexpected(Failure{status, std::move(text)});
}
std::unexpected<Failure> invalid(std::string text) {
    return failure(CVMIN_APPRAISE_INVALID_ARGUMENT, std::move(text));
}

// ---- options --------------------------------------------------------------------------------------------------

OrFailure<Options> read_options(const Options *given) {
    const auto options = copy_options(given, CVMIN_APPRAISE_OPTIONS_LEAST_SIZE);
    if (options)
        return *options;
    switch (options.error()) {
    case OptionsProblem::null:
        return invalid("options is NULL");
    case OptionsProblem::size:
        return invalid("options.struct_size is not the size of a struct cvmin_appraise_options");
    default:
        return failure(CVMIN_APPRAISE_UNSUPPORTED, "options has members set which this version does not know");
    }
}

struct Input {
    const char *name;
    cvmin_appraise_bytes Options::*bytes;
    std::size_t most;
    std::uint32_t subject; // that it goes with; 0: both
    std::size_t exactly = 0;
};
constexpr Input inputs[] = {
    {"evidence", &Options::evidence, max_evidence_size, 0},
    {"policy", &Options::policy, CVMIN_APPRAISE_MAX_POLICY_SIZE, 0},
    {"measurements", &Options::measurements, CVMIN_APPRAISE_MAX_MEASUREMENTS * sizeof(Sha384Digest), 0},
    {"vek", &Options::vek, max_certificate_size, CVMIN_APPRAISE_SUBJECT_REPORT},
    {"ask", &Options::ask, max_certificate_size, CVMIN_APPRAISE_SUBJECT_REPORT},
    {"ark", &Options::ark, max_certificate_size, CVMIN_APPRAISE_SUBJECT_REPORT},
    {"certificates", &Options::certificates, max_cert_table_size, CVMIN_APPRAISE_SUBJECT_REPORT},
    {"crl", &Options::crl, max_crl_size, 0},
    {"emulated_ark", &Options::emulated_ark, max_certificate_size, 0},
    {"report_data", &Options::report_data, 64, CVMIN_APPRAISE_SUBJECT_REPORT, 64},
    {"nonce", &Options::nonce, max_nonce_size, CVMIN_APPRAISE_SUBJECT_EVIDENCE},
    {"exporter", &Options::exporter, exporter_size, CVMIN_APPRAISE_SUBJECT_EVIDENCE, exporter_size},
    {"peer_key", &Options::peer_key, 96, CVMIN_APPRAISE_SUBJECT_EVIDENCE, 96},
    {"manifest", &Options::manifest, sizeof(Sha256Digest), 0, sizeof(Sha256Digest)},
};

// What is given must take part in the verdict: an option without effect is a caller's mistake that would go unseen.
OrFailure<void> check_inputs(const Options &o) {
    if (o.subject != CVMIN_APPRAISE_SUBJECT_REPORT && o.subject != CVMIN_APPRAISE_SUBJECT_EVIDENCE)
        return invalid("options.subject is none of enum cvmin_appraise_subject");
    const bool report = o.subject == CVMIN_APPRAISE_SUBJECT_REPORT;
    for (const Input &input : inputs) {
        const cvmin_appraise_bytes &bytes = o.*input.bytes;
        const std::string name = std::string{"options."} + input.name;
        if (absent(bytes) != (bytes.size == 0))
            return invalid(name + " has an address without a size, or a size without an address");
        if (absent(bytes))
            continue;
        if (input.subject != 0 && input.subject != o.subject)
            return invalid(name + " does not go with this subject");
        if (input.exactly != 0 && bytes.size != input.exactly)
            return invalid(name + " is not of " + std::to_string(input.exactly) + " bytes");
        if (bytes.size > input.most)
            return failure(CVMIN_APPRAISE_TOO_LARGE, name + " is larger than its limit");
    }
    if ((o.skip & ~(report ? skips_of_reports : skips_of_evidence)) != 0)
        return invalid("options.skip has a bit that does not go with this subject");
    if (o.time <= 0)
        return invalid("options.time is not set");
    if (absent(o.evidence))
        return invalid("options.evidence is absent");
    if (absent(o.policy))
        return invalid("options.policy is absent");
    if (o.measurements.size % sizeof(Sha384Digest) != 0)
        return invalid("options.measurements is not of 48 bytes for each launch digest");
    if (!absent(o.certificates) && !(absent(o.vek) && absent(o.ask) && absent(o.ark)))
        return invalid("options has certificates beside vek, ask or ark, of which it takes the place");
    const auto said = [&](const cvmin_appraise_bytes &bytes, std::uint32_t bit) {
        return absent(bytes) == ((o.skip & bit) != 0);
    };
    if (!absent(o.report_data) && (o.skip & CVMIN_APPRAISE_SKIP_REPORT_DATA) != 0)
        return invalid("options wants report_data or its skip, and not both");
    if (!report && (!said(o.exporter, CVMIN_APPRAISE_SKIP_EXPORTER) || !said(o.peer_key, CVMIN_APPRAISE_SKIP_PEER_KEY)))
        return invalid("options wants exporter and peer_key or their skips, and not both");
    if (!report && o.nonce.size < min_nonce_size)
        return invalid("options.nonce is absent or shorter than 32 bytes");
    return {};
}

OrFailure<Bytes> der_of(const cvmin_appraise_bytes &given, const char *name) {
    if (absent(given))
        return Bytes{};
    auto der = certificate_der(view(given), name);
    if (!der)
        return failure(CVMIN_APPRAISE_MALFORMED, to_string(der.error()));
    return std::move(*der);
}

OrFailure<Expectations> read_expectations(const Options &o) {
    Expectations wanted;
    auto policy = parse_policy(view(o.policy));
    if (!policy)
        return failure(CVMIN_APPRAISE_INVALID_POLICY, "policy: " + to_string(policy.error()));
    wanted.policy = std::move(*policy);
    for (ByteView rest = view(o.measurements); !rest.empty(); rest = rest.subspan(sizeof(Sha384Digest)))
        std::ranges::copy(rest.first(sizeof(Sha384Digest)), wanted.measurements.emplace_back().begin());
    wanted.measurement_source = "the caller";
    if (wanted.measurements.empty()) {
        const Policy &p = wanted.policy;
        const bool report = o.subject == CVMIN_APPRAISE_SUBJECT_REPORT;
        if (!p.signer && p.measurements.empty() && !(report && p.any_measurement))
            return invalid("options.measurements is absent, and the policy lists none and names no signer who would "
                           "vouch");
        wanted.signer_vouches = p.signer.has_value();
        wanted.measurement_source = p.signer ? "the policy's signer" : "the policy";
    }
    if (o.subject == CVMIN_APPRAISE_SUBJECT_REPORT && absent(o.report_data) &&
        (o.skip & CVMIN_APPRAISE_SKIP_REPORT_DATA) == 0 && !wanted.policy.report_data && !wanted.policy.any_report_data)
        return invalid("options wants report_data or its skip: the policy leaves it to the caller");
    wanted.now = o.time;
    if (!absent(o.emulated_ark)) {
        CVMIN_TRY(ark, der_of(o.emulated_ark, "options.emulated_ark"));
        if (const auto parsed = X509Certificate::parse(ark, "options.emulated_ark"); !parsed)
            return failure(CVMIN_APPRAISE_MALFORMED, to_string(parsed.error()));
        wanted.emulated_ark = std::move(ark);
    }
    if (!absent(o.crl)) {
        auto list = RevocationList::parse(view(o.crl), "options.crl");
        if (!list)
            return failure(CVMIN_APPRAISE_MALFORMED, to_string(list.error()));
        wanted.endorsements.crl = std::make_shared<const RevocationList>(std::move(*list));
    }
    if ((o.skip & CVMIN_APPRAISE_SKIP_REPORT_DATA) != 0)
        wanted.report_data = Skip{};
    else if (!absent(o.report_data))
        std::ranges::copy(view(o.report_data), wanted.report_data.emplace<ByteArray<64>>().begin());
    wanted.nonce = to_bytes(view(o.nonce));
    if ((o.skip & CVMIN_APPRAISE_SKIP_EXPORTER) != 0)
        wanted.exporter = Skip{};
    else if (!absent(o.exporter))
        std::ranges::copy(view(o.exporter), wanted.exporter.emplace<ByteArray<exporter_size>>().begin());
    if ((o.skip & CVMIN_APPRAISE_SKIP_PEER_KEY) != 0) {
        wanted.peer_key = Skip{};
    } else if (!absent(o.peer_key)) {
        auto &key = wanted.peer_key.emplace<PublicKey>();
        std::ranges::copy(view(o.peer_key).first(key.x.size()), key.x.begin());
        std::ranges::copy(view(o.peer_key).last(key.y.size()), key.y.begin());
    }
    if (!absent(o.manifest))
        std::ranges::copy(view(o.manifest), wanted.manifest.emplace().begin());
    return wanted;
}

// Beside a report: the caller's table, or one made of the single certificates.
OrFailure<Bytes> read_certificates(const Options &o, Expectations &wanted) {
    if (!absent(o.certificates))
        return to_bytes(view(o.certificates));
    CVMIN_TRY(vek, der_of(o.vek, "options.vek"));
    CVMIN_TRY(ask, der_of(o.ask, "options.ask"));
    CVMIN_TRY(ark, der_of(o.ark, "options.ark"));
    if (!ask.empty()) {
        auto parsed = X509Certificate::parse(ask, "options.ask");
        if (!parsed)
            return failure(CVMIN_APPRAISE_MALFORMED, to_string(parsed.error()));
        wanted.endorsements.intermediates.push_back(std::make_shared<const X509Certificate>(std::move(*parsed)));
    }
    if (vek.empty() && ask.empty() && ark.empty())
        return Bytes{};
    return encode_cert_table({.vcek = vek, .vlek = {}, .ask = ask, .ark = ark, .crl = {}});
}

struct Answer {
    bool accepted = false;
    std::string json;
};

OrFailure<Answer> appraise_for(const Options *given) {
    CVMIN_TRY(options, read_options(given));
    CVMIN_CHECK(check_inputs(options));
    CVMIN_TRY(wanted, read_expectations(options));
    const bool report = options.subject == CVMIN_APPRAISE_SUBJECT_REPORT;
    CVMIN_TRY(certificates, read_certificates(options, wanted));
    const Appraisal appraisal = report ? appraise_report(view(options.evidence), certificates, wanted)
                                       : appraise(view(options.evidence), wanted);
    return Answer{appraisal.verdict.accepted(), verdict_json(appraisal, wanted).dump()};
}

// ---- the boundary ---------------------------------------------------------------------------------------------

int call(const Options *options, char *verdict, std::size_t *verdict_size, char *text, std::size_t text_size) noexcept {
    const auto say = [&](int status, const char *why) { return cvmin::say(text, text_size, status, why); };
    if (!text && text_size != 0)
        return CVMIN_APPRAISE_INVALID_ARGUMENT;
    if (!verdict_size && verdict)
        return say(CVMIN_APPRAISE_INVALID_ARGUMENT, "verdict has no size");
    const std::size_t room = verdict_size ? *verdict_size : 0;
    if (verdict_size)
        *verdict_size = 0; // until there is a verdict
    if (!verdict && room != 0)
        return say(CVMIN_APPRAISE_INVALID_ARGUMENT, "verdict is NULL and has a size");
    if (room != 0)
        verdict[0] = '\0';
    try {
        const OrFailure<Answer> answer = appraise_for(options);
        if (!answer)
            return say(answer.error().status, answer.error().text.c_str());
        const std::size_t needed = answer->json.size() + 1;
        if (needed > CVMIN_APPRAISE_MAX_VERDICT_SIZE)
            return say(CVMIN_APPRAISE_INTERNAL, "the verdict is larger than any should be");
        if (verdict_size) {
            *verdict_size = needed;
            if (!verdict || needed > room)
                return say(CVMIN_APPRAISE_BUFFER_TOO_SMALL, "the buffer is too small for the verdict");
            std::memcpy(verdict, answer->json.c_str(), needed);
            *verdict_size = needed - 1;
        }
        return say(answer->accepted ? CVMIN_APPRAISE_ACCEPTED : CVMIN_APPRAISE_REFUSED, "");
    } catch (const std::bad_alloc &) {
        return say(CVMIN_APPRAISE_NO_MEMORY, "out of memory");
    } catch (...) {
        return say(CVMIN_APPRAISE_INTERNAL, "an exception which is not one of memory");
    }
}

} // namespace

} // namespace cvmin

extern "C" {

int cvmin_appraise(const struct cvmin_appraise_options *options, char *verdict, std::size_t *verdict_size, char *error,
                   std::size_t error_size) {
    return cvmin::call(options, verdict, verdict_size, error, error_size);
}

const char *cvmin_appraise_status_text(int status) {
    switch (status) {
    case CVMIN_APPRAISE_ACCEPTED:
        return "accepted";
    case CVMIN_APPRAISE_REFUSED:
        return "refused";
    case CVMIN_APPRAISE_INVALID_ARGUMENT:
        return "an argument is not valid";
    case CVMIN_APPRAISE_INVALID_POLICY:
        return "the policy is not valid";
    case CVMIN_APPRAISE_UNSUPPORTED:
        return "an option is of a kind this version does not support";
    case CVMIN_APPRAISE_TOO_LARGE:
        return "an input is larger than its limit";
    case CVMIN_APPRAISE_MALFORMED:
        return "a certificate or list of the caller's cannot be read";
    case CVMIN_APPRAISE_BUFFER_TOO_SMALL:
        return "the buffer is too small for the verdict";
    case CVMIN_APPRAISE_NO_MEMORY:
        return "out of memory";
    case CVMIN_APPRAISE_INTERNAL:
        return "a mistake in the library";
    default:
        return "not a status of this version";
    }
}

const char *cvmin_appraise_version(void) {
    return CVMIN_VERSION;
}

} // extern "C"
