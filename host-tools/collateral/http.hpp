// One request, GET or POST, with limits: HTTPS with verified certificates, or HTTP to this machine. libcurl stands
// behind this interface and nowhere else. Neither retries nor caches; what an answer means is the caller's business.
#pragma once

#include "common/bytes.hpp"
#include "host-tools/base/explained.hpp"

#include <chrono>
#include <functional>
#include <optional>

namespace cvmin {

inline constexpr std::chrono::seconds http_connect_timeout{10}; // name, TCP and TLS; a slow line needs 2
inline constexpr std::chrono::seconds http_total_timeout{30};   // answers have a few kilobytes
inline constexpr long http_max_redirects = 3;                   // of a GET; KDS uses none, a mirror's front end may

struct HttpBody {
    Bytes data{}; // may be empty
    std::string media_type{};
};

struct HttpRequest {
    std::string url;
    std::size_t limit = 0; // bytes of the answer
    std::chrono::milliseconds timeout{http_total_timeout};
    // to go on with an answer that ended early: what came, and the entity tag under which it came
    std::size_t from = 0;
    std::string etag{};
    std::string accept{};           // media types; empty: any
    std::optional<HttpBody> post{}; // else it is a GET. Redirects of a POST are answers, and not followed
};

struct HttpAnswer {
    enum class Kind : std::uint8_t {
        answered,    // `status` and `body`
        unreachable, // no name, no connection, a connection that broke
        timed_out,
        too_large, // more than the limit
        refused,   // by us: TLS certificate, protocol, a redirect to where we do not follow
        interrupted,
        failed, // inside libcurl
    };
    Kind kind = Kind::failed;
    long status = 0;
    Bytes body;
    bool complete = false; // body ends where the answer said it would
    bool resumed = false;  // body is what follows `from`
    std::optional<std::chrono::seconds> retry_after;
    std::string etag;                   // strong, and the server takes ranges; else empty
    std::string location, content_type; // as the server wrote them
    std::string text;                   // of a failure, for people
};

class HttpClient {
  public:
    virtual ~HttpClient() = default;
    virtual HttpAnswer send(const HttpRequest &request) = 0;
};

class CurlClient final : public HttpClient {
  public:
    // `ca_file`: PEM certificates to verify servers with instead of the system's; empty: the system's. `interrupted` is
    // asked about once a second and ends a request.
    CurlClient(std::string ca_file, std::function<bool()> interrupted);
    HttpAnswer send(const HttpRequest &request) override;

  private:
    std::string ca_file_;
    std::function<bool()> interrupted_;
};

// The address of a service: https://HOST[:PORT][/PATH], or http:// when HOST is this machine (localhost, 127.0.0.0/8,
// ::1). Without a slash at its end. usage: anything else (the text says what).
Explained<std::string> parse_service_address(const std::string &text);

// What a reference in an answer to `base` names (RFC 3986, section 5): an absolute URL, or one relative to `base`.
// mismatch: another scheme, host or port than base's; malformed: no URL. No text has the path: it may be a secret.
Explained<std::string> resolve_on_origin(const std::string &base, const std::string &reference);

} // namespace cvmin
