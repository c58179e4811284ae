// HTTP/1.1 for the verifier service, by libmicrohttpd with epoll and a few threads; the library is loaded when a server
// is started. Limits on everything that a client decides: size, number, rate and time. Knows no route.
#pragma once

#include "host-tools/base/explained.hpp"
#include "host-tools/base/os.hpp"
#include "host-tools/verifier/rate_limit.hpp"
#include "host-tools/verifier/service.hpp"

#include <memory>

namespace cvmin {

struct HttpLimits {
    unsigned threads = 0;        // 0: one for each processor
    unsigned connections = 4096; // open at once; each takes 30 KiB once it has asked, and a descriptor
    // Of one client (rate_key), and max_client_bodies. 0: no such limits; behind a proxy all come from one address.
    unsigned connections_per_address = 256;
    unsigned idle_s = 60;    // without a byte in either direction
    unsigned request_s = 20; // from the request line to the last byte of the body
    unsigned rate = 0;       // requests a second of one address; 0: as many as come
    unsigned burst = 0;      // that may come at once; 0: twice the rate
};
// Bodies that are being received, of all connections together: what comes above it is refused (503).
inline constexpr std::int64_t max_buffered_bodies = 64 << 20;
// And those of one client, who could else keep everybody from sending any: 23 of the largest at once.
inline constexpr std::int64_t max_client_bodies = max_buffered_bodies / 4;

class HttpServer {
  public:
    // system: the library is not there or does not start. `listener` is listening; `service` outlives the server.
    static Explained<std::unique_ptr<HttpServer>> start(UniqueFd listener, VerifierService &service,
                                                        const HttpLimits &limits, LogSink log);
    virtual ~HttpServer() = default; // ends whatever is still open

    // Takes no further connection; open ones go on, and are closed after their next answer.
    virtual void stop_accepting() = 0;
    // Requests that have begun and are not answered.
    virtual std::size_t in_flight() const = 0;

  protected:
    HttpServer() = default;

  public:
    HttpServer(const HttpServer &) = delete;
    HttpServer &operator=(const HttpServer &) = delete;
};

} // namespace cvmin
