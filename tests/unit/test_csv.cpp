// The CSV reader of the examples: what it reads, and that it says what is wrong by line and never by content.
#include "examples/csv.hpp"
#include "tests/unit/cmocka.hpp"

using namespace example;

namespace {

std::expected<Csv, CsvError> read(std::string_view text, std::vector<std::string> wanted = {"a", "b"}) {
    return read_csv(text, wanted);
}

bool reads(std::string_view text, const std::vector<std::vector<std::string>> &columns,
           const std::vector<std::size_t> &lines) {
    const auto csv = read(text);
    return csv && csv->columns == columns && csv->lines == lines;
}

void refuses(std::string_view text, const char *wanted) {
    const auto csv = read(text);
    assert_false(csv.has_value());
    assert_string_equal(to_string(csv.error()).c_str(), wanted);
}

} // namespace

static void columns_are_found_by_name_in_any_order(void **) {
    assert_true(reads("b,x,a\n1,2,3\n4,5,6\n", {{"3", "6"}, {"1", "4"}}, {2, 3}));
    assert_true(reads("\xef\xbb\xbf"
                      "a,b\r\n1,2\r\n",
                      {{"1"}, {"2"}}, {2}));
    assert_true(reads("a,b\n1,2", {{"1"}, {"2"}}, {2})); // no line end at the end
    assert_true(reads("a,b\n", {{}, {}}, {}));
    assert_true(reads("a,b\n,\n", {{""}, {""}}, {2}));
    assert_true(reads("a,b\n 1, 2 \n", {{" 1"}, {" 2 "}}, {2})); // blanks are part of a field
}

static void quoted_fields_hold_anything(void **) {
    assert_true(reads("\"a\",b\n\"1,\"\"x\"\"\r\n2\",\"\"\n3,4\n", {{"1,\"x\"\r\n2", "3"}, {"", "4"}}, {2, 4}));
    assert_true(reads("a,b\n1,\"2\"", {{"1"}, {"2"}}, {2}));
}

static void what_is_wrong_is_said_by_line(void **) {
    refuses("", "the file is empty; wanted a first line with the names of columns");
    refuses("\xef\xbb\xbf", "the file is empty; wanted a first line with the names of columns");
    refuses("secret,b\n1,2\n", "line 1: none of the 2 columns is \"a\"");
    refuses("a,b,a\n1,2,3\n", "line 1: more than one column is \"a\"");
    refuses("a,b\n1,2\nsecret\n", "line 3: 1 fields; wanted 2, as in the first line");
    refuses("a,b\n1,2,secret\n", "line 2: 3 fields; wanted 2, as in the first line");
    refuses("a,b\n1,2\n\n", "line 3: the line is empty");
    refuses("a,b\n\"1\n\",2\nsec\"ret,2\n", "line 4: a quotation mark within a field that does not begin with one");
    refuses("a,b\n\"1\"secret,2\n", "line 2: text after the end of a quoted field");
    refuses("a,b\n1,\"secret\n\n", "line 2: a quoted field does not end");
    refuses("a,b\nsec\rret,2\n", "line 2: a carriage return that ends no line");
    refuses(std::string_view{"a,b\n1,\0\n", 8}, "line 2: a zero byte: this is no CSV file");
    refuses("a,b\n1," + std::string(max_csv_field + 1, 'x'), "line 2: a field of more than 4096 bytes");
    refuses("a,b\n" + std::string(max_csv_columns, ','), "line 2: more than 256 fields");
    assert_true(read("a,b\n1," + std::string(max_csv_field, 'x')).has_value());
    const auto odd = read("a\n1\n", {std::string(100, 'n') + "\n"});
    assert_string_equal(to_string(odd.error()).c_str(),
                        ("line 1: none of the 1 columns is \"" + std::string(max_printed_name, 'n') + '"').c_str());
    assert_string_equal(CsvReader::printed("a\n\xff"
                                           "b")
                            .c_str(),
                        "a??b");
}

static void numbers_are_decimal_and_whole_fields(void **) {
    assert_true(parse_number("1.5") == 1.5 && parse_number("-2e3") == -2000.0 && parse_number("0") == 0.0);
    for (const char *text : {"", " 1", "1 ", "+1", "0x10", "nan", "inf", "-inf", "1e999", "1,5", "1.5x", "-"})
        assert_false(parse_number(text).has_value());
}

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(columns_are_found_by_name_in_any_order),
        cmocka_unit_test(quoted_fields_hold_anything),
        cmocka_unit_test(what_is_wrong_is_said_by_line),
        cmocka_unit_test(numbers_are_decimal_and_whole_fields),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
