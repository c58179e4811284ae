// Counters of the verifier service, and their Prometheus text (exposition format 0.0.4). promtool checks it in a test.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>

namespace cvmin {

// Every place that a request can go to; "other" is everything that is nowhere.
#define CVMIN_VERIFIER_ROUTES(X)                                                                                       \
    X(new_session, "/challenge-response/v1/newSession")                                                                \
    X(session, "/challenge-response/v1/session/{token}")                                                               \
    X(discovery, "/.well-known/veraison/verification")                                                                 \
    X(jwks, "/.well-known/jwks.json")                                                                                  \
    X(healthz, "/healthz")                                                                                             \
    X(readyz, "/readyz")                                                                                               \
    X(metrics, "/metrics")                                                                                             \
    X(page, "/")                                                                                                       \
    X(appraisal, "/appraisals/{id}")                                                                                   \
    X(other, "other")
enum class Route : std::uint8_t {
#define X(id, text) id,
    CVMIN_VERIFIER_ROUTES(X)
#undef X
};
inline constexpr std::size_t route_count = static_cast<std::size_t>(Route::other) + 1;
std::string_view name(Route route); // the template: a session's token never goes into a log or a label

// Every status that the service answers with.
inline constexpr std::array<int, 16> counted_statuses{200, 201, 204, 400, 404, 405, 406, 408,
                                                      410, 413, 414, 415, 429, 431, 500, 503};
// Upper bounds in microseconds: an appraisal takes a few milliseconds.
inline constexpr std::array<std::uint64_t, 9> duration_buckets_us{500,    1'000,  2'500,   5'000,    10'000,
                                                                  25'000, 50'000, 100'000, 1'000'000};

class Metrics {
  public:
    using Counter = std::atomic<std::uint64_t>;

    void request(Route route, int status);
    void appraisal(std::string_view ear_status, std::uint64_t microseconds);

    Counter sessions{0};
    Counter tokens_malformed{0}, tokens_forged{0}, tokens_expired{0};
    Counter rate_limited{0}, timed_out{0};
    Counter reloads{0}, reload_failures{0};
    std::atomic<std::int64_t> connections{0}, in_flight{0}, body_bytes{0};
    std::atomic<bool> ready{false};
    std::atomic<std::int64_t> references_loaded_at{0};

    std::string text() const;

  private:
    std::array<std::array<Counter, counted_statuses.size() + 1>, route_count> requests_{}; // the last: another status
    std::array<Counter, 3> appraisals_{};
    std::array<Counter, duration_buckets_us.size() + 1> durations_{};
    Counter duration_sum_us_{0};
};

} // namespace cvmin
