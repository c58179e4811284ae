// release_secret: to whom a secret may go, and what is believed of the answer. The peer is a small TLS server that can
// lie.
#include "tests/unit/appraise_fixture.hpp"

#include "agent-min/frame.hpp"
#include "agent-min/tls.hpp"
#include "host-tools/release.hpp"

#include <csignal>

#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace cvmin;
using namespace cvmin::test;
using namespace std::chrono_literals;

namespace {

enum class Mood { honest, lies_about_put, lies_about_digest, refuses, answers_something_else };

// Answers one connection until it ends. A hello is answered with the number of secrets that came.
[[noreturn]] void serve(int socket, Mood mood) {
    auto identity = agent::TlsIdentity::make();
    if (!identity)
        ::_exit(1);
    agent::FdTransport transport{agent::Fd{socket}};
    auto tls = agent::TlsStream::accept(**identity, transport);
    if (!tls)
        ::_exit(2);
    auto wait = [&](const agent::Progress &progress) { // false: closed
        if (progress.io == agent::Io::closed)
            ::_exit(0);
        return progress.io == agent::Io::done;
    };
    while (!wait((*tls)->handshake())) {}
    unsigned puts = 0;
    Sha256Digest held{};
    for (;;) {
        agent::FrameReader frame(max_request_size);
        for (bool whole = false; !whole;) {
            const agent::Progress got = (*tls)->read(frame.room());
            if (wait(got))
                whole = frame.filled(got.bytes).value_or(false);
        }
        auto request = parse_request(frame.message());
        Response response = response::Failure{PeerErrc::internal, "puts " + std::to_string(puts)};
        const bool put = request && std::holds_alternative<request::PutSecret>(*request);
        const bool digest = request && std::holds_alternative<request::SecretDigest>(*request);
        if (put) {
            ++puts;
            held = sha256(std::get<request::PutSecret>(*request).value.view());
        }
        if (put || digest) {
            response::Stored stored{held};
            if ((mood == Mood::lies_about_put && put) || (mood == Mood::lies_about_digest && digest))
                stored.digest[31] ^= std::byte{1};
            response = stored;
            if (mood == Mood::refuses)
                response = response::Failure{PeerErrc::full, "no room"};
            if (mood == Mood::answers_something_else)
                response = response::Stopping{};
        }
        const Bytes message = encode_response(response);
        Bytes bytes = to_bytes(frame_header(message.size()));
        bytes.insert(bytes.end(), message.begin(), message.end());
        for (ByteView rest = bytes; !rest.empty();) {
            const agent::Progress sent = (*tls)->write(rest);
            if (wait(sent))
                rest = rest.subspan(sent.bytes);
        }
    }
}

Deadline soon() {
    return std::chrono::steady_clock::now() + 10s;
}

Session session_with(Mood mood) {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
        abort();
    if (::fork() == 0) {
        ::close(ends[0]);
        serve(ends[1], mood);
    }
    ::close(ends[1]);
    auto session = Session::open(UniqueFd{ends[0]}, soon());
    if (!session)
        abort();
    return std::move(*session);
}

// What appraise() makes for good evidence over this key.
Accepted accepted_for(const PublicKey &key) {
    Case good = good_case();
    good.claims.key = key;
    good.want.peer_key = key;
    const auto appraisal = appraise(make_evidence(good), good.want);
    if (!appraisal.accepted)
        abort();
    return *appraisal.accepted;
}

Secret secret() {
    return Secret{to_bytes(as_bytes("s3cret"))};
}

std::string puts_at(Session &session) {
    const auto response = session.request(request::Hello{}, soon());
    return response ? std::get<response::Failure>(*response).text : "no answer";
}

Errc release_with(Mood mood) {
    Session session = session_with(mood);
    const auto released = release_secret(session, accepted_for(session.peer_key()), "k", secret(), soon());
    return released ? Errc::busy : released.error().code; // busy: it was released
}

} // namespace

static void a_secret_goes_to_the_accepted_key_and_its_digest_comes_back(void **) {
    Session session = session_with(Mood::honest);
    const auto released = release_secret(session, accepted_for(session.peer_key()), "k", secret(), soon());
    assert_true(released && *released == sha256(as_bytes("s3cret")));
    assert_true(puts_at(session) == "puts 1");
}

static void nothing_is_sent_to_another_key_than_the_accepted_one(void **) {
    Session session = session_with(Mood::honest);
    Session other = session_with(Mood::honest);
    const auto released = release_secret(session, accepted_for(other.peer_key()), "k", secret(), soon());
    assert_true(!released && released.error().code == Errc::refused);
    assert_true(puts_at(session) == "puts 0");
}

static void nothing_is_sent_under_a_bad_name_or_of_a_bad_size(void **) {
    Session session = session_with(Mood::honest);
    const Accepted accepted = accepted_for(session.peer_key());
    const auto name = release_secret(session, accepted, "../k", secret(), soon());
    const auto empty = release_secret(session, accepted, "k", Secret{}, soon());
    const auto large = release_secret(session, accepted, "k", Secret{Bytes(max_secret_size + 1)}, soon());
    assert_true(!name && name.error().code == Errc::usage);
    assert_true(!empty && empty.error().code == Errc::usage);
    assert_true(!large && large.error().code == Errc::usage);
    assert_true(puts_at(session) == "puts 0");
}

static void another_digest_than_ours_is_a_mismatch(void **) {
    assert_true(release_with(Mood::lies_about_put) == Errc::mismatch);
    assert_true(release_with(Mood::lies_about_digest) == Errc::mismatch);
    assert_true(release_with(Mood::answers_something_else) == Errc::mismatch);
}

static void a_refusal_is_told_in_the_agent_s_words(void **) {
    Session session = session_with(Mood::refuses);
    const auto released = release_secret(session, accepted_for(session.peer_key()), "k", secret(), soon());
    assert_true(!released && released.error().code == Errc::refused);
    assert_true(released.error().text == "the agent answered full: no room");
}

int main() {
    std::signal(SIGCHLD, SIG_IGN); // the peers end with their connections
    const CMUnitTest tests[] = {
        cmocka_unit_test(a_secret_goes_to_the_accepted_key_and_its_digest_comes_back),
        cmocka_unit_test(nothing_is_sent_to_another_key_than_the_accepted_one),
        cmocka_unit_test(nothing_is_sent_under_a_bad_name_or_of_a_bad_size),
        cmocka_unit_test(another_digest_than_ours_is_a_mismatch),
        cmocka_unit_test(a_refusal_is_told_in_the_agent_s_words),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
