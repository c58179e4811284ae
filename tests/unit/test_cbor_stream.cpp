// CBOR of others: what RFC 8949 calls well-formed, the bounds, and the deterministic form. Encodings are typed from
// RFC 8949, appendix A.
#include "tests/unit/cmocka.hpp"

#include "common/cbor_stream.hpp"

using namespace cvmin;
using cbor::Cursor;
using cbor::Form;
using cbor::Major;

static Bytes from_hex(std::string_view text) {
    return parse_hex(text, "test").value();
}
static Errc why(std::string_view encoded, Form form = Form::any) {
    const auto checked = cbor::check_item(from_hex(encoded), 4096, form, "test");
    assert_false(checked.has_value());
    return checked.error().code;
}
static bool fine(std::string_view encoded, Form form = Form::any) {
    return cbor::check_item(from_hex(encoded), 4096, form, "test").has_value();
}

static void check_item_takes_the_items_of_appendix_a(void **) {
    for (const char *encoded : {"00",
                                "17",
                                "1818",
                                "1903e8",
                                "1a000f4240",
                                "1b000000e8d4a51000",
                                "1bffffffffffffffff",
                                "20",
                                "3bffffffffffffffff",
                                "f97e00",
                                "fb3ff199999999999a",
                                "f4",
                                "f5",
                                "f6",
                                "c074323031332d30332d32315432303a30343a30305a",
                                "c11a514b67b0",
                                "d74401020304",
                                "d818456449455446",
                                "40",
                                "4401020304",
                                "60",
                                "6449455446",
                                "62c3bc",
                                "63e6b0b4",
                                "64f0908591",
                                "80",
                                "8301820203820405",
                                "a0",
                                "a201020304",
                                "a26161016162820203"})
        assert_true(fine(encoded));
}

static void check_item_refuses_what_is_not_well_formed(void **) {
    assert_true(why("") == Errc::truncated);
    assert_true(why("18") == Errc::truncated);
    assert_true(why("1a0102") == Errc::truncated);
    assert_true(why("42ff") == Errc::truncated);
    assert_true(why("82ff") == Errc::truncated); // two items in one byte
    assert_true(why("8101ff") == Errc::trailing);
    assert_true(why("1c") == Errc::malformed);                 // reserved
    assert_true(why("5f42010243030405ff") == Errc::malformed); // indefinite lengths
    assert_true(why("9fff") == Errc::malformed);
    assert_true(why("bfff") == Errc::malformed);
    assert_true(why("f7") == Errc::malformed);   // undefined
    assert_true(why("f818") == Errc::malformed); // a simple value that nobody gave a meaning
    assert_true(why("c1") == Errc::truncated);   // a tag of nothing
}

static void check_item_refuses_texts_that_are_not_utf8(void **) {
    assert_true(why("6180") == Errc::malformed);
    assert_true(why("62c080") == Errc::malformed);     // overlong
    assert_true(why("63eda080") == Errc::malformed);   // surrogate
    assert_true(why("64f4908080") == Errc::malformed); // above U+10FFFF
    assert_true(why("62c328") == Errc::malformed);
    assert_true(why("61c3") == Errc::malformed);
}

static void check_item_refuses_two_equal_keys(void **) {
    assert_true(why("a201020103") == Errc::malformed);
    assert_true(why("a3010202020102") == Errc::malformed); // not side by side
    assert_true(why("a2616101616102") == Errc::malformed);
    assert_true(why("81a101a201020103") == Errc::malformed); // inside
    assert_true(why("a1800a") == Errc::malformed);           // a key that is an array
    assert_true(fine("a2010241010a"));                       // 1 and h'01'
    assert_true(fine("a201a1010202a10102"));                 // the same key in two maps
}

static void deterministic_form_wants_shortest_numbers_and_sorted_keys(void **) {
    assert_true(fine("1817"));
    assert_true(why("1817", Form::deterministic) == Errc::malformed);
    assert_true(why("1900ff", Form::deterministic) == Errc::malformed);
    assert_true(why("1a0000ffff", Form::deterministic) == Errc::malformed);
    assert_true(why("1b00000000ffffffff", Form::deterministic) == Errc::malformed);
    assert_true(why("5801ff", Form::deterministic) == Errc::malformed);
    assert_true(fine("a202030102"));
    assert_true(why("a202030102", Form::deterministic) == Errc::malformed);
    assert_true(fine("a201020304", Form::deterministic));
}

static void check_item_bounds_depth_members_and_size(void **) {
    std::string deep = "00";
    for (std::size_t i = 0; i < cbor::max_nesting; ++i)
        deep = "81" + deep;
    assert_true(fine(deep));
    assert_true(why("81" + deep) == Errc::too_large);
    std::string tags = "00";
    for (std::size_t i = 0; i <= cbor::max_nesting; ++i)
        tags = "c1" + tags;
    assert_true(why(tags) == Errc::too_large);
    // a count as large as can be written: refused from the count, not by walking
    assert_true(why("9bffffffffffffffff00") == Errc::truncated);
    assert_true(why("bbffffffffffffffff00") == Errc::truncated);
    std::string wide = "b90101"; // 257 members
    for (unsigned i = 0; i < 257; ++i) {
        ByteArray<2> key{};
        store_be(key, i);
        wide += "42" + hex(key) + "00";
    }
    assert_true(why(wide) == Errc::too_large);
    assert_true(cbor::check_item(from_hex("4401020304"), 4, Form::any, "test").error().code == Errc::too_large);
}

static void cursor_reads_what_is_there_in_any_order(void **) {
    const Bytes input = from_hex("a4"
                                 "20"
                                 "d9022904"
                                 "6161"
                                 "4101"
                                 "01"
                                 "f5"
                                 "02"
                                 "82"
                                 "1bffffffffffffffff"
                                 "63616263");
    Cursor cursor(input, 4096, "test");
    const std::size_t members = cursor.map();
    const auto first = cursor.key();
    cursor.expect_tag(553);
    const std::uint64_t four = cursor.unsigned_integer();
    const bool text_key_is_nothing = !cursor.key().has_value();
    const ByteView one = cursor.bytes(1, 1);
    const auto third = cursor.key();
    const ByteView skipped = cursor.skip_item();
    const auto fourth = cursor.key();
    const std::size_t items = cursor.array(2, 2);
    const std::uint64_t largest = cursor.unsigned_integer();
    const std::string_view text = cursor.text(3, 3);
    assert_int_equal(members, 4);
    assert_true(first == -1 && third == 1 && fourth == 2);
    assert_int_equal(four, 4);
    assert_true(text_key_is_nothing && one.size() == 1 && one[0] == std::byte{1});
    assert_true(skipped.size() == 1 && skipped[0] == std::byte{0xf5});
    assert_true(items == 2 && largest == UINT64_MAX && text == "abc");
    assert_true(cursor.finish().has_value());
}

template <class Read> static Errc refused(std::string_view encoded, Read read) {
    const Bytes input = from_hex(encoded);
    Cursor cursor(input, 4096, "test");
    read(cursor);
    const auto finished = cursor.finish();
    assert_false(finished.has_value());
    return finished.error().code;
}

static void cursor_refuses_other_types_sizes_and_ends(void **) {
    assert_true(refused("01", [](Cursor &c) { c.map(); }) == Errc::malformed);
    assert_true(refused("a0", [](Cursor &c) { c.array(0, 1); }) == Errc::malformed);
    assert_true(refused("83010203", [](Cursor &c) { c.array(1, 2); }) == Errc::out_of_range);
    assert_true(refused("80", [](Cursor &c) { c.array(1, 2); }) == Errc::out_of_range);
    assert_true(refused("c101", [](Cursor &c) { c.expect_tag(2); }) == Errc::unsupported);
    assert_true(refused("1bffffffffffffffff", [](Cursor &c) { c.integer(); }) == Errc::out_of_range);
    assert_true(refused("05", [](Cursor &c) { c.unsigned_integer(4); }) == Errc::out_of_range);
    assert_true(refused("4101", [](Cursor &c) { c.bytes(2, 3); }) == Errc::out_of_range);
    assert_true(refused("6161", [](Cursor &c) { c.text(2, 3); }) == Errc::out_of_range);
    assert_true(refused("6161", [](Cursor &c) { c.bytes(0, 9); }) == Errc::malformed);
    assert_true(refused("820102", [](Cursor &c) { c.array(2, 2); }) == Errc::trailing);
    assert_true(refused("01", [](Cursor &c) { c.integer(), c.integer(); }) == Errc::malformed);
}

static void cursor_stays_at_its_first_failure(void **) {
    const Bytes input = from_hex("820102");
    Cursor cursor(input, 4096, "test");
    cursor.at("first");
    cursor.text(0, 9);
    cursor.at("second");
    const bool silent =
        cursor.array(2, 2) == 0 && cursor.integer() == 0 && cursor.skip_item().empty() && !cursor.is(Major::array);
    const auto finished = cursor.finish();
    assert_true(silent);
    assert_true(finished.error().where == "first");
}

static void writer_writes_the_shortest_form(void **) {
    cbor::Writer writer;
    writer.array(13);
    for (const std::int64_t value : {0, 23, 24, 255, 256, 65535, 65536})
        writer.integer(value);
    writer.unsigned_integer(UINT64_MAX);
    writer.integer(-1);
    writer.integer(INT64_MIN);
    writer.tag(501);
    writer.map(1);
    writer.integer(1);
    writer.text("a");
    writer.bytes(from_hex("0102"));
    writer.raw(from_hex("80"));
    const std::string written = hex(writer.finish());
    assert_string_equal(written.c_str(), "8d0017181818ff19010019ffff1a000100001bffffffffffffffff20"
                                         "3b7fffffffffffffffd901f5a1016161"
                                         "42010280");
}

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(check_item_takes_the_items_of_appendix_a),
        cmocka_unit_test(check_item_refuses_what_is_not_well_formed),
        cmocka_unit_test(check_item_refuses_texts_that_are_not_utf8),
        cmocka_unit_test(check_item_refuses_two_equal_keys),
        cmocka_unit_test(deterministic_form_wants_shortest_numbers_and_sorted_keys),
        cmocka_unit_test(check_item_bounds_depth_members_and_size),
        cmocka_unit_test(cursor_reads_what_is_there_in_any_order),
        cmocka_unit_test(cursor_refuses_other_types_sizes_and_ends),
        cmocka_unit_test(cursor_stays_at_its_first_failure),
        cmocka_unit_test(writer_writes_the_shortest_form),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
