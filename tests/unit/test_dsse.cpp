// DSSE envelopes: what is signed, as the protocol's own example has it; DER signatures; what is refused. That OpenSSL
// and cosign verify one of ours: tests/image/documents.sh.
#include "tests/unit/cmocka.hpp"

#include "host-tools/base/json.hpp"
#include "host-tools/base/mbed.hpp"
#include "host-tools/signing/dsse.hpp"
#include "host-tools/signing/key_file.hpp"

using namespace cvmin;

static void encoding_is_the_protocols_example(void **) {
    // DSSE protocol.md, "Test Vectors"
    const Bytes encoded = dsse_pre_authentication_encoding("http://example.com/HelloWorld", as_bytes("hello world"));
    assert_true(as_text(encoded) == "DSSEv1 29 http://example.com/HelloWorld 11 hello world");
    assert_true(as_text(dsse_pre_authentication_encoding("", {})) == "DSSEv1 0  0 ");
}

static void signature_to_der_has_the_shortest_numbers(void **) {
    P384Signature signature{};
    signature[47] = std::byte{1};    // r = 1
    signature[48] = std::byte{0x80}; // s has its highest bit set: a zero goes before it
    const Bytes der = signature_to_der(signature);
    assert_string_equal(hex(der).c_str(), ("3036020101023100"
                                           "80" +
                                           std::string(94, '0'))
                                              .c_str());
    assert_true(*signature_from_der(der) == signature);
}

static void signature_from_der_takes_one_form(void **) {
    const auto refused = [](std::string_view text) {
        const auto signature = signature_from_der(*parse_hex(text, "test"));
        return !signature && signature.error().code == Errc::malformed;
    };
    assert_false(refused("3006020101020102"));
    for (const char *bad :
         {"", "30", "3006020101", "300602010102010200", "3007020101020102", "3106020101020102", "3006030101020102",
          "30070202000102 0102", "3008020200010202000 2", "3006020181020102", "308106020101020102", "30050200020102"}) {
        std::string text{bad};
        std::erase(text, ' ');
        assert_true(refused(text));
    }
    assert_true(refused("3036020101"
                        "0231"
                        "01" +
                        std::string(96, '0'))); // 49 bytes that are not a zero and 48
}

static const char *const type = in_toto_payload_type;
static std::string envelope_by(const NewKey &key, std::string_view payload) {
    P384PrivateKey secret;
    const auto read = read_private_key(secret, key.pem.view());
    auto envelope = sign_dsse(type, as_bytes(payload), secret, system_random, nullptr);
    return read && envelope ? *envelope : std::string{};
}
static Errc verdict(const std::string &envelope, const NewKey &key, std::string_view wanted_type = type) {
    const auto payload = verify_dsse(as_bytes(envelope), wanted_type, key.public_key);
    return payload ? Errc::usage : payload.error().code;
}

static void verify_dsse_gives_back_what_was_signed(void **) {
    const auto key = generate_key();
    const std::string text = "{\"a\": 1}\n", envelope = envelope_by(*key, text);
    const auto payload = verify_dsse(as_bytes(envelope), type, key->public_key);
    assert_true(payload.has_value());
    assert_true(as_text(*payload) == text);
    assert_true(envelope.ends_with("}\n") && envelope.find('\n') == envelope.size() - 1); // one line
}

static void verify_dsse_refuses(void **) {
    const auto key = generate_key(), other = generate_key();
    const std::string good = envelope_by(*key, "payload");
    assert_true(verdict(good, *key) == Errc::usage);
    assert_true(verdict(good, *other) == Errc::mismatch);
    assert_true(verdict(good, *key, "application/json") == Errc::unsupported);
    const auto changed = [&](auto change) {
        Json json = *parse_json(as_bytes(good), "test");
        change(json);
        return verdict(json.dump(), *key);
    };
    assert_true(changed([](Json &j) { j["more"] = 1; }) == Errc::usage); // consumers ignore what they do not know
    assert_true(changed([](Json &j) { j["signatures"].erase(1); }) == Errc::usage);
    assert_true(changed([](Json &j) { j["signatures"][0]["keyid"] = "x"; }) == Errc::usage);
    assert_true(changed([](Json &j) { j["signatures"].erase(0); }) == Errc::mismatch); // SHA-256 alone is not ours
    assert_true(changed([](Json &j) { j["signatures"] = Json::array(); }) == Errc::mismatch);
    assert_true(changed([](Json &j) { j["payload"] = base64(as_bytes("Payload")); }) == Errc::mismatch);
    assert_true(changed([](Json &j) { j["payload"] = "!"; }) == Errc::malformed);
    assert_true(changed([](Json &j) { j["signatures"][0]["sig"] = 1; }) == Errc::malformed);
    assert_true(changed([](Json &j) { j["signatures"] = 1; }) == Errc::malformed);
    for (const char *member : {"payload", "payloadType", "signatures"})
        assert_true(changed([&](Json &j) { j.erase(member); }) == Errc::missing);
    assert_true(changed([](Json &j) {
                    for (std::size_t i = 0; i < max_dsse_signatures; ++i)
                        j["signatures"].push_back(j["signatures"][0]);
                }) == Errc::too_large);
    // the type is signed as well: an envelope of the same payload under another type is another
    Json json = *parse_json(as_bytes(good), "test");
    json["payloadType"] = "application/json";
    assert_true(verdict(json.dump(), *key, "application/json") == Errc::mismatch);
}

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(encoding_is_the_protocols_example),
        cmocka_unit_test(signature_to_der_has_the_shortest_numbers),
        cmocka_unit_test(signature_from_der_takes_one_form),
        cmocka_unit_test(verify_dsse_gives_back_what_was_signed),
        cmocka_unit_test(verify_dsse_refuses),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
