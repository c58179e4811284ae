// Certificate table: made by hand from SNP.md section 3, by another program, and every way to be wrong.
#include "tests/unit/cmocka.hpp"

#include "common/cert_table.hpp"

using namespace cvmin;

// GUIDs as they stand in memory: in the order in which they are written, as in negative/*/cert_table.bin.
static constexpr std::string_view vcek_guid = "63da758de6644564adc5f4b93be8accd";
static constexpr std::string_view vlek_guid = "a8074bc2a25a483eaae639c045a0b8a1";
static constexpr std::string_view ask_guid = "4ab7b379bbac4fe4a02f05aef327c782";
static constexpr std::string_view ark_guid = "c0b406a4a803495297433fb6014cd0ae";
static constexpr std::string_view crl_guid = "92f81bc358114d3d97ffd19f88dc67ea";
static constexpr std::string_view other_guid = "000102030405060708090a0b0c0d0e0f";

static void add_entry(Bytes &out, std::string_view guid, std::uint64_t offset, std::uint64_t length) {
    const Bytes id = parse_hex(guid, "guid").value();
    out.insert(out.end(), id.begin(), id.end());
    ByteArray<8> rest;
    store_le(MutableBytes{rest}.first(4), offset);
    store_le(MutableBytes{rest}.last(4), length);
    out.insert(out.end(), rest.begin(), rest.end());
}
static void add_end(Bytes &out) {
    out.resize(out.size() + 24);
}

static void parse_table_finds_every_known_certificate(void **) {
    Bytes table;
    constexpr std::size_t head = 7 * 24;
    add_entry(table, crl_guid, head + 8, 2);
    add_entry(table, vcek_guid, head, 1);
    add_entry(table, other_guid, head, 10);
    add_entry(table, ask_guid, head + 1, 2);
    add_entry(table, vlek_guid, head + 3, 4);
    add_entry(table, ark_guid, head + 7, 1);
    add_end(table);
    for (char c : std::string_view{"vaaLLLLrcc"})
        table.push_back(static_cast<std::byte>(c));
    const auto parsed = parse_cert_table(table);
    assert_true(parsed.has_value());
    assert_true(as_text(parsed->vcek) == "v" && as_text(parsed->ask) == "aa" && as_text(parsed->vlek) == "LLLL");
    assert_true(as_text(parsed->ark) == "r" && as_text(parsed->crl) == "cc");
    assert_int_equal(parsed->unknown, 1);
}

static void parse_table_reads_the_tables_of_another_program(void **) {
    for (const char *const name : {"forged-chain-Milan-B1", "forged-chain-Turin-B0"}) {
        const std::string folder = std::string{"negative/"} + name + "/";
        const Bytes bytes = test::data(folder + "cert_table.bin");
        const auto table = parse_cert_table(bytes);
        assert_true(table.has_value());
        assert_true(equal(table->vcek, test::data(folder + "vcek.der")));
        assert_true(equal(table->ask, test::data(folder + "ask.der")));
        assert_true(equal(table->ark, test::data(folder + "ark.der")));
    }
}

static void parse_table_reads_what_encode_writes(void **) {
    const Bytes vcek(1300, std::byte{1});
    const Bytes ark(1600, std::byte{2});
    const Bytes crl(1, std::byte{3});
    const Bytes bytes = encode_cert_table({.vcek = vcek, .vlek = {}, .ask = {}, .ark = ark, .crl = crl});
    assert_int_equal(bytes.size(), 4 * 24 + 1300 + 1600 + 1);
    const auto table = parse_cert_table(bytes);
    assert_true(table && equal(table->vcek, vcek) && equal(table->ark, ark) && equal(table->crl, crl));
    assert_true(table->vlek.empty() && table->ask.empty() && table->unknown == 0);
    const Bytes nothing = encode_cert_table({.vcek = {}, .vlek = {}, .ask = {}, .ark = {}, .crl = {}});
    assert_int_equal(nothing.size(), 24);
    assert_true(parse_cert_table(nothing).has_value());
}

static void parse_table_rejects_entries_outside_of_it(void **) {
    const struct {
        std::uint64_t offset, length;
    } cases[] = {
        {48, 1}, {0, 49}, {49, 0}, {0xffffffff, 1}, {1, 0xffffffff}, {0xffffffd0, 0x60}, {0xffffffff, 0xffffffff}};
    for (const auto &[offset, length] : cases) {
        Bytes table;
        add_entry(table, vcek_guid, offset, length);
        add_end(table);
        assert_true(parse_cert_table(table).error() == (Error{Errc::out_of_range, "cert_table.entry", 0}));
    }
}

static void parse_table_rejects_a_known_certificate_twice(void **) {
    for (const std::string_view guid : {vcek_guid, vlek_guid, ask_guid, ark_guid, crl_guid}) {
        Bytes table;
        add_entry(table, guid, 0, 0); // also when it is empty
        add_entry(table, guid, 0, 1);
        add_end(table);
        assert_true(parse_cert_table(table).error() == (Error{Errc::malformed, "cert_table.entry", 24}));
    }
}

static void parse_table_rejects_a_missing_end(void **) {
    Bytes table;
    add_entry(table, vcek_guid, 0, 1);
    add_end(table);
    for (std::size_t size = 0; size < table.size(); ++size)
        assert_true(parse_cert_table(ByteView{table}.first(size)).error().code == Errc::truncated ||
                    parse_cert_table(ByteView{table}.first(size)).error().code == Errc::out_of_range);
}

static void parse_table_rejects_more_than_its_limits(void **) {
    Bytes table;
    for (std::size_t i = 0; i < max_cert_table_entries; ++i)
        add_entry(table, other_guid, 0, 0);
    Bytes more = table;
    add_end(table);
    assert_int_equal(parse_cert_table(table).value().unknown, max_cert_table_entries);
    add_entry(more, other_guid, 0, 0);
    add_end(more);
    assert_true(parse_cert_table(more).error().code == Errc::too_large);
    Bytes large(max_cert_table_size + 1);
    assert_true(parse_cert_table(large).error().code == Errc::too_large);
    large.resize(max_cert_table_size);
    assert_true(parse_cert_table(large).has_value());
}

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(parse_table_finds_every_known_certificate),
        cmocka_unit_test(parse_table_reads_the_tables_of_another_program),
        cmocka_unit_test(parse_table_reads_what_encode_writes),
        cmocka_unit_test(parse_table_rejects_entries_outside_of_it),
        cmocka_unit_test(parse_table_rejects_a_known_certificate_twice),
        cmocka_unit_test(parse_table_rejects_a_missing_end),
        cmocka_unit_test(parse_table_rejects_more_than_its_limits),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
