// The launch digest against sev-snp-measure's digests, VMSA pages and hash table; every refusal of the OVMF parser.
#include "tests/unit/cmocka.hpp"

#include "common/launch.hpp"
#include "host-tools/base/json.hpp"

#include <set>

using namespace cvmin;

namespace {

const char *const origin = "sev-snp-measure/";

const Json &cases() {
    static const Json json = parse_json(test::data(std::string{origin} + "cases.json"), "cases.json").value();
    return json;
}

std::string text_of(const Json &object, const char *member) {
    return object.at(member).get<std::string>();
}

// A file that the cases name. Debian's firmware is read from the toolchain root, and must be the build named there.
Bytes input(const std::string &name) {
    if (name == "EMPTY")
        return {};
    if (!name.starts_with("debian:"))
        return test::data(origin + name);
    const std::string file = name.substr(std::string{"debian:"}.size());
    const std::string path = (file == "OVMF_CODE_4M.fd" ? "/usr/share/OVMF/" : "/usr/share/ovmf/") + file;
    std::ifstream in(path, std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(in), {}};
    for (const Json &firmware : cases().at("firmware"))
        if (text_of(firmware, "file") == name && hex(sha256(as_bytes(text))) == text_of(firmware, "sha256"))
            return to_bytes(as_bytes(text));
    print_error("%s is missing or another build than %s\n", path.c_str(), name.c_str());
    abort();
}

Bytes optional_input(const Json &name) {
    return name.is_null() ? Bytes{} : input(name.get<std::string>());
}

// Runs one case; empty: the digest, or the refusal, is the expected one.
std::string difference(const Json &test) {
    const Bytes firmware = input(text_of(test, "ovmf"));
    std::optional<KernelHashes> hashes;
    if (!test.at("kernel").is_null()) {
        const std::string append = test.at("append").is_null() ? std::string{} : text_of(test, "append");
        hashes = kernel_hashes(optional_input(test.at("kernel")), optional_input(test.at("initrd")), append);
    }
    const LaunchConfig config{test.at("vcpus"), {test.at("vcpu_sig"), test.at("guest_features")}};
    Result<Sha384Digest> found = launch_digest(firmware, hashes, config);
    if (!test.at("ovmf_hash_seed").is_null()) {
        // The firmware's pages are replaced by the seed; its metadata is still read.
        const auto seed = parse_hex_exactly<48>(text_of(test, "ovmf_hash_seed"), "seed");
        const Ovmf ovmf = parse_ovmf(firmware).value();
        found = measure_metadata(LaunchDigest{seed.value()}, ovmf, hashes).and_then([&](LaunchDigest digest) {
            return measure_vcpus(digest, config, ovmf.reset_eip);
        });
    }
    if (test.contains("expect_error")) {
        if (!found && found.error().code == Errc::unsupported)
            return {};
        return "wanted a refusal, found " + (found ? hex(*found) : to_string(found.error()));
    }
    const std::string wanted = text_of(test, "expect_digest");
    const std::string got = found ? hex(*found) : to_string(found.error());
    return got == wanted ? std::string{} : "wanted " + wanted + ", found " + got;
}

} // namespace

static void launch_digest_is_that_of_sev_snp_measure(void **) {
    unsigned run = 0;
    unsigned failed = 0;
    for (const Json &test : cases().at("cases")) {
        if (text_of(test, "mode") != "snp" || text_of(test, "vmm") != "qemu")
            continue;
        ++run;
        if (const std::string text = difference(test); !text.empty()) {
            print_error("%s: %s\n", text_of(test, "name").c_str(), text.c_str());
            ++failed;
        }
    }
    assert_int_equal(failed, 0);
    assert_int_equal(run, 39);
}

static void firmware_digest_is_upstreams_ovmf_hash(void **) {
    unsigned run = 0;
    unsigned failed = 0;
    for (const Json &test : cases().at("ovmf_hash_cases")) {
        const std::string name = text_of(test, "ovmf");
        if (name == "fixtures/svsm_ovmf.fd") // 3.5 MiB, not copied
            continue;
        ++run;
        if (hex(measure_firmware(input(name)).value()) != text_of(test, "expect_digest")) {
            print_error("%s differs\n", name.c_str());
            ++failed;
        }
    }
    assert_int_equal(failed, 0);
    assert_int_equal(run, 5);
}

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(launch_digest_is_that_of_sev_snp_measure),
        cmocka_unit_test(firmware_digest_is_upstreams_ovmf_hash),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
