// cvmin explain: why a launch digest is not the predicted one, how a digest comes about step by step, and the measured
// memory map. Decides nothing and trusts nothing: a digest that was explained is still not the wanted one.
#include "common/evidence.hpp"
#include "common/snp_report.hpp"
#include "host-tools/base/os.hpp"
#include "host-tools/cli.hpp"
#include "host-tools/measure/derivation.hpp"
#include "host-tools/measure/explain.hpp"
#include "image/image_manifest.hpp"

#include <cctype>
#include <cerrno>
#include <cstdio>

namespace cvmin {

namespace {

constexpr const char *command = "explain";

struct Args {
    std::optional<std::string> digest, report, image, ovmf, kernel, initrd, append, svsm, vars_file, vcpu_type,
        fpu_state, html;
    std::optional<std::uint64_t> guest_features, vars_size, memory;
    std::optional<std::uint32_t> vcpu_sig;
    std::optional<unsigned> vcpus;
    std::string vmm_type = "QEMU";
    std::vector<std::string> also;
    bool steps = false;
    bool json = false;

    bool searches() const { return digest || report; }
};

void describe(CLI::App &app, Args &args) {
    app.description("Say what would have to be different for a launch to have the digest that was found.\n"
                    "Or show how a digest comes about (--steps), or draw the measured memory (--html).");
    app.footer("Examples:\n"
               "  cvmin explain --digest HEX --image out/image.json --vcpus 2 --vcpu-type EPYC-Genoa\n"
               "  cvmin explain --report report.bin --ovmf OVMF.fd --kernel bzImage --initrd initrd.zst \\\n"
               "      --append 'console=ttyS0' --also /usr/share/OVMF/OVMF_CODE_4M.fd\n"
               "  cvmin explain --steps --image out/image.json --vcpus 2 --vcpu-type EPYC-Genoa\n"
               "  cvmin explain --html map.html --image out/image.json --vcpus 2 --vcpu-type EPYC-Genoa\n\n"
               "Exit codes: 0 explained (or done), 1 no launch near the described one has the digest, 2 usage,\n"
               "3 bad input, 4 system.");
    app.add_option("--digest", args.digest,
                   "The digest that was found: hexadecimal, or base64; 32 bytes are SEV's or SEV-ES's");
    app.add_option("--report", args.report, "Take it from this attestation report, or evidence (- is standard input)");
    app.add_flag("--steps", args.steps, "Print how the described digest comes about, range by range");
    app.add_option("--html", args.html, "Write the measured memory map to this file, as one HTML page");
    app.add_option("--image", args.image, "image.json of a built image; stands for all files below");
    app.add_option("--ovmf", args.ovmf, "OVMF firmware file");
    app.add_option("--kernel", args.kernel, "Kernel file, when QEMU boots with -kernel and kernel-hashes=on");
    app.add_option("--initrd", args.initrd, "initrd file");
    app.add_option("--append", args.append, "Kernel command line, exactly as after QEMU's -append");
    app.add_option("--svsm", args.svsm, "Coconut SVSM image");
    app.add_option("--vars-size", args.vars_size, "Size of OVMF's variable store in bytes, with --svsm");
    app.add_option("--vars-file", args.vars_file, "OVMF's variable store, for its size, with --svsm")
        ->excludes("--vars-size");
    app.add_option("--vcpus", args.vcpus, "Number of vCPUs, 1 to 255; a search may leave it open");
    app.add_option("--vcpu-type", args.vcpu_type, "CPU model, as after QEMU's -cpu; a search may leave it open");
    app.add_option("--vcpu-sig", args.vcpu_sig, "CPUID signature instead of a model: 0x800f12 or decimal")
        ->excludes("--vcpu-type");
    app.add_option("--guest-features", args.guest_features, "VMSA SEV_FEATURES: 0x1, or 0x21 with debug swap");
    app.add_option("--vmm-type", args.vmm_type, "Virtual machine monitor: QEMU, EC2, EC2-legacy, GCE, krun")
        ->capture_default_str();
    app.add_option("--fpu-state", args.fpu_state, "FPU state in QEMU's VMSAs: reset, zero, mxcsr-only");
    app.add_option("--also", args.also, "Other OVMF builds, or variable stores, to try; repeatable");
    app.add_option("--memory", args.memory,
                   "Memory of the guest (4G, 512M), for the setup header that an old QEMU writes")
        ->transform(CLI::AsSizeValue(false));
    app.add_flag("--json", args.json, "Print a JSON object instead (schema 1)");
}

constexpr Vmm vmms[] = {Vmm::qemu, Vmm::ec2, Vmm::ec2_legacy, Vmm::gce, Vmm::krun};
constexpr FpuState fpu_states[] = {FpuState::reset, FpuState::zero, FpuState::mxcsr_only};

bool same_name(std::string_view a, std::string_view b) {
    return std::ranges::equal(a, b,
                              [](unsigned char x, unsigned char y) { return std::tolower(x) == std::tolower(y); });
}

std::optional<Vmm> vmm_named(std::string_view name) {
    for (const Vmm vmm : vmms)
        if (same_name(vmm_name(vmm), name))
            return vmm;
    return std::nullopt;
}

std::optional<FpuState> fpu_state_named(std::string_view name) {
    for (const FpuState state : fpu_states)
        if (fpu_state_name(state) == name)
            return state;
    return std::nullopt;
}

std::optional<std::string> usage_problem(const Args &args) {
    if (args.digest && args.report)
        return "--digest and --report: the digest is taken from one of them";
    if (args.searches() && args.steps)
        return "--steps is about the described launch, and --digest about another: ask one at a time";
    if (!args.searches() && !args.steps && !args.html)
        return "wanted --digest HEX or --report FILE, or --steps, or --html FILE";
    if (!args.image && !args.ovmf)
        return "wanted --image image.json or --ovmf FILE";
    if (args.image && (args.ovmf || args.kernel || args.initrd || args.append || args.svsm || args.guest_features))
        return "--image brings its own files, command line and guest features: leave the options for them out";
    if (args.initrd && !args.kernel)
        return "--initrd without --kernel: an initrd is measured with its kernel only";
    if (args.append && !args.kernel)
        return "--append without --kernel: a command line is measured with its kernel only";
    if (args.append && args.append->contains('\0'))
        return "--append: a NUL ends the command line";
    if (args.svsm && args.kernel)
        return "--svsm with --kernel: kernel hashes are not measured under an SVSM";
    if (args.svsm && !args.vars_size && !args.vars_file)
        return "--svsm: wanted --vars-size BYTES or --vars-file FILE too";
    if (!args.svsm && (args.vars_size || args.vars_file))
        return "--vars-size and --vars-file go with --svsm";
    const auto vmm = vmm_named(args.vmm_type);
    if (!vmm)
        return "--vmm-type " + args.vmm_type + ": wanted QEMU, EC2, EC2-legacy, GCE or krun";
    if (args.svsm && *vmm != Vmm::qemu)
        return "--svsm: only QEMU starts an SVSM";
    if (args.fpu_state && !fpu_state_named(*args.fpu_state))
        return "--fpu-state " + *args.fpu_state + ": wanted reset, zero or mxcsr-only";
    if (args.vcpus && (*args.vcpus == 0 || *args.vcpus > max_vcpus))
        return "--vcpus " + std::to_string(*args.vcpus) + ": wanted 1 to " + std::to_string(max_vcpus);
    if (args.vcpu_type && !find_cpu_model(*args.vcpu_type))
        return "--vcpu-type " + *args.vcpu_type + ": QEMU has no such AMD model; did you mean " +
               std::string{nearest_cpu_model(*args.vcpu_type)} + "?";
    if ((args.steps || args.html) && !args.vcpus)
        return "--steps and --html show one launch: wanted --vcpus N too";
    if ((args.steps || args.html) && *vmm == Vmm::qemu && !args.vcpu_type && !args.vcpu_sig)
        return "--steps and --html show one launch: wanted --vcpu-type or --vcpu-sig too";
    if (args.guest_features && (*args.guest_features & 1) == 0)
        return "--guest-features: bit 0 (SNP active) is set in every SNP guest, as in 0x1 or 0x21";
    if (args.also.size() > max_also_files)
        return "--also: at most " + std::to_string(max_also_files) + " files";
    if (!args.also.empty() && !args.searches())
        return "--also goes with --digest or --report";
    return std::nullopt;
}

struct Reported {
    int exit_code; // already reported
};
template <class T> using OrReported = std::expected<T, Reported>;

std::unexpected<Reported> failure(const Error &error, const std::string &subject) {
    return std::unexpected(Reported{report_error(command, error, subject)});
}

// The bytes that a LaunchDescription looks at.
struct Files {
    ImageFiles image;
    Bytes svsm;
};

OrReported<Bytes> read(const std::string &path, std::size_t limit) {
    auto bytes = read_file(path, limit);
    if (!bytes)
        return failure(bytes.error(), path);
    return std::move(*bytes);
}

OrReported<LaunchDescription> read_files(const Args &args, Files &files) {
    LaunchDescription described;
    described.firmware_name = *args.ovmf;
    CVMIN_TRY(firmware, read(*args.ovmf, max_firmware_size));
    files.image.firmware = std::move(firmware);
    described.firmware = files.image.firmware;
    if (args.kernel) {
        CVMIN_TRY(kernel_file, read(*args.kernel, max_kernel_size));
        files.image.kernel = std::move(kernel_file);
        if (args.initrd) {
            CVMIN_TRY(initrd, read(*args.initrd, max_initrd_size));
            files.image.initrd = std::move(initrd);
        }
        KernelInputs kernel{files.image.kernel, std::nullopt, args.append.value_or(""), sha256(files.image.kernel),
                            sha256(files.image.initrd)};
        if (args.initrd)
            kernel.initrd = files.image.initrd;
        described.kernel = std::move(kernel);
    }
    if (args.svsm) {
        CVMIN_TRY(svsm, read(*args.svsm, max_firmware_size));
        files.svsm = std::move(svsm);
        std::uint64_t vars_size = args.vars_size.value_or(0);
        if (args.vars_file) {
            CVMIN_TRY(vars, read(*args.vars_file, max_vars_size)); // not measured, its size is
            vars_size = vars.size();
        }
        described.svsm = SvsmInput{files.svsm, vars_size};
        described.fpu = FpuState::mxcsr_only; // as cvmin measure
    }
    described.guest_features = args.guest_features.value_or(1);
    return described;
}

OrReported<LaunchDescription> read_description(const Args &args, Files &files) {
    LaunchDescription described;
    if (args.image) {
        const auto manifest = load_image_manifest(*args.image);
        if (!manifest)
            return failure(manifest.error(), *args.image);
        auto of_image = load_image_files(*manifest);
        if (!of_image)
            return failure(of_image.error(), *args.image);
        files.image = std::move(*of_image);
        described = describe_image(*manifest, files.image);
    } else {
        auto of_files = read_files(args, files);
        if (!of_files)
            return of_files;
        described = std::move(*of_files);
    }
    described.vmm = vmm_named(args.vmm_type).value_or(Vmm::qemu); // usage_problem has refused other names
    if (args.fpu_state)
        described.fpu = fpu_state_named(*args.fpu_state).value_or(FpuState::reset);
    described.vcpus = args.vcpus;
    described.signature = args.vcpu_sig;
    if (args.vcpu_type) {
        described.vcpu_type = *args.vcpu_type;
        described.signature = find_cpu_model(*args.vcpu_type)->signature;
    }
    return described;
}

bool digest_sized(const Bytes &bytes) {
    return bytes.size() == sizeof(Sha384Digest) || bytes.size() == sizeof(Sha256Digest);
}

OrReported<Bytes> read_digest(const Args &args) {
    if (args.digest) {
        if (auto bytes = parse_hex(*args.digest, "--digest"); bytes && digest_sized(*bytes))
            return std::move(*bytes);
        if (auto bytes = parse_base64(*args.digest, "--digest"); bytes && digest_sized(*bytes))
            return std::move(*bytes);
        return std::unexpected(Reported{
            report_error(command, Exit::usage,
                         "--digest: wanted 48 bytes (SEV-SNP) or 32 (SEV, SEV-ES), in hexadecimal or base64")});
    }
    CVMIN_TRY(bytes, read(*args.report, max_evidence_size));
    if (bytes.size() != snp_report_size) {
        auto evidence = parse_evidence(bytes);
        if (!evidence)
            return std::unexpected(
                Reported{report_error(command, Exit::bad_input,
                                      *args.report + ": is neither an attestation report of 1184 bytes nor evidence: " +
                                          to_string(evidence.error()))});
        bytes = std::move(evidence->report);
    }
    const auto report = parse_snp_report(bytes);
    if (!report)
        return failure(report.error(), *args.report);
    return to_bytes(report->measurement);
}

OrReported<Explanation> search(const Args &args, const LaunchDescription &described, const Bytes &digest) {
    std::vector<NamedFile> also;
    for (const std::string &path : args.also) {
        CVMIN_TRY(bytes, read(path, max_firmware_size));
        also.push_back({path, std::move(bytes)});
    }
    ExplainOptions options;
    options.also = also;
    options.memory = args.memory;
    auto explanation = explain_digest(described, digest, options);
    if (!explanation && explanation.error().where == "explain.also")
        return std::unexpected(Reported{report_error(
            command, Exit::bad_input,
            also[explanation.error().detail].name + ": is neither OVMF for this kind of guest nor a variable store")});
    if (!explanation)
        return failure(explanation.error(), args.image                                                   ? *args.image
                                            : args.svsm && explanation.error().where.starts_with("svsm") ? *args.svsm
                                                                                                         : *args.ovmf);
    return std::move(*explanation);
}

int print(const Args &args, const Json &json, const std::vector<std::string> &lines) {
    if (args.json)
        print_json(json);
    else
        for (const std::string &line : lines)
            std::printf("%s\n", line.c_str());
    if (std::fflush(stdout) != 0)
        return report_error(command, Error{Errc::system, "standard output", static_cast<std::uint64_t>(errno)});
    return Exit::ok;
}

} // namespace

int cmd_explain(int argc, char **argv) {
    Args args;
    CLI::App app{"", "cvmin explain"};
    describe(app, args);
    if (const auto exit = parse_options(app, argc, argv))
        return *exit;
    if (const auto problem = usage_problem(args))
        return report_error(command, Exit::usage, *problem);

    Bytes digest;
    if (args.searches()) {
        auto found = read_digest(args);
        if (!found)
            return found.error().exit_code;
        digest = std::move(*found);
    }
    Files files;
    const auto described = read_description(args, files);
    if (!described)
        return described.error().exit_code;
    const std::string subject = args.image ? *args.image : *args.ovmf;

    std::optional<Derivation> derivation;
    if (args.steps || args.html) {
        auto derived = derive_launch(*described);
        if (!derived)
            return report_error(command, derived.error(), subject);
        derivation = std::move(*derived);
    }
    if (args.html)
        if (const auto written = write_file(*args.html, as_bytes(memory_map_html(*derivation, *described, subject)));
            !written)
            return report_error(command, written.error(), *args.html);
    if (args.steps) {
        Json json{{"schema", 1}};
        json.update(derivation_json(*derivation));
        return print(args, json, derivation_lines(*derivation));
    }
    if (!args.searches()) {
        note("wrote " + *args.html);
        return args.json
                   ? print(args, Json{{"schema", 1}, {"html", *args.html}, {"launch_digest", hex(derivation->digest)}},
                           {})
                   : Exit::ok;
    }

    const auto explanation = search(args, *described, digest);
    if (!explanation)
        return explanation.error().exit_code;
    Json json{{"schema", 1}, {"digest", hex(digest)}};
    json.update(explanation_json(*explanation));
    if (const int failed = print(args, json, explanation_lines(*explanation)); failed != Exit::ok)
        return failed;
    return explanation->kind == Explanation::Kind::nothing_near ? Exit::rejected : Exit::ok;
}

} // namespace cvmin
