#include "host-tools/verifier/http_server.hpp"

#include <atomic>
#include <charconv>
#include <chrono>
#include <climits>
#include <condition_variable>
#include <format>
#include <list>
#include <thread>
#include <unordered_map>

#include <arpa/inet.h>
#include <dlfcn.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <sys/socket.h>

namespace cvmin {

namespace {

constexpr auto watch_interval = std::chrono::milliseconds{250}; // how late a slow client's end may come
// MHD's memory of one connection: the headers, and what is read of a body at a time
constexpr std::size_t connection_memory = max_header_size + (16u << 10);

// What is read of a body that is refused, and thrown away: so far a client can still hear why.
constexpr std::size_t max_discarded = 16u << 20;

std::uint64_t now_us() {
    return static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now().time_since_epoch())
            .count());
}

// ---- the library ---------------------------------------------------------------------------------------------------

struct Microhttpd {
    decltype(&::MHD_start_daemon) start_daemon;
    decltype(&::MHD_stop_daemon) stop_daemon;
    decltype(&::MHD_quiesce_daemon) quiesce_daemon;
    decltype(&::MHD_get_connection_values) get_connection_values;
    decltype(&::MHD_get_connection_info) get_connection_info;
    decltype(&::MHD_create_response_from_buffer_copy) create_response;
    decltype(&::MHD_add_response_header) add_response_header;
    decltype(&::MHD_queue_response) queue_response;
    decltype(&::MHD_destroy_response) destroy_response;
};

const Microhttpd *microhttpd() {
    static const Microhttpd *const loaded = []() -> const Microhttpd * {
        void *const library = ::dlopen("libmicrohttpd.so.12", RTLD_NOW | RTLD_LOCAL); // for the life of the process
        if (library == nullptr)
            return nullptr;
        static Microhttpd functions;
        bool all = true;
        const auto find = [&]<class Function>(Function &function, const char *name) {
            function = reinterpret_cast<Function>(::dlsym(library, name));
            all = all && function != nullptr;
        };
        find(functions.start_daemon, "MHD_start_daemon");
        find(functions.stop_daemon, "MHD_stop_daemon");
        find(functions.quiesce_daemon, "MHD_quiesce_daemon");
        find(functions.get_connection_values, "MHD_get_connection_values");
        find(functions.get_connection_info, "MHD_get_connection_info");
        find(functions.create_response, "MHD_create_response_from_buffer_copy");
        find(functions.add_response_header, "MHD_add_response_header");
        find(functions.queue_response, "MHD_queue_response");
        find(functions.destroy_response, "MHD_destroy_response");
        return all ? &functions : nullptr;
    }();
    return loaded;
}

// ---- one connection, one request -------------------------------------------------------------------------------

enum class Stage : std::uint8_t {
    waiting, // no request line yet
    reading,
    whole, // the request is there: what takes time now is ours
    ended, // the watch has shut it
};

// What one client has of that which all share. Who is one client: rate_key().
struct Client {
    unsigned connections = 0;              // under the mutex of the connections
    std::atomic<std::int64_t> buffered{0}; // of its bodies
};

struct Connection {
    int fd;
    std::string peer, key;
    Client *client;
    std::atomic<Stage> stage{Stage::waiting};
    std::atomic<std::uint64_t> since_us; // when this stage began
};

struct Exchange { // a request and what is known of it
    std::string target;
    HttpMessage message;
    Bytes body;
    Client *client = nullptr; // outlives the request
    std::size_t received = 0;
    bool begun = false, refused = false, overloaded = false;
    std::optional<HttpReply> early{}; // what it will be told once its body has gone by
    std::uint64_t began_us = 0;
    int status = 0;
    Route route = Route::other;
};

HttpReply too_large() {
    return problem_reply(413, "too-large", std::format("body: wanted at most {} bytes", max_request_body));
}

std::string peer_of(const sockaddr *address) {
    char text[INET6_ADDRSTRLEN] = "";
    if (address == nullptr || address->sa_family == AF_UNIX)
        return "unix";
    if (address->sa_family == AF_INET)
        ::inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in *>(address)->sin_addr, text, sizeof text);
    else if (address->sa_family == AF_INET6)
        ::inet_ntop(AF_INET6, &reinterpret_cast<const sockaddr_in6 *>(address)->sin6_addr, text, sizeof text);
    return text;
}

class Server final : public HttpServer {
  public:
    Server(VerifierService &service, const HttpLimits &limits, LogSink log)
        : http_(*microhttpd()), service_(service), limits_(limits), log_(std::move(log)),
          client_connections_(limits.connections_per_address != 0 ? limits.connections_per_address : UINT_MAX),
          client_bodies_(limits.connections_per_address != 0 ? max_client_bodies : max_buffered_bodies),
          rate_(limits.rate, limits.burst != 0 ? limits.burst : 2 * limits.rate) {}

    Explained<void> open(UniqueFd listener);
    ~Server() override;
    void stop_accepting() override;
    std::size_t in_flight() const override {
        return static_cast<std::size_t>(std::max<std::int64_t>(0, service_.metrics().in_flight));
    }

  private:
    // MHD's callbacks
    static MHD_Result accepts(void *self, const sockaddr *address, socklen_t size);
    static void *request_line(void *self, const char *target, MHD_Connection *connection);
    static MHD_Result access(void *self, MHD_Connection *connection, const char *url, const char *method,
                             const char *version, const char *data, std::size_t *size, void **context);
    static void completed(void *self, MHD_Connection *connection, void **context, MHD_RequestTerminationCode how);
    static void connected(void *self, MHD_Connection *connection, void **context, MHD_ConnectionNotificationCode what);

    Connection *connection_of(MHD_Connection *connection) const {
        const MHD_ConnectionInfo *info = http_.get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
        return info != nullptr ? static_cast<Connection *>(info->socket_context) : nullptr;
    }
    MHD_Result begin(MHD_Connection *connection, Exchange &exchange, const char *method);
    void receive(Exchange &exchange, ByteView data);
    bool reserve(Client &client, std::size_t size);
    void drop_body(Exchange &exchange);
    MHD_Result finish(MHD_Connection *connection, Exchange &exchange);
    MHD_Result send(MHD_Connection *connection, Exchange &exchange, const HttpReply &reply);
    MHD_Result refuse(MHD_Connection *connection, Exchange &exchange, HttpReply reply);
    MHD_Result refuse_before_body(MHD_Connection *connection, Exchange &exchange, HttpReply reply);
    void watch();
    void end(Connection &connection, bool say_why);

    const Microhttpd &http_;
    VerifierService &service_;
    HttpLimits limits_;
    LogSink log_;
    unsigned client_connections_;
    std::int64_t client_bodies_;
    RateLimiter rate_;

    std::mutex connections_mutex_; // holds off the closing of a descriptor while the watch uses it
    std::list<Connection *> connections_;
    std::unordered_map<std::string, Client>
        clients_; // those with a connection; MHD's own count takes each IPv6 address for one

    MHD_Daemon *daemon_ = nullptr;
    std::thread watch_;
    std::mutex stop_mutex_;
    std::condition_variable stop_changed_;
    bool stop_ = false;
};

Explained<void> Server::open(UniqueFd listener) {
    const unsigned threads = limits_.threads != 0 ? limits_.threads : std::max(1u, std::thread::hardware_concurrency());
    daemon_ = http_.start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_ITC, 0, accepts, this, access, this, // the socket has its port
        MHD_OPTION_LISTEN_SOCKET, listener.get(), MHD_OPTION_THREAD_POOL_SIZE, threads, MHD_OPTION_CONNECTION_LIMIT,
        std::max(limits_.connections, threads), MHD_OPTION_CONNECTION_TIMEOUT, limits_.idle_s,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, connection_memory, MHD_OPTION_CLIENT_DISCIPLINE_LVL, 1,
        MHD_OPTION_URI_LOG_CALLBACK, request_line, this, MHD_OPTION_NOTIFY_COMPLETED, completed, this,
        MHD_OPTION_NOTIFY_CONNECTION, connected, this, MHD_OPTION_END);
    if (daemon_ == nullptr)
        return explain(Error{Errc::system, "the HTTP server", static_cast<std::uint64_t>(errno)}, "starting");
    (void)listener.release(); // the daemon's now, until it is asked to stop accepting
    watch_ = std::thread{[this] { watch(); }};
    return {};
}

Server::~Server() {
    if (watch_.joinable()) {
        {
            const std::lock_guard lock{stop_mutex_};
            stop_ = true;
        }
        stop_changed_.notify_all();
        watch_.join();
    }
    if (daemon_ != nullptr)
        http_.stop_daemon(daemon_);
}

void Server::stop_accepting() {
    UniqueFd listener{http_.quiesce_daemon(daemon_)};
}

// ---- requests ------------------------------------------------------------------------------------------------------

void *Server::request_line(void *self, const char *target, MHD_Connection *connection) {
    auto &server = *static_cast<Server *>(self);
    auto exchange = std::make_unique<Exchange>();
    exchange->target = target;
    exchange->began_us = now_us();
    ++server.service_.metrics().in_flight;
    if (Connection *const open = server.connection_of(connection)) {
        open->since_us = exchange->began_us;
        Stage stage = Stage::waiting;
        open->stage.compare_exchange_strong(stage, Stage::reading);
    }
    return exchange.release();
}

MHD_Result Server::access(void *self, MHD_Connection *connection, const char *, const char *method, const char *,
                          const char *data, std::size_t *size, void **context) {
    auto &server = *static_cast<Server *>(self);
    auto *const exchange = static_cast<Exchange *>(*context);
    if (exchange == nullptr)
        return MHD_NO;
    if (!exchange->begun) {
        exchange->begun = true;
        return server.begin(connection, *exchange, method);
    }
    if (*size != 0) {
        server.receive(*exchange, std::as_bytes(std::span{data, *size}));
        *size = 0;
        return exchange->received <= max_discarded ? MHD_YES : MHD_NO;
    }
    return server.finish(connection, *exchange);
}

// Headers are there, the body is not: what can be refused now costs nothing.
MHD_Result Server::begin(MHD_Connection *connection, Exchange &exchange, const char *method) {
    HttpMessage &message = exchange.message;
    const std::size_t query = std::min(exchange.target.find('?'), exchange.target.size());
    message.method = method;
    message.path = exchange.target.substr(0, query);
    message.query = exchange.target.substr(std::min(query + 1, exchange.target.size()));
    const Connection *const open = connection_of(connection);
    if (open == nullptr)
        return MHD_NO;
    exchange.client = open->client;
    message.peer = open->peer;
    http_.get_connection_values(
        connection, MHD_HEADER_KIND,
        [](void *into, MHD_ValueKind, const char *key, const char *value) {
            std::string lower{key};
            for (char &c : lower)
                c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
            static_cast<HttpMessage *>(into)->headers.emplace_back(std::move(lower), value != nullptr ? value : "");
            return MHD_YES;
        },
        &message);
    if (const auto wait = rate_.refuse(open->key, exchange.began_us)) {
        ++service_.metrics().rate_limited;
        HttpReply reply =
            problem_reply(429, "rate", std::format("rate: wanted at most {} requests a second", limits_.rate));
        reply.headers.emplace_back("Retry-After", std::to_string(*wait));
        return refuse_before_body(connection, exchange, std::move(reply));
    }
    // Two lengths: a proxy may have believed the other one, and what follows would be a request of somebody else's.
    if (std::ranges::count(message.headers, "content-length", &std::pair<std::string, std::string>::first) > 1) {
        HttpReply reply = problem_reply(400, "request", "Content-Length: wanted at most one");
        reply.headers.emplace_back("Connection", "close");
        return refuse(connection, exchange, std::move(reply));
    }
    if (const std::string_view length = message.header("content-length"); !length.empty()) {
        std::uint64_t bytes = 0; // MHD has seen that it is a number
        const auto [end, error] = std::from_chars(length.data(), length.data() + length.size(), bytes);
        if (error != std::errc{} || end != length.data() + length.size() || bytes > max_request_body)
            return refuse_before_body(connection, exchange, too_large());
    }
    if (auto refusal = service_.refuse_early(message, std::time(nullptr)))
        return refuse_before_body(connection, exchange, std::move(*refusal));
    return MHD_YES;
}

// Most clients look for an answer when they have sent everything: one that comes earlier, before the end of the
// connection, is lost on them. Their body is let go by unless it is endless. A client that asked first (100-continue)
// is waiting.
MHD_Result Server::refuse_before_body(MHD_Connection *connection, Exchange &exchange, HttpReply reply) {
    if (!exchange.message.header("expect").empty())
        return refuse(connection, exchange, std::move(reply));
    exchange.early = std::move(reply);
    return MHD_YES;
}

void Server::receive(Exchange &exchange, ByteView data) {
    exchange.received += data.size();
    if (exchange.early || exchange.refused || exchange.overloaded)
        return;
    if (exchange.received > max_request_body) // chunked: nobody said how long it would be
        exchange.refused = true;
    else if (!reserve(*exchange.client, data.size()))
        exchange.overloaded = true;
    else
        exchange.body.insert(exchange.body.end(), data.begin(), data.end());
    if (exchange.refused || exchange.overloaded)
        drop_body(exchange);
}

// Room for a piece of a body, in the client's share and in that of all.
bool Server::reserve(Client &client, std::size_t size) {
    const auto bytes = static_cast<std::int64_t>(size);
    auto &all = service_.metrics().body_bytes;
    if (client.buffered.fetch_add(bytes) + bytes <= client_bodies_) {
        if (all.fetch_add(bytes) + bytes <= max_buffered_bodies)
            return true;
        all -= bytes;
    }
    client.buffered -= bytes;
    return false;
}

void Server::drop_body(Exchange &exchange) {
    const auto bytes = static_cast<std::int64_t>(exchange.body.size());
    if (exchange.client != nullptr)
        exchange.client->buffered -= bytes;
    service_.metrics().body_bytes -= bytes;
    exchange.body = {};
}

MHD_Result Server::finish(MHD_Connection *connection, Exchange &exchange) {
    if (Connection *const open = connection_of(connection)) {
        Stage stage = Stage::reading;
        if (!open->stage.compare_exchange_strong(stage, Stage::whole))
            return MHD_NO; // too late: it was told so
        open->since_us = now_us();
    }
    if (exchange.early)
        return refuse(connection, exchange, std::move(*exchange.early));
    if (exchange.refused)
        return refuse(connection, exchange, too_large());
    if (exchange.overloaded) {
        HttpReply reply = problem_reply(503, "overloaded", "body: too many are being received at once");
        reply.headers.emplace_back("Retry-After", "1");
        return refuse(connection, exchange, std::move(reply));
    }
    exchange.message.body = exchange.body;
    return send(connection, exchange, service_.handle(exchange.message, std::time(nullptr)));
}

MHD_Result Server::refuse(MHD_Connection *connection, Exchange &exchange, HttpReply reply) {
    service_.metrics().request(reply.route, reply.status);
    reply.headers.emplace_back("Cache-Control", "no-store");
    return send(connection, exchange, reply);
}

MHD_Result Server::send(MHD_Connection *connection, Exchange &exchange, const HttpReply &reply) {
    exchange.status = reply.status;
    exchange.route = reply.route;
    if (Connection *const open = connection_of(connection)) {
        Stage stage = Stage::reading;
        open->stage.compare_exchange_strong(stage, Stage::whole);
    }
    MHD_Response *const response = http_.create_response(reply.body.size(), reply.body.data());
    if (response == nullptr)
        return MHD_NO;
    for (const auto &[key, value] : reply.headers)
        http_.add_response_header(response, key.c_str(), value.c_str());
    if (service_.stopping())
        http_.add_response_header(response, "Connection", "close");
    const MHD_Result queued = http_.queue_response(connection, static_cast<unsigned>(reply.status), response);
    http_.destroy_response(response);
    return queued;
}

void Server::completed(void *self, MHD_Connection *connection, void **context, MHD_RequestTerminationCode how) {
    auto &server = *static_cast<Server *>(self);
    const std::unique_ptr<Exchange> exchange{static_cast<Exchange *>(*context)};
    *context = nullptr;
    if (!exchange)
        return;
    const std::uint64_t now = now_us();
    if (Connection *const open = server.connection_of(connection)) {
        open->since_us = now;
        for (Stage stage : {Stage::reading, Stage::whole})
            open->stage.compare_exchange_strong(stage, Stage::waiting);
    }
    server.drop_body(*exchange);
    --server.service_.metrics().in_flight;
    server.log_({{"level", exchange->status >= 500 ? "error" : "info"},
                 {"event", "request"},
                 {"peer", exchange->message.peer},
                 {"method", exchange->message.method},
                 {"route", name(exchange->route)},
                 {"status", exchange->status != 0 ? Json(exchange->status) : Json()}, // null: went away, or was shut
                 {"received", exchange->received},
                 {"whole", how == MHD_REQUEST_TERMINATED_COMPLETED_OK},
                 {"duration_us", now - exchange->began_us}});
}

// ---- connections ---------------------------------------------------------------------------------------------------

// Before a connection costs anything. Of several threads each may let one in at the same time: one more than the limit
// for each of them is no harm.
MHD_Result Server::accepts(void *self, const sockaddr *address, socklen_t) {
    auto &server = *static_cast<Server *>(self);
    const std::lock_guard lock{server.connections_mutex_};
    const auto client = server.clients_.find(rate_key(peer_of(address)));
    return client == server.clients_.end() || client->second.connections < server.client_connections_ ? MHD_YES
                                                                                                      : MHD_NO;
}

void Server::connected(void *self, MHD_Connection *connection, void **context, MHD_ConnectionNotificationCode what) {
    auto &server = *static_cast<Server *>(self);
    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        auto open = std::make_unique<Connection>();
        // one answer at a time: the next takes its place
        const MHD_ConnectionInfo *info =
            server.http_.get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
        open->fd = info != nullptr ? info->connect_fd : -1;
        info = server.http_.get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
        open->peer = peer_of(info != nullptr ? info->client_addr : nullptr);
        open->key = rate_key(open->peer);
        open->since_us = now_us();
        ++server.service_.metrics().connections;
        const std::lock_guard lock{server.connections_mutex_};
        open->client = &server.clients_[open->key];
        ++open->client->connections;
        *context = *server.connections_.insert(server.connections_.end(), open.release());
        return;
    }
    const std::unique_ptr<Connection> open{static_cast<Connection *>(*context)};
    *context = nullptr;
    --server.service_.metrics().connections;
    const std::lock_guard lock{server.connections_mutex_};
    std::erase(server.connections_, open.get());
    if (--open->client->connections == 0) // and none of its requests is left: they end before
        server.clients_.erase(open->key);
}

// MHD's own timeout begins anew with each byte. This one does not.
void Server::watch() {
    const std::uint64_t request_us = limits_.request_s * std::uint64_t{1'000'000};
    const std::uint64_t idle_us = limits_.idle_s * std::uint64_t{1'000'000};
    std::unique_lock stopping{stop_mutex_};
    while (!stop_changed_.wait_for(stopping, watch_interval, [this] { return stop_; })) {
        const std::uint64_t now = now_us();
        const std::lock_guard lock{connections_mutex_};
        for (Connection *const open : connections_) {
            const std::uint64_t since = open->since_us;
            const std::uint64_t age = now > since ? now - since : 0;
            Stage stage = open->stage;
            // waiting: the first bytes of a request line, one by one; whole: an answer that nobody reads
            const std::uint64_t limit = stage == Stage::reading   ? request_us
                                        : stage == Stage::waiting ? idle_us + request_us
                                                                  : 2 * (idle_us + request_us);
            if (stage != Stage::ended && age > limit && open->stage.compare_exchange_strong(stage, Stage::ended))
                end(*open, stage == Stage::reading);
        }
    }
}

// MHD sends nothing before a request is whole, so that this stands alone on the wire.
void Server::end(Connection &connection, bool say_why) {
    if (say_why) {
        ++service_.metrics().timed_out;
        const HttpReply reply =
            problem_reply(408, "timeout", std::format("request: was not whole after {} seconds", limits_.request_s));
        service_.metrics().request(reply.route, reply.status);
        const std::string text =
            std::format("HTTP/1.1 408 {}\r\nConnection: close\r\nContent-Type: {}\r\n"
                        "Content-Length: {}\r\n\r\n{}",
                        reason_phrase(408), reply.headers.front().second, reply.body.size(), reply.body);
        (void)::send(connection.fd, text.data(), text.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    }
    ::shutdown(connection.fd, SHUT_RDWR);
}

} // namespace

Explained<std::unique_ptr<HttpServer>> HttpServer::start(UniqueFd listener, VerifierService &service,
                                                         const HttpLimits &limits, LogSink log) {
    if (microhttpd() == nullptr)
        return explain(Errc::system, "libmicrohttpd (1.0 or newer, libmicrohttpd.so.12) is not on this machine");
    auto server = std::make_unique<Server>(service, limits, std::move(log));
    if (auto opened = server->open(std::move(listener)); !opened)
        return std::unexpected(opened.error());
    return server;
}

} // namespace cvmin
