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

enum class Mood { honest, lies_about_put, lies_about_digest, refuses, answers_something_else, hangs_up };

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
            if (mood == Mood::hangs_up)
                ::_exit(0);
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

// What appraise() makes for good evidence over this session.
Case good_case_over(Session &session) {
    Case good = good_case();
    good.want.peer_key = good.claims.key = session.peer_key();
    good.claims.exporter = session.exporter(good.claims.nonce).value();
    good.want.exporter = *good.claims.exporter;
    return good;
}
Accepted accepted_for(const Case &good) {
    const auto appraisal = appraise(make_evidence(good), good.want);
    if (!appraisal.accepted)
        abort();
    return *appraisal.accepted;
}

Accepted accepted_for(Session &session) {
    return accepted_for(good_case_over(session));
}

// What appraise_result() makes of a verifier's word about the agent at the end of this session.
AcceptedResult relied_on(Session &session) {
    const Case good = good_case_over(session);
    P384PrivateKey key;
    std::uint64_t state = 1;
    if (!key.parse(data("appraise/vek-key.der"), test_random, &state, "key"))
        abort();
    const auto claims =
        ear_claims(appraise_case(good), good.want, {.issued = good.want.now, .expires = good.want.now + 60});
    ResultExpectations wanted;
    wanted.verifiers = {key.public_key().value()};
    wanted.nonce = good.want.nonce;
    wanted.peer_key = session.peer_key();
    wanted.policies = Skip{};
    wanted.measurements = Skip{};
    wanted.manifest = Skip{};
    wanted.emulated_ark = good.want.emulated_ark;
    wanted.now = good.want.now;
    const auto appraisal = appraise_result(as_bytes(sign_jwt(claims.value(), key).value()), wanted);
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

bool nothing_went_out(Session &session, const std::expected<Sha256Digest, ReleaseFailure> &released) {
    return !released && released.error().code == Errc::refused && !released.error().may_have_been_sent &&
           puts_at(session) == "puts 0";
}

Errc release_with(Mood mood) {
    Session session = session_with(mood);
    const auto released = release_secret(session, accepted_for(session), "k", secret(), soon());
    if (released || !released.error().may_have_been_sent)
        return Errc::busy; // no other case ends so
    return released.error().code;
}

} // namespace

static void a_secret_goes_to_the_accepted_key_and_its_digest_comes_back(void **) {
    Session session = session_with(Mood::honest);
    const auto released = release_secret(session, accepted_for(session), "k", secret(), soon());
    assert_true(released && *released == sha256(as_bytes("s3cret")));
    assert_true(puts_at(session) == "puts 1");
}

static void nothing_is_sent_to_another_key_than_the_accepted_one(void **) {
    Session session = session_with(Mood::honest);
    Session other = session_with(Mood::honest);
    assert_true(nothing_went_out(session, release_secret(session, accepted_for(other), "k", secret(), soon())));
    // the key alone: all else is of this connection
    Case c = good_case_over(session);
    c.want.peer_key = c.claims.key = other.peer_key();
    assert_true(nothing_went_out(session, release_secret(session, accepted_for(c), "k", secret(), soon())));
}

static void nothing_is_sent_over_another_connection_than_the_accepted_one(void **) {
    Session session = session_with(Mood::honest);
    Case stored = good_case_over(session); // evidence of another connection to the same agent, kept, and accepted
    stored.claims.exporter = filled<exporter_size>(0x33);
    stored.want.exporter = *stored.claims.exporter;
    assert_true(nothing_went_out(session, release_secret(session, accepted_for(stored), "k", secret(), soon())));
    Case other_nonce = good_case_over(session); // the exporter is that of one nonce
    other_nonce.want.nonce = other_nonce.claims.nonce = Bytes(32, std::byte{0x5b});
    assert_true(nothing_went_out(session, release_secret(session, accepted_for(other_nonce), "k", secret(), soon())));
    Case skipped = good_case_over(session);
    skipped.want.exporter = Skip{};
    assert_true(nothing_went_out(session, release_secret(session, accepted_for(skipped), "k", secret(), soon())));
}

static void a_secret_goes_to_the_key_of_a_verifier_s_result_and_to_no_other(void **) {
    Session session = session_with(Mood::honest);
    Session other = session_with(Mood::honest);
    const AcceptedResult result = relied_on(session);
    assert_true(emulated(result));
    assert_true(nothing_went_out(other, release_secret(other, result, "k", secret(), soon())));
    assert_true(release_secret(session, result, "k", secret(), soon()).has_value());
}

static void a_failure_after_sending_says_that_the_secret_may_have_arrived(void **) {
    Session session = session_with(Mood::hangs_up);
    const auto released = release_secret(session, accepted_for(session), "k", secret(), soon());
    assert_true(!released && released.error().may_have_been_sent);
    Session refusing = session_with(Mood::refuses);
    const auto refused = release_secret(refusing, accepted_for(refusing), "k", secret(), soon());
    assert_true(!refused && refused.error().may_have_been_sent);
}

static void nothing_is_sent_under_a_bad_name_or_of_a_bad_size(void **) {
    Session session = session_with(Mood::honest);
    const Accepted accepted = accepted_for(session);
    const auto name = release_secret(session, accepted, "../k", secret(), soon());
    const auto empty = release_secret(session, accepted, "k", Secret{}, soon());
    const auto large = release_secret(session, accepted, "k", Secret{Bytes(max_secret_size + 1)}, soon());
    assert_true(!name && name.error().code == Errc::usage);
    assert_true(!empty && empty.error().code == Errc::usage);
    assert_true(!large && large.error().code == Errc::usage);
    assert_false(name.error().may_have_been_sent || empty.error().may_have_been_sent ||
                 large.error().may_have_been_sent);
    assert_true(puts_at(session) == "puts 0");
}

static void another_digest_than_ours_is_a_mismatch(void **) {
    assert_true(release_with(Mood::lies_about_put) == Errc::mismatch);
    assert_true(release_with(Mood::lies_about_digest) == Errc::mismatch);
    assert_true(release_with(Mood::answers_something_else) == Errc::mismatch);
}

static void a_refusal_is_told_in_the_agent_s_words(void **) {
    Session session = session_with(Mood::refuses);
    const auto released = release_secret(session, accepted_for(session), "k", secret(), soon());
    assert_true(!released && released.error().code == Errc::refused);
    assert_true(released.error().text == "the agent answered full: no room");
}

int main() {
    std::signal(SIGCHLD, SIG_IGN); // the peers end with their connections
    const CMUnitTest tests[] = {
        cmocka_unit_test(a_secret_goes_to_the_accepted_key_and_its_digest_comes_back),
        cmocka_unit_test(nothing_is_sent_to_another_key_than_the_accepted_one),
        cmocka_unit_test(nothing_is_sent_over_another_connection_than_the_accepted_one),
        cmocka_unit_test(a_secret_goes_to_the_key_of_a_verifier_s_result_and_to_no_other),
        cmocka_unit_test(a_failure_after_sending_says_that_the_secret_may_have_arrived),
        cmocka_unit_test(nothing_is_sent_under_a_bad_name_or_of_a_bad_size),
        cmocka_unit_test(another_digest_than_ours_is_a_mismatch),
        cmocka_unit_test(a_refusal_is_told_in_the_agent_s_words),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
