// cvmin measure: predicts the launch digest that the AMD-SP will report. Options as people know them from
// sev-snp-measure. Only SEV-SNP under QEMU.
#include "host-tools/base/os.hpp"
#include "host-tools/cli.hpp"
#include "host-tools/measure/measure.hpp"

#include <cerrno>
#include <cstdio>

namespace cvmin {

namespace {

constexpr const char *command = "measure";
constexpr std::uint64_t snp_active = 1; // SEV_FEATURES bit 0

struct Args {
    std::string mode = "snp";
    std::string vmm_type = "QEMU";
    unsigned vcpus = 0;
    std::optional<std::string> vcpu_type;
    std::optional<std::uint32_t> vcpu_sig;
    std::optional<unsigned> family, model, stepping;
    std::optional<std::string> image, ovmf, kernel, initrd, append, ovmf_hash;
    std::optional<std::uint64_t> guest_features;
    std::string output_format = "hex";
    bool json = false;
};

void describe(CLI::App &app, Args &args) {
    app.description("Predict the launch digest that the AMD-SP will report for a confidential VM.\n"
                    "Standard output is the digest and a newline.");
    app.footer("Examples:\n"
               "  cvmin measure --image out/image.json --vcpus 2 --vcpu-type EPYC-Genoa\n"
               "  cvmin measure --mode snp --vcpus 1 --vcpu-type EPYC-v4 --ovmf OVMF.amdsev.fd \\\n"
               "      --kernel bzImage --initrd initrd.zst --append 'console=ttyS0'\n\n"
               "Exit codes: 0 done, 2 usage, 3 bad input, 4 system.");
    app.add_option("--mode", args.mode, "Guest mode: snp")->capture_default_str();
    app.add_option("--vcpus", args.vcpus, "Number of vCPUs, 1 to 255")->required();
    app.add_option("--vcpu-type", args.vcpu_type, "CPU model, as after QEMU's -cpu: EPYC-v4, EPYC-Genoa, ...");
    app.add_option("--vcpu-sig", args.vcpu_sig, "CPUID signature of the vCPU: 0x800f12 or decimal");
    app.add_option("--vcpu-family", args.family, "CPU family, with --vcpu-model and --vcpu-stepping");
    app.add_option("--vcpu-model", args.model, "CPU model number");
    app.add_option("--vcpu-stepping", args.stepping, "CPU stepping");
    app.add_option("--vmm-type", args.vmm_type, "Virtual machine monitor: QEMU")->capture_default_str();
    app.add_option("--image", args.image, "image.json of a built image; stands for all files below");
    app.add_option("--ovmf", args.ovmf, "OVMF firmware file");
    app.add_option("--kernel", args.kernel, "Kernel file, when QEMU boots with -kernel and kernel-hashes=on");
    app.add_option("--initrd", args.initrd, "initrd file");
    app.add_option("--append", args.append, "Kernel command line, exactly as after QEMU's -append");
    app.add_option("--guest-features", args.guest_features, "VMSA SEV_FEATURES: 0x1, or 0x21 for Linux 6.6 to 6.8");
    app.add_option("--snp-ovmf-hash", args.ovmf_hash, "Digest of the firmware's pages (hex), used in their place");
    app.add_option("--output-format", args.output_format, "hex or base64")->capture_default_str();
    app.add_flag("--json", args.json, "Print a JSON object instead (schema 1)");
}

// The problem with options that parsed, or nothing.
std::optional<std::string> usage_problem(const Args &args) {
    const bool by_numbers = args.family || args.model || args.stepping;
    if (args.mode != "snp")
        return "--mode " + args.mode + ": this version measures snp only";
    if (args.vmm_type != "QEMU")
        return "--vmm-type " + args.vmm_type + ": this version measures launches by QEMU only";
    if (args.output_format != "hex" && args.output_format != "base64")
        return "--output-format " + args.output_format + ": wanted hex or base64";
    if (args.vcpus == 0 || args.vcpus > max_vcpus)
        return "--vcpus " + std::to_string(args.vcpus) + ": wanted 1 to " + std::to_string(max_vcpus);
    if ((args.vcpu_type ? 1 : 0) + (args.vcpu_sig ? 1 : 0) + (by_numbers ? 1 : 0) != 1)
        return "name the vCPU by one of --vcpu-type, --vcpu-sig, or --vcpu-family with --vcpu-model and "
               "--vcpu-stepping";
    if (by_numbers && !(args.family && args.model && args.stepping))
        return "--vcpu-family, --vcpu-model and --vcpu-stepping go together";
    if (args.image && (args.ovmf || args.kernel || args.initrd || args.append || args.guest_features || args.ovmf_hash))
        return "--image brings its own files, command line and guest features: leave the options for them out";
    if (!args.image && !args.ovmf)
        return "wanted --ovmf FILE or --image image.json";
    if (args.initrd && !args.kernel)
        return "--initrd without --kernel: an initrd is measured with its kernel only";
    if (args.append && !args.kernel)
        return "--append without --kernel: a command line is measured with its kernel only";
    if (args.guest_features && (*args.guest_features & snp_active) == 0)
        return "--guest-features: bit 0 (SNP active) is set in every SNP guest, as in 0x1 or 0x21";
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
    if (*args.family > 15 + 255)
        return fail(Errc::usage, "--vcpu-family", *args.family);
    if (*args.model > 255)
        return fail(Errc::usage, "--vcpu-model", *args.model);
    if (*args.stepping > 15)
        return fail(Errc::usage, "--vcpu-stepping", *args.stepping);
    return cpu_signature(*args.family, *args.model, *args.stepping);
}

struct Failure {
    int exit_code; // already reported
};
template <class T> using OrFailure = std::expected<T, Failure>;

std::unexpected<Failure> failure(const Error &error, const std::string &subject) {
    return std::unexpected(Failure{report_error(command, error, subject)});
}

// What is measured, from either kind of input.
struct Inputs {
    Bytes firmware;
    std::string firmware_name; // for messages
    std::optional<KernelHashes> hashes;
    std::optional<Sha384Digest> firmware_digest;
    std::uint64_t guest_features = snp_active;
};

OrFailure<Bytes> read(const std::string &path, std::size_t limit) {
    auto bytes = read_file(path, limit);
    if (!bytes)
        return failure(bytes.error(), path);
    return std::move(*bytes);
}

OrFailure<Inputs> read_files(const Args &args) {
    Inputs inputs;
    inputs.firmware_name = *args.ovmf;
    inputs.guest_features = args.guest_features.value_or(snp_active);
    if (args.ovmf_hash) {
        const auto digest = parse_hex_exactly<sizeof(Sha384Digest)>(*args.ovmf_hash, "--snp-ovmf-hash");
        if (!digest)
            return std::unexpected(
                Failure{report_error(command, Exit::usage, "--snp-ovmf-hash: wanted 96 hexadecimal digits")});
        inputs.firmware_digest = *digest;
    }
    auto firmware = read(*args.ovmf, max_firmware_size);
    if (!firmware)
        return std::unexpected(firmware.error());
    inputs.firmware = std::move(*firmware);
    if (!args.kernel)
        return inputs;
    auto kernel = read(*args.kernel, max_kernel_size);
    if (!kernel)
        return std::unexpected(kernel.error());
    if (kernel->empty()) // its digest is well defined and published vectors have it, but nobody boots it
        note(*args.kernel + ": the kernel is empty; measured as given");
    Bytes initrd;
    if (args.initrd) {
        auto bytes = read(*args.initrd, max_initrd_size);
        if (!bytes)
            return std::unexpected(bytes.error());
        initrd = std::move(*bytes);
    }
    inputs.hashes = kernel_hashes(*kernel, initrd, args.append.value_or(""));
    return inputs;
}

OrFailure<BeforeVcpus> predict(const Args &args, Inputs &inputs) {
    if (args.image) {
        auto manifest = load_image_manifest(*args.image);
        if (!manifest)
            return failure(manifest.error(), *args.image);
        auto files = load_image_files(*manifest);
        if (!files)
            return failure(files.error(), *args.image);
        inputs.hashes = manifest->hashes;
        inputs.guest_features = manifest->guest_features;
        const auto before = predict_before_vcpus(*manifest, *files);
        if (!before)
            return failure(before.error(), *args.image);
        return *before;
    }
    auto read = read_files(args);
    if (!read)
        return std::unexpected(read.error());
    inputs = std::move(*read);
    const auto before = predict_before_vcpus(inputs.firmware, inputs.hashes, inputs.firmware_digest);
    if (!before && before.error().code == Errc::unsupported && inputs.hashes)
        if (const auto ovmf = parse_ovmf(inputs.firmware); ovmf)
            return std::unexpected(Failure{report_error(
                command, Exit::bad_input,
                inputs.firmware_name + ": this OVMF has no kernel-hashes section, so it cannot boot a measured kernel; "
                                       "take the AmdSev build, or leave --kernel out")});
    if (!before)
        return failure(before.error(), inputs.firmware_name);
    return *before;
}

std::string number(std::uint64_t value) {
    ByteArray<8> bytes;
    store_be(bytes, value);
    std::string digits = hex(bytes);
    digits.erase(0, std::min(digits.find_first_not_of('0'), digits.size() - 1));
    return "0x" + digits;
}

Json to_json(const Args &args, const Inputs &inputs, const VcpuState &vcpu, const Sha384Digest &digest) {
    Json json{{"schema", 1}, {"mode", "snp"}, {"vmm_type", "QEMU"}, {"vcpus", args.vcpus}};
    if (args.vcpu_type)
        json["vcpu_type"] = *args.vcpu_type;
    json["vcpu_signature"] = number(vcpu.signature);
    json["guest_features"] = number(vcpu.sev_features);
    if (inputs.hashes)
        json["kernel_hashes"] = {{"kernel", hex(inputs.hashes->kernel)},
                                 {"initrd", hex(inputs.hashes->initrd)},
                                 {"cmdline", hex(inputs.hashes->cmdline)}};
    json["launch_digest"] = args.output_format == "base64" ? base64(digest) : hex(digest);
    return json;
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
    const auto signature = signature_of(args);
    if (!signature && args.vcpu_type)
        return report_error(command, Exit::usage,
                            "--vcpu-type " + *args.vcpu_type + ": QEMU has no such AMD model; did you mean " +
                                std::string{nearest_cpu_model(*args.vcpu_type)} + "?");
    if (!signature)
        return report_error(command, signature.error());

    Inputs inputs;
    const auto before = predict(args, inputs);
    if (!before)
        return before.error().exit_code;
    const VcpuState vcpu{*signature, inputs.guest_features};
    const auto digest = predict_launch_digest(*before, vcpu, args.vcpus);
    if (!digest)
        return report_error(command, digest.error(), args.image ? *args.image : *args.ovmf);

    if (args.json)
        print_json(to_json(args, inputs, vcpu, *digest));
    else
        std::printf("%s\n", (args.output_format == "base64" ? base64(*digest) : hex(*digest)).c_str());
    if (std::fflush(stdout) != 0)
        return report_error(command, Error{Errc::system, "standard output", static_cast<std::uint64_t>(errno)});
    return Exit::ok;
}

} // namespace cvmin
