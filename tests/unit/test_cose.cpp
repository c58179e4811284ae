// COSE_Sign1 with ES384 against the working group's published example, and everything about it that can be wrong.
// What `cvmin corim sign` makes is checked with openssl in tests/cli/corim.sh.
#include "tests/unit/cmocka.hpp"

#include "common/cose.hpp"
#include "host-tools/base/mbed.hpp"

using namespace cvmin;

// github.com/cose-wg/Examples, ecdsa-examples/ecdsa-sig-02.json: "ECDSA - P-384 - sign1"
static constexpr std::string_view example =
    "d28444a1013822a104445033383454546869732069732074686520636f6e74656e742e5860"
    "b8f85eff78c88f5351ced2f1887b79b296490795594b62e41e22529bb90208b7d8cddd4a46d0e9c986464d83d0a5d1ed"
    "f39b3e2c5750364230d0e8d76460d8808e76c83830fbbd1978cc174066eb437f17887979ecf027dcc9d51baf6c4fd8c0";
static constexpr std::string_view example_to_be_signed =
    "846a5369676e61747572653144a10138224054546869732069732074686520636f6e74656e742e";
static constexpr std::string_view example_x =
    "9132723f6292b010619dbe248d698c17b58756c639e7150f81bee4eb8ac37236ad0a1a19d67be32a66263e1e524d129c";
static constexpr std::string_view example_y =
    "98cd3078c554d832ac603c4326410ff61662459b41f1f3df5dbcc83598ff7c5ed8411ca735679d1c4cb3009397d9ef2c";
static constexpr std::size_t limit = 4096;

static Bytes from_hex(std::string_view text) {
    return parse_hex(text, "test").value();
}
static PublicKey example_key() {
    return {parse_hex_exactly<48>(example_x, "x").value(), parse_hex_exactly<48>(example_y, "y").value()};
}
static Result<void> parse_and_verify(ByteView message, const PublicKey &key) {
    CVMIN_TRY(parsed, cose::parse_sign1(message, limit));
    return cose::verify_sign1(parsed, key);
}
static Errc why(std::string_view message) {
    const auto parsed = cose::parse_sign1(from_hex(message), limit);
    assert_false(parsed.has_value());
    return parsed.error().code;
}
static const std::string signature(192, '1');

static void verify_takes_the_published_example(void **) {
    const Bytes message = from_hex(example);
    const auto parsed = cose::parse_sign1(message, limit);
    assert_true(parsed.has_value());
    assert_true(as_text(parsed->payload) == "This is the content.");
    const std::string to_be_signed = hex(cose::sig_structure(parsed->protected_header, parsed->payload));
    assert_true(to_be_signed == example_to_be_signed);
    assert_true(cose::verify_sign1(*parsed, example_key()).has_value());
    const auto kid = cose::find_member(parsed->unprotected, cose::label::kid);
    assert_true(kid.has_value() && hex(*kid) == "4450333834");
    assert_false(cose::find_member(parsed->protected_header, cose::label::kid).has_value());
}

static void verify_refuses_every_single_bit_that_is_flipped(void **) {
    const Bytes message = from_hex(example);
    const PublicKey key = example_key();
    std::size_t accepted = 0, kid_bits = 0;
    for (std::size_t bit = 0; bit < 8 * message.size(); ++bit) {
        Bytes changed = message;
        changed[bit / 8] ^= static_cast<std::byte>(1u << bit % 8);
        if (!parse_and_verify(changed, key))
            continue;
        ++accepted;
        // the unprotected header is not signed: its key id may be any other
        if (bit / 8 >= 8 && bit / 8 < 14)
            ++kid_bits;
    }
    assert_int_equal(accepted, kid_bits);
    assert_true(kid_bits < 6 * 8);
}

static void verify_refuses_every_truncation_and_a_tail(void **) {
    const Bytes message = from_hex(example);
    std::size_t accepted = 0;
    for (std::size_t size = 0; size < message.size(); ++size)
        accepted += cose::parse_sign1(ByteView{message}.first(size), limit).has_value();
    assert_int_equal(accepted, 0);
    Bytes longer = message;
    longer.push_back(std::byte{0});
    assert_true(cose::parse_sign1(longer, limit).error().code == Errc::trailing);
    assert_true(cose::parse_sign1(message, message.size() - 1).error().code == Errc::too_large);
}

static void verify_refuses_another_key_and_points_off_the_curve(void **) {
    const Bytes message = from_hex(example);
    const auto other = parse_p384_public_key(test::data("cose/public.pem"), "key");
    assert_true(other.has_value());
    assert_true(parse_and_verify(message, *other).error().code == Errc::mismatch);
    PublicKey off = example_key();
    off.y[47] ^= std::byte{1};
    assert_true(parse_and_verify(message, off).error().code == Errc::unsupported);
    assert_true(parse_and_verify(message, PublicKey{}).error().code == Errc::unsupported);
}

static void verify_refuses_scalars_out_of_range(void **) {
    for (const char digit : {'0', 'f'}) { // zero, and above the order
        const std::string message = std::string{example.substr(0, example.size() - 192)} + std::string(192, digit);
        const auto verified = parse_and_verify(from_hex(message), example_key());
        assert_true(verified.error().code == Errc::out_of_range);
    }
}

static void parse_refuses_what_is_not_a_sign1_of_ours(void **) {
    assert_true(why("d1"
                    "8444a1013822a0"
                    "4101"
                    "5860" +
                    signature) == Errc::unsupported); // COSE_Mac0's tag
    assert_true(why("8444a1013822a0"
                    "4101"
                    "5860" +
                    signature) == Errc::malformed); // no tag
    assert_true(why("d2"
                    "8344a1013822a0"
                    "4101") == Errc::out_of_range); // three items
    assert_true(why("d2"
                    "8444a1013826a0"
                    "4101"
                    "5860" +
                    signature) == Errc::unsupported); // PS512
    assert_true(why("d2"
                    "8443a10126a0"
                    "4101"
                    "5860" +
                    signature) == Errc::unsupported); // ES256
    assert_true(why("d2"
                    "8441a0a1013822"
                    "4101"
                    "5860" +
                    signature) == Errc::missing); // alg not protected
    assert_true(why("d2"
                    "8440a1013822"
                    "4101"
                    "5860" +
                    signature) == Errc::out_of_range); // no protected header
    assert_true(why("d2"
                    "8444a1013822a1013822"
                    "4101"
                    "5860" +
                    signature) == Errc::malformed); // alg in both
    assert_true(why("d2"
                    "8447a2013822013822a0"
                    "4101"
                    "5860" +
                    signature) == Errc::malformed); // alg twice
    assert_true(why("d2"
                    "8447a2013822028103a0"
                    "4101"
                    "5860" +
                    signature) == Errc::unsupported); // crit
    assert_true(why("d2"
                    "8444a1013822a0"
                    "f6"
                    "5860" +
                    signature) == Errc::unsupported); // detached
    assert_true(why("d2"
                    "8444a101382280"
                    "4101"
                    "5860" +
                    signature) == Errc::malformed); // headers in an array
    assert_true(why("d2"
                    "8444a1013822a0"
                    "4101"
                    "585f" +
                    signature.substr(2)) == Errc::out_of_range);
    assert_true(why("d2"
                    "8444a1013822a0"
                    "4101"
                    "5861" +
                    signature + "11") == Errc::out_of_range);
    assert_true(why("d2"
                    "8445a101382200a0"
                    "4101"
                    "5860" +
                    signature) == Errc::trailing); // after the header's map
}

static void make_sign1_makes_what_verify_takes(void **) {
    const Bytes header = from_hex("a1013822");
    for (const char *file : {"cose/key.pem", "cose/key.sec1.pem", "cose/key.der"}) {
        P384PrivateKey key;
        assert_true(key.parse(test::data(file), system_random, nullptr, "key").has_value());
        const auto made = cose::make_sign1(header, as_bytes("payload"), key, system_random, nullptr);
        assert_true(made.has_value());
        const auto public_key = parse_p384_public_key(test::data("cose/public.pem"), "key");
        assert_true(public_key.has_value() && *public_key == key.public_key().value());
        assert_true(parse_and_verify(*made, *public_key).has_value());
        assert_true(parse_and_verify(*made, example_key()).error().code == Errc::mismatch);
    }
}

static void make_sign1_refuses_headers_that_say_something_else(void **) {
    P384PrivateKey key;
    assert_true(key.parse(test::data("cose/key.pem"), system_random, nullptr, "key").has_value());
    for (const char *header : {"a0", "a10126", "a203600138 22", "a1190001", "80", ""}) {
        std::string text = header;
        std::erase(text, ' ');
        assert_false(cose::make_sign1(from_hex(text), {}, key, system_random, nullptr).has_value());
    }
}

static void keys_of_other_kinds_are_refused(void **) {
    P384PrivateKey key;
    assert_true(key.parse(test::data("cose/p256.pem"), system_random, nullptr, "k").error().code == Errc::unsupported);
    assert_true(key.parse(test::data("cose/public.pem"), system_random, nullptr, "k").error().code == Errc::malformed);
    assert_true(key.parse({}, system_random, nullptr, "k").error().code == Errc::malformed);
    assert_true(parse_p384_public_key(test::data("cose/key.pem"), "k").error().code == Errc::malformed);
    assert_true(parse_p384_public_key({}, "k").error().code == Errc::malformed);
    assert_true(parse_p384_public_key(as_bytes("-----BEGIN PUBLIC KEY-----\n"), "k").error().code == Errc::malformed);
}

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(verify_takes_the_published_example),
        cmocka_unit_test(verify_refuses_every_single_bit_that_is_flipped),
        cmocka_unit_test(verify_refuses_every_truncation_and_a_tail),
        cmocka_unit_test(verify_refuses_another_key_and_points_off_the_curve),
        cmocka_unit_test(verify_refuses_scalars_out_of_range),
        cmocka_unit_test(parse_refuses_what_is_not_a_sign1_of_ours),
        cmocka_unit_test(make_sign1_makes_what_verify_takes),
        cmocka_unit_test(make_sign1_refuses_headers_that_say_something_else),
        cmocka_unit_test(keys_of_other_kinds_are_refused),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
