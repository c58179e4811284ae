// The published interface, through the C++ header down to the C one: every published case, and every wrong use of it.
#include "tests/unit/cmocka.hpp"

#include "common/hash.hpp"
#include "host-tools/base/json.hpp"

#include <cvmin/launch.hpp>

#include <map>

#include <zstd.h>

using namespace cvmin;

namespace {

const Json &cases() {
    static const Json json = parse_json(test::data("sev-snp-measure/cases.json"), "cases.json").value();
    return json;
}

Bytes read_input(const std::string &name) {
    const std::string origin = "sev-snp-measure/";
    if (name == "EMPTY")
        return {};
    if (name.starts_with("debian:")) {
        const std::string file = name.substr(std::string{"debian:"}.size());
        const std::string path = (file == "OVMF_CODE_4M.fd" ? "/usr/share/OVMF/" : "/usr/share/ovmf/") + file;
        std::ifstream in(path, std::ios::binary);
        const std::string text{std::istreambuf_iterator<char>(in), {}};
        return to_bytes(as_bytes(text));
    }
    if (!name.starts_with("fixtures/svsm"))
        return test::data(origin + name);
    for (const Json &firmware : cases().at("firmware"))
        if (firmware.at("file") == name) {
            const Bytes packed = test::data(origin + name + ".zst");
            Bytes bytes(firmware.at("size").get<std::size_t>());
            ZSTD_decompress(bytes.data(), bytes.size(), packed.data(), packed.size());
            return bytes;
        }
    return {};
}

std::string wanted(const Json &test) {
    return test.at("expect_digest").get<std::string>();
}

ByteView input(const std::string &name) { // another build than that of the cases gives other digests, and fails
    static std::map<std::string, Bytes> files;
    const auto found = files.find(name);
    return found != files.end() ? found->second : files.emplace(name, read_input(name)).first->second;
}

launch::Input optional_input(const Json &name) {
    return name.is_null() ? launch::Input{} : input(name.get<std::string>());
}

// What a case says, in the form of the interface. `cmdline` and `seed` keep what the options point to.
launch::Options options_of(const Json &test, std::string &cmdline, Bytes &seed) {
    static const std::map<std::string, launch::Mode> modes = {{"snp", launch::Mode::snp},
                                                              {"snp:svsm", launch::Mode::snp_svsm},
                                                              {"seves", launch::Mode::sev_es},
                                                              {"sev", launch::Mode::sev}};
    static const std::map<std::string, launch::Vmm> vmms = {{"qemu", launch::Vmm::qemu},
                                                            {"ec2", launch::Vmm::ec2},
                                                            {"ec2-legacy", launch::Vmm::ec2_legacy},
                                                            {"gce", launch::Vmm::gce},
                                                            {"krun", launch::Vmm::krun}};
    const auto has = [&](const char *member) { return test.contains(member) && !test.at(member).is_null(); };
    launch::Options options;
    options.mode = modes.at(test.at("mode"));
    options.vmm = vmms.at(test.at("vmm"));
    options.vcpus = test.at("vcpus");
    // upstream has no guest features in the other modes
    options.guest_features = options.mode == launch::Mode::snp ? test.at("guest_features").get<std::uint64_t>() : 1;
    // a case that must be refused for its firmware names no vCPU, which would be refused first
    options.vcpu_signature = has("vcpu_sig") ? test.at("vcpu_sig").get<std::uint32_t>() : 0x800f12;
    if (options.mode == launch::Mode::snp_svsm)
        options.fpu = launch::Fpu::mxcsr_only;
    options.firmware = input(test.at("ovmf"));
    options.kernel = optional_input(test.at("kernel"));
    if (options.kernel)
        options.initrd = optional_input(test.at("initrd"));
    if (options.kernel && has("append")) {
        cmdline = test.at("append").get<std::string>();
        options.cmdline = cmdline;
    }
    if (has("ovmf_hash_seed")) {
        seed = parse_hex(test.at("ovmf_hash_seed").get<std::string>(), "seed").value();
        options.firmware_digest = seed;
    }
    if (has("svsm")) {
        options.svsm = input(test.at("svsm"));
        options.vars_size = test.at("vars_size");
    }
    return options;
}

// A launch that works, for the tests that make one thing wrong.
struct Call {
    cvmin_launch_options options = CVMIN_LAUNCH_OPTIONS_INIT;
    std::array<unsigned char, 255 * 48> out{};
    std::array<char, 192> text{};

    Call() {
        const ByteView firmware = input("fixtures/ovmf_AmdSev_suffix.bin");
        options.firmware = {firmware.data(), firmware.size()};
        options.vcpus = 1;
        options.vcpu_type = "EPYC-v4";
    }
    int operator()(std::size_t size = 48) {
        out.fill(0xee);
        text.fill('#');
        return cvmin_launch_digest(&options, out.data(), size, text.data(), text.size());
    }
    int all(std::size_t size) {
        out.fill(0xee);
        text.fill('#');
        return cvmin_launch_digests(&options, out.data(), size, text.data(), text.size());
    }
    bool zeroed(std::size_t size) const { return all_zero(std::as_bytes(std::span{out}).first(size)); }
    bool says(std::string_view part) const { return std::string_view{text.data()}.contains(part); }
};

constexpr cvmin_launch_bytes empty_file{"", 0};

} // namespace

static void every_published_case_has_its_digest(void **) {
    unsigned failed = 0;
    unsigned run = 0;
    for (const Json &test : cases().at("cases")) {
        std::string cmdline;
        Bytes seed;
        const launch::Options options = options_of(test, cmdline, seed);
        const auto digest = launch::digest(options);
        const bool refuse = test.contains("expect_error");
        ++run;
        if (refuse ? !digest && digest.error().status == launch::Status::unsupported
                   : digest && hex(*digest) == wanted(test))
            continue;
        print_error("%s: %s\n", test.at("name").get<std::string>().c_str(),
                    digest ? hex(*digest).c_str() : digest.error().text.c_str());
        ++failed;
    }
    assert_int_equal(failed, 0);
    assert_int_equal(run, 59);
}

static void every_published_firmware_digest_is_found(void **) {
    unsigned run = 0;
    for (const Json &test : cases().at("ovmf_hash_cases")) {
        launch::Options options{.mode = launch::Mode::snp_firmware};
        options.firmware = input(test.at("ovmf"));
        const auto digest = launch::digest(options);
        const bool same = digest && hex(*digest) == wanted(test);
        assert_true(same);
        ++run;
    }
    assert_true(run >= 3);
}

static void digests_of_all_counts_are_those_of_single_calls(void **) {
    bool same = true;
    for (const char *mode : {"snp", "snp:svsm"})
        for (const Json &test : cases().at("cases")) {
            if (test.at("mode") != mode || test.contains("expect_error"))
                continue;
            std::string cmdline;
            Bytes seed;
            launch::Options options = options_of(test, cmdline, seed);
            const unsigned count = options.vcpus;
            options.vcpus = 5;
            const auto all = launch::digests(options);
            same = same && all && all->size() == 5;
            if (all && count <= 5) // the published one
                same = same && hex((*all)[count - 1]) == wanted(test);
            options.vcpus = 4;
            const auto fourth = launch::digest(options);
            same = same && all && fourth && equal(*fourth, (*all)[3]);
            break; // one of each mode
        }
    assert_true(same);
}

static void a_wrong_structure_is_refused(void **) {
    Call call;
    assert_int_equal(call(), CVMIN_LAUNCH_OK);
    assert_true(call.text[0] == '\0');
    assert_false(call.zeroed(48));

    assert_int_equal(cvmin_launch_digest(nullptr, call.out.data(), 48, nullptr, 0), CVMIN_LAUNCH_INVALID_ARGUMENT);
    for (std::size_t size : {std::size_t{0}, sizeof call.options - 1, std::size_t{4097}, SIZE_MAX}) {
        call.options.struct_size = size;
        assert_int_equal(call(), CVMIN_LAUNCH_INVALID_ARGUMENT);
        assert_true(call.zeroed(48) && call.says("struct_size"));
    }
    call.options.struct_size = sizeof call.options;
    call.options.reserved = 1;
    assert_int_equal(call(), CVMIN_LAUNCH_UNSUPPORTED);
}

static void a_longer_structure_is_accepted_while_its_rest_is_zero(void **) {
    struct Newer {
        cvmin_launch_options known = CVMIN_LAUNCH_OPTIONS_INIT;
        std::uint64_t unknown = 0;
    } newer;
    Call call;
    newer.known = call.options;
    newer.known.struct_size = sizeof newer;
    std::array<unsigned char, 48> out{};
    assert_int_equal(cvmin_launch_digest(&newer.known, out.data(), out.size(), nullptr, 0), CVMIN_LAUNCH_OK);
    newer.unknown = 1;
    assert_int_equal(cvmin_launch_digest(&newer.known, out.data(), out.size(), nullptr, 0), CVMIN_LAUNCH_UNSUPPORTED);
    assert_true(all_zero(std::as_bytes(std::span{out})));
}

static void wrong_outputs_are_refused(void **) {
    Call call;
    for (std::size_t size : {0u, 1u, 32u, 47u, 49u, 255u * 48}) {
        assert_int_equal(call(size), CVMIN_LAUNCH_INVALID_ARGUMENT);
        assert_true(call.zeroed(size));
    }
    assert_int_equal(cvmin_launch_digest(&call.options, nullptr, 48, nullptr, 0), CVMIN_LAUNCH_INVALID_ARGUMENT);
    assert_int_equal(cvmin_launch_digest(&call.options, call.out.data(), SIZE_MAX, nullptr, 0),
                     CVMIN_LAUNCH_INVALID_ARGUMENT);
    assert_int_equal(cvmin_launch_digest(&call.options, call.out.data(), 48, nullptr, 1),
                     CVMIN_LAUNCH_INVALID_ARGUMENT);
    call.options.vcpus = 2;
    assert_int_equal(call.all(2 * 48), CVMIN_LAUNCH_OK);
    assert_int_equal(call.all(48), CVMIN_LAUNCH_INVALID_ARGUMENT);
    assert_int_equal(call.all(3 * 48), CVMIN_LAUNCH_INVALID_ARGUMENT);
    call.options.mode = CVMIN_LAUNCH_MODE_SEV;
    assert_int_equal(call(48), CVMIN_LAUNCH_INVALID_ARGUMENT);
    assert_int_equal(call(32), CVMIN_LAUNCH_OK);
    assert_int_equal(call.all(2 * 32), CVMIN_LAUNCH_UNSUPPORTED);
    call.options.mode = CVMIN_LAUNCH_MODE_SNP_FIRMWARE;
    assert_int_equal(call.all(2 * 48), CVMIN_LAUNCH_UNSUPPORTED);
}

static void an_error_is_cut_to_its_buffer(void **) {
    Call call;
    call.options.vcpus = 256;
    char small[8];
    std::ranges::fill(small, '#');
    assert_int_equal(cvmin_launch_digest(&call.options, call.out.data(), 48, small, sizeof small - 1),
                     CVMIN_LAUNCH_OUT_OF_RANGE);
    assert_string_equal(small, "option");
    assert_true(small[7] == '#'); // one past what was given
    assert_int_equal(cvmin_launch_digest(&call.options, call.out.data(), 48, small, 0), CVMIN_LAUNCH_OUT_OF_RANGE);
    assert_string_equal(small, "option"); // as it was
}

static void wrong_options_are_refused_by_name(void **) {
    struct Wrong {
        const char *says;
        int status;
        void (*make)(cvmin_launch_options &);
    };
    static const std::string long_name(100, 'E');
    static const std::string long_line(CVMIN_LAUNCH_MAX_CMDLINE_SIZE + 1, 'x');
    using O = cvmin_launch_options;
    const Wrong wrongs[] = {
        {"options.mode", CVMIN_LAUNCH_INVALID_ARGUMENT, [](O &o) { o.mode = 0; }},
        {"options.mode", CVMIN_LAUNCH_INVALID_ARGUMENT, [](O &o) { o.mode = 6; }},
        {"options.vmm", CVMIN_LAUNCH_INVALID_ARGUMENT, [](O &o) { o.vmm = 0; }},
        {"options.vmm", CVMIN_LAUNCH_INVALID_ARGUMENT, [](O &o) { o.vmm = 6; }},
        {"options.fpu", CVMIN_LAUNCH_INVALID_ARGUMENT, [](O &o) { o.fpu = 0; }},
        {"options.fpu", CVMIN_LAUNCH_INVALID_ARGUMENT, [](O &o) { o.fpu = 4; }},
        {"options.vcpus is out of range", CVMIN_LAUNCH_OUT_OF_RANGE, [](O &o) { o.vcpus = 0; }},
        {"options.vcpus is out of range (256)", CVMIN_LAUNCH_OUT_OF_RANGE, [](O &o) { o.vcpus = 256; }},
        {"guest_features", CVMIN_LAUNCH_INVALID_ARGUMENT, [](O &o) { o.guest_features = 0x20; }},
        {"names no vCPU", CVMIN_LAUNCH_INVALID_ARGUMENT, [](O &o) { o.vcpu_type = nullptr; }},
        {"both", CVMIN_LAUNCH_INVALID_ARGUMENT, [](O &o) { o.vcpu_signature = 0x800f12; }},
        {"did you mean EPYC-Milan?", CVMIN_LAUNCH_INVALID_ARGUMENT, [](O &o) { o.vcpu_type = "EPYC-Milano"; }},
        {"longer", CVMIN_LAUNCH_INVALID_ARGUMENT, [](O &o) { o.vcpu_type = long_name.c_str(); }},
        {"firmware is absent", CVMIN_LAUNCH_INVALID_ARGUMENT, [](O &o) { o.firmware = {nullptr, 0}; }},
        {"no address", CVMIN_LAUNCH_INVALID_ARGUMENT, [](O &o) { o.kernel = {nullptr, 1}; }},
        {"without a kernel", CVMIN_LAUNCH_INVALID_ARGUMENT, [](O &o) { o.initrd = empty_file; }},
        {"without a kernel", CVMIN_LAUNCH_INVALID_ARGUMENT, [](O &o) { o.cmdline = empty_file; }},
        {"NUL inside", CVMIN_LAUNCH_MALFORMED,
         [](O &o) {
             o.kernel = empty_file;
             o.cmdline = {"a\0b", 3};
         }},
        {"options.cmdline is larger", CVMIN_LAUNCH_TOO_LARGE,
         [](O &o) {
             o.kernel = empty_file;
             o.cmdline = {long_line.data(), long_line.size()};
         }},
        {"48 bytes", CVMIN_LAUNCH_INVALID_ARGUMENT, [](O &o) { o.firmware_digest = {"x", 1}; }},
        {"options.svsm", CVMIN_LAUNCH_INVALID_ARGUMENT, [](O &o) { o.svsm = {"x", 1}; }},
        {"options.svsm", CVMIN_LAUNCH_INVALID_ARGUMENT, [](O &o) { o.mode = CVMIN_LAUNCH_MODE_SNP_SVSM; }},
        {"options.vars_size", CVMIN_LAUNCH_INVALID_ARGUMENT, [](O &o) { o.vars_size = 4096; }},
        {"QEMU only", CVMIN_LAUNCH_INVALID_ARGUMENT,
         [](O &o) {
             o.mode = CVMIN_LAUNCH_MODE_SNP_SVSM;
             o.svsm = {"x", 1};
             o.vmm = CVMIN_LAUNCH_VMM_GCE;
         }},
        {"options.kernel", CVMIN_LAUNCH_INVALID_ARGUMENT,
         [](O &o) {
             o.mode = CVMIN_LAUNCH_MODE_SNP_FIRMWARE;
             o.kernel = empty_file;
         }},
        // sizes that are a lie are the caller's fault, but one above the limit is refused before anything is read
        {"options.firmware is larger", CVMIN_LAUNCH_TOO_LARGE, [](O &o) { o.firmware.size = std::size_t{4} << 30; }},
        {"ends too early", CVMIN_LAUNCH_TRUNCATED, [](O &o) { o.firmware.size = 0; }},
        {"is out of range", CVMIN_LAUNCH_OUT_OF_RANGE, [](O &o) { o.firmware.size -= 1; }},
    };
    for (const Wrong &wrong : wrongs) {
        Call call;
        wrong.make(call.options);
        const int status = call();
        if (status != wrong.status || !call.says(wrong.says))
            print_error("wanted %d, \"%s\": got %d, \"%s\"\n", wrong.status, wrong.says, status, call.text.data());
        assert_int_equal(status, wrong.status);
        assert_true(call.says(wrong.says));
        assert_true(call.zeroed(48));
    }
}

static void the_cpp_header_refuses_before_the_library_could_misread(void **) {
    launch::Options options;
    options.firmware = input("fixtures/ovmf_AmdSev_suffix.bin");
    options.vcpus = 1;
    options.vcpu_type = std::string_view{"EPYC\0x", 6};
    assert_true(launch::digest(options).error().text.contains("NUL"));
    options.vcpu_type = "EPYC";
    options.mode = launch::Mode{0};
    assert_true(launch::digest(options).error().status == launch::Status::invalid_argument);
    options.mode = launch::Mode::snp;
    options.vcpus = 256;
    assert_true(launch::digests(options).error().status == launch::Status::out_of_range);
    options.vcpus = 1;
    options.kernel = std::span<const std::byte>{}; // an empty file is there, though it has no address
    options.cmdline = "";
    const auto with = launch::digest(options);
    options.kernel.reset();
    options.cmdline.reset();
    const auto without = launch::digest(options);
    assert_true(with && without && *with != *without);
}

static void names_and_texts_are_total(void **) {
    std::uint32_t signature = 1;
    assert_string_equal(cvmin_launch_vcpu_type(0, nullptr), "EPYC");
    assert_null(cvmin_launch_vcpu_type(SIZE_MAX, &signature));
    assert_int_equal(signature, 0);
    const std::size_t types = launch::vcpu_types().size();
    assert_true(types > 20);
    for (int status = -1; status < 14; ++status)
        assert_true(cvmin_launch_error_text(status)[0] != '\0');
    assert_string_equal(cvmin_launch_error_text(12), "not a status of this version");
    assert_string_equal(cvmin_launch_version(), CVMIN_VERSION);
    assert_int_equal(cvmin_launch_digest_size(0), 0);
}

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(every_published_case_has_its_digest),
        cmocka_unit_test(every_published_firmware_digest_is_found),
        cmocka_unit_test(digests_of_all_counts_are_those_of_single_calls),
        cmocka_unit_test(a_wrong_structure_is_refused),
        cmocka_unit_test(a_longer_structure_is_accepted_while_its_rest_is_zero),
        cmocka_unit_test(wrong_outputs_are_refused),
        cmocka_unit_test(an_error_is_cut_to_its_buffer),
        cmocka_unit_test(wrong_options_are_refused_by_name),
        cmocka_unit_test(the_cpp_header_refuses_before_the_library_could_misread),
        cmocka_unit_test(names_and_texts_are_total),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
