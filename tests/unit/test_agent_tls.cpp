// The agent's server against the real client, over a Unix socket: TLS 1.3, binding, secrets, and hostile peers. The
// server runs in a child process; its event loop is the one of the guest, only the listener's kind differs.
#include "agent-min/random.hpp"
#include "agent-min/server.hpp"
#include "common/evidence.hpp"
#include "common/mbed.hpp"
#include "host-tools/session/session.hpp"
#include "host-tools/signing/key_file.hpp"
#include "tests/unit/agent_fakes.hpp"

#include <atomic>
#include <csignal>
#include <string>
#include <thread>

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace cvmin;
using namespace cvmin::test;
using namespace std::chrono_literals;

namespace {

class QuickClock final : public agent::Clock { // ten times as fast: time limits are tried in a tenth of their time
  public:
    std::uint64_t now_us() override { return clock_.now_us() * speed; }
    static constexpr std::uint64_t speed = 10;

  private:
    agent::BootClock clock_;
};

sockaddr_un address_of(const std::string &path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    return address;
}

// Two parties, of whom the first brings everything and gets the result. Made before the first fork.
struct Parties {
    P384PrivateKey first, second;
    Bytes manifest;
    Parties() {
        for (P384PrivateKey *key : {&first, &second}) {
            const auto made = generate_key();
            if (!made || !read_private_key(*key, made->pem.view()))
                abort();
        }
        auto encoded = encode_manifest(
            {.id = "sum-1",
             .algorithm =
                 {.sha256 = filled<32>(1),
                  .size_limit = 1000,
                  .kind = AlgorithmKind::elf,
                  .arguments = {},
                  .environment = {},
                  .party = "first",
                  .limits = {.memory = 8u << 20, .cpu_seconds = 1, .wall_seconds = 1, .output = 1, .processes = 1}},
             .datasets = {{.name = "data", .sha256 = filled<32>(2), .size_limit = 1000, .party = "second"}},
             .parties = {{.name = "first", .key = *first.public_key()},
                         {.name = "second", .key = *second.public_key()}},
             .consumers = {"first"}});
        if (!encoded)
            abort();
        manifest = std::move(*encoded);
    }
};
Parties &parties() {
    static Parties made;
    return made;
}

// Runs the agent's server on a socket in a directory of its own; exit code 0 after a stop request.
[[noreturn]] void serve(const std::string &path) {
    agent::Fd listener{::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)};
    const sockaddr_un address = address_of(path);
    if (::bind(listener.get(), reinterpret_cast<const sockaddr *>(&address), sizeof address) != 0 ||
        ::listen(listener.get(), 128) != 0)
        ::_exit(10);
    auto identity = agent::TlsIdentity::make();
    if (!identity)
        ::_exit(11);
    FakeSource source;
    FakePages pages;
    agent::SecretStore secrets{pages};
    QuickClock clock;
    agent::RuntimeLog log{clock, nullptr};
    log.record(event::Boot{.agent = "cvmin-agent",
                           .debug_image = false,
                           .report_source = "fake",
                           .tpm = PartState::absent,
                           .ima = PartState::absent});
    FakeStore store;
    FakeSandbox sandbox;
    agent::Computation computation{{.source = source,
                                    .log = log,
                                    .store = store,
                                    .sandbox = &sandbox,
                                    .key = (*identity)->public_key(),
                                    .signer = (*identity)->key()}};
    agent::Service service{{.source = source, .secrets = secrets, .log = log, .computation = &computation},
                           (*identity)->public_key(),
                           {1, 2, 3}};
    auto server = agent::Server::open(std::move(listener), **identity, service, clock, &computation);
    if (!server)
        ::_exit(12);
    for (;;) {
        const auto stopped = (*server)->turn(20); // the kernel waits in real time, which is slower than this clock
        if (!stopped)
            ::_exit(13);
        if (*stopped)
            ::_exit((*server)->connections() == 0 || source.last != ByteArray<64>{} ? 0 : 14);
    }
}

struct Agent {
    std::string directory, path;
    pid_t pid = -1;
};
Agent agent_process;

void remove_directory() {
    ::unlink(agent_process.path.c_str());
    ::rmdir(agent_process.directory.c_str());
}

int start_agent(void **) {
    char name[] = "/tmp/cvmin-agent-XXXXXX";
    if (::mkdtemp(name) == nullptr)
        return 1;
    agent_process = {name, std::string{name} + "/s", -1};
    parties();
    agent_process.pid = ::fork();
    if (agent_process.pid == 0)
        serve(agent_process.path);
    return agent_process.pid < 0;
}

int stop_agent(void **) {
    ::kill(agent_process.pid, SIGKILL);
    ::waitpid(agent_process.pid, nullptr, 0);
    remove_directory();
    return 0;
}

Deadline in(std::chrono::milliseconds time) {
    return std::chrono::steady_clock::now() + time;
}

UniqueFd connect_plain() { // no "CONNECT" here: the server side of vsock is a plain stream
    const sockaddr_un address = address_of(agent_process.path);
    for (int i = 0; i < 500; ++i) {
        UniqueFd fd{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
        if (::connect(fd.get(), reinterpret_cast<const sockaddr *>(&address), sizeof address) == 0)
            return fd;
        std::this_thread::sleep_for(10ms);
    }
    return {};
}

Result<Session> open_session() {
    return Session::open(connect_plain(), in(10s));
}

// Whether the agent answers a new connection as it should.
bool agent_answers() {
    auto session = open_session();
    if (!session)
        return false;
    const auto response = session->request(request::Hello{}, in(10s));
    return response && std::holds_alternative<response::Hello>(*response);
}

// Whether the peer has closed within `time`.
bool closed_within(const UniqueFd &fd, std::chrono::milliseconds time) {
    const Deadline deadline = in(time);
    char byte;
    while (std::chrono::steady_clock::now() < deadline) {
        const ssize_t got = ::recv(fd.get(), &byte, 1, MSG_DONTWAIT);
        if (got == 0 || (got < 0 && errno == ECONNRESET))
            return true;
        if (got < 0)
            std::this_thread::sleep_for(10ms);
    }
    return false;
}

const Bytes change_cipher_spec = bytes_of("14 0303 0001 01"); // TLS 1.3 ignores it, wherever it comes
const Bytes warning_alert = bytes_of("15 0303 0002 015a");    // user_canceled: says nothing either

// Sends a record again and again, as fast as the peer takes it, until the peer has closed (true) or `time` is over.
bool flood(int fd, const Bytes &record, std::chrono::milliseconds time) {
    Bytes many;
    while (many.size() < 64 * 1024)
        many.insert(many.end(), record.begin(), record.end());
    const Deadline deadline = in(time);
    for (std::size_t done = 0; std::chrono::steady_clock::now() < deadline;) {
        const ssize_t sent = ::send(fd, many.data() + done, many.size() - done, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno != EAGAIN)
            return true;
        if (sent < 0) {
            pollfd entry{fd, POLLOUT, 0};
            ::poll(&entry, 1, 10);
        } else {
            done = (done + static_cast<std::size_t>(sent)) % many.size();
        }
    }
    return false;
}

// flood() in a thread of its own.
class Flood {
  public:
    Flood(UniqueFd fd, Bytes record, std::chrono::milliseconds time)
        : thread_{[this, fd = std::move(fd), record = std::move(record), time] {
              const auto start = std::chrono::steady_clock::now();
              closed_ = flood(fd.get(), record, time);
              lasted_ = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - start);
          }} {}
    // How long it was before the peer closed; the longest time there is, if it did not.
    std::chrono::milliseconds join() {
        thread_.join();
        return closed_ ? lasted_ : std::chrono::milliseconds::max();
    }

  private:
    bool closed_ = false;
    std::chrono::milliseconds lasted_{};
    std::thread thread_; // last: it starts at once
};

std::optional<PeerErrc> failure_of(const Result<Response> &response) {
    if (!response || !std::holds_alternative<response::Failure>(*response))
        return std::nullopt;
    return std::get<response::Failure>(*response).code;
}

} // namespace

static void evidence_carries_the_exporter_and_key_that_the_client_sees(void **) {
    auto session = open_session();
    assert_true(session.has_value());
    const Bytes nonce = to_bytes(filled<32>(0x3c));
    const auto response = session->request(request::Attest{nonce}, in(10s));
    assert_true(response && std::holds_alternative<response::Evidence>(*response));
    const auto evidence = parse_evidence(std::get<response::Evidence>(*response).evidence);
    assert_true(evidence.has_value());
    const auto claims = parse_claims(evidence->claims);
    const auto ours = session->exporter(nonce);
    assert_true(claims && ours && claims->exporter == *ours);
    assert_true(claims->key == session->peer_key());
    assert_true(claims->nonce == nonce);
    const auto other = session->exporter(filled<32>(0x3d));
    assert_true(other && claims->exporter != *other);
}

static void two_connections_have_one_key_and_two_exporters(void **) {
    auto one = open_session();
    auto two = open_session();
    assert_true(one && two);
    const auto nonce = filled<32>(1);
    const auto a = one->exporter(nonce), b = two->exporter(nonce);
    assert_true(a && b && *a != *b);
    assert_true(one->peer_key() == two->peer_key());
}

static void a_secret_is_put_and_confirmed_and_not_given_back(void **) {
    auto session = open_session();
    assert_true(session.has_value());
    const Bytes value(max_secret_size, std::byte{0x5e});
    assert_true(failure_of(session->request(request::PutSecret{"big", Secret{Bytes{value}}}, in(10s))) ==
                PeerErrc::not_attested);
    assert_true(session->request(request::Attest{Bytes(32)}, in(10s)).has_value());
    const auto stored = session->request(request::PutSecret{"big", Secret{Bytes{value}}}, in(10s));
    assert_true(stored && std::get<response::Stored>(*stored).digest == sha256(value));
    const auto digest = session->request(request::SecretDigest{"big"}, in(10s));
    assert_true(digest && std::get<response::Stored>(*digest).digest == sha256(value));

    auto other = open_session();
    assert_true(other && other->request(request::Attest{Bytes(32)}, in(10s)).has_value());
    assert_true(failure_of(other->request(request::SecretDigest{"big"}, in(10s))) == PeerErrc::unknown_name);
    Bytes wrong = value;
    wrong.back() ^= std::byte{1};
    assert_true(failure_of(other->request(request::PutSecret{"big", Secret{Bytes{wrong}}}, in(10s))) ==
                PeerErrc::exists);
    const auto again = other->request(request::PutSecret{"big", Secret{Bytes{value}}}, in(10s)); // an answer was lost
    assert_true(again && std::get<response::Stored>(*again).digest == sha256(value));
    const auto told = other->request(request::SecretDigest{"big"}, in(10s));
    assert_true(told && std::get<response::Stored>(*told).digest == sha256(value));
    for (int i = 1; i < 3; ++i) // no guessing
        assert_true(failure_of(other->request(request::PutSecret{"big", Secret{Bytes{wrong}}}, in(10s))) ==
                    PeerErrc::exists);
    assert_false(other->request(request::Hello{}, in(10s)).has_value());
}

static void many_requests_go_over_one_connection(void **) {
    auto session = open_session();
    assert_true(session.has_value());
    for (unsigned i = 0; i < 100; ++i) {
        const auto response = session->request(request::Attest{to_bytes(filled<32>(i))}, in(10s));
        assert_true(response && std::holds_alternative<response::Evidence>(*response));
    }
}

static void garbage_of_every_length_ends_its_connection_and_nothing_else(void **) {
    unsigned state = 12345;
    for (const std::size_t size : {1u, 2u, 3u, 4u, 5u, 6u, 16u, 100u, 1000u, 5000u, 20000u, 200000u}) {
        Bytes garbage(size);
        for (std::byte &b : garbage)
            b = static_cast<std::byte>((state = state * 1103515245 + 12345) >> 16);
        const UniqueFd fd = connect_plain();
        [[maybe_unused]] const ssize_t sent = ::send(fd.get(), garbage.data(), garbage.size(), MSG_NOSIGNAL);
        ::shutdown(fd.get(), SHUT_WR);
        assert_true(closed_within(fd, 5s));
    }
    // a TLS record header that promises more than it brings
    const UniqueFd fd = connect_plain();
    const Bytes record = bytes_of("16 0301 3fff 01");
    assert_int_equal(::send(fd.get(), record.data(), record.size(), MSG_NOSIGNAL), record.size());
    assert_true(agent_answers());
}

// Hands bytes on between two sockets, at most `piece` at a time each way, until one side ends.
static void trickle(UniqueFd one, UniqueFd two, std::size_t piece) {
    for (;;) {
        pollfd entries[2] = {{one.get(), POLLIN, 0}, {two.get(), POLLIN, 0}};
        if (::poll(entries, 2, 20'000) <= 0)
            return;
        for (int i = 0; i < 2; ++i) {
            if (entries[i].revents == 0)
                continue;
            char bytes[64];
            const ssize_t got = ::recv(entries[i].fd, bytes, piece, 0);
            if (got <= 0 || ::send(entries[1 - i].fd, bytes, static_cast<std::size_t>(got), MSG_NOSIGNAL) != got)
                return;
        }
    }
}

static void tls_in_pieces_of_any_size_is_understood(void **) {
    for (const std::size_t piece : {1u, 2u, 3u, 7u, 64u}) {
        int ends[2];
        assert_int_equal(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
        std::thread middle{trickle, UniqueFd{ends[1]}, connect_plain(), piece};
        bool answered = false;
        {
            auto session = Session::open(UniqueFd{ends[0]}, in(10s));
            const auto response = session ? session->request(request::Attest{Bytes(32)}, in(10s)) : Result<Response>{};
            answered = session && response && std::holds_alternative<response::Evidence>(*response);
        }
        middle.join();
        assert_true(answered);
    }
}

static void silent_peers_are_dropped(void **) {
    const UniqueFd silent = connect_plain();
    const UniqueFd half = connect_plain(); // a handshake that stops after its first bytes
    const Bytes start = bytes_of("16 0301 00ff 01");
    assert_int_equal(::send(half.get(), start.data(), start.size(), MSG_NOSIGNAL), start.size());
    auto idle = open_session(); // a handshake and then nothing
    assert_true(idle.has_value());
    const std::chrono::milliseconds limit{agent::handshake_timeout_ms / QuickClock::speed};
    assert_false(closed_within(silent, limit / 2));
    assert_true(closed_within(silent, limit));
    assert_true(closed_within(half, limit));
    std::this_thread::sleep_for(std::chrono::milliseconds{agent::idle_timeout_ms / QuickClock::speed});
    assert_false(idle->request(request::Hello{}, in(2s)).has_value());
    assert_true(agent_answers());
}

static void records_without_end_hold_up_nobody_and_end_at_the_time_limit(void **) {
    const std::chrono::milliseconds limit{agent::handshake_timeout_ms / QuickClock::speed};
    for (const Bytes &record : {change_cipher_spec, warning_alert}) {
        Flood flood{connect_plain(), record, limit + 5s};
        std::this_thread::sleep_for(100ms);
        const auto before = std::chrono::steady_clock::now();
        const bool answered = agent_answers();
        const auto took = std::chrono::steady_clock::now() - before;
        const auto lasted = flood.join();
        assert_true(answered && took < limit / 2);
        assert_true(lasted >= limit / 2 && lasted < limit + 1s);
    }
}

static void records_without_end_after_the_handshake_hold_up_nobody_either(void **) {
    const std::chrono::milliseconds limit{agent::idle_timeout_ms / QuickClock::speed};
    UniqueFd fd = connect_plain();
    UniqueFd same{::dup(fd.get())};
    auto session = Session::open(std::move(fd), in(10s));
    assert_true(session.has_value());
    Flood flood{std::move(same), change_cipher_spec, limit + 5s};
    std::this_thread::sleep_for(100ms);
    const auto before = std::chrono::steady_clock::now();
    const bool answered = agent_answers();
    const auto took = std::chrono::steady_clock::now() - before;
    const auto lasted = flood.join();
    assert_true(answered && took < 1s);
    assert_true(lasted >= limit / 2 && lasted < limit + 1s);
}

static void two_hundred_connections_at_once_leave_the_agent_answering(void **) {
    std::vector<UniqueFd> crowd;
    for (int i = 0; i < 200; ++i)
        crowd.push_back(connect_plain());
    std::size_t closed = 0;
    for (const UniqueFd &fd : crowd)
        closed += closed_within(fd, 30ms);
    assert_true(closed >= 200 - agent::max_connections); // each in favour of a later one
    assert_true(closed < 200);
    assert_true(agent_answers()); // though most of the crowd is still there
    crowd.clear();
    assert_true(agent_answers());
}

static void idle_peers_lock_nobody_out_and_drive_out_nobody_who_has_attested(void **) {
    auto attested = open_session();
    assert_true(attested && attested->request(request::Attest{Bytes(32)}, in(10s)).has_value());
    std::vector<UniqueFd> idle;
    for (std::size_t i = 1; i < agent::max_connections; ++i)
        idle.push_back(connect_plain());
    auto newcomer = open_session();
    assert_true(newcomer && newcomer->request(request::Hello{}, in(10s)).has_value());
    assert_true(closed_within(idle.front(), 1s)); // the oldest
    assert_false(closed_within(idle.back(), 20ms));
    for (std::size_t i = 0; i < 2 * agent::max_connections; ++i)
        idle.push_back(connect_plain());
    assert_true(agent_answers());
    assert_true(attested->request(request::Hello{}, in(10s)).has_value());
}

static std::vector<Session> attested_sessions(std::size_t count) {
    std::vector<Session> sessions;
    for (std::size_t i = 0; i < count; ++i) {
        auto session = open_session();
        if (!session || !session->request(request::Attest{Bytes(32)}, in(10s)))
            abort();
        sessions.push_back(std::move(*session));
    }
    return sessions;
}

// Who has taken evidence keeps nobody out either: the oldest give way, until newcomers have their share.
static void those_who_have_attested_lock_nobody_out(void **) {
    std::vector<Session> sessions = attested_sessions(agent::max_connections);
    assert_true(agent_answers());
    std::vector<UniqueFd> newcomers;
    newcomers.reserve(agent::max_connections);
    for (std::size_t i = 0; i < agent::max_connections; ++i)
        newcomers.push_back(connect_plain());
    assert_true(closed_within(newcomers.front(), 5s));
    std::size_t left = 0;
    for (Session &session : sessions)
        left += session.request(request::Hello{}, in(10s)).has_value();
    assert_int_equal(left, agent::max_connections - agent::newcomer_places);
    assert_false(sessions.front().request(request::Hello{}, in(10s)).has_value());
    assert_true(sessions.back().request(request::Hello{}, in(10s)).has_value());
}

// However fast others come, a newcomer has time for its handshake.
static void a_newcomer_has_its_time_in_any_crowd(void **) {
    std::vector<UniqueFd> crowd;
    crowd.reserve(agent::max_connections);
    for (std::size_t i = 0; i < agent::max_connections; ++i)
        crowd.push_back(connect_plain());
    std::vector<std::thread> others;
    others.reserve(4);
    std::atomic<bool> over = false;
    for (int i = 0; i < 4; ++i)
        others.emplace_back([&over] {
            for (std::vector<UniqueFd> mine; !over; mine.push_back(connect_plain())) {}
        });
    std::this_thread::sleep_for(50ms);
    const UniqueFd newcomer = connect_plain();
    const std::chrono::milliseconds time{agent::newcomer_time_ms / QuickClock::speed};
    const bool stayed = !closed_within(newcomer, time * 8 / 10), went = closed_within(newcomer, 5s);
    over = true;
    for (std::thread &other : others)
        other.join();
    assert_true(went); // in its turn
    assert_true(stayed);
    assert_true(agent_answers());
}

static Session session_of(P384PrivateKey &party) {
    auto session = Session::open(connect_plain(), in(10s), {.party_key = &party});
    if (!session)
        abort();
    return std::move(*session);
}
static void agree() {
    auto session = open_session();
    if (!session || !session->request(request::Attest{Bytes(32)}, in(10s)))
        abort();
    const auto stored = session->request(request::Manifest{parties().manifest}, in(10s));
    if (!stored || !std::holds_alternative<response::Stored>(*stored))
        abort();
}
static void restart_agent() {
    stop_agent(nullptr);
    if (start_agent(nullptr) != 0)
        abort();
}

static void parties_keep_their_place_in_any_crowd(void **) {
    std::vector<Session> before; // a key that is nobody's yet
    for (std::size_t i = 0; i <= agent::kept_per_party; ++i)
        before.push_back(session_of(parties().first));
    agree();
    std::vector<Session> strangers = attested_sessions(2 * agent::max_connections);
    std::vector<UniqueFd> idle;
    idle.reserve(4 * agent::max_connections);
    for (std::size_t i = 0; i < 4 * agent::max_connections; ++i)
        idle.push_back(connect_plain());
    auto newcomer = session_of(parties().second);
    assert_true(newcomer.request(request::Attest{Bytes(32)}, in(10s)).has_value());
    assert_false(before.front().request(request::Hello{}, in(10s)).has_value()); // no party may hold all of them
    before.erase(before.begin());
    for (Session &session : before) {
        assert_true(session.request(request::Attest{Bytes(32)}, in(10s)).has_value());
        const auto status = session.request(request::Status{}, in(10s));
        assert_true(status && std::holds_alternative<response::Status>(*status));
    }
    assert_true(agent_answers());
    restart_agent();
}

static void once_parties_have_agreed_nobody_else_stops_the_machine(void **) {
    agree();
    P384PrivateKey other;
    const auto made = generate_key();
    assert_true(made && read_private_key(other, made->pem.view()));
    for (P384PrivateKey *key : {static_cast<P384PrivateKey *>(nullptr), &other}) {
        auto session = Session::open(connect_plain(), in(10s), {.party_key = key});
        assert_true(session && session->request(request::Attest{Bytes(32)}, in(10s)).has_value());
        assert_true(failure_of(session->request(request::Stop{}, in(10s))) == PeerErrc::not_a_party);
        assert_true(session->request(request::Hello{}, in(10s)).has_value());
    }
    Session party = session_of(parties().second);
    const auto response = party.request(request::Stop{}, in(10s));
    assert_true(response && std::holds_alternative<response::Stopping>(*response));
    int status = -1;
    assert_int_equal(::waitpid(agent_process.pid, &status, 0), agent_process.pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    remove_directory();
    assert_int_equal(start_agent(nullptr), 0); // for what comes after
}

static void stop_is_answered_and_ends_the_loop(void **) {
    auto session = open_session();
    assert_true(session.has_value());
    const auto response = session->request(request::Stop{}, in(10s));
    assert_true(response && std::holds_alternative<response::Stopping>(*response));
    int status = -1;
    assert_int_equal(::waitpid(agent_process.pid, &status, 0), agent_process.pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    remove_directory();
    assert_int_equal(start_agent(nullptr), 0); // for what comes after
}

static void a_peer_that_sends_on_does_not_delay_the_stop(void **) {
    UniqueFd fd = connect_plain();
    UniqueFd same{::dup(fd.get())};
    auto session = Session::open(std::move(fd), in(10s));
    assert_true(session.has_value());
    const auto response = session->request(request::Stop{}, in(10s));
    assert_true(response && std::holds_alternative<response::Stopping>(*response));
    const auto lasted = Flood{std::move(same), Bytes(1), 5s}.join();
    assert_true(lasted < 2s);
    int status = -1;
    assert_int_equal(::waitpid(agent_process.pid, &status, 0), agent_process.pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    remove_directory();
    assert_int_equal(start_agent(nullptr), 0); // for what comes after
}

static void a_client_s_deadline_holds_against_records_without_end(void **) {
    for (const Bytes &record : {change_cipher_spec, warning_alert}) {
        int ends[2];
        assert_int_equal(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
        Flood flood{UniqueFd{ends[1]}, record, 5s};
        const auto before = std::chrono::steady_clock::now();
        const auto session = Session::open(UniqueFd{ends[0]}, in(300ms));
        const auto took = std::chrono::steady_clock::now() - before;
        flood.join();
        assert_true(refused_with(session, Errc::timed_out));
        assert_true(took >= 250ms && took < 2s);
    }
}

// An agent that shakes hands and then answers with records that say nothing.
static void shake_hands_and_flood(UniqueFd fd, const agent::TlsIdentity &identity) {
    const int raw = fd.get();
    agent::FdTransport transport{agent::Fd{::dup(raw)}};
    auto tls = agent::TlsStream::accept(identity, transport);
    while (tls && (*tls)->handshake().io == agent::Io::want_read) {
        pollfd entry{raw, POLLIN, 0};
        if (::poll(&entry, 1, 5'000) <= 0)
            return;
    }
    flood(raw, change_cipher_spec, 5s);
}

static void a_client_s_deadline_holds_after_the_handshake_too(void **) {
    const auto identity = agent::TlsIdentity::make();
    assert_true(identity.has_value());
    int ends[2];
    assert_int_equal(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
    std::thread peer{shake_hands_and_flood, UniqueFd{ends[1]}, std::cref(**identity)};
    bool opened = false, timed_out = false;
    std::chrono::steady_clock::duration took{};
    {
        auto session = Session::open(UniqueFd{ends[0]}, in(5s));
        opened = session.has_value();
        const auto before = std::chrono::steady_clock::now();
        if (opened)
            timed_out = refused_with(session->request(request::Hello{}, in(300ms)), Errc::timed_out);
        took = std::chrono::steady_clock::now() - before;
    }
    peer.join();
    assert_true(opened && timed_out);
    assert_true(took >= 250ms && took < 2s);
}

static void a_client_without_an_agent_times_out_or_is_refused(void **) {
    int ends[2];
    assert_int_equal(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    const UniqueFd other{ends[1]};
    const auto before = std::chrono::steady_clock::now();
    const auto session = Session::open(UniqueFd{ends[0]}, in(200ms));
    assert_true(refused_with(session, Errc::timed_out));
    assert_true(std::chrono::steady_clock::now() - before < 2s);

    const auto missing = connect_agent(UnixVsock{"/nonexistent/socket"}, 5000, in(5s));
    assert_true(refused_with(missing, Errc::unreachable));
    const auto too_long = connect_agent(UnixVsock{"/tmp/" + std::string(200, 'x')}, 5000, in(5s));
    assert_true(refused_with(too_long, Errc::too_large));
}

// ---- client certificates --------------------------------------------------------------------------------------

namespace {

using MbedCertificate = Mbed<mbedtls_x509_crt, mbedtls_x509_crt_init, mbedtls_x509_crt_free>;
using MbedCertificateWriter = Mbed<mbedtls_x509write_cert, mbedtls_x509write_crt_init, mbedtls_x509write_crt_free>;
using MbedTlsConfig = Mbed<mbedtls_ssl_config, mbedtls_ssl_config_init, mbedtls_ssl_config_free>;
using MbedTls = Mbed<mbedtls_ssl_context, mbedtls_ssl_init, mbedtls_ssl_free>;

struct Seen { // by the agent
    bool handshake = false;
    std::optional<PublicKey> key;
};

// The agent's side of one handshake, with whoever `client` is at the other end.
template <class Client> Seen seen_by_agent(Client client) {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
        abort();
    std::thread other{[&client, fd = ends[1]] { client(UniqueFd{fd}); }};
    Seen seen;
    const auto identity = agent::TlsIdentity::make();
    agent::FdTransport transport{agent::Fd{ends[0]}};
    const auto stream = agent::TlsStream::accept(**identity, transport); // blocks: the socket does
    for (agent::Progress progress{agent::Io::want_read};
         progress.io == agent::Io::want_read || progress.io == agent::Io::want_write;) {
        progress = (*stream)->handshake();
        seen.handshake = progress.io == agent::Io::done;
    }
    if (seen.handshake)
        seen.key = (*stream)->peer_key();
    ::shutdown(transport.fd(), SHUT_RDWR);
    other.join();
    return seen;
}

void make_key(P384PrivateKey &key) {
    const auto made = generate_key();
    if (!made || !read_private_key(key, made->pem.view()))
        abort();
}

// A certificate for `subject`, signed by `issuer`.
void write_certificate(MbedCertificate &out, mbedtls_pk_context &subject, mbedtls_pk_context &issuer,
                       const char *not_before, const char *not_after) {
    MbedCertificateWriter writer;
    mbedtls_x509write_crt_set_version(writer.get(), MBEDTLS_X509_CRT_VERSION_3);
    mbedtls_x509write_crt_set_md_alg(writer.get(), MBEDTLS_MD_SHA384);
    mbedtls_x509write_crt_set_subject_key(writer.get(), &subject);
    mbedtls_x509write_crt_set_issuer_key(writer.get(), &issuer);
    unsigned char serial[] = {1};
    std::array<unsigned char, 4096> der{};
    if (mbedtls_x509write_crt_set_serial_raw(writer.get(), serial, sizeof serial) != 0 ||
        mbedtls_x509write_crt_set_subject_name(writer.get(), "CN=somebody") != 0 ||
        mbedtls_x509write_crt_set_issuer_name(writer.get(), "CN=somebody else") != 0 ||
        mbedtls_x509write_crt_set_validity(writer.get(), not_before, not_after) != 0)
        abort();
    const int size = mbedtls_x509write_crt_der(writer.get(), der.data(), der.size(), agent::mbedtls_random, nullptr);
    if (size <= 0 ||
        mbedtls_x509_crt_parse_der(out.get(), der.data() + der.size() - size, static_cast<std::size_t>(size)) != 0)
        abort();
}

// A client that presents whatever it is given.
void client_with(UniqueFd fd, mbedtls_x509_crt *certificate, mbedtls_pk_context *key) {
    MbedTlsConfig config;
    MbedTls tls;
    if (mbedtls_ssl_config_defaults(config.get(), MBEDTLS_SSL_IS_CLIENT, MBEDTLS_SSL_TRANSPORT_STREAM,
                                    MBEDTLS_SSL_PRESET_DEFAULT) != 0)
        abort();
    mbedtls_ssl_conf_min_tls_version(config.get(), MBEDTLS_SSL_VERSION_TLS1_3);
    mbedtls_ssl_conf_rng(config.get(), agent::mbedtls_random, nullptr);
    mbedtls_ssl_conf_authmode(config.get(), MBEDTLS_SSL_VERIFY_NONE);
    if (mbedtls_ssl_conf_own_cert(config.get(), certificate, key) != 0 ||
        mbedtls_ssl_setup(tls.get(), config.get()) != 0 || mbedtls_ssl_set_hostname(tls.get(), nullptr) != 0)
        abort();
    int socket = fd.get();
    mbedtls_ssl_set_bio(
        tls.get(), &socket,
        [](void *end, const unsigned char *data, std::size_t size) {
            return static_cast<int>(::send(*static_cast<int *>(end), data, size, MSG_NOSIGNAL));
        },
        [](void *end, unsigned char *out, std::size_t size) {
            return static_cast<int>(::recv(*static_cast<int *>(end), out, size, 0));
        },
        nullptr);
    if (mbedtls_ssl_handshake(tls.get()) == 0) {
        unsigned char byte; // until the agent has seen all of it
        mbedtls_ssl_read(tls.get(), &byte, 1);
    }
}

Seen seen_with(MbedCertificate &certificate, mbedtls_pk_context &key) {
    return seen_by_agent([&](UniqueFd fd) { client_with(std::move(fd), certificate.get(), &key); });
}

} // namespace

static void a_party_s_key_is_seen_when_it_is_presented(void **) {
    P384PrivateKey key;
    make_key(key);
    const auto public_key = key.public_key();
    const Seen with = seen_by_agent([&](UniqueFd fd) {
        const auto session = Session::open(std::move(fd), in(10s), {.party_key = &key});
        if (!session)
            abort();
    });
    assert_true(with.handshake && public_key && with.key == *public_key);
    const Seen without = seen_by_agent([](UniqueFd fd) {
        const auto session = Session::open(std::move(fd), in(10s));
        if (!session)
            abort();
    });
    assert_true(without.handshake && !without.key);
}

// Who signed it, for whom and for how long says nothing: only the key counts, which the client must hold.
static void a_certificate_s_words_do_not_count_and_its_key_must_be_held(void **) {
    P384PrivateKey key, issuer;
    make_key(key);
    make_key(issuer);
    MbedCertificate expired, current;
    write_certificate(expired, key.context(), issuer.context(), "20000101000000", "20010101000000");
    const Seen seen = seen_with(expired, key.context());
    assert_true(seen.handshake && seen.key == *key.public_key());
    write_certificate(current, key.context(), key.context(), "20000101000000", "99991231235959");
    const Seen stolen = seen_with(current, issuer.context()); // the certificate of one, the key of another
    assert_true(!stolen.handshake && !stolen.key);
}

static void a_certificate_of_another_kind_of_key_ends_the_handshake(void **) {
    MbedPk rsa, p256;
    assert_int_equal(mbedtls_pk_setup(rsa.get(), mbedtls_pk_info_from_type(MBEDTLS_PK_RSA)), 0);
    assert_int_equal(mbedtls_rsa_gen_key(mbedtls_pk_rsa(*rsa.get()), agent::mbedtls_random, nullptr, 2048, 65537), 0);
    assert_int_equal(mbedtls_pk_setup(p256.get(), mbedtls_pk_info_from_type(MBEDTLS_PK_ECKEY)), 0);
    assert_int_equal(
        mbedtls_ecp_gen_key(MBEDTLS_ECP_DP_SECP256R1, mbedtls_pk_ec(*p256.get()), agent::mbedtls_random, nullptr), 0);
    for (MbedPk *key : {&rsa, &p256}) {
        MbedCertificate certificate;
        write_certificate(certificate, *key->get(), *key->get(), "20000101000000", "99991231235959");
        const Seen seen = seen_with(certificate, *key->get());
        assert_true(!seen.handshake && !seen.key);
    }
}

// A stand-in for vhost-device-vsock: reads the line, answers `answer`, then closes or waits.
static Result<UniqueFd> connect_through(const std::string &answer, bool expect_retry) {
    char name[] = "/tmp/cvmin-device-XXXXXX";
    if (::mkdtemp(name) == nullptr)
        abort();
    const std::string path = std::string{name} + "/v";
    const UniqueFd listener{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    const sockaddr_un address = address_of(path);
    if (::bind(listener.get(), reinterpret_cast<const sockaddr *>(&address), sizeof address) != 0 ||
        ::listen(listener.get(), 8) != 0)
        abort();
    std::thread device{[&] {
        for (int attempt = expect_retry ? 0 : 1; attempt < 2; ++attempt) {
            const UniqueFd fd{::accept(listener.get(), nullptr, nullptr)};
            char line[32] = {};
            const ssize_t got = ::recv(fd.get(), line, sizeof line, 0);
            if (std::string_view{line, static_cast<std::size_t>(std::max<ssize_t>(got, 0))} != "CONNECT 5000\n")
                return;
            if (attempt == 1)
                for (const char c : answer) // in pieces: the client may not count on one read
                    if (::send(fd.get(), &c, 1, MSG_NOSIGNAL) != 1)
                        return;
        }
    }};
    auto result = connect_agent(UnixVsock{path}, 5000, in(2s));
    device.join();
    ::unlink(path.c_str());
    ::rmdir(name);
    return result;
}

static void connect_speaks_the_device_s_handshake_and_takes_nothing_beyond_it(void **) {
    auto fd = connect_through("OK 1073741824\nTLS", false);
    assert_true(fd.has_value());
    char rest[8] = {};
    std::this_thread::sleep_for(50ms);
    assert_int_equal(::recv(fd->get(), rest, sizeof rest, 0), 3);
    assert_true(std::string_view{rest} == "TLS");
    assert_true(connect_through("OK 1\n", true).has_value()); // refused once: not booted yet
    assert_true(refused_with(connect_through("NO\n", false), Errc::unreachable));
    assert_true(refused_with(connect_through(std::string(100, 'x'), false), Errc::unreachable));
}

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(evidence_carries_the_exporter_and_key_that_the_client_sees),
        cmocka_unit_test(two_connections_have_one_key_and_two_exporters),
        cmocka_unit_test(a_secret_is_put_and_confirmed_and_not_given_back),
        cmocka_unit_test(many_requests_go_over_one_connection),
        cmocka_unit_test(tls_in_pieces_of_any_size_is_understood),
        cmocka_unit_test(garbage_of_every_length_ends_its_connection_and_nothing_else),
        cmocka_unit_test(records_without_end_hold_up_nobody_and_end_at_the_time_limit),
        cmocka_unit_test(records_without_end_after_the_handshake_hold_up_nobody_either),
        cmocka_unit_test(two_hundred_connections_at_once_leave_the_agent_answering),
        cmocka_unit_test(idle_peers_lock_nobody_out_and_drive_out_nobody_who_has_attested),
        cmocka_unit_test(those_who_have_attested_lock_nobody_out),
        cmocka_unit_test(a_newcomer_has_its_time_in_any_crowd),
        cmocka_unit_test(parties_keep_their_place_in_any_crowd),
        cmocka_unit_test(once_parties_have_agreed_nobody_else_stops_the_machine),
        cmocka_unit_test(silent_peers_are_dropped),
        cmocka_unit_test(stop_is_answered_and_ends_the_loop),
        cmocka_unit_test(a_peer_that_sends_on_does_not_delay_the_stop),
        cmocka_unit_test(a_client_s_deadline_holds_against_records_without_end),
        cmocka_unit_test(a_client_s_deadline_holds_after_the_handshake_too),
        cmocka_unit_test(a_client_without_an_agent_times_out_or_is_refused),
        cmocka_unit_test(a_party_s_key_is_seen_when_it_is_presented),
        cmocka_unit_test(a_certificate_s_words_do_not_count_and_its_key_must_be_held),
        cmocka_unit_test(a_certificate_of_another_kind_of_key_ends_the_handshake),
        cmocka_unit_test(connect_speaks_the_device_s_handshake_and_takes_nothing_beyond_it),
    };
    return cmocka_run_group_tests(tests, start_agent, stop_agent);
}
