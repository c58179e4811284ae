#include "host-tools/verifier_client/verifier_client.hpp"

#include "common/claims.hpp"
#include "host-tools/appraise/verdict.hpp"
#include "host-tools/base/base64url.hpp"
#include "host-tools/base/text.hpp"

#include <algorithm>
#include <initializer_list>

namespace cvmin {

using std::chrono::duration_cast;
using std::chrono::milliseconds;

namespace {

constexpr std::string_view session_media_type = "application/vnd.veraison.challenge-response-session+json";
constexpr std::string_view problem_media_type = "application/problem+json";
constexpr std::string_view nonce_problem = "tag:cvmin,2026:problem:nonce"; // docs/verifier.md
constexpr std::size_t max_words = 300;                                     // of a service, in one text of ours
constexpr std::size_t min_hidden_token = 16; // shorter ones are no secrets, and would be found in every word
constexpr std::size_t max_expiry_size = 64;  // "2026-01-31T12:05:00.123456789+01:00" has 35

std::string lower(std::string_view text) {
    std::string out{text};
    for (char &c : out)
        c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    return out;
}

// Of people's interest only.
std::string words(std::string text) {
    if (text.size() > max_words) {
        text.resize(max_words);
        text += "...";
    }
    return printable_line(std::move(text));
}

std::string optional_string(const Json &object, const char *member) {
    const auto text = json_string(object, member, member);
    return text ? words(*text) : std::string{};
}

// base64url, padded or not; in older services' sessions standard base64.
Result<Bytes> parse_nonce(std::string_view text) {
    auto nonce = parse_base64url(text, "session.nonce");
    if (!nonce)
        nonce = parse_base64(text, "session.nonce");
    if (nonce && (nonce->size() < min_nonce_size || nonce->size() > max_nonce_size))
        return fail(Errc::out_of_range, "session.nonce", nonce->size());
    return nonce;
}

// RFC 3339 with fractions of seconds, which parse_time() does not know.
Result<std::time_t> parse_expiry(std::string text) {
    if (text.size() > max_expiry_size)
        return fail(Errc::malformed, "session.expiry");
    if (const std::size_t point = text.find('.'); point != text.npos) {
        const std::size_t end = std::min(text.find_first_not_of("0123456789", point + 1), text.size());
        if (end == point + 1)
            return fail(Errc::malformed, "session.expiry", point);
        text.erase(point, end - point);
    }
    const auto time = parse_time(text);
    if (!time)
        return fail(time.error().code, "session.expiry", time.error().detail);
    return *time;
}

Result<std::vector<std::string>> parse_accept(const Json &session) {
    const auto found = session.find("accept");
    if (found == session.end())
        return fail(Errc::missing, "session.accept");
    if (!found->is_array())
        return fail(Errc::malformed, "session.accept");
    if (found->size() > max_session_accept)
        return fail(Errc::too_large, "session.accept", found->size());
    std::vector<std::string> accept;
    for (const Json &type : *found) {
        if (!type.is_string())
            return fail(Errc::malformed, "session.accept");
        accept.push_back(type.get<std::string>());
        if (accept.back().size() > max_media_type_size)
            return fail(Errc::too_large, "session.accept", accept.back().size());
    }
    return accept;
}

bool is_compact_jws(std::string_view text) {
    constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    for (int part = 0; part < 3; ++part) {
        const std::size_t end = std::min(text.find_first_not_of(digits), text.size());
        const bool last = part == 2;
        if (end == 0 || (last ? end != text.size() : end == text.size() || text[end] != '.'))
            return false;
        text.remove_prefix(last ? end : end + 1);
    }
    return true;
}

// Without the spaces that are allowed around parameters.
std::string normalized(std::string_view media_type) {
    std::string out = lower(media_type);
    std::erase(out, ' ');
    return out;
}

std::string list_of(const std::vector<std::string> &accept) {
    std::string out;
    for (const std::string &type : accept)
        out += (out.empty() ? "" : ", ") + type;
    return out.empty() ? "nothing" : words(std::move(out));
}

// As in a URL's query. Padded: Veraison's services up to 2026 take no other; '=' would be taken there as well, but this
// is how its clients write it.
std::string nonce_parameter(ByteView nonce) {
    std::string text = base64url(nonce);
    for (std::size_t digits = text.size(); digits % 4 != 0; ++digits)
        text += "%3D";
    return text;
}

bool has_problem(const HttpAnswer &answer) {
    return answer.status >= 400 && lower(answer.content_type).starts_with(problem_media_type);
}

} // namespace

Result<SessionDocument> parse_session_document(ByteView json) {
    CVMIN_TRY(object, parse_json(json, "session"));
    if (!object.is_object())
        return fail(Errc::malformed, "session");
    SessionDocument session;
    CVMIN_TRY(status, json_string(object, "status", "session.status"));
    using Status = SessionDocument::Status;
    if (status == "waiting")
        session.status = Status::waiting;
    else if (status == "processing")
        session.status = Status::processing;
    else if (status == "complete")
        session.status = Status::complete;
    else if (status == "failed")
        session.status = Status::failed;
    else
        return fail(Errc::unsupported, "session.status");
    CVMIN_TRY(nonce, json_string(object, "nonce", "session.nonce"));
    CVMIN_TRY(parsed_nonce, parse_nonce(nonce));
    session.nonce = std::move(parsed_nonce);
    CVMIN_TRY(expiry, json_string(object, "expiry", "session.expiry"));
    CVMIN_TRY(expires, parse_expiry(std::move(expiry)));
    session.expires = expires;
    CVMIN_TRY(accept, parse_accept(object));
    session.accept = std::move(accept);
    if (session.status == Status::complete) {
        CVMIN_TRY(result, json_string(object, "result", "session.result"));
        if (!is_compact_jws(result))
            return fail(Errc::malformed, "session.result");
        session.result = std::move(result);
    }
    return session;
}

ProblemDetails parse_problem_details(ByteView json) {
    const auto object = parse_json(json, "problem");
    if (!object || !object->is_object())
        return {};
    return {.type = optional_string(*object, "type"),
            .title = optional_string(*object, "title"),
            .detail = optional_string(*object, "detail")};
}

// A request that is asked until it has an answer which is no passing failure.
struct VerifierClient::Step {
    std::string what; // for people
    HttpRequest request;
    std::string token; // which no text of ours may repeat
    std::chrono::steady_clock::time_point deadline;
};

namespace {

// The last part of a session's path. Services repeat it in what they say.
std::string token_of(const std::string &url) {
    const std::string_view path = std::string_view{url}.substr(0, url.find_first_of("?#"));
    return std::string{path.substr(path.rfind('/') + 1)};
}

std::string without_token(std::string text, const std::string &token) {
    if (token.size() < min_hidden_token)
        return text;
    for (std::size_t at = text.find(token); at != text.npos; at = text.find(token, at))
        text.replace(at, token.size(), "TOKEN");
    return text;
}

// `answer` as what failed, with what the service says of it.
FailedAttempt failure_of(const HttpAnswer &answer, const std::string &what, const std::string &token) {
    FailedAttempt failed = failed_attempt(answer, what, max_verifier_answer,
                                          "Veraison's challenge-response API, or this session, is not there");
    if (has_problem(answer)) {
        if (failed.code == Errc::refused && answer.status != 429) // which has its words
            failed.text = what + ": refused (HTTP " + std::to_string(answer.status) + ')';
        const ProblemDetails problem = parse_problem_details(answer.body);
        for (const std::string &text : {problem.type, problem.detail.empty() ? problem.title : problem.detail})
            if (!text.empty() && text != "about:blank")
                failed.text += ": " + text;
    } else if (answer.kind == HttpAnswer::Kind::answered && answer.status >= 300 && answer.status < 400) {
        failed.text += ": redirects are not followed here";
    }
    failed.text = without_token(std::move(failed.text), token);
    return failed;
}

} // namespace

VerifierClient::VerifierClient(HttpClient &http, Pacing &pacing, std::string address,
                               std::function<void(std::string_view)> note)
    : http_(http), pacing_(pacing), address_(std::move(address)), note_(std::move(note)) {}

// To repeat a POST does no harm: a session that nobody uses ends by itself, and the same evidence has the same outcome.
Explained<HttpAnswer> VerifierClient::ask(const Step &step) {
    for (unsigned attempt = 0;; ++attempt) {
        const auto left = duration_cast<milliseconds>(step.deadline - pacing_.now());
        if (left <= milliseconds{0})
            return explain(Errc::timed_out, step.what + ": no time is left");
        HttpRequest request = step.request;
        request.timeout = std::min<milliseconds>(http_total_timeout, left);
        HttpAnswer answer = http_.send(request);
        if (answer.kind == HttpAnswer::Kind::answered && answer.body.size() > max_verifier_answer)
            answer.kind = HttpAnswer::Kind::too_large;
        FailedAttempt failed = failure_of(answer, step.what, step.token);
        if (answer.kind == HttpAnswer::Kind::answered && !failed.passes)
            return answer;
        if (auto waited = wait_for_retry(pacing_, std::move(failed), attempt, verifier_retries, step.deadline, note_);
            !waited)
            return std::unexpected(std::move(waited.error()));
    }
}

Explained<ChallengeSession> VerifierClient::open(const std::optional<Bytes> &nonce) {
    if (nonce && (nonce->size() < min_nonce_size || nonce->size() > max_nonce_size))
        return explain(Errc::out_of_range, "nonce: " + std::to_string(nonce->size()) + " bytes found, wanted " +
                                               std::to_string(min_nonce_size) + " to " +
                                               std::to_string(max_nonce_size));
    const std::string what = address_ + ": a new session";
    const std::string url =
        address_ + "/challenge-response/v1/newSession?" +
        (nonce ? "nonce=" + nonce_parameter(*nonce) : "nonceSize=" + std::to_string(asked_nonce_size));
    const auto answer = ask({.what = what,
                             .request = {.url = url,
                                         .limit = max_verifier_answer,
                                         .accept = std::string{session_media_type},
                                         .post = HttpBody{}},
                             .token = {},
                             .deadline = pacing_.now() + verifier_timeout});
    if (!answer)
        return std::unexpected(answer.error());
    if (answer->status != 201) {
        FailedAttempt failed = failure_of(*answer, what, {});
        const bool takes_none = nonce && answer->status == 400 && has_problem(*answer) &&
                                parse_problem_details(answer->body).type == nonce_problem;
        return explain(takes_none ? Errc::unsupported : failed.code, std::move(failed.text));
    }
    const auto document = parse_session_document(answer->body);
    if (!document)
        return explain(document.error(), what);
    if (document->status != SessionDocument::Status::waiting)
        return explain(Errc::malformed, what + ": session.status: it does not wait for evidence");
    if (nonce && document->nonce != *nonce)
        return explain(Errc::mismatch,
                       what + ": session.nonce: " + hex(document->nonce) + " found, wanted " + hex(*nonce));
    if (answer->location.empty())
        return explain(Errc::missing, what + ": Location is missing");
    auto location = resolve_on_origin(url, answer->location);
    if (!location)
        return explain(location.error().code, what + ": Location: " + location.error().text);
    return ChallengeSession{.url = std::move(*location),
                            .nonce = document->nonce,
                            .expires = document->expires,
                            .accept = document->accept};
}

Explained<std::string> VerifierClient::submit(const ChallengeSession &session, ByteView evidence,
                                              std::string_view media_type) {
    const std::string what = address_ + ": evidence";
    if (!std::ranges::contains(session.accept, normalized(media_type),
                               [](const std::string &type) { return normalized(type); }))
        return explain(Errc::unsupported,
                       what + ": it accepts " + list_of(session.accept) + ", wanted " + std::string{media_type});
    Step step{.what = what,
              .request = {.url = session.url,
                          .limit = max_verifier_answer,
                          .accept = std::string{session_media_type},
                          .post = HttpBody{.data = to_bytes(evidence), .media_type = std::string{media_type}}},
              .token = token_of(session.url),
              .deadline = pacing_.now() + verifier_timeout};
    for (unsigned polls = 0;; ++polls) {
        const auto answer = ask(step);
        if (!answer)
            return std::unexpected(answer.error());
        if (answer->status != 200 && (answer->status != 202 || !step.request.post)) {
            FailedAttempt failed = failure_of(*answer, step.what, step.token);
            return explain(failed.code, std::move(failed.text));
        }
        auto document = parse_session_document(answer->body);
        if (!document)
            return explain(document.error(), step.what);
        if (document->nonce != session.nonce)
            return explain(Errc::mismatch, step.what + ": session.nonce: " + hex(document->nonce) + " found, wanted " +
                                               hex(session.nonce));
        switch (document->status) {
        case SessionDocument::Status::complete:
            return std::move(document->result);
        case SessionDocument::Status::failed:
            return explain(Errc::refused, step.what + ": the service could not appraise it (session.status: failed)");
        case SessionDocument::Status::waiting:
            return explain(Errc::malformed, step.what + ": session.status: it still waits for evidence");
        case SessionDocument::Status::processing:
            break;
        }
        if (polls == max_polls)
            return explain(Errc::timed_out,
                           step.what + ": not done after " + std::to_string(max_polls) + " questions for the result");
        if (polls == 0)
            note_(step.what + ": is being appraised");
        step.what = address_ + ": the result";
        step.request.post.reset();
        const milliseconds pause = std::max<milliseconds>(
            poll_pause, std::min(answer->retry_after.value_or(std::chrono::seconds{0}), retry_after_limit));
        if (pacing_.now() + pause >= step.deadline)
            return explain(Errc::timed_out, step.what + ": no time is left to ask for it");
        if (!pacing_.wait(pause))
            return explain(Errc::busy, "interrupted");
    }
}

} // namespace cvmin
