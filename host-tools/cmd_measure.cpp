// cvmin measure: predicts the launch digest that the AMD-SP will report. Options and their meaning as people know them
// from sev-snp-measure; what it lacks has names of our own. The digests are common/launch.hpp's.
#include "host-tools/base/os.hpp"
#include "host-tools/cli.hpp"
#include "host-tools/measure/measure.hpp"

#include <cerrno>
#include <cstdio>

#include <sys/stat.h>
#include <sys/sysmacros.h>

namespace cvmin {

namespace {

constexpr const char *command = "measure";
constexpr std::uint64_t snp_active = 1; // SEV_FEATURES bit 0

enum class Mode : std::uint8_t { snp, ovmf_hash, svsm, seves, sev };
struct ModeName {
    std::string_view name;
    std::string_view upstream; // what sev-snp-measure --verbose calls it
    Mode mode;
};
constexpr ModeName modes[] = {
    {"snp", "SEV_SNP", Mode::snp},
    {"snp:ovmf-hash", "SEV_SNP OVMF", Mode::ovmf_hash},
    {"snp:svsm", "SEV_SNP_SVSM", Mode::svsm},
    {"seves", "SEV_ES", Mode::seves},
    {"sev", "SEV", Mode::sev},
};

struct VmmName {
    std::string_view name;
    Vmm vmm;
};
constexpr VmmName vmms[] = {
    {"QEMU", Vmm::qemu}, {"EC2", Vmm::ec2}, {"EC2-legacy", Vmm::ec2_legacy}, {"GCE", Vmm::gce}, {"krun", Vmm::krun},
};

struct FpuName {
    std::string_view name;
    FpuState state;
};
constexpr FpuName fpu_states[] = {
    {"reset", FpuState::reset}, {"zero", FpuState::zero}, {"mxcsr-only", FpuState::mxcsr_only}};

struct Args {
    std::string mode = "snp";
    std::string vmm_type = "QEMU";
    std::optional<unsigned> vcpus;
    std::optional<std::string> vcpu_type;
    std::optional<std::uint32_t> vcpu_sig;
    std::optional<unsigned> family, model, stepping;
    std::optional<std::string> image, ovmf, kernel, initrd, append, ovmf_hash, svsm, vars_file, fpu_state;
    std::optional<std::uint64_t> guest_features, sev_features, vars_size;
    std::optional<std::string> dump_vmsa; // a directory, or empty for the working directory
    std::string output_format = "hex";
    bool legacy_vm_type = false;
    bool all = false;
    bool verbose = false;
    bool json = false;

    bool names_vcpu() const { return vcpu_type || vcpu_sig || family || model || stepping; }
};

void describe(CLI::App &app, Args &args) {
    app.description("Predict the launch digest that the AMD-SP will report for a confidential VM.\n"
                    "Standard output is the digest and a newline.");
    app.footer("Examples, one of each mode:\n"
               "  cvmin measure --image out/image.json --vcpus 2 --vcpu-type EPYC-Genoa\n"
               "  cvmin measure --image out/image.json --all | grep '^EPYC-Genoa 2 '\n"
               "  cvmin measure --mode snp --vcpus 1 --vcpu-type EPYC-v4 --ovmf OVMF.amdsev.fd \\\n"
               "      --kernel bzImage --initrd initrd.zst --append 'console=ttyS0'\n"
               "  cvmin measure --mode snp --vmm-type EC2 --vcpus 2 --ovmf ovmf_img.fd\n"
               "  cvmin measure --mode snp:ovmf-hash --ovmf OVMF.amdsev.fd\n"
               "  cvmin measure --mode snp:svsm --vcpus 4 --vcpu-type EPYC-v4 --ovmf OVMF_CODE.fd \\\n"
               "      --svsm svsm.bin --vars-file OVMF_VARS.fd --fpu-state reset\n"
               "  cvmin measure --mode seves --vcpus 1 --vcpu-type EPYC-v4 --ovmf OVMF.amdsev.fd \\\n"
               "      --kernel bzImage --legacy-vm-type\n"
               "  cvmin measure --mode sev --ovmf OVMF.fd\n\n"
               "Exit codes: 0 done, 2 usage, 3 bad input, 4 system.");
    app.add_option("--mode", args.mode, "Guest mode: snp, snp:ovmf-hash, snp:svsm, seves, sev")->capture_default_str();
    app.add_option("--vcpus", args.vcpus, "Number of vCPUs, 1 to 255; not for sev and snp:ovmf-hash");
    app.add_option("--vcpu-type", args.vcpu_type, "CPU model, as after QEMU's -cpu: EPYC-v4, EPYC-Genoa, ...");
    app.add_option("--vcpu-sig", args.vcpu_sig, "CPUID signature of the vCPU: 0x800f12 or decimal");
    app.add_option("--vcpu-family", args.family, "CPU family, with --vcpu-model and --vcpu-stepping");
    app.add_option("--vcpu-model", args.model, "CPU model number");
    app.add_option("--vcpu-stepping", args.stepping, "CPU stepping");
    app.add_option("--vmm-type", args.vmm_type, "Virtual machine monitor: QEMU, EC2, EC2-legacy, GCE, krun")
        ->capture_default_str();
    app.add_option("--image", args.image, "image.json of a built image; stands for all files below");
    app.add_option("--ovmf", args.ovmf, "OVMF firmware file");
    app.add_option("--kernel", args.kernel, "Kernel file, when QEMU boots with -kernel and kernel-hashes=on");
    app.add_option("--initrd", args.initrd, "initrd file");
    app.add_option("--append", args.append, "Kernel command line, exactly as after QEMU's -append");
    app.add_option("--guest-features", args.guest_features, "VMSA SEV_FEATURES: 0x1, or 0x21 with debug swap");
    app.add_option("--snp-ovmf-hash", args.ovmf_hash, "Digest of the firmware's pages (hex), used in their place");
    app.add_option("--svsm", args.svsm, "Coconut SVSM image (snp:svsm)");
    app.add_option("--vars-size", args.vars_size, "Size of OVMF's variable store in bytes (snp:svsm)");
    app.add_option("--vars-file", args.vars_file, "OVMF's variable store, for its size (snp:svsm)")
        ->excludes("--vars-size");
    app.add_option("--sev-features", args.sev_features,
                   "VMSA SEV_FEATURES in seves (0 unless given; 0x20 is debug swap) and snp:svsm (0x1)");
    app.add_option("--fpu-state", args.fpu_state,
                   "FPU state in QEMU's VMSAs: reset (KVM since INIT2), zero (KVM before), mxcsr-only");
    app.add_flag("--legacy-vm-type", args.legacy_vm_type, "seves under QEMU's legacy-vm-type=on: no FPU state");
    app.add_option("--dump-vmsa", args.dump_vmsa, "Write the measured VMSAs to vmsa<N>.bin, here or in DIR")
        ->type_name("[DIR]")
        ->expected(0, 1)
        ->default_str("");
    app.add_flag("--all", args.all, "The digests for every CPU model and 1 to 255 vCPUs: lines 'MODEL VCPUS DIGEST'");
    app.add_option("--output-format", args.output_format, "hex or base64")->capture_default_str();
    app.add_flag("-v,--verbose", args.verbose, "Say what the digest is of, as sev-snp-measure does");
    app.add_flag("--json", args.json, "Print a JSON object instead (schema 1)");
}

bool same_name(std::string_view a, std::string_view b) {
    return std::ranges::equal(a, b,
                              [](unsigned char x, unsigned char y) { return std::tolower(x) == std::tolower(y); });
}

// What the options ask for, after usage_problem has passed them.
struct Request {
    Mode mode = Mode::snp;
    VcpuState vcpu{};
    unsigned vcpus = 0;
};

bool starts_vcpus(Mode mode) {
    return mode != Mode::sev && mode != Mode::ovmf_hash;
}

std::optional<std::string> mode_problem(const Args &args, Mode mode, Vmm vmm) {
    const std::string name = "--mode " + args.mode + ": ";
    if (mode == Mode::svsm && !args.svsm)
        return name + "wanted --svsm FILE";
    if (mode == Mode::svsm && !args.vars_size && !args.vars_file)
        return name + "wanted --vars-size BYTES or --vars-file FILE";
    if (mode == Mode::svsm && (args.kernel || args.image))
        return name + "kernel hashes are not measured under an SVSM: leave --kernel and --image out";
    if (mode == Mode::svsm && vmm != Vmm::qemu)
        return name + "only QEMU starts an SVSM: leave --vmm-type out";
    if (mode != Mode::svsm && (args.svsm || args.vars_size || args.vars_file))
        return "--svsm, --vars-size and --vars-file are for --mode snp:svsm";
    if (mode != Mode::snp && args.ovmf_hash)
        return name + "--snp-ovmf-hash is for --mode snp";
    if (mode != Mode::snp && args.all)
        return name + "--all is for --mode snp";
    if (mode != Mode::seves && mode != Mode::sev && args.legacy_vm_type)
        return name + "--legacy-vm-type is for seves; for SNP hosts before KVM_SEV_INIT2 see --fpu-state zero";
    if (mode != Mode::seves && mode != Mode::svsm && args.sev_features)
        return name + "--sev-features is for seves and snp:svsm; in snp it is --guest-features";
    if (!starts_vcpus(mode) && (args.dump_vmsa || args.fpu_state))
        return name + "no VMSA is measured: leave --dump-vmsa and --fpu-state out";
    if (mode == Mode::ovmf_hash && (args.kernel || args.image))
        return name + "only the firmware counts: leave --kernel and --image out";
    return std::nullopt;
}

std::optional<std::string> vcpu_problem(const Args &args, Mode mode, Vmm vmm) {
    const bool by_numbers = args.family || args.model || args.stepping;
    if (args.all && (args.vcpus || args.names_vcpu()))
        return "--all takes every number and model: leave --vcpus and the options for the model out";
    if (args.all && args.dump_vmsa)
        return "--all with --dump-vmsa: name one launch by --vcpus and --vcpu-type";
    if (!starts_vcpus(mode))
        return std::nullopt; // harmless where they do not count, as in sev-snp-measure
    if (!args.vcpus && !args.all)
        return "wanted --vcpus N: each vCPU is measured";
    if (args.vcpus && (*args.vcpus == 0 || *args.vcpus > max_vcpus))
        return "--vcpus " + std::to_string(*args.vcpus) + ": wanted 1 to " + std::to_string(max_vcpus);
    const int names = (args.vcpu_type ? 1 : 0) + (args.vcpu_sig ? 1 : 0) + (by_numbers ? 1 : 0);
    const bool needed = vmm == Vmm::qemu && !args.all;
    if (names > 1 || (needed && names == 0))
        return "name the vCPU by one of --vcpu-type, --vcpu-sig, or --vcpu-family with --vcpu-model and "
               "--vcpu-stepping";
    if (by_numbers && !(args.family && args.model && args.stepping))
        return "--vcpu-family, --vcpu-model and --vcpu-stepping go together";
    return std::nullopt;
}

// The problem with options that parsed, or nothing.
std::optional<std::string> usage_problem(const Args &args) {
    const auto mode = std::ranges::find(modes, std::string_view{args.mode}, &ModeName::name);
    if (mode == std::end(modes))
        return "--mode " + args.mode + ": wanted snp, snp:ovmf-hash, snp:svsm, seves or sev";
    const auto vmm =
        std::ranges::find_if(vmms, [&](const VmmName &known) { return same_name(known.name, args.vmm_type); });
    if (vmm == std::end(vmms))
        return "--vmm-type " + args.vmm_type + ": wanted QEMU, EC2, EC2-legacy, GCE or krun";
    if (args.output_format != "hex" && args.output_format != "base64")
        return "--output-format " + args.output_format + ": wanted hex or base64";
    if (auto problem = vcpu_problem(args, mode->mode, vmm->vmm))
        return problem;
    if (auto problem = mode_problem(args, mode->mode, vmm->vmm))
        return problem;
    if (args.fpu_state &&
        std::ranges::find(fpu_states, std::string_view{*args.fpu_state}, &FpuName::name) == std::end(fpu_states))
        return "--fpu-state " + *args.fpu_state + ": wanted reset, zero or mxcsr-only";
    if (args.fpu_state && args.legacy_vm_type)
        return "--legacy-vm-type is --fpu-state zero: leave one of them out";
    if ((args.fpu_state || args.legacy_vm_type) && vmm->vmm != Vmm::qemu)
        return "--fpu-state and --legacy-vm-type are about QEMU's launches";
    if (args.image && (args.ovmf || args.kernel || args.initrd || args.append || args.guest_features || args.ovmf_hash))
        return "--image brings its own files, command line and guest features: leave the options for them out";
    if (!args.image && !args.ovmf)
        return "wanted --ovmf FILE or --image image.json";
    if (args.initrd && !args.kernel)
        return "--initrd without --kernel: an initrd is measured with its kernel only";
    if (args.append && !args.kernel)
        return "--append without --kernel: a command line is measured with its kernel only";
    if (args.append && args.append->contains('\0'))
        return "--append: a NUL ends the command line";
    if (mode->mode == Mode::snp && args.guest_features && (*args.guest_features & snp_active) == 0)
        return "--guest-features: bit 0 (SNP active) is set in every SNP guest, as in 0x1 or 0x21";
    if (mode->mode == Mode::svsm && args.sev_features && (*args.sev_features & snp_active) == 0)
        return "--sev-features: bit 0 (SNP active) is set in every SNP guest, as in 0x1";
    if (mode->mode == Mode::seves && args.sev_features && (*args.sev_features & snp_active) != 0)
        return "--sev-features: bit 0 (SNP active) is clear in every SEV-ES guest, as in 0x20";
    return std::nullopt;
}

// CPUID leaf 1 EAX has 4 + 8 bits for the family, 8 for the model, 4 for the stepping.
Result<std::uint32_t> signature_of(const Args &args) {
    if (args.vcpu_sig)
        return *args.vcpu_sig;
    if (args.vcpu_type) {
        const auto model = find_cpu_model(*args.vcpu_type);
        if (!model)
            return fail(Errc::usage, "--vcpu-type");
        return model->signature;
    }
    if (!args.family)
        return 0; // the VMM does not use it
    if (*args.family > 15 + 255)
        return fail(Errc::usage, "--vcpu-family", *args.family);
    if (*args.model > 255)
        return fail(Errc::usage, "--vcpu-model", *args.model);
    if (*args.stepping > 15)
        return fail(Errc::usage, "--vcpu-stepping", *args.stepping);
    return cpu_signature(*args.family, *args.model, *args.stepping);
}

// sev-snp-measure ignores --guest-features in two modes. Ignored here too, but not without a word.
void note_ignored_features(const Args &args, const Request &request) {
    if (args.guest_features && request.mode != Mode::snp && *args.guest_features != request.vcpu.sev_features)
        note("--guest-features does not count in mode " + args.mode + ", as in sev-snp-measure" +
             (starts_vcpus(request.mode) ? "; --sev-features does" : ""));
}

FpuState fpu_state_of(const Args &args, Mode mode) {
    if (args.legacy_vm_type)
        return FpuState::zero;
    if (args.fpu_state)
        return std::ranges::find(fpu_states, std::string_view{*args.fpu_state}, &FpuName::name)->state;
    if (mode != Mode::svsm)
        return FpuState::reset;
    note("measured with FCW 0, as sev-snp-measure has it: no known host launches an SVSM so. Say --fpu-state reset for "
         "hosts with KVM_SEV_INIT2 (Linux 6.11 and later), zero for older ones");
    return FpuState::mxcsr_only;
}

Result<Request> request_of(const Args &args) {
    Request request;
    request.mode = std::ranges::find(modes, std::string_view{args.mode}, &ModeName::name)->mode;
    request.vcpus = args.vcpus.value_or(0);
    CVMIN_TRY(signature, signature_of(args));
    request.vcpu.signature = signature;
    request.vcpu.vmm =
        std::ranges::find_if(vmms, [&](const VmmName &known) { return same_name(known.name, args.vmm_type); })->vmm;
    request.vcpu.fpu = fpu_state_of(args, request.mode);
    request.vcpu.sev_features = request.mode == Mode::seves  ? args.sev_features.value_or(0)
                                : request.mode == Mode::svsm ? args.sev_features.value_or(snp_active)
                                                             : args.guest_features.value_or(snp_active);
    note_ignored_features(args, request);
    return request;
}

struct Reported {
    int exit_code; // already reported
};
template <class T> using OrReported = std::expected<T, Reported>;

std::unexpected<Reported> failure(const Error &error, const std::string &subject) {
    return std::unexpected(Reported{report_error(command, error, subject)});
}
std::unexpected<Reported> failure(Exit code, const std::string &text) {
    return std::unexpected(Reported{report_error(command, code, text)});
}

// What is measured, from either kind of input.
struct Inputs {
    Bytes firmware;
    std::string firmware_name; // for messages
    std::optional<KernelHashes> hashes;
    std::optional<Sha384Digest> firmware_digest;
    Bytes svsm;
    std::uint64_t vars_size = 0;
};

OrReported<Bytes> read(const std::string &path, std::size_t limit) {
    auto bytes = read_file(path, limit);
    if (!bytes)
        return failure(bytes.error(), path);
    return std::move(*bytes);
}

// The character device by which upstream's cases say "a file without bytes".
bool is_null_device(const std::string &path) {
    constexpr unsigned memory_devices = 1; // Linux's device numbers: major 1, minor 3
    constexpr unsigned null_device = 3;
    struct stat info{};
    return path != "-" && ::stat(path.c_str(), &info) == 0 && S_ISCHR(info.st_mode) &&
           info.st_rdev == makedev(memory_devices, null_device);
}

constexpr const char *empty_kernel = ": a kernel of 0 bytes cannot boot, QEMU refuses it too; published test vectors "
                                     "are reproduced with --kernel /dev/null, which is measured as an empty kernel";

OrReported<void> read_boot_files(const Args &args, Inputs &inputs) {
    auto kernel = read(*args.kernel, max_kernel_size);
    if (!kernel)
        return std::unexpected(kernel.error());
    if (kernel->empty() && !is_null_device(*args.kernel))
        return failure(Exit::bad_input, *args.kernel + empty_kernel);
    Bytes initrd;
    if (args.initrd) {
        auto bytes = read(*args.initrd, max_initrd_size);
        if (!bytes)
            return std::unexpected(bytes.error());
        initrd = std::move(*bytes);
        if (initrd.empty() && !is_null_device(*args.initrd)) // QEMU launches it
            note(*args.initrd + ": the initrd is empty, which has the digest of no initrd");
    }
    inputs.hashes = kernel_hashes(*kernel, initrd, args.append.value_or(""));
    return {};
}

OrReported<void> read_svsm(const Args &args, Inputs &inputs) {
    auto svsm = read(*args.svsm, max_firmware_size);
    if (!svsm)
        return std::unexpected(svsm.error());
    inputs.svsm = std::move(*svsm);
    if (const auto parsed = parse_svsm(inputs.svsm); !parsed)
        return failure(parsed.error(), *args.svsm);
    if (args.vars_size) {
        inputs.vars_size = *args.vars_size;
    } else {
        auto vars = read(*args.vars_file, max_vars_size); // it is not measured, its size is
        if (!vars)
            return std::unexpected(vars.error());
        inputs.vars_size = vars->size();
    }
    if (const auto regions = svsm_launch_regions(inputs.firmware.size(), {}, inputs.svsm.size(), inputs.vars_size);
        !regions)
        return failure(regions.error(), args.vars_file.value_or("--vars-size"));
    return {};
}

OrReported<Inputs> read_files(const Args &args) {
    Inputs inputs;
    inputs.firmware_name = *args.ovmf;
    if (args.ovmf_hash) {
        const auto digest = parse_hex_exactly<sizeof(Sha384Digest)>(*args.ovmf_hash, "--snp-ovmf-hash");
        if (!digest)
            return failure(Exit::usage, "--snp-ovmf-hash: wanted 96 hexadecimal digits");
        inputs.firmware_digest = *digest;
    }
    auto firmware = read(*args.ovmf, max_firmware_size);
    if (!firmware)
        return std::unexpected(firmware.error());
    inputs.firmware = std::move(*firmware);
    if (args.kernel)
        if (const auto done = read_boot_files(args, inputs); !done)
            return std::unexpected(done.error());
    if (args.svsm)
        if (const auto done = read_svsm(args, inputs); !done)
            return std::unexpected(done.error());
    return inputs;
}

OrReported<Inputs> read_image(const std::string &path, Request &request) {
    auto manifest = load_image_manifest(path);
    if (!manifest)
        return failure(manifest.error(), path);
    if (const auto launchable = check_launchable(*manifest); !launchable)
        return failure(launchable.error(), path);
    auto files = load_image_files(*manifest);
    if (!files)
        return failure(files.error(), path);
    if (files->kernel.empty())
        return failure(Exit::bad_input, path + empty_kernel);
    if (request.mode == Mode::snp)
        request.vcpu.sev_features = manifest->guest_features;
    Inputs inputs;
    inputs.firmware = std::move(files->firmware);
    inputs.firmware_name = path;
    inputs.hashes = manifest->hashes;
    return inputs;
}

// The prediction's errors, with what is behind the commonest one.
std::unexpected<Reported> failure_of_launch(const Error &error, const Inputs &inputs, Mode mode) {
    const bool no_hashes = error == Error{Errc::unsupported, "ovmf.kernel_hashes_section"} ||
                           error == Error{Errc::unsupported, "ovmf.hash_table"};
    if (!no_hashes)
        return failure(error, inputs.firmware_name);
    return failure(Exit::bad_input, inputs.firmware_name + ": this OVMF has no kernel-hashes " +
                                        (mode == Mode::snp ? "section" : "area") +
                                        ", so it cannot boot a measured kernel; take the AmdSev build, or leave "
                                        "--kernel out");
}

Result<BeforeVcpus> before_vcpus(const Request &request, const Inputs &inputs) {
    return predict_before_vcpus(inputs.firmware, inputs.hashes, inputs.firmware_digest, request.vcpu.vmm);
}

// SHA-384 for SNP, SHA-256 for the others.
struct Measured {
    Bytes digest;
    std::vector<ByteArray<page_size>> vmsas; // BSP, AP: as many as differ
    std::optional<std::uint64_t> svsm_entry;
};

Result<Measured> measure(const Request &request, const Inputs &inputs) {
    const LaunchConfig config{request.vcpus, request.vcpu};
    const auto two_vmsas = [&](std::uint32_t ap_reset_eip) {
        return std::vector{vmsa_page(request.vcpu, bsp_reset_eip), vmsa_page(request.vcpu, ap_reset_eip)};
    };
    switch (request.mode) {
    case Mode::snp: {
        CVMIN_TRY(before, before_vcpus(request, inputs));
        CVMIN_TRY(digest, predict_launch_digest(before, request.vcpu, request.vcpus));
        return Measured{to_bytes(digest), two_vmsas(before.ap_reset_eip), std::nullopt};
    }
    case Mode::ovmf_hash: {
        CVMIN_CHECK(parse_ovmf_table(inputs.firmware)); // a digest of anything else helps nobody
        return Measured{to_bytes(measure_firmware(inputs.firmware).value()), {}, std::nullopt};
    }
    case Mode::svsm: {
        CVMIN_TRY(before, measure_svsm_before_vcpus(inputs.firmware, inputs.svsm, inputs.vars_size));
        CVMIN_TRY(digest, measure_svsm_vcpus(before.digest, config, before.entry));
        return Measured{to_bytes(digest), {svsm_vmsa_page(request.vcpu, before.entry)}, before.entry};
    }
    case Mode::seves: {
        CVMIN_TRY(ovmf, parse_ovmf_table(inputs.firmware));
        CVMIN_TRY(digest, sev_es_digest(inputs.firmware, inputs.hashes, config, ovmf.reset_eip));
        return Measured{to_bytes(digest), two_vmsas(ovmf.reset_eip), std::nullopt};
    }
    case Mode::sev:
        break;
    }
    CVMIN_TRY(digest, sev_digest(inputs.firmware, inputs.hashes));
    return Measured{to_bytes(digest), {}, std::nullopt};
}

std::string number(std::uint64_t value) {
    ByteArray<8> bytes;
    store_be(bytes, value);
    std::string digits = hex(bytes);
    digits.erase(0, std::min(digits.find_first_not_of('0'), digits.size() - 1));
    return "0x" + digits;
}

std::string formatted(const Args &args, ByteView digest) {
    return args.output_format == "base64" ? base64(digest) : hex(digest);
}

std::string_view name_of(FpuState state) {
    return std::ranges::find(fpu_states, state, &FpuName::state)->name;
}

// What every JSON object says of the launch.
Json launch_json(const Args &args, const Request &request, const Inputs &inputs) {
    Json json{{"schema", 1}, {"mode", args.mode}};
    if (request.mode != Mode::ovmf_hash && request.mode != Mode::sev)
        json["vmm_type"] = std::ranges::find(vmms, request.vcpu.vmm, &VmmName::vmm)->name;
    if (starts_vcpus(request.mode)) {
        const bool qemu = request.vcpu.vmm == Vmm::qemu;
        if (!args.all)
            json["vcpus"] = request.vcpus;
        if (args.vcpu_type && qemu)
            json["vcpu_type"] = *args.vcpu_type;
        if (!args.all && qemu)
            json["vcpu_signature"] = number(request.vcpu.signature);
        json["guest_features"] = number(request.vcpu.sev_features);
        if (qemu)
            json["fpu_state"] = name_of(request.vcpu.fpu);
    }
    if (inputs.hashes)
        json["kernel_hashes"] = {{"kernel", hex(inputs.hashes->kernel)},
                                 {"initrd", hex(inputs.hashes->initrd)},
                                 {"cmdline", hex(inputs.hashes->cmdline)}};
    return json;
}

int flush_output() {
    if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0)
        return report_error(command, Error{Errc::system, "standard output", static_cast<std::uint64_t>(errno)});
    return Exit::ok;
}

// vmsa0.bin, vmsa1.bin, ... Files that are there already are replaced, and named.
OrReported<void> dump(const std::filesystem::path &directory, const Measured &measured, unsigned vcpus) {
    unsigned replaced = 0;
    for (unsigned vcpu = 0; vcpu < vcpus; ++vcpu) {
        const auto path = directory / ("vmsa" + std::to_string(vcpu) + ".bin");
        const auto &page = measured.vmsas[std::min<std::size_t>(vcpu, measured.vmsas.size() - 1)];
        std::error_code ignored; // a path that cannot be looked at cannot be written either
        replaced += std::filesystem::exists(std::filesystem::symlink_status(path, ignored)) ? 1 : 0;
        if (const auto written = write_file(path, page); !written)
            return failure(written.error().code == Errc::missing
                               ? Error{Errc::missing, "directory", written.error().detail}
                               : written.error(),
                           path.native());
    }
    note("wrote vmsa0.bin" + (vcpus > 1 ? " to vmsa" + std::to_string(vcpus - 1) + ".bin" : std::string{}) +
         (directory.empty() ? std::string{} : " in " + directory.native()) +
         (replaced > 0 ? ", replaced " + std::to_string(replaced) + " of that name" : std::string{}));
    return {};
}

int print_all(const Args &args, const Request &request, const Inputs &inputs) {
    const auto before = before_vcpus(request, inputs);
    if (!before)
        return failure_of_launch(before.error(), inputs, request.mode).error().exit_code;
    const auto all = predict_all(*before, request.vcpu);
    if (!all)
        return report_error(command, all.error(), inputs.firmware_name);
    if (args.json) {
        Json json = launch_json(args, request, inputs);
        Json &models = json["cpu_models"] = Json::array();
        for (const ReferenceValues &values : *all) {
            Json entry{{"models", values.models}};
            if (request.vcpu.vmm == Vmm::qemu)
                entry["signature"] = number(values.signature);
            Json &digests = entry["launch_digests"] = Json::array();
            for (const Sha384Digest &digest : values.digests)
                digests.push_back(formatted(args, digest));
            models.push_back(std::move(entry));
        }
        print_json(json);
        return flush_output();
    }
    std::string text;
    for (const ReferenceValues &values : *all) {
        std::vector<std::string> digests;
        digests.reserve(values.digests.size());
        for (const Sha384Digest &digest : values.digests)
            digests.push_back(' ' + formatted(args, digest) + '\n');
        for (const std::string_view model : values.models)
            for (std::size_t i = 0; i < digests.size(); ++i)
                text.append(model).append(" ").append(std::to_string(i + 1)).append(digests[i]);
    }
    std::fputs(text.c_str(), stdout);
    return flush_output();
}

int print_one(const Args &args, const Request &request, const Inputs &inputs) {
    const auto measured = measure(request, inputs);
    if (!measured)
        return failure_of_launch(measured.error(), inputs, request.mode).error().exit_code;
    if (args.dump_vmsa)
        if (const auto done = dump(*args.dump_vmsa, *measured, request.vcpus); !done)
            return done.error().exit_code;
    if (args.json) {
        Json json = launch_json(args, request, inputs);
        if (measured->svsm_entry)
            json["svsm_entry"] = number(*measured->svsm_entry);
        json[request.mode == Mode::ovmf_hash ? "ovmf_hash" : "launch_digest"] = formatted(args, measured->digest);
        print_json(json);
        return flush_output();
    }
    if (args.verbose)
        std::printf("Calculated %s guest measurement: ",
                    std::string{std::ranges::find(modes, request.mode, &ModeName::mode)->upstream}.c_str());
    std::printf("%s\n", formatted(args, measured->digest).c_str());
    return flush_output();
}

} // namespace

int cmd_measure(int argc, char **argv) {
    Args args;
    CLI::App app{"", "cvmin measure"};
    describe(app, args);
    if (const auto exit = parse_options(app, argc, argv))
        return *exit;
    if (const auto problem = usage_problem(args))
        return report_error(command, Exit::usage, *problem);
    auto request = request_of(args);
    if (!request && args.vcpu_type && request.error().where == "--vcpu-type")
        return report_error(command, Exit::usage,
                            "--vcpu-type " + *args.vcpu_type + ": QEMU has no such AMD model; did you mean " +
                                std::string{nearest_cpu_model(*args.vcpu_type)} + "?");
    if (!request)
        return report_error(command, request.error());

    const auto inputs = args.image ? read_image(*args.image, *request) : read_files(args);
    if (!inputs)
        return inputs.error().exit_code;
    return args.all ? print_all(args, *request, *inputs) : print_one(args, *request, *inputs);
}

} // namespace cvmin
