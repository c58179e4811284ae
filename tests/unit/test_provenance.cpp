// The provenance of a small image: its subjects, dependencies and parameters, each refusal of the reader, and what it
// holds against files and launches. That in-toto's own code takes a real one: tests/image/documents.sh.
#include "tests/unit/cmocka.hpp"
#include "tests/unit/small_image.hpp"

#include "image/provenance.hpp"

using namespace cvmin;

static std::vector<ReferenceValues> launches() {
    const auto digest = [](int value) {
        Sha384Digest out;
        out.fill(static_cast<std::byte>(value));
        return out;
    };
    return {{0x800f12, {"EPYC", "EPYC-v1"}, {digest(1), digest(2)}}, {0xa10f10, {"EPYC-Genoa"}, {digest(3)}}};
}
static const std::vector<NamedDigest> others{{"sbom.spdx.json", sha256(as_bytes("sbom"))}};

static Result<Json> statement_of(const LoadedImage &image, const std::string &commit = test::commit) {
    const auto locks = test::small_locks();
    const auto values = launches();
    return slsa_statement({.image = image,
                           .launches = values,
                           .locks = locks,
                           .commit = commit,
                           .others = others,
                           .source_uri = "git+x:y"});
}
static Json statement() {
    return *statement_of(*test::small_image());
}
// All files of the release; by another way than the code's.
static std::vector<NamedDigest> files() {
    std::vector<NamedDigest> out = others;
    for (const auto &[name, text] : {std::pair{"bzImage", "kernel"},
                                     {"initrd.zst", "initrd"},
                                     {"cmdline", "quiet"},
                                     {"OVMF.fd", "firmware"},
                                     {"agent", "agent"},
                                     {"audit.json", "audit"},
                                     {"image.json", "image.json's bytes"}})
        out.push_back({name, sha256(as_bytes(text))});
    return out;
}

static std::string digest_of(const Json &list, std::string_view name, const char *algorithm) {
    for (const Json &one : list)
        if (one["name"] == name)
            return one["digest"].value(algorithm, "");
    return "";
}

static void slsa_statement_has_files_and_launches_as_subjects(void **) {
    const Json json = statement();
    assert_true(json["_type"] == "https://in-toto.io/Statement/v1");
    assert_true(json["predicateType"] == "https://slsa.dev/provenance/v1");
    const Json &subjects = json["subject"];
    assert_int_equal(subjects.size(), 8 + 3);
    assert_true(digest_of(subjects, "bzImage", "sha256") ==
                "6923dd1bc0460082c5d55a831908c24a282860b7f1cd6c2b79cf1bc8857c639c"); // printf kernel | sha256sum
    assert_true(digest_of(subjects, "sbom.spdx.json", "sha256") == hex(sha256(as_bytes("sbom"))));
    const auto twice = [](std::string digits) { // 48 equal bytes
        std::string out;
        for (int i = 0; i < 48; ++i)
            out += digits;
        return out;
    };
    assert_true(digest_of(subjects, "launch-digest:0x00800f12:2", "sha384") == twice("02"));
    assert_true(digest_of(subjects, "launch-digest:0x00a10f10:1", "sha384") == twice("03"));
}

static void slsa_statement_names_every_input(void **) {
    const Json definition = statement()["predicate"]["buildDefinition"];
    assert_true(definition["buildType"] == "tag:cvmin,2026:build/1");
    const Json &dependencies = definition["resolvedDependencies"];
    assert_int_equal(dependencies.size(), 1 + 3 + 7); // commit; lock, patch, tree; lines of the locks
    assert_true(digest_of(dependencies, "cvmin", "gitCommit") == test::commit);
    assert_true(digest_of(dependencies, "toolchain/debs.lock", "sha256") == hex(sha256(as_bytes(test::debs_lock))));
    assert_true(digest_of(dependencies, "g++_14_amd64.deb", "sha256") == std::string(64, '5'));
    assert_true(digest_of(dependencies, "mbedtls_3.orig.tar.bz2", "sha256") == std::string(64, '3'));
    const Json parameters = definition["externalParameters"];
    assert_true(parameters["debug"] == false && parameters["firmware"] == "package");
    assert_true(parameters["source"]["digest"]["gitCommit"] == test::commit &&
                parameters["source"]["uri"] == "git+x:y");
    assert_true(definition["internalParameters"]["cpuModels"]["0x00800f12"] == Json::array({"EPYC", "EPYC-v1"}));
}

static void slsa_statement_is_the_same_each_time(void **) {
    assert_true(statement().dump() == statement().dump());
    assert_false(statement().dump().contains("edOn")); // startedOn, finishedOn
}

static void slsa_statement_refuses(void **) {
    const auto image = test::small_image();
    const auto locks = test::small_locks();
    const auto code = [&](auto change) {
        ProvenanceInput input{.image = *image, .launches = {}, .locks = locks, .commit = test::commit};
        change(input);
        const auto made = slsa_statement(input);
        return made ? Errc::usage : made.error().code;
    };
    const std::vector<NamedDigest> outside{{"../x", {}}}, absolute{{"/x", {}}}, twice{{"bzImage", {}}},
        launch{{"launch-digest:0x00800f12:2", {}}}, unprintable{{"a\nb", {}}};
    assert_true(code([](ProvenanceInput &) {}) == Errc::usage);
    assert_true(code([](ProvenanceInput &i) { i.commit = "main"; }) == Errc::malformed);
    assert_true(code([](ProvenanceInput &i) { i.firmware = "mine"; }) == Errc::malformed);
    assert_true(code([](ProvenanceInput &i) { i.source_uri = "no uri"; }) == Errc::malformed);
    assert_true(code([](ProvenanceInput &i) { i.builder_id = ""; }) == Errc::malformed);
    for (const auto *bad : {&outside, &absolute, &launch, &unprintable})
        assert_true(code([&](ProvenanceInput &i) { i.others = *bad; }) == Errc::malformed);
    assert_true(code([&](ProvenanceInput &i) { i.others = twice; }) == Errc::mismatch);
    assert_true(code([&](ProvenanceInput &i) { i.locks = std::span{locks}.first(1); }) == Errc::missing);
}

// ---- reading ----------------------------------------------------------------------------------------------------

static void parse_provenance_reads_what_is_written(void **) {
    const auto provenance = parse_provenance(as_bytes(statement().dump()));
    assert_true(provenance.has_value());
    assert_int_equal(provenance->files.size(), 8);
    assert_int_equal(provenance->launches.size(), 3);
    assert_true(provenance->launches[1].signature == 0x800f12 && provenance->launches[1].vcpus == 2);
    assert_true(provenance->commit == test::commit && provenance->firmware == "package" && !provenance->debug);
    assert_true(provenance->source_uri == "git+x:y" && provenance->builder_id == provenance_default_builder);
    assert_int_equal(provenance->dependencies.size(), 11);
    assert_false(first_mismatch(*provenance, test::small_image()->manifest, files(), launches()).has_value());
}

static void parse_provenance_passes_over_what_in_toto_may_add(void **) {
    Json json = statement();
    json["more"] = 1;
    json["predicate"]["more"] = 1;
    json["predicate"]["runDetails"]["metadata"] = {{"startedOn", "2026-01-01T00:00:00Z"}};
    json["subject"][0]["digest"]["sha512"] = "00";
    assert_true(parse_provenance(as_bytes(json.dump())).has_value());
}

static void parse_provenance_refuses_other_shapes(void **) {
    const auto code = [](auto change) {
        Json json = statement();
        change(json, json["predicate"]["buildDefinition"]);
        const auto provenance = parse_provenance(as_bytes(json.dump()));
        return provenance ? Errc::usage : provenance.error().code;
    };
    assert_true(code([](Json &j, Json &) { j["_type"] = "https://in-toto.io/Statement/v0.1"; }) == Errc::unsupported);
    assert_true(code([](Json &j, Json &) { j["predicateType"] = "https://slsa.dev/provenance/v0.2"; }) ==
                Errc::unsupported);
    assert_true(code([](Json &, Json &d) { d["buildType"] = "https://example.com"; }) == Errc::unsupported);
    assert_true(code([](Json &, Json &d) { d["externalParameters"]["more"] = 1; }) == Errc::unsupported);
    assert_true(code([](Json &, Json &d) { d["externalParameters"]["firmware"] = "mine"; }) == Errc::unsupported);
    assert_true(code([](Json &, Json &d) { d["externalParameters"]["debug"] = "no"; }) == Errc::malformed);
    assert_true(code([](Json &, Json &d) { d["externalParameters"].erase("debug"); }) == Errc::missing);
    assert_true(code([](Json &, Json &d) { d["externalParameters"]["source"]["digest"]["gitCommit"] = "main"; }) ==
                Errc::malformed);
    assert_true(code([](Json &, Json &d) { d.erase("resolvedDependencies"); }) == Errc::missing);
    assert_true(code([](Json &, Json &d) { d["resolvedDependencies"][0]["digest"] = Json::object(); }) ==
                Errc::malformed);
    for (const char *member : {"_type", "subject", "predicateType", "predicate"})
        assert_true(code([&](Json &j, Json &) { j.erase(member); }) == Errc::missing);
    assert_true(code([](Json &j, Json &) { j["predicate"].erase("runDetails"); }) == Errc::missing);
    assert_true(code([](Json &j, Json &) { j["predicate"]["runDetails"]["builder"]["id"] = ""; }) == Errc::malformed);

    const auto subject = [&](const char *name) {
        return code([&](Json &j, Json &) { j["subject"][9]["name"] = name; });
    };
    assert_true(subject("launch-digest:0x00800f12:255") == Errc::usage);
    for (const char *name :
         {"launch-digest:0x00800f12:0", "launch-digest:0x00800f12:256", "launch-digest:0x00800f12:02",
          "launch-digest:0x00800F12:9", "launch-digest:800f12:9", "launch-digest:0x00800f12",
          "launch-digest:", "launch-digest:0x00800f12:9 ", "launch-digest:0x00800f12:-1", "launch-digest:EPYC:9"})
        assert_true(subject(name) == Errc::malformed);
    assert_true(subject("launch-digest:0x00800f12:1") == Errc::mismatch); // twice
    assert_true(subject("file") == Errc::missing);                        // of a file, SHA-256
    for (const char *name : {"/etc/passwd", "../x", "a/../b", "a//b", "./a"})
        assert_true(code([&](Json &j, Json &) { j["subject"][0]["name"] = name; }) == Errc::out_of_range);
    assert_true(code([](Json &j, Json &) { j["subject"][0]["digest"]["sha256"] = "00"; }) == Errc::malformed);
    assert_true(parse_provenance(as_bytes(std::string(max_provenance_size + 1, ' '))).error().code == Errc::too_large);
}

static void first_mismatch_names_what_differs(void **) {
    const auto provenance = *parse_provenance(as_bytes(statement().dump()));
    const auto manifest = test::small_image()->manifest;
    const auto expect = [&](const char *subject, const std::string &found, const std::string &wanted,
                            const ImageManifest &image, const std::vector<NamedDigest> &there,
                            const std::vector<ReferenceValues> &values) {
        const auto mismatch = first_mismatch(provenance, image, there, values);
        assert_true(mismatch.has_value());
        assert_string_equal(mismatch->subject.c_str(), subject);
        assert_string_equal(mismatch->found.c_str(), found.c_str());
        assert_string_equal(mismatch->wanted.c_str(), wanted.c_str());
    };
    const std::string zeros(64, '0');
    auto changed = files();
    const std::string sbom = hex(changed[0].sha256);
    changed[0].sha256 = {};
    expect("sbom.spdx.json", zeros, sbom, manifest, changed, launches());
    changed.erase(changed.begin());
    expect("sbom.spdx.json", "", sbom, manifest, changed, launches());
    changed = files();
    changed.push_back({"more", {}});
    expect("more", zeros, "", manifest, changed, launches());

    auto values = launches();
    const std::string second = hex(values[0].digests[1]);
    values[0].digests[1] = {};
    expect("launch digest of EPYC (0x00800f12), 2 vCPUs", std::string(96, '0'), second, manifest, files(), values);
    values[0].digests.pop_back();
    expect("launch digest of EPYC (0x00800f12), 2 vCPUs", "", second, manifest, files(), values);
    values = launches();
    values[1].digests.push_back({});
    expect("launch digest of EPYC-Genoa (0x00a10f10), 2 vCPUs", std::string(96, '0'), "", manifest, files(), values);

    auto other = test::small_image()->manifest;
    other.debug = true;
    expect("debug", "true", "false", other, files(), launches());
    other = test::small_image()->manifest;
    other.inputs[5]["sha256"] = zeros;
    expect("input image/patches/0001-x.patch", zeros, std::string(64, '8'), other, files(), launches());
    other.inputs[5]["name"] = "image/patches/0002-y.patch";
    expect("input image/patches/0002-y.patch", zeros, "", other, files(), launches());
}

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(slsa_statement_has_files_and_launches_as_subjects),
        cmocka_unit_test(slsa_statement_names_every_input),
        cmocka_unit_test(slsa_statement_is_the_same_each_time),
        cmocka_unit_test(slsa_statement_refuses),
        cmocka_unit_test(parse_provenance_reads_what_is_written),
        cmocka_unit_test(parse_provenance_passes_over_what_in_toto_may_add),
        cmocka_unit_test(parse_provenance_refuses_other_shapes),
        cmocka_unit_test(first_mismatch_names_what_differs),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
