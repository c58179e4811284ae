// cvmin-test-attacker: a party of a computation, or a stranger, that misbehaves on command, for the VM tests. It speaks
// the agent's protocol over its own TLS, so that it can also stop half-way. What the agent said to it is kept in a
// file, decrypted, for whoever looks for what should not be there.
//   cvmin-test-attacker ADDRESS [--key KEY [--present KEY]] [--received FILE] ACTION=WANTED...
//   cvmin-test-attacker ADDRESS [--key KEY] [--received FILE] --flood SECONDS --manifest FILE
//   cvmin-test-attacker ADDRESS [--key KEY] --hold CONNECTIONS
// Exit code 0: every answer was the wanted one; with --flood: always, when it was asked to.
#include "common/mbed.hpp"
#include "host-tools/base/agent_address.hpp"
#include "host-tools/computation/manifest_file.hpp"
#include "host-tools/session/session.hpp"
#include "host-tools/signing/key_file.hpp"

#include <CLI/CLI.hpp>
#include <mbedtls/ssl.h>
#include <mbedtls/x509_crt.h>
#include <psa/crypto.h>

#include <atomic>
#include <cstdio>
#include <fstream>
#include <mutex>
#include <thread>

#include <poll.h>
#include <sys/random.h>
#include <sys/socket.h>

using namespace cvmin;
using namespace std::chrono_literals;

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::array bytes_of_half_a_frame{std::byte{0}, std::byte{1}, std::byte{0x20}, std::byte{0}, std::byte{0xa3}};

int random_bytes(void *, unsigned char *out, std::size_t size) { // at most 256 at a time, which come whole
    return ::getrandom(out, size, 0) == static_cast<ssize_t>(size) ? 0 : MBEDTLS_ERR_ECP_RANDOM_FAILED;
}

// Everything that any agent said.
class Received {
  public:
    void open(const std::string &path) { file_.open(path, std::ios::binary | std::ios::app); }
    void add(ByteView bytes) {
        const std::scoped_lock lock{mutex_};
        file_.write(reinterpret_cast<const char *>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
        file_.flush();
    }

  private:
    std::mutex mutex_;
    std::ofstream file_;
};

struct Identity {
    P384PrivateKey *key = nullptr;        // what we sign with
    const PublicKey *presented = nullptr; // what our certificate has, if not the key's own
};

// One connection, from the socket up. Every step has `limit`.
class Wire {
  public:
    Wire(UniqueFd socket, Received &received) : fd_(std::move(socket)), received_(received) {}
    Wire(const Wire &) = delete;
    Wire &operator=(const Wire &) = delete;

    int fd() const { return fd_.get(); }
    bool shake_hands(const Identity &identity, std::chrono::milliseconds limit = 20s) {
        if (mbedtls_ssl_config_defaults(config_.get(), MBEDTLS_SSL_IS_CLIENT, MBEDTLS_SSL_TRANSPORT_STREAM,
                                        MBEDTLS_SSL_PRESET_DEFAULT) != 0)
            return false;
        mbedtls_ssl_conf_min_tls_version(config_.get(), MBEDTLS_SSL_VERSION_TLS1_3);
        mbedtls_ssl_conf_rng(config_.get(), random_bytes, nullptr);
        mbedtls_ssl_conf_authmode(config_.get(), MBEDTLS_SSL_VERIFY_NONE);
        if (identity.key != nullptr && !present(identity))
            return false;
        if (mbedtls_ssl_setup(tls_.get(), config_.get()) != 0 || mbedtls_ssl_set_hostname(tls_.get(), nullptr) != 0)
            return false;
        mbedtls_ssl_set_bio(tls_.get(), this, send, receive, nullptr);
        return finish([&] { return mbedtls_ssl_handshake(tls_.get()); }, limit) == 0;
    }
    bool write(ByteView bytes, std::chrono::milliseconds limit = 20s) {
        while (!bytes.empty()) {
            const int sent = finish([&] { return mbedtls_ssl_write(tls_.get(), u8(bytes), bytes.size()); }, limit);
            if (sent <= 0)
                return false;
            bytes = bytes.subspan(static_cast<std::size_t>(sent));
        }
        return true;
    }
    bool read(MutableBytes out, std::chrono::milliseconds limit = 20s) {
        while (!out.empty()) {
            const int got = finish([&] { return mbedtls_ssl_read(tls_.get(), u8(out), out.size()); }, limit);
            if (got <= 0)
                return false;
            received_.add(out.first(static_cast<std::size_t>(got)));
            out = out.subspan(static_cast<std::size_t>(got));
        }
        return true;
    }
    bool send_request(const Request &request, std::chrono::milliseconds limit = 20s) {
        const Bytes message = encode_request(request);
        return write(frame_header(message.size()), limit) && write(message, limit);
    }
    std::optional<Response> answer(std::chrono::milliseconds limit = 20s) {
        ByteArray<frame_header_size> header{};
        if (!read(header, limit))
            return std::nullopt;
        const std::uint64_t size = load_be(header);
        if (size == 0 || size > max_response_size)
            return std::nullopt;
        Bytes body(size);
        if (!read(body, limit))
            return std::nullopt;
        auto response = parse_response(body);
        return response ? std::optional{std::move(*response)} : std::nullopt;
    }
    std::optional<Response> ask(const Request &request) { return send_request(request) ? answer() : std::nullopt; }

  private:
    static int send(void *self, const unsigned char *data, std::size_t size) {
        const ssize_t sent = ::send(static_cast<Wire *>(self)->fd(), data, size, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent >= 0)
            return static_cast<int>(sent);
        return errno == EAGAIN ? MBEDTLS_ERR_SSL_WANT_WRITE : MBEDTLS_ERR_SSL_CONN_EOF;
    }
    static int receive(void *self, unsigned char *out, std::size_t size) {
        const ssize_t got = ::recv(static_cast<Wire *>(self)->fd(), out, size, MSG_DONTWAIT);
        if (got > 0)
            return static_cast<int>(got);
        return got < 0 && errno == EAGAIN ? MBEDTLS_ERR_SSL_WANT_READ : MBEDTLS_ERR_SSL_CONN_EOF;
    }
    template <class Step> int finish(Step step, std::chrono::milliseconds limit) {
        const auto until = Clock::now() + limit;
        for (;;) {
            const int result = step();
            if (result != MBEDTLS_ERR_SSL_WANT_READ && result != MBEDTLS_ERR_SSL_WANT_WRITE)
                return result;
            const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - Clock::now()).count();
            pollfd waiting{fd(), static_cast<short>(result == MBEDTLS_ERR_SSL_WANT_READ ? POLLIN : POLLOUT), 0};
            if (left <= 0 || ::poll(&waiting, 1, static_cast<int>(left)) == 0)
                return MBEDTLS_ERR_SSL_TIMEOUT;
        }
    }
    // A certificate for the key that is to be seen, whether we hold it or not.
    bool present(const Identity &identity) {
        Mbed<mbedtls_x509write_cert, mbedtls_x509write_crt_init, mbedtls_x509write_crt_free> writer;
        MbedPk other;
        mbedtls_pk_context *subject = &identity.key->context();
        if (identity.presented != nullptr) {
            Bytes point{std::byte{4}}; // uncompressed
            point.insert(point.end(), identity.presented->x.begin(), identity.presented->x.end());
            point.insert(point.end(), identity.presented->y.begin(), identity.presented->y.end());
            subject = other.get();
            if (mbedtls_pk_setup(subject, mbedtls_pk_info_from_type(MBEDTLS_PK_ECKEY)) != 0 ||
                mbedtls_ecp_group_load(&mbedtls_pk_ec(*subject)->MBEDTLS_PRIVATE(grp), MBEDTLS_ECP_DP_SECP384R1) != 0 ||
                mbedtls_ecp_point_read_binary(&mbedtls_pk_ec(*subject)->MBEDTLS_PRIVATE(grp),
                                              &mbedtls_pk_ec(*subject)->MBEDTLS_PRIVATE(Q), u8(ByteView{point}),
                                              point.size()) != 0)
                return false;
        }
        mbedtls_x509write_crt_set_version(writer.get(), MBEDTLS_X509_CRT_VERSION_3);
        mbedtls_x509write_crt_set_md_alg(writer.get(), MBEDTLS_MD_SHA384);
        mbedtls_x509write_crt_set_subject_key(writer.get(), subject);
        mbedtls_x509write_crt_set_issuer_key(writer.get(), &identity.key->context());
        unsigned char serial[] = {1};
        std::array<unsigned char, 1024> der{};
        if (mbedtls_x509write_crt_set_serial_raw(writer.get(), serial, sizeof serial) != 0 ||
            mbedtls_x509write_crt_set_subject_name(writer.get(), "CN=attacker") != 0 ||
            mbedtls_x509write_crt_set_issuer_name(writer.get(), "CN=attacker") != 0 ||
            mbedtls_x509write_crt_set_validity(writer.get(), "20000101000000", "99991231235959") != 0)
            return false;
        const int size = mbedtls_x509write_crt_der(writer.get(), der.data(), der.size(), random_bytes, nullptr);
        return size > 0 &&
               mbedtls_x509_crt_parse_der(certificate_.get(), der.data() + der.size() - size,
                                          static_cast<std::size_t>(size)) == 0 &&
               mbedtls_ssl_conf_own_cert(config_.get(), certificate_.get(), &identity.key->context()) == 0;
    }

    UniqueFd fd_;
    Received &received_;
    Mbed<mbedtls_x509_crt, mbedtls_x509_crt_init, mbedtls_x509_crt_free> certificate_;
    Mbed<mbedtls_ssl_config, mbedtls_ssl_config_init, mbedtls_ssl_config_free> config_;
    Mbed<mbedtls_ssl_context, mbedtls_ssl_init, mbedtls_ssl_free> tls_;
};

struct Args {
    std::string socket, connect, key, present, received, manifest;
    unsigned flood_s = 0, hold = 0;
    std::vector<std::string> actions;
};

class Attacker {
  public:
    Attacker(AgentAddress address, Identity identity, Bytes manifest, Received &received)
        : address_(std::move(address)), identity_(identity), manifest_(std::move(manifest)), received_(received) {}

    std::unique_ptr<Wire> connect() {
        auto socket = connect_agent(address_, agent_vsock_port, Clock::now() + 20s);
        return socket ? std::make_unique<Wire>(std::move(*socket), received_) : nullptr;
    }
    std::unique_ptr<Wire> session() { // like an honest party, who comes again when she was turned out in a crowd
        for (int i = 0; i < 10; ++i, std::this_thread::sleep_for(300ms))
            if (auto wire = connect(); wire != nullptr && wire->shake_hands(identity_))
                return wire;
        return nullptr;
    }

    // ---- one connection, one action after the other ----

    bool perform(const std::vector<std::string> &actions) {
        bool all = true;
        auto wire = session();
        for (const std::string &action : actions) {
            const std::size_t equals = action.rfind('=');
            const std::string what = action.substr(0, equals), wanted = action.substr(equals + 1);
            std::string found = "closed";
            if (what == "reconnect") {
                wire = session();
                found = wire == nullptr ? "closed" : "open";
            } else if (wire != nullptr) {
                if (what.starts_with(puts_prefix))
                    found = put_passports(*wire, std::strtoull(what.c_str() + puts_prefix.size(), nullptr, 10));
                else if (const auto request = request_of(what))
                    found = word(wire->ask(*request));
                else
                    found = "no such action";
            }
            if (found != wanted) {
                std::printf("%s: found %s, wanted %s\n", what.c_str(), found.c_str(), wanted.c_str());
                all = false;
            }
        }
        return all;
    }

    // ---- many at once ----

    // Strangers of every kind, as many and as often as the host lets us, until the time is over.
    void flood(std::chrono::seconds time) {
        const auto until = Clock::now() + time;
        std::vector<std::thread> threads;
        threads.reserve(4);
        for (unsigned t = 0; t < 3; ++t)
            threads.emplace_back([this, until, t] { crowd(until, t); });
        threads.emplace_back([this, until] { chatter(until); });
        for (std::thread &thread : threads)
            thread.join();
        std::printf("%u connections, %u handshakes, %u attested, %u requests\n", connections_.load(),
                    handshakes_.load(), attested_.load(), requests_.load());
    }

    // So many connections that have taken evidence, and on each as many requests as the agent will keep, with no answer
    // ever read: all the memory that peers can have of it. Held until standard input ends.
    bool hold(unsigned wanted) {
        std::vector<std::unique_ptr<Wire>> held;
        while (held.size() < wanted) {
            held.push_back(attested());
            if (held.back() == nullptr)
                return false;
        }
        std::vector<std::thread> threads;
        threads.reserve(held.size());
        for (const auto &wire :
             held) // until a request does not go away: no answer is read, so the agent does not go on
            threads.emplace_back([this, &wire] {
                const Bytes zeros(max_put_size);
                const Request large = request::Put{.item = std::string{algorithm_item}, .offset = 1, .data = zeros};
                for (unsigned i = 0; i < 50 && wire->send_request(request::Attest{Bytes(64)}, 2s); ++i)
                    ++requests_;
                while (wire->send_request(large, 2s))
                    ++requests_;
            });
        for (std::thread &thread : threads)
            thread.join();
        std::printf("%zu connections held, %u requests on them\n", held.size(), requests_.load());
        std::fflush(stdout);
        while (std::getchar() != EOF) {}
        return true;
    }

  private:
    // passport-puts:COUNT: of the largest, each another one.
    static constexpr std::string_view puts_prefix = "passport-puts:";
    static std::string put_passports(Wire &wire, std::uint64_t count) {
        for (std::uint64_t i = 0; i < count; ++i) {
            const Bytes result(max_passport_size, static_cast<std::byte>(i));
            if (std::string found = word(wire.ask(request::PassportPut{result})); found != "stored")
                return found;
        }
        return "stored";
    }

    std::optional<Request> request_of(const std::string &text) {
        std::vector<std::string> part{""};
        for (const char c : text)
            if (c == ':')
                part.emplace_back();
            else
                part.back() += c;
        const auto number = [&](std::size_t i) { return std::strtoull(part.at(i).c_str(), nullptr, 10); };
        if (part[0] == "hello")
            return request::Hello{};
        if (part[0] == "attest")
            return request::Attest{Bytes(32, std::byte{0x5a})};
        if (part[0] == "status")
            return request::Status{};
        if (part[0] == "events")
            return request::Events{};
        if (part[0] == "stop")
            return request::Stop{};
        if (part[0] == "manifest")
            return request::Manifest{part.at(1) == "agreed" ? manifest_ : Bytes(number(1), std::byte{0xa8})};
        if (part[0] == "put") {   // put:ITEM:OFFSET:FILE[:SKIP], or put:ITEM:OFFSET:#SIZE
            Bytes &data = piece_; // which outlives the request
            data.clear();
            if (part.at(3).starts_with('#')) {
                data.resize(std::strtoull(part.at(3).c_str() + 1, nullptr, 10), std::byte{'x'});
            } else {
                auto file = read_file(part.at(3), 1u << 20);
                if (!file)
                    return std::nullopt;
                data = std::move(*file);
                if (part.size() > 4)
                    data.erase(data.begin(), data.begin() + static_cast<std::ptrdiff_t>(number(4)));
                data.resize(std::min(data.size(), max_put_size));
            }
            return request::Put{.item = part.at(1), .offset = number(2), .data = data};
        }
        if (part[0] == "end")
            return request::PutEnd{.item = part.at(1), .size = number(2)};
        if (part[0] == "get")
            return request::Get{.name = part.at(1), .offset = number(2)};
        if (part[0] == "confirm") {
            request::Confirm confirm;
            if (part.size() > 1) {
                const auto receipt = read_file(part[1], max_receipt_size);
                if (!receipt)
                    return std::nullopt;
                confirm.receipt = sha256(*receipt);
            }
            return confirm;
        }
        if (part[0] == "passport-put") // passport-put:SIZE
            return request::PassportPut{Bytes(number(1), std::byte{'x'})};
        if (part[0] == "passport-get")
            return request::PassportGet{};
        return std::nullopt;
    }
    static constexpr std::size_t max_receipt_size = 1u << 20;

    static std::string word(const std::optional<Response> &response) {
        if (!response)
            return "closed";
        if (const auto *failed = std::get_if<response::Failure>(&*response))
            return std::string{name(failed->code)};
        if (const auto *status = std::get_if<response::Status>(&*response))
            return std::string{name(status->state)} + (status->outputs ? "+outputs" : "");
        if (std::holds_alternative<response::Evidence>(*response))
            return "evidence";
        if (std::holds_alternative<response::Stored>(*response))
            return "stored";
        if (const auto *put = std::get_if<response::PutOk>(&*response))
            return "received " + std::to_string(put->received);
        if (std::holds_alternative<response::Data>(*response))
            return "data";
        if (std::holds_alternative<response::EventsChunk>(*response))
            return "events";
        if (std::holds_alternative<response::Stopping>(*response))
            return "stopping";
        if (std::holds_alternative<response::Passport>(*response))
            return "passport";
        return "hello";
    }

    std::unique_ptr<Wire> attested() {
        auto wire = connect();
        if (wire == nullptr)
            return nullptr;
        ++connections_;
        if (!wire->shake_hands(identity_, 5s))
            return nullptr;
        ++handshakes_;
        if (const auto answer = wire->ask(request::Attest{Bytes(32)});
            !answer || !std::holds_alternative<response::Evidence>(*answer))
            return nullptr;
        ++attested_;
        return wire;
    }

    // Connections that stop in the middle of something, held until a hundred later ones.
    void crowd(Clock::time_point until, unsigned kind) {
        std::vector<std::unique_ptr<Wire>> held;
        for (std::size_t n = kind; Clock::now() < until; ++n) {
            const std::size_t stage = n % 6;
            std::unique_ptr<Wire> wire = stage < 2 ? connect() : attested();
            if (wire == nullptr)
                continue;
            if (stage < 2)
                ++connections_;
            if (stage == 1) { // half a record of a handshake; in stage 0 nothing
                [[maybe_unused]] const auto sent = ::send(wire->fd(), "\x16\x03\x01\x02\x00\x01", 6, MSG_NOSIGNAL);
            } else if (stage == 2) { // half a frame
                wire->write(bytes_of_half_a_frame, 1s);
            } else if (stage == 3) { // asks and asks, and never reads
                for (int i = 0; i < 200 && wire->send_request(request::Events{}, 50ms); ++i)
                    ++requests_;
            } else if (stage == 4) { // half an alert, and away
                [[maybe_unused]] const auto sent = ::send(wire->fd(), "\x15\x03", 2, MSG_NOSIGNAL);
                continue;
            } // in stage 5 it has taken evidence, and sits there
            held.push_back(std::move(wire));
            if (held.size() > 100)
                held.erase(held.begin());
        }
    }

    // Small requests, one after the other, and manifests.
    void chatter(Clock::time_point until) {
        while (Clock::now() < until) {
            const auto wire = attested();
            for (unsigned i = 0; wire != nullptr && Clock::now() < until; ++i) {
                const Request requests[] = {
                    request::Manifest{manifest_},
                    request::Status{},
                    request::Attest{Bytes(64)},
                    request::Get{std::string{log_name}, 0},
                    request::PassportPut{Bytes(i % max_passport_size + 1)},
                    request::PassportGet{},
                };
                const Request &request = requests[i % std::size(requests)];
                if (!wire->ask(request))
                    break;
                ++requests_;
            }
        }
    }

    AgentAddress address_;
    Identity identity_;
    Bytes manifest_;
    Bytes piece_; // of the put that was made last
    Received &received_;
    std::atomic<unsigned> connections_ = 0, handshakes_ = 0, attested_ = 0, requests_ = 0;
};

bool load_key(P384PrivateKey &key, const std::string &path) {
    const auto text = read_file(path, max_key_file);
    return text && read_private_key(key, *text);
}

int complain(const std::string &text) {
    std::fprintf(stderr, "cvmin-test-attacker: %s\n", text.c_str());
    return 2;
}

} // namespace

int main(int argc, char **argv) {
    Args args;
    CLI::App app{"A hostile party of a computation, or a stranger", "cvmin-test-attacker"};
    app.add_option("--socket", args.socket, "vsock device's Unix socket");
    app.add_option("--connect", args.connect, "HOST:PORT of a relay");
    app.add_option("--key", args.key, "private key for the client certificate");
    app.add_option("--present", args.present, "private key whose public half the certificate shows instead");
    app.add_option("--received", args.received, "file that what the agent says is added to");
    app.add_option("--manifest", args.manifest, "of the action manifest:agreed, and of --flood");
    app.add_option("--flood", args.flood_s, "seconds of many connections and requests");
    app.add_option("--hold", args.hold,
                   "connections to hold, with all that the agent takes on each, until standard input ends");
    app.add_option("actions", args.actions, "ACTION=WANTED, on one connection");
    CLI11_PARSE(app, argc, argv);
    if (psa_crypto_init() != PSA_SUCCESS)
        return complain("psa");
    AgentAddress address = UnixVsock{args.socket};
    if (!args.connect.empty()) {
        const auto endpoint = parse_endpoint(args.connect);
        if (!endpoint)
            return complain("--connect");
        address = *endpoint;
    }
    P384PrivateKey key, shown;
    Identity identity;
    std::optional<PublicKey> presented;
    if (!args.key.empty()) {
        if (!load_key(key, args.key))
            return complain(args.key);
        identity.key = &key;
    }
    if (!args.present.empty()) {
        if (!load_key(shown, args.present))
            return complain(args.present);
        if (const auto of_it = shown.public_key())
            presented = *of_it;
        identity.presented = &*presented;
    }
    Bytes manifest;
    if (!args.manifest.empty()) {
        auto loaded = load_manifest(args.manifest);
        if (!loaded)
            return complain(args.manifest);
        manifest = std::move(loaded->encoded);
    }
    Received received;
    if (!args.received.empty())
        received.open(args.received);
    Attacker attacker{std::move(address), identity, std::move(manifest), received};
    if (args.flood_s != 0) {
        attacker.flood(std::chrono::seconds{args.flood_s});
        return 0;
    }
    if (args.hold != 0)
        return attacker.hold(args.hold) ? 0 : 1;
    return attacker.perform(args.actions) ? 0 : 1;
}
