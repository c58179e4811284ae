// Predictions for an image: against sev-snp-measure's digests, and what a manifest may not say.
#include "tests/unit/cmocka.hpp"

#include "host-tools/measure/measure.hpp"

using namespace cvmin;

namespace {

const std::string origin = "sev-snp-measure/";

struct Image {
    ImageManifest manifest;
    ImageFiles files;
};

// An image of upstream's test inputs, as load_image_manifest and load_image_files would return it.
Image image() {
    Image image;
    image.files = {test::data(origin + "inputs/kernel.bin"), test::data(origin + "inputs/initrd.bin"),
                   test::data(origin + "fixtures/ovmf_AmdSev_suffix.bin")};
    ImageManifest &manifest = image.manifest;
    manifest.command_line = "console=ttyS0 root=/dev/vda1 ro panic=-1";
    manifest.hashes = kernel_hashes(image.files.kernel, image.files.initrd, manifest.command_line);
    manifest.kernel = {"bzImage", manifest.hashes.kernel, image.files.kernel.size()};
    manifest.initrd = {"initrd", manifest.hashes.initrd, image.files.initrd.size()};
    return image;
}

// The digest of a case with the image's kernel, initrd and command line.
std::string expected(const std::string &name) {
    const Json json = parse_json(test::data(origin + "cases.json"), "cases.json").value();
    for (const Json &test : json.at("cases"))
        if (test.at("name").get<std::string>() == name)
            return test.at("expect_digest").get<std::string>();
    print_error("no case %s\n", name.c_str());
    abort();
}

Error refusal(const Image &image) {
    return predict_before_vcpus(image.manifest, image.files).error();
}

} // namespace

static void prediction_of_an_image_is_that_of_sev_snp_measure(void **) {
    const Image it = image();
    const auto digest = predict_launch_digest(it.manifest, it.files, find_cpu_model("EPYC-Milan").value(), 64);
    const bool same = hex(digest.value()) == expected("suffix-amdsev-kernel-64vcpu");
    assert_true(same);
}

static void guest_features_of_the_manifest_are_measured(void **) {
    Image it = image();
    const CpuModel model = find_cpu_model("EPYC-Milan").value();
    const auto plain = predict_launch_digest(it.manifest, it.files, model, 1).value();
    it.manifest.guest_features = 0x21;
    const auto debug_swap = predict_launch_digest(it.manifest, it.files, model, 1).value();
    const auto before = predict_before_vcpus(it.manifest, it.files).value();
    const bool as_given = debug_swap == predict_launch_digest(before, {model.signature, 0x21}, 1).value();
    const bool differ = plain != debug_swap;
    assert_true(differ);
    assert_true(as_given);
}

static void all_predictions_hold_every_model_and_count(void **) {
    const Image it = image();
    const auto before = predict_before_vcpus(it.manifest, it.files).value();
    const auto all = predict_all(before, 1).value();
    std::size_t names = 0;
    bool counts = true;
    bool known = false;
    bool single = true;
    for (const ReferenceValues &values : all) {
        names += values.models.size();
        counts = counts && values.digests.size() == max_vcpus;
        for (std::string_view name : values.models) {
            single = single && find_cpu_model(name)->signature == values.signature;
            known = known ||
                    (name == "EPYC-Milan-v2" && hex(values.digests[63]) == expected("suffix-amdsev-kernel-64vcpu"));
        }
        single = single && values.digests[0] == predict_launch_digest(before, {values.signature}, 1).value() &&
                 values.digests[254] == predict_launch_digest(before, {values.signature}, 255).value();
    }
    const std::size_t signatures = all.size();
    assert_int_equal(signatures, 5);
    assert_int_equal(names, cpu_models().size());
    assert_true(counts);
    assert_true(known);
    assert_true(single);
}

static void all_predictions_of_a_vmm_without_signatures_are_one_for_every_model(void **) {
    const auto before = predict_before_vcpus(test::data(origin + "fixtures/ovmf_AmdSev_suffix.bin"),
                                             kernel_hashes({}, {}, ""), std::nullopt, Vmm::gce)
                            .value();
    const auto all = predict_all(before, {0, 1, Vmm::gce}).value();
    const std::size_t size = all.size();
    const std::size_t models = all[0].models.size();
    const bool one = hex(all[0].digests[0]) == expected("test_snp_gce_default");
    const bool four = hex(all[0].digests[3]) == expected("test_snp_gce_with_multiple_vcpus_default");
    assert_int_equal(size, 1);
    assert_int_equal(models, cpu_models().size());
    assert_true(one);
    assert_true(four);
}

static void predicting_refuses_a_manifest_that_contradicts_itself(void **) {
    Image kernel = image();
    kernel.manifest.kernel.sha256[0] ^= std::byte{1};
    Image initrd = image();
    initrd.manifest.initrd.sha256[31] ^= std::byte{1};
    Image cmdline = image();
    cmdline.manifest.command_line += " ";
    Image nul = image();
    nul.manifest.command_line += '\0';
    nul.manifest.hashes.cmdline = kernel_hashes({}, {}, nul.manifest.command_line).cmdline;
    const Error of_kernel = refusal(kernel);
    const Error of_initrd = refusal(initrd);
    const Error of_cmdline = refusal(cmdline);
    const Error of_nul = refusal(nul);
    assert_true(of_kernel == (Error{Errc::mismatch, "image.hashes.kernel"}));
    assert_true(of_initrd == (Error{Errc::mismatch, "image.hashes.initrd"}));
    assert_true(of_cmdline == (Error{Errc::mismatch, "image.hashes.cmdline"}));
    assert_true(of_nul == (Error{Errc::malformed, "image.cmdline"}));
}

static void predicting_refuses_an_image_whose_firmware_measures_no_kernel(void **) {
    Image it = image();
    it.files.firmware = test::data(origin + "fixtures/ovmf_OvmfX64_suffix.bin");
    const Error error = refusal(it);
    assert_true(error == (Error{Errc::unsupported, "ovmf.kernel_hashes_section"}));
}

static void firmware_digest_stands_for_the_firmwares_pages(void **) {
    const Image it = image();
    const auto seed = measure_firmware(it.files.firmware).value();
    // Metadata and reset vector still come from the file; its other bytes do not matter any more.
    Bytes other = it.files.firmware;
    other[0] ^= std::byte{0xff};
    const auto by_seed = predict_before_vcpus(other, it.manifest.hashes, seed).value();
    const auto by_file = predict_before_vcpus(it.files.firmware, it.manifest.hashes).value();
    const auto of_other = predict_before_vcpus(other, it.manifest.hashes).value();
    const bool same = by_seed.digest.value() == by_file.digest.value() && by_seed.ap_reset_eip == 0x80b004;
    const bool differs = of_other.digest.value() != by_file.digest.value();
    assert_true(same);
    assert_true(differs);
}

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(prediction_of_an_image_is_that_of_sev_snp_measure),
        cmocka_unit_test(guest_features_of_the_manifest_are_measured),
        cmocka_unit_test(all_predictions_hold_every_model_and_count),
        cmocka_unit_test(all_predictions_of_a_vmm_without_signatures_are_one_for_every_model),
        cmocka_unit_test(predicting_refuses_a_manifest_that_contradicts_itself),
        cmocka_unit_test(predicting_refuses_an_image_whose_firmware_measures_no_kernel),
        cmocka_unit_test(firmware_digest_stands_for_the_firmwares_pages),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
