// Requests that are repeated: which failures pass, how long to wait, when to give up; and a GET of which that is done.
// Time and chance come from the caller, so that tests wait for nothing.
#pragma once

#include "host-tools/collateral/http.hpp"

namespace cvmin {

// AMD's service answers about one request for a VCEK in ten seconds per client, and 429 to the others.
inline constexpr std::chrono::milliseconds retry_first_wait{1000};
inline constexpr std::chrono::milliseconds retry_longest_wait{30'000};
inline constexpr unsigned default_retries = 6; // 1, 2, 4, ... 32 s at most: a minute, which outlasts a busy service
// A service that says when to come back is believed up to here; beyond it the user had better come back himself.
inline constexpr std::chrono::seconds retry_after_limit{120};

// Waits and randomness of the process.
class Pacing {
  public:
    virtual ~Pacing() = default;
    virtual std::chrono::steady_clock::time_point now() = 0;
    virtual bool wait(std::chrono::milliseconds time) = 0; // false: interrupted
    virtual double random() = 0;                           // [0, 1)
};

// Before retry number `retry` (from 0): first wait doubled each time up to the longest, of which a random part between
// one half and the whole, so that clients that failed together do not come back together.
std::chrono::milliseconds backoff(unsigned retry, double random);

// What one attempt came to, when it did not bring what it was made for.
struct FailedAttempt {
    Errc code;
    std::string text;
    bool passes = false;                      // worth another attempt
    std::optional<std::chrono::seconds> wait; // as the service asks
};

// Of an answer that is none of those that were hoped for. `what` is for people, `limit` was the request's, `not_found`
// is what 404 means. unreachable: no connection, or the service failed (5xx); timed_out; refused: 404, 429, other
// statuses, a TLS certificate or redirect that we do not follow; too_large; busy: interrupted; system.
FailedAttempt failed_attempt(const HttpAnswer &answer, const std::string &what, std::size_t limit,
                             const std::string &not_found);

// Waits after attempt number `attempt` (from 0) until the next one, of which `note` is told before; or says, with the
// code of what failed, why there is none. busy: interrupted.
Explained<void> wait_for_retry(Pacing &pacing, FailedAttempt failed, unsigned attempt, unsigned retries,
                               std::chrono::steady_clock::time_point deadline,
                               const std::function<void(std::string_view)> &note);

struct FetchPlan {
    std::string url;
    std::string what; // for people: "the VCEK of chip 3ac3fe21..."
    std::size_t limit = 0;
    unsigned retries = default_retries;
    std::chrono::steady_clock::time_point deadline;
    std::string not_found; // what 404 means for this one
};

// The body of an answer 200. timed_out: the deadline, or each attempt took too long; refused: also 429 to the end; else
// as failed_attempt().
Explained<Bytes> fetch(HttpClient &client, Pacing &pacing, const FetchPlan &plan,
                       const std::function<void(std::string_view)> &note);

} // namespace cvmin
