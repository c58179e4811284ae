// Claims: bytes typed from RFC 9711, RFC 8747 and RFC 9053, not from our encoder.
#include "common/claims.hpp"
#include "tests/unit/wire.hpp"

using namespace cvmin;
using namespace cvmin::test;

namespace {

struct Parts { // each claim as hex, replaceable one by one
    std::string map = "a7";
    std::string cnf = "08 a1 01 a4 01 02 20 02 21 5830" + repeat("11", 48) + "22 5830" + repeat("22", 48);
    std::string nonce = "0a 5820" + repeat("aa", 32);
    std::string profile = "190109 70 7461673a63766d696e2c323032363a31";
    std::string exporter = "3a00011170 5820" + repeat("bb", 32);
    std::string runtime_log = "3a00011171 5830" + repeat("cc", 48);
    std::string manifest = "3a00011172 f6";
    std::string ak = "3a00011173 f6";
    std::string end = "";
    Bytes bytes() const { return bytes_of(map + cnf + nonce + profile + exporter + runtime_log + manifest + ak + end); }
};

Claims typed_claims() {
    return {.nonce = to_bytes(filled<32>(0xaa)),
            .key = {filled<48>(0x11), filled<48>(0x22)},
            .exporter = filled<32>(0xbb),
            .runtime_log = filled<48>(0xcc),
            .manifest = std::nullopt,
            .ak = std::nullopt};
}

Errc refusal(const Parts &parts) {
    const auto claims = parse_claims(parts.bytes());
    return claims ? Errc::usage : claims.error().code;
}

} // namespace

static void claims_are_written_and_read_as_typed(void **) {
    assert_true(equal(encode_claims(typed_claims()), Parts{}.bytes()));
    const auto read = parse_claims(Parts{}.bytes());
    assert_true(read && *read == typed_claims());
}

static void claims_round_trip_with_every_optional_present_and_absent(void **) {
    for (unsigned mask = 0; mask < 16; ++mask) {
        Claims claims = typed_claims();
        claims.nonce.resize(64);
        claims.exporter = mask & 1 ? std::optional{filled<32>(1)} : std::nullopt;
        claims.runtime_log = mask & 2 ? std::optional{filled<48>(2)} : std::nullopt;
        claims.manifest = mask & 4 ? std::optional{filled<32>(3)} : std::nullopt;
        claims.ak = mask & 8 ? std::optional{filled<32>(4)} : std::nullopt;
        const Bytes bytes = encode_claims(claims);
        const auto read = parse_claims(bytes);
        assert_true(read && *read == claims);
        assert_true(bytes.size() <= 700); // what max_claims_size is reasoned from
    }
}

static void every_truncation_is_refused(void **) {
    assert_int_equal(accepted_truncations(Parts{}.bytes(), parse_claims), 0);
    assert_true(refusal({.end = "00"}) == Errc::trailing);
}

static void a_nonce_outside_its_limits_is_refused(void **) {
    assert_true(refusal({.nonce = "0a 581f" + repeat("aa", 31)}) == Errc::out_of_range);
    assert_true(refusal({.nonce = "0a 5840" + repeat("aa", 64)}) == Errc::usage); // accepted
    assert_true(refusal({.nonce = "0a 5841" + repeat("aa", 65)}) == Errc::out_of_range);
    assert_true(refusal({.nonce = "0a 82 5820" + repeat("aa", 32) + "5820" + repeat("bb", 32)}) == Errc::malformed);
}

static void another_key_kind_or_profile_is_refused_as_unsupported(void **) {
    const std::string x_y = "21 5830" + repeat("11", 48) + "22 5830" + repeat("22", 48);
    assert_true(refusal({.cnf = "08 a1 01 a4 01 01 20 02" + x_y}) == Errc::unsupported); // OKP
    assert_true(refusal({.cnf = "08 a1 01 a4 01 02 20 01" + x_y}) == Errc::unsupported); // P-256
    assert_true(refusal({.profile = "190109 70 7461673a63766d696e2c323032363a32"}) == Errc::unsupported);
}

static void claims_that_are_missing_unknown_doubled_or_of_another_type_are_refused(void **) {
    const std::string x = "21 5830" + repeat("11", 48);
    assert_true(refusal({.map = "a6", .ak = ""}) == Errc::malformed);
    assert_true(refusal({.map = "a6", .nonce = ""}) == Errc::malformed);
    assert_true(refusal({.map = "a8", .end = "3a00011174 f6"}) == Errc::malformed);
    assert_true(refusal({.map = "a8", .nonce = Parts{}.nonce + Parts{}.nonce}) == Errc::malformed);
    assert_true(refusal({.exporter = "3a00011170 01"}) == Errc::malformed);
    assert_true(refusal({.exporter = "3a00011170 581f" + repeat("bb", 31)}) == Errc::out_of_range);
    assert_true(refusal({.runtime_log = "3a00011171 5820" + repeat("cc", 32)}) == Errc::out_of_range);
    assert_true(refusal({.cnf = "08 a1 01 a3 01 02 20 02" + x}) == Errc::malformed);           // no y
    assert_true(refusal({.cnf = "08 a1 01 a4 01 02 20 02" + x + "22 f5"}) == Errc::malformed); // compressed y
    assert_true(refusal({.cnf = "08 a1 01 a5 01 02 20 02" + x + "22 5830" + repeat("22", 48) + "23 40"}) ==
                Errc::malformed); // a private part
}

static void claims_in_another_order_or_encoding_are_refused(void **) {
    Parts swapped;
    std::swap(swapped.cnf, swapped.nonce);
    assert_true(refusal(swapped) == Errc::malformed);
    assert_true(refusal({.map = "bf", .end = "ff"}) == Errc::malformed);
    assert_true(refusal({.nonce = "180a 5820" + repeat("aa", 32)}) == Errc::malformed);
    assert_true(refusal({.map = "c1 a7"}) == Errc::malformed); // tagged
    assert_true(refused_with(parse_claims(Bytes(max_claims_size + 1)), Errc::too_large));
}

static void report_data_is_sha_512_of_the_exact_bytes(void **) {
    // FIPS 180-4 example "abc"
    assert_true(hex(report_data_for(as_bytes("abc"))) ==
                "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
                "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f");
}

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(claims_are_written_and_read_as_typed),
        cmocka_unit_test(claims_round_trip_with_every_optional_present_and_absent),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(a_nonce_outside_its_limits_is_refused),
        cmocka_unit_test(another_key_kind_or_profile_is_refused_as_unsupported),
        cmocka_unit_test(claims_that_are_missing_unknown_doubled_or_of_another_type_are_refused),
        cmocka_unit_test(claims_in_another_order_or_encoding_are_refused),
        cmocka_unit_test(report_data_is_sha_512_of_the_exact_bytes),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
