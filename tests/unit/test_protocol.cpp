// Messages of the agent's protocol and of the emulated AMD-SP, as bytes typed by hand.
#include "common/evidence.hpp"
#include "common/protocol.hpp"
#include "tests/unit/wire.hpp"

using namespace cvmin;
using namespace cvmin::test;

namespace {

std::string text(std::string_view value) { // CBOR text of up to 23 bytes
    return hex(Bytes{static_cast<std::byte>(0x60 + value.size())}) + hex(as_bytes(value));
}

Bytes put_secret_typed() {
    return bytes_of("a3 00" + text("put-secret") + "01" + text("db-key_1.a") + "02 43 0102ff");
}

Errc request_refusal(const std::string &typed) {
    const auto parsed = parse_request(bytes_of(typed));
    return parsed ? Errc::usage : parsed.error().code;
}
Errc response_refusal(const std::string &typed) {
    const auto parsed = parse_response(bytes_of(typed));
    return parsed ? Errc::usage : parsed.error().code;
}

} // namespace

static void requests_are_written_and_read_as_typed(void **) {
    const Bytes hello = bytes_of("a1 00" + text("hello")), stop = bytes_of("a1 00" + text("stop")),
                attest = bytes_of("a2 00" + text("attest") + "01 5820" + repeat("ab", 32)),
                digest = bytes_of("a2 00" + text("secret-digest") + "01" + text("k")), put = put_secret_typed();
    assert_true(equal(encode_request(request::Hello{}), hello));
    assert_true(equal(encode_request(request::Stop{}), stop));
    assert_true(equal(encode_request(request::Attest{to_bytes(filled<32>(0xab))}), attest));
    assert_true(equal(encode_request(request::SecretDigest{"k"}), digest));
    assert_true(equal(encode_request(request::PutSecret{"db-key_1.a", Secret{bytes_of("0102ff")}}), put));

    assert_true(std::holds_alternative<request::Hello>(*parse_request(hello)));
    assert_true(std::holds_alternative<request::Stop>(*parse_request(stop)));
    assert_true(std::get<request::Attest>(*parse_request(attest)).nonce == to_bytes(filled<32>(0xab)));
    assert_true(std::get<request::SecretDigest>(*parse_request(digest)).name == "k");
    const auto parsed = parse_request(put);
    const auto &secret = std::get<request::PutSecret>(*parsed);
    assert_true(secret.name == "db-key_1.a" && equal(secret.value.view(), bytes_of("0102ff")));
}

static void every_truncation_of_a_request_is_refused(void **) {
    assert_int_equal(accepted_truncations(put_secret_typed(), parse_request), 0);
    Bytes longer = put_secret_typed();
    longer.push_back(std::byte{0});
    assert_true(refused_with(parse_request(longer), Errc::trailing));
}

static void requests_outside_their_limits_are_refused(void **) {
    const std::string name = "01" + text("k"), put = "a3 00" + text("put-secret");
    assert_true(request_refusal("a2 00" + text("attest") + "01 581f" + repeat("ab", 31)) == Errc::out_of_range);
    assert_true(request_refusal("a2 00" + text("attest") + "01 5841" + repeat("ab", 65)) == Errc::out_of_range);
    assert_true(request_refusal(put + name + "02 40") == Errc::out_of_range);
    assert_true(request_refusal(put + name + "02 5a00010000" + repeat("00", 65536)) == Errc::usage); // accepted
    assert_true(request_refusal(put + name + "02 5a00010001" + repeat("00", 65537)) == Errc::out_of_range);
    assert_true(request_refusal(put + "01 60 02 41 00") == Errc::out_of_range);
    assert_true(request_refusal(put + "01 7840" + repeat("61", 64) + "02 41 00") == Errc::usage); // accepted
    assert_true(request_refusal(put + "01 7841" + repeat("61", 65) + "02 41 00") == Errc::out_of_range);
    for (const char *bad : {"A", "a/b", "a b", "a\n", "\xc3\xa4"})
        assert_true(request_refusal(put + "01" + text(bad) + "02 41 00") != Errc::usage);
    assert_true(refused_with(parse_request(Bytes(max_request_size + 1)), Errc::too_large));
}

static void requests_that_are_unknown_or_have_other_members_are_refused(void **) {
    assert_true(request_refusal("a1 00" + text("get-secret")) == Errc::unsupported);
    assert_true(request_refusal("a1 00" + text("Hello")) == Errc::unsupported);
    assert_true(request_refusal("a1 00 01") == Errc::malformed);
    assert_true(request_refusal("a0") == Errc::malformed);
    assert_true(request_refusal("80") == Errc::malformed);
    assert_true(request_refusal("a1 01" + text("hello")) == Errc::malformed);
    assert_true(request_refusal("a2 00" + text("hello") + "01 00") == Errc::malformed);
    assert_true(request_refusal("a1 00" + text("attest")) == Errc::malformed);
    assert_true(request_refusal("a2 00" + text("put-secret") + "01" + text("k")) == Errc::malformed);
    assert_true(request_refusal("a2 00" + text("secret-digest") + "01 41 6b") == Errc::malformed);
    assert_true(request_refusal("a1 1800" + text("hello")) == Errc::malformed);
}

static void secret_names_are_lower_case_and_short(void **) {
    assert_true(valid_secret_name("a"));
    assert_true(valid_secret_name("tls.key-2_old"));
    assert_true(valid_secret_name(std::string(64, 'x')));
    assert_false(valid_secret_name(""));
    assert_false(valid_secret_name(std::string(65, 'x')));
    assert_false(valid_secret_name("Key"));
    assert_false(valid_secret_name("../key"));
    assert_false(valid_secret_name(std::string_view{"a\0b", 3}));
}

static void responses_are_written_and_read_as_typed(void **) {
    const response::Hello hello{.version = 1,
                                .agent = "cvmin-agent 0.1.0",
                                .start_us = 1000000,
                                .listening_us = 1000500,
                                .ready_us = 1023456,
                                .report_source = "sev_guest"};
    const Bytes hello_typed = bytes_of("a7 00" + text("hello") + "01 01 02" + text("cvmin-agent 0.1.0") +
                                       "03 1a000f4240 04 1a000f4434 05 1a000f9de0 06" + text("sev_guest"));
    assert_true(equal(encode_response(hello), hello_typed));
    const auto hello_read = parse_response(hello_typed);
    const auto &h = std::get<response::Hello>(*hello_read);
    assert_true(h.version == 1 && h.agent == hello.agent && h.start_us == 1000000 && h.listening_us == 1000500 &&
                h.ready_us == 1023456 && h.report_source == "sev_guest");

    const Bytes evidence = bytes_of("a2 00" + text("evidence") + "01 43 a1b2c3"),
                stored = bytes_of("a2 00" + text("stored") + "01 5820" + repeat("d1", 32)),
                stopping = bytes_of("a1 00" + text("stopping")),
                failure = bytes_of("a3 00" + text("failure") + "01 03 02" + text("no evidence yet"));
    assert_true(equal(encode_response(response::Evidence{bytes_of("a1b2c3")}), evidence));
    assert_true(equal(encode_response(response::Stored{filled<32>(0xd1)}), stored));
    assert_true(equal(encode_response(response::Stopping{}), stopping));
    assert_true(equal(encode_response(response::Failure{PeerErrc::not_attested, "no evidence yet"}), failure));
    assert_true(std::get<response::Evidence>(*parse_response(evidence)).evidence == bytes_of("a1b2c3"));
    assert_true(std::get<response::Stored>(*parse_response(stored)).digest == filled<32>(0xd1));
    assert_true(std::holds_alternative<response::Stopping>(*parse_response(stopping)));
    const auto failed = parse_response(failure);
    assert_true(std::get<response::Failure>(*failed).code == PeerErrc::not_attested);
    assert_true(std::get<response::Failure>(*failed).text == "no evidence yet");

    assert_int_equal(accepted_truncations(hello_typed, parse_response), 0);
    assert_int_equal(accepted_truncations(failure, parse_response), 0);
}

static void a_quote_can_be_asked_for_with_the_evidence(void **) {
    const Bytes typed = bytes_of("a4 00" + text("attest") + "01 5820" + repeat("ab", 32) + "02 0b 03 1a00ff800f");
    const request::Attest attest{to_bytes(filled<32>(0xab)), request::PcrSelection{TpmAlg::sha256, 0xff800f}};
    assert_true(equal(encode_request(attest), typed));
    const auto parsed = parse_request(typed);
    assert_true(parsed && std::get<request::Attest>(*parsed).pcrs == attest.pcrs);
    assert_int_equal(accepted_truncations(typed, parse_request), 0);

    const std::string nonce = "00" + text("attest") + "01 5820" + repeat("ab", 32);
    assert_true(request_refusal("a4" + nonce + "02 0c 03 01") == Errc::usage);       // accepted: SHA-384, PCR 0
    assert_true(request_refusal("a4" + nonce + "02 12 03 01") == Errc::unsupported); // SM3-256
    assert_true(request_refusal("a4" + nonce + "02 0b 03 00") == Errc::out_of_range);
    assert_true(request_refusal("a4" + nonce + "02 0b 03 1a01000000") == Errc::out_of_range); // PCR 24
    assert_true(request_refusal("a3" + nonce + "02 0b") == Errc::malformed);
    assert_true(request_refusal("a3" + nonce + "03 01") == Errc::malformed);
}

static void credential_activation_is_written_and_read_as_typed(void **) {
    const Bytes typed = bytes_of("a3 00" + text("activate") + "01 43 a1b2c3 02 42 d4e5"),
                answer = bytes_of("a2 00" + text("activated") + "01 42 0102");
    assert_true(equal(encode_request(request::Activate{bytes_of("a1b2c3"), bytes_of("d4e5")}), typed));
    assert_true(equal(encode_response(response::Activated{bytes_of("0102")}), answer));
    const auto parsed = parse_request(typed);
    assert_true(parsed && std::get<request::Activate>(*parsed).id_object == bytes_of("a1b2c3"));
    assert_true(std::get<request::Activate>(*parsed).encrypted_secret == bytes_of("d4e5"));
    assert_true(std::get<response::Activated>(*parse_response(answer)).credential == bytes_of("0102"));
    assert_int_equal(accepted_truncations(typed, parse_request), 0);
    assert_int_equal(accepted_truncations(answer, parse_response), 0);

    const std::string head = "a3 00" + text("activate");
    assert_true(request_refusal(head + "01 590100" + repeat("00", 256) + "02 590200" + repeat("00", 512)) ==
                Errc::usage); // accepted
    assert_true(request_refusal(head + "01 590101" + repeat("00", 257) + "02 41 00") == Errc::out_of_range);
    assert_true(request_refusal(head + "01 41 00 02 590201" + repeat("00", 513)) == Errc::out_of_range);
    assert_true(request_refusal(head + "01 40 02 41 00") == Errc::out_of_range);
    assert_true(request_refusal(head + "01 41 00 02 40") == Errc::out_of_range);
    assert_true(response_refusal("a2 00" + text("activated") + "01 40") == Errc::out_of_range);
    assert_true(response_refusal("a2 00" + text("activated") + "01 5841" + repeat("00", 65)) == Errc::out_of_range);
}

static void events_are_asked_for_and_given_as_typed(void **) {
    const Bytes typed = bytes_of("a2 00" + text("events") + "01 07"),
                answer = bytes_of("a3 00" + text("events") + "01 43 a0a0a0 02 0a");
    assert_true(equal(encode_request(request::Events{7}), typed));
    assert_true(equal(encode_response(response::EventsChunk{bytes_of("a0a0a0"), 10}), answer));
    assert_int_equal(std::get<request::Events>(*parse_request(typed)).from, 7);
    const auto parsed = parse_response(answer);
    assert_true(parsed && std::get<response::EventsChunk>(*parsed).records == bytes_of("a0a0a0"));
    assert_int_equal(std::get<response::EventsChunk>(*parsed).total, 10);
    assert_int_equal(accepted_truncations(typed, parse_request), 0);
    assert_int_equal(accepted_truncations(answer, parse_response), 0);
    assert_true(request_refusal("a2 00" + text("events") + "01 20") == Errc::malformed); // -1
    assert_true(request_refusal("a1 00" + text("events")) == Errc::malformed);
    const std::string head = "a3 00" + text("events");
    assert_true(response_refusal(head + "01 5a00010000" + repeat("00", 65536) + "02 00") == Errc::usage); // accepted
    assert_true(response_refusal(head + "01 5a00010001" + repeat("00", 65537) + "02 00") == Errc::out_of_range);
    assert_true(response_refusal(head + "01 40 02 60") == Errc::malformed);
}

static void inputs_are_put_in_pieces_as_typed(void **) {
    const Bytes manifest = bytes_of("a2 00" + text("manifest") + "01 42 a0a1"),
                put = bytes_of("a4 00" + text("put") + "01" + text("data/a.csv") + "02 1a00010000 03 43 0102ff"),
                algorithm = bytes_of("a4 00" + text("put") + "01" + text("algorithm") + "02 00 03 41 7f"),
                end = bytes_of("a3 00" + text("put-end") + "01" + text("data/a.csv") + "02 1a00010003"),
                ok = bytes_of("a2 00" + text("put-ok") + "01 1a00010003");
    assert_true(equal(encode_request(request::Manifest{bytes_of("a0a1")}), manifest));
    assert_true(equal(encode_request(request::Put{"data/a.csv", 65536, bytes_of("0102ff")}), put));
    assert_true(equal(encode_request(request::Put{"algorithm", 0, bytes_of("7f")}), algorithm));
    assert_true(equal(encode_request(request::PutEnd{"data/a.csv", 65539}), end));
    assert_true(equal(encode_response(response::PutOk{65539}), ok));
    assert_true(std::get<request::Manifest>(*parse_request(manifest)).manifest == bytes_of("a0a1"));
    const auto read = parse_request(put);
    const auto &piece = std::get<request::Put>(*read);
    assert_true(piece.item == "data/a.csv" && piece.offset == 65536 && equal(piece.data, bytes_of("0102ff")));
    const auto ended = parse_request(end);
    assert_true(std::get<request::PutEnd>(*ended).item == "data/a.csv" &&
                std::get<request::PutEnd>(*ended).size == 65539);
    assert_int_equal(std::get<response::PutOk>(*parse_response(ok)).received, 65539);
    for (const Bytes &typed : {manifest, put, end})
        assert_int_equal(accepted_truncations(typed, parse_request), 0);
    assert_int_equal(accepted_truncations(ok, parse_response), 0);

    const std::string head = "a4 00" + text("put");
    assert_true(request_refusal(head + "01" + text("algorithm") + "02 00 03 5a00010000" + repeat("00", 65536)) ==
                Errc::usage); // accepted
    assert_true(request_refusal(head + "01" + text("algorithm") + "02 00 03 5a00010001" + repeat("00", 65537)) ==
                Errc::out_of_range);
    assert_true(request_refusal(head + "01" + text("algorithm") + "02 00 03 40") == Errc::out_of_range);
    for (const char *bad :
         {"algorithm/x", "Algorithm", "data", "data/", "data/A", "data/.a", "data/a/b", "output/a", "a"})
        assert_true(request_refusal(head + "01" + text(bad) + "02 00 03 41 00") == Errc::out_of_range);
    const std::string manifest_head = "a2 00" + text("manifest");
    assert_true(request_refusal(manifest_head + "01 598000" + repeat("00", 32768)) == Errc::usage); // accepted
    assert_true(request_refusal(manifest_head + "01 598001" + repeat("00", 32769)) == Errc::out_of_range);
    assert_true(request_refusal(manifest_head + "01 40") == Errc::out_of_range);
}

static void a_status_is_written_and_read_as_typed(void **) {
    const Bytes ask = bytes_of("a1 00" + text("status"));
    assert_true(equal(encode_request(request::Status{}), ask));
    assert_true(std::holds_alternative<request::Status>(*parse_request(ask)));

    const Bytes nothing = bytes_of("a6 00" + text("status") + "01 00 02 80 03 f6 04 f6 05 f6");
    assert_true(equal(encode_response(response::Status{}), nothing));
    assert_true(std::get<response::Status>(*parse_response(nothing)) == response::Status{});

    const response::Status status{
        .state = RunState::result,
        .items = {{.item = "algorithm", .received = 1000, .complete = true},
                  {.item = "data/a", .received = 5, .complete = false}},
        .reason = "x",
        .wait_status = 256,
        .outputs = std::vector<response::OutputFile>{{.name = "Join.csv", .size = 3, .sha256 = filled<32>(0xd1)}}};
    const Bytes typed =
        bytes_of("a6 00" + text("status") + "01 03 02 82 83" + text("algorithm") + "1903e8 01 83" + text("data/a") +
                 "05 00 03 61 78 04 190100 05 81 83" + text("Join.csv") + "03 5820" + repeat("d1", 32));
    assert_true(equal(encode_response(status), typed));
    assert_true(std::get<response::Status>(*parse_response(typed)) == status);
    assert_int_equal(accepted_truncations(typed, parse_response), 0);

    const std::string head = "a6 00" + text("status"), tail = "03 f6 04 f6 05 f6";
    const std::string item = "83" + text("data/a") + "00 00", output = "83 61 78 00 5820" + repeat("d1", 32);
    assert_true(response_refusal(head + "01 06 02 80" + tail) == Errc::usage); // accepted
    assert_true(response_refusal(head + "01 07 02 80" + tail) == Errc::out_of_range);
    assert_true(response_refusal(head + "01 01 02 91" + repeat(item, 17) + tail) == Errc::usage); // accepted
    assert_true(response_refusal(head + "01 01 02 92" + repeat(item, 18) + tail) == Errc::out_of_range);
    assert_true(response_refusal(head + "01 01 02 81 83" + text("data/a") + "00 02" + tail) == Errc::out_of_range);
    assert_true(response_refusal(head + "01 01 02 81 82" + text("data/a") + "00" + tail) == Errc::malformed);
    assert_true(response_refusal(head + "01 05 02 80 03 60 04 f6 05 f6") == Errc::out_of_range);
    assert_true(response_refusal(head + "01 05 02 80 03 7861" + repeat("78", 97) + "04 f6 05 f6") ==
                Errc::out_of_range);
    assert_true(response_refusal(head + "01 03 02 80 03 f6 04 00 05 9840" + repeat(output, 64)) ==
                Errc::usage); // accepted
    assert_true(response_refusal(head + "01 03 02 80 03 f6 04 00 05 9841" + repeat(output, 65)) == Errc::out_of_range);
    assert_true(response_refusal(head + "01 03 02 80 03 f6 04 00 05 81 83 62 2e2e 00 5820" + repeat("d1", 32)) ==
                Errc::out_of_range); // ".."
}

static void a_result_is_got_and_confirmed_as_typed(void **) {
    const Bytes get = bytes_of("a3 00" + text("get") + "01" + text("output/Join.csv") + "02 1a00040000"),
                log = bytes_of("a3 00" + text("get") + "01" + text("log") + "02 00"),
                confirm = bytes_of("a2 00" + text("confirm") + "01 5820" + repeat("d1", 32)),
                data = bytes_of("a3 00" + text("data") + "01 43 a1b2c3 02 1a00040003");
    assert_true(equal(encode_request(request::Get{"output/Join.csv", 262144}), get));
    assert_true(equal(encode_request(request::Get{"log", 0}), log));
    assert_true(equal(encode_request(request::Confirm{filled<32>(0xd1)}), confirm));
    assert_true(equal(encode_response(response::Data{bytes_of("a1b2c3"), 262147}), data));
    const auto got = parse_request(get);
    assert_true(std::get<request::Get>(*got).name == "output/Join.csv" &&
                std::get<request::Get>(*got).offset == 262144);
    assert_true(std::get<request::Confirm>(*parse_request(confirm)).receipt == filled<32>(0xd1));
    const auto given = parse_response(data);
    assert_true(std::get<response::Data>(*given).data == bytes_of("a1b2c3") &&
                std::get<response::Data>(*given).total == 262147);
    assert_int_equal(accepted_truncations(get, parse_request), 0);
    assert_int_equal(accepted_truncations(confirm, parse_request), 0);
    assert_int_equal(accepted_truncations(data, parse_response), 0);
    assert_true(request_refusal("a3 00" + text("get") + "01" + text("receipt") + "02 00") == Errc::usage); // accepted
    for (const char *bad : {"output/", "output/.", "output/..", "output/a/b", "output", "logs", "data/a"})
        assert_true(request_refusal("a3 00" + text("get") + "01" + text(bad) + "02 00") == Errc::out_of_range);
    const std::string head = "a3 00" + text("data");
    assert_true(response_refusal(head + "01 5a00040000" + repeat("00", 262144) + "02 00") == Errc::usage); // accepted
    assert_true(response_refusal(head + "01 5a00040001" + repeat("00", 262145) + "02 00") == Errc::out_of_range);
}

static void a_passport_is_put_and_got_as_typed(void **) {
    const Bytes put = bytes_of("a2 00" + text("passport-put") + "01 43 a1b2c3"),
                get = bytes_of("a1 00" + text("passport-get")),
                passport = bytes_of("a2 00" + text("passport") + "01 43 a1b2c3");
    assert_true(equal(encode_request(request::PassportPut{bytes_of("a1b2c3")}), put));
    assert_true(equal(encode_request(request::PassportGet{}), get));
    assert_true(equal(encode_response(response::Passport{bytes_of("a1b2c3")}), passport));
    assert_true(std::get<request::PassportPut>(*parse_request(put)).result == bytes_of("a1b2c3"));
    assert_true(std::holds_alternative<request::PassportGet>(*parse_request(get)));
    assert_true(std::get<response::Passport>(*parse_response(passport)).result == bytes_of("a1b2c3"));
    assert_int_equal(accepted_truncations(put, parse_request), 0);
    assert_int_equal(accepted_truncations(get, parse_request), 0);
    assert_int_equal(accepted_truncations(passport, parse_response), 0);

    const std::string put_head = "a2 00" + text("passport-put"), head = "a2 00" + text("passport");
    const std::string largest = "01 594000" + repeat("00", 16384), larger = "01 594001" + repeat("00", 16385);
    assert_true(request_refusal(put_head + largest) == Errc::usage); // accepted
    assert_true(request_refusal(put_head + larger) == Errc::out_of_range);
    assert_true(request_refusal(put_head + "01 40") == Errc::out_of_range);
    assert_true(request_refusal(put_head + "01 61 78") == Errc::malformed); // text
    assert_true(request_refusal("a1 00" + text("passport-put")) == Errc::malformed);
    assert_true(request_refusal("a2 00" + text("passport-get") + "01 41 00") == Errc::malformed);
    assert_true(response_refusal(head + largest) == Errc::usage); // accepted
    assert_true(response_refusal(head + larger) == Errc::out_of_range);
    assert_true(response_refusal(head + "01 40") == Errc::out_of_range);
    assert_true(response_refusal("a1 00" + text("passport")) == Errc::malformed);
}

static void run_states_have_frozen_numbers_and_names(void **) {
    constexpr std::string_view names[] = {"waiting-manifest", "waiting-inputs", "running", "result", "done",
                                          "failed",           "stopped"};
    for (std::size_t i = 0; i < std::size(names); ++i)
        assert_true(name(static_cast<RunState>(i)) == names[i]);
    assert_int_equal(max_run_state, std::size(names) - 1);
}

static void responses_outside_their_limits_are_refused(void **) {
    const std::string rest = "03 00 04 00 05 00 06" + text("x"), failure = "a3 00" + text("failure");
    assert_true(response_refusal("a7 00" + text("hello") + "01 01 02" + text("a") + rest) == Errc::usage); // accepted
    assert_true(response_refusal("a7 00" + text("hello") + "01 02 02" + text("a") + rest) == Errc::unsupported);
    assert_true(response_refusal("a7 00" + text("hello") + "01 01 02 60" + rest) == Errc::out_of_range);
    assert_true(response_refusal("a7 00" + text("hello") + "01 01 02 62 1b5b" + rest) == Errc::malformed);
    assert_true(response_refusal(failure + "01 00 02 60") == Errc::out_of_range);
    assert_true(response_refusal(failure + "01 12 02 60") == Errc::usage); // accepted
    assert_true(response_refusal(failure + "01 13 02 60") == Errc::out_of_range);
    assert_true(response_refusal(failure + "01 01 02 78c8" + repeat("78", 200)) == Errc::usage); // accepted
    assert_true(response_refusal(failure + "01 01 02 78c9" + repeat("78", 201)) == Errc::out_of_range);
    assert_true(response_refusal(failure + "01 01 02 66 6f6b1b5b324a") == Errc::malformed); // clears a terminal
    assert_true(response_refusal("a2 00" + text("stored") + "01 581f" + repeat("d1", 31)) == Errc::out_of_range);
    assert_true(response_refusal("a1 00" + text("secret")) == Errc::unsupported);
    assert_true(refused_with(parse_response(Bytes(max_response_size + 1)), Errc::too_large));
}

static void the_largest_messages_fit_their_limits(void **) {
    const Bytes put = encode_request(
        request::PutSecret{std::string(max_secret_name_size, 'n'), Secret{Bytes(max_secret_size, std::byte{1})}});
    assert_true(put.size() <= max_request_size && parse_request(put).has_value());
    const Bytes evidence = encode_response(response::Evidence{Bytes(max_evidence_size)});
    assert_true(evidence.size() <= max_response_size && parse_response(evidence).has_value());
}

static void peer_errors_have_frozen_numbers_and_texts(void **) {
    assert_int_equal(static_cast<int>(PeerErrc::bad_request), 1);
    assert_int_equal(static_cast<int>(PeerErrc::not_available), 2);
    assert_int_equal(static_cast<int>(PeerErrc::not_attested), 3);
    assert_int_equal(static_cast<int>(PeerErrc::exists), 4);
    assert_int_equal(static_cast<int>(PeerErrc::unknown_name), 5);
    assert_int_equal(static_cast<int>(PeerErrc::full), 6);
    assert_int_equal(static_cast<int>(PeerErrc::internal), 7);
    assert_int_equal(static_cast<int>(PeerErrc::tpm_refused), 8);
    assert_int_equal(static_cast<int>(PeerErrc::log_full), 9);
    assert_int_equal(static_cast<int>(PeerErrc::bad_manifest), 10);
    assert_int_equal(static_cast<int>(PeerErrc::manifest_mismatch), 11);
    assert_int_equal(static_cast<int>(PeerErrc::not_a_party), 12);
    assert_int_equal(static_cast<int>(PeerErrc::wrong_role), 13);
    assert_int_equal(static_cast<int>(PeerErrc::unknown_item), 14);
    assert_int_equal(static_cast<int>(PeerErrc::wrong_state), 15);
    assert_int_equal(static_cast<int>(PeerErrc::wrong_offset), 16);
    assert_int_equal(static_cast<int>(PeerErrc::too_large), 17);
    assert_int_equal(static_cast<int>(PeerErrc::digest_mismatch), 18);
    assert_true(name(PeerErrc::not_attested) == "not_attested");
    assert_true(message(PeerErrc::full) == "no room for another secret");
    assert_true(message(PeerErrc::internal).size() <= max_error_text_size);
}

static void frame_headers_are_big_endian(void **) {
    assert_true(equal(frame_header(0x01020304), bytes_of("01020304")));
}

static void sp_requests_are_laid_out_as_msg_report_req(void **) {
    const Bytes typed =
        bytes_of("0700000000000000 05 01 000000000000" + repeat("e1", 64) + "02000000" + repeat("00", 28));
    const SpRequest request{.sequence = 7, .report_data = filled<64>(0xe1), .vmpl = 2};
    assert_int_equal(typed.size(), sp_request_size);
    assert_true(equal(encode_sp_request(request), typed));
    const auto read = parse_sp_request(typed);
    assert_true(read && read->sequence == 7 && read->report_data == request.report_data && read->vmpl == 2);
    assert_int_equal(accepted_truncations(typed, parse_sp_request), 0);
    Bytes bad = typed;
    bad.push_back(std::byte{0});
    assert_true(refused_with(parse_sp_request(bad), Errc::trailing));
    for (const std::size_t at : {8u, 9u}) { // type, version
        bad = typed;
        bad[at] = std::byte{6};
        assert_true(refused_with(parse_sp_request(bad), Errc::unsupported));
    }
    for (const std::size_t at : {10u, 15u, 84u, 111u}) { // reserved
        bad = typed;
        bad[at] = std::byte{1};
        assert_true(refused_with(parse_sp_request(bad), Errc::malformed));
    }
}

static void sp_responses_are_laid_out_as_msg_report_rsp(void **) {
    const std::string head = "0800000000000000 06 01 000000000000";
    const Bytes typed = bytes_of(head + "00000000 a0040000" + repeat("00", 24) + repeat("5a", 1184) + repeat("c3", 20));
    const SpResponse response{.sequence = 8,
                              .status = SpStatus::ok,
                              .report = Bytes(1184, std::byte{0x5a}),
                              .certificates = Bytes(20, std::byte{0xc3})};
    assert_true(equal(encode_sp_response(response), typed));
    const auto read = parse_sp_response(typed);
    assert_true(read && read->sequence == 8 && read->status == SpStatus::ok && read->report == response.report &&
                read->certificates == response.certificates);
    // without certificates it is whole already; anything shorter is not
    assert_int_equal(accepted_truncations(ByteView{typed}.first(48 + 1184), parse_sp_response), 0);

    const auto refused = parse_sp_response(bytes_of(head + "00100000 00000000" + repeat("00", 24)));
    assert_true(refused && refused->status == SpStatus::bad_sequence && refused->report.empty());
    assert_true(
        refused_with(parse_sp_response(bytes_of(head + "01000000 00000000" + repeat("00", 24))), Errc::unsupported));
    assert_true(refused_with(parse_sp_response(bytes_of(head + "16000000 00000000" + repeat("00", 24) + "00")),
                             Errc::trailing));
    assert_true(
        refused_with(parse_sp_response(bytes_of(head + "00000000 9f040000" + repeat("00", 24) + repeat("5a", 1184))),
                     Errc::out_of_range));
    Bytes large = typed;
    large.resize(max_sp_response_size + 1);
    assert_true(refused_with(parse_sp_response(large), Errc::too_large));
    large.pop_back();
    assert_true(parse_sp_response(large).has_value());
    Bytes bad = typed;
    bad[47] = std::byte{1};
    assert_true(refused_with(parse_sp_response(bad), Errc::malformed));
    bad = typed;
    bad[8] = std::byte{5};
    assert_true(refused_with(parse_sp_response(bad), Errc::unsupported));
}

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(requests_are_written_and_read_as_typed),
        cmocka_unit_test(every_truncation_of_a_request_is_refused),
        cmocka_unit_test(requests_outside_their_limits_are_refused),
        cmocka_unit_test(requests_that_are_unknown_or_have_other_members_are_refused),
        cmocka_unit_test(secret_names_are_lower_case_and_short),
        cmocka_unit_test(responses_are_written_and_read_as_typed),
        cmocka_unit_test(a_quote_can_be_asked_for_with_the_evidence),
        cmocka_unit_test(credential_activation_is_written_and_read_as_typed),
        cmocka_unit_test(events_are_asked_for_and_given_as_typed),
        cmocka_unit_test(inputs_are_put_in_pieces_as_typed),
        cmocka_unit_test(a_status_is_written_and_read_as_typed),
        cmocka_unit_test(a_result_is_got_and_confirmed_as_typed),
        cmocka_unit_test(a_passport_is_put_and_got_as_typed),
        cmocka_unit_test(run_states_have_frozen_numbers_and_names),
        cmocka_unit_test(responses_outside_their_limits_are_refused),
        cmocka_unit_test(the_largest_messages_fit_their_limits),
        cmocka_unit_test(peer_errors_have_frozen_numbers_and_texts),
        cmocka_unit_test(frame_headers_are_big_endian),
        cmocka_unit_test(sp_requests_are_laid_out_as_msg_report_req),
        cmocka_unit_test(sp_responses_are_laid_out_as_msg_report_rsp),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
