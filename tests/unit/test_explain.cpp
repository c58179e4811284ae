// Explanations of digests that public tools computed, from descriptions that differ from theirs; the derivation and the
// memory map. The digests are those of tests/data/sev-snp-measure/cases.json, none of them our own.
#include "tests/unit/cmocka.hpp"

#include "host-tools/measure/boot_header.hpp"
#include "host-tools/measure/derivation.hpp"
#include "host-tools/measure/explain.hpp"

#include <map>

#include <zstd.h>

using namespace cvmin;

namespace {

const std::string origin = "sev-snp-measure/";

const Json &cases() {
    static const Json json = parse_json(test::data(origin + "cases.json"), "cases.json").value();
    return json;
}

[[noreturn]] void missing(const std::string &what) {
    print_error("missing or another build: %s\n", what.c_str());
    abort();
}

const Json &case_named(const std::string &name) {
    for (const char *list : {"cases", "variant_cases", "ovmf_hash_cases"})
        for (const Json &test : cases().at(list))
            if (test.at("name").get<std::string>() == name)
                return test;
    missing(name);
}

Bytes read_input(const std::string &name) {
    if (name == "EMPTY")
        return {};
    for (const Json &firmware : cases().at("firmware")) {
        if (firmware.at("file").get<std::string>() != name)
            continue;
        Bytes bytes;
        if (name.starts_with("fixtures/svsm")) {
            const Bytes packed = test::data(origin + name + ".zst");
            bytes.resize(firmware.at("size").get<std::size_t>());
            if (ZSTD_decompress(bytes.data(), bytes.size(), packed.data(), packed.size()) != bytes.size())
                missing(name);
        } else if (name.starts_with("debian:")) {
            const std::string file = name.substr(std::string{"debian:"}.size());
            std::ifstream in((file == "OVMF_CODE_4M.fd" ? "/usr/share/OVMF/" : "/usr/share/ovmf/") + file,
                             std::ios::binary);
            const std::string text{std::istreambuf_iterator<char>(in), {}};
            bytes = to_bytes(as_bytes(text));
        } else {
            break;
        }
        if (hex(sha256(bytes)) != firmware.at("sha256").get<std::string>())
            missing(name);
        return bytes;
    }
    return test::data(origin + name);
}

ByteView input(const std::string &name) { // stays where it is: descriptions look at it
    static std::map<std::string, Bytes> files;
    const auto found = files.find(name);
    return found != files.end() ? found->second : files.emplace(name, read_input(name)).first->second;
}

bool has(const Json &test, const char *member) {
    return test.contains(member) && !test.at(member).is_null();
}

// The launch that a case measures. Its VMM is left at QEMU.
LaunchDescription description(const std::string &name) {
    const Json &test = case_named(name);
    LaunchDescription described;
    described.firmware_name = test.at("ovmf").get<std::string>();
    described.firmware = input(described.firmware_name);
    if (has(test, "kernel")) {
        const ByteView kernel = input(test.at("kernel").get<std::string>());
        KernelInputs inputs{kernel, std::nullopt, has(test, "append") ? test.at("append").get<std::string>() : "",
                            sha256(kernel), sha256({})};
        if (has(test, "initrd")) {
            inputs.initrd = input(test.at("initrd").get<std::string>());
            inputs.initrd_sha256 = sha256(*inputs.initrd);
        }
        described.kernel = std::move(inputs);
    }
    if (has(test, "svsm"))
        described.svsm =
            SvsmInput{input(test.at("svsm").get<std::string>()), test.at("vars_size").get<std::uint64_t>()};
    if (has(test, "guest_features"))
        described.guest_features = test.at("guest_features").get<std::uint64_t>();
    if (has(test, "vcpu_sig"))
        described.signature = test.at("vcpu_sig").get<std::uint32_t>();
    described.vcpus = test.at("vcpus").get<unsigned>();
    return described;
}

std::string digest_of(const std::string &name) {
    return case_named(name).at("expect_digest").get<std::string>();
}

// Nothing here is about time: a slow machine under sanitizers must give the same answers.
ExplainOptions patient(std::span<const NamedFile> also = {}) {
    ExplainOptions options;
    options.also = also;
    options.time = std::chrono::minutes{5};
    return options;
}

Explanation explanation_of(const LaunchDescription &described, const std::string &digest,
                           std::span<const NamedFile> also = {}) {
    return explain_digest(described, parse_hex(digest, "test").value(), patient(also)).value();
}

// "initrd=none vcpus=4/2 | mode=seves": what differs, with the described value where it is short, and what was open
std::string summary(const Explanation &explanation) {
    std::string text;
    const auto list = [&](const std::vector<Difference> &differences) {
        for (const Difference &difference : differences) {
            if (!text.empty() && text.back() != ' ')
                text += ' ';
            text += difference.what + "=" + difference.found;
            if (!difference.described.empty() && !difference.described.contains(' '))
                text += "/" + difference.described;
        }
    };
    if (explanation.kind == Explanation::Kind::nothing_near)
        return "nothing near";
    list(explanation.differences);
    if (explanation.kind == Explanation::Kind::as_described)
        text += "as described";
    if (!explanation.open.empty()) {
        text += " | ";
        list(explanation.open);
    }
    return text;
}

unsigned wrong(const std::string &what, const std::string &found, const std::string &wanted) {
    if (found == wanted)
        return 0;
    print_error("%s: found '%s', wanted '%s'\n", what.c_str(), found.c_str(), wanted.c_str());
    return 1;
}

} // namespace

static void search_finds_each_axis_between_published_digests(void **) {
    struct Row {
        const char *digest, *described, *wanted;
    };
    const Row rows[] = {
        {"deb-amdsev-EPYC-Turin-4vcpu-kernel", "deb-amdsev-EPYC-Turin-4vcpu-kernel", "as described"},
        {"deb-amdsev-EPYC-Turin-4vcpu-kernel", "deb-amdsev-EPYC-Turin-2vcpu-kernel", "vcpus=4/2"},
        {"deb-amdsev-EPYC-Milan-255vcpu-kernel", "deb-amdsev-EPYC-Milan-1vcpu-kernel", "vcpus=255/1"},
        {"deb-amdsev-EPYC-Genoa-2vcpu-kernel", "deb-amdsev-EPYC-Rome-2vcpu-kernel", "vcpu_type=EPYC-Genoa/0x830f10"},
        {"deb-amdsev-EPYC-Genoa-2vcpu-gf0x21", "deb-amdsev-EPYC-Genoa-2vcpu-kernel", "guest_features=0x21/0x1"},
        {"deb-amdsev-EPYC-Genoa-2vcpu-kernel", "deb-amdsev-EPYC-Genoa-2vcpu-gf0x21", "guest_features=0x1/0x21"},
        {"deb-amdsev-EPYC-Genoa-2vcpu-gf0x9", "deb-amdsev-EPYC-Genoa-2vcpu-kernel", "guest_features=0x9/0x1"},
        {"deb-amdsev-EPYC-Genoa-2vcpu-gf0x8001", "deb-amdsev-EPYC-Genoa-2vcpu-kernel", "guest_features=0x8001/0x1"},
        {"test_snp_guest_feature_snp_only", "test_snp_default", "guest_features=0x1/0x21"},
        {"deb-amdsev-kernel-cmdline-noinitrd", "deb-amdsev-EPYC-v4-1vcpu-kernel", "initrd=none"},
        {"deb-amdsev-kernel-initrd-nocmdline", "deb-amdsev-EPYC-v4-1vcpu-kernel", "command_line=none"},
        {"deb-amdsev-EPYC-v4-4vcpu-nokernel", "deb-amdsev-EPYC-v4-4vcpu-kernel", "hashes_page=off/on"},
        {"deb-amdsev-gce-64vcpu", "deb-amdsev-EPYC-v4-64vcpu-nokernel", "vmm=GCE/QEMU"},
        {"deb-amdsev-ec2-2vcpu", "deb-amdsev-EPYC-v4-4vcpu-nokernel", "vmm=EC2/QEMU vcpus=2/4"},
        {"ec2-legacy-rdx0-4vcpu", "test_snp_with_multiple_vcpus_feature_snp_only", "vmm=EC2-legacy/QEMU"},
        {"krun-4vcpu", "test_snp_with_multiple_vcpus_feature_snp_only", "vmm=krun/QEMU"},
        {"test_snp_ec2_default", "test_snp_ec2_feature_snp_only", "guest_features=0x21/0x1 vmm=EC2/QEMU"},
        // pairs, and the number of vCPUs besides
        {"deb-amdsev-EPYC-Genoa-2vcpu-gf0x21", "deb-amdsev-EPYC-v4-4vcpu-kernel",
         "vcpu_type=EPYC-Genoa/0x800f12 guest_features=0x21/0x1 vcpus=2/4"},
        {"deb-amdsev-EPYC-v4-1vcpu-nokernel", "deb-amdsev-EPYC-Milan-4vcpu-kernel",
         "hashes_page=off/on vcpu_type=EPYC/0xa00f11 vcpus=1/4"},
        // SVSM, with either FPU state
        {"svsm-hw-2024-01-4vcpu", "svsm-fpu-both-4vcpu", "fpu_state=zero/reset"},
        {"svsm-fpu-both-2vcpu", "svsm-hw-2024-01-4vcpu", "vcpus=2/4"},
        {"test_snp_svsm_2_vcpus", "svsm-hw-2024-01-4vcpu", "fpu_state=mxcsr-only/reset vcpus=2/4"},
        // the digest of the firmware alone
        {"ovmf-hash:debian:OVMF.amdsev.fd", "deb-amdsev-EPYC-v4-4vcpu-kernel", "extent=the firmware alone"},
        {"ovmf-hash:fixtures/ovmf_OvmfX64_suffix.bin", "deb-amdsev-EPYC-v4-4vcpu-kernel", "nothing near"},
    };
    unsigned failed = 0;
    for (const Row &row : rows) {
        std::string found = summary(explanation_of(description(row.described), digest_of(row.digest)));
        if (std::string{row.digest} == "test_snp_ec2_default") // the order of differences does not matter
            found = found == "vmm=EC2/QEMU guest_features=0x21/0x1" ? row.wanted : found;
        failed += wrong(std::string{row.digest} + " from " + row.described, found, row.wanted);
    }
    assert_int_equal(failed, 0);
}

static void search_finds_what_people_type_around_a_command_line(void **) {
    LaunchDescription described = description("deb-amdsev-cmdline-trailing-space"); // "console=ttyS0 "
    const std::string with_blank = digest_of("deb-amdsev-cmdline-trailing-space");
    const std::string with_blank_before = digest_of("deb-amdsev-cmdline-leading-space");
    unsigned failed = 0;
    const auto from = [&](const char *line, const std::string &digest) {
        described.kernel->command_line = line;
        return summary(explanation_of(described, digest));
    };
    failed += wrong("as is", from("console=ttyS0 ", with_blank), "as described");
    failed += wrong("blank after", from("console=ttyS0", with_blank), "command_line=with a blank after it");
    failed += wrong("blank before", from("console=ttyS0", with_blank_before), "command_line=with a blank before it");
    failed +=
        wrong("a file's line end", from("console=ttyS0 \n", with_blank), "command_line=without the line end after it");
    failed += wrong("blanks after", from(" console=ttyS0 \n", with_blank_before),
                    "command_line=without the blanks and line ends after it");

    // what no public tool computes: the launch itself is, and the hash of the command line is SHA-256 of these bytes
    const std::string line = "console=ttyS0";
    const std::pair<std::string, const char *> hashed[] = {
        {line + "\n" + std::string(1, '\0'), "command_line=with a line end after it"},
        {line, "command_line=hashed without its trailing NUL"},
        {line + "\n", "command_line=hashed with a line end in place of its trailing NUL"},
        {line + std::string(2, '\0'), "command_line=hashed with two trailing NULs"},
        {"", "command_line=hashed as nothing at all, not even a NUL"},
    };
    for (const auto &[bytes, wanted] : hashed) {
        described.kernel->command_line = line;
        KernelHashes hashes = described.kernel->hashes();
        hashes.cmdline = sha256(as_bytes(bytes));
        const auto digest = launch_digest(described.firmware, hashes, {4, {*described.signature}}).value();
        failed += wrong(wanted, summary(explanation_of(described, hex(digest))), wanted);
    }
    assert_int_equal(failed, 0);
}

static void search_leaves_open_what_the_description_does(void **) {
    LaunchDescription described = description("deb-amdsev-EPYC-v4-4vcpu-kernel");
    described.vcpus.reset();
    described.signature.reset();
    const std::string as_is = summary(explanation_of(described, digest_of("deb-amdsev-EPYC-Turin-4vcpu-kernel")));
    const std::string features = summary(explanation_of(described, digest_of("deb-amdsev-EPYC-Genoa-2vcpu-gf0x21")));
    const std::string no_hashes = summary(explanation_of(described, digest_of("deb-amdsev-EPYC-v4-64vcpu-nokernel")));
    unsigned failed = 0;
    failed += wrong("as is", as_is, "as described | vcpus=4 vcpu_type=EPYC-Turin");
    failed += wrong("features", features, "guest_features=0x21/0x1 | vcpus=2 vcpu_type=EPYC-Genoa");
    failed += wrong("no hashes", no_hashes, "hashes_page=off/on | vcpus=64 vcpu_type=EPYC");
    assert_int_equal(failed, 0);
}

static void search_finds_sev_and_sev_es_by_the_size_of_the_digest(void **) {
    const LaunchDescription described = description("deb-amdsev-EPYC-v4-4vcpu-kernel");
    const LaunchDescription one = description("deb-amdsev-EPYC-v4-1vcpu-kernel");
    unsigned failed = 0;
    const auto check = [&](const LaunchDescription &from, const char *name, const char *wanted) {
        failed += wrong(name, summary(explanation_of(from, digest_of(name))), wanted);
    };
    check(described, "deb-amdsev-seves-4vcpu", "as described | mode=seves");
    check(described, "deb-amdsev-seves-1vcpu", "vcpus=1/4 | mode=seves");
    check(one, "seves-legacy-vmtype-4vcpu", "fpu_state=zero/reset vcpus=4/1 | mode=seves");
    check(described, "deb-amdsev-sev-nokernel", "hashes_page=off/on | mode=sev");
    assert_int_equal(failed, 0);
}

static void search_tries_code_only_and_other_builds(void **) {
    LaunchDescription whole = description("deb-amdsev-EPYC-v4-4vcpu-nokernel");
    whole.firmware_name = "OVMF.fd";
    whole.firmware = input("debian:OVMF.fd");
    LaunchDescription code = whole;
    code.firmware_name = "OVMF_CODE.fd";
    code.firmware = input("debian:OVMF_CODE_4M.fd");
    const std::string of_code = digest_of("ovmf-hash:debian:OVMF_CODE_4M.fd");
    const std::string of_whole = digest_of("ovmf-hash:debian:OVMF.fd");

    const ByteView store = input("debian:OVMF.fd").first(variable_store_size(whole.firmware).value());
    const NamedFile vars[] = {{"OVMF_VARS.fd", to_bytes(store)}};
    const NamedFile builds[] = {{"amdsev", to_bytes(input("debian:OVMF.amdsev.fd"))},
                                {"plain", to_bytes(input("debian:OVMF.fd"))}};
    const NamedFile noise[] = {{"noise", Bytes(page_size)}};

    unsigned failed = 0;
    failed += wrong(
        "CODE only", summary(explanation_of(whole, of_code)),
        "firmware=OVMF.fd without its variable store (CODE only, 3653632 bytes)/OVMF.fd extent=the firmware alone");
    failed += wrong("no other build", summary(explanation_of(code, of_whole)), "nothing near");
    failed += wrong("store and code", summary(explanation_of(code, of_whole, vars)),
                    "firmware=OVMF_VARS.fd and OVMF_CODE.fd in one file/OVMF_CODE.fd extent=the firmware alone");
    failed +=
        wrong("another build", summary(explanation_of(code, digest_of("deb-amdsev-EPYC-v4-4vcpu-nokernel"), builds)),
              "firmware=amdsev/OVMF_CODE.fd");
    const auto refused = explain_digest(code, Bytes(48, std::byte{1}), patient(noise));
    const bool named = !refused && refused.error() == Error{Errc::malformed, "explain.also", 0};
    assert_int_equal(failed, 0);
    assert_true(named);
}

static void search_finds_the_digest_before_the_vcpus_and_none_at_all(void **) {
    const LaunchDescription described = description("deb-amdsev-EPYC-v4-4vcpu-kernel");
    const Ovmf ovmf = parse_ovmf(described.firmware).value();
    const auto before = measure_before_vcpus(described.firmware, ovmf, described.kernel->hashes()).value();
    const std::string partial = summary(explanation_of(described, hex(before.value())));
    const std::string zero = summary(explanation_of(described, std::string(96, '0')));
    unsigned failed = 0;
    failed += wrong("before the vCPUs", partial, "extent=everything before the VMSAs");
    failed += wrong("zero", zero, "extent=nothing");
    assert_int_equal(failed, 0);
}

static void search_explains_no_other_digest(void **) {
    const LaunchDescription described = description("deb-amdsev-EPYC-v4-4vcpu-kernel");
    const auto random = sha384(as_bytes("no launch has this digest"));
    const Explanation snp = explain_digest(described, random, patient()).value();
    const Explanation sev = explain_digest(described, sha256(random), patient()).value();
    const bool nothing = snp.kind == Explanation::Kind::nothing_near && sev.kind == Explanation::Kind::nothing_near &&
                         snp.complete && sev.complete && snp.candidates > 100'000;
    const auto short_digest = explain_digest(described, ByteView{random}.first(47), patient());
    const bool refused = !short_digest && short_digest.error() == Error{Errc::out_of_range, "explain.digest", 47};
    ExplainOptions hasty = patient();
    hasty.time = std::chrono::milliseconds{0};
    const Explanation late = explain_digest(described, random, hasty).value();
    const bool says_so = late.kind == Explanation::Kind::nothing_near && !late.complete;
    assert_true(nothing);
    assert_true(refused);
    assert_true(says_so);
}

static void search_gives_the_same_answer_on_any_number_of_threads(void **) {
    const LaunchDescription described = description("deb-amdsev-EPYC-v4-4vcpu-kernel");
    const Bytes digest = parse_hex(digest_of("deb-amdsev-EPYC-Genoa-2vcpu-gf0x21"), "test").value();
    std::vector<std::string> answers;
    for (unsigned threads : {1u, 2u, 7u}) {
        ExplainOptions options = patient();
        options.threads = threads;
        answers.push_back(summary(explain_digest(described, digest, options).value()));
    }
    const bool same = answers[0] == answers[1] && answers[1] == answers[2];
    assert_true(same);
}

// ---- the setup header -----------------------------------------------------------------------------------------------

namespace {

// The front of a bzImage of boot protocol 2.15, as Linux builds it; the fields that QEMU sets are zero.
Bytes kernel_file() {
    Bytes kernel(0x4000, std::byte{0x90});
    const auto put = [&](std::size_t offset, std::size_t size, std::uint64_t value) {
        store_le(MutableBytes{kernel}.subspan(offset, size), value);
    };
    put(0x1f1, 1, 3);          // setup sectors
    put(0x1fa, 2, 0xffff);     // video mode
    put(0x202, 4, 0x53726448); // HdrS
    put(0x206, 2, 0x20f);
    put(0x210, 1, 0);
    put(0x211, 1, 0x01); // loaded high
    put(0x218, 4, 0);
    put(0x21c, 4, 0);
    put(0x224, 2, 0x5000);
    put(0x228, 4, 0);
    put(0x22c, 4, 0x7fffffff); // highest address for an initrd
    put(0x236, 2, 0x3f);       // can be loaded above 4 GiB
    return kernel;
}

// The bytes of `found` that differ from the file, as "offset=value" in hexadecimal.
std::string changes(const Bytes &file, const std::optional<ByteArray<patched_header_size>> &found) {
    if (!found)
        return "nothing";
    std::string text;
    for (std::size_t i = 0; i < found->size(); ++i)
        if ((*found)[i] != file[i])
            text += (text.empty() ? "" : " ") + hex_number(i) + "=" + hex(ByteView{*found}.subspan(i, 1));
    return text;
}

} // namespace

static void header_is_patched_as_qemu_does_it(void **) {
    // Expected values from QEMU 7.2, hw/i386/x86.c: loader 0xb0; CAN_USE_HEAP; heap end 0x20000 - 0x10000 - 0x200;
    // command line at 0x20000; initrd of 300007 (0x493e7) bytes below 2 GiB - 0x28000: (0x7ffd7fff - 0x493e7) & ~0xfff.
    const Bytes kernel = kernel_file();
    const std::string fixed = "0x210=b0 0x211=81 0x225=fe 0x22a=02";
    const std::string with_initrd =
        "0x210=b0 0x211=81 0x219=e0 0x21a=f8 0x21b=7f 0x21c=e7 0x21d=93 0x21e=04 0x225=fe 0x22a=02";
    const std::uint64_t two_gib = std::uint64_t{2} << 30;
    unsigned failed = 0;
    failed += wrong("no initrd", changes(kernel, header_patched_by_qemu(kernel, {"quiet", std::nullopt, 0})), fixed);
    failed += wrong("initrd", changes(kernel, header_patched_by_qemu(kernel, {"quiet", 300007, two_gib})), with_initrd);
    failed += wrong("vga", changes(kernel, header_patched_by_qemu(kernel, {"quiet vga=0x317 x", std::nullopt, 0})),
                    "0x1fa=17 0x1fb=03 " + fixed);
    failed += wrong("vga=ask", changes(kernel, header_patched_by_qemu(kernel, {"vga=ask", std::nullopt, 0})),
                    "0x1fa=fd " + fixed);
    failed +=
        wrong("bad vga", changes(kernel, header_patched_by_qemu(kernel, {"vga=big", std::nullopt, 0})), "nothing");
    failed +=
        wrong("initrd too large", changes(kernel, header_patched_by_qemu(kernel, {"", two_gib, two_gib})), "nothing");
    Bytes low = kernel; // the kernel's own limit for initrds, 0x37ffffff
    store_le(MutableBytes{low}.subspan(0x236, 2), 0);
    store_le(MutableBytes{low}.subspan(0x22c, 4), 0x37ffffff);
    failed += wrong("own limit", changes(low, header_patched_by_qemu(low, {"", 0x1000, two_gib})),
                    "0x210=b0 0x211=81 0x219=e0 0x21a=ff 0x21b=37 0x21d=10 0x225=fe 0x22a=02");
    Bytes other = kernel;
    other[0x202] = std::byte{0};
    failed += wrong("no bzImage", changes(other, header_patched_by_qemu(other, {"", std::nullopt, 0})), "nothing");
    failed +=
        wrong("short", changes(kernel, header_patched_by_qemu(ByteView{kernel}.first(0x25f), {"", std::nullopt, 0})),
              "nothing");
    assert_int_equal(failed, 0);
}

static void search_finds_a_kernel_whose_header_qemu_wrote(void **) {
    LaunchDescription described = description("deb-amdsev-EPYC-v4-4vcpu-kernel");
    const Bytes kernel = kernel_file();
    described.kernel->kernel = kernel;
    described.kernel->kernel_sha256 = sha256(kernel);
    Bytes patched = kernel;
    const std::pair<std::size_t, std::uint64_t> bytes[] = {{0x210, 0xb0}, {0x211, 0x81}, {0x219, 0xe0}, {0x21a, 0xf8},
                                                           {0x21b, 0x7f}, {0x21c, 0xe7}, {0x21d, 0x93}, {0x21e, 0x04},
                                                           {0x225, 0xfe}, {0x22a, 0x02}};
    for (const auto &[at, value] : bytes)
        patched[at] = static_cast<std::byte>(value);
    KernelHashes hashes = described.kernel->hashes();
    hashes.kernel = sha256(patched);
    const auto digest = launch_digest(described.firmware, hashes, {4, {*described.signature}}).value();
    const Explanation by_guess = explanation_of(described, hex(digest));
    ExplainOptions options = patient();
    options.memory = std::uint64_t{8} << 30; // q35: 2 GiB of it below 4 GiB
    const Explanation by_memory = explain_digest(described, digest, options).value();
    const bool guessed = by_guess.differences.size() == 1 && by_guess.differences[0].what == "kernel" &&
                         by_guess.differences[0].found.contains("2048 MiB below 4 GiB");
    const bool known = by_memory.differences.size() == 1 && by_memory.differences[0].found.contains("q35, 8192 MiB");
    assert_true(guessed);
    assert_true(known);
}

static void variable_store_is_found_by_its_header_only(void **) {
    const ByteView whole = input("debian:OVMF.fd");
    const ByteView code = input("debian:OVMF_CODE_4M.fd");
    const bool found =
        variable_store_size(whole) == 540672u && !variable_store_size(code) && equal(whole.subspan(540672), code);
    const ByteView store = whole.first(540672);
    const bool itself = is_variable_store(store) && !variable_store_size(store) && !is_variable_store(whole);
    Bytes huge = to_bytes(whole.first(page_size));
    store_le(MutableBytes{huge}.subspan(0x20, 8), ~std::uint64_t{0xfff});
    const bool refused =
        !variable_store_size(huge) && !is_variable_store(huge) && !variable_store_size({}) && !is_variable_store({});
    assert_true(found);
    assert_true(itself);
    assert_true(refused);
}

// ---- derivation and map ---------------------------------------------------------------------------------------------

static void derivation_ends_at_the_published_digest(void **) {
    unsigned failed = 0;
    unsigned run = 0;
    for (const Json &test : cases().at("cases")) {
        const std::string mode = test.at("mode").get<std::string>();
        const std::string vmm = test.at("vmm").get<std::string>();
        if ((mode != "snp" && mode != "snp:svsm") || !test.contains("expect_digest"))
            continue;
        const std::string name = test.at("name").get<std::string>();
        LaunchDescription described = description(name);
        described.vmm = vmm == "ec2" ? Vmm::ec2 : vmm == "gce" ? Vmm::gce : Vmm::qemu;
        if (described.svsm)
            described.guest_features = 1; // upstream ignores the option in this mode
        described.fpu = described.svsm ? FpuState::mxcsr_only : FpuState::reset;
        const auto derivation = derive_launch(described);
        failed += wrong(name, derivation ? hex(derivation->digest) : to_string(derivation.error()), digest_of(name));
        ++run;
    }
    assert_int_equal(failed, 0);
    assert_true(run > 40);
}

static void derivation_lists_the_ranges_of_the_launch(void **) {
    const LaunchDescription described = description("deb-amdsev-EPYC-v4-4vcpu-kernel");
    const Derivation derivation = derive_launch(described).value();
    // As tests/data/sev-snp-measure/cases.json lists the sections of this firmware; three APs.
    const std::string wanted[] = {"0xffc00000 1024 normal firmware", "0x800000 9 zero sec_mem",
                                  "0x80a000 3 zero sec_mem",         "0x80d000 1 secrets secrets",
                                  "0x80e000 1 cpuid cpuid",          "0x80f000 1 zero svsm_caa",
                                  "0x811000 31 zero sec_mem",        "0x810000 1 normal kernel_hashes",
                                  "0xfffffffff000 1 vmsa vmsa",      "0xfffffffff000 3 vmsa vmsa"};
    unsigned failed = 0;
    const std::size_t steps = derivation.steps.size();
    for (std::size_t i = 0; i < std::min(steps, std::size(wanted)); ++i) {
        const DerivationStep &step = derivation.steps[i];
        failed += wrong("step",
                        hex_number(step.gpa) + " " + std::to_string(step.pages) + " " + std::string{name(step.type)} +
                            " " + step.kind,
                        wanted[i]);
    }
    failed += wrong("firmware", hex(derivation.steps[0].digest), digest_of("ovmf-hash:debian:OVMF.amdsev.fd"));
    failed += wrong("one vCPU", hex(derivation.steps[8].digest), digest_of("deb-amdsev-EPYC-v4-1vcpu-kernel"));
    failed += wrong("last line", derivation_lines(derivation).back(), digest_of("deb-amdsev-EPYC-v4-4vcpu-kernel"));
    LaunchDescription open = described;
    open.vcpus.reset();
    const bool wants_vcpus = derive_launch(open).error() == Error{Errc::missing, "explain.vcpus"};
    open = described;
    open.signature.reset();
    const bool wants_type = derive_launch(open).error() == Error{Errc::missing, "explain.vcpu_type"};
    assert_int_equal(failed, 0);
    assert_int_equal(steps, 10);
    assert_true(wants_vcpus);
    assert_true(wants_type);
}

static void memory_map_escapes_what_it_is_given(void **) {
    LaunchDescription described = description("deb-amdsev-EPYC-v4-4vcpu-kernel");
    described.firmware_name = "<img src=x onerror=alert(1)>";
    described.kernel->command_line = "a=\"</code><script>alert('x')</script>&\"";
    described.vcpu_type = "<b>";
    const Derivation derivation = derive_launch(described).value();
    const std::string page =
        memory_map_html(derivation, described, std::string{"</title><script>\x01\xff\xc3"} + '\0' + "&");
    bool clean = true;
    for (const char *bad : {"<script", "<img", "<b>", "\x01", "\xff", "alert('x')"})
        clean = clean && !page.contains(bad);
    clean = clean && !page.contains('\0');
    const bool there = page.contains("&lt;img src=x onerror=alert(1)&gt;") && page.contains("&amp;") &&
                       page.contains(hex(derivation.digest)) && page.contains("&lt;/title&gt;&lt;script&gt;");
    bool elsewhere = false; // nothing is fetched
    for (const char *address : {"http:", "https:", "url(", "@import", "src=\"", "href"})
        elsewhere = elsewhere || page.contains(address);
    assert_true(clean);
    assert_true(there);
    assert_false(elsewhere);
}

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(search_finds_each_axis_between_published_digests),
        cmocka_unit_test(search_finds_what_people_type_around_a_command_line),
        cmocka_unit_test(search_leaves_open_what_the_description_does),
        cmocka_unit_test(search_finds_sev_and_sev_es_by_the_size_of_the_digest),
        cmocka_unit_test(search_tries_code_only_and_other_builds),
        cmocka_unit_test(search_finds_the_digest_before_the_vcpus_and_none_at_all),
        cmocka_unit_test(search_explains_no_other_digest),
        cmocka_unit_test(search_gives_the_same_answer_on_any_number_of_threads),
        cmocka_unit_test(header_is_patched_as_qemu_does_it),
        cmocka_unit_test(search_finds_a_kernel_whose_header_qemu_wrote),
        cmocka_unit_test(variable_store_is_found_by_its_header_only),
        cmocka_unit_test(derivation_ends_at_the_published_digest),
        cmocka_unit_test(derivation_lists_the_ranges_of_the_launch),
        cmocka_unit_test(memory_map_escapes_what_it_is_given),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
