// The verifier service without its sockets: session tokens, forms of evidence, rate limit, and the API itself, with
// real reports under AMD's roots and evidence of ours under the test chain.
#include "tests/unit/appraise_fixture.hpp"

#include "common/cbor_stream.hpp"
#include "host-tools/base/base64url.hpp"
#include "host-tools/base/mbed.hpp"
#include "host-tools/verifier/rate_limit.hpp"
#include "host-tools/verifier/service.hpp"

using namespace cvmin;
using namespace cvmin::test;

// ---- tokens
// ----------------------------------------------------------------------------------------------------------

static SessionKeys keys_of(std::initializer_list<unsigned> fills) {
    SessionKeys keys;
    for (const unsigned fill : fills)
        assert_true(keys.add(Secret{Bytes(32, static_cast<std::byte>(fill))}).has_value());
    return keys;
}

static void a_token_is_read_by_whoever_has_the_key(void **) {
    const VerifierSession session{.expires = 1000, .nonce = Bytes(32, std::byte{0x5a})};
    const std::string token = keys_of({1}).make(session);
    assert_true(token.size() <= max_session_token && !token.contains('='));
    const auto read = keys_of({1}).read(token, 999);
    assert_true(read && read->nonce == session.nonce && read->expires == 1000);
    assert_true(keys_of({2, 1}).read(token, 999).has_value()); // an older key
    assert_true(keys_of({2}).read(token, 999).error() == TokenProblem::forged);
    assert_true(keys_of({2, 1}).make(session) == keys_of({2}).make(session)); // the first signs
    assert_true(keys_of({1}).read(token, 1000).error() == TokenProblem::expired);
    for (const std::size_t size : {min_session_nonce, max_session_nonce})
        assert_true(keys_of({1}).read(keys_of({1}).make({.expires = 1000, .nonce = Bytes(size)}), 0).has_value());
}

// HMAC-SHA-256 as another program computes it: python3 -c 'import hmac; ...' over the documented bytes.
static void a_token_has_the_documented_bytes(void **) {
    const std::string token = keys_of({1}).make({.expires = 0x0102030405, .nonce = Bytes(8, std::byte{0x5a})});
    assert_string_equal(token.c_str(), "AQAAAAABAgMEBVpaWlpaWlpadO70tdzngny51hEPYkqmALD-7UMI4fM2KhLqUYInITo");
}

static void a_token_with_any_other_bit_is_forged(void **) {
    const SessionKeys keys = keys_of({1});
    const Bytes token = parse_base64url(keys.make({.expires = 1000, .nonce = Bytes(32)}), "token").value();
    for (std::size_t bit = 0; bit < token.size() * 8; ++bit) {
        Bytes changed = token;
        changed[bit / 8] ^= static_cast<std::byte>(1u << bit % 8);
        const auto read = keys.read(base64url(changed), 0);
        assert_true(!read && read.error() == (bit < 8 ? TokenProblem::malformed : TokenProblem::forged));
    }
    for (std::size_t size = 0; size < token.size(); ++size) // another length takes other bytes for the MAC
        assert_false(keys.read(base64url(ByteView{token}.first(size)), 0).has_value());
    const std::string text = base64url(token);
    for (const std::string &wrong : {std::string{}, text + "=", " " + text, text + std::string(200, 'A')})
        assert_true(keys.read(wrong, 0).error() == TokenProblem::malformed);
    assert_false(keys.read(text + "A", 0).has_value());
}

static void session_keys_have_a_length(void **) {
    SessionKeys keys;
    for (const std::size_t size : {std::size_t{0}, min_session_key - 1, max_session_key + 1})
        assert_true(keys.add(Secret{Bytes(size)}).error().code == Errc::out_of_range);
    for (std::size_t i = 0; i < max_session_keys; ++i)
        assert_true(keys.add(Secret{Bytes(min_session_key + i)}).has_value());
    assert_true(keys.add(Secret{Bytes(min_session_key)}).error().code == Errc::out_of_range);
}

static void base64url_has_one_encoding(void **) {
    const ByteArray<4> bytes{std::byte{0xfb}, std::byte{0xff}, std::byte{0}, std::byte{1}};
    assert_string_equal(base64url(bytes).c_str(), "-_8AAQ");
    for (const char *text : {"-_8AAQ", "-_8AAQ=="})
        assert_true(equal(parse_base64url(text, "x").value(), bytes));
    for (const char *text : {"+/8AAQ==", "-_8AAQ=", "-_8AAR", "-_8A\nQ", "A", "=", "-_8AAQ==="})
        assert_true(parse_base64url(text, "x").error().code == Errc::malformed);
}

// ---- rate
// ------------------------------------------------------------------------------------------------------------

static void a_client_gets_its_burst_and_then_its_rate(void **) {
    RateLimiter limit{2, 3};
    for (int i = 0; i < 3; ++i)
        assert_false(limit.refuse("a", 0).has_value());
    assert_true(limit.refuse("a", 0) == 1u);
    assert_false(limit.refuse("b", 0).has_value());       // another client
    assert_false(limit.refuse("a", 500'000).has_value()); // half a second: one more
    assert_true(limit.refuse("a", 500'000).has_value());
    assert_true(limit.refuse("a", 0).has_value()); // a clock that goes back gives nothing
    RateLimiter none{0, 0};
    for (int i = 0; i < 100; ++i)
        assert_false(none.refuse("a", 0).has_value());
    assert_int_equal(none.size(), 0);
}

static void the_table_of_clients_is_bounded(void **) {
    RateLimiter limit{1, 1, 4};
    for (int i = 0; i < 100; ++i)
        assert_false(limit.refuse(std::to_string(i), 0).has_value());
    assert_int_equal(limit.size(), 4);
    assert_true(limit.refuse("99", 0).has_value()); // still known
    assert_string_equal(rate_key("192.0.2.1").c_str(), "192.0.2.1");
    assert_string_equal(rate_key("::ffff:192.0.2.1").c_str(), "192.0.2.1");
    assert_string_equal(rate_key("2001:db8:1:2:3:4:5:6").c_str(), "2001:db8:1:2::");
    assert_string_equal(rate_key("unix").c_str(), "unix");
}

// ---- a service
// --------------------------------------------------------------------------------------------------------

namespace {

struct World {
    std::time_t now = parse_time("2025-10-01T00:00:00Z").value();
    Expectations wanted{};
    std::optional<std::time_t> ends{};
    bool broken = false;
    EarProfile profile = EarProfile::ietf;
    bool page = true, client_nonces = true;
    std::vector<Json> log{};
    std::uint64_t clock = 0;
    Appraiser appraiser{[this](std::time_t) -> Explained<ReferenceSnapshot> {
        if (broken)
            return explain(Errc::malformed, "policy.json: is broken");
        ReferenceSnapshot snapshot;
        snapshot.wanted = wanted;
        snapshot.ends = ends;
        snapshot.source = "a test";
        return snapshot;
    }};
    std::unique_ptr<VerifierService> service{};
    PublicKey key{};

    void start() {
        ResultKeys keys;
        keys.signing.push_back(std::make_unique<P384PrivateKey>());
        if (!keys.signing.front()->parse(data("cose/key.der"), system_random, nullptr, "key"))
            abort();
        key = keys.signing.front()->public_key().value();
        keys.published = {key, PublicKey{filled<48>(1), filled<48>(2)}};
        service = std::make_unique<VerifierService>(
            ServiceOptions{.profile = profile,
                           .nonce_lifetime_s = 300,
                           .result_lifetime_s = 600,
                           .page = page,
                           .client_nonces = client_nonces},
            keys_of({1}), std::move(keys), appraiser, [this](const Json &line) { log.push_back(line); },
            [this] { return clock += 1000; });
        (void)service->reload(now);
    }
    HttpReply ask(std::string method, std::string path, std::string query = {}, ByteView body = {},
                  std::string type = {}, std::string accept = {}) {
        HttpMessage message{.method = std::move(method),
                            .path = std::move(path),
                            .query = std::move(query),
                            .headers = {},
                            .body = body,
                            .peer = "192.0.2.1"};
        if (!type.empty())
            message.headers.emplace_back("content-type", type);
        if (!accept.empty())
            message.headers.emplace_back("accept", accept);
        return service->handle(message, now);
    }
};

std::string header(const HttpReply &reply, std::string_view name) {
    for (const auto &[key, value] : reply.headers)
        if (key == name)
            return value;
    return {};
}
Json body_of(const HttpReply &reply) {
    return parse_json(as_bytes(reply.body), "reply").value();
}
// The payload, after its signature.
Json claims_of(const std::string &jwt, const PublicKey &key) {
    const std::size_t first = jwt.find('.'), last = jwt.rfind('.');
    P384Signature signature{};
    const Bytes bytes = parse_base64url(std::string_view{jwt}.substr(last + 1), "jwt").value();
    if (bytes.size() != signature.size())
        abort();
    std::ranges::copy(bytes, signature.begin());
    if (!verify_p384(key, sha384(as_bytes(jwt.substr(0, last))), signature, "jwt"))
        abort();
    return parse_json(parse_base64url(std::string_view{jwt}.substr(first + 1, last - first - 1), "jwt").value(), "jwt")
        .value();
}
// Whether it is problem+json of this kind and status.
bool is_problem(const HttpReply &reply, int status, std::string_view kind) {
    const bool as_wanted = reply.status == status && header(reply, "Content-Type") == "application/problem+json" &&
                           body_of(reply)["type"] == "tag:cvmin,2026:problem:" + std::string{kind} &&
                           body_of(reply)["status"] == status && body_of(reply)["detail"].is_string();
    if (!as_wanted)
        print_error("%d %s\n", reply.status, reply.body.c_str());
    return as_wanted;
}

// AMD's own signatures: a report of Genoa whose REPORT_DATA is then the session's nonce.
struct Real {
    Bytes report = data("oak/genoa-v5-oc-mitvector/report.bin"), vcek = data("oak/genoa-v5-oc-mitvector/vcek.der");
    Bytes table = encode_cert_table({.vcek = vcek, .vlek = {}, .ask = {}, .ark = {}, .crl = {}});
    SnpReport parsed = parse_snp_report(report).value();
};
std::unique_ptr<World> world_of(const Real &real) {
    auto world = std::make_unique<World>();
    world->wanted.policy = parse_policy(data("../../policies/genoa.json")).value();
    world->wanted.measurements = {real.parsed.measurement};
    world->start();
    return world;
}
std::string session_for(World &world, ByteView nonce) {
    return "/challenge-response/v1/" +
           header(world.ask("POST", "/challenge-response/v1/newSession", "nonce=" + base64url(nonce)), "Location");
}

Bytes cbor_record(std::string_view type, ByteView value, std::optional<std::uint64_t> indicator) {
    cbor::Writer out;
    out.array(indicator ? 3 : 2);
    out.text(type);
    out.bytes(value);
    if (indicator)
        out.unsigned_integer(*indicator);
    return out.finish();
}
Bytes text_bytes(const Json &json) {
    return to_bytes(as_bytes(json.dump()));
}

struct Form {
    std::string name, type;
    Bytes body;
};
// One report in every form that is taken.
std::vector<Form> forms_of(const Real &real) {
    Json tsm{{"auxblob", base64url(real.table)}, {"outblob", base64url(real.report)}, {"provider", "sev_guest\n"}};
    Json tsm_older{{"provider", "sev_guest"}, {"outblob", base64(real.report)}, {"auxblob", base64(real.table)}};
    cbor::Writer tsm_cbor;
    tsm_cbor.map(3);
    tsm_cbor.text("auxblob");
    tsm_cbor.bytes(real.table);
    tsm_cbor.text("outblob");
    tsm_cbor.bytes(real.report);
    tsm_cbor.text("provider");
    tsm_cbor.text("sev_guest");
    const Bytes tsm_bytes = tsm_cbor.finish();
    cbor::Writer collection;
    collection.map(2);
    collection.text("report");
    collection.raw(cbor_record(media::snp_report, real.report, 4));
    collection.text("certificates");
    collection.raw(cbor_record(media::cert_table, real.table, std::nullopt));
    return {{"tsm json", std::string{media::tsm_json}, text_bytes(tsm)},
            {"tsm json, older", "Application/vnd.veraison.configfs-tsm+json; charset=utf-8", text_bytes(tsm_older)},
            {"tsm cbor", std::string{media::tsm_cbor}, tsm_bytes},
            {"cmw cbor record", std::string{media::cmw_cbor}, cbor_record(media::tsm_cbor, tsm_bytes, 4)},
            {"cmw cbor collection", std::string{media::cmw_cbor}, collection.finish()},
            {"cmw json record", std::string{media::cmw_json},
             text_bytes(Json::array({std::string{media::tsm_json}, base64url(text_bytes(tsm)), 4}))},
            {"cmw json collection", std::string{media::cmw_json},
             text_bytes({{"a", Json::array({std::string{media::snp_report}, base64url(real.report)})},
                         {"b", Json::array({std::string{media::cert_table}, base64url(real.table), 4})}})}};
}

} // namespace

static void a_real_report_is_affirmed_in_every_form(void **) {
    const Real real;
    const auto world = world_of(real);
    const std::string session = session_for(*world, real.parsed.report_data);
    for (const Form &form : forms_of(real)) {
        const HttpReply reply = world->ask("POST", session, {}, form.body, form.type);
        if (reply.status != 200)
            print_error("%s: %d %s\n", form.name.c_str(), reply.status, reply.body.c_str());
        assert_int_equal(reply.status, 200);
        const Json answer = body_of(reply);
        assert_true(answer["status"] == "complete");
        assert_true(equal(parse_base64(answer["evidence"]["value"].get<std::string>(), "value").value(), form.body));
        const Json claims = claims_of(answer["result"].get<std::string>(), world->key);
        if (claims["submods"]["sev-snp"]["ear_status"] != "affirming")
            print_error("%s: %s\n", form.name.c_str(), claims.dump(1).c_str());
        assert_true(claims["submods"]["sev-snp"]["ear_status"] == "affirming");
        assert_true(claims["eat_nonce"] == base64url(real.parsed.report_data));
        assert_true(claims["iat"] == world->now && claims["exp"] == world->now + 600);
    }
    // by itself it has no certificate, and collateral may bring one
    HttpReply reply =
        world->ask("POST", session, {}, real.report, std::string{media::snp_report}, "application/eat+jwt");
    assert_true(claims_of(reply.body, world->key)["submods"]["sev-snp"]["ear_status"] == "contraindicated");
    world->wanted.endorsements.veks.push_back(
        std::make_shared<const X509Certificate>(X509Certificate::parse(real.vcek, "vcek").value()));
    assert_true(world->service->reload(world->now));
    reply = world->ask("POST", session, {}, real.report, std::string{media::snp_report}, "application/eat+jwt");
    assert_true(header(reply, "Content-Type") == "application/eat+jwt");
    assert_true(claims_of(reply.body, world->key)["submods"]["sev-snp"]["ear_status"] == "affirming");
}

// Veraison's scheme for SNP does not look at REPORT_DATA. A report of last year must not pass for one of now.
static void a_report_for_another_nonce_is_contraindicated(void **) {
    const Real real;
    const auto world = world_of(real);
    for (const std::size_t size : {std::size_t{8}, std::size_t{32}, std::size_t{64}}) {
        Bytes nonce(size, std::byte{0x77});
        const Json answer = body_of(
            world->ask("POST", session_for(*world, nonce), {}, forms_of(real)[0].body, std::string{media::tsm_json}));
        const Json claims = claims_of(answer["result"].get<std::string>(), world->key)["submods"]["sev-snp"];
        assert_true(claims["ear_status"] == "contraindicated");
        assert_true(claims["ear_verifier_claims"]["failed"] == Json::array({"binding.report_data"}));
    }
    // nor one whose REPORT_DATA only begins with the nonce
    Bytes beginning{real.parsed.report_data.begin(), real.parsed.report_data.begin() + 16};
    const Json answer = body_of(
        world->ask("POST", session_for(*world, beginning), {}, forms_of(real)[0].body, std::string{media::tsm_json}));
    assert_true(claims_of(answer["result"].get<std::string>(),
                          world->key)["submods"]["sev-snp"]["ear_verifier_claims"]["failed"] ==
                Json::array({"binding.report_data"}));
}

static std::unique_ptr<World> own_world(const Case &c) {
    auto world = std::make_unique<World>();
    world->now = c.want.now;
    world->wanted = c.want;
    world->wanted.nonce.clear();
    world->wanted.exporter = {};
    world->wanted.peer_key = {};
    world->start();
    return world;
}

static void our_evidence_is_bound_to_its_nonce_and_names_its_key(void **) {
    Case c = good_case();
    c.claims.exporter.reset(); // for a passport
    const Bytes evidence = make_evidence(c);
    const auto world = own_world(c);
    const std::string session = session_for(*world, c.claims.nonce);
    for (const auto &[type, body] :
         {std::pair{std::string{media::cmw_cbor}, evidence},
          std::pair{std::string{media::cmw_cbor}, cbor_record(media::cmw_cbor, evidence, 4)},
          std::pair{std::string{media::cmw_json},
                    text_bytes(Json::array({std::string{media::cmw_cbor}, base64url(evidence)}))}}) {
        const HttpReply reply = world->ask("POST", session, {}, body, type);
        assert_int_equal(reply.status, 200);
        const Json claims = claims_of(body_of(reply)["result"].get<std::string>(), world->key);
        const Json &of_verifier = claims["submods"]["sev-snp"]["ear_verifier_claims"];
        // the emulated root was named, so that it is accepted; and it is contraindicated all the same
        assert_true(of_verifier["accepted"] == true && of_verifier["emulated"] == true);
        assert_true(claims["submods"]["sev-snp"]["ear_status"] == "contraindicated");
        assert_true(claims["cnf"]["jwk"]["x"] == base64url(c.claims.key.x));
    }
    const Json other = body_of(
        world->ask("POST", session_for(*world, Bytes(32, std::byte{1})), {}, evidence, std::string{media::cmw_cbor}));
    const Json claims = claims_of(other["result"].get<std::string>(), world->key);
    assert_true(claims["submods"]["sev-snp"]["ear_verifier_claims"]["accepted"] == false);
    assert_true(std::ranges::contains(claims["submods"]["sev-snp"]["ear_verifier_claims"]["failed"], "binding.nonce"));
    // what the policy demands of the vTPM's credential nobody here can have seen: it is not skipped
    Case demanding = c;
    demanding.want.policy.vtpm = VtpmDemands{};
    const auto strict = own_world(demanding);
    const Json refused =
        body_of(strict->ask("POST", session_for(*strict, c.claims.nonce), {}, evidence, std::string{media::cmw_cbor}));
    assert_true(claims_of(refused["result"].get<std::string>(),
                          strict->key)["submods"]["sev-snp"]["ear_verifier_claims"]["accepted"] == false);
}

static void bad_evidence_gets_a_contraindicated_result(void **) {
    const Real real;
    const auto world = world_of(real);
    const std::string session = session_for(*world, real.parsed.report_data);
    Real changed = real;
    changed.report[0x90] ^= std::byte{1}; // the launch digest
    const Json tdx{{"outblob", base64url(real.report)}, {"provider", "tdx_guest"}};
    for (const auto &[type, body] :
         {std::pair{std::string{media::tsm_json}, forms_of(changed)[0].body},
          std::pair{std::string{media::snp_report}, Bytes(100)}, std::pair{std::string{media::snp_report}, Bytes{}},
          std::pair{std::string{media::tsm_json}, text_bytes(tdx)},
          std::pair{std::string{media::tsm_json}, Bytes(3, std::byte{'{'})},
          std::pair{std::string{media::tsm_json}, text_bytes({{"provider", "sev_guest"}})},
          std::pair{std::string{media::tsm_cbor}, Bytes(3)}}) {
        const HttpReply reply = world->ask("POST", session, {}, body, type);
        assert_int_equal(reply.status, 200);
        assert_true(claims_of(body_of(reply)["result"].get<std::string>(),
                              world->key)["submods"]["sev-snp"]["ear_status"] == "contraindicated");
    }
    assert_true(world->log.back()["problem"].is_string()); // and the log says why it could not be read
}

static void what_is_no_wrapper_is_refused(void **) {
    const Real real;
    const auto world = world_of(real);
    const std::string session = session_for(*world, real.parsed.report_data);
    const auto refused = [&](int status, std::string_view kind, std::string_view type, const Bytes &body) {
        return is_problem(world->ask("POST", session, {}, body, std::string{type}), status, kind);
    };
    assert_true(refused(415, "media-type", "text/plain", {}));
    assert_true(refused(415, "media-type", "", {}));
    assert_true(refused(415, "media-type", media::cmw_cbor, cbor_record("text/plain", {}, 4)));
    assert_true(refused(413, "too-large", media::cmw_cbor, Bytes(max_evidence_size + 1)));
    assert_true(refused(413, "too-large", media::cmw_json, Bytes(max_presented_json + 1)));
    assert_true(refused(400, "evidence", media::cmw_cbor, {}));
    assert_true(refused(400, "evidence", media::cmw_cbor, Bytes(10, std::byte{0xff})));
    assert_true(refused(400, "evidence", media::cmw_cbor, cbor_record(media::tsm_cbor, {}, 8))); // a result
    assert_true(refused(400, "evidence", media::cmw_json, text_bytes(Json::array({"a/b"}))));
    assert_true(refused(400, "evidence", media::cmw_json, text_bytes(Json::array({"a/b", "+/", 4}))));
    assert_true(refused(400, "evidence", media::cmw_json, text_bytes("text")));
    assert_true(refused(400, "evidence", media::cmw_json, text_bytes(Json::object())));
    const Json twice{{"a", Json::array({std::string{media::snp_report}, base64url(real.report)})},
                     {"b", Json::array({std::string{media::snp_report}, base64url(real.report)})}};
    assert_true(refused(400, "evidence", media::cmw_json, text_bytes(twice)));
    const HttpReply reply = world->ask("POST", session, {}, {}, "text/plain");
    assert_true(header(reply, "Accept").contains("application/cmw+cbor"));
}

static void a_session_says_nonce_expiry_and_what_it_accepts(void **) {
    const Real real;
    const auto world = world_of(real);
    const HttpReply made = world->ask("POST", "/challenge-response/v1/newSession");
    assert_int_equal(made.status, 201);
    const std::string location = header(made, "Location");
    assert_true(location.starts_with("session/"));
    assert_true(header(made, "Content-Type") == "application/vnd.veraison.challenge-response-session+json");
    assert_true(header(made, "Cache-Control") == "no-store");
    const Json session = body_of(made);
    assert_true(session["status"] == "waiting" && session["expiry"] == "2025-10-01T00:05:00Z");
    assert_int_equal(parse_base64url(session["nonce"].get<std::string>(), "nonce")->size(), default_session_nonce);
    assert_int_equal(session["accept"].size(), evidence_media_types().size());
    // another one gets another nonce; the session itself can be looked at and deleted
    assert_true(body_of(world->ask("POST", "/challenge-response/v1/newSession"))["nonce"] != session["nonce"]);
    const std::string path = "/challenge-response/v1/" + location;
    assert_true(body_of(world->ask("GET", path)) == session);
    const HttpReply deleted = world->ask("DELETE", path);
    assert_true(deleted.status == 204 && deleted.body.empty());
    world->now += 299;
    assert_int_equal(world->ask("GET", path).status, 200);
    world->now += 1;
    assert_true(is_problem(world->ask("GET", path), 410, "session-expired"));
    assert_true(
        is_problem(world->ask("POST", path, {}, real.report, std::string{media::snp_report}), 410, "session-expired"));
    std::string forged = path;
    forged[path.size() - 5] = forged[path.size() - 5] == 'A' ? 'B' : 'A';
    assert_true(is_problem(world->ask("GET", forged), 404, "session-unknown"));
    assert_true(is_problem(world->ask("GET", "/challenge-response/v1/session/"), 404, "session-unknown"));
}

static void nonces_of_a_query_are_checked(void **) {
    const Real real;
    const auto world = world_of(real);
    const auto size_of = [&](std::string query) {
        const HttpReply reply = world->ask("POST", "/challenge-response/v1/newSession", std::move(query));
        return reply.status != 201 ? 0 : parse_base64url(body_of(reply)["nonce"].get<std::string>(), "nonce")->size();
    };
    assert_int_equal(size_of("nonceSize=8"), 8);
    assert_int_equal(size_of("nonceSize=64&"), 64);
    assert_int_equal(size_of("nonce=QUFBQUFBQUE"), 8);
    assert_int_equal(size_of("nonce=QUFBQUFBQUE%3d"), 8); // padded, as Veraison's own clients send it
    for (const char *query :
         {"nonceSize=7", "nonceSize=65", "nonceSize=", "nonceSize=-1", "nonceSize=32x",
          "nonceSize=99999999999999999999", "nonce=", "nonce=QUE", "nonce=QUFBQUFBQU%", "nonce=+/+/+/+/+/+/",
          "nonceSize=32&nonceSize=32", "nonceSize=32&nonce=QUFBQUFBQUE", "nonce_size=32", "a&b&c&d&e&f&g&h&i&j"}) {
        const HttpReply reply = world->ask("POST", "/challenge-response/v1/newSession", query);
        if (!is_problem(reply, 400, "nonce"))
            print_error("%s\n", query);
        assert_true(is_problem(reply, 400, "nonce"));
    }
}

// Old evidence can be posted to a session with its old nonce on any day: the result says who chose the nonce.
static void a_result_says_who_chose_the_nonce(void **) {
    const Real real;
    const auto world = world_of(real);
    const auto chosen_by = [&](const std::string &session, const char *member) {
        const HttpReply reply =
            world->ask("POST", session, {}, real.report, std::string{media::snp_report}, "application/eat+jwt");
        return claims_of(reply.body, world->key)["submods"]["sev-snp"][member]["nonce_by"];
    };
    const auto own_session = [&] {
        return "/challenge-response/v1/" +
               header(world->ask("POST", "/challenge-response/v1/newSession", "nonceSize=64"), "Location");
    };
    assert_true(chosen_by(session_for(*world, real.parsed.report_data), "ear_verifier_claims") == "client");
    assert_true(chosen_by(own_session(), "ear_verifier_claims") == "service");
    world->profile = EarProfile::veraison;
    world->start();
    assert_true(chosen_by(own_session(), "ear.veraison.policy-claims") == "service");
    world->client_nonces = false;
    world->start();
    assert_true(is_problem(world->ask("POST", "/challenge-response/v1/newSession", "nonce=QUFBQUFBQUE"), 400, "nonce"));
    assert_true(chosen_by(own_session(), "ear.veraison.policy-claims") == "service");
}

static void methods_paths_and_accepts_are_negotiated(void **) {
    const Real real;
    const auto world = world_of(real);
    const std::string session = session_for(*world, real.parsed.report_data);
    for (const auto &[method, path, allowed] :
         {std::tuple{"GET", std::string{"/challenge-response/v1/newSession"}, "POST"},
          std::tuple{"PUT", session, "GET, HEAD, POST, DELETE"},
          std::tuple{"POST", std::string{"/metrics"}, "GET, HEAD"},
          std::tuple{"GE", std::string{"/metrics"}, "GET, HEAD"}}) {
        const HttpReply reply = world->ask(method, path);
        assert_true(is_problem(reply, 405, "method") && header(reply, "Allow") == allowed);
    }
    for (const char *path : {"/nothing", "", "*", "/challenge-response/v1/newSession/", "/appraisals", "/../metrics"})
        assert_true(is_problem(world->ask("GET", path), 404, "not-found"));
    assert_true(is_problem(world->ask("GET", "/" + std::string(max_target_size, 'a')), 414, "target"));
    const auto type_for = [&](std::string accept) {
        return header(world->ask("POST", session, {}, real.report, std::string{media::snp_report}, std::move(accept)),
                      "Content-Type");
    };
    const std::string session_type = "application/vnd.veraison.challenge-response-session+json";
    assert_true(type_for("") == session_type && type_for("*/*") == session_type &&
                type_for("application/*") == session_type);
    assert_true(type_for("application/eat+cwt") == "application/eat+cwt");
    assert_true(type_for("application/eat+cwt;q=0.4, application/eat+jwt;q=0.5") == "application/eat+jwt");
    assert_true(type_for("application/eat+cwt, */*;q=0.1") == "application/eat+cwt");
    assert_true(type_for("application/eat+cwt, " + session_type) == session_type);
    assert_true(type_for("application/eat+cwt;q=0, */*") == session_type);
    assert_true(is_problem(world->ask("POST", session, {}, real.report, std::string{media::snp_report}, "text/html"),
                           406, "not-acceptable"));
    assert_true(is_problem(world->ask("POST", "/challenge-response/v1/newSession", {}, {}, {}, "text/html"), 406,
                           "not-acceptable"));
    // the older profile has no form in CBOR
    World veraison;
    veraison.profile = EarProfile::veraison;
    veraison.wanted = world->wanted;
    veraison.start();
    assert_true(is_problem(veraison.ask("POST", session_for(veraison, real.parsed.report_data), {}, real.report,
                                        std::string{media::snp_report}, "application/eat+cwt"),
                           406, "not-acceptable"));
    const HttpReply older = veraison.ask("POST", session_for(veraison, real.parsed.report_data), {},
                                         forms_of(real)[0].body, std::string{media::tsm_json}, "application/eat+jwt");
    assert_true(claims_of(older.body, veraison.key)["submods"]["sev-snp"]["ear.status"] == "affirming");
}

static void references_that_end_or_break_are_not_judged_by(void **) {
    const Real real;
    const auto world = world_of(real);
    const std::string session = session_for(*world, real.parsed.report_data);
    const auto submit = [&] {
        return world->ask("POST", session, {}, forms_of(real)[0].body, std::string{media::tsm_json});
    };
    assert_int_equal(world->ask("GET", "/readyz").status, 200);
    // a reload that fails keeps what was there
    world->broken = true;
    assert_false(world->service->reload(world->now));
    assert_int_equal(submit().status, 200);
    assert_true(world->service->metrics().reload_failures == 1);
    assert_true(world->log.back()["event"] == "reload" || world->log.size() > 1);
    // one that succeeds is used
    world->broken = false;
    world->wanted.measurements = {filled<48>(1)};
    world->ends = world->now + 10;
    assert_true(world->service->reload(world->now));
    assert_true(claims_of(body_of(submit())["result"].get<std::string>(),
                          world->key)["submods"]["sev-snp"]["ear_verifier_claims"]["failed"] ==
                Json::array({"snp.measurement"}));
    // until its end
    world->now += 10;
    assert_int_equal(submit().status, 200);
    world->now += 1;
    assert_true(is_problem(submit(), 503, "not-ready"));
    assert_true(is_problem(world->ask("GET", "/readyz"), 503, "not-ready"));
    assert_int_equal(world->ask("GET", "/healthz").status, 200);
    world->ends.reset();
    assert_true(world->service->reload(world->now));
    assert_int_equal(world->ask("GET", "/readyz").status, 200);
    // stopping: whoever asks is still served
    world->service->stop();
    assert_true(is_problem(world->ask("GET", "/readyz"), 503, "not-ready"));
    assert_int_equal(world->ask("POST", "/challenge-response/v1/newSession").status, 201);
    assert_int_equal(submit().status, 200);
}

static void discovery_and_key_set_name_every_key(void **) {
    const Real real;
    const auto world = world_of(real);
    const HttpReply found = world->ask("GET", "/.well-known/veraison/verification");
    assert_true(header(found, "Content-Type") == "application/vnd.veraison.discovery+json");
    const Json discovery = body_of(found);
    assert_true(discovery["ear-verification-key"]["x"] == base64url(world->key.x));
    assert_true(discovery["service-state"] == "READY");
    assert_true(discovery["api-endpoints"]["newChallengeResponseSession"] == "/challenge-response/v1/newSession");
    const Json set = body_of(world->ask("GET", "/.well-known/jwks.json"));
    assert_int_equal(set["keys"].size(), 2);
    assert_true(set["keys"][0]["kid"] == base64url(key_thumbprint(world->key)));
}

static void the_log_has_no_tokens_and_the_metrics_count(void **) {
    const Real real;
    const auto world = world_of(real);
    const std::string session = session_for(*world, real.parsed.report_data);
    (void)world->ask("POST", session, {}, forms_of(real)[0].body, std::string{media::tsm_json});
    (void)world->ask("GET", session + "A");
    const Json &line = world->log.back();
    assert_true(line["event"] == "appraisal" && line["accepted"] == true && line["status"] == "affirming");
    assert_true(line["measurement"] == hex(real.parsed.measurement) && line["peer"] == "192.0.2.1");
    for (const Json &each : world->log)
        assert_false(each.dump().contains(session.substr(session.rfind('/') + 1)));
    const std::string metrics = world->ask("GET", "/metrics").body;
    for (const char *wanted :
         {"cvmin_appraisals_total{status=\"affirming\"} 1\n", "cvmin_sessions_total 1\n", "cvmin_ready 1\n",
          "cvmin_appraisal_seconds_count 1\n", "cvmin_appraisal_seconds_bucket{le=\"0.001000\"} 1\n",
          "cvmin_requests_total{route=\"/challenge-response/v1/session/{token}\",status=\"200\"} 1\n",
          "cvmin_session_tokens_refused_total{reason=\"malformed\"} 1\n"}) {
        if (!metrics.contains(wanted))
            print_error("%s is missing in\n%s\n", wanted, metrics.c_str());
        assert_true(metrics.contains(wanted));
    }
}

static void the_page_shows_the_last_hundred(void **) {
    const Real real;
    const auto world = world_of(real);
    const std::string session = session_for(*world, real.parsed.report_data);
    for (std::size_t i = 0; i < max_history + 5; ++i)
        (void)world->ask("POST", session, {}, Bytes(1), std::string{media::snp_report});
    (void)world->ask("POST", session, {}, forms_of(real)[0].body, std::string{media::tsm_json});
    const auto entries = world->service->history().recent();
    assert_int_equal(entries.size(), max_history);
    assert_true(entries.front()->status == "affirming" && entries.back()->status == "contraindicated");
    const HttpReply page = world->ask("GET", "/");
    assert_true(page.status == 200 && page.body.contains("/appraisals/" + entries.front()->id));
    assert_true(header(page, "Content-Security-Policy").starts_with("default-src 'none'"));
    const HttpReply one = world->ask("GET", "/appraisals/" + entries.front()->id);
    assert_true(one.status == 200 && one.body.contains("ACCEPTED") && !one.body.contains("<script"));
    assert_true(is_problem(world->ask("GET", "/appraisals/AAAA"), 404, "not-found"));
    World hidden;
    hidden.wanted = world->wanted;
    hidden.page = false;
    hidden.start();
    assert_true(is_problem(hidden.ask("GET", "/"), 404, "not-found"));
    (void)hidden.ask("POST", session_for(hidden, real.parsed.report_data), {}, Bytes(1),
                     std::string{media::snp_report});
    assert_true(hidden.service->history().recent().empty());
}

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(a_token_is_read_by_whoever_has_the_key),
        cmocka_unit_test(a_token_has_the_documented_bytes),
        cmocka_unit_test(a_token_with_any_other_bit_is_forged),
        cmocka_unit_test(session_keys_have_a_length),
        cmocka_unit_test(base64url_has_one_encoding),
        cmocka_unit_test(a_client_gets_its_burst_and_then_its_rate),
        cmocka_unit_test(the_table_of_clients_is_bounded),
        cmocka_unit_test(a_real_report_is_affirmed_in_every_form),
        cmocka_unit_test(a_report_for_another_nonce_is_contraindicated),
        cmocka_unit_test(our_evidence_is_bound_to_its_nonce_and_names_its_key),
        cmocka_unit_test(bad_evidence_gets_a_contraindicated_result),
        cmocka_unit_test(what_is_no_wrapper_is_refused),
        cmocka_unit_test(a_session_says_nonce_expiry_and_what_it_accepts),
        cmocka_unit_test(nonces_of_a_query_are_checked),
        cmocka_unit_test(a_result_says_who_chose_the_nonce),
        cmocka_unit_test(methods_paths_and_accepts_are_negotiated),
        cmocka_unit_test(references_that_end_or_break_are_not_judged_by),
        cmocka_unit_test(discovery_and_key_set_name_every_key),
        cmocka_unit_test(the_log_has_no_tokens_and_the_metrics_count),
        cmocka_unit_test(the_page_shows_the_last_hundred),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
