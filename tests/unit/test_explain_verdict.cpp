// The explanation under a failed snp.measurement: what it says, and that it changes nothing.
#include "tests/unit/appraise_fixture.hpp"

#include "host-tools/base/os.hpp"
#include "host-tools/explain_verdict.hpp"
#include "image/image_manifest.hpp"

using namespace cvmin;

namespace {

// An image of upstream's test inputs in a directory of its own, removed at the end.
class TestImage {
  public:
    TestImage() {
        char path[] = "/tmp/cvmin-test-explain-XXXXXX";
        if (::mkdtemp(path) == nullptr)
            abort();
        directory_ = path;
        ImageManifest manifest;
        manifest.version = "0.1.0";
        manifest.command_line = "console=ttyS0 root=/dev/vda1 ro panic=-1";
        const Bytes kernel = test::data("sev-snp-measure/inputs/kernel.bin");
        const Bytes initrd = test::data("sev-snp-measure/inputs/initrd.bin");
        manifest.kernel = file("bzImage", kernel);
        manifest.initrd = file("initrd", initrd);
        manifest.cmdline = file("cmdline", as_bytes(manifest.command_line));
        manifest.firmware = file("OVMF.fd", test::data("sev-snp-measure/fixtures/ovmf_AmdSev_suffix.bin"));
        manifest.hashes = kernel_hashes(kernel, initrd, manifest.command_line);
        manifest.guest_policy = default_guest_policy;
        file("image.json", as_bytes(to_json(manifest).dump(2)));
    }
    ~TestImage() { std::filesystem::remove_all(directory_); }
    TestImage(const TestImage &) = delete;
    TestImage &operator=(const TestImage &) = delete;
    std::filesystem::path json() const { return directory_ / "image.json"; }
    void spoil() const { std::filesystem::resize_file(directory_ / "initrd", 1); }

  private:
    ImageFile file(const std::string &name, ByteView bytes) {
        if (!write_file(directory_ / name, bytes))
            abort();
        return {name, sha256(bytes), bytes.size()};
    }
    std::filesystem::path directory_;
};

// suffix-amdsev-kernel-64vcpu of sev-snp-measure's cases: EPYC-Milan, 64 vCPUs
constexpr const char *published =
    "478a6a4616e232b0eeb01f7b772c76b9965d84b3691258b0491f0b9ef4d5c81eaa3d295d1fd2174647b8a79"
    "9fdfff670";

test::Case case_of(const TestImage &image, const char *digest) {
    test::Case c = test::good_case();
    c.report.measurement = parse_hex_exactly<48>(digest, "test").value();
    const auto manifest = load_image_manifest(image.json()).value();
    const auto files = load_image_files(manifest).value();
    const Ovmf ovmf = parse_ovmf(files.firmware).value();
    const auto before = measure_before_vcpus(files.firmware, ovmf, manifest.hashes).value();
    c.want.measurements = {measure_vcpus(before, {2, {0xa00f11}}, ovmf.reset_eip).value()};
    c.want.measurement_source = "image.json, EPYC-Milan, 2 vCPUs";
    return c;
}

} // namespace

static void explanation_is_given_under_a_failed_measurement_and_changes_nothing(void **) {
    const TestImage image;
    const test::Case c = case_of(image, published);
    Appraisal appraisal = test::appraise_case(c);
    const std::string before = verdict_table(appraisal, c.want);
    explain_failed_measurement(appraisal, image.json(), "EPYC-Milan", 2);
    const std::string after = verdict_table(appraisal, c.want);
    const bool refused = !appraisal.accepted && !appraisal.verdict.accepted();
    const bool said = appraisal.explanation && after.contains("\n    vcpus 64 instead of 2\n");
    const std::size_t last = before.rfind("\n\n"); // the rows are the same, the last line too
    const bool same = after.starts_with(before.substr(0, last)) && after.ends_with(before.substr(last + 1));

    Json json = verdict_json(appraisal, c.want).at("explanation");
    json["candidates"] = 0; // not the same on every machine
    const std::string text = json.dump(2) + "\n";
    const Bytes golden = test::data("appraise/explanation.json");
    const bool as_golden = text == as_text(golden);
    if (!as_golden)
        print_error("found:\n%s", text.c_str());
    assert_true(refused);
    assert_true(said);
    assert_true(same);
    assert_true(as_golden);
}

static void explanation_says_so_when_nothing_is_near(void **) {
    const TestImage image;
    const test::Case c = case_of(image, published);
    test::Case other = c;
    other.report.measurement = sha384(as_bytes("another image"));
    Appraisal appraisal = test::appraise_case(other);
    explain_failed_measurement(appraisal, image.json(), "EPYC-Milan", 2);
    const bool said = verdict_table(appraisal, other.want).contains("no launch near the described one has this digest");
    const bool refused = !appraisal.accepted && !appraisal.verdict.accepted();
    assert_true(said);
    assert_true(refused);
}

static void explanation_is_not_given_where_there_is_nothing_to_explain(void **) {
    const TestImage image;
    test::Case c = case_of(image, published);
    const auto explained = [&](const test::Case &of, const char *type) {
        Appraisal appraisal = test::appraise_case(of);
        explain_failed_measurement(appraisal, image.json(), type, 2);
        return appraisal.explanation.has_value() || verdict_json(appraisal, of.want).contains("explanation");
    };
    const bool unknown_type = explained(c, "EPYC-Unknown");
    test::Case good = c;
    good.want.measurements = {c.report.measurement};
    const bool accepted = test::appraise_case(good).accepted.has_value();
    const bool of_accepted = explained(good, "EPYC-Milan");
    test::Case garbage = c;
    garbage.encoded = [](Bytes &bytes) { bytes.resize(10); };
    const bool of_garbage = explained(garbage, "EPYC-Milan");
    image.spoil();
    const bool of_spoiled = explained(c, "EPYC-Milan");
    assert_false(unknown_type);
    assert_true(accepted);
    assert_false(of_accepted);
    assert_false(of_garbage);
    assert_false(of_spoiled);
}

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(explanation_is_given_under_a_failed_measurement_and_changes_nothing),
        cmocka_unit_test(explanation_says_so_when_nothing_is_near),
        cmocka_unit_test(explanation_is_not_given_where_there_is_nothing_to_explain),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
