// The strict CBOR layer: what is not canonical, or not asked for, is refused. Encodings typed from RFC 8949, appendix
// A.
#include "common/cbor.hpp"
#include "tests/unit/wire.hpp"

using namespace cvmin;
using namespace cvmin::test;

static bool integer_is(const char *typed, std::int64_t wanted) {
    const Bytes bytes = bytes_of(typed);
    cbor::Decoder in(bytes, 100, "x");
    const std::int64_t value = in.integer();
    cbor::Encoder out;
    out.integer(wanted);
    return in.finish() && value == wanted && equal(out.finish(), bytes);
}

static void integers_are_read_and_written_as_rfc_8949_shows(void **) {
    assert_true(integer_is("00", 0));
    assert_true(integer_is("17", 23));
    assert_true(integer_is("18 18", 24));
    assert_true(integer_is("18 64", 100));
    assert_true(integer_is("19 03e8", 1000));
    assert_true(integer_is("1a 000f4240", 1000000));
    assert_true(integer_is("1b 000000e8d4a51000", 1000000000000));
    assert_true(integer_is("20", -1));
    assert_true(integer_is("38 63", -100));
    assert_true(integer_is("39 03e7", -1000));
}

static Error refusal_of(const char *typed) {
    const Bytes bytes = bytes_of(typed);
    cbor::Decoder in(bytes, 64, "x");
    const auto result = in.finish();
    return result ? Error{Errc::usage, "accepted"} : result.error();
}

static void input_that_is_not_canonical_is_refused(void **) {
    assert_true(refusal_of("18 17").code == Errc::malformed);   // 23 in two bytes
    assert_true(refusal_of("19 0018").code == Errc::malformed); // 24 in three
    assert_true(refusal_of("1b 00000000ffffffff").code == Errc::malformed);
    assert_true(refusal_of("58 01 00").code == Errc::malformed); // length 1 in two bytes
    assert_true(refusal_of("b8 01 01 02").code == Errc::malformed);
    assert_true(refusal_of("5f 41 00 ff").code == Errc::malformed);            // indefinite string
    assert_true(refusal_of("9f 01 ff").code == Errc::malformed);               // array
    assert_true(refusal_of("bf 01 02 ff").code == Errc::malformed);            // map
    assert_true(refusal_of("a2 02 00 01 00").code == Errc::malformed);         // keys out of order
    assert_true(refusal_of("a2 01 00 01 00").code == Errc::malformed);         // key twice
    assert_true(refusal_of("a2 20 00 01 00").code == Errc::malformed);         // negative before positive
    assert_true(refusal_of("a2 62 6161 00 61 62 00").code == Errc::malformed); // "aa" before "b": length decides
    assert_true(refusal_of("c0 00").code == Errc::malformed);                  // tag
    assert_true(refusal_of("f7").code == Errc::malformed);                     // undefined
    assert_true(refusal_of("1c").code == Errc::malformed);                     // reserved
    assert_true(refusal_of("ff").code == Errc::malformed);                     // break alone
}

static void truncated_trailing_and_large_input_is_named_as_such(void **) {
    assert_true(refusal_of("").code == Errc::truncated);
    assert_true(refusal_of("18").code == Errc::truncated);
    assert_true(refusal_of("42 00").code == Errc::truncated);
    assert_true(refusal_of("a1 01").code == Errc::truncated);
    assert_true(refusal_of("01 02").code == Errc::trailing);
    assert_true(refusal_of("5b ffffffffffffffff 00").code == Errc::truncated);
    assert_true(refusal_of("9b ffffffffffffffff 00").code == Errc::malformed);
    assert_true(refusal_of(repeat("00", 65).c_str()) == (Error{Errc::too_large, "x", 65}));
}

static void nesting_has_an_end(void **) {
    assert_true(refusal_of((repeat("81", 60) + "00").c_str()).code == Errc::malformed);
    const Bytes five = bytes_of("81 81 81 81 81 00"); // well-formed; deeper than any message
    cbor::Decoder in(five, 64, "x");
    for (int i = 0; i < 5; ++i)
        in.open_array(1);
    assert_true(refused_with(in.finish(), Errc::malformed));
}

static void members_must_be_those_asked_for(void **) {
    const Bytes map = bytes_of("a2 01 05 02 06");
    {
        cbor::Decoder in(map, 64, "x");
        in.open_map();
        in.member(1, "x.one");
        assert_int_equal(in.unsigned_integer(), 5);
        in.close(); // member 2 was not asked for
        assert_true(in.finish().error() == (Error{Errc::malformed, "x.one", 3}));
    }
    {
        cbor::Decoder in(map, 64, "x");
        in.open_map();
        in.member(2, "x.two"); // 1 comes first
        assert_true(refused_with(in.finish(), Errc::malformed));
    }
    {
        cbor::Decoder in(map, 64, "x");
        in.open_map();
        in.member(1, "x.one");
        in.unsigned_integer();
        in.member(2, "x.two");
        in.unsigned_integer();
        in.member(3, "x.three"); // the map has ended
        assert_true(in.finish().error() == (Error{Errc::malformed, "x.three", 5}));
    }
}

static void text_keys_may_be_optional(void **) {
    const Bytes map = bytes_of("a2 61 61 00 61 62 01");
    cbor::Decoder in(map, 64, "x");
    in.open_map();
    assert_true(in.optional_member("a", "x.a"));
    assert_int_equal(in.unsigned_integer(), 0);
    assert_false(in.optional_member("aa", "x.aa"));
    in.member("b", "x.b");
    assert_int_equal(in.unsigned_integer(), 1);
    in.close();
    assert_true(in.finish().has_value());
}

static void counts_and_keys_may_be_the_input_s_to_choose(void **) {
    const Bytes input = bytes_of("83 a2 05 41 aa 07 f6 82 01 02 a1 01 80"); // [{5: h'aa', 7: null}, [1, 2], {1: []}]
    cbor::Decoder in(input, 64, "x");
    assert_int_equal(in.open_array(), 3);
    in.open_map();
    assert_false(in.optional_member(4, "x.four"));
    assert_true(in.optional_member(5, "x.five") && equal(in.bytes(1, 1), bytes_of("aa")));
    assert_true(in.more());
    assert_int_equal(in.unsigned_integer(), 7);
    assert_true(in.null() && !in.more());
    assert_false(in.optional_member(8, "x.eight"));
    in.close();
    assert_true(equal(in.raw(), bytes_of("82 01 02")));
    assert_true(in.more() && equal(in.raw(), bytes_of("a1 01 80")));
    assert_true(!in.more());
    in.close();
    assert_true(in.finish().has_value());
    cbor::Decoder whole(input, 64, "x");
    assert_true(equal(whole.raw(), input) && whole.finish().has_value());
    const Bytes empty = bytes_of("80"), map = bytes_of("a0");
    cbor::Decoder nothing(empty, 64, "x");
    assert_int_equal(nothing.open_array(), 0);
    assert_true(nothing.raw().empty());
    assert_true(refused_with(nothing.finish(), Errc::malformed));
    cbor::Decoder other(map, 64, "x");
    assert_int_equal(other.open_array(), 0);
    assert_true(!other.more() && refused_with(other.finish(), Errc::malformed));
}

static void values_of_another_type_or_size_are_refused(void **) {
    const Bytes text = bytes_of("63 616263"), data = bytes_of("43 010203"), minus = bytes_of("20"),
                null = bytes_of("f6"), huge = bytes_of("3b ffffffffffffffff"), control = bytes_of("62 1b5b");
    auto code = [](ByteView bytes, auto read) {
        cbor::Decoder in(bytes, 64, "x");
        read(in);
        const auto result = in.finish();
        return result ? Errc::usage : result.error().code;
    };
    assert_true(code(text, [](auto &in) { in.bytes(0, 9); }) == Errc::malformed);
    assert_true(code(text, [](auto &in) { in.text(4, 9); }) == Errc::out_of_range);
    assert_true(code(text, [](auto &in) { in.text(0, 2); }) == Errc::out_of_range);
    assert_true(code(text, [](auto &in) { in.text(3, 3); }) == Errc::usage); // accepted
    assert_true(code(text, [](auto &in) { in.expect_text("abd", Errc::unsupported); }) == Errc::unsupported);
    assert_true(code(control, [](auto &in) { in.text(0, 9); }) == Errc::malformed);
    assert_true(code(data, [](auto &in) { in.text(0, 9); }) == Errc::malformed);
    assert_true(code(data, [](auto &in) { in.template array<4>(); }) == Errc::out_of_range);
    assert_true(code(data, [](auto &in) { in.integer(); }) == Errc::malformed);
    assert_true(code(minus, [](auto &in) { in.unsigned_integer(); }) == Errc::malformed);
    assert_true(code(huge, [](auto &in) { in.integer(); }) == Errc::out_of_range);
    assert_true(code(null, [](auto &in) { in.unsigned_integer(); }) == Errc::malformed);
    assert_true(code(null, [](auto &in) { in.open_map(); }) == Errc::malformed);
}

static void the_first_failure_sticks(void **) {
    const Bytes map = bytes_of("a1 01 43 010203");
    cbor::Decoder in(map, 64, "x");
    in.open_map();
    in.member(1, "x.one");
    in.text(0, 9);
    assert_true(in.bytes(0, 9).empty());
    in.close();
    assert_true(in.finish().error() == (Error{Errc::malformed, "x.one", 2}));
}

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(integers_are_read_and_written_as_rfc_8949_shows),
        cmocka_unit_test(input_that_is_not_canonical_is_refused),
        cmocka_unit_test(truncated_trailing_and_large_input_is_named_as_such),
        cmocka_unit_test(nesting_has_an_end),
        cmocka_unit_test(members_must_be_those_asked_for),
        cmocka_unit_test(text_keys_may_be_optional),
        cmocka_unit_test(counts_and_keys_may_be_the_input_s_to_choose),
        cmocka_unit_test(values_of_another_type_or_size_are_refused),
        cmocka_unit_test(the_first_failure_sticks),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
