#include "host-tools/verifier/service.hpp"

#include "host-tools/appraise/verdict.hpp"
#include "host-tools/base/base64url.hpp"
#include "host-tools/base/mbed.hpp"
#include "host-tools/base/text.hpp"
#include "host-tools/verifier/page.hpp"

#include <charconv>

namespace cvmin {

namespace {

constexpr std::string_view media_session = "application/vnd.veraison.challenge-response-session+json";
constexpr std::string_view media_discovery = "application/vnd.veraison.discovery+json";
constexpr std::string_view media_jwks = "application/jwk-set+json";
constexpr std::string_view media_json = "application/json";
constexpr std::string_view media_problem = "application/problem+json";
constexpr std::string_view media_jwt = "application/eat+jwt";
constexpr std::string_view media_text = "text/plain; charset=utf-8";
constexpr std::string_view media_metrics = "text/plain; version=0.0.4; charset=utf-8";
constexpr std::string_view media_html = "text/html; charset=utf-8";

constexpr std::string_view session_prefix = "/challenge-response/v1/session/";
constexpr std::string_view appraisal_prefix = "/appraisals/";
constexpr std::size_t history_id_size = 16;
constexpr std::size_t max_query_parameters = 8; // we know two
constexpr std::size_t max_accepted = 16;        // media ranges in one Accept; browsers send under 10

std::string lower(std::string_view text) {
    std::string out{text};
    for (char &c : out)
        c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    return out;
}
std::string_view trimmed(std::string_view text) {
    while (text.starts_with(' ') || text.starts_with('\t'))
        text.remove_prefix(1);
    while (text.ends_with(' ') || text.ends_with('\t'))
        text.remove_suffix(1);
    return text;
}
// Without parameters.
std::string media_type_of(std::string_view header) {
    return lower(trimmed(header.substr(0, header.find(';'))));
}

HttpReply reply(Route route, int status, std::string_view media_type, std::string body) {
    HttpReply out{.status = status, .headers = {}, .body = std::move(body), .route = route};
    if (!media_type.empty())
        out.headers.emplace_back("Content-Type", media_type);
    return out;
}
HttpReply json_reply(Route route, int status, std::string_view media_type, const Json &json) {
    return reply(route, status, media_type, json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n");
}
HttpReply refuse(Route route, int status, std::string_view kind, std::string_view detail) {
    HttpReply out = problem_reply(status, kind, detail);
    out.route = route;
    return out;
}

// ---- what a client accepts (RFC 9110, 12.5.1) -------------------------------------------------------------------

// "0.7" in thousandths; nothing: not a weight.
std::optional<unsigned> weight_of(std::string_view text) {
    if (text.empty() || text.size() > 5 || (text[0] != '0' && text[0] != '1') || (text.size() > 1 && text[1] != '.'))
        return std::nullopt;
    unsigned weight = text[0] == '1' ? 1000 : 0, unit = 100;
    for (const char c : text.substr(std::min<std::size_t>(2, text.size()))) {
        if (c < '0' || c > '9')
            return std::nullopt;
        weight += static_cast<unsigned>(c - '0') * unit;
        unit /= 10;
    }
    return weight > 1000 ? std::nullopt : std::optional{weight};
}

struct Preference {
    unsigned weight = 0;      // 0: not wanted
    unsigned specificity = 0; // of the range that says so: 1 anything, 2 a type, 3 this one
};

Preference preference(std::string_view accept, std::string_view offered) {
    if (trimmed(accept).empty())
        return {.weight = 1000, .specificity = 1};
    Preference best;
    std::size_t ranges = 0;
    while (!accept.empty() && ranges++ < max_accepted) {
        const std::size_t comma = std::min(accept.find(','), accept.size());
        std::string_view one = accept.substr(0, comma);
        accept.remove_prefix(std::min(comma + 1, accept.size()));
        const std::string range = media_type_of(one);
        const unsigned specificity = range == offered ? 3
                                     : range.ends_with("/*") && range.size() > 2 && range != "*/*" &&
                                             offered.starts_with(range.substr(0, range.size() - 1))
                                         ? 2
                                     : range == "*/*" ? 1
                                                      : 0;
        if (specificity <= best.specificity)
            continue;
        unsigned weight = 1000;
        while (one.contains(';')) {
            one.remove_prefix(one.find(';') + 1);
            const std::string parameter = lower(trimmed(one.substr(0, one.find(';'))));
            if (parameter.starts_with("q="))
                weight = weight_of(trimmed(std::string_view{parameter}.substr(2))).value_or(0);
        }
        best = {.weight = weight, .specificity = specificity};
    }
    return best;
}

// The offer that is wanted most; among equals the one that is named, then the first.
std::optional<std::string_view> negotiate(std::string_view accept, std::span<const std::string_view> offers) {
    std::optional<std::string_view> chosen;
    Preference best;
    for (const std::string_view offer : offers) {
        const Preference wanted = preference(accept, offer);
        if (wanted.weight > best.weight ||
            (wanted.weight == best.weight && wanted.weight != 0 && wanted.specificity > best.specificity)) {
            best = wanted;
            chosen = offer;
        }
    }
    return chosen;
}

HttpReply not_acceptable(Route route, std::span<const std::string_view> offers) {
    std::string text = "Accept: wanted one of";
    for (const std::string_view offer : offers)
        text += " " + std::string{offer};
    return refuse(route, 406, "not-acceptable", text);
}

// ---- queries
// ---------------------------------------------------------------------------------------------------------

int hex_value(char c) {
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

std::optional<std::string> percent_decoded(std::string_view text) {
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] != '%') {
            out += text[i];
            continue;
        }
        if (i + 2 >= text.size() || hex_value(text[i + 1]) < 0 || hex_value(text[i + 2]) < 0)
            return std::nullopt;
        out += static_cast<char>(hex_value(text[i + 1]) * 16 + hex_value(text[i + 2]));
        i += 2;
    }
    return out;
}

struct NonceQuery {
    std::optional<std::string> nonce, nonce_size;
};

std::expected<NonceQuery, std::string> parse_nonce_query(std::string_view query) {
    NonceQuery out;
    std::size_t count = 0;
    while (!query.empty()) {
        if (++count > max_query_parameters)
            return std::unexpected("query: too many parameters");
        const std::size_t end = std::min(query.find('&'), query.size());
        const std::string_view one = query.substr(0, end);
        query.remove_prefix(std::min(end + 1, query.size()));
        if (one.empty())
            continue;
        const std::size_t equals = std::min(one.find('='), one.size());
        const auto key = percent_decoded(one.substr(0, equals));
        const auto value = percent_decoded(one.substr(std::min(equals + 1, one.size())));
        if (!key || !value)
            return std::unexpected("query: a % without two hexadecimal digits");
        std::optional<std::string> *const member = *key == "nonce"       ? &out.nonce
                                                   : *key == "nonceSize" ? &out.nonce_size
                                                                         : nullptr;
        if (member == nullptr)
            return std::unexpected("query: \"" + printable_line(*key) + "\" found, wanted nonce or nonceSize");
        if (*member)
            return std::unexpected("query: " + *key + " is there twice");
        *member = *value;
    }
    if (out.nonce && out.nonce_size)
        return std::unexpected("query: nonce and nonceSize exclude each other");
    return out;
}

struct WantedNonce {
    Bytes nonce;
    NonceOrigin origin;
};

std::expected<WantedNonce, std::string> wanted_nonce(std::string_view text, bool client_may) {
    const auto query = parse_nonce_query(text);
    if (!query)
        return std::unexpected(query.error());
    const std::string range = std::to_string(min_session_nonce) + " to " + std::to_string(max_session_nonce);
    if (query->nonce && !client_may)
        return std::unexpected("nonce: this service chooses nonces itself: wanted nonceSize");
    if (query->nonce) {
        auto nonce = parse_base64url(*query->nonce, "nonce");
        if (!nonce)
            return std::unexpected("nonce: is not base64url");
        if (nonce->size() < min_session_nonce || nonce->size() > max_session_nonce)
            return std::unexpected("nonce: " + std::to_string(nonce->size()) + " bytes found, wanted " + range);
        return WantedNonce{std::move(*nonce), NonceOrigin::client};
    }
    std::size_t size = default_session_nonce;
    if (query->nonce_size) {
        const std::string &digits = *query->nonce_size;
        const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), size);
        if (error != std::errc{} || end != digits.data() + digits.size() || size < min_session_nonce ||
            size > max_session_nonce)
            return std::unexpected("nonceSize: \"" + printable_line(digits) + "\" found, wanted " + range);
    }
    Bytes nonce(size);
    system_random(nullptr, u8(MutableBytes{nonce}), nonce.size());
    return WantedNonce{std::move(nonce), NonceOrigin::service};
}

// As Veraison writes it: base64url, padded.
std::string nonce_text(ByteView nonce) {
    std::string text = base64url(nonce);
    text.resize((text.size() + 3) / 4 * 4, '=');
    return text;
}

// ---- routes
// -----------------------------------------------------------------------------------------------------------

struct Target {
    Route route = Route::other;
    std::string_view rest = {}; // token, or id
    std::string_view methods = {};
};

Target target_of(std::string_view path, bool page) {
    constexpr std::string_view get = "GET, HEAD";
    if (path == name(Route::new_session))
        return {.route = Route::new_session, .methods = "POST"};
    if (path.starts_with(session_prefix))
        return {
            .route = Route::session, .rest = path.substr(session_prefix.size()), .methods = "GET, HEAD, POST, DELETE"};
    for (const Route route : {Route::discovery, Route::jwks, Route::healthz, Route::readyz, Route::metrics})
        if (path == name(route))
            return {.route = route, .methods = get};
    if (page && path == name(Route::page))
        return {.route = Route::page, .methods = get};
    if (page && path.starts_with(appraisal_prefix))
        return {.route = Route::appraisal, .rest = path.substr(appraisal_prefix.size()), .methods = get};
    return {};
}

bool allows(std::string_view methods, std::string_view method) {
    while (!methods.empty()) {
        const std::size_t end = std::min(methods.find(','), methods.size());
        if (methods.substr(0, end) == method)
            return true;
        methods.remove_prefix(std::min(end + 2, methods.size()));
    }
    return false;
}

HttpReply unsupported_media_type(std::string_view text) {
    HttpReply out = refuse(Route::session, 415, "media-type", text);
    std::string types;
    for (const std::string_view type : evidence_media_types())
        types += (types.empty() ? "" : ", ") + std::string{type};
    out.headers.emplace_back("Accept", types);
    return out;
}

Json names_of(const Verdict &verdict, Outcome outcome) {
    Json names = Json::array();
    for (const Check &check : verdict.checks())
        if (check.outcome == outcome)
            names.push_back(check.name);
    return names;
}

} // namespace

std::string_view HttpMessage::header(std::string_view wanted) const {
    for (const auto &[key, value] : headers)
        if (key == wanted)
            return value;
    return {};
}

std::string_view reason_phrase(int status) {
    switch (status) {
    case 400:
        return "Bad Request";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 406:
        return "Not Acceptable";
    case 408:
        return "Request Timeout";
    case 410:
        return "Gone";
    case 413:
        return "Content Too Large";
    case 414:
        return "URI Too Long";
    case 415:
        return "Unsupported Media Type";
    case 429:
        return "Too Many Requests";
    case 431:
        return "Request Header Fields Too Large";
    case 503:
        return "Service Unavailable";
    default:
        return "Internal Server Error";
    }
}

HttpReply problem_reply(int status, std::string_view kind, std::string_view detail) {
    return json_reply(Route::other, status, media_problem,
                      {{"type", "tag:cvmin,2026:problem:" + std::string{kind}},
                       {"title", reason_phrase(status)},
                       {"status", status},
                       {"detail", detail}});
}

VerifierService::VerifierService(ServiceOptions options, SessionKeys sessions, ResultKeys keys, Appraiser &appraiser,
                                 LogSink log, std::function<std::uint64_t()> microseconds)
    : options_(options), sessions_(std::move(sessions)), keys_(std::move(keys)), appraiser_(appraiser),
      log_(std::move(log)), microseconds_(std::move(microseconds)) {}

bool VerifierService::ready(std::time_t now) const {
    return !stopping_ && appraiser_.current(now) != nullptr;
}

bool VerifierService::reload(std::time_t now) {
    ++metrics_.reloads;
    const auto loaded = appraiser_.load(now);
    const auto snapshot = appraiser_.current(now);
    if (!loaded) {
        ++metrics_.reload_failures;
        log_({{"level", "error"},
              {"event", "reload"},
              {"ok", false},
              {"reason", loaded.error().text},
              {"in_force", snapshot ? Json(snapshot->source) : Json()}});
        return false;
    }
    metrics_.references_loaded_at = now;
    log_({{"level", "info"},
          {"event", "reload"},
          {"ok", true},
          {"in_force", snapshot ? Json(snapshot->source) : Json()},
          {"policy", snapshot ? Json(hex(snapshot->wanted.policy.digest)) : Json()},
          {"ends", snapshot && snapshot->ends ? Json(format_time(*snapshot->ends)) : Json()}});
    return true;
}

HttpReply VerifierService::handle(const HttpMessage &request, std::time_t now) {
    HttpReply out = answer(request, now);
    out.headers.emplace_back("Cache-Control", "no-store");
    out.headers.emplace_back("X-Content-Type-Options", "nosniff");
    metrics_.request(out.route, out.status);
    return out;
}

HttpReply VerifierService::answer(const HttpMessage &request, std::time_t now) {
    if (request.path.size() + request.query.size() > max_target_size)
        return refuse(Route::other, 414, "target",
                      "target: wanted at most " + std::to_string(max_target_size) + " bytes");
    const Target target = target_of(request.path, options_.page);
    if (target.route == Route::other)
        return refuse(Route::other, 404, "not-found", "path: nothing is here");
    if (!allows(target.methods, request.method)) {
        HttpReply out = refuse(target.route, 405, "method", "method: wanted " + std::string{target.methods});
        out.headers.emplace_back("Allow", target.methods);
        return out;
    }
    switch (target.route) {
    case Route::new_session:
        return new_session(request, now);
    case Route::session:
        return session(request, target.rest, now);
    case Route::discovery:
        return discovery(request, now);
    case Route::jwks:
        return json_reply(Route::jwks, 200, media_jwks, jwks_json(keys_.published));
    case Route::healthz:
        return reply(Route::healthz, 200, media_text, "ok\n");
    case Route::readyz:
        if (stopping_)
            return refuse(Route::readyz, 503, "not-ready", "this replica is stopping");
        if (!appraiser_.current(now))
            return refuse(Route::readyz, 503, "not-ready", "there are no reference values in force");
        return reply(Route::readyz, 200, media_text, "ready\n");
    case Route::metrics:
        metrics_.ready = ready(now);
        return reply(Route::metrics, 200, media_metrics, metrics_.text());
    case Route::page:
    case Route::appraisal:
        return page(request, now);
    case Route::other:
        break;
    }
    return refuse(Route::other, 404, "not-found", "path: nothing is here");
}

Json VerifierService::waiting(const VerifierSession &session) const {
    Json accept = Json::array();
    for (const std::string_view type : evidence_media_types())
        accept.push_back(type);
    return {{"status", "waiting"},
            {"nonce", nonce_text(session.nonce)},
            {"expiry", format_time(session.expires)},
            {"accept", std::move(accept)}};
}

HttpReply VerifierService::new_session(const HttpMessage &request, std::time_t now) {
    if (const auto offers = std::array{media_session, media_json}; !negotiate(request.header("accept"), offers))
        return not_acceptable(Route::new_session, offers);
    auto wanted = wanted_nonce(request.query, options_.client_nonces);
    if (!wanted)
        return refuse(Route::new_session, 400, "nonce", wanted.error());
    const VerifierSession session{.expires = now + static_cast<std::time_t>(options_.nonce_lifetime_s),
                                  .origin = wanted->origin,
                                  .nonce = std::move(wanted->nonce)};
    HttpReply out = json_reply(Route::new_session, 201, media_session, waiting(session));
    out.headers.emplace_back("Location", "session/" + sessions_.make(session));
    ++metrics_.sessions;
    return out;
}

std::expected<VerifierSession, HttpReply> VerifierService::open_session(std::string_view token, std::time_t now) {
    auto known = sessions_.read(token, now);
    if (known)
        return std::move(*known);
    switch (known.error()) {
    case TokenProblem::malformed:
        ++metrics_.tokens_malformed;
        break;
    case TokenProblem::forged:
        ++metrics_.tokens_forged;
        break;
    case TokenProblem::expired:
        ++metrics_.tokens_expired;
        return std::unexpected(
            refuse(Route::session, 410, "session-expired", "session: it has ended; ask for a new one"));
    }
    return std::unexpected(
        refuse(Route::session, 404, "session-unknown",
               "session: its token was not made by this service: " + std::string{name(known.error())}));
}

HttpReply VerifierService::session(const HttpMessage &request, std::string_view token, std::time_t now) {
    const auto known = open_session(token, now);
    if (!known)
        return known.error();
    if (request.method == "POST")
        return submit(request, *known, now);
    if (request.method == "DELETE")
        return reply(Route::session, 204, {}, {});
    if (const auto offers = std::array{media_session, media_json}; !negotiate(request.header("accept"), offers))
        return not_acceptable(Route::session, offers);
    return json_reply(Route::session, 200, media_session, waiting(*known));
}

std::optional<HttpReply> VerifierService::refuse_early(const HttpMessage &request, std::time_t now) {
    const Target target = target_of(request.path, options_.page);
    if (target.route != Route::session || request.method != "POST")
        return std::nullopt; // whose bodies nobody looks at
    if (auto known = open_session(target.rest, now); !known)
        return std::move(known.error());
    if (max_presented_size(media_type_of(request.header("content-type"))) == 0)
        return unsupported_media_type(read_presented(media_type_of(request.header("content-type")), {}).error().text);
    return std::nullopt;
}

HttpReply VerifierService::submit(const HttpMessage &request, const VerifierSession &session, std::time_t now) {
    const std::uint64_t began = microseconds_();
    static constexpr std::array<std::string_view, 4> every_form{media_session, media_json, media_jwt, cwt_media_type};
    // the older profile has no form in CBOR
    const std::span<const std::string_view> forms =
        std::span{every_form}.first(options_.profile == EarProfile::ietf ? every_form.size() : every_form.size() - 1);
    const auto form = negotiate(request.header("accept"), forms);
    if (!form)
        return not_acceptable(Route::session, forms);
    if (!request.header("content-encoding").empty())
        return refuse(Route::session, 415, "media-type", "Content-Encoding: wanted none");
    const std::string media_type = media_type_of(request.header("content-type"));
    auto presented = read_presented(media_type, request.body);
    if (!presented) {
        switch (presented.error().kind) {
        case FormProblem::Kind::too_large:
            return refuse(Route::session, 413, "too-large", presented.error().text);
        case FormProblem::Kind::malformed:
            return refuse(Route::session, 400, "evidence", presented.error().text);
        case FormProblem::Kind::unsupported:
            break;
        }
        return unsupported_media_type(presented.error().text);
    }
    const auto references = appraiser_.current(now);
    if (!references)
        return refuse(Route::session, 503, "not-ready", "there are no reference values in force");

    HistoryEntry entry{.id = {},
                       .time = now,
                       .media_type = presented->media_type,
                       .status = {},
                       .duration_us = 0,
                       .judged = judge_presented(*references, *presented, session.nonce, now)};
    entry.status = ear_status(entry.judged.appraisal);
    auto claims = ear_claims(entry.judged.appraisal, entry.judged.expectations,
                             {.profile = options_.profile,
                              .issued = now,
                              .expires = now + static_cast<std::time_t>(options_.result_lifetime_s)});
    HttpReply out;
    if (!claims)
        return refuse(Route::session, 500, "result", "result: " + to_string(claims.error()));
    (*claims)["submods"][std::string{ear_submodule}][ear_names(options_.profile).of_verifier]["nonce_by"] =
        name(session.origin);
    if (*form == cwt_media_type) {
        const auto cwt = sign_cwt(*claims, *keys_.signing.front());
        if (!cwt)
            return refuse(Route::session, 500, "result", "result: " + to_string(cwt.error()));
        out = reply(Route::session, 200, cwt_media_type, std::string{as_text(*cwt)});
    } else {
        const auto jwt = sign_jwt(*claims, *keys_.signing.front());
        if (!jwt)
            return refuse(Route::session, 500, "result", "result: " + to_string(jwt.error()));
        if (*form == media_jwt) {
            out = reply(Route::session, 200, media_jwt, *jwt);
        } else {
            Json complete = waiting(session);
            complete["status"] = "complete";
            complete["evidence"] = {{"type", media_type}, {"value", base64(request.body)}};
            complete["result"] = *jwt;
            out = json_reply(Route::session, 200, media_session, complete);
        }
    }
    entry.duration_us = microseconds_() - began;
    metrics_.appraisal(entry.status, entry.duration_us);
    log_appraisal(request, entry, *presented);
    if (options_.page) {
        ByteArray<history_id_size> id;
        system_random(nullptr, u8(MutableBytes{id}), id.size());
        entry.id = base64url(id);
        history_.add(std::move(entry));
    }
    return out;
}

void VerifierService::log_appraisal(const HttpMessage &request, const HistoryEntry &entry,
                                    const Presented &presented) const {
    const Verdict &verdict = entry.judged.appraisal.verdict;
    const auto &report = entry.judged.appraisal.report;
    Json line{{"level", "info"},
              {"event", "appraisal"},
              {"peer", request.peer},
              {"media_type", entry.media_type},
              {"accepted", verdict.accepted()},
              {"emulated", verdict.emulated()},
              {"status", entry.status},
              {"failed", names_of(verdict, Outcome::failed)},
              {"not_made", names_of(verdict, Outcome::not_made)},
              {"measurement", report ? Json(hex(report->measurement)) : Json()},
              {"policy", hex(entry.judged.expectations.policy.digest)},
              {"duration_us", entry.duration_us}};
    if (!presented.problem.empty())
        line["problem"] = presented.problem;
    log_(line);
}

HttpReply VerifierService::discovery(const HttpMessage &request, std::time_t now) const {
    if (const auto offers = std::array{media_discovery, media_json}; !negotiate(request.header("accept"), offers))
        return not_acceptable(Route::discovery, offers);
    Json types = Json::array();
    for (const std::string_view type : evidence_media_types())
        types.push_back(type);
    Json jwks = jwks_json(keys_.published);
    return json_reply(
        Route::discovery, 200, media_discovery,
        {{"ear-verification-key", std::move(jwks["keys"][0])},
         {"media-types", std::move(types)},
         {"attestation-schemes", Json::array({"SEVSNP"})},
         {"version", std::string{"cvmin "} + CVMIN_VERSION},
         {"service-state", stopping_    ? "TERMINATING"
                           : ready(now) ? "READY"
                                        : "DOWN"},
         {"api-endpoints", {{"newChallengeResponseSession", name(Route::new_session)}, {"jwks", name(Route::jwks)}}}});
}

HttpReply VerifierService::page(const HttpMessage &request, std::time_t now) const {
    HttpReply out;
    if (request.path == name(Route::page)) {
        out = reply(Route::page, 200, media_html, history_html(history_.recent(), now));
    } else {
        const auto entry = history_.find(std::string_view{request.path}.substr(appraisal_prefix.size()));
        if (!entry)
            return refuse(Route::appraisal, 404, "not-found", "appraisal: it is none of the last ones");
        out = reply(Route::appraisal, 200, media_html, appraisal_html(*entry));
    }
    out.headers.emplace_back("Content-Security-Policy",
                             "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
                             "frame-ancestors 'none'");
    out.headers.emplace_back("Referrer-Policy", "no-referrer");
    return out;
}

} // namespace cvmin
