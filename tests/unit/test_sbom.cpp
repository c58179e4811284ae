// Lock lines, and the SPDX document: what is in it for a small image, that each refusal is one, and what the reader
// holds against an image. That other programs take the document of a real image: tests/image/documents.sh.
#include "tests/unit/cmocka.hpp"
#include "tests/unit/small_image.hpp"

#include "image/sbom.hpp"

#include <set>

using namespace cvmin;

// ---- lock lines -------------------------------------------------------------------------------------------------

static void parse_lock_reads_each_word(void **) {
    const auto files = parse_lock(as_bytes(test::sources_lock));
    assert_true(files.has_value());
    assert_int_equal(files->size(), 4);
    const LockedFile &ovmf = (*files)[1];
    assert_string_equal(hex(ovmf.sha256).c_str(), std::string(64, '2').c_str());
    assert_int_equal(ovmf.size, 20);
    assert_true(ovmf.path == "pool/o/ovmf_1%2b2_all.deb" && file_name(ovmf) == "ovmf_1%2b2_all.deb");
    assert_true(ovmf.package == "ovmf" && ovmf.version == "1:1+2~3" && ovmf.architecture == "all");
}

static void package_url_is_what_its_specification_says(void **) {
    const auto files = parse_lock(as_bytes(test::sources_lock + test::debs_lock));
    assert_string_equal(package_url((*files)[1]).c_str(), "pkg:deb/debian/ovmf@1:1%2B2~3?arch=all");
    assert_string_equal(package_url((*files)[2]).c_str(), "pkg:deb/debian/mbedtls@3-1?arch=source");
    assert_string_equal(package_url((*files)[4]).c_str(), "pkg:deb/debian/g%2B%2B@4:14-1?arch=amd64");
}

static void parse_lock_refuses_other_lines(void **) {
    const std::string digest(64, 'a'), good = digest + " 1 pool/a.deb a 1 all\n";
    assert_true(parse_lock(as_bytes(good)).has_value());
    const auto error = [](const std::string &text) { return parse_lock(as_bytes(text)).error(); };
    for (const std::string &line :
         {digest + " 1 pool/a.deb a 1", digest + " 1 pool/a.deb a 1 all more",
          digest.substr(1) + " 1 pool/a.deb a 1 all", "0x" + digest.substr(2) + " 1 pool/a.deb a 1 all",
          digest.substr(1) + "g 1 pool/a.deb a 1 all", digest + " -1 pool/a.deb a 1 all",
          digest + " 1234567890123 pool/a.deb a 1 all", digest + " 1 pool/\".deb a 1 all",
          digest + " 1 pool/a.deb a/b 1 all", digest + " 1 pool/a.deb a 1_2 all", digest + " 1 pool/a.deb a 1 a:b",
          std::string{"text"}})
        assert_true(error("# one\n" + good + line + "\n") == (Error{Errc::malformed, "lock", 3}));
    assert_true(error(good + good) == (Error{Errc::mismatch, "lock", 2}));
}

static void locked_inputs_wants_the_locks_of_the_image(void **) {
    const auto image = test::small_image();
    const auto locks = test::small_locks();
    const auto inputs = locked_inputs(image->manifest, locks);
    assert_true(inputs.has_value());
    assert_int_equal(inputs->size(), 7);
    assert_true((*inputs)[3].source && !(*inputs)[4].source);

    const auto code = [&](std::span<const LockText> given) {
        const auto result = locked_inputs(image->manifest, given);
        return result ? Errc::usage : result.error().code;
    };
    assert_true(code(std::span{locks}.first(1)) == Errc::missing);
    assert_true(code(std::span{locks}.last(1)) == Errc::missing);
    std::string changed = test::debs_lock; // a version: the file's digest is another
    changed[changed.find("4:14-1")] = '5';
    assert_true(code(std::array{locks[0], LockText{"toolchain/debs.lock", as_bytes(changed)}}) == Errc::mismatch);
    changed = test::sources_lock; // a digest: image.json names that of the line
    changed[changed.find("3333")] = '2';
    assert_true(code(std::array{LockText{"toolchain/sources.lock", as_bytes(changed)}, locks[1]}) == Errc::mismatch);
}

// ---- licence expressions ----------------------------------------------------------------------------------------

static void is_licence_expression_knows_the_grammar(void **) {
    for (const char *good : {"MIT", "GPL-2.0+", "GPL-2.0-only WITH Linux-syscall-note", "MIT AND (Apache-2.0 OR ISC)",
                             "(MIT)", "MIT OR ISC AND Zlib", "((MIT OR ISC) AND (Zlib WITH x))"})
        assert_true(is_licence_expression(good));
    for (const char *bad : {"", "MIT ISC", "MIT AND", "AND MIT", "MIT and ISC", "(MIT", "MIT)", "()", "MIT WITH",
                            "MIT WITH (ISC)", "(MIT OR ISC) WITH x", "NOASSERTION", "NONE", "LicenseRef-x",
                            "DocumentRef-a:LicenseRef-b", "MIT/ISC", "MIT, ISC", "MIT OR OR ISC", "GPL_2"})
        assert_false(is_licence_expression(bad));
    assert_false(is_licence_expression(std::string(100, '(') + "MIT" + std::string(100, ')'))); // deeper than its limit
}

// ---- the document -----------------------------------------------------------------------------------------------

static Result<Json> document_of(const LoadedImage &image) {
    const auto locks = test::small_locks();
    return spdx_document({image, locks, test::commit, 86399});
}
static Json document() {
    return *document_of(*test::small_image());
}
static Json package(const Json &document, std::string_view name) {
    for (const Json &one : document["packages"])
        if (one["name"] == name)
            return one;
    return {};
}
// What stands at the other end of each relationship of this type, from or to `id`.
static std::set<std::string> related(const Json &document, std::string_view id, std::string_view type, bool from) {
    std::set<std::string> out;
    for (const Json &one : document["relationships"])
        if (one["relationshipType"] == type && one[from ? "spdxElementId" : "relatedSpdxElement"] == id)
            out.insert(one[from ? "relatedSpdxElement" : "spdxElementId"]);
    return out;
}

static void spdx_document_has_every_pinned_file(void **) {
    const Json json = document();
    assert_true(json["spdxVersion"] == "SPDX-2.3" && json["dataLicense"] == "CC0-1.0");
    assert_true(json["creationInfo"]["created"] == "1970-01-01T23:59:59Z");
    assert_int_equal(json["packages"].size(), 2 + 7);
    const Json ovmf = package(json, "ovmf"), gxx = package(json, "g++"), ours = package(json, "cvmin");
    assert_true(ovmf["versionInfo"] == "1:1+2~3" && ovmf["licenseDeclared"] == "BSD-2-Clause-Patent AND MIT");
    assert_true(ovmf["checksums"] ==
                Json::array({Json{{"algorithm", "SHA256"}, {"checksumValue", std::string(64, '2')}}}));
    assert_true(ovmf["primaryPackagePurpose"] == "FIRMWARE" && gxx["primaryPackagePurpose"] == "APPLICATION");
    assert_true(gxx["licenseDeclared"] == "NOASSERTION");
    assert_true(package(json, "linux-source")["primaryPackagePurpose"] == "SOURCE");
    assert_true(package(json, "musl-dev")["primaryPackagePurpose"] == "LIBRARY");
    assert_true(ours["externalRefs"][0]["referenceLocator"] == "swh:1:rev:" + test::commit);
}

static void spdx_document_says_what_is_made_of_what(void **) {
    const Json json = document();
    const auto id = [&](const char *name) { return package(json, name)["SPDXID"].get<std::string>(); };
    using Ids = std::set<std::string>;
    assert_true(related(json, "SPDXRef-File-kernel", "GENERATED_FROM", true) == Ids{id("linux-source")});
    assert_true(related(json, "SPDXRef-File-firmware", "GENERATED_FROM", true) == Ids{id("ovmf")});
    assert_true(related(json, "SPDXRef-File-agent", "STATIC_LINK", true) == (Ids{id("mbedtls"), id("musl-dev")}));
    assert_true(related(json, "SPDXRef-File-agent", "GENERATED_FROM", true) ==
                (Ids{id("cvmin"), id("linux-libc-dev")}));
    assert_true(related(json, "SPDXRef-File-initrd", "CONTAINS", true) == Ids{"SPDXRef-File-agent"});
    assert_true(related(json, "SPDXRef-Image", "BUILD_TOOL_OF", false) ==
                (Ids{id("g++"), id("musl-dev"), id("linux-libc-dev")}));
    assert_true(related(json, "SPDXRef-Image", "DEV_TOOL_OF", false) == Ids{id("vhost")});
    assert_true(related(json, "SPDXRef-Image", "CONTAINS", true).size() == 7);
    bool patched = false;
    for (const Json &one : json["relationships"])
        patched = patched ||
                  (one.contains("comment") &&
                   one["comment"] == "patched with image/patches/0001-x.patch (SHA-256 " + std::string(64, '8') + ")");
    assert_true(patched);
}

static void spdx_document_concludes_the_licence_of_each_file(void **) {
    const Json json = document();
    const auto of = [&](const char *id) {
        for (const Json &file : json["files"])
            if (file["SPDXID"] == id)
                return file["licenseConcluded"].get<std::string>();
        return std::string{};
    };
    const std::string agent =
        "(Apache-2.0 OR GPL-2.0-or-later) AND Apache-2.0 AND GPL-2.0-only WITH Linux-syscall-note AND MIT";
    assert_string_equal(of("SPDXRef-File-kernel").c_str(), "GPL-2.0-only WITH Linux-syscall-note");
    assert_string_equal(of("SPDXRef-File-agent").c_str(), agent.c_str());
    assert_string_equal(of("SPDXRef-File-initrd").c_str(), agent.c_str());
    assert_string_equal(of("SPDXRef-File-firmware").c_str(), "BSD-2-Clause-Patent AND MIT");
    assert_string_equal(of("SPDXRef-File-cmdline").c_str(), "Apache-2.0");
    const std::string whole = package(json, "cvmin image")["licenseConcluded"];
    assert_string_equal(whole.c_str(),
                        "(Apache-2.0 OR GPL-2.0-or-later) AND Apache-2.0 AND BSD-2-Clause-Patent AND GPL-2.0-only WITH "
                        "Linux-syscall-note AND MIT");
}

static void spdx_document_has_digests_as_other_programs_print_them(void **) {
    const Json json = document();
    // printf kernel | sha1sum; printf kernel | sha256sum
    assert_true(
        json["files"][0]["checksums"] ==
        Json::array({Json{{"algorithm", "SHA1"}, {"checksumValue", "c65a0fb7e74ffd2c9fc3a0f9aacb0f6a24b0a68b"}},
                     Json{{"algorithm", "SHA256"},
                          {"checksumValue", "6923dd1bc0460082c5d55a831908c24a282860b7f1cd6c2b79cf1bc8857c639c"}}}));
    // the seven files' sha1sum, sorted and joined, again through sha1sum
    assert_true(package(json, "cvmin image")["packageVerificationCode"]["packageVerificationCodeValue"] ==
                "439fb3f959123c10fc81f7e82dac3886ac2ccb2f");
}

static void spdx_document_names_itself_by_all_of_its_bytes(void **) {
    const auto name = [](const Json &json) { return json["documentNamespace"].get<std::string>(); };
    const std::string first = name(document());
    assert_true(first.starts_with("tag:cvmin,2026:sbom/") && first == name(document()));
    const auto image = test::small_image();
    const auto locks = test::small_locks();
    assert_true(first != name(*spdx_document({*image, locks, test::commit, 86400})));
    image->audit->sources[0].licence = "GPL-2.0-only";
    assert_true(first != name(*document_of(*image)));
}

static void spdx_document_refuses(void **) {
    const auto code = [](auto change) {
        const auto image = test::small_image();
        change(*image);
        const auto document = document_of(*image);
        return document ? Errc::usage : document.error().code;
    };
    assert_true(code([](LoadedImage &) {}) == Errc::usage);
    assert_true(code([](LoadedImage &i) { i.audit.reset(); }) == Errc::missing);
    assert_true(code([](LoadedImage &i) { i.audit->sources.erase(i.audit->sources.begin()); }) == Errc::missing);
    assert_true(code([](LoadedImage &i) { i.audit->sources[2].version = "4"; }) == Errc::missing);
    assert_true(code([](LoadedImage &i) { i.audit->sources.push_back({"gone", "1", "agent", "MIT"}); }) ==
                Errc::missing);
    assert_true(code([](LoadedImage &i) { i.audit->sources[0].licence = "GPL, mostly"; }) == Errc::unsupported);
    assert_true(code([](LoadedImage &i) { i.files.kernel.push_back({}); }) == Errc::mismatch);
    assert_true(code([](LoadedImage &i) { i.manifest.inputs[4]["sha256"] = std::string(64, '0'); }) == Errc::mismatch);
    const auto image = test::small_image();
    const auto locks = test::small_locks();
    const auto error = [&](const std::string &commit, std::int64_t time) {
        return spdx_document({*image, locks, commit, time}).error().code;
    };
    assert_true(error("HEAD", 0) == Errc::malformed);
    assert_true(error(test::commit.substr(1), 0) == Errc::malformed);
    assert_true(error(test::commit, -1) == Errc::out_of_range);
    assert_true(error(test::commit, 253402300800) == Errc::out_of_range);
}

// ---- reading ----------------------------------------------------------------------------------------------------

static void first_mismatch_finds_nothing_in_our_own(void **) {
    const auto image = test::small_image();
    const auto inputs = locked_inputs(image->manifest, test::small_locks());
    const auto sbom = parse_sbom(as_bytes(document().dump(1)));
    assert_true(sbom.has_value());
    assert_int_equal(sbom->files.size(), 7);
    assert_int_equal(sbom->packages.size(), 9);
    assert_false(first_mismatch(*sbom, *image, *inputs).has_value());
}

static void first_mismatch_names_what_differs(void **) {
    const auto image = test::small_image();
    const auto inputs = locked_inputs(image->manifest, test::small_locks());
    const auto subject = [&](auto change) {
        Json json = document();
        change(json);
        const auto sbom = parse_sbom(as_bytes(json.dump()));
        assert_true(sbom.has_value());
        const auto mismatch = first_mismatch(*sbom, *image, *inputs);
        return mismatch ? mismatch->subject : std::string{};
    };
    const std::string other(64, '0');
    assert_true(subject([&](Json &j) { j["files"][0]["checksums"][1]["checksumValue"] = other; }) == "bzImage");
    assert_true(subject([](Json &j) { j["files"].erase(1); }) == "initrd.zst");
    assert_true(subject([](Json &j) {
                    j["files"].push_back(j["files"][0]);
                    j["files"].back()["fileName"] = "./more";
                }) == "more");
    const auto wanted = [](const char *name, char digit) {
        return std::string{"package "} + name + " with SHA-256 " + std::string(64, digit);
    };
    assert_true(subject([](Json &j) { j["packages"].erase(2); }) == wanted("linux-source", '1'));
    assert_true(subject([](Json &j) { j["packages"][3]["versionInfo"] = "2"; }) == wanted("ovmf", '2'));
    assert_true(subject([](Json &j) { j["packages"][3]["licenseDeclared"] = "MIT"; }) == wanted("ovmf", '2'));
    assert_true(subject([](Json &j) {
                    j["packages"].push_back(j["packages"][3]);
                    j["packages"].back()["name"] = "zzz";
                }) == wanted("zzz", '2'));
}

static void parse_sbom_refuses_other_shapes(void **) {
    const auto code = [](auto change) {
        Json json = document();
        change(json);
        const auto sbom = parse_sbom(as_bytes(json.dump()));
        return sbom ? Errc::usage : sbom.error().code;
    };
    assert_true(code([](Json &j) { j["spdxVersion"] = "SPDX-2.2"; }) == Errc::unsupported);
    assert_true(code([](Json &j) { j.erase("spdxVersion"); }) == Errc::missing);
    assert_true(code([](Json &j) { j.erase("files"); }) == Errc::missing);
    assert_true(code([](Json &j) { j["packages"] = Json::object(); }) == Errc::malformed);
    assert_true(code([](Json &j) { j["files"][0]["checksums"].erase(1); }) == Errc::missing);
    assert_true(code([](Json &j) { j["files"][0]["checksums"][1]["checksumValue"] = "00"; }) == Errc::malformed);
    assert_true(code([](Json &j) { j["files"].push_back(j["files"][0]); }) == Errc::mismatch);
    assert_true(code([](Json &j) { j["files"][0]["fileName"] = std::string(max_sbom_text + 1, 'x'); }) ==
                Errc::too_large);
    assert_true(code([](Json &j) { j["packages"][0] = "text"; }) == Errc::malformed);
    assert_true(code([](Json &j) { j["packages"][0].erase("name"); }) == Errc::missing);
}

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(parse_lock_reads_each_word),
        cmocka_unit_test(package_url_is_what_its_specification_says),
        cmocka_unit_test(parse_lock_refuses_other_lines),
        cmocka_unit_test(locked_inputs_wants_the_locks_of_the_image),
        cmocka_unit_test(is_licence_expression_knows_the_grammar),
        cmocka_unit_test(spdx_document_has_every_pinned_file),
        cmocka_unit_test(spdx_document_says_what_is_made_of_what),
        cmocka_unit_test(spdx_document_concludes_the_licence_of_each_file),
        cmocka_unit_test(spdx_document_has_digests_as_other_programs_print_them),
        cmocka_unit_test(spdx_document_names_itself_by_all_of_its_bytes),
        cmocka_unit_test(spdx_document_refuses),
        cmocka_unit_test(first_mismatch_finds_nothing_in_our_own),
        cmocka_unit_test(first_mismatch_names_what_differs),
        cmocka_unit_test(parse_sbom_refuses_other_shapes),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
