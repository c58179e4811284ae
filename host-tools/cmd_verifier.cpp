// cvmin verifier serve: the verifier as a service, until it is told to stop. Options, files, signals and the log; HTTP
// is host-tools/verifier's, and judging appraise()'s.
#include "host-tools/base/tcp.hpp"
#include "host-tools/cli.hpp"
#include "host-tools/reference.hpp"
#include "host-tools/verifier/http_server.hpp"
#include "host-tools/verifier_references.hpp"

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <format>

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

namespace cvmin {

namespace {

constexpr const char *command = "verifier";

constexpr auto poll_interval = std::chrono::seconds{2}; // how late a changed file is seen
constexpr auto stop_poll = std::chrono::milliseconds{20};
constexpr unsigned default_stop_timeout_s = 25; // longer than one request may take, shorter than orchestrators wait
constexpr rlim_t own_descriptors = 64;          // beside those of connections
constexpr int first_passed_fd = 3;              // sd_listen_fds(3)
constexpr auto stop_signals = {SIGTERM, SIGINT};
constexpr auto handled_signals = {SIGTERM, SIGINT, SIGHUP};

struct Args {
    VerifierReferenceArgs references;
    std::vector<std::string> signing_keys, old_keys, session_keys;
    std::string listen = "127.0.0.1:8080";
    std::string profile = "ietf", page = "auto", log = "all";
    ServiceOptions service;
    HttpLimits limits;
    std::optional<unsigned> rate, connections_per_address;
    unsigned stop_timeout_s = default_stop_timeout_s, drain_s = 0;
};

void describe(CLI::App &app, Args &args) {
    add_verifier_reference_options(app, args.references);
    app.add_option("--signing-key", args.signing_keys,
                   "P-384 private key for results (cvmin keygen), mode 0600; the first signs, all are published")
        ->required();
    app.add_option("--old-key", args.old_keys, "public key of earlier results, published as well; repeatable");
    app.add_option("--session-key", args.session_keys,
                   "32 to 64 random bytes that all replicas share, mode 0600; the first signs, all are taken. "
                   "Default: of this process only");
    app.add_option("--listen", args.listen,
                   "ADDRESS:PORT (port 0: any), unix:PATH, or systemd: the socket passed by it")
        ->capture_default_str();
    app.add_option("--nonce-lifetime", args.service.nonce_lifetime_s, "seconds for which a session takes evidence")
        ->capture_default_str()
        ->check(CLI::Range(min_nonce_lifetime_s, max_nonce_lifetime_s));
    app.add_flag("!--own-nonces", args.service.client_nonces,
                 "take no nonce of a client's: results then are of evidence that is as new as --nonce-lifetime says");
    app.add_option("--result-lifetime", args.service.result_lifetime_s, "seconds after which a result has expired")
        ->capture_default_str()
        ->check(CLI::Range(min_result_lifetime_s, max_result_lifetime_s));
    app.add_option("--ear-profile", args.profile, "claim names of results: ietf or veraison (the older ones)")
        ->capture_default_str()
        ->check(CLI::IsMember({"ietf", "veraison"}));
    app.add_option("--page", args.page,
                   "a page of the last appraisals at /: on, off, or auto: only where nobody from "
                   "outside can connect")
        ->capture_default_str()
        ->check(CLI::IsMember({"auto", "on", "off"}));
    app.add_option("--log", args.log, "on standard error: all, appraisals (no line for each request), or errors")
        ->capture_default_str()
        ->check(CLI::IsMember({"all", "appraisals", "errors"}));
    app.add_option("--threads", args.limits.threads, "that answer requests; 0: one for each processor")
        ->capture_default_str()
        ->check(CLI::Range(0u, 64u));
    app.add_option("--connections", args.limits.connections, "open at once")
        ->capture_default_str()
        ->check(CLI::Range(1u, 65536u));
    app.add_option("--connections-per-address", args.connections_per_address,
                   "of one client; default 256, and no such limit on loopback or a Unix socket, where a proxy asks");
    app.add_option("--idle-timeout", args.limits.idle_s, "seconds after which a silent connection is closed")
        ->capture_default_str()
        ->check(CLI::Range(1u, 3600u));
    app.add_option("--request-timeout", args.limits.request_s, "seconds in which a request must have come as a whole")
        ->capture_default_str()
        ->check(CLI::Range(1u, 600u));
    app.add_option(
        "--rate", args.rate,
        "requests a second of one client, 0 for any number; default 100, and 0 on loopback or a Unix socket");
    app.add_option("--burst", args.limits.burst, "requests that may come at once; 0: twice the rate")
        ->capture_default_str();
    app.add_option("--drain", args.drain_s,
                   "seconds between being told to stop (/readyz says so at once) and taking no more connections")
        ->capture_default_str()
        ->check(CLI::Range(0u, 300u));
    app.add_option("--stop-timeout", args.stop_timeout_s, "seconds for open requests when stopping")
        ->capture_default_str()
        ->check(CLI::Range(0u, 600u));
    app.footer("Examples:\n"
               "  cvmin keygen --out verifier.pem\n"
               "  cvmin verifier serve --policy policies/genoa.json --reference signed.corim \\\n"
               "      --reference-key publisher.pub.pem --signing-key verifier.pem\n"
               "  curl -X POST http://127.0.0.1:8080/challenge-response/v1/newSession?nonceSize=32\n\n"
               "SIGHUP reads policy and reference values again, as does a change of their files; SIGTERM stops.\n"
               "TLS is a proxy's in front of it. API, limits and what to protect: docs/verifier.md.\n\n"
               "Exit codes: 0 stopped, 2 usage, 3 bad input, 4 system: also when the address is in use.");
}

// ---- log -----------------------------------------------------------------------------------------------------------

std::string time_text() {
    const auto now = std::chrono::time_point_cast<std::chrono::milliseconds>(std::chrono::system_clock::now());
    return std::format("{:%FT%TZ}", now);
}

// One object a line, one write: lines of several threads do not mix.
void write_log(const Json &line) {
    Json out{{"time", time_text()}};
    out.update(line);
    const std::string text = out.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
    (void)write_all(STDERR_FILENO, as_bytes(text));
}

LogSink log_sink(const std::string &what) {
    if (what == "all")
        return write_log;
    return [errors_only = what == "errors"](const Json &line) {
        const bool error = line.value("level", "") != "info";
        const bool request = line.value("event", "") == "request";
        if (error || (!errors_only && !request))
            write_log(line);
    };
}

// ---- keys
// ------------------------------------------------------------------------------------------------------------

// A file that nobody but its owner and group may read: orchestrators mount secrets for a group.
Explained<Secret> read_secret_file(const std::string &path, std::size_t limit) {
    const UniqueFd file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
    struct stat found{};
    if (!file || ::fstat(file.get(), &found) != 0)
        return explain({Errc::system, "file", static_cast<std::uint64_t>(errno)}, path);
    if (!S_ISREG(found.st_mode))
        return explain(Errc::usage, path + ": is no regular file");
    if ((found.st_mode & (S_IRWXO | S_IWGRP)) != 0)
        return explain(Errc::usage,
                       std::format("{}: mode {:04o} found, wanted 0600 (or 0640, for a group): others could "
                                   "sign in this verifier's name",
                                   path, found.st_mode & 07777));
    auto bytes = read_file("/proc/self/fd/" + std::to_string(file.get()), limit); // the one that was looked at
    if (!bytes)
        return explain(bytes.error(), path);
    return Secret{std::move(*bytes)};
}

Explained<ResultKeys> read_result_keys(const Args &args) {
    ResultKeys keys;
    for (const std::string &path : args.signing_keys) {
        CVMIN_TRY(text, read_secret_file(path, max_key_file));
        auto key = std::make_unique<P384PrivateKey>();
        if (const auto read = read_private_key(*key, text.view()); !read)
            return explain(read.error(), path);
        const auto public_half = key->public_key();
        if (!public_half)
            return explain(public_half.error(), path);
        keys.published.push_back(*public_half);
        keys.signing.push_back(std::move(key));
    }
    for (const std::string &path : args.old_keys) {
        CVMIN_TRY(key, read_public_key_file(path));
        keys.published.push_back(key);
    }
    return keys;
}

Explained<SessionKeys> read_session_keys(const Args &args) {
    SessionKeys keys;
    for (const std::string &path : args.session_keys) {
        CVMIN_TRY(bytes, read_secret_file(path, max_session_key + 1));
        if (const auto added = keys.add(std::move(bytes)); !added)
            return explain(Errc::usage, std::format("{}: wanted {} to {} bytes, and at most {} keys", path,
                                                    min_session_key, max_session_key, max_session_keys));
    }
    if (keys.size() == 0)
        keys.add_random();
    return keys;
}

// ---- the socket ----------------------------------------------------------------------------------------------------

struct Listener {
    UniqueFd fd;
    std::string address; // "127.0.0.1:8080", "unix:/run/cvmin/verifier.sock"
    bool local = false;  // nobody outside of this machine can connect
};

Explained<Listener> listen_unix(const std::string &path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.empty() || path.size() >= sizeof address.sun_path)
        return explain(Errc::usage,
                       std::format("--listen: unix:{}: a path has 1 to {} bytes", path, sizeof address.sun_path - 1));
    std::ranges::copy(path, address.sun_path);
    const auto *const name = reinterpret_cast<const sockaddr *>(&address);
    // One that a killed service left answers nobody. Another one that runs must keep its own.
    if (struct stat found{}; ::lstat(path.c_str(), &found) == 0) {
        if (!S_ISSOCK(found.st_mode))
            return explain(Errc::usage, "--listen: unix:" + path + ": is there, and no socket");
        const UniqueFd probe{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
        if (probe && ::connect(probe.get(), name, sizeof address) == 0)
            return explain(Errc::system, "--listen: unix:" + path + ": another process listens there");
        ::unlink(path.c_str());
    }
    UniqueFd fd{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    const mode_t mask = ::umask(0117); // 0660: owner, and the group of a proxy
    const bool bound = fd && ::bind(fd.get(), name, sizeof address) == 0;
    ::umask(mask);
    if (!bound || ::listen(fd.get(), SOMAXCONN) != 0)
        return explain({Errc::system, "socket", static_cast<std::uint64_t>(errno)}, "--listen: unix:" + path);
    return Listener{.fd = std::move(fd), .address = "unix:" + path, .local = true};
}

bool is_loopback(const std::string &host) {
    return host.starts_with("127.") || host == "::1";
}

// Of sd_listen_fds(3): exactly one, for this process.
Explained<Listener> listen_passed() {
    const char *const pid = std::getenv("LISTEN_PID");
    const char *const count = std::getenv("LISTEN_FDS");
    if (pid == nullptr || count == nullptr || pid != std::to_string(::getpid()) || std::string_view{count} != "1")
        return explain(Errc::usage, "--listen systemd: wanted one socket from the service manager (LISTEN_FDS=1)");
    ::fcntl(first_passed_fd, F_SETFD, FD_CLOEXEC);
    Listener out{.fd = UniqueFd{first_passed_fd}, .address = {}, .local = false};
    sockaddr_storage address{};
    socklen_t size = sizeof address;
    if (::getsockname(first_passed_fd, reinterpret_cast<sockaddr *>(&address), &size) != 0)
        return explain({Errc::system, "socket", static_cast<std::uint64_t>(errno)}, "--listen systemd");
    if (address.ss_family == AF_UNIX) {
        out.address = "unix:(passed)";
        out.local = true;
        return out;
    }
    const auto endpoint = local_endpoint(first_passed_fd);
    if (!endpoint)
        return explain(endpoint.error(), "--listen systemd");
    out.address = to_string(*endpoint);
    out.local = is_loopback(endpoint->host);
    return out;
}

Explained<Listener> open_listener(const std::string &where) {
    if (where == "systemd")
        return listen_passed();
    if (where.starts_with("unix:"))
        return listen_unix(where.substr(5));
    const auto wanted = parse_endpoint(where);
    if (!wanted)
        return explain(wanted.error().code, "--listen: " + wanted.error().text);
    CVMIN_TRY(fd, listen_tcp(*wanted));
    if (::listen(fd.get(), SOMAXCONN) != 0) // a longer queue than a relay's
        return explain({Errc::system, "socket", static_cast<std::uint64_t>(errno)}, where);
    const auto bound = local_endpoint(fd.get());
    if (!bound)
        return explain(bound.error(), where);
    return Listener{.fd = std::move(fd), .address = to_string(*bound), .local = is_loopback(bound->host)};
}

// One datagram to the service manager, if there is one (sd_notify(3)).
void notify_manager(std::string_view state) {
    const char *const path = std::getenv("NOTIFY_SOCKET");
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path == nullptr || (path[0] != '/' && path[0] != '@') || std::strlen(path) >= sizeof address.sun_path)
        return;
    std::ranges::copy(std::string_view{path}, address.sun_path); // and zeros after it
    if (path[0] == '@')                                          // an abstract one
        address.sun_path[0] = '\0';
    const UniqueFd fd{::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
    if (fd.get() < 0)
        return;
    const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + std::strlen(path));
    (void)::sendto(fd.get(), state.data(), state.size(), MSG_NOSIGNAL, reinterpret_cast<const sockaddr *>(&address),
                   size);
}

// A descriptor for each connection: the soft limit of most systems is 1024.
void fit_descriptors(HttpLimits &limits) {
    rlimit files{};
    if (::getrlimit(RLIMIT_NOFILE, &files) != 0)
        return;
    const rlim_t wanted = limits.connections + own_descriptors, found = files.rlim_cur;
    files.rlim_cur = std::min<rlim_t>(files.rlim_max, wanted);
    if (::setrlimit(RLIMIT_NOFILE, &files) != 0) // which a service manager may forbid
        files.rlim_cur = found;
    if (files.rlim_cur < wanted)
        limits.connections = static_cast<unsigned>(std::max<rlim_t>(1, files.rlim_cur - own_descriptors));
}

// ---- running
// ---------------------------------------------------------------------------------------------------------

std::uint64_t monotonic_us() {
    return static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now().time_since_epoch())
            .count());
}

sigset_t signal_set(std::initializer_list<int> signals) {
    sigset_t set;
    ::sigemptyset(&set);
    for (const int signal : signals)
        ::sigaddset(&set, signal);
    return set;
}

// 0: none of them came in this time.
int wait_for_signal(std::initializer_list<int> signals, std::chrono::milliseconds time) {
    const sigset_t set = signal_set(signals);
    const timespec wait{.tv_sec = time.count() / 1000, .tv_nsec = time.count() % 1000 * 1'000'000};
    return std::max(0, ::sigtimedwait(&set, nullptr, &wait));
}

void serve_until_stopped(VerifierService &service, Appraiser &appraiser, const LogSink &log) {
    bool ended = false;
    while (true) {
        const int signal = wait_for_signal(handled_signals, poll_interval);
        const std::time_t now = std::time(nullptr);
        if (signal == SIGTERM || signal == SIGINT)
            return;
        if (signal == SIGHUP) {
            notify_manager(std::format("RELOADING=1\nMONOTONIC_USEC={}", monotonic_us()));
            service.reload(now);
            notify_manager("READY=1");
        } else if (appraiser.changed()) {
            service.reload(now);
        }
        if (const bool none = appraiser.current(now) == nullptr; none != ended) {
            ended = none;
            if (none)
                log({{"level", "error"}, {"event", "ended"}, {"reason", "what is judged by has reached its end"}});
        }
    }
}

void stop(HttpServer &server, VerifierService &service, const Args &args, const LogSink &log) {
    notify_manager("STOPPING=1");
    service.stop();
    log({{"level", "info"}, {"event", "stopping"}, {"in_flight", server.in_flight()}});
    if (args.drain_s != 0)
        wait_for_signal(stop_signals, std::chrono::seconds{args.drain_s}); // a second one: at once
    server.stop_accepting();
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds{args.stop_timeout_s};
    while (server.in_flight() != 0 && std::chrono::steady_clock::now() < deadline)
        if (wait_for_signal(stop_signals, stop_poll) != 0)
            break;
    log({{"level", "info"}, {"event", "stopped"}, {"in_flight", server.in_flight()}});
}

int serve(Args args) {
    if (const auto problem = usage_problem(args.references))
        return report_error(command, Exit::usage, *problem);
    ::prctl(PR_SET_DUMPABLE, 0); // no core dump with the keys in it
    auto keys = read_result_keys(args);
    if (!keys)
        return report_error(command, keys.error());
    auto sessions = read_session_keys(args);
    if (!sessions)
        return report_error(command, sessions.error());
    Appraiser appraiser{
        [references = args.references](std::time_t now) { return read_verifier_references(references, now); }};
    if (const auto loaded = appraiser.load(std::time(nullptr)); !loaded)
        return report_error(command, loaded.error());
    auto listener = open_listener(args.listen);
    if (!listener)
        return report_error(command, listener.error());
    // what one client may do is the proxy's to say, where only a proxy of this machine can ask
    constexpr unsigned default_rate = 100, default_connections = 256;
    args.limits.rate = args.rate.value_or(listener->local ? 0 : default_rate);
    args.limits.connections_per_address =
        args.connections_per_address.value_or(listener->local ? 0 : default_connections);
    fit_descriptors(args.limits);
    args.service.profile = ear_profile_by_name(args.profile).value_or(EarProfile::ietf);
    args.service.page = args.page == "on" || (args.page == "auto" && listener->local);

    // Before any thread is there: all of them inherit it, and only this one waits for signals.
    const sigset_t set = signal_set(handled_signals);
    ::sigprocmask(SIG_BLOCK, &set, nullptr);
    std::signal(SIGPIPE, SIG_IGN);

    const LogSink log = log_sink(args.log);
    VerifierService service{args.service, std::move(*sessions), std::move(*keys), appraiser, log, monotonic_us};
    service.metrics().references_loaded_at = std::time(nullptr);
    ++service.metrics().reloads;
    const std::string address = listener->address;
    const bool local = listener->local;
    auto server = HttpServer::start(std::move(listener->fd), service, args.limits, log);
    if (!server)
        return report_error(command, server.error());
    const auto snapshot = appraiser.current(std::time(nullptr));
    write_log({{"level", "info"},
               {"event", "listening"},
               {"address", address},
               {"version", CVMIN_VERSION},
               {"page", args.service.page},
               {"in_force", snapshot ? Json(snapshot->source) : Json()},
               {"policy", snapshot ? Json(hex(snapshot->wanted.policy.digest)) : Json()}});
    if (!local)
        log({{"level", "warning"},
             {"event", "plain_http"},
             {"reason", "others can connect, and nothing here is encrypted: put a proxy with TLS in front"}});
    if (args.session_keys.empty())
        log({{"level", "warning"},
             {"event", "session_key"},
             {"reason",
              "of this process only: sessions end with it, and no other replica knows them (--session-key)"}});
    if (snapshot && snapshot->wanted.emulated_ark)
        log({{"level", "warning"},
             {"event", "emulated"},
             {"reason",
              "an emulated AMD-SP is trusted (--trust-emulated): its evidence proves nothing about a machine"}});
    notify_manager("READY=1");
    serve_until_stopped(service, appraiser, log);
    stop(**server, service, args, log);
    server->reset();
    if (args.listen.starts_with("unix:"))
        ::unlink(args.listen.c_str() + 5);
    return Exit::ok;
}

} // namespace

int cmd_verifier(int argc, char **argv) {
    Args args;
    CLI::App app{"Appraise evidence for others.", "cvmin verifier"};
    app.require_subcommand(1);
    CLI::App *const serve_app = app.add_subcommand(
        "serve", "answer Veraison's challenge-response API over HTTP with signed attestation results");
    describe(*serve_app, args);
    if (const auto done = parse_options(app, argc, argv))
        return *done;
    return serve(std::move(args));
}

} // namespace cvmin
