// The manifest of a computation: bytes typed by hand from protocol.cddl and RFC 8949, not from our encoder.
#include "common/manifest.hpp"
#include "tests/unit/wire.hpp"

using namespace cvmin;
using namespace cvmin::test;

namespace {

std::string text(std::string_view value) { // of up to 255 characters
    const ByteArray<1> size{static_cast<std::byte>(value.size())};
    if (value.size() < 24)
        return hex(ByteArray<1>{static_cast<std::byte>(0x60 + value.size())}) + hex(as_bytes(value));
    return "78" + hex(size) + hex(as_bytes(value));
}

struct Parts { // each member as hex, replaceable one by one
    std::string map = "a6";
    std::string version = "01 01";
    std::string id = "02 65 70736931 61"; // "psi1a"
    std::string algorithm = "03 a7";
    std::string algorithm_sha256 = "01 5820" + repeat("a1", 32);
    std::string algorithm_size_limit = "02 1a 00010000"; // 64 KiB
    std::string kind = "03 01";
    std::string arguments = "04 82 63 2d2d6e 60";            // "--n", ""
    std::string environment = "05 82 63 413d31 64 423d3d20"; // "A=1", "B== "
    std::string algorithm_party = "06 65 6361726f6c";        // "carol"
    std::string limits = "07 a5";
    std::string memory = "01 1a 04000000"; // 64 MiB
    std::string cpu_seconds = "02 18 3c";
    std::string wall_seconds = "03 18 78";
    std::string output = "04 1a 00100000"; // 1 MiB
    std::string processes = "05 04";
    std::string datasets = "04 82";
    std::string dataset1 = "a4 01 61 61 02 5820" + repeat("d1", 32) + "03 0a 04 65 616c696365"; // "a", 10, "alice"
    std::string dataset2 =
        "a4 01 65 622e637376 02 5820" + repeat("d2", 32) + "03 1903e8 04 63 626f62"; // "b.csv", 1000, "bob"
    std::string parties = "05 83";
    std::string party1 = "a2 01 65 616c696365 02 5860" + repeat("11", 48) + repeat("12", 48); // "alice"
    std::string party2 = "a2 01 63 626f62 02 5860" + repeat("21", 48) + repeat("22", 48);     // "bob"
    std::string party3 = "a2 01 65 6361726f6c 02 5860" + repeat("31", 48) + repeat("32", 48); // "carol"
    std::string consumers = "06 82 65 616c696365 63 626f62";
    std::string end = "";

    Bytes bytes() const {
        return bytes_of(map + version + id + algorithm + algorithm_sha256 + algorithm_size_limit + kind + arguments +
                        environment + algorithm_party + limits + memory + cpu_seconds + wall_seconds + output +
                        processes + datasets + dataset1 + dataset2 + parties + party1 + party2 + party3 + consumers +
                        end);
    }
};

Manifest typed_manifest() {
    return {.id = "psi1a",
            .algorithm = {.sha256 = filled<32>(0xa1),
                          .size_limit = 65536,
                          .kind = AlgorithmKind::elf,
                          .arguments = {"--n", ""},
                          .environment = {"A=1", "B== "},
                          .party = "carol",
                          .limits = {.memory = 64u << 20,
                                     .cpu_seconds = 60,
                                     .wall_seconds = 120,
                                     .output = 1u << 20,
                                     .processes = 4}},
            .datasets = {{"a", filled<32>(0xd1), 10, "alice"}, {"b.csv", filled<32>(0xd2), 1000, "bob"}},
            .parties = {{"alice", {filled<48>(0x11), filled<48>(0x12)}},
                        {"bob", {filled<48>(0x21), filled<48>(0x22)}},
                        {"carol", {filled<48>(0x31), filled<48>(0x32)}}},
            .consumers = {"alice", "bob"}};
}

constexpr std::string_view accepted = "accepted";

// "code member"
std::string refusal(const Parts &parts) {
    const auto manifest = parse_manifest(parts.bytes());
    return manifest ? std::string{accepted}
                    : std::string{name(manifest.error().code)} + ' ' + std::string{manifest.error().where};
}
void refused(const Parts &parts, const char *wanted) {
    assert_string_equal(refusal(parts).c_str(), wanted);
}

} // namespace

static void a_manifest_is_written_and_read_as_typed(void **) {
    const auto written = encode_manifest(typed_manifest());
    assert_true(written && equal(*written, Parts{}.bytes()));
    const auto read = parse_manifest(Parts{}.bytes());
    assert_true(read && *read == typed_manifest());
}

static void the_digest_is_sha_256_of_the_exact_bytes(void **) {
    // computed with Python's hashlib over the bytes above
    assert_string_equal(hex(manifest_digest(Parts{}.bytes())).c_str(),
                        "3f4993673547df370e40f476235641112346b881f8732376c104d2ed3cb6ac25");
}

static void lists_in_another_order_are_put_in_order_by_the_encoder_and_refused_by_the_parser(void **) {
    Manifest mixed = typed_manifest();
    std::ranges::reverse(mixed.datasets);
    std::ranges::reverse(mixed.parties);
    std::ranges::reverse(mixed.consumers);
    std::ranges::reverse(mixed.algorithm.environment);
    const auto written = encode_manifest(mixed);
    assert_true(written && equal(*written, Parts{}.bytes()));

    Parts parts;
    std::swap(parts.dataset1, parts.dataset2);
    refused(parts, "malformed manifest.dataset.party"); // where the list ends
    parts = {};
    std::swap(parts.party1, parts.party3);
    refused(parts, "malformed manifest.party.key");
    refused({.consumers = "06 82 63 626f62 65 616c696365"}, "malformed manifest.consumers");
    refused({.environment = "05 82 64 423d3d20 63 413d31"}, "malformed manifest.algorithm.environment");
    mixed.algorithm.arguments = {"", "--n"}; // the program's meaning, and not ours to change
    const auto other = encode_manifest(mixed);
    assert_true(other && !equal(*other, Parts{}.bytes()));
}

static void every_truncation_and_every_trailing_byte_is_refused(void **) {
    assert_int_equal(accepted_truncations(Parts{}.bytes(), parse_manifest), 0);
    refused({.end = "00"}, "trailing manifest");
}

static void a_member_that_is_missing_unknown_doubled_or_of_another_type_is_refused(void **) {
    refused({.map = "a5", .consumers = ""}, "malformed manifest.consumers");
    refused({.map = "a7", .end = "07 00"}, "malformed manifest.consumers");
    refused({.map = "a7", .version = "01 01 01 01"}, "malformed manifest");
    refused({.algorithm = "03 a6", .kind = ""}, "malformed manifest.algorithm.kind");
    refused({.limits = "07 a4", .processes = ""}, "malformed manifest.limits.processes");
    refused({.limits = "07 a6", .processes = "05 04 06 04"}, "malformed manifest.limits.processes");
    refused({.algorithm_sha256 = "01 581f" + repeat("a1", 31)}, "out_of_range manifest.algorithm.sha256");
    refused({.algorithm_sha256 = "01 7820" + repeat("61", 32)}, "malformed manifest.algorithm.sha256");
    refused({.memory = "01 f9 7400"}, "malformed manifest.limits.memory");
    refused({.memory = "01 1b 0000000004000000"}, "malformed manifest"); // not the shortest form
    refused({.party1 = "a3 01 65 616c696365 02 5860" + repeat("11", 96) + "03 00"}, "malformed manifest.party.key");
    refused({.party1 = "a2 01 65 616c696365 02 5830" + repeat("11", 48)}, "out_of_range manifest.party.key");
    refused({.party1 = "f6"}, "malformed manifest.parties");
}

static void another_version_or_kind_is_refused_as_unsupported(void **) {
    refused({.version = "01 02"}, "unsupported manifest.version");
    refused({.version = "01 00"}, "unsupported manifest.version");
    refused({.kind = "03 02"}, "unsupported manifest.algorithm.kind");
    refused({.kind = "03 00"}, "unsupported manifest.algorithm.kind");
}

static void names_are_those_of_files_that_hide_nowhere(void **) {
    for (const std::string_view good : {"a", "0", "a.csv", "7_b-c..d"})
        assert_true(is_manifest_name(good));
    for (const std::string_view bad : {"", ".", "..", ".a", "-a", "_a", "A", "a/b", "a b", "\xc3\xa4", "a\n"})
        assert_false(is_manifest_name(bad));
    assert_true(is_manifest_name(std::string(64, 'a')));
    assert_false(is_manifest_name(std::string(65, 'a')));
    assert_false(is_manifest_name({"a\0b", 3}));
    refused({.id = "02 62 2e2e"}, "malformed manifest.id");
    refused({.id = "02 60"}, "out_of_range manifest.id");
    refused({.id = "02 7841" + repeat("61", 65)}, "out_of_range manifest.id");
    refused({.algorithm_party = "06 65 4361726f6c"}, "malformed manifest.algorithm.party");
    refused({.dataset1 = "a4 01 61 2e 02 5820" + repeat("d1", 32) + "03 0a 04 65 616c696365"},
            "malformed manifest.dataset.name");
}

static void variables_are_of_capitals_and_none_is_the_loaders(void **) {
    for (const std::string_view good : {"A=", "A=1", "_X9=a=b c", "LD=1", "PATH=/in"})
        assert_true(is_environment(good));
    for (const std::string_view bad :
         {"", "A", "=", "=1", "a=1", "9A=1", "A B=1", "LD_PRELOAD=x", "LD_=x", "A=\x7f", "A=\n", "A=\xc3\xa4"})
        assert_false(is_environment(bad));
    assert_true(is_environment("A=" + std::string(254, 'x')));
    assert_false(is_environment("A=" + std::string(255, 'x')));
    refused({.environment = "05 81" + text("LD_PRELOAD=/in/a")}, "malformed manifest.algorithm.environment");
    refused({.environment = "05 82 63 413d31 63 413d32"}, "malformed manifest.algorithm.environment"); // A twice
    // by name and not by text: '=' stands after '-' but before letters
    refused({.environment = "05 82 63 413d31 64 41423d31"}, "accepted");
}

static void numbers_outside_their_limits_are_refused(void **) {
    const struct {
        Parts parts;
        const char *wanted;
    } cases[] = {
        {{.algorithm_size_limit = "02 00"}, "out_of_range manifest.algorithm.size_limit"},
        {{.algorithm_size_limit = "02 1b 0000010000000000"}, "accepted"}, // 1 TiB
        {{.algorithm_size_limit = "02 1b 0000010000000001"}, "out_of_range manifest.algorithm.size_limit"},
        {{.algorithm_size_limit = "02 1b ffffffffffffffff"}, "out_of_range manifest.algorithm.size_limit"},
        {{.algorithm_size_limit = "02 20"}, "malformed manifest.algorithm.size_limit"}, // -1
        {{.memory = "01 1a 00100000"}, "accepted"},                                     // 1 MiB, as much as the output
        {{.memory = "01 1a 000fffff"}, "out_of_range manifest.limits.memory"},
        {{.memory = "01 1b 0000010000000001"}, "out_of_range manifest.limits.memory"},
        {{.cpu_seconds = "02 00"}, "out_of_range manifest.limits.cpu_seconds"},
        {{.cpu_seconds = "02 1a 27657300"}, "accepted"}, // 255 x 30 days
        {{.cpu_seconds = "02 1a 27657301"}, "out_of_range manifest.limits.cpu_seconds"},
        {{.wall_seconds = "03 00"}, "out_of_range manifest.limits.wall_seconds"},
        {{.wall_seconds = "03 1a 00278d00"}, "accepted"}, // 30 days
        {{.wall_seconds = "03 1a 00278d01"}, "out_of_range manifest.limits.wall_seconds"},
        {{.output = "04 00"}, "out_of_range manifest.limits.output"},
        {{.output = "04 1a 04000000"}, "accepted"}, // all of its memory
        {{.output = "04 1a 04000001"}, "mismatch manifest.limits.output"},
        {{.processes = "05 00"}, "out_of_range manifest.limits.processes"},
        {{.processes = "05 191000"}, "accepted"},
        {{.processes = "05 191001"}, "out_of_range manifest.limits.processes"},
        {{.dataset1 = "a4 01 61 61 02 5820" + repeat("d1", 32) + "03 00 04 65 616c696365"},
         "out_of_range manifest.dataset.size_limit"},
        {{.arguments = "04 98 20" + repeat("60", 32)}, "accepted"},
        {{.arguments = "04 98 21" + repeat("60", 33)}, "too_large manifest.algorithm.arguments"},
        {{.arguments = "04 81 790100" + repeat("61", 256)}, "accepted"},
        {{.arguments = "04 81 790101" + repeat("61", 257)}, "out_of_range manifest.algorithm.arguments"},
        {{.arguments = "04 81 61 0a"}, "malformed manifest.algorithm.arguments"},
    };
    for (const auto &[parts, wanted] : cases)
        refused(parts, wanted);
}

static void lists_have_their_limits(void **) {
    const auto many = [](std::size_t count, auto entry) {
        std::string out;
        for (std::size_t i = 0; i < count; ++i)
            out += entry(static_cast<unsigned>(i));
        return out;
    };
    const auto two_digits = [](unsigned i) { return hex(ByteArray<1>{static_cast<std::byte>(0x61 + i)}); };
    const auto dataset = [&](unsigned i) {
        return "a4 01 61 " + two_digits(i) + "02 5820" + repeat("d1", 32) + "03 0a 04 65 616c696365";
    };
    // bob gets the result, so he keeps a role
    refused({.datasets = "04 90", .dataset1 = many(16, dataset), .dataset2 = ""}, "accepted");
    refused({.datasets = "04 91", .dataset1 = many(17, dataset), .dataset2 = ""}, "too_large manifest.datasets");
    refused({.datasets = "04 80", .dataset1 = "", .dataset2 = ""}, "accepted");
    refused({.parties = "05 80", .party1 = "", .party2 = "", .party3 = ""}, "missing manifest.parties");
    refused({.consumers = "06 80"}, "missing manifest.consumers");

    const auto party = [&](unsigned i) { return "a2 01 61 " + two_digits(i) + "02 5860" + repeat(two_digits(i), 96); };
    const auto consumer = [&](unsigned i) { return "61 " + two_digits(i); };
    Parts parts{.algorithm_party = "06 61 61",
                .datasets = "04 80",
                .dataset1 = "",
                .dataset2 = "",
                .parties = "05 90",
                .party1 = many(16, party),
                .party2 = "",
                .party3 = "",
                .consumers = "06 90" + many(16, consumer)};
    refused(parts, "accepted");
    parts.consumers = "06 91" + many(17, consumer);
    refused(parts, "too_large manifest.consumers");
    parts.parties = "05 91";
    parts.party1 = many(17, party);
    refused(parts, "too_large manifest.parties");
}

static void entries_that_occur_twice_are_refused(void **) {
    Parts parts;
    parts.dataset2 = parts.dataset1;
    refused(parts, "malformed manifest.dataset.party");
    parts = {};
    parts.party2 = parts.party1;
    refused(parts, "malformed manifest.party.key");
    refused({.consumers = "06 82 63 626f62 63 626f62"}, "malformed manifest.consumers");
    // two parties with one key: each could act as the other
    refused({.party2 = "a2 01 63 626f62 02 5860" + repeat("11", 48) + repeat("12", 48)}, "mismatch manifest.party.key");
}

static void references_to_nobody_and_parties_without_a_role_are_refused(void **) {
    refused({.algorithm_party = "06 65 6361726f6d"}, "mismatch manifest.algorithm.party");
    refused({.dataset1 = "a4 01 61 61 02 5820" + repeat("d1", 32) + "03 0a 04 65 616c696366"},
            "mismatch manifest.dataset.party");
    refused({.consumers = "06 81 64 64617665"}, "mismatch manifest.consumers");
    refused({.parties = "05 84", .party3 = Parts{}.party3 + "a2 01 64 64617665 02 5860" + repeat("41", 96)},
            "mismatch manifest.party");                        // dave has nothing to do here
    refused({.consumers = "06 81 65 6361726f6c"}, "accepted"); // the others bring data
}

static void the_encoder_refuses_what_the_parser_refuses(void **) {
    Manifest manifest = typed_manifest();
    manifest.consumers = {"alice", "dave"};
    assert_true(refused_with(encode_manifest(manifest), Errc::mismatch));
    manifest = typed_manifest();
    manifest.algorithm.limits.memory = 0;
    assert_true(refused_with(encode_manifest(manifest), Errc::out_of_range));
    manifest = typed_manifest();
    manifest.id = "..";
    assert_true(refused_with(encode_manifest(manifest), Errc::malformed));
}

static void the_largest_manifest_fits_its_limit(void **) {
    Manifest manifest = typed_manifest();
    const auto long_name = [](std::size_t i) { return std::string(63, 'n') + static_cast<char>('a' + i); };
    manifest.id = std::string(64, 'i');
    manifest.algorithm = {.sha256 = {},
                          .size_limit = max_item_size,
                          .kind = AlgorithmKind::elf,
                          .arguments = std::vector(max_arguments, std::string(max_argument_size, 'x')),
                          .environment = {},
                          .party = long_name(0),
                          .limits = {max_item_size, max_cpu_seconds, max_wall_seconds, max_item_size, max_processes}};
    manifest.datasets.clear();
    manifest.parties.clear();
    manifest.consumers.clear();
    for (std::size_t i = 0; i < max_environment; ++i) {
        std::string variable{static_cast<char>('A' + i / 8), static_cast<char>('A' + i % 8), '='};
        variable.resize(max_environment_size, 'v');
        manifest.algorithm.environment.push_back(std::move(variable));
    }
    for (std::size_t i = 0; i < max_parties; ++i) {
        manifest.datasets.push_back({long_name(i), {}, max_item_size, long_name(i)});
        PublicKey key{};
        key.x[0] = static_cast<std::byte>(i);
        manifest.parties.push_back({long_name(i), key});
        manifest.consumers.push_back(long_name(i));
    }
    const auto written = encode_manifest(manifest);
    assert_true(written.has_value());
    assert_true(written->size() <= 25u << 10); // what max_manifest_size is reasoned from
    assert_true(memory_bound(manifest) == 18 * max_item_size);
    assert_true(refused_with(parse_manifest(Bytes(max_manifest_size + 1)), Errc::too_large));
}

static void items_and_roles_follow_from_the_members(void **) {
    const Manifest manifest = typed_manifest();
    const auto all = items(manifest);
    assert_int_equal(all.size(), 3);
    assert_string_equal(all[0].name.c_str(), "algorithm");
    assert_string_equal(all[1].name.c_str(), "data/a");
    assert_string_equal(all[2].name.c_str(), "data/b.csv");
    const auto item = find_item(manifest, "data/b.csv");
    assert_true(item && item->party == "bob" && item->size_limit == 1000 && item->sha256 == filled<32>(0xd2));
    assert_true(find_item(manifest, "algorithm")->party == "carol");
    for (const std::string_view other : {"", "data/", "data/c", "b.csv", "data/a/", "Algorithm"})
        assert_false(find_item(manifest, other).has_value());
    const Party *const bob = find_party(manifest, PublicKey{filled<48>(0x21), filled<48>(0x22)});
    assert_true(bob != nullptr && bob->name == "bob" && find_party(manifest, "bob") == bob);
    assert_null(find_party(manifest, PublicKey{filled<48>(0x21), filled<48>(0x12)}));
    assert_null(find_party(manifest, "dave"));
    assert_true(is_consumer(manifest, "bob") && !is_consumer(manifest, "carol") && !is_consumer(manifest, ""));
    assert_true(memory_bound(manifest) == 65536 + (64u << 20) + 10 + 1000);
}

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(a_manifest_is_written_and_read_as_typed),
        cmocka_unit_test(the_digest_is_sha_256_of_the_exact_bytes),
        cmocka_unit_test(lists_in_another_order_are_put_in_order_by_the_encoder_and_refused_by_the_parser),
        cmocka_unit_test(every_truncation_and_every_trailing_byte_is_refused),
        cmocka_unit_test(a_member_that_is_missing_unknown_doubled_or_of_another_type_is_refused),
        cmocka_unit_test(another_version_or_kind_is_refused_as_unsupported),
        cmocka_unit_test(names_are_those_of_files_that_hide_nowhere),
        cmocka_unit_test(variables_are_of_capitals_and_none_is_the_loaders),
        cmocka_unit_test(numbers_outside_their_limits_are_refused),
        cmocka_unit_test(lists_have_their_limits),
        cmocka_unit_test(entries_that_occur_twice_are_refused),
        cmocka_unit_test(references_to_nobody_and_parties_without_a_role_are_refused),
        cmocka_unit_test(the_encoder_refuses_what_the_parser_refuses),
        cmocka_unit_test(the_largest_manifest_fits_its_limit),
        cmocka_unit_test(items_and_roles_follow_from_the_members),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
