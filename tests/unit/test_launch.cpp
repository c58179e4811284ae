// The launch digest against the digests, VMSA pages and hash table of sev-snp-measure and other public tools; every
// refusal of the OVMF parser. Expected values come from those and from the specification, none from our own output.
#include "tests/unit/cmocka.hpp"

#include "common/launch.hpp"
#include "host-tools/base/json.hpp"

#include <map>

#include <zstd.h>

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

// The file NAME.zst of tests/data, unpacked to the size that `cases` has for it.
Bytes unpacked(const std::string &name) {
    for (const Json &firmware : cases().at("firmware")) {
        if (text_of(firmware, "file") != name)
            continue;
        const Bytes packed = test::data(origin + name + ".zst");
        Bytes bytes(firmware.at("size").get<std::size_t>());
        if (ZSTD_decompress(bytes.data(), bytes.size(), packed.data(), packed.size()) == bytes.size() &&
            hex(sha256(bytes)) == text_of(firmware, "sha256"))
            return bytes;
    }
    print_error("%s.zst is not %s\n", name.c_str(), name.c_str());
    abort();
}

// A file that the cases name. Debian's firmware is read from the toolchain root, and must be the build named there.
Bytes read_input(const std::string &name) {
    if (name == "EMPTY")
        return {};
    if (name.starts_with("fixtures/svsm"))
        return unpacked(name);
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

// Read once: many cases share a firmware.
Bytes input(const std::string &name) {
    static std::map<std::string, Bytes> files;
    const auto found = files.find(name);
    return found != files.end() ? found->second : files.emplace(name, read_input(name)).first->second;
}

Bytes optional_input(const Json &name) {
    return name.is_null() ? Bytes{} : input(name.get<std::string>());
}

bool has(const Json &object, const char *member) {
    return object.contains(member) && !object.at(member).is_null();
}

Vmm vmm_of(const Json &test) {
    const std::string name = text_of(test, "vmm");
    constexpr std::pair<std::string_view, Vmm> names[] = {{"qemu", Vmm::qemu},
                                                          {"ec2", Vmm::ec2},
                                                          {"ec2-legacy", Vmm::ec2_legacy},
                                                          {"gce", Vmm::gce},
                                                          {"krun", Vmm::krun}};
    for (const auto &[known, vmm] : names)
        if (name == known)
            return vmm;
    print_error("unknown VMM %s\n", name.c_str());
    abort();
}

// `fpu` is named only by the variants. Without it, SVSM cases are upstream's, with its slip.
FpuState fpu_of(const Json &test) {
    if (test.contains("legacy_vm_type") || (has(test, "fpu") && text_of(test, "fpu") == "zero"))
        return FpuState::zero;
    return text_of(test, "mode") == "snp:svsm" && !has(test, "fpu") ? FpuState::mxcsr_only : FpuState::reset;
}

std::optional<KernelHashes> hashes_of(const Json &test) {
    if (!has(test, "kernel"))
        return std::nullopt;
    const std::string append = has(test, "append") ? text_of(test, "append") : std::string{};
    return kernel_hashes(optional_input(test.at("kernel")), optional_input(test.at("initrd")), append);
}

Result<Bytes> snp(const Json &test, const LaunchConfig &config) {
    const Bytes firmware = input(text_of(test, "ovmf"));
    const auto hashes = hashes_of(test);
    if (!has(test, "ovmf_hash_seed")) {
        CVMIN_TRY(digest, launch_digest(firmware, hashes, config));
        return to_bytes(digest);
    }
    // The firmware's pages are replaced by the seed; its metadata is still read.
    CVMIN_TRY(seed, parse_hex_exactly<48>(text_of(test, "ovmf_hash_seed"), "seed"));
    CVMIN_TRY(ovmf, parse_ovmf(firmware));
    CVMIN_TRY(before, measure_metadata(LaunchDigest{seed}, ovmf, hashes, config.vcpu.vmm));
    CVMIN_TRY(digest, measure_vcpus(before, config, ovmf.reset_eip));
    return to_bytes(digest);
}

Result<Bytes> digest_of(const Json &test) {
    const std::string mode = text_of(test, "mode");
    const Bytes firmware = input(text_of(test, "ovmf"));
    VcpuState vcpu{0, test.at("guest_features"), vmm_of(test), fpu_of(test)};
    if (has(test, "vcpu_sig"))
        vcpu.signature = test.at("vcpu_sig");
    if (mode != "snp")
        vcpu.sev_features = 1; // upstream has no guest features in the other modes; sev_es_digest clears bit 0
    const LaunchConfig config{test.at("vcpus"), vcpu};
    if (mode == "snp")
        return snp(test, config);
    if (mode == "snp:svsm") {
        CVMIN_TRY(before, measure_svsm_before_vcpus(firmware, input(text_of(test, "svsm")),
                                                    test.at("vars_size").get<std::uint64_t>()));
        CVMIN_TRY(digest, measure_svsm_vcpus(before.digest, config, before.entry));
        return to_bytes(digest);
    }
    if (mode == "seves") {
        CVMIN_TRY(digest, sev_es_digest(firmware, hashes_of(test), config));
        return to_bytes(digest);
    }
    if (mode == "sev") {
        CVMIN_TRY(digest, sev_digest(firmware, hashes_of(test)));
        return to_bytes(digest);
    }
    print_error("unknown mode %s\n", mode.c_str());
    abort();
}

// Runs one case; empty: the digest, or the refusal, is the expected one.
std::string difference(const Json &test) {
    const Result<Bytes> found = digest_of(test);
    if (test.contains("expect_error")) {
        if (!found && found.error().code == Errc::unsupported)
            return {};
        return "wanted a refusal, found " + (found ? hex(*found) : to_string(found.error()));
    }
    const std::string wanted = text_of(test, "expect_digest");
    const std::string got = found ? hex(*found) : to_string(found.error());
    return got == wanted ? std::string{} : "wanted " + wanted + ", found " + got;
}

// Runs those of a list of cases with this mode and VMM ("": any); what they are must be as many as `wanted`.
void run_cases(const char *list, std::string_view mode, std::string_view vmm, unsigned wanted) {
    unsigned run = 0;
    unsigned failed = 0;
    for (const Json &test : cases().at(list)) {
        if (text_of(test, "mode") != mode || (!vmm.empty() && text_of(test, "vmm") != vmm))
            continue;
        ++run;
        if (const std::string text = difference(test); !text.empty()) {
            print_error("%s: %s\n", text_of(test, "name").c_str(), text.c_str());
            ++failed;
        }
    }
    assert_int_equal(failed, 0);
    assert_int_equal(run, wanted);
}

} // namespace

static void every_list_of_cases_is_run_to_its_end(void **) {
    // What the tests below add up to: a case of a mode or VMM that none of them names would show here.
    const std::size_t all = cases().at("cases").size();
    const std::size_t counted = cases().at("counts").at("cases");
    const std::size_t variants = cases().at("variant_cases").size();
    const std::size_t pages = cases().at("vmsa_pages").size();
    assert_int_equal(all, 39 + 3 + 4 + 3 + 5 + 5);
    assert_int_equal(all, counted);
    assert_int_equal(variants, 3 + 2 + 4 + 2);
    assert_int_equal(pages, 13);
}

static void launch_digest_is_that_of_sev_snp_measure(void **) {
    run_cases("cases", "snp", "qemu", 39);
}

static void launch_digest_under_ec2_is_that_of_sev_snp_measure(void **) {
    run_cases("cases", "snp", "ec2", 3);
}

static void launch_digest_under_gce_is_that_of_sev_snp_measure(void **) {
    run_cases("cases", "snp", "gce", 4);
}

static void launch_digest_under_an_svsm_is_that_of_sev_snp_measure(void **) {
    run_cases("cases", "snp:svsm", "qemu", 3);
}

static void sev_es_digest_is_that_of_sev_snp_measure(void **) {
    run_cases("cases", "seves", "qemu", 5);
}

static void sev_digest_is_that_of_sev_snp_measure(void **) {
    run_cases("cases", "sev", "qemu", 5);
}

static void ec2_with_rdx_0_is_that_of_the_sev_crate(void **) {
    run_cases("variant_cases", "snp", "ec2-legacy", 3);
}

static void krun_is_that_of_the_sev_crate(void **) {
    run_cases("variant_cases", "snp", "krun", 2);
}

static void svsm_digest_is_that_of_two_real_launches_and_of_init2(void **) {
    run_cases("variant_cases", "snp:svsm", "qemu", 4);
}

static void sev_es_of_the_legacy_vm_type_has_no_fpu_state(void **) {
    run_cases("variant_cases", "seves", "qemu", 2);
}

static void firmware_digest_is_upstreams_ovmf_hash(void **) {
    unsigned run = 0;
    unsigned failed = 0;
    for (const Json &test : cases().at("ovmf_hash_cases")) {
        const std::string name = text_of(test, "ovmf");
        ++run;
        if (hex(measure_firmware(input(name)).value()) != text_of(test, "expect_digest")) {
            print_error("%s differs\n", name.c_str());
            ++failed;
        }
    }
    assert_int_equal(failed, 0);
    assert_int_equal(run, 6);
}

namespace {

ByteArray<page_size> page_of(const Json &test) {
    const std::string vmm = text_of(test, "vmm");
    VcpuState state{test.at("vcpu_sig"), test.at("sev_features")};
    if (vmm == "qemu+svsm") {
        state.fpu = FpuState::mxcsr_only; // upstream's slip, see its note
        return svsm_vmsa_page(state, std::stoul(text_of(test, "rip"), nullptr, 16));
    }
    state.vmm = vmm == "ec2" ? Vmm::ec2 : vmm == "gce" ? Vmm::gce : Vmm::qemu;
    const auto ap_eip = static_cast<std::uint32_t>(std::stoul(text_of(test, "ap_eip"), nullptr, 16));
    return vmsa_page(state, text_of(test, "role") == "bsp" ? bsp_reset_eip : ap_eip);
}

} // namespace

static void vmsa_page_is_upstreams_byte_for_byte(void **) {
    unsigned run = 0;
    unsigned failed = 0;
    for (const Json &test : cases().at("vmsa_pages")) {
        ++run;
        const auto page = page_of(test);
        if (!equal(page, input(text_of(test, "file"))) || hex(sha384(page)) != text_of(test, "sha384")) {
            print_error("%s differs\n", text_of(test, "file").c_str());
            ++failed;
        }
    }
    assert_int_equal(failed, 0);
    assert_int_equal(run, 13);
}

static void fpu_state_is_mxcsr_and_fcw_and_only_qemus(void **) {
    // Offsets 0x408 and 0x410 of the save area (24593); reset values of the x87 FPU and of MXCSR.
    const auto at = [](const auto &page, std::size_t offset, std::size_t size) {
        return load_le(ByteView{page}.subspan(offset, size));
    };
    struct Row {
        FpuState state;
        std::uint64_t mxcsr, fcw;
    };
    const Row rows[] = {{FpuState::reset, 0x1f80, 0x37f}, {FpuState::zero, 0, 0}, {FpuState::mxcsr_only, 0x1f80, 0}};
    unsigned failed = 0;
    for (const Row &row : rows) {
        const auto page = vmsa_page({0x800f12, 1, Vmm::qemu, row.state}, bsp_reset_eip);
        const auto svsm = svsm_vmsa_page({0x800f12, 1, Vmm::qemu, row.state}, 0xfff00000);
        failed += at(page, 0x408, 4) != row.mxcsr || at(page, 0x410, 2) != row.fcw;
        failed += at(svsm, 0x408, 4) != row.mxcsr || at(svsm, 0x410, 2) != row.fcw;
        for (const Vmm vmm : {Vmm::ec2, Vmm::ec2_legacy, Vmm::gce, Vmm::krun})
            failed += !all_zero(ByteView{vmsa_page({0x800f12, 1, vmm, row.state}, bsp_reset_eip)}.subspan(0x408, 10));
    }
    assert_int_equal(failed, 0);
}

static void hash_table_is_upstreams_byte_for_byte(void **) {
    const Json &test = cases().at("hash_table");
    const auto hashes =
        kernel_hashes(input(text_of(test, "kernel")), input(text_of(test, "initrd")), text_of(test, "append"));
    const auto table = encode_hash_table(hashes);
    const bool same_hashes = hex(hashes.kernel) == text_of(test, "kernel_sha256") &&
                             hex(hashes.initrd) == text_of(test, "initrd_sha256") &&
                             hex(hashes.cmdline) == text_of(test, "cmdline_nul_sha256");
    const bool same_table = equal(table, input(text_of(test, "file"))) && hex(table) == text_of(test, "table_hex");
    const std::size_t offset = test.at("page_offset_for_amdsev");
    const auto page = hash_table_page({0x810c00, 0x400}, hashes).value();
    const ByteView view{page};
    const bool same_page = equal(view.subspan(offset, hash_table_size), table) && all_zero(view.first(offset)) &&
                           all_zero(view.subspan(offset + hash_table_size));
    assert_true(same_hashes);
    assert_true(same_table);
    assert_true(same_page);
}

static void hash_table_page_refuses_an_area_too_small_or_across_a_page(void **) {
    const KernelHashes hashes{};
    assert_true(hash_table_page({0x810c00, 175}, hashes).error().code == Errc::out_of_range);
    assert_true(hash_table_page({0x810fff, 0x400}, hashes).error().code == Errc::out_of_range);
    assert_true(hash_table_page({0x810f51, 0x400}, hashes).error().code == Errc::out_of_range); // one byte too far
    assert_true(hash_table_page({0x810f50, 176}, hashes).has_value());
}

static void no_command_line_is_hashed_as_one_nul_and_no_initrd_as_nothing(void **) {
    const KernelHashes hashes = kernel_hashes({}, {}, "");
    // SHA-256 of one zero byte, and of the empty string (FIPS 180-4 examples).
    const bool cmdline = hex(hashes.cmdline) == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d";
    const bool initrd = hex(hashes.initrd) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert_true(cmdline);
    assert_true(initrd);
}

static void cpu_signature_packs_family_model_stepping(void **) {
    unsigned run = 0;
    for (const Json &test : cases().at("cpu_sig_cases")) {
        const std::uint32_t found = cpu_signature(test.at("family"), test.at("model"), test.at("stepping"));
        const std::uint32_t wanted = test.at("expect");
        assert_int_equal(found, wanted);
        ++run;
    }
    assert_int_equal(run, 10);
}

static void cpu_models_have_the_signatures_of_their_generation(void **) {
    unsigned checked = 0;
    unsigned failed = 0;
    for (const Json &test : cases().at("cases"))
        for (const Json &name : test.at("vcpu_type_equiv")) {
            ++checked;
            const auto model = find_cpu_model(name.get<std::string>());
            failed += !model || model->signature != test.at("vcpu_sig").get<std::uint32_t>();
        }
    // Newer than upstream's list: signatures follow from the generation's family, model and stepping.
    failed += find_cpu_model("EPYC-v5")->signature != cpu_signature(23, 1, 2);
    failed += find_cpu_model("EPYC-Rome-v5")->signature != cpu_signature(23, 49, 0);
    failed += find_cpu_model("EPYC-Milan-v3")->signature != cpu_signature(25, 1, 1);
    failed += find_cpu_model("EPYC-Genoa-v2")->signature != cpu_signature(25, 17, 0);
    failed += find_cpu_model("EPYC-Turin-v1")->signature != cpu_signature(26, 0, 0);
    failed += find_cpu_model("EPYC-Milan-v4")->signature != cpu_signature(25, 1, 1);
    failed += find_cpu_model("EPYC-Genoa-v3")->signature != cpu_signature(25, 17, 0);
    failed += find_cpu_model("EPYC-Turin-v2")->signature != cpu_signature(26, 0, 0);
    assert_true(checked > 100);
    assert_int_equal(failed, 0);
}

static void cpu_model_names_are_exact_and_typing_errors_get_the_nearest(void **) {
    assert_false(find_cpu_model("epyc-v4").has_value());
    assert_false(find_cpu_model("").has_value());
    assert_false(find_cpu_model("Opteron_G5").has_value());
    assert_true(nearest_cpu_model("epyc-v4") == "EPYC-v4");
    assert_true(nearest_cpu_model("EPYC-Genuo") == "EPYC-Genoa");
    assert_true(nearest_cpu_model("Milan") == "EPYC-Milan");
    assert_true(nearest_cpu_model("EPIC-Turin-v1") == "EPYC-Turin-v1");
    const std::string long_name(100'000, 'x');
    const bool named = !nearest_cpu_model(long_name).empty();
    assert_true(named);
}

static void normal_pages_equals_page_by_page_whatever_repeats(void **) {
    // 3000 pages, more than the remembered digests, of 1500 different contents; each must enter with its own digest.
    Bytes pages(3000 * page_size);
    for (std::size_t i = 0; i < 3000; ++i)
        store_le(MutableBytes{pages}.subspan(i * page_size + (i % 512) * 8, 8), i % 1500);
    LaunchDigest at_once, one_by_one;
    at_once.normal_pages(0x1000, pages);
    for (std::size_t i = 0; i < 3000; ++i)
        one_by_one.page(PageType::normal, 0x1000 + i * page_size, ByteView{pages}.subspan(i * page_size, page_size));
    const bool same = at_once.value() == one_by_one.value();
    pages[2999 * page_size + 4095] ^= std::byte{1};
    LaunchDigest changed;
    changed.normal_pages(0x1000, pages);
    const bool differs = changed.value() != at_once.value();
    assert_true(same);
    assert_true(differs);
}

static void page_info_has_each_field_at_its_own_offset(void **) {
    // PAGE_INFO typed from 56860: LD, contents, length 0x70, type, IMI, permissions, GPA.
    ByteArray<0x70> info{};
    std::ranges::fill(std::span{info}.first(48), std::byte{0x11});
    std::ranges::fill(std::span{info}.subspan(48, 48), std::byte{0x22});
    info[0x60] = std::byte{0x70};
    info[0x62] = std::byte{2};
    store_be(std::span{info}.subspan(0x68, 8), 0x00f0ffffffff0000); // 0xFFFFFFFFF000, little-endian
    Sha384Digest seed, contents;
    seed.fill(std::byte{0x11});
    contents.fill(std::byte{0x22});
    LaunchDigest digest{seed};
    digest.page_digest(PageType::vmsa, vmsa_gpa, contents);
    const bool same = digest.value() == sha384(info);
    assert_true(same);
}

static void launch_regions_are_in_order_of_submission(void **) {
    const Ovmf ovmf = parse_ovmf(input("debian:OVMF.amdsev.fd")).value();
    struct Row {
        PageType type;
        std::uint64_t gpa, size;
    };
    // Firmware, then the sections as the cases' "sev_metadata" lists them: 0x811000 comes before 0x810000.
    const Row wanted[] = {
        {PageType::normal, 0xffc00000, 0x400000}, {PageType::zero, 0x800000, 0x9000},
        {PageType::zero, 0x80a000, 0x3000},       {PageType::secrets, 0x80d000, 0x1000},
        {PageType::cpuid, 0x80e000, 0x1000},      {PageType::zero, 0x80f000, 0x1000},
        {PageType::zero, 0x811000, 0x1f000},      {PageType::normal, 0x810000, 0x1000},
    };
    auto same = [&](bool with_hashes) {
        const auto regions = launch_regions(ovmf, 0x400000, with_hashes);
        return std::ranges::equal(regions, wanted, [&](const LaunchRegion &found, const Row &row) {
            const bool hash_page = row.gpa == 0x810000;
            return found.gpa == row.gpa && found.size == row.size &&
                   found.type == (hash_page && !with_hashes ? PageType::zero : row.type);
        });
    };
    const bool with = same(true);
    const bool without = same(false);
    const bool table = ovmf.hash_table && ovmf.hash_table->gpa == 0x810c00 && ovmf.hash_table->size == 0x400;
    const std::uint32_t reset_eip = ovmf.reset_eip;
    assert_true(with);
    assert_true(without);
    assert_true(table);
    assert_int_equal(reset_eip, 0x80b004);
}

static void vcpu_count_is_bounded_and_aps_need_a_reset_vector(void **) {
    const LaunchDigest digest;
    const VcpuState state{0x800f12};
    assert_true(measure_vcpus(digest, {0, state}, 0x80b004).error() == (Error{Errc::out_of_range, "vcpus", 0}));
    assert_true(measure_vcpus(digest, {256, state}, 0x80b004).error() == (Error{Errc::out_of_range, "vcpus", 256}));
    assert_true(measure_vcpus(digest, {2, state}, 0).error().code == Errc::missing);
    assert_true(measure_vcpus(digest, {1, state}, 0).has_value());
}

static void measure_vcpu_counts_gives_what_each_count_gives(void **) {
    const LaunchDigest digest;
    const VcpuState state{0xa10f10};
    const auto all = measure_vcpu_counts(digest, {max_vcpus, state}, 0x80b004).value();
    const std::size_t size = all.size();
    bool same = true;
    for (unsigned vcpus : {1u, 2u, 64u, 255u})
        same = same && all[vcpus - 1] == measure_vcpus(digest, {vcpus, state}, 0x80b004).value();
    assert_int_equal(size, 255);
    assert_true(same);
}

// ---- OVMF that lies ---------------------------------------------------------------------------------------------
// Each row changes one thing in the last 4 KiB of a real AmdSev build. Offsets are those of that file.

namespace {

constexpr std::size_t footer_size = 4028 + 18; // u16 before the footer's GUID
constexpr std::size_t reset_entry = 4028;      // u16 size, then GUID; data before it
constexpr std::size_t hash_entry = 3980;
constexpr std::size_t metadata_entry = 3954;
constexpr std::size_t first_entry = 3932;
constexpr std::size_t metadata = 2732; // "ASEV", size, version, count

constexpr std::size_t section(std::size_t i) {
    return metadata + 16 + 12 * i; // gpa, size, type
}

struct Lie {
    const char *what;
    std::size_t at;
    std::size_t size;
    std::uint64_t value;
    Errc code;
    std::string_view where;
};

const Lie lies[] = {
    {"footer GUID", 4048, 1, 0, Errc::missing, "ovmf.footer"},
    {"table larger than the file", footer_size, 2, 0xffff, Errc::truncated, "ovmf.table"},
    {"table one byte larger than the file", footer_size, 2, 4065, Errc::truncated, "ovmf.table"},
    {"table smaller than its footer", footer_size, 2, 17, Errc::malformed, "ovmf.table"},
    {"table of size 0", footer_size, 2, 0, Errc::malformed, "ovmf.table"},
    {"table of the footer alone", footer_size, 2, 18, Errc::missing, "ovmf.metadata"},
    {"table that begins inside an entry", footer_size, 2, 135, Errc::truncated, "ovmf.table.entry"},
    {"table that begins before its first entry", footer_size, 2, 137, Errc::truncated, "ovmf.table.entry"},
    {"entry of size 0", reset_entry, 2, 0, Errc::malformed, "ovmf.table.entry"},
    {"entry smaller than its header", reset_entry, 2, 17, Errc::malformed, "ovmf.table.entry"},
    {"entry larger than the table", first_entry, 2, 0xffff, Errc::truncated, "ovmf.table.entry"},
    {"reset block without data", reset_entry, 2, 18, Errc::malformed, "ovmf.reset_block"},
    {"hash table entry that swallows the next", hash_entry, 2, 26 + 22, Errc::malformed, "ovmf.hash_table"},
    {"metadata entry that swallows the next", metadata_entry, 2, 44, Errc::malformed, "ovmf.metadata.offset"},
    {"metadata entry under another GUID", metadata_entry + 2, 1, 0, Errc::missing, "ovmf.metadata"},
    {"hash area that wraps at 4 GiB", hash_entry - 4, 4, 0xffffffff, Errc::out_of_range, "ovmf.hash_table"},
    {"hash area in the firmware", hash_entry - 8, 4, 0xfffff000, Errc::out_of_range, "ovmf.hash_table"},
    {"metadata before the file", metadata_entry - 4, 4, 4097, Errc::out_of_range, "ovmf.metadata.offset"},
    {"metadata offset near 4 GiB", metadata_entry - 4, 4, 0xffffffff, Errc::out_of_range, "ovmf.metadata.offset"},
    {"metadata header past the end", metadata_entry - 4, 4, 15, Errc::out_of_range, "ovmf.metadata.offset"},
    {"metadata offset 0", metadata_entry - 4, 4, 0, Errc::out_of_range, "ovmf.metadata.offset"},
    {"metadata offset off by one", metadata_entry - 4, 4, 1363, Errc::malformed, "ovmf.metadata.signature"},
    {"metadata signature", metadata, 1, 'a', Errc::malformed, "ovmf.metadata.signature"},
    {"metadata size", metadata + 4, 4, 99, Errc::malformed, "ovmf.metadata.size"},
    {"metadata size near 4 GiB", metadata + 4, 4, 0xffffffff, Errc::malformed, "ovmf.metadata.size"},
    {"metadata version 0", metadata + 8, 4, 0, Errc::unsupported, "ovmf.metadata.version"},
    {"metadata version 2", metadata + 8, 4, 2, Errc::unsupported, "ovmf.metadata.version"},
    {"metadata count", metadata + 12, 4, 8, Errc::malformed, "ovmf.metadata.size"},
    {"metadata count over its limit", metadata + 12, 4, 65, Errc::too_large, "ovmf.metadata.count"},
    {"metadata count whose size wraps", metadata + 12, 4, 0x15555556, Errc::too_large, "ovmf.metadata.count"},
    {"section type 0", section(0) + 8, 4, 0, Errc::unsupported, "ovmf.metadata.section.type"},
    {"section type 5", section(0) + 8, 4, 5, Errc::unsupported, "ovmf.metadata.section.type"},
    {"section type above 8 bits", section(0) + 8, 4, 0x101, Errc::unsupported, "ovmf.metadata.section.type"},
    {"section between pages", section(0), 4, 0x800001, Errc::out_of_range, "ovmf.metadata.section.gpa"},
    {"section of half a page", section(0) + 4, 4, 0x800, Errc::out_of_range, "ovmf.metadata.section.size"},
    {"section of size 0", section(3) + 4, 4, 0, Errc::out_of_range, "ovmf.metadata.section.size"},
    {"section that wraps at 4 GiB", section(0) + 4, 4, 0xfffff000, Errc::out_of_range, "ovmf.metadata.section.end"},
    {"section in the firmware", section(0), 4, 0xffff8000, Errc::out_of_range, "ovmf.metadata.section.end"},
    {"section over the memory limit", section(0) + 4, 4, 0x4001000, Errc::too_large, "ovmf.metadata.memory"},
    {"section over the one before", section(1), 4, 0x808000, Errc::out_of_range, "ovmf.metadata.section.overlap"},
    {"section that begins before the one it overlaps", section(1), 4, 0x7ff000, Errc::out_of_range,
     "ovmf.metadata.section.overlap"},
    {"second CPUID section", section(4) + 8, 4, 3, Errc::malformed, "ovmf.metadata.section.doubled"},
    {"second secrets section", section(4) + 8, 4, 2, Errc::malformed, "ovmf.metadata.section.doubled"},
    {"kernel hashes of two pages", section(5) + 4, 4, 0x2000, Errc::out_of_range, "ovmf.metadata.kernel_hashes.size"},
};

} // namespace

static void parse_ovmf_refuses_every_lie(void **) {
    const Bytes honest = input("fixtures/ovmf_AmdSev_suffix.bin");
    unsigned failed = !parse_ovmf(honest).has_value();
    for (const Lie &lie : lies) {
        Bytes firmware = honest;
        store_le(MutableBytes{firmware}.subspan(lie.at, lie.size), lie.value);
        const auto parsed = parse_ovmf(firmware);
        if (!parsed && parsed.error().code == lie.code && parsed.error().where == lie.where)
            continue;
        print_error("%s: %s\n", lie.what, parsed ? "accepted" : to_string(parsed.error()).c_str());
        ++failed;
    }
    assert_int_equal(failed, 0);
}

static void parse_ovmf_refuses_other_file_sizes(void **) {
    const Bytes honest = input("fixtures/ovmf_AmdSev_suffix.bin");
    const ByteView view{honest};
    const auto code = [](ByteView firmware) { return parse_ovmf(firmware).error().code; };
    const Errc empty = code({});
    const Errc less = code(view.first(4095));
    const Errc little = code(view.last(17));
    Bytes more(1, std::byte{0});
    more.insert(more.end(), honest.begin(), honest.end());
    const Errc one_more = code(more);
    const Errc zeros = code(Bytes(4096));
    const Errc too_large = code(Bytes(max_firmware_size + page_size));
    assert_true(empty == Errc::truncated);
    assert_true(less == Errc::out_of_range);
    assert_true(little == Errc::out_of_range);
    assert_true(one_more == Errc::out_of_range);
    assert_true(zeros == Errc::missing);
    assert_true(too_large == Errc::too_large);
}

static void parse_ovmf_refuses_metadata_cut_off_by_the_end_of_the_file(void **) {
    // The header is whole, its 7 descriptors would reach past the end.
    Bytes firmware = input("fixtures/ovmf_AmdSev_suffix.bin");
    const Bytes header(firmware.begin() + metadata, firmware.begin() + metadata + 16);
    std::ranges::copy(header, firmware.end() - 20);
    store_le(MutableBytes{firmware}.subspan(metadata_entry - 4, 4), 20);
    const Error error = parse_ovmf(firmware).error();
    assert_true(error == (Error{Errc::truncated, "ovmf.metadata", 20}));
}

static void parse_ovmf_refuses_a_doubled_table_entry(void **) {
    // The launch secret entry (26 bytes, as large as the hash table's) becomes a second hash table entry.
    Bytes firmware = input("fixtures/ovmf_AmdSev_suffix.bin");
    const Bytes guid(firmware.begin() + hash_entry + 2, firmware.begin() + hash_entry + 18);
    std::ranges::copy(guid, firmware.begin() + 4006 + 2);
    const Error error = parse_ovmf(firmware).error();
    assert_true(error == (Error{Errc::malformed, "ovmf.hash_table"}));
}

static void hash_area_at_0_means_no_measured_direct_boot(void **) {
    Bytes firmware = input("fixtures/ovmf_AmdSev_suffix.bin");
    store_le(MutableBytes{firmware}.subspan(hash_entry - 8, 4), 0);
    const Ovmf ovmf = parse_ovmf(firmware).value();
    const bool table = ovmf.hash_table.has_value();
    const Error error = measure_before_vcpus(firmware, ovmf, KernelHashes{}).error();
    const bool without = measure_before_vcpus(firmware, ovmf, std::nullopt).has_value();
    assert_false(table);
    assert_true(error == (Error{Errc::unsupported, "ovmf.hash_table"}));
    assert_true(without);
}

static void hashes_outside_the_measured_page_are_refused(void **) {
    Bytes firmware = input("fixtures/ovmf_AmdSev_suffix.bin");
    store_le(MutableBytes{firmware}.subspan(hash_entry - 8, 4), 0x820c00);
    const Error error = measure_before_vcpus(firmware, parse_ovmf(firmware).value(), KernelHashes{}).error();
    assert_true(error == (Error{Errc::mismatch, "ovmf.kernel_hashes_section", 0x810000}));
}

static void secrets_and_cpuid_count_as_one_page_whatever_their_size(void **) {
    // CPUID takes the page of SVSM_CAA as well: two pages by its size. The section that was there moves away.
    Bytes firmware = input("fixtures/ovmf_AmdSev_suffix.bin");
    store_le(MutableBytes{firmware}.subspan(section(4), 4), 0x830000);
    store_le(MutableBytes{firmware}.subspan(section(3) + 4, 4), 0x2000);
    const auto regions = launch_regions(parse_ovmf(firmware).value(), firmware.size(), false);
    const PageType type = regions[4].type;
    const std::uint64_t size = regions[4].size;
    assert_true(type == PageType::cpuid);
    assert_int_equal(size, page_size);
}

// ---- an SVSM that lies, and launches without SNP ------------------------------------------------------------------
// Offsets in the last 4 KiB of the SVSM image, as read from the file: header "ASEV" at 0xf3e, three sections.

namespace {

constexpr std::uint64_t vars_size = 540672; // of the cases
constexpr std::size_t svsm_metadata = 0xf3e;
constexpr std::size_t svsm_info = 0xf88; // u32 start, then u16 size and GUID
constexpr std::size_t svsm_footer_size = 0xfce;

Bytes lying_svsm(std::size_t at, std::size_t size, std::uint64_t value) {
    Bytes image = input("fixtures/svsm.bin");
    store_le(MutableBytes{image}.last(page_size).subspan(at, size), value);
    return image;
}

} // namespace

static void parse_svsm_refuses_every_lie(void **) {
    const std::uint64_t size = input("fixtures/svsm.bin").size();
    const Lie svsm_lies[] = {
        {"footer GUID", 0xfd0, 1, 0, Errc::missing, "ovmf.footer"},
        {"table larger than the file", svsm_footer_size, 2, 0xffff, Errc::malformed, "ovmf.table.entry"},
        {"no SVSM entry", svsm_info + 6, 1, 0, Errc::missing, "svsm.info"},
        {"an SVSM entry without data", svsm_info + 4, 2, 18, Errc::malformed, "svsm.info"},
        {"entry point behind the image", svsm_info, 4, size, Errc::out_of_range, "svsm.start_offset"},
        {"entry point near 4 GiB", svsm_info, 4, 0xffffffff, Errc::out_of_range, "svsm.start_offset"},
        {"metadata signature", svsm_metadata, 1, 0, Errc::malformed, "ovmf.metadata.signature"},
        {"section in the image", svsm_metadata + 16, 4, 0xfffff000 - 0x9e000 + 0x1000, Errc::out_of_range,
         "ovmf.metadata.section.end"},
        {"sections that overlap", svsm_metadata + 28, 4, 0x9d000, Errc::out_of_range, "ovmf.metadata.section.overlap"},
        {"section over the memory limit", svsm_metadata + 20, 4, 0x4001000, Errc::too_large, "ovmf.metadata.memory"},
    };
    unsigned failed = !parse_svsm(input("fixtures/svsm.bin")).has_value();
    failed += !parse_svsm(lying_svsm(svsm_info, 4, size - 1)).has_value();
    for (const Lie &lie : svsm_lies) {
        const auto parsed = parse_svsm(lying_svsm(lie.at, lie.size, lie.value));
        if (!parsed && parsed.error().code == lie.code && parsed.error().where == lie.where)
            continue;
        print_error("%s: %s\n", lie.what, parsed ? "accepted" : to_string(parsed.error()).c_str());
        ++failed;
    }
    failed += parse_svsm({}).error() != Error{Errc::truncated, "svsm.file_size"};
    failed += parse_svsm(input("fixtures/svsm_ovmf.fd")).error() != Error{Errc::missing, "svsm.info"};
    assert_int_equal(failed, 0);
}

static void svsm_lies_between_variable_store_and_its_own_memory(void **) {
    const Bytes image = input("fixtures/svsm.bin");
    const std::size_t firmware_size = input("fixtures/svsm_ovmf.fd").size();
    Svsm svsm = parse_svsm(image).value();
    const auto regions = svsm_launch_regions(firmware_size, svsm, image.size(), vars_size).value();
    const std::uint64_t base = regions[1].gpa;
    const std::size_t count = regions.size();
    const auto refusal = [&](std::uint64_t size) {
        return svsm_launch_regions(firmware_size, svsm, image.size(), size).error();
    };
    const Error odd = refusal(vars_size + 1);
    const Error large = refusal(max_vars_size + page_size);
    svsm.sections[0] = {static_cast<std::uint32_t>(base - page_size), 2 * page_size, SectionType::sec_mem};
    const Error inside = refusal(vars_size);
    svsm.sections[0].size = page_size;
    const bool below = svsm_launch_regions(firmware_size, svsm, image.size(), vars_size).has_value();
    assert_true(base == 0xffc00000 - 1138688); // firmware and variable store are 4 MiB, the image is 0x116000
    assert_int_equal(count, 5);
    assert_true(odd == (Error{Errc::out_of_range, "svsm.vars_size", vars_size + 1}));
    assert_true(large == (Error{Errc::too_large, "svsm.vars_size", max_vars_size + page_size}));
    assert_true(inside.code == Errc::out_of_range);
    assert_true(below);
}

static void svsm_firmware_needs_ovmfs_table_and_vcpus_are_bounded(void **) {
    const Bytes image = input("fixtures/svsm.bin");
    const Error error = measure_svsm_before_vcpus(Bytes(page_size), image, vars_size).error();
    const LaunchDigest digest;
    const Error none = measure_svsm_vcpus(digest, {0, {0x800f12}}, 0).error();
    const Error many = measure_svsm_vcpus(digest, {256, {0x800f12}}, 0).error();
    assert_true(error == (Error{Errc::missing, "ovmf.footer"}));
    assert_true(none == (Error{Errc::out_of_range, "vcpus", 0}));
    assert_true(many == (Error{Errc::out_of_range, "vcpus", 256}));
}

static void sev_needs_no_metadata_but_a_table(void **) {
    // Firmware of before SNP has the table without metadata.
    Bytes firmware = input("fixtures/ovmf_AmdSev_suffix.bin");
    store_le(MutableBytes{firmware}.subspan(metadata_entry + 2, 1), 0);
    const bool snp = parse_ovmf(firmware).has_value();
    const bool sev = sev_digest(firmware, KernelHashes{}).has_value();
    const bool es = sev_es_digest(firmware, KernelHashes{}, {2, {0x800f12}}).has_value();
    const Error footer = sev_digest(Bytes(page_size), std::nullopt).error();
    assert_false(snp);
    assert_true(sev);
    assert_true(es);
    assert_true(footer == (Error{Errc::missing, "ovmf.footer"}));
}

static void sev_refuses_hashes_without_an_area_for_the_whole_table(void **) {
    Bytes none = input("fixtures/ovmf_AmdSev_suffix.bin");
    store_le(MutableBytes{none}.subspan(hash_entry - 8, 4), 0);
    Bytes small = input("fixtures/ovmf_AmdSev_suffix.bin");
    store_le(MutableBytes{small}.subspan(hash_entry - 4, 4), hash_table_size - 1);
    const Error of_none = sev_digest(none, KernelHashes{}).error();
    const Error of_small = sev_es_digest(small, KernelHashes{}, {1, {0x800f12}}).error();
    const bool without = sev_digest(none, std::nullopt).has_value();
    assert_true(of_none == (Error{Errc::unsupported, "ovmf.hash_table"}));
    assert_true(of_small == (Error{Errc::out_of_range, "ovmf.hash_table", 0x810c00}));
    assert_true(without);
}

static void sev_es_bounds_vcpus_and_measures_sev_features_but_for_snp(void **) {
    const Bytes firmware = input("fixtures/ovmf_AmdSev_suffix.bin");
    const auto digest = [&](unsigned vcpus, std::uint64_t features) {
        return sev_es_digest(firmware, std::nullopt, {vcpus, {0x800f12, features}});
    };
    const Error none = digest(0, 0).error();
    const Error many = digest(256, 0).error();
    const Error no_reset = sev_es_digest(firmware, std::nullopt, {2, {0x800f12}}, 0).error();
    const bool snp_bit_is_cleared = digest(2, 1).value() == digest(2, 0).value();
    const bool debug_swap_counts = digest(2, 0x20).value() != digest(2, 0).value();
    assert_true(none == (Error{Errc::out_of_range, "vcpus", 0}));
    assert_true(many == (Error{Errc::out_of_range, "vcpus", 256}));
    assert_true(no_reset == (Error{Errc::missing, "ovmf.reset_block"}));
    assert_true(snp_bit_is_cleared);
    assert_true(debug_swap_counts);
}

static void launch_regions_are_in_the_order_and_kind_of_each_vmm(void **) {
    const Ovmf ovmf = parse_ovmf(input("fixtures/ovmf_AmdSev_suffix.bin")).value();
    const auto types = [&](Vmm vmm) {
        std::string text;
        for (const LaunchRegion &region : launch_regions(ovmf, page_size, true, vmm))
            text += std::to_string(static_cast<unsigned>(region.type));
        return text;
    };
    // Firmware, then types of the sections: 3 zero, 4 unmeasured, 5 secrets, 6 CPUID, 1 the hash page.
    const bool qemu = types(Vmm::qemu) == "13356313" && types(Vmm::krun) == "13356313";
    const bool ec2 = types(Vmm::ec2) == "13353136" && types(Vmm::ec2_legacy) == "13353136";
    const bool gce = types(Vmm::gce) == "14456314";
    assert_true(qemu);
    assert_true(ec2);
    assert_true(gce);
}

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(every_list_of_cases_is_run_to_its_end),
        cmocka_unit_test(launch_digest_is_that_of_sev_snp_measure),
        cmocka_unit_test(launch_digest_under_ec2_is_that_of_sev_snp_measure),
        cmocka_unit_test(launch_digest_under_gce_is_that_of_sev_snp_measure),
        cmocka_unit_test(launch_digest_under_an_svsm_is_that_of_sev_snp_measure),
        cmocka_unit_test(sev_es_digest_is_that_of_sev_snp_measure),
        cmocka_unit_test(sev_digest_is_that_of_sev_snp_measure),
        cmocka_unit_test(ec2_with_rdx_0_is_that_of_the_sev_crate),
        cmocka_unit_test(krun_is_that_of_the_sev_crate),
        cmocka_unit_test(svsm_digest_is_that_of_two_real_launches_and_of_init2),
        cmocka_unit_test(sev_es_of_the_legacy_vm_type_has_no_fpu_state),
        cmocka_unit_test(firmware_digest_is_upstreams_ovmf_hash),
        cmocka_unit_test(vmsa_page_is_upstreams_byte_for_byte),
        cmocka_unit_test(fpu_state_is_mxcsr_and_fcw_and_only_qemus),
        cmocka_unit_test(hash_table_is_upstreams_byte_for_byte),
        cmocka_unit_test(hash_table_page_refuses_an_area_too_small_or_across_a_page),
        cmocka_unit_test(no_command_line_is_hashed_as_one_nul_and_no_initrd_as_nothing),
        cmocka_unit_test(cpu_signature_packs_family_model_stepping),
        cmocka_unit_test(cpu_models_have_the_signatures_of_their_generation),
        cmocka_unit_test(cpu_model_names_are_exact_and_typing_errors_get_the_nearest),
        cmocka_unit_test(normal_pages_equals_page_by_page_whatever_repeats),
        cmocka_unit_test(page_info_has_each_field_at_its_own_offset),
        cmocka_unit_test(launch_regions_are_in_order_of_submission),
        cmocka_unit_test(vcpu_count_is_bounded_and_aps_need_a_reset_vector),
        cmocka_unit_test(measure_vcpu_counts_gives_what_each_count_gives),
        cmocka_unit_test(parse_ovmf_refuses_every_lie),
        cmocka_unit_test(parse_ovmf_refuses_other_file_sizes),
        cmocka_unit_test(parse_ovmf_refuses_metadata_cut_off_by_the_end_of_the_file),
        cmocka_unit_test(parse_ovmf_refuses_a_doubled_table_entry),
        cmocka_unit_test(hash_area_at_0_means_no_measured_direct_boot),
        cmocka_unit_test(hashes_outside_the_measured_page_are_refused),
        cmocka_unit_test(secrets_and_cpuid_count_as_one_page_whatever_their_size),
        cmocka_unit_test(parse_svsm_refuses_every_lie),
        cmocka_unit_test(svsm_lies_between_variable_store_and_its_own_memory),
        cmocka_unit_test(svsm_firmware_needs_ovmfs_table_and_vcpus_are_bounded),
        cmocka_unit_test(sev_needs_no_metadata_but_a_table),
        cmocka_unit_test(sev_refuses_hashes_without_an_area_for_the_whole_table),
        cmocka_unit_test(sev_es_bounds_vcpus_and_measures_sev_features_but_for_snp),
        cmocka_unit_test(launch_regions_are_in_the_order_and_kind_of_each_vmm),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
