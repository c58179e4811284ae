#include "host-tools/verifier/metrics.hpp"

#include <algorithm>
#include <format>

namespace cvmin {

static constexpr std::array<std::string_view, 3> statuses_of_results{"affirming", "warning", "contraindicated"};

std::string_view name(Route route) {
    switch (route) {
#define X(id, text)                                                                                                    \
    case Route::id:                                                                                                    \
        return text;
        CVMIN_VERIFIER_ROUTES(X)
#undef X
    }
    return {};
}

void Metrics::request(Route route, int status) {
    const auto found = std::ranges::find(counted_statuses, status);
    ++requests_[static_cast<std::size_t>(route)][static_cast<std::size_t>(found - counted_statuses.begin())];
}

void Metrics::appraisal(std::string_view ear_status, std::uint64_t microseconds) {
    const auto found = std::ranges::find(statuses_of_results, ear_status);
    if (found != statuses_of_results.end())
        ++appraisals_[static_cast<std::size_t>(found - statuses_of_results.begin())];
    const auto bucket = std::ranges::lower_bound(duration_buckets_us, microseconds);
    ++durations_[static_cast<std::size_t>(bucket - duration_buckets_us.begin())];
    duration_sum_us_ += microseconds;
}

namespace {

class Text {
  public:
    void head(std::string_view name, std::string_view type, std::string_view help) {
        out_ += std::format("# HELP {} {}\n# TYPE {} {}\n", name, help, name, type);
    }
    void value(std::string_view name, std::string_view labels, std::string_view number) {
        out_ += std::format("{}{} {}\n", name, labels, number);
    }
    template <class T> void single(std::string_view name, std::string_view type, std::string_view help, T number) {
        head(name, type, help);
        value(name, "", std::to_string(number));
    }
    std::string take() { return std::move(out_); }

  private:
    std::string out_;
};

std::string seconds(std::uint64_t microseconds) {
    return std::format("{}.{:06}", microseconds / 1'000'000, microseconds % 1'000'000);
}

} // namespace

std::string Metrics::text() const {
    Text out;
    out.head("cvmin_verifier_info", "gauge", "Version of the program.");
    out.value("cvmin_verifier_info", "{version=\"" CVMIN_VERSION "\"}", "1");
    out.head("cvmin_requests_total", "counter", "HTTP requests answered, by route and status.");
    for (std::size_t route = 0; route < route_count; ++route)
        for (std::size_t status = 0; status <= counted_statuses.size(); ++status)
            if (const std::uint64_t count = requests_[route][status]; count != 0)
                out.value(
                    "cvmin_requests_total",
                    std::format("{{route=\"{}\",status=\"{}\"}}", name(static_cast<Route>(route)),
                                status == counted_statuses.size() ? "other" : std::to_string(counted_statuses[status])),
                    std::to_string(count));
    out.single("cvmin_sessions_total", "counter", "Sessions handed out.", sessions.load());
    out.head("cvmin_session_tokens_refused_total", "counter", "Session tokens that were not taken, by reason.");
    out.value("cvmin_session_tokens_refused_total", "{reason=\"malformed\"}", std::to_string(tokens_malformed));
    out.value("cvmin_session_tokens_refused_total", "{reason=\"forged\"}", std::to_string(tokens_forged));
    out.value("cvmin_session_tokens_refused_total", "{reason=\"expired\"}", std::to_string(tokens_expired));
    out.head("cvmin_appraisals_total", "counter", "Appraisals, by the status of the result.");
    for (std::size_t i = 0; i < statuses_of_results.size(); ++i)
        out.value("cvmin_appraisals_total", std::format("{{status=\"{}\"}}", statuses_of_results[i]),
                  std::to_string(appraisals_[i]));
    out.head("cvmin_appraisal_seconds", "histogram", "Time of an appraisal and of signing its result.");
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < duration_buckets_us.size(); ++i) {
        sum += durations_[i];
        out.value("cvmin_appraisal_seconds_bucket", std::format("{{le=\"{}\"}}", seconds(duration_buckets_us[i])),
                  std::to_string(sum));
    }
    sum += durations_.back();
    out.value("cvmin_appraisal_seconds_bucket", "{le=\"+Inf\"}", std::to_string(sum));
    out.value("cvmin_appraisal_seconds_sum", "", seconds(duration_sum_us_));
    out.value("cvmin_appraisal_seconds_count", "", std::to_string(sum));
    out.single("cvmin_rate_limited_total", "counter", "Requests refused with 429.", rate_limited.load());
    out.single("cvmin_timed_out_total", "counter", "Requests that were not whole in time.", timed_out.load());
    out.single("cvmin_reloads_total", "counter", "Times that policy and reference values were read.", reloads.load());
    out.single("cvmin_reload_failures_total", "counter", "Times that this failed and what was there stayed.",
               reload_failures.load());
    out.single("cvmin_references_loaded_timestamp_seconds", "gauge", "When what is in force was read.",
               references_loaded_at.load());
    out.single("cvmin_ready", "gauge", "Whether evidence is taken: 1, or 0.", ready.load() ? 1 : 0);
    out.single("cvmin_connections", "gauge", "Open connections.", connections.load());
    out.single("cvmin_requests_in_flight", "gauge", "Requests that are being answered.", in_flight.load());
    out.single("cvmin_body_bytes", "gauge", "Bodies that are being received.", body_bytes.load());
    return out.take();
}

} // namespace cvmin
