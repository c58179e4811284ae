// The manifest as people write it: against a file encoded by others (tests/data/manifest), and every mistake by its
// place.
#include "common/cose.hpp"
#include "host-tools/computation/json_lines.hpp"
#include "host-tools/computation/manifest_file.hpp"
#include "host-tools/computation/manifest_json.hpp"
#include "host-tools/computation/static_elf.hpp"
#include "host-tools/signing/key_file.hpp"
#include "tests/unit/wire.hpp"

using namespace cvmin;
using namespace cvmin::test;

namespace {

std::string survey_text() {
    return std::string{as_text(data("manifest/survey.json"))};
}

Json survey() {
    return *parse_json(as_bytes(survey_text()), "test");
}

// Every mistake as "member: text", one a line.
std::string mistakes_in(std::string_view text) {
    const auto written = parse_manifest_json(as_bytes(text));
    std::string out;
    if (!written)
        for (const ManifestMistake &mistake : written.error())
            out += mistake.member + ": " + mistake.text + '\n';
    return out;
}
std::string mistakes_of(const Json &json) {
    return mistakes_in(json.dump(2));
}

} // namespace

static void a_file_that_a_person_wrote_has_the_bytes_that_others_encode(void **) {
    const auto written = parse_manifest_json(as_bytes(survey_text()));
    assert_true(written.has_value());
    assert_true(equal(written->encoded, data("manifest/survey.cbor")));
    // sha256sum of the file
    assert_string_equal(hex(manifest_digest(written->encoded)).c_str(),
                        "5cf06f2648b2de2e79f4b45f3937ff00257cdfb6f00dc1cf7e546a0fe69fa812");
    assert_string_equal(written->manifest.datasets[0].name.c_str(), "a.csv");
}

static void a_manifest_written_out_is_the_same_again_and_shows_roles(void **) {
    const auto written = parse_manifest_json(as_bytes(survey_text()));
    assert_true(written.has_value());
    const Json json = manifest_json(written->manifest);
    const auto again = parse_manifest_json(as_bytes(json.dump()));
    assert_true(again && again->encoded == written->encoded);
    assert_true(json["parties"][0]["roles"] == Json::array({"data/a.csv", "result"}));
    assert_true(json["parties"][2]["roles"] == Json::array({"algorithm"}));
}

static void every_mistake_is_named_at_once_with_its_line(void **) {
    std::string text = survey_text();
    const auto put = [&](std::string_view from, std::string_view to) {
        const auto at = text.find(from);
        assert_true(at != std::string::npos);
        text.replace(at, from.size(), to);
    };
    put("\"size_limit\": 40960", "\"size_limit\": 0");
    put("\"party\": \"bob\"", "\"party\": \"dave\"");
    put("\"processes\": 4", "\"processes\": 4, \"nice\": 1");
    const auto written = parse_manifest_json(as_bytes(text));
    assert_true(!written);
    assert_int_equal(written.error().size(), 3);
    const auto line_of = [&](std::string_view part) {
        return 1 + static_cast<std::size_t>(std::ranges::count(text.substr(0, text.find(part)), '\n'));
    };
    assert_string_equal(to_string(written.error()[0]).c_str(),
                        ("line " + std::to_string(line_of("\"size_limit\": 0")) +
                         ": algorithm.size_limit: wanted 1 to 1099511627776 bytes, found 0")
                            .c_str());
    assert_string_equal(
        to_string(written.error()[1]).c_str(),
        ("line " + std::to_string(line_of("\"nice\"")) + ": algorithm.limits.nice: is no member that is known here")
            .c_str());
    assert_string_equal(to_string(written.error()[2]).c_str(), ("line " + std::to_string(line_of("\"dave\"")) +
                                                                ": datasets[0].party: \"dave\" is the name of no party")
                                                                   .c_str());
}

static void each_mistake_has_its_words(void **) {
    const struct {
        void (*spoil)(Json &json);
        std::string wanted; // the beginning of the first line
    } cases[] = {
        {[](Json &j) { j["schema"] = 2; }, "schema: wanted 1"},
        {[](Json &j) { j["kind"] = "cvmin-image"; }, "kind: wanted \"cvmin-manifest\""},
        {[](Json &j) { j.erase("id"); }, ": \"id\" is missing"},
        {[](Json &j) { j["id"] = ".."; }, "id: \"..\" is not a name"},
        {[](Json &j) { j["id"] = 7; }, "id: wanted a text, found a number"},
        {[](Json &j) { j["algorithm"] = Json::array(); }, "algorithm: wanted an object"},
        {[](Json &j) { j["algorithm"]["sha256"] = std::string(64, 'A'); }, "algorithm.sha256: "},
        {[](Json &j) { j["algorithm"]["sha256"] = "0x" + std::string(64, 'a'); }, "algorithm.sha256: "},
        {[](Json &j) { j["algorithm"]["kind"] = "wasm"; }, "algorithm.kind: wanted \"elf\""},
        {[](Json &j) { j["algorithm"]["arguments"] = Json::array({"a", "\n"}); }, "algorithm.arguments[1]: "},
        {[](Json &j) { j["algorithm"]["arguments"] = std::vector<std::string>(33); },
         "algorithm.arguments: has 33 entries"},
        {[](Json &j) { j["algorithm"]["environment"] = Json::array({"LD_PRELOAD=x"}); }, "algorithm.environment[0]: "},
        {[](Json &j) { j["algorithm"]["environment"] = Json::array({"A=1", "A=2"}); },
         "algorithm.environment[1]: \"A\" is set twice"},
        {[](Json &j) { j["algorithm"]["party"] = "dave"; }, "algorithm.party: \"dave\" is the name of no party"},
        {[](Json &j) { j["algorithm"]["limits"]["memory"] = "64M"; }, "algorithm.limits.memory: wanted 1048576 to"},
        {[](Json &j) { j["algorithm"]["limits"]["memory"] = 64.5; }, "algorithm.limits.memory: wanted 1048576 to"},
        {[](Json &j) { j["algorithm"]["limits"]["cpu_seconds"] = -1; }, "algorithm.limits.cpu_seconds: wanted 1 to"},
        {[](Json &j) { j["algorithm"]["limits"]["output"] = 1u << 30; },
         "algorithm.limits.output: 1073741824 bytes of output do not fit in memory"},
        {[](Json &j) { j["algorithm"]["limits"].erase("processes"); },
         "algorithm.limits: \"processes\" is missing here"},
        {[](Json &j) { j["datasets"][1]["name"] = "b.csv"; },
         "datasets[1].name: \"b.csv\" is the name of another dataset"},
        {[](Json &j) { j["datasets"] = nullptr; }, "datasets: wanted a list, found null"},
        {[](Json &j) { j["parties"] = Json::array(); }, "parties: is empty"},
        {[](Json &j) { j["parties"][0]["key"] = "AAAA"; }, "parties[0].key: is no P-384 public key"},
        {[](Json &j) { j["parties"][0]["key"] = j["parties"][1]["key"]; },
         "parties[1].key: is also the key of \"carol\""},
        {[](Json &j) { j["parties"][0]["name"] = "alice"; }, "algorithm.party: \"carol\" is the name of no party"},
        {[](Json &j) { j["parties"][2]["roles"] = Json::array({"result"}); },
         "parties[2].roles: roles follow from the other members and are [\"data/b.csv\",\"result\"]"},
        {[](Json &j) {
             j["consumers"] = Json::array({"alice"});
             j["datasets"].erase(0);
         },
         "parties[2]: \"bob\" has no role"},
        {[](Json &j) {
             j["consumers"] = Json::array({"bob", "bob"});
             j["parties"][1].erase("roles");
         },
         "consumers[1]: \"bob\" stands there twice"},
        {[](Json &j) {
             j["consumers"] = Json::array();
             j["parties"][1].erase("roles");
         },
         "consumers: is empty"},
        {[](Json &j) { j["comment"] = "x"; }, "comment: is no member that is known here"},
    };
    for (const auto &[spoil, wanted] : cases) {
        Json json = survey();
        spoil(json);
        const std::string found = mistakes_of(json);
        if (!found.starts_with(wanted))
            print_error("wanted '%s', found '%s'\n", wanted.c_str(), found.c_str());
        assert_true(found.starts_with(wanted));
    }
    assert_string_equal(mistakes_of(survey()).c_str(), "");
}

static void a_text_that_is_no_json_is_refused_with_its_line(void **) {
    const auto line = [](std::string_view text) {
        const auto written = parse_manifest_json(as_bytes(text));
        return written || written.error().size() != 1 ? 0 : written.error()[0].line;
    };
    assert_int_equal(line("{\"schema\": 1,\n\n \"kind\" \"x\"}"), 3);
    assert_int_equal(line("{\"schema\": 1,\n\"id\": 1,\n\"id\": 2}"), 3); // twice
    assert_int_equal(line(""), 1);
    assert_int_equal(line("{\n"), 2);
    assert_int_equal(line(std::string(40, '[')), 1);
    assert_int_equal(line(std::string(max_manifest_json_size + 1, ' ')), 1);
    assert_true(mistakes_in("{\"a\": 1,\n\"a\": 2}").contains("\"a\" stands there twice"));
    assert_true(mistakes_in("[]").starts_with(": wanted an object"));
}

static void lines_are_those_of_the_values(void **) {
    const JsonLines lines = json_lines(as_bytes("{\n\"a\": 1\n,\"b\": [\n2,\n3\n],\n\"c\": {\"d\":\n\"e\"}}\n"));
    assert_false(lines.problem.has_value());
    const std::pair<const char *, std::size_t> wanted[] = {{"", 1},     {"a", 2},    {"b", 3},        {"b[0]", 4},
                                                           {"b[1]", 5}, {"c", 7},    {"c.d", 8},      {"c.x", 7},
                                                           {"x.y", 1},  {"b[7]", 3}, {"b[7].name", 3}};
    for (const auto &[path, line] : wanted)
        assert_int_equal(lines.line_of(path), line);
}

static void the_form_of_a_file_is_told_by_its_first_byte(void **) {
    const Bytes cbor = data("manifest/survey.cbor");
    const auto from_cbor = read_manifest(cbor, "m");
    const auto from_json = read_manifest(as_bytes(survey_text()), "m");
    assert_true(from_cbor && from_cbor->form == ManifestForm::cbor);
    assert_true(from_json && from_json->form == ManifestForm::json && from_json->digest == from_cbor->digest);
    assert_true(from_cbor->manifest == from_json->manifest);
    assert_false(read_manifest(ByteView{cbor}.first(cbor.size() - 1), "m").has_value());
    const auto wrong = read_manifest(as_bytes("{}"), "m.json");
    assert_true(!wrong && wrong.error().code == Errc::malformed);
    assert_string_equal(wrong.error().text.c_str(),
                        "m.json: line 1: \"schema\" is missing (and 6 more: cvmin manifest check)");
}

static void only_a_party_signs_and_only_its_signature_counts(void **) {
    const auto alice = generate_key();
    const auto mallory = generate_key();
    P384PrivateKey key, other;
    assert_true(alice && mallory && read_private_key(key, alice->pem.view()) &&
                read_private_key(other, mallory->pem.view()));
    auto manifest = parse_manifest(data("manifest/survey.cbor"));
    assert_true(manifest.has_value());
    manifest->parties[0].key = alice->public_key;
    const auto encoded = encode_manifest(*manifest);
    assert_true(encoded.has_value());
    assert_true(refused_with(sign_manifest(*encoded, other), Errc::mismatch));
    const auto message = sign_manifest(*encoded, key);
    assert_true(message && message->size() <= max_signed_manifest_size);
    const auto opened = open_signed_manifest(*message, alice->public_key);
    assert_true(opened && equal(*opened, *encoded));
    assert_true(refused_with(open_signed_manifest(*message, mallory->public_key), Errc::mismatch));

    const auto read = read_manifest(*message, "m.cose", &alice->public_key);
    assert_true(read && read->form == ManifestForm::signed_cbor && read->digest == manifest_digest(*encoded));
    assert_true(read_manifest(*message, "m.cose").error().code == Errc::usage);
    assert_true(read_manifest(*encoded, "m.cbor", &alice->public_key).error().code == Errc::usage);
    Bytes changed = *message;
    changed[changed.size() / 2] ^= std::byte{1};
    assert_false(open_signed_manifest(changed, alice->public_key).has_value());
}

static void a_signature_over_something_else_is_no_manifest(void **) {
    const auto made = generate_key();
    P384PrivateKey key;
    assert_true(made && read_private_key(key, made->pem.view()));
    const Bytes other = bytes_of("a2 01 3822 03 63 782f79"); // alg ES384, content type "x/y"
    const Bytes none = bytes_of("a1 01 3822");
    for (const Bytes &header : {other, none}) {
        const auto message = cose::make_sign1(header, data("manifest/survey.cbor"), key, rfc6979_nonce, nullptr);
        assert_true(message.has_value());
        assert_true(refused_with(open_signed_manifest(*message, made->public_key), Errc::unsupported));
    }
}

static void only_static_x86_64_executables_are_programs(void **) {
    // ELF-64 header and one program header, typed from the gABI
    const auto file = [](std::string_view type, std::string_view machine, std::string_view segment) {
        return bytes_of("7f454c46 02010100" + repeat("00", 8) + std::string{type} + std::string{machine} + "01000000" +
                        repeat("00", 8) + "4000000000000000" + repeat("00", 8) + repeat("00", 4) + "4000 3800 0100" +
                        repeat("00", 6) + std::string{segment} + repeat("00", 52));
    };
    assert_false(why_not_static_elf(file("0200", "3e00", "01000000")).has_value());
    assert_false(why_not_static_elf(file("0300", "3e00", "01000000")).has_value()); // static-pie
    assert_true(why_not_static_elf(file("0300", "3e00", "03000000"))->contains("dynamically"));
    assert_true(why_not_static_elf(file("0200", "b700", "01000000"))->contains("another processor"));
    assert_true(why_not_static_elf(file("0100", "3e00", "01000000"))->contains("no executable"));
    assert_true(why_not_static_elf(file("0200", "3e00", "06000000"))->contains("nothing to load"));
    const Bytes whole = file("0200", "3e00", "01000000");
    for (std::size_t size = 0; size < whole.size(); ++size)
        assert_true(
            why_not_static_elf(Bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size))).has_value());
    assert_true(why_not_static_elf(as_bytes("#!/bin/sh\n"))->contains("script"));
}

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(a_file_that_a_person_wrote_has_the_bytes_that_others_encode),
        cmocka_unit_test(a_manifest_written_out_is_the_same_again_and_shows_roles),
        cmocka_unit_test(every_mistake_is_named_at_once_with_its_line),
        cmocka_unit_test(each_mistake_has_its_words),
        cmocka_unit_test(a_text_that_is_no_json_is_refused_with_its_line),
        cmocka_unit_test(lines_are_those_of_the_values),
        cmocka_unit_test(the_form_of_a_file_is_told_by_its_first_byte),
        cmocka_unit_test(only_a_party_signs_and_only_its_signature_counts),
        cmocka_unit_test(a_signature_over_something_else_is_no_manifest),
        cmocka_unit_test(only_static_x86_64_executables_are_programs),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
