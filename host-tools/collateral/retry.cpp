#include "host-tools/collateral/retry.hpp"

#include <algorithm>

namespace cvmin {

using std::chrono::duration_cast;
using std::chrono::milliseconds;
using std::chrono::seconds;

milliseconds backoff(unsigned retry, double random) {
    milliseconds longest = retry_longest_wait;
    if (retry < 16) // else the shift would leave the type
        longest = std::min(longest, retry_first_wait * (1u << retry));
    return milliseconds{static_cast<milliseconds::rep>(static_cast<double>(longest.count()) * (0.5 + random / 2))};
}

namespace {

std::string seconds_text(milliseconds time) {
    const auto tenths = time.count() / 100;
    return std::to_string(tenths / 10) + '.' + std::to_string(tenths % 10) + " s";
}

} // namespace

FailedAttempt failed_attempt(const HttpAnswer &answer, const std::string &what, std::size_t limit,
                             const std::string &not_found) {
    using Kind = HttpAnswer::Kind;
    const std::string subject = what + ": ";
    switch (answer.kind) {
    case Kind::answered:
        break;
    case Kind::unreachable:
        return {Errc::unreachable, subject + answer.text, true, {}};
    case Kind::timed_out:
        return {Errc::timed_out, subject + "no answer in time (" + answer.text + ")", true, {}};
    case Kind::too_large:
        return {Errc::too_large,
                subject + "the answer has more than " + std::to_string(limit) + " bytes, so it is something else",
                false,
                {}};
    case Kind::refused:
        return {Errc::refused, subject + answer.text, false, {}};
    case Kind::interrupted:
        return {Errc::busy, "interrupted", false, {}};
    case Kind::failed:
        return {Errc::system, subject + answer.text, false, {}};
    }
    const std::string status = " (HTTP " + std::to_string(answer.status) + ")";
    switch (answer.status) {
    case 404:
        return {Errc::refused, subject + not_found + status, false, {}};
    case 429: {
        std::string text = subject + "the service limits how often it answers" + status;
        if (answer.retry_after)
            text += ", it asks to wait " + std::to_string(answer.retry_after->count()) + " s";
        return {Errc::refused, std::move(text), true, answer.retry_after};
    }
    case 408:
    case 500:
    case 502:
    case 503:
    case 504:
        return {Errc::unreachable, subject + "the service has a failure of its own" + status, true, answer.retry_after};
    default:
        return {Errc::refused, subject + "an answer that is not understood" + status, false, {}};
    }
}

Explained<void> wait_for_retry(Pacing &pacing, FailedAttempt failed, unsigned attempt, unsigned retries,
                               std::chrono::steady_clock::time_point deadline,
                               const std::function<void(std::string_view)> &note) {
    if (!failed.passes || attempt >= retries) {
        if (failed.passes && attempt > 0)
            failed.text += "; given up after " + std::to_string(attempt + 1) + " attempts";
        return explain(failed.code, std::move(failed.text));
    }
    milliseconds wait = backoff(attempt, pacing.random());
    if (failed.wait) {
        if (*failed.wait > retry_after_limit)
            return explain(failed.code, std::move(failed.text) + "; that is too long to wait here");
        wait = std::max<milliseconds>(wait, *failed.wait);
    }
    if (pacing.now() + wait >= deadline)
        return explain(failed.code, std::move(failed.text) + "; no time is left for another attempt");
    note(failed.text + "; again in " + seconds_text(wait));
    if (!pacing.wait(wait))
        return explain(Errc::busy, "interrupted");
    return {};
}

Explained<Bytes> fetch(HttpClient &client, Pacing &pacing, const FetchPlan &plan,
                       const std::function<void(std::string_view)> &note) {
    Bytes begun; // of an answer that ended early, to go on with
    std::string etag;
    for (unsigned attempt = 0;; ++attempt) {
        const auto left = duration_cast<milliseconds>(plan.deadline - pacing.now());
        if (left <= milliseconds{0})
            return explain(Errc::timed_out, plan.what + ": no time is left");
        HttpRequest request{.url = plan.url,
                            .limit = plan.limit - begun.size(),
                            .timeout = std::min<milliseconds>(http_total_timeout, left),
                            .from = begun.size(),
                            .etag = etag};
        if (begun.size() == plan.limit) // nothing may follow, and yet the answer was not complete
            return explain(Errc::too_large, plan.what + ": the answer has more bytes than it may have");
        HttpAnswer answer = client.send(request);
        if (request.from != 0 && answer.status == 200) { // all of it once more, perhaps of another version
            begun.clear();
        } else if (request.from != 0 && answer.kind == HttpAnswer::Kind::answered && !answer.resumed) {
            begun.clear(); // 416, or another range: begin anew
            etag.clear();
            answer.status = 503; // to be repeated, as if the service had failed
        }
        const bool has_body = answer.status == 200 || (answer.resumed && request.from != 0);
        if (answer.kind == HttpAnswer::Kind::answered && has_body && answer.complete) {
            begun.insert(begun.end(), answer.body.begin(), answer.body.end());
            if (begun.size() > plan.limit)
                return explain(Errc::too_large, plan.what + ": the answer has more bytes than it may have");
            return begun;
        }
        if (has_body && !answer.complete && !answer.etag.empty() && (etag.empty() || etag == answer.etag)) {
            etag = answer.etag;
            begun.insert(begun.end(), answer.body.begin(), answer.body.end());
        } else if (has_body && !answer.complete) {
            begun.clear();
            etag.clear();
        }
        if (auto waited = wait_for_retry(pacing, failed_attempt(answer, plan.what, plan.limit, plan.not_found), attempt,
                                         plan.retries, plan.deadline, note);
            !waited)
            return std::unexpected(std::move(waited.error()));
    }
}

} // namespace cvmin
