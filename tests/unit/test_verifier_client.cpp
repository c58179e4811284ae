// The client of a verifier service: a session as Veraison's services have it, everything that can be wrong in one, and
// our own service in the same process, by function call and over a socket.
#include "tests/unit/appraise_fixture.hpp"

#include "host-tools/base/base64url.hpp"
#include "host-tools/base/mbed.hpp"
#include "host-tools/base/tcp.hpp"
#include "host-tools/verifier/http_server.hpp"
#include "host-tools/verifier_client/verifier_client.hpp"

using namespace cvmin;
using namespace cvmin::test;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

constexpr std::string_view session_type = "application/vnd.veraison.challenge-response-session+json";
constexpr std::string_view cmw_type = "application/cmw+cbor";
const std::string address = "https://verifier.example:8443/base";
const std::string token = "0f3c2a5e-e6a4-11f0-8d21-623338313838";
const std::string session_url = address + "/challenge-response/v1/session/" + token;
const Bytes test_nonce(48, std::byte{0xfb}); // "-_v7..."

struct FakePacing final : Pacing {
    std::chrono::steady_clock::time_point at{};
    std::vector<milliseconds> waits;
    bool interrupt = false;
    std::chrono::steady_clock::time_point now() override { return at; }
    bool wait(milliseconds time) override {
        waits.push_back(time);
        at += time;
        return !interrupt;
    }
    double random() override { return 0.5; }
};

struct ScriptedClient final : HttpClient { // answers one after the other, the last one for ever
    std::vector<HttpAnswer> answers;
    std::vector<HttpRequest> asked;
    HttpAnswer send(const HttpRequest &request) override {
        asked.push_back(request);
        return answers[std::min(asked.size(), answers.size()) - 1];
    }
};

HttpAnswer answer_of(long status, std::string_view body, std::string_view type = session_type) {
    HttpAnswer answer;
    answer.kind = HttpAnswer::Kind::answered;
    answer.status = status;
    answer.complete = true;
    answer.body = to_bytes(as_bytes(body));
    answer.content_type = type;
    return answer;
}
HttpAnswer problem(long status, const Json &body) {
    return answer_of(status, body.dump(), "application/problem+json; charset=utf-8");
}
HttpAnswer failure(HttpAnswer::Kind kind) {
    HttpAnswer answer;
    answer.kind = kind;
    answer.text = "a test";
    return answer;
}

Json session_json(const char *status) {
    Json session{{"status", status},
                 {"nonce", base64url(test_nonce)},
                 {"expiry", "2026-01-31T12:05:00Z"},
                 {"accept", Json::array({"text/plain", "Application/cmw+cbor"})}};
    if (std::string_view{status} == "complete")
        session["result"] = "e30.e30.AA";
    return session;
}
HttpAnswer created(const Json &session, std::string location = "session/" + token) {
    HttpAnswer answer = answer_of(201, session.dump());
    answer.location = std::move(location);
    return answer;
}

// One client and one script.
struct Run {
    FakePacing pacing;
    ScriptedClient http;
    std::vector<std::string> notes;
    VerifierClient client{http, pacing, address, [this](std::string_view text) { notes.emplace_back(text); }};

    explicit Run(std::vector<HttpAnswer> answers) { http.answers = std::move(answers); }
    Explained<ChallengeSession> open(std::optional<Bytes> nonce = test_nonce) { return client.open(nonce); }
    Explained<std::string> submit() {
        return client.submit({.url = session_url, .nonce = test_nonce, .expires = 0, .accept = {std::string{cmw_type}}},
                             as_bytes("evidence"), cmw_type);
    }
};

// Whether it failed with this code and this in its text, and without the session's token.
template <class T> bool failed_with(const Explained<T> &found, Errc code, std::string_view text) {
    const bool as_wanted = !found && found.error().code == code && found.error().text.contains(text) &&
                           !found.error().text.contains(token);
    if (!as_wanted)
        print_error("wanted %s, %s; found %s\n", std::string{name(code)}.c_str(), std::string{text}.c_str(),
                    found ? "-" : (std::string{name(found.error().code)} + ": " + found.error().text).c_str());
    return as_wanted;
}

} // namespace

// ---- a session of Veraison's ----------------------------------------------------------------------------------------

namespace {

// Plays tests/data/veraison/session.json: each request must be the one that is next.
struct PlayedSession final : HttpClient {
    Json exchanges = parse_json(data("veraison/session.json"), "session.json").value();
    std::size_t next = 0;
    std::vector<std::string> differences;

    HttpAnswer send(const HttpRequest &request) override {
        if (next == exchanges.size()) {
            differences.emplace_back("a request too many");
            return failure(HttpAnswer::Kind::unreachable);
        }
        const Json exchange = exchanges[next++];
        const Json &wanted = exchange["request"];
        const auto compare = [&](const char *what, const std::string &found) {
            if (found != wanted.value(what, ""))
                differences.push_back(std::string{what} + ": " + found);
        };
        compare("method", request.post ? "POST" : "GET");
        compare("target", request.url.substr(std::string_view{"https://veraison.example"}.size()));
        compare("accept", request.accept);
        compare("content_type", request.post ? request.post->media_type : "");
        const Json &given = exchange["answer"];
        HttpAnswer answer =
            answer_of(given["status"].get<long>(), given["body"].dump(), given["content_type"].get<std::string>());
        answer.location = given.value("location", "");
        return answer;
    }
};

} // namespace

static void a_session_of_veraison_brings_its_result(void **) {
    PlayedSession http;
    FakePacing pacing;
    std::vector<std::string> notes;
    VerifierClient client{http, pacing, "https://veraison.example",
                          [&](std::string_view text) { notes.emplace_back(text); }};
    const auto session = client.open(std::nullopt);
    assert_true(session.has_value());
    assert_string_equal(session->url.c_str(),
                        "https://veraison.example/challenge-response/v1/session/0f3c2a5e-e6a4-11f0-8d21-623338313838");
    assert_string_equal(hex(session->nonce).c_str(),
                        "0b30557a9fc4e90e33587da2c7ec11365b80a5caef14395e83a8cdf2173c6186");
    assert_int_equal(session->expires, parse_time("2026-01-01T00:02:30Z").value());
    assert_int_equal(session->accept.size(), 6);
    // it has no plugin for evidence of ours: said before any of it is sent
    assert_true(failed_with(client.submit(*session, as_bytes("x"), cmw_type), Errc::unsupported,
                            "https://veraison.example: evidence: it accepts application/psa-attestation-token, "));
    assert_int_equal(http.next, 1);
    const auto result = client.submit(*session, as_bytes("evidence of a test"), "application/psa-attestation-token");
    assert_true(result && *result == http.exchanges[2]["answer"]["body"]["result"].get<std::string>());
    assert_int_equal(http.next, 3);
    for (const std::string &difference : http.differences)
        print_error("%s\n", difference.c_str());
    assert_true(http.differences.empty());
    assert_true(pacing.waits == std::vector<milliseconds>{poll_pause});
    assert_int_equal(notes.size(), 1);
}

// ---- open -----------------------------------------------------------------------------------------------------------

static void open_asks_for_the_nonce_it_is_given(void **) {
    {
        Run run{{created(session_json("waiting"))}};
        const auto session = run.open();
        assert_true(session && session->url == session_url && session->nonce == test_nonce);
        const HttpRequest &asked = run.http.asked[0];
        assert_string_equal(asked.url.c_str(),
                            (address + "/challenge-response/v1/newSession?nonce=" + base64url(test_nonce)).c_str());
        assert_true(asked.post && asked.post->data.empty() && asked.post->media_type.empty());
        assert_true(asked.accept == session_type && asked.limit == max_verifier_answer);
    }
    // every size, in each way of writing that services have
    for (std::size_t size = min_nonce_size; size <= max_nonce_size; ++size) {
        const Bytes nonce(size, std::byte{0xfb});
        std::string padded = base64url(nonce);
        padded.resize((padded.size() + 3) / 4 * 4, '=');
        for (const std::string &written : {padded, base64url(nonce), base64(nonce)}) {
            Json session = session_json("waiting");
            session["nonce"] = written;
            Run run{{created(session)}};
            const auto opened = run.open(nonce);
            assert_true(opened && opened->nonce == nonce);
            const std::string &url = run.http.asked[0].url;
            assert_true(url.ends_with(size % 3 == 0   ? base64url(nonce)
                                      : size % 3 == 1 ? base64url(nonce) + "%3D%3D"
                                                      : base64url(nonce) + "%3D"));
        }
    }
    static_assert(unpadded_nonce_size % 3 == 0 && unpadded_nonce_size >= min_nonce_size &&
                  unpadded_nonce_size <= max_nonce_size);
    for (const std::size_t size : {std::size_t{0}, min_nonce_size - 1, max_nonce_size + 1}) {
        Run run{{created(session_json("waiting"))}};
        assert_true(failed_with(run.open(Bytes(size)), Errc::out_of_range, "wanted 32 to 64"));
        assert_true(run.http.asked.empty());
    }
}

static void open_refuses_another_nonce(void **) {
    Json session = session_json("waiting");
    session["nonce"] = base64url(Bytes(48, std::byte{1}));
    assert_true(failed_with(Run{{created(session)}}.open(), Errc::mismatch, "session.nonce: 0101"));
    assert_true(Run{{created(session)}}.open(std::nullopt).has_value()); // it was the service's to choose
    session["nonce"] = base64url(Bytes(min_nonce_size - 1));
    assert_true(failed_with(Run{{created(session)}}.open(std::nullopt), Errc::out_of_range, "session.nonce"));
    session["nonce"] = base64url(Bytes(max_nonce_size + 1));
    assert_true(failed_with(Run{{created(session)}}.open(std::nullopt), Errc::out_of_range, "session.nonce"));
}

static void a_session_is_on_the_server_that_made_it(void **) {
    for (const std::string &good :
         {"session/" + token, "/base/challenge-response/v1/session/" + token, "./session/" + token, session_url,
          "HTTPS://Verifier.Example:8443/base/challenge-response/v1/session/" + token,
          "//verifier.example:8443/base/challenge-response/v1/session/" + token}) {
        const auto session = Run{{created(session_json("waiting"), good)}}.open();
        if (!session)
            print_error("%s: %s\n", good.c_str(), session.error().text.c_str());
        assert_true(session && session->url.ends_with("/challenge-response/v1/session/" + token));
    }
    const std::string path = "/base/challenge-response/v1/session/" + token;
    for (const std::string &wrong :
         {"https://other.example:8443" + path, "https://verifier.example" + path, "http://verifier.example:8443" + path,
          "//other.example" + path, "https://verifier.example.other.example:8443" + path,
          "https://127.0.0.1:8443" + path, "ftp://verifier.example:8443" + path})
        assert_true(failed_with(Run{{created(session_json("waiting"), wrong)}}.open(), Errc::mismatch,
                                "wanted https://verifier.example:8443"));
    for (const std::string &wrong : {"https://user:x@verifier.example:8443" + path, "https://[::1" + path,
                                     "https://verifier.example:99999" + path})
        assert_true(failed_with(Run{{created(session_json("waiting"), wrong)}}.open(), Errc::malformed, "Location"));
    assert_true(failed_with(Run{{created(session_json("waiting"), "")}}.open(), Errc::missing, "Location is missing"));
}

static void open_wants_a_session_that_waits(void **) {
    assert_true(failed_with(Run{{created(session_json("processing"))}}.open(), Errc::malformed, "session.status"));
    assert_true(failed_with(Run{{created(session_json("complete"))}}.open(), Errc::malformed, "session.status"));
    assert_true(failed_with(Run{{answer_of(200, session_json("waiting").dump())}}.open(), Errc::refused, "HTTP 200"));
    assert_true(failed_with(Run{{answer_of(404, "<html>", "text/html")}}.open(), Errc::refused,
                            "challenge-response API, or this session, is not there (HTTP 404)"));
    HttpAnswer moved = created(session_json("waiting"), session_url);
    moved.status = 307;
    Run run{{moved}};
    assert_true(failed_with(run.open(), Errc::refused, "(HTTP 307): redirects are not followed"));
    assert_int_equal(run.http.asked.size(), 1);
}

static void a_service_that_takes_no_nonces_is_told_apart(void **) {
    const Json body{{"type", "tag:cvmin,2026:problem:nonce"},
                    {"title", "Bad Request"},
                    {"status", 400},
                    {"detail", "nonce: this service chooses nonces itself: wanted nonceSize"}};
    assert_true(failed_with(Run{{problem(400, body)}}.open(), Errc::unsupported,
                            "a new session: refused (HTTP 400): tag:cvmin,2026:problem:nonce: nonce: this service"));
    // not when none was given, nor by another status, type or media type
    assert_true(failed_with(Run{{problem(400, body)}}.open(std::nullopt), Errc::refused, "HTTP 400"));
    assert_true(failed_with(Run{{problem(403, body)}}.open(), Errc::refused, "HTTP 403"));
    assert_true(failed_with(Run{{answer_of(400, body.dump(), "application/json")}}.open(), Errc::refused, "HTTP 400"));
    Json veraison = body;
    veraison["type"] = "about:blank";
    veraison["detail"] = "failed handling nonce request: nonce must be valid base64";
    assert_true(failed_with(Run{{problem(400, veraison)}}.open(), Errc::refused,
                            "refused (HTTP 400): failed handling nonce request"));
}

// ---- submit ---------------------------------------------------------------------------------------------------------

static void submit_posts_the_evidence(void **) {
    Run run{{answer_of(200, session_json("complete").dump())}};
    const auto result = run.submit();
    assert_true(result && *result == "e30.e30.AA");
    const HttpRequest &asked = run.http.asked[0];
    assert_true(asked.url == session_url && asked.post && as_text(asked.post->data) == "evidence" &&
                asked.post->media_type == cmw_type && asked.accept == session_type);
    assert_true(run.pacing.waits.empty() && run.notes.empty());
}

static void submit_asks_until_the_appraisal_is_done(void **) {
    const std::string processing = session_json("processing").dump(), complete = session_json("complete").dump();
    for (const long first : {202L, 200L}) {
        HttpAnswer slow = answer_of(200, processing);
        slow.retry_after = seconds{5};
        Run run{{answer_of(first, processing), slow, answer_of(200, complete)}};
        assert_true(run.submit().has_value());
        assert_true(run.pacing.waits == (std::vector<milliseconds>{seconds{1}, seconds{5}}));
        assert_true(run.http.asked[0].post && !run.http.asked[1].post && !run.http.asked[2].post);
        assert_true(run.http.asked[2].url == session_url && run.notes.size() == 1);
    }
    {
        Run run{{answer_of(202, processing)}}; // 202 is no answer to a GET
        assert_true(
            failed_with(run.submit(), Errc::refused, "the result: an answer that is not understood (HTTP 202)"));
    }
    {
        Run run{{answer_of(200, processing)}};
        assert_true(failed_with(run.submit(), Errc::timed_out, "not done after 60 questions"));
        assert_int_equal(run.http.asked.size(), max_polls + 1);
    }
    {
        HttpAnswer never = answer_of(202, processing);
        never.retry_after = seconds{1'000'000'000};
        Run run{{never}};
        assert_true(failed_with(run.submit(), Errc::timed_out, "no time is left"));
        assert_true(run.pacing.waits.empty());
    }
    {
        Run run{{answer_of(202, processing)}};
        run.pacing.interrupt = true;
        assert_true(failed_with(run.submit(), Errc::busy, "interrupted"));
    }
    Json failed = session_json("failed");
    assert_true(failed_with(Run{{answer_of(200, failed.dump())}}.submit(), Errc::refused, "session.status: failed"));
    assert_true(failed_with(Run{{answer_of(202, processing), answer_of(200, failed.dump())}}.submit(), Errc::refused,
                            "the result: the service could not appraise it"));
    assert_true(failed_with(Run{{answer_of(200, session_json("waiting").dump())}}.submit(), Errc::malformed,
                            "still waits for evidence"));
    assert_true(failed_with(Run{{answer_of(201, complete)}}.submit(), Errc::refused, "HTTP 201"));
    Json other = session_json("complete");
    other["nonce"] = base64url(Bytes(48));
    assert_true(failed_with(Run{{answer_of(200, other.dump())}}.submit(), Errc::mismatch, "session.nonce"));
}

static void submit_says_what_the_service_says(void **) {
    const auto said = [](long status, const char *detail) {
        return problem(status, {{"type", "about:blank"}, {"title", "A Title"}, {"status", status}, {"detail", detail}});
    };
    assert_true(failed_with(Run{{said(415, "no active plugin found for application/cmw+cbor")}}.submit(), Errc::refused,
                            address + ": evidence: refused (HTTP 415): no active plugin found for"));
    // Veraison names the session's path
    assert_true(failed_with(
        Run{{said(404, ("invalid session id (/challenge-response/v1/session/" + token + ") in path segment").c_str())}}
            .submit(),
        Errc::refused, "session/TOKEN) in path"));
    assert_true(failed_with(Run{{problem(410, {{"title", "Gone"}})}}.submit(), Errc::refused, "(HTTP 410): Gone"));
    assert_true(failed_with(Run{{said(400, "\x1b[31mred\nline")}}.submit(), Errc::refused, "?[31mred?line"));
    assert_true(failed_with(Run{{said(400, std::string(5000, 'a').c_str())}}.submit(), Errc::refused, "aaa..."));
    assert_true(Run{{said(400, std::string(5000, 'a').c_str())}}.submit().error().text.size() < 500);
    for (const char *body : {"", "[]", "{", "{\"detail\": 1}", "{\"type\": null, \"title\": {}}"})
        assert_true(failed_with(Run{{answer_of(400, body, "application/problem+json")}}.submit(), Errc::refused,
                                "evidence: refused (HTTP 400)"));
}

static void what_passes_is_asked_again_a_few_times(void **) {
    HttpAnswer busy = problem(503, {{"type", "tag:cvmin,2026:problem:not-ready"}, {"detail", "no reference values"}});
    HttpAnswer limited = problem(429, {{"type", "tag:cvmin,2026:problem:rate"}, {"detail", "too many requests"}});
    limited.retry_after = seconds{3};
    {
        Run run{{busy, limited, answer_of(200, session_json("complete").dump())}};
        assert_true(run.submit().has_value());
        assert_true(run.pacing.waits == (std::vector<milliseconds>{milliseconds{750}, seconds{3}}));
        assert_true(run.http.asked[2].post && as_text(run.http.asked[2].post->data) == "evidence");
        assert_true(run.notes[0].contains("no reference values") && run.notes[1].contains("rate: too many requests"));
    }
    const struct {
        HttpAnswer answer;
        std::size_t attempts;
        Errc code;
        const char *text;
    } cases[] = {
        {busy, verifier_retries + 1, Errc::unreachable, "no reference values; given up after 4 attempts"},
        {limited, verifier_retries + 1, Errc::refused, "limits how often it answers (HTTP 429)"},
        {answer_of(500, ""), verifier_retries + 1, Errc::unreachable, "HTTP 500"},
        {answer_of(501, ""), 1, Errc::refused, "HTTP 501"},
        {failure(HttpAnswer::Kind::unreachable), verifier_retries + 1, Errc::unreachable, "a test"},
        {failure(HttpAnswer::Kind::timed_out), verifier_retries + 1, Errc::timed_out, "no answer in time"},
        {failure(HttpAnswer::Kind::refused), 1, Errc::refused, "a test"},
        {failure(HttpAnswer::Kind::failed), 1, Errc::system, "a test"},
        {failure(HttpAnswer::Kind::interrupted), 1, Errc::busy, "interrupted"},
        {failure(HttpAnswer::Kind::too_large), 1, Errc::too_large, "more than 1048576 bytes"},
        {answer_of(200, std::string(max_verifier_answer + 1, ' ')), 1, Errc::too_large, "more than 1048576 bytes"},
    };
    for (const auto &[answer, attempts, code, text] : cases)
        for (const bool opening : {true, false}) {
            Run run{{answer}};
            assert_true(opening ? failed_with(run.open(), code, text) : failed_with(run.submit(), code, text));
            assert_int_equal(run.http.asked.size(), attempts);
        }
    HttpAnswer late = limited;
    late.retry_after = retry_after_limit + seconds{1};
    Run run{{late}};
    assert_true(failed_with(run.submit(), Errc::refused, "that is too long to wait here"));
    // each attempt has what is left of the whole time
    late.retry_after = verifier_timeout - seconds{10};
    Run last{{late, answer_of(200, session_json("complete").dump())}};
    assert_true(last.submit().has_value());
    assert_true(last.http.asked[0].timeout == http_total_timeout && last.http.asked[1].timeout == seconds{10});
}

static void a_service_may_not_write_a_session_otherwise(void **) {
    const auto code_of = [](const std::string &text) {
        const auto session = parse_session_document(as_bytes(text));
        return session ? std::optional<Errc>{} : std::optional{session.error().code};
    };
    const auto without = [&](const char *member) {
        Json session = session_json("complete");
        session.erase(member);
        return code_of(session.dump());
    };
    const auto with = [&](const char *member, const Json &value) {
        Json session = session_json("complete");
        session[member] = value;
        return code_of(session.dump());
    };
    for (const char *member : {"status", "nonce", "expiry", "accept", "result"}) {
        assert_true(without(member) == Errc::missing);
        for (const Json &value : {Json(1), Json(nullptr), Json(Json::object())})
            assert_true(with(member, value) == Errc::malformed);
    }
    for (const char *text : {"", "[]", "null", "\"waiting\"", "{", "{\"status\":\"waiting\",\"status\":\"waiting\"}"})
        assert_true(code_of(text) == Errc::malformed);
    assert_true(with("status", "Complete") == Errc::unsupported && with("status", "") == Errc::unsupported);
    for (const char *text : {"", "*", "AAAA=", "-_+/"})
        assert_true(with("nonce", text).has_value());
    for (const char *text :
         {"2026-01-31T12:05:00.5Z", "2026-01-31T12:05:00.123456789+01:00", "2026-01-31T12:05:00-00:30"})
        assert_false(with("expiry", text).has_value());
    for (const char *text : {"", "2026-01-31", "2026-01-31T12:05:00", "2026-01-31T12:05:00.Z", "2026-01-31T12:05:00.5",
                             "2026-02-30T12:05:00Z", "2026-01-31T12:05:00.5.5Z", ".5", "0001-01-01T00:00:00.0Z-"})
        assert_true(with("expiry", text).has_value());
    assert_true(with("expiry", "2026-01-31T12:05:00." + std::string(100, '0') + "Z") == Errc::malformed);
    assert_false(with("accept", Json::array()).has_value());
    assert_true(with("accept", Json::array({1})) == Errc::malformed);
    assert_false(with("accept", Json(std::vector<std::string>(max_session_accept, "a/b"))).has_value());
    assert_true(with("accept", Json(std::vector<std::string>(max_session_accept + 1, "a/b"))) == Errc::too_large);
    assert_false(with("accept", Json::array({std::string(max_media_type_size, 'a')})).has_value());
    assert_true(with("accept", Json::array({std::string(max_media_type_size + 1, 'a')})) == Errc::too_large);
    for (const char *text : {"", "a", "a.b", "a.b.", ".b.c", "a..c", "a.b.c.d", "a.b.c ", " a.b.c", "a.b=.c", "a.b.c\n",
                             "{\"is_valid\":true}"})
        assert_true(with("result", text) == Errc::malformed);
    assert_false(with("result", "a-_.B9.c").has_value());
    Json waiting = session_json("complete"); // whose result nobody looks at
    waiting["status"] = "waiting";
    assert_true(parse_session_document(as_bytes(waiting.dump())).value().result.empty());
}

// ---- our own service ------------------------------------------------------------------------------------------------

namespace {

// The service as it is, under a policy for emulated reports; as an HTTP client, it is what answers.
struct OwnService final : HttpClient {
    Expectations wanted{};
    std::time_t now;
    bool broken = false;
    Appraiser appraiser{[this](std::time_t) -> Explained<ReferenceSnapshot> {
        if (broken)
            return explain(Errc::malformed, "a test");
        ReferenceSnapshot snapshot;
        snapshot.wanted = wanted;
        return snapshot;
    }};
    std::unique_ptr<VerifierService> service;
    std::size_t asked = 0;

    explicit OwnService(const Case &c, ServiceOptions options = {}) : wanted(c.want), now(c.want.now) {
        wanted.nonce.clear();
        wanted.exporter = {};
        wanted.peer_key = {};
        SessionKeys sessions;
        ResultKeys keys;
        keys.signing.push_back(std::make_unique<P384PrivateKey>());
        if (!sessions.add(Secret{Bytes(32, std::byte{1})}) ||
            !keys.signing.front()->parse(data("cose/key.der"), system_random, nullptr, "key"))
            abort();
        keys.published = {keys.signing.front()->public_key().value()};
        service = std::make_unique<VerifierService>(
            options, std::move(sessions), std::move(keys), appraiser, [](const Json &) {}, [] { return 0; });
    }
    void load() { (void)service->reload(now); }

    HttpAnswer send(const HttpRequest &request) override {
        ++asked;
        const std::string target = request.url.substr(address.size());
        const std::size_t query = std::min(target.find('?'), target.size());
        HttpMessage message{.method = request.post ? "POST" : "GET",
                            .path = target.substr(0, query),
                            .query = target.substr(std::min(query + 1, target.size())),
                            .headers = {{"accept", request.accept}},
                            .body = request.post ? ByteView{request.post->data} : ByteView{},
                            .peer = "192.0.2.1"};
        if (request.post && !request.post->media_type.empty())
            message.headers.emplace_back("content-type", request.post->media_type);
        const HttpReply reply = service->handle(message, now);
        HttpAnswer answer = answer_of(reply.status, reply.body, "");
        for (const auto &[key, value] : reply.headers) {
            if (key == "Location")
                answer.location = value;
            if (key == "Content-Type")
                answer.content_type = value;
        }
        return answer;
    }
};

Json payload_of(const std::string &jwt) {
    const std::size_t first = jwt.find('.'), last = jwt.rfind('.');
    return parse_json(parse_base64url(std::string_view{jwt}.substr(first + 1, last - first - 1), "jwt").value(), "jwt")
        .value();
}
Case passport_case() {
    Case c = good_case();
    c.claims.exporter.reset();
    return c;
}
void ignore(std::string_view) {}

} // namespace

static void our_service_appraises_for_a_nonce_of_ours(void **) {
    const Case c = passport_case();
    OwnService http{c};
    http.load();
    FakePacing pacing;
    VerifierClient client{http, pacing, address, ignore};
    const auto session = client.open(c.claims.nonce);
    assert_true(session && session->nonce == c.claims.nonce && session->expires == http.now + 300);
    const auto result = client.submit(*session, make_evidence(c), cmw_type);
    assert_true(result.has_value());
    const Json claims = payload_of(*result);
    const Json &verifier = claims["submods"]["sev-snp"]["ear_verifier_claims"];
    assert_true(claims["eat_nonce"] == base64url(c.claims.nonce) && verifier["nonce_by"] == "client");
    assert_true(verifier["accepted"] == true && claims["cnf"]["jwk"]["x"] == base64url(c.claims.key.x));
    assert_int_equal(http.asked, 2);
    // evidence that is no evidence of anything gets its result, which says so
    const auto bad = client.submit(*session, make_evidence(good_case()), cmw_type);
    assert_true(bad && payload_of(*bad)["submods"]["sev-snp"]["ear_status"] == "contraindicated");
}

static void our_service_may_insist_on_its_own_nonces(void **) {
    Case c = passport_case();
    OwnService http{c, {.client_nonces = false}};
    http.load();
    FakePacing pacing;
    VerifierClient client{http, pacing, address, ignore};
    assert_true(failed_with(client.open(c.claims.nonce), Errc::unsupported, "this service chooses nonces itself"));
    const auto session = client.open(std::nullopt);
    assert_true(session && session->nonce.size() == asked_nonce_size);
    c.claims.nonce = session->nonce;
    const auto result = client.submit(*session, make_evidence(c), cmw_type);
    assert_true(result && payload_of(*result)["submods"]["sev-snp"]["ear_verifier_claims"]["nonce_by"] == "service");
    assert_true(payload_of(*result)["eat_nonce"] == base64url(session->nonce));
}

static void what_our_service_refuses_is_said(void **) {
    const Case c = passport_case();
    OwnService http{c};
    http.load();
    FakePacing pacing;
    std::vector<std::string> notes;
    VerifierClient client{http, pacing, address, [&](std::string_view text) { notes.emplace_back(text); }};
    auto session = client.open(c.claims.nonce).value();
    const Bytes evidence = make_evidence(c);
    assert_true(failed_with(client.submit(session, as_bytes("no CBOR"), cmw_type), Errc::refused,
                            "refused (HTTP 400): tag:cvmin,2026:problem:evidence: "));
    assert_true(failed_with(client.submit(session, Bytes(max_presented_json), cmw_type), Errc::refused, "HTTP 413"));
    ChallengeSession forged = session;
    forged.url.back() = forged.url.back() == 'A' ? 'B' : 'A';
    assert_true(failed_with(client.submit(forged, evidence, cmw_type), Errc::refused, "problem:session-unknown"));
    http.now += 301;
    assert_true(failed_with(client.submit(session, evidence, cmw_type), Errc::refused, "problem:session-expired"));

    OwnService empty{c}; // no reference values
    VerifierClient waits{empty, pacing, address, [&](std::string_view text) { notes.emplace_back(text); }};
    session = waits.open(c.claims.nonce).value();
    notes.clear();
    assert_true(failed_with(waits.submit(session, evidence, cmw_type), Errc::unreachable, "problem:not-ready"));
    assert_int_equal(notes.size(), verifier_retries);
}

// The same over a socket: what libcurl sends is what libmicrohttpd reads.
static void our_service_answers_libcurl(void **) {
    const Case c = passport_case();
    OwnService own{c};
    own.load();
    auto listener = listen_tcp({.host = "127.0.0.1", .port = 0});
    assert_true(listener.has_value());
    const std::string here = "http://" + to_string(local_endpoint(listener->get()).value());
    const auto server = HttpServer::start(std::move(*listener), *own.service, {.threads = 1}, [](const Json &) {});
    assert_true(server.has_value());
    CurlClient http{"", [] { return false; }};
    FakePacing pacing;
    VerifierClient client{http, pacing, parse_service_address(here).value(), ignore};
    const auto session = client.open(Bytes(33, std::byte{0xfb}));
    if (!session)
        print_error("%s\n", session.error().text.c_str());
    assert_true(session && session->url.starts_with(here + "/challenge-response/v1/session/"));
    const auto result = client.submit(*session, make_evidence(c), cmw_type);
    if (!result)
        print_error("%s\n", result.error().text.c_str());
    assert_true(result && payload_of(*result)["submods"]["sev-snp"]["ear_status"] == "contraindicated");
    assert_true(failed_with(client.submit(*session, as_bytes("no CBOR"), cmw_type), Errc::refused, "problem:evidence"));
    // a body whose limit is passed: refused by its length, before it was sent
    assert_true(
        failed_with(client.submit(*session, Bytes(max_presented_json + 1), cmw_type), Errc::refused, "HTTP 413"));
    HttpRequest get{.url = here + "/healthz", .limit = 100};
    HttpAnswer answer = http.send(get);
    assert_true(answer.status == 200 && as_text(answer.body) == "ok\n" &&
                answer.content_type.starts_with("text/plain"));
    get.post = HttpBody{.data = to_bytes(as_bytes("x")), .media_type = "text/plain"};
    assert_int_equal(http.send(get).status, 405);
    get.post.reset();
    get.limit = 2;
    assert_true(http.send(get).kind == HttpAnswer::Kind::too_large);
}

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(a_session_of_veraison_brings_its_result),
        cmocka_unit_test(open_asks_for_the_nonce_it_is_given),
        cmocka_unit_test(open_refuses_another_nonce),
        cmocka_unit_test(a_session_is_on_the_server_that_made_it),
        cmocka_unit_test(open_wants_a_session_that_waits),
        cmocka_unit_test(a_service_that_takes_no_nonces_is_told_apart),
        cmocka_unit_test(submit_posts_the_evidence),
        cmocka_unit_test(submit_asks_until_the_appraisal_is_done),
        cmocka_unit_test(submit_says_what_the_service_says),
        cmocka_unit_test(what_passes_is_asked_again_a_few_times),
        cmocka_unit_test(a_service_may_not_write_a_session_otherwise),
        cmocka_unit_test(our_service_appraises_for_a_nonce_of_ours),
        cmocka_unit_test(our_service_may_insist_on_its_own_nonces),
        cmocka_unit_test(what_our_service_refuses_is_said),
        cmocka_unit_test(our_service_answers_libcurl),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
