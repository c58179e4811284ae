// The verifier service as a function from requests to replies: Veraison's challenge-response API, discovery, health,
// metrics, and a page of recent appraisals. No sockets and no clock: http_server.hpp brings both. Thread-safe. What is
// true of evidence is appraise()'s to say.
#pragma once

#include "common/p384.hpp"
#include "host-tools/present/ear.hpp"
#include "host-tools/verifier/appraiser.hpp"
#include "host-tools/verifier/history.hpp"
#include "host-tools/verifier/metrics.hpp"
#include "host-tools/verifier/session_token.hpp"

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace cvmin {

struct HttpMessage {
    std::string method, path, query;                          // the path as it came, not decoded; the query without '?'
    std::vector<std::pair<std::string, std::string>> headers; // names in lower case
    ByteView body;
    std::string peer; // address without port, or "unix"
    // "" where there is none; of several the first.
    std::string_view header(std::string_view name) const;
};

struct HttpReply {
    int status = 500;
    std::vector<std::pair<std::string, std::string>> headers;
    std::string body;
    Route route = Route::other;
};

inline constexpr std::size_t max_target_size = 2048; // path and query; our longest is under 300
// Of all headers of one request; curl and proxies send under 2 KiB.
inline constexpr std::size_t max_header_size = 16u << 10;
inline constexpr std::size_t max_request_body = max_presented_json;

// RFC 9457. `kind` is the end of its type, "tag:cvmin,2026:problem:" before it; docs/verifier.md has them all.
HttpReply problem_reply(int status, std::string_view kind, std::string_view detail);
std::string_view reason_phrase(int status); // "Not Found"

struct ResultKeys {
    std::vector<std::unique_ptr<P384PrivateKey>> signing; // the first signs; at least one
    std::vector<PublicKey> published; // public halves of all of these, then of older ones whose results are still read
};

struct ServiceOptions {
    EarProfile profile = EarProfile::ietf;
    unsigned nonce_lifetime_s = 300;   // of a session: evidence may be replayed to it so long
    unsigned result_lifetime_s = 3600; // `exp` of a result
    bool page = false;
    bool client_nonces = true; // sessions with a nonce of the client's
};

inline constexpr unsigned min_nonce_lifetime_s = 10, max_nonce_lifetime_s = 3600;
inline constexpr unsigned min_result_lifetime_s = 10, max_result_lifetime_s = 30 * 86400;

// One line of the log: an object with "event" and more. Called by any thread.
using LogSink = std::function<void(const Json &)>;

class VerifierService {
  public:
    // `microseconds`: a clock that does not go back. `appraiser` and all that is given live longer than this.
    VerifierService(ServiceOptions options, SessionKeys sessions, ResultKeys keys, Appraiser &appraiser, LogSink log,
                    std::function<std::uint64_t()> microseconds);

    HttpReply handle(const HttpMessage &request, std::time_t now);
    // What handle() would refuse whatever the body is: a server asks before it receives one.
    std::optional<HttpReply> refuse_early(const HttpMessage &request, std::time_t now);
    // Reads policy and references again; says in the log what became of it.
    bool reload(std::time_t now);
    // From now on /readyz says so, and answers ask for the end of their connection. Requests are still served.
    void stop() { stopping_ = true; }
    bool stopping() const { return stopping_; }

    Metrics &metrics() { return metrics_; }
    History &history() { return history_; }
    bool ready(std::time_t now) const;

  private:
    HttpReply answer(const HttpMessage &request, std::time_t now);
    std::expected<VerifierSession, HttpReply> open_session(std::string_view token, std::time_t now);
    HttpReply new_session(const HttpMessage &request, std::time_t now);
    HttpReply session(const HttpMessage &request, std::string_view token, std::time_t now);
    HttpReply submit(const HttpMessage &request, const VerifierSession &session, std::time_t now);
    HttpReply discovery(const HttpMessage &request, std::time_t now) const;
    HttpReply page(const HttpMessage &request, std::time_t now) const;
    Json waiting(const VerifierSession &session) const;
    void log_appraisal(const HttpMessage &request, const HistoryEntry &entry, const Presented &presented) const;

    ServiceOptions options_;
    SessionKeys sessions_;
    ResultKeys keys_;
    Appraiser &appraiser_;
    LogSink log_;
    std::function<std::uint64_t()> microseconds_;
    Metrics metrics_;
    History history_;
    std::atomic<bool> stopping_{false};
};

} // namespace cvmin
