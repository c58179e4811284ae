// image.json: what is read, each refusal, and the files it names. The sample's digests were made by another program.
#include "tests/unit/cmocka.hpp"

#include "host-tools/base/os.hpp"
#include "image/image_manifest.hpp"

#include <cstdlib>
#include <filesystem>

#include <unistd.h>

using namespace cvmin;

static const std::filesystem::path sample_directory{std::string{CVMIN_TEST_DATA} + "/image"};

static Json sample() {
    return *parse_json(test::data("image/image.json"), "sample");
}
static Result<ImageManifest> parse(const Json &json) {
    return parse_image_manifest(as_bytes(json.dump()), "out");
}

static void parse_image_manifest_reads_every_member(void **) {
    const auto manifest = parse_image_manifest(test::data("image/image.json"), "some/where");
    assert_true(manifest.has_value());
    assert_true(manifest->directory == "some/where");
    assert_true(manifest->version == "0.1.0");
    assert_false(manifest->debug);
    assert_true(manifest->kernel.path == "bzImage");
    assert_int_equal(manifest->kernel.size, 36);
    assert_true(manifest->initrd.path == "initrd.zst" && manifest->firmware.path == "OVMF.fd");
    assert_true(manifest->command_line == "console=ttynull quiet");
    assert_true(equal(encode_hash_table(manifest->hashes),
                      encode_hash_table(kernel_hashes(test::data("image/bzImage"), test::data("image/initrd.zst"),
                                                      "console=ttynull quiet"))));
    assert_int_equal(manifest->guest_policy, 0x30000);
    assert_int_equal(manifest->guest_features, 1);
    assert_int_equal(manifest->inputs.size(), 1);
    assert_false(manifest->agent || manifest->reference_values);
}

static void to_json_gives_what_was_parsed(void **) {
    Json json = sample();
    assert_true(to_json(*parse(json)) == json);
    for (const char *optional : {"agent", "reference_values", "reference_values_corim", "audit"})
        json["files"][optional] = json["files"]["kernel"];
    assert_true(to_json(*parse(json)) == json);
}

static void expect(const Json &json, Errc code, std::string_view where) {
    const auto manifest = parse(json);
    const bool as_wanted = !manifest && manifest.error().code == code && manifest.error().where == where;
    if (!as_wanted)
        print_error("wanted %s: got %s\n", to_string(Error{code, where}).c_str(),
                    manifest ? "a manifest" : to_string(manifest.error()).c_str());
    assert_true(as_wanted);
}

static void parse_image_manifest_refuses_a_manifest_without_any_one_member(void **) {
    const Json whole = sample();
    for (const auto &[name, value] : whole.items()) {
        Json json = sample();
        json.erase(name);
        assert_true(parse(json).error().code == Errc::missing);
    }
    for (const char *name : {"kernel", "initrd", "cmdline", "firmware"}) {
        Json json = sample();
        json["files"].erase(name);
        expect(json, Errc::missing, "image.files");
        json = sample();
        json["files"][name].erase("sha256");
        assert_true(parse(json).error().code == Errc::missing);
    }
}

static void parse_image_manifest_refuses_unknown_members_kinds_and_schemas(void **) {
    Json json = sample();
    json["more"] = 1;
    expect(json, Errc::malformed, "image.json");
    json = sample();
    json["files"]["disk"] = json["files"]["kernel"];
    expect(json, Errc::malformed, "image.files");
    json = sample();
    json["schema"] = 2;
    json["more"] = 1; // of another schema nothing else is judged
    expect(json, Errc::unsupported, "image.schema");
    json = sample();
    json["kind"] = "other";
    expect(json, Errc::unsupported, "image.kind");
    assert_true(parse(Json::array()).error().code == Errc::malformed);
    assert_true(parse_image_manifest(as_bytes("{"), "").error().code == Errc::malformed);
    assert_true(parse_image_manifest({}, "").error().code == Errc::malformed);
}

static void parse_image_manifest_refuses_paths_that_leave_the_directory(void **) {
    for (const char *path :
         {"", "/etc/passwd", "../bzImage", "a/../../b", "./bzImage", "a//b", "a/", "with blank", "a\nb"}) {
        Json json = sample();
        json["files"]["kernel"]["path"] = path;
        expect(json, Errc::out_of_range, "image.kernel");
    }
    Json json = sample();
    json["files"]["kernel"]["path"] = std::string(256, 'p');
    expect(json, Errc::out_of_range, "image.kernel");
    json["files"]["kernel"]["path"] = "sub/bzImage";
    assert_true(parse(json).has_value());
}

static void parse_image_manifest_refuses_malformed_digests_and_numbers(void **) {
    const std::string digest = sample()["files"]["kernel"]["sha256"];
    for (const std::string &bad : {digest.substr(2), digest + "00", std::string(64, 'z'), std::string(64, 'A')}) {
        Json json = sample();
        json["files"]["kernel"]["sha256"] = bad;
        expect(json, Errc::malformed, "image.kernel");
    }
    Json json = sample();
    json["files"]["kernel"]["sha256"] = "0x" + digest.substr(2);
    expect(json, Errc::out_of_range, "image.kernel");
    for (const Json &bad : {Json(-1), Json("36"), Json(1.5), Json(nullptr)}) {
        json = sample();
        json["files"]["kernel"]["size"] = bad;
        expect(json, Errc::malformed, "image.kernel");
    }
    json = sample();
    json["files"]["kernel"]["size"] = max_kernel_size + 1;
    expect(json, Errc::too_large, "image.kernel");
    json = sample();
    json["debug"] = 1;
    expect(json, Errc::malformed, "image.debug");
    for (const char *bad : {"", "0x", "30000", "0x3000g", "0x10000000000030000", "0x0x30000"}) {
        json = sample();
        json["guest_policy"] = bad;
        expect(json, Errc::malformed, "image.guest_policy");
    }
    json = sample();
    json["guest_policy"] = "0x10000"; // reserved bit 17 must be one
    expect(json, Errc::out_of_range, "image.guest_policy");
    json = sample();
    json["guest_features"] = "0x20"; // not an SNP guest
    expect(json, Errc::out_of_range, "image.guest_features");
    json = sample();
    json["inputs"] = Json::object();
    expect(json, Errc::malformed, "image.inputs");
    json = sample();
    json["inputs"][0].erase("size");
    expect(json, Errc::missing, "image.inputs");
}

static void parse_image_manifest_refuses_digests_that_contradict_each_other(void **) {
    const std::string other = hex(sha256(as_bytes("other")));
    for (const char *name : {"kernel", "initrd", "cmdline"}) {
        Json json = sample();
        json["hashes"][name] = other;
        expect(json, Errc::mismatch,
               name == std::string_view{"kernel"}   ? "image.hashes.kernel"
               : name == std::string_view{"initrd"} ? "image.hashes.initrd"
                                                    : "image.hashes.cmdline");
    }
    Json json = sample();
    json["command_line"] = "console=ttyS0 quiet";
    expect(json, Errc::mismatch, "image.cmdline");
}

static void parse_image_manifest_refuses_command_lines_that_would_not_arrive(void **) {
    for (const std::string &line :
         {std::string("a\0b", 3), std::string("a\nb"), std::string("a\tb"), std::string("\xc3\xa9")}) {
        Json json = sample();
        json["command_line"] = line;
        expect(json, Errc::malformed, "image.command_line");
    }
    Json json = sample();
    json["command_line"] = std::string(max_command_line_size + 1, 'x');
    expect(json, Errc::too_large, "image.command_line");
}

static void load_image_files_returns_the_files_it_has_checked(void **) {
    const auto manifest = load_image_manifest(sample_directory / "image.json");
    assert_true(manifest.has_value());
    const auto files = load_image_files(*manifest);
    assert_true(files.has_value());
    assert_true(files->kernel == test::data("image/bzImage") && files->initrd == test::data("image/initrd.zst") &&
                files->firmware == test::data("image/OVMF.fd"));
}

static void load_image_files_refuses_each_file_that_is_changed_or_missing(void **) {
    char name[] = "/tmp/cvmin-image-XXXXXX";
    assert_non_null(::mkdtemp(name));
    const std::filesystem::path directory{name};
    const struct {
        const char *file;
        const char *where;
    } cases[] = {{"bzImage", "image.kernel"},
                 {"initrd.zst", "image.initrd"},
                 {"cmdline", "image.cmdline"},
                 {"OVMF.fd", "image.firmware"}};
    int wrong = 0;
    for (const auto &[file, where] : cases) {
        std::filesystem::copy(sample_directory, directory,
                              std::filesystem::copy_options::recursive |
                                  std::filesystem::copy_options::overwrite_existing);
        Bytes bytes = *read_file(directory / file, 4096);
        bytes.back() ^= std::byte{1};
        wrong += !write_file(directory / file, bytes);
        const auto manifest = load_image_manifest(directory / "image.json");
        wrong += load_image_files(*manifest).error() != Error{Errc::mismatch, where};
        bytes.pop_back();
        wrong += !write_file(directory / file, bytes);
        wrong += load_image_files(*manifest).error() != Error{Errc::mismatch, where};
        std::filesystem::remove(directory / file);
        const Error gone = load_image_files(*manifest).error();
        wrong += gone.code != Errc::missing || gone.where != where;
    }
    wrong += load_image_manifest(directory / "none.json").error().code != Errc::missing;
    std::filesystem::remove_all(directory);
    assert_int_equal(wrong, 0);
}

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(parse_image_manifest_reads_every_member),
        cmocka_unit_test(to_json_gives_what_was_parsed),
        cmocka_unit_test(parse_image_manifest_refuses_a_manifest_without_any_one_member),
        cmocka_unit_test(parse_image_manifest_refuses_unknown_members_kinds_and_schemas),
        cmocka_unit_test(parse_image_manifest_refuses_paths_that_leave_the_directory),
        cmocka_unit_test(parse_image_manifest_refuses_malformed_digests_and_numbers),
        cmocka_unit_test(parse_image_manifest_refuses_digests_that_contradict_each_other),
        cmocka_unit_test(parse_image_manifest_refuses_command_lines_that_would_not_arrive),
        cmocka_unit_test(load_image_files_returns_the_files_it_has_checked),
        cmocka_unit_test(load_image_files_refuses_each_file_that_is_changed_or_missing),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
