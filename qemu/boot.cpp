// Resolves boot options into a plan.
#include "qemu/boot.hpp"

#include "host-tools/measure/measure.hpp"
#include "qemu/emulated_sp.hpp"

#include <cerrno>
#include <cstdlib>

namespace cvmin {

namespace fs = std::filesystem;

namespace {

Explained<Platform> choose_platform(const std::string &wanted, const QemuVersion &qemu, bool dry_run,
                                    std::vector<std::string> &notes) {
    if (wanted == name(Platform::emulated))
        return Platform::emulated;
    auto possible = probe_snp();
    if (possible && qemu != QemuVersion{})
        possible = check_qemu(qemu, Platform::snp);
    if (wanted == name(Platform::snp)) {
        if (possible)
            return Platform::snp;
        if (!dry_run)
            return explain(possible.error().code, "--platform snp: " + possible.error().text);
        notes.push_back("platform snp, for another host; here it would not run: " + possible.error().text);
        return Platform::snp;
    }
    if (possible)
        return Platform::snp;
    notes.push_back("no SEV-SNP here: " + possible.error().text);
    return Platform::emulated;
}

Explained<ByteArray<page_size>> page_for(const Ovmf &ovmf, const KernelHashes &hashes) {
    if (!ovmf.hash_table || !ovmf.has_kernel_hashes_section())
        return explain(Errc::unsupported,
                       "the image's firmware has no page for kernel hashes (not an AmdSev build of OVMF)");
    auto page = hash_table_page(*ovmf.hash_table, hashes);
    if (!page)
        return explain(page.error(), "hash page");
    return *page;
}

// Names in a file that somebody else may have written.
std::string printable_ascii(std::string text) {
    for (char &c : text)
        if (c < 0x20 || c > 0x7e)
            c = '?';
    return text;
}

// A dry run has no directory of a VM to put the probe's file in.
Explained<void> probe_kvm_somewhere(std::string_view cpu_model) {
    std::string place = (fs::temp_directory_path() / "cvmin-probe-XXXXXX").native();
    if (::mkdtemp(place.data()) == nullptr)
        return explain(Errc::system, place + ": " + std::strerror(errno));
    auto result = probe_kvm(cpu_model, place);
    std::error_code error;
    fs::remove_all(place, error);
    return result;
}

// The ID block for the launch that is predicted, out of the file or files that were given.
Explained<SignedIdBlock> choose_id_block(const BootOptions &options, const Sha384Digest &predicted) {
    const std::string &name = options.id_block->native();
    const auto text = read_file(*options.id_block, max_id_block_file);
    if (!text)
        return explain(text.error(), name);
    if (text->size() != id_block_size && looks_like_json(*text)) {
        if (options.id_auth)
            return explain(Errc::usage, "--id-auth: " + name + " has the authentication in it; leave it out");
        auto blocks = parse_id_blocks(*text);
        if (!blocks)
            return explain(blocks.error(), name);
        std::string signed_for;
        for (IdBlockOf &entry : *blocks) {
            if (entry.signed_block.block.launch_digest == predicted)
                return std::move(entry.signed_block);
            signed_for += "\n  " + hex(entry.signed_block.block.launch_digest);
            if (entry.vcpus != 0)
                signed_for += "  " + std::to_string(entry.vcpus) + " x " + printable_ascii(entry.vcpu_type);
        }
        return explain(Errc::missing, name + ": has no ID block for this launch, whose digest will be\n  " +
                                          hex(predicted) + "\nIt has blocks for" + signed_for);
    }
    if (!options.id_auth)
        return explain(Errc::usage, "--id-block: " + name + " is a single block, and needs --id-auth beside it");
    const auto raw = parse_raw_or_base64(*text, id_block_size, "id_block");
    if (!raw)
        return explain(raw.error(), name);
    const auto auth_text = read_file(*options.id_auth, max_id_block_file);
    if (!auth_text)
        return explain(auth_text.error(), options.id_auth->native());
    const auto auth = parse_raw_or_base64(*auth_text, id_auth_size, "id_auth");
    if (!auth)
        return explain(auth.error(), options.id_auth->native());
    auto block = make_signed_id_block(*raw, *auth);
    if (!block)
        return explain(block.error(), name);
    return std::move(*block);
}

} // namespace

Explained<BootPlan> make_plan(const BootOptions &options, bool dry_run) {
    BootPlan plan;
    // ---- options that need no file
    const auto model = find_cpu_model(options.cpu_model);
    if (!model)
        return explain(Errc::usage, "--cpu: QEMU has no AMD model \"" + options.cpu_model + "\"; did you mean " +
                                        std::string{nearest_cpu_model(options.cpu_model)} + "?");
    if (options.vcpus < 1 || options.vcpus > max_vcpus)
        return explain(Errc::usage, "--vcpus: 1 to " + std::to_string(max_vcpus));
    if (options.memory_mib < min_memory_mib || options.memory_mib > max_memory_mib)
        return explain(Errc::usage, "--memory: " + std::to_string(min_memory_mib) + " to " +
                                        std::to_string(max_memory_mib) + " MiB");
    if (options.append &&
        (options.append->size() > max_command_line_size || options.append->find('\0') != std::string::npos))
        return explain(Errc::usage, "--append: at most " + std::to_string(max_command_line_size) + " bytes");

    if (options.vtpm || options.vtpm_state) {
        auto programs = find_vtpm_programs();
        if (!programs && !dry_run)
            return std::unexpected(programs.error());
        if (!programs) {
            plan.notes.push_back(programs.error().text);
            programs = VtpmPrograms{"swtpm", "swtpm_setup", "swtpm_localca"};
        }
        plan.vtpm = Vtpm{};
        plan.vtpm->programs = std::move(*programs);
        plan.vtpm->kept = options.vtpm_state;
    }
    if (options.id_auth && !options.id_block)
        return explain(Errc::usage, "--id-auth goes with --id-block");

    // ---- QEMU and platform
    const auto qemu = find_qemu();
    if (qemu)
        plan.qemu = *qemu;
    else if (!dry_run)
        return std::unexpected(qemu.error());
    else
        plan.notes.push_back(qemu.error().text);
    const auto platform = choose_platform(options.platform, plan.qemu, dry_run, plan.notes);
    if (!platform)
        return std::unexpected(platform.error());
    if (const auto usable = check_qemu(plan.qemu, *platform); !usable && qemu) {
        if (!dry_run)
            return std::unexpected(usable.error());
        plan.notes.push_back(usable.error().text);
    }
    const bool snp = *platform == Platform::snp;

    // ---- the image
    std::error_code error;
    plan.image_json = fs::absolute(options.image_json, error);
    const auto manifest = load_image_manifest(plan.image_json);
    if (!manifest)
        return explain(manifest.error(), options.image_json.native());
    const auto files = load_image_files(*manifest);
    if (!files)
        return explain(files.error(), options.image_json.native());
    const auto predicted = predict_launch_digest(*manifest, *files, *model, options.vcpus);
    if (!predicted)
        return explain(predicted.error(), options.image_json.native());
    plan.predicted = *predicted;
    plan.vcpu = {model->signature, manifest->guest_features};
    plan.firmware_size = files->firmware.size();

    // ---- policy: refused before anything runs, by the same code that the emulated AMD-SP asks
    plan.policy = options.policy.value_or(manifest->guest_policy);
    plan.host_data = options.host_data;
    plan.manifest_id = options.manifest_id;
    if (!snp)
        if (const auto supported = check_guest_policy(plan.policy); !supported)
            return explain(supported.error(), "--policy");

    // ---- what QEMU is given
    Machine &machine = plan.machine;
    machine.platform = *platform;
    machine.cpu_model = options.cpu_model;
    machine.vcpus = options.vcpus;
    machine.memory_mib = options.memory_mib;
    machine.firmware = manifest->directory / manifest->firmware.path;
    machine.kernel = manifest->directory / manifest->kernel.path;
    machine.initrd = manifest->directory / manifest->initrd.path;
    machine.command_line = options.append.value_or(manifest->command_line);
    machine.policy = plan.policy;
    machine.host_data = plan.host_data;
    plan.altered = options.append && *options.append != manifest->command_line;
    KernelHashes given = manifest->hashes;
    if (options.kernel) {
        machine.kernel = fs::absolute(*options.kernel, error);
        const auto kernel = read_file(machine.kernel, max_kernel_size);
        if (!kernel)
            return explain(kernel.error(), options.kernel->native());
        given.kernel = sha256(*kernel);
        plan.altered = plan.altered || given.kernel != manifest->hashes.kernel;
    }
    if (options.append) // a command line of the image is what the manifest says, and was checked with it
        given.cmdline = kernel_hashes({}, {}, *options.append).cmdline;

    if (options.id_block) {
        auto block = choose_id_block(options, plan.predicted);
        if (!block)
            return std::unexpected(block.error());
        if (block->block.launch_digest != plan.predicted)
            plan.notes.push_back("the ID block is for another launch digest than the predicted one: the AMD-SP will "
                                 "refuse it, unless the launch is altered to fit");
        if (block->block.policy != plan.policy)
            plan.notes.push_back("the ID block is for another guest policy than the launch has: the AMD-SP will refuse "
                                 "it");
        machine.id_block = std::move(*block);
    }

    // ---- hash page
    const auto ovmf = parse_ovmf(files->firmware);
    if (!ovmf)
        return explain(ovmf.error(), machine.firmware.native());
    const auto fitting = page_for(*ovmf, given);
    if (!fitting)
        return std::unexpected(fitting.error());
    plan.hash_page_choice = options.hash_page;
    machine.hash_page_gpa = ovmf->hash_table->gpa & ~std::uint64_t{page_size - 1};
    if (snp) {
        // QEMU computes the page itself, over what it is given
        if (options.hash_page != "computed" && options.hash_page != "none")
            return explain(Errc::usage,
                           "--hash-page: on the platform snp only \"computed\" and \"none\": QEMU makes the page");
        machine.kernel_hashes = options.hash_page == "computed";
    } else if (options.hash_page == "computed") {
        plan.hash_page = *fitting;
    } else if (options.hash_page == "from-image") {
        auto page = page_for(*ovmf, manifest->hashes);
        if (!page)
            return std::unexpected(page.error());
        plan.hash_page = *page;
    } else if (options.hash_page != "none") {
        const auto bytes = read_file(options.hash_page, page_size);
        if (!bytes)
            return explain(bytes.error(), "--hash-page " + options.hash_page);
        const auto page = exactly<page_size>(*bytes, "hash page");
        if (!page)
            return explain(page.error(), "--hash-page " + options.hash_page);
        plan.hash_page = *page;
    }
    if (!snp)
        plan.hash_page_fits = plan.hash_page && *plan.hash_page == *fitting;
    else
        plan.hash_page_fits = machine.kernel_hashes;
    plan.altered = plan.altered || !plan.hash_page_fits;
    if (snp) {
        if (const auto sev = this_sev_cpu())
            machine.sev = *sev;
        else
            plan.notes.push_back(
                "cbitpos and reduced-phys-bits are those of EPYC Milan to Turin: this CPU has no SEV-SNP to ask");
    }
    return plan;
}

Explained<void> place_plan(BootPlan &plan, std::string_view vm_name, const fs::path &directory,
                           std::string_view accelerator, bool dry_run) {
    Machine &machine = plan.machine;
    machine.name = vm_name;
    machine.qmp_socket = directory / vm_file::qmp_socket;
    if (plan.vtpm) {
        machine.vtpm_socket = directory / vm_file::vtpm_socket;
        auto placed = place_vtpm(std::move(plan.vtpm->programs), directory, machine.vtpm_socket, plan.vtpm->kept);
        if (!placed)
            return std::unexpected(placed.error());
        plan.vtpm = std::move(*placed);
    }
    if (machine.platform == Platform::snp) {
        if (accelerator == name(Accelerator::tcg))
            return explain(Errc::usage, "--accel tcg: SEV-SNP guests run under KVM only");
        machine.accelerator = Accelerator::kvm;
        const auto cid = free_cid();
        if (!cid && !dry_run)
            return std::unexpected(cid.error());
        constexpr std::uint32_t example_cid = 3;
        machine.guest_cid = cid.value_or(example_cid);
        return {};
    }
    if (plan.hash_page)
        machine.hash_page = directory / vm_file::hash_page;
    machine.vsock_device = directory / vm_file::vsock_device;
    if (accelerator == name(Accelerator::tcg))
        return {};
    const auto usable = dry_run ? probe_kvm_somewhere(machine.cpu_model) : probe_kvm(machine.cpu_model, directory);
    if (usable) {
        machine.accelerator = Accelerator::kvm;
        return {};
    }
    if (accelerator == name(Accelerator::kvm))
        return explain(usable.error().code, "--accel kvm: " + usable.error().text);
    plan.notes.push_back("TCG is used, not KVM: " + usable.error().text);
    return {};
}

} // namespace cvmin
