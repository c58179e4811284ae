// QEMU command lines, and probing of QEMU, KVM, SEV-SNP and vsock.
#include "qemu/machine.hpp"

#include "host-tools/base/mbed.hpp"
#include "qemu/child.hpp"

#include <algorithm>
#include <cerrno>

#include <cpuid.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

namespace cvmin {

std::string_view name(Platform platform) {
    return platform == Platform::snp ? "snp" : "emulated";
}
std::string_view name(Accelerator accelerator) {
    return accelerator == Accelerator::kvm ? "kvm" : "tcg";
}

std::optional<SevCpu> this_sev_cpu() {
    unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
    constexpr unsigned encryption_leaf = 0x8000001F;
    if (__get_cpuid_max(0x80000000, nullptr) < encryption_leaf || !__get_cpuid(encryption_leaf, &eax, &ebx, &ecx, &edx))
        return std::nullopt;
    constexpr unsigned snp_bit = 1u << 4;
    if ((eax & snp_bit) == 0)
        return std::nullopt;
    return SevCpu{.c_bit_position = ebx & 0x3f, .reduced_physical_bits = ebx >> 6 & 0x3f};
}

// A value inside of one of QEMU's comma-separated options.
static std::string escaped(std::string_view value) {
    std::string out;
    for (char c : value) {
        out += c;
        if (c == ',')
            out += c;
    }
    return out;
}

static std::string hex_number(std::uint64_t value) {
    char text[19];
    std::snprintf(text, sizeof text, "0x%llx", static_cast<unsigned long long>(value));
    return text;
}

std::vector<std::string> qemu_argv(const Machine &machine) {
    const bool snp = machine.platform == Platform::snp;
    const std::string memory = std::to_string(machine.memory_mib) + "M";
    std::vector<std::string> argv{std::string{qemu_program}};
    auto option = [&](const char *name, std::string value) {
        argv.emplace_back(name);
        argv.push_back(std::move(value));
    };
    option("-name", "cvmin-" + escaped(machine.name));
    option("-accel", std::string{name(snp ? Accelerator::kvm : machine.accelerator)});
    option("-machine", snp ? "q35,confidential-guest-support=sev0,memory-backend=ram0" : "q35,memory-backend=ram0");
    option("-cpu", machine.cpu_model);
    option("-smp", std::to_string(machine.vcpus));
    option("-m", memory);
    argv.insert(argv.end(), {"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"});
    // shared: the vsock device works on the guest's memory from its own process; SNP wants a memfd too
    option("-object", "memory-backend-memfd,id=ram0,size=" + memory + ",share=true,prealloc=false");
    if (snp) {
        std::string guest = "sev-snp-guest,id=sev0,policy=" + hex_number(machine.policy) +
                            ",cbitpos=" + std::to_string(machine.sev.c_bit_position) +
                            ",reduced-phys-bits=" + std::to_string(machine.sev.reduced_physical_bits) +
                            ",kernel-hashes=" + (machine.kernel_hashes ? "on" : "off");
        if (!all_zero(machine.host_data))
            guest += ",host-data=" + base64(machine.host_data);
        if (machine.id_block) { // QEMU's qapi/qom.json, SevSnpGuestProperties
            guest += ",id-block=" + base64(machine.id_block->raw) + ",id-auth=" + base64(machine.id_block->auth);
            if (machine.id_block->author_key_enabled())
                guest += ",author-key-enabled=on";
        }
        option("-object", guest);
        option("-bios", machine.firmware.string());
    } else {
        option("-drive", "if=pflash,format=raw,unit=0,readonly=on,file=" + escaped(machine.firmware.native()));
    }
    option("-kernel", machine.kernel.string());
    if (!machine.initrd.empty())
        option("-initrd", machine.initrd.string());
    if (!machine.command_line.empty())
        option("-append", machine.command_line);
    if (snp) {
        option("-device", "vhost-vsock-pci,guest-cid=" + std::to_string(machine.guest_cid) +
                              ",disable-legacy=on,iommu_platform=true");
    } else {
        if (!machine.hash_page.empty())
            option("-device", "loader,file=" + escaped(machine.hash_page.native()) +
                                  ",addr=" + hex_number(machine.hash_page_gpa) + ",force-raw=on");
        option("-chardev", "socket,id=vsock0,path=" + escaped(machine.vsock_device.native()));
        option("-device", "vhost-user-vsock-pci,chardev=vsock0");
    }
    if (!machine.vtpm_socket.empty()) {
        option("-chardev", "socket,id=vtpm0,path=" + escaped(machine.vtpm_socket.native()));
        option("-tpmdev", "emulator,id=tpm0,chardev=vtpm0");
        option("-device", "tpm-crb,tpmdev=tpm0");
    }
    option("-chardev", "stdio,id=console0,signal=off");
    option("-serial", "chardev:console0");
    option("-qmp", "unix:" + escaped(machine.qmp_socket.native()) + ",server=on,wait=off");
    if (!snp)
        argv.emplace_back("-S"); // paused: it is measured before its first instruction
    return argv;
}

std::vector<std::string> vsock_device_argv(std::string_view vm_name, const std::filesystem::path &device,
                                           const std::filesystem::path &host) {
    // one process per VM, so the CID can be the same for all; a group of its own keeps VMs apart even so
    return {"vhost-device-vsock", "--guest-cid=3", "--socket=" + device.string(), "--uds-path=" + host.string(),
            "--groups=cvmin-" + std::string{vm_name}};
}

std::string shell_quote(const std::vector<std::string> &argv) {
    constexpr std::string_view plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./=,:@%+";
    std::string out;
    for (const std::string &arg : argv) {
        if (!out.empty())
            out += ' ';
        if (!arg.empty() && arg.find_first_not_of(plain) == std::string::npos) {
            out += arg;
            continue;
        }
        out += '\'';
        for (char c : arg) {
            if (c == '\'')
                out += "'\\''";
            else
                out += c;
        }
        out += '\'';
    }
    return out;
}

// ---- probing
// ---------------------------------------------------------------------------------------------------------

// QEMU's words when KVM cannot go on with a guest.
static constexpr std::string_view kvm_gave_up = "KVM internal error";

static std::string first_line(std::string_view text) {
    return std::string{text.substr(0, text.find('\n'))};
}

Explained<QemuVersion> find_qemu() {
    constexpr std::chrono::seconds limit{10}; // 0.1 s when warm
    const auto output = run_captured({std::string{qemu_program}, "--version"}, limit);
    if (!output && output.error().code == Errc::missing)
        return explain(Errc::system, std::string{qemu_program} + " is not in PATH");
    if (!output)
        return explain(output.error(), std::string{qemu_program} + " --version");
    const auto version = parse_qemu_version(output->output);
    if (!version || output->status != 0)
        return explain(Errc::system, std::string{qemu_program} +
                                         " --version does not say its version, but: " + first_line(output->output));
    return *version;
}

Explained<void> check_qemu(const QemuVersion &found, Platform platform) {
    const QemuVersion needed = min_qemu(platform);
    if (found >= needed)
        return {};
    return explain(Errc::system,
                   "QEMU " + to_string(found) + " was found, but " + std::to_string(needed.major) + "." +
                       std::to_string(needed.minor) + " or newer is needed for the platform " +
                       std::string{name(platform)} +
                       (platform == Platform::snp ? " (it has sev-snp-guest)"
                                                  : " (earlier ones change the kernel before OVMF hashes it)"));
}

Explained<void> probe_kvm(std::string_view cpu_model, const std::filesystem::path &directory) {
    const UniqueFd device{::open("/dev/kvm", O_RDWR | O_CLOEXEC)};
    if (!device)
        return explain(Errc::system, std::string{"/dev/kvm: "} + std::strerror(errno));
    // A ROM that ends QEMU with a status that nothing else gives. /dev/kvm may be there and not work (nested,
    // paravirtual): that shows only when a vCPU is made and runs. The first two instructions are what firmware starts
    // its FPU with; a KVM that must emulate guest code fails there.
    constexpr std::size_t rom_size = 64u << 10, reset_vector = rom_size - 16;
    constexpr std::uint8_t code[] = {0x9b, 0xdb, 0xe3,  // finit
                                     0xb0, 0x31,        // mov $0x31, %al
                                     0xe6, 0xf4,        // out %al, $0xf4
                                     0xf4, 0xeb, 0xfd}; // hlt; jmp back to it
    constexpr int expected_status = 0x31 << 1 | 1;      // isa-debug-exit
    Bytes rom(rom_size);
    std::ranges::copy(std::as_bytes(std::span{code}), rom.begin() + reset_vector);
    const std::filesystem::path file = directory / "kvm-probe.rom";
    if (auto written = write_file(file, rom, 0600); !written)
        return explain(written.error(), file.native());
    constexpr std::chrono::seconds limit{5};
    const auto run =
        run_captured({std::string{qemu_program}, "-accel", "kvm", "-machine", "q35", "-cpu", std::string{cpu_model},
                      "-m", "16", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-bios",
                      file.string(), "-device", "isa-debug-exit,iobase=0xf4,iosize=1"},
                     limit, kvm_gave_up);
    ::unlink(file.c_str());
    if (!run && run.error().code == Errc::timed_out)
        return explain(Errc::system, "KVM is there but ran nothing within 5 s");
    if (!run)
        return explain(run.error(), qemu_program);
    if (run->status != expected_status) {
        // QEMU warns about every CPU feature that the host lacks before it says what matters
        const std::size_t reason = run->output.find(kvm_gave_up);
        const std::size_t error = reason != std::string::npos ? reason : run->output.find("error");
        return explain(Errc::system,
                       "KVM is there but does not work: " +
                           first_line(error == std::string::npos ? run->output : run->output.substr(error)));
    }
    return {};
}

Explained<void> probe_snp() {
    if (::access("/dev/sev", R_OK | W_OK) != 0)
        return explain(Errc::system, std::string{"/dev/sev: "} + std::strerror(errno));
    if (::access("/dev/kvm", R_OK | W_OK) != 0)
        return explain(Errc::system, std::string{"/dev/kvm: "} + std::strerror(errno));
    const auto enabled = read_file("/sys/module/kvm_amd/parameters/sev_snp", 16);
    if (!enabled || (!as_text(*enabled).starts_with('Y') && !as_text(*enabled).starts_with('1')))
        return explain(Errc::system, "the kernel has SEV-SNP off (/sys/module/kvm_amd/parameters/sev_snp)");
    if (!this_sev_cpu())
        return explain(Errc::system, "this CPU has no SEV-SNP (CPUID 0x8000001F)");
    if (::access("/dev/vhost-vsock", R_OK | W_OK) != 0)
        return explain(Errc::system, std::string{"/dev/vhost-vsock: "} + std::strerror(errno));
    return {};
}

// linux/vhost.h cannot be read by a C++ compiler.
static constexpr unsigned long vhost_vsock_set_guest_cid = _IOW(0xAF, 0x60, std::uint64_t);

Explained<std::uint32_t> free_cid() {
    const UniqueFd device{::open("/dev/vhost-vsock", O_RDWR | O_CLOEXEC)};
    if (!device)
        return explain(Errc::system, std::string{"/dev/vhost-vsock: "} + std::strerror(errno));
    constexpr int attempts = 64;
    for (int i = 0; i < attempts; ++i) {
        ByteArray<4> random;
        system_random(nullptr, u8(MutableBytes{random}), random.size());
        // 0..2 are reserved; staying below 2^31 keeps clear of tools that read a CID as signed
        const std::uint64_t cid = (load_le(random) & 0x7fffffff) | 0x10000;
        if (::ioctl(device.get(), vhost_vsock_set_guest_cid, &cid) == 0)
            return static_cast<std::uint32_t>(cid); // given back when the device is closed, taken again by QEMU
        if (errno != EADDRINUSE)
            return explain(Errc::system, std::string{"/dev/vhost-vsock: "} + std::strerror(errno));
    }
    return explain(Errc::busy, "/dev/vhost-vsock: no free CID found");
}

} // namespace cvmin
