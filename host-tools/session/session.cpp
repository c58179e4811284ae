#include "host-tools/session/session.hpp"

#include "common/mbed.hpp"
#include "common/tls_key.hpp"

#include <mbedtls/entropy.h>
#include <mbedtls/platform_util.h>
#include <mbedtls/ssl.h>
#include <mbedtls/x509_crt.h>
#include <psa/crypto.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>
#include <thread>

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <linux/vm_sockets.h>

namespace cvmin {

namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds first_back_off{20};
constexpr milliseconds longest_back_off{500};
// A vsock device may end when its client goes away while it writes the answer: what was asked for is awaited this much
// longer than the caller's deadline.
constexpr milliseconds answer_grace{500};
constexpr std::size_t max_answer_size = 64; // "OK 4294967295\n"

std::unexpected<Error> os_error(Errc code, std::string_view where) {
    return fail(code, where, static_cast<std::uint64_t>(errno));
}
std::unexpected<Error> tls_error(std::string_view where, int code) {
    if (code == MBEDTLS_ERR_SSL_TIMEOUT)
        return fail(Errc::timed_out, where);
    if (code == MBEDTLS_ERR_SSL_CONN_EOF || code == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY)
        return fail(Errc::unreachable, where);
    return fail(Errc::crypto, where, mbedtls_detail(code));
}

Result<void> wait_for(int fd, short events, Deadline deadline, std::string_view where) {
    for (;;) {
        const auto left = std::chrono::ceil<milliseconds>(deadline - steady_clock::now()).count();
        if (left <= 0)
            return fail(Errc::timed_out, where);
        pollfd entry{fd, events, 0};
        const int ready = ::poll(&entry, 1, static_cast<int>(std::min<long long>(left, INT_MAX)));
        if (ready > 0)
            return {};
        if (ready < 0 && errno != EINTR)
            return os_error(Errc::system, where);
    }
}

// One attempt. `refused`: the device is there and the guest does not answer (yet); anything else is final.
Result<UniqueFd> try_connect(int domain, const sockaddr *address, socklen_t size, Deadline deadline) {
    UniqueFd fd{::socket(domain, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
    if (!fd)
        return os_error(Errc::system, "agent.socket");
    if (::connect(fd.get(), address, size) == 0)
        return fd;
    int error = errno;
    if (error == EINPROGRESS) {
        CVMIN_CHECK(wait_for(fd.get(), POLLOUT, deadline, "agent.connect"));
        socklen_t error_size = sizeof error;
        if (::getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &error_size) != 0)
            return os_error(Errc::system, "agent.connect");
        if (error == 0)
            return fd;
    }
    const bool may_pass = error == EAGAIN || error == ECONNRESET || error == ETIMEDOUT || error == EINTR ||
                          (domain == AF_VSOCK && error == ECONNREFUSED);
    return fail(may_pass ? Errc::refused : Errc::unreachable, "agent.connect", static_cast<std::uint64_t>(error));
}

Result<UniqueFd> try_unix(const UnixVsock &target, std::uint32_t port, Deadline deadline) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string path = target.socket.string();
    if (path.size() >= sizeof address.sun_path)
        return fail(Errc::too_large, "agent.socket_path", path.size());
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    CVMIN_TRY(fd, try_connect(AF_UNIX, reinterpret_cast<const sockaddr *>(&address), sizeof address, deadline));

    // In one write, and nothing behind it: the device loses what comes with the line.
    const std::string line = "CONNECT " + std::to_string(port) + "\n";
    if (::send(fd.get(), line.data(), line.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(line.size()))
        return os_error(Errc::refused, "agent.connect");
    std::string answer;
    while (!answer.ends_with('\n')) {
        CVMIN_CHECK(wait_for(fd.get(), POLLIN, deadline + answer_grace, "agent.connect"));
        char byte = 0; // one at a time: what follows the line is TLS
        const ssize_t got = ::recv(fd.get(), &byte, 1, 0);
        if (got < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (got <= 0)
            return fail(Errc::refused, "agent.connect"); // the guest is not there yet, or nobody listens in it
        answer += byte;
        if (answer.size() > max_answer_size)
            return fail(Errc::unreachable, "agent.connect_answer");
    }
    if (!answer.starts_with("OK "))
        return fail(Errc::unreachable, "agent.connect_answer");
    return fd;
}

Result<UniqueFd> try_kernel(const KernelVsock &target, std::uint32_t port, Deadline deadline) {
    sockaddr_vm address{};
    address.svm_family = AF_VSOCK;
    address.svm_cid = target.cid;
    address.svm_port = port;
    return try_connect(AF_VSOCK, reinterpret_cast<const sockaddr *>(&address), sizeof address, deadline);
}

Result<UniqueFd> try_tcp(const TcpEndpoint &target, Deadline deadline) {
    const auto addresses = Addresses::resolve(target, false);
    if (!addresses)
        return fail(addresses.error().code, "agent.host");
    Result<UniqueFd> last = fail(Errc::unreachable, "agent.host");
    for (const addrinfo *at = addresses->first(); at != nullptr; at = at->ai_next) {
        last = try_connect(at->ai_family, at->ai_addr, at->ai_addrlen, deadline);
        if (last) {
            const int on = 1; // requests are small, and each waits for its answer
            ::setsockopt(last->get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
            break;
        }
    }
    return last;
}

Result<UniqueFd> try_address(const AgentAddress &address, std::uint32_t port, Deadline deadline) {
    if (const auto *device = std::get_if<UnixVsock>(&address))
        return try_unix(*device, port, deadline);
    if (const auto *guest = std::get_if<KernelVsock>(&address))
        return try_kernel(*guest, port, deadline);
    return try_tcp(std::get<TcpEndpoint>(address), deadline);
}

int random_bytes(void *, unsigned char *out, std::size_t size) {
    while (size != 0) {
        const ssize_t got = ::getrandom(out, size, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return MBEDTLS_ERR_ENTROPY_SOURCE_FAILED;
        out += got;
        size -= static_cast<std::size_t>(got);
    }
    return 0;
}

} // namespace

Result<UniqueFd> connect_agent(const AgentAddress &address, std::uint32_t port, Deadline deadline) {
    milliseconds back_off = first_back_off;
    for (;;) {
        auto fd = try_address(address, port, deadline);
        if (fd || fd.error().code != Errc::refused)
            return fd;
        if (steady_clock::now() + back_off >= deadline)
            return fail(Errc::unreachable, "agent.connect", fd.error().detail);
        std::this_thread::sleep_for(back_off);
        back_off = std::min(back_off * 2, longest_back_off);
    }
}

struct Session::Impl {
    UniqueFd fd;
    mbedtls_x509_crt certificate; // ours; empty without a key
    mbedtls_ssl_config config;
    mbedtls_ssl_context ssl;
    PublicKey peer_key{};
    Deadline deadline{}; // of the step under way
    bool broken = false; // a request failed half-way: the stream is out of step

    explicit Impl(UniqueFd socket) : fd(std::move(socket)) {
        mbedtls_x509_crt_init(&certificate);
        mbedtls_ssl_config_init(&config);
        mbedtls_ssl_init(&ssl);
    }
    Impl(const Impl &) = delete;
    Impl &operator=(const Impl &) = delete;
    ~Impl() {
        if (!broken && mbedtls_ssl_is_handshake_over(&ssl) != 0)
            mbedtls_ssl_close_notify(&ssl);
        mbedtls_ssl_free(&ssl);
        mbedtls_ssl_config_free(&config);
        mbedtls_x509_crt_free(&certificate);
    }

    static int send(void *self, const unsigned char *data, std::size_t size) {
        const ssize_t sent = ::send(static_cast<Impl *>(self)->fd.get(), data, size, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent >= 0)
            return static_cast<int>(sent);
        return errno == EAGAIN || errno == EINTR ? MBEDTLS_ERR_SSL_WANT_WRITE : MBEDTLS_ERR_SSL_CONN_EOF;
    }
    // The deadline is looked at here too: over records that say nothing (alerts that warn, ChangeCipherSpec, tickets)
    // mbedTLS reads on by itself, and a peer could keep it at that.
    static int receive(void *self, unsigned char *out, std::size_t size) {
        if (steady_clock::now() >= static_cast<Impl *>(self)->deadline)
            return MBEDTLS_ERR_SSL_TIMEOUT;
        const ssize_t got = ::recv(static_cast<Impl *>(self)->fd.get(), out, size, MSG_DONTWAIT);
        if (got > 0)
            return static_cast<int>(got);
        return got < 0 && (errno == EAGAIN || errno == EINTR) ? MBEDTLS_ERR_SSL_WANT_READ : MBEDTLS_ERR_SSL_CONN_EOF;
    }

    // Calls `step` until it neither wants to read nor to write; its result, if not negative.
    template <class Step> Result<std::size_t> finish(Step step, Deadline until, std::string_view where) {
        deadline = until;
        for (;;) {
            const int result = step();
            if (result >= 0)
                return static_cast<std::size_t>(result);
            if (result != MBEDTLS_ERR_SSL_WANT_READ && result != MBEDTLS_ERR_SSL_WANT_WRITE)
                return tls_error(where, result);
            CVMIN_CHECK(wait_for(fd.get(), result == MBEDTLS_ERR_SSL_WANT_READ ? POLLIN : POLLOUT, until, where));
        }
    }
    Result<void> write(ByteView bytes, Deadline until) {
        while (!bytes.empty()) {
            CVMIN_TRY(count,
                      finish([&] { return mbedtls_ssl_write(&ssl, u8(bytes), bytes.size()); }, until, "session.write"));
            bytes = bytes.subspan(count);
        }
        return {};
    }
    Result<void> read(MutableBytes out, Deadline until) {
        while (!out.empty()) {
            CVMIN_TRY(count,
                      finish([&] { return mbedtls_ssl_read(&ssl, u8(out), out.size()); }, until, "session.read"));
            if (count == 0)
                return fail(Errc::unreachable, "session.read");
            out = out.subspan(count);
        }
        return {};
    }
    // In one piece: a header by itself would be a TLS record of its own.
    Result<void> send_message(ByteView message, Deadline until) {
        Bytes frame(frame_header_size + message.size());
        std::ranges::copy(frame_header(message.size()), frame.begin());
        std::ranges::copy(message, frame.begin() + frame_header_size);
        auto written = write(frame, until);
        mbedtls_platform_zeroize(frame.data(), frame.size()); // it may hold a secret
        return written;
    }
    Result<Response> receive_message(Deadline until) {
        ByteArray<frame_header_size> header{};
        CVMIN_CHECK(read(header, until));
        const std::uint64_t size = load_be(header);
        if (size == 0 || size > max_response_size)
            return fail(Errc::out_of_range, "session.frame_length", size);
        Bytes body(size);
        CVMIN_CHECK(read(body, until));
        auto response = parse_response(body);
        mbedtls_platform_zeroize(body.data(), body.size()); // it may hold a result
        return response;
    }
    Result<void> present(P384PrivateKey &key);
};

// Self-signed, always valid: the agent looks at the key alone.
Result<void> Session::Impl::present(P384PrivateKey &key) {
    constexpr char subject[] = "CN=cvmin-party";
    constexpr std::size_t max_size = 1024; // P-384, one name, no extensions: about 500
    Mbed<mbedtls_x509write_cert, mbedtls_x509write_crt_init, mbedtls_x509write_crt_free> writer;
    mbedtls_x509write_crt_set_version(writer.get(), MBEDTLS_X509_CRT_VERSION_3);
    mbedtls_x509write_crt_set_md_alg(writer.get(), MBEDTLS_MD_SHA384);
    mbedtls_x509write_crt_set_subject_key(writer.get(), &key.context());
    mbedtls_x509write_crt_set_issuer_key(writer.get(), &key.context());
    unsigned char serial[] = {1}; // mbedTLS does not say that it only reads
    int failed = mbedtls_x509write_crt_set_serial_raw(writer.get(), serial, sizeof serial);
    if (failed == 0)
        failed = mbedtls_x509write_crt_set_subject_name(writer.get(), subject);
    if (failed == 0)
        failed = mbedtls_x509write_crt_set_issuer_name(writer.get(), subject);
    if (failed == 0)
        failed = mbedtls_x509write_crt_set_validity(writer.get(), "20000101000000", "99991231235959");
    std::array<unsigned char, max_size> der{};
    if (failed == 0)
        failed = mbedtls_x509write_crt_der(writer.get(), der.data(), der.size(), random_bytes, nullptr);
    if (failed > 0) { // its size: it was written at the end of the buffer
        const auto size = static_cast<std::size_t>(failed);
        failed = mbedtls_x509_crt_parse_der(&certificate, der.data() + der.size() - size, size);
    }
    if (failed == 0)
        failed = mbedtls_ssl_conf_own_cert(&config, &certificate, &key.context());
    if (failed != 0)
        return fail(Errc::crypto, "session.party_certificate", mbedtls_detail(failed));
    return {};
}

Session::Session(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Session::Session(Session &&) noexcept = default;
Session &Session::operator=(Session &&) noexcept = default;
Session::~Session() = default;

Result<Session> Session::open(UniqueFd socket, Deadline deadline, const SessionOptions &options) {
    if (const psa_status_t status = psa_crypto_init(); status != PSA_SUCCESS)
        return fail(Errc::crypto, "session.psa", mbedtls_detail(status));
    auto impl = std::make_unique<Impl>(std::move(socket));
    int failed = mbedtls_ssl_config_defaults(&impl->config, MBEDTLS_SSL_IS_CLIENT, MBEDTLS_SSL_TRANSPORT_STREAM,
                                             MBEDTLS_SSL_PRESET_DEFAULT);
    if (failed != 0)
        return fail(Errc::crypto, "session.config", mbedtls_detail(failed));
    static constexpr std::uint16_t groups[] = {MBEDTLS_SSL_IANA_TLS_GROUP_SECP384R1, MBEDTLS_SSL_IANA_TLS_GROUP_NONE};
    static constexpr std::uint16_t signatures[] = {MBEDTLS_TLS1_3_SIG_ECDSA_SECP384R1_SHA384, MBEDTLS_TLS1_3_SIG_NONE};
    mbedtls_ssl_conf_min_tls_version(&impl->config, MBEDTLS_SSL_VERSION_TLS1_3);
    mbedtls_ssl_conf_max_tls_version(&impl->config, MBEDTLS_SSL_VERSION_TLS1_3);
    mbedtls_ssl_conf_groups(&impl->config, groups);
    mbedtls_ssl_conf_sig_algs(&impl->config, signatures);
    mbedtls_ssl_conf_rng(&impl->config, random_bytes, nullptr);
    // The certificate is self-signed: no chain to check. TLS 1.3 still proves that the peer holds its key
    // (CertificateVerify is checked whatever the mode), and evidence proves whose key it is.
    mbedtls_ssl_conf_authmode(&impl->config, MBEDTLS_SSL_VERIFY_NONE);
    if (options.party_key != nullptr)
        CVMIN_CHECK(impl->present(*options.party_key));
    failed = mbedtls_ssl_setup(&impl->ssl, &impl->config);
    if (failed == 0)
        failed = mbedtls_ssl_set_hostname(&impl->ssl, nullptr);
    if (failed != 0)
        return fail(Errc::crypto, "session.config", mbedtls_detail(failed));
    mbedtls_ssl_set_bio(&impl->ssl, impl.get(), Impl::send, Impl::receive, nullptr);

    CVMIN_CHECK(impl->finish([&] { return mbedtls_ssl_handshake(&impl->ssl); }, deadline, "session.handshake"));
    const mbedtls_x509_crt *certificate = mbedtls_ssl_get_peer_cert(&impl->ssl);
    if (certificate == nullptr)
        return fail(Errc::missing, "session.certificate");
    CVMIN_TRY(key, public_key_of(certificate->pk));
    impl->peer_key = key;
    return Session{std::move(impl)};
}

const PublicKey &Session::peer_key() const {
    return impl_->peer_key;
}

Result<ByteArray<exporter_size>> Session::exporter(ByteView nonce) {
    return tls_exporter(impl_->ssl, nonce);
}

Result<void> Session::send(const Request &request, Deadline deadline) {
    if (impl_->broken)
        return fail(Errc::unreachable, "session");
    Bytes message = encode_request(request);
    auto sent = impl_->send_message(message, deadline);
    mbedtls_platform_zeroize(message.data(), message.size()); // it may hold a secret
    impl_->broken = !sent;
    return sent;
}

Result<Response> Session::receive(Deadline deadline) {
    if (impl_->broken)
        return fail(Errc::unreachable, "session");
    auto response = impl_->receive_message(deadline);
    impl_->broken = !response;
    return response;
}

Result<Response> Session::request(const Request &request, Deadline deadline) {
    CVMIN_CHECK(send(request, deadline));
    return receive(deadline);
}

} // namespace cvmin
