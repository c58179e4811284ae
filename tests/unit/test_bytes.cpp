// Cursor, hex, base64, error table.
#include "tests/unit/cmocka.hpp"

using namespace cvmin;

static void reader_stays_failed_after_a_short_read(void **) {
    const ByteArray<4> bytes{std::byte{1}, std::byte{2}, std::byte{3}, std::byte{4}};
    Reader reader{bytes};
    assert_int_equal(reader.le(2), 0x0201);
    assert_int_equal(reader.le(4), 0);
    assert_int_equal(reader.le(1), 0);
    assert_false(reader.ok());
    assert_true(reader.finish("x").error() == (Error{Errc::truncated, "x", 2}));
}

static void reader_refuses_trailing_bytes(void **) {
    const ByteArray<3> bytes{std::byte{1}, std::byte{2}, std::byte{3}};
    Reader reader{bytes};
    assert_int_equal(reader.be(2), 0x0102);
    assert_true(reader.finish("x").error() == (Error{Errc::trailing, "x", 2}));
}

static void hex_reads_what_it_writes_and_refuses_the_rest(void **) {
    const ByteArray<3> bytes{std::byte{0x00}, std::byte{0xab}, std::byte{0x7f}};
    assert_true(hex(bytes) == "00ab7f");
    assert_true(equal(*parse_hex("0x00AB7f", "x"), bytes));
    assert_true(parse_hex("abc", "x").error().code == Errc::malformed);
    assert_true(parse_hex("zz", "x").error().code == Errc::malformed);
    assert_true(parse_hex_exactly<2>("00ab7f", "x").error().code == Errc::out_of_range);
}

static void base64_reads_what_it_writes(void **) {
    const ByteArray<4> bytes{std::byte{1}, std::byte{2}, std::byte{3}, std::byte{0xff}};
    assert_true(base64(bytes) == "AQID/w==");
    assert_true(equal(*parse_base64("AQID/w==", "x"), bytes));
    assert_true(parse_base64("AQID/w=", "x").error().code == Errc::malformed);
}

static void every_error_has_a_message_and_a_frozen_exit_code(void **) {
#define X(code_name, text, code)                                                                                       \
    assert_true(message(Errc::code_name) == text);                                                                     \
    assert_true(exit_code(Errc::code_name) >= 2 && exit_code(Errc::code_name) <= 5);
    CVMIN_ERRC_TABLE(X)
#undef X
    assert_true(to_string(Error{Errc::unsupported, "a.b", 70}) ==
                "a.b is of a kind this version does not support (70)");
}

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(reader_stays_failed_after_a_short_read),
        cmocka_unit_test(reader_refuses_trailing_bytes),
        cmocka_unit_test(hex_reads_what_it_writes_and_refuses_the_rest),
        cmocka_unit_test(base64_reads_what_it_writes),
        cmocka_unit_test(every_error_has_a_message_and_a_frozen_exit_code),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
