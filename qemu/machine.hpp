// A CVM as a QEMU command line, for SEV-SNP and for the emulated launch; what this host can run.
// Builds and probes; starting the machine is supervisor.cpp's business.
#pragma once

#include "common/bytes.hpp"
#include "host-tools/signing/id_block_file.hpp"
#include "qemu/explained.hpp"
#include "qemu/qmp.hpp"

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace cvmin {

enum class Platform : std::uint8_t { emulated, snp };
std::string_view name(Platform platform);
enum class Accelerator : std::uint8_t { tcg, kvm };
std::string_view name(Accelerator accelerator);

inline constexpr unsigned min_memory_mib = 64;       // firmware, kernel and initramfs need this to unpack
inline constexpr unsigned max_memory_mib = 1u << 20; // 1 TiB: above it QEMU's address map moves

// Where the C-bit is: CPUID 0x8000001F EBX.
struct SevCpu {
    unsigned c_bit_position = 51;
    unsigned reduced_physical_bits = 1;
};
// Nothing: this CPU has no such leaf, or no SEV-SNP in it.
std::optional<SevCpu> this_sev_cpu();

struct Machine {
    Platform platform = Platform::emulated;
    Accelerator accelerator = Accelerator::tcg;
    std::string name;
    std::string cpu_model;
    unsigned vcpus = 1;
    unsigned memory_mib = 128;
    std::filesystem::path firmware, kernel, initrd; // absolute
    std::string command_line;
    std::optional<SignedIdBlock> id_block; // for the AMD-SP, be it real or emulated
    std::filesystem::path qmp_socket;
    std::filesystem::path vtpm_socket; // swtpm's control channel; empty: no TPM

    // emulated
    std::filesystem::path hash_page; // file with the page; empty: none is put in memory
    std::uint64_t hash_page_gpa = 0;
    std::filesystem::path vsock_device; // vhost-device-vsock's socket for QEMU

    // snp
    SevCpu sev;
    std::uint64_t policy = 0;
    ByteArray<32> host_data{};
    bool kernel_hashes = true;
    std::uint32_t guest_cid = 0;
};

// The guest's serial console is QEMU's standard output, its standard input is not read.
std::vector<std::string> qemu_argv(const Machine &machine);

// vhost-device-vsock for one VM: QEMU connects to `device`; the host connects to `host`, the guest's connections to
// port P arrive at `<host>_P`.
std::vector<std::string> vsock_device_argv(std::string_view vm_name, const std::filesystem::path &device,
                                           const std::filesystem::path &host);

// For people to paste into a shell.
std::string shell_quote(const std::vector<std::string> &argv);

// ---- what this host can do -----------------------------------------------------------------------------------------

inline constexpr std::string_view qemu_program = "qemu-system-x86_64";
inline constexpr QemuVersion min_qemu_emulated{10, 0, 0}; // earlier ones patch the kernel before OVMF hashes it
inline constexpr QemuVersion min_qemu_snp{9, 1, 0};       // first with sev-snp-guest
inline QemuVersion min_qemu(Platform platform) {
    return platform == Platform::snp ? min_qemu_snp : min_qemu_emulated;
}

// Version of the QEMU in PATH. system: there is none, or it does not say; timed_out. What this host lacks is always
// Errc::system: no other input would help.
Explained<QemuVersion> find_qemu();
// Nothing when `found` will do; else which version is needed, and what was found.
Explained<void> check_qemu(const QemuVersion &found, Platform platform);

// Nothing: KVM runs a guest instruction. Else why it does not. `directory` takes a file of 64 KiB for the moment.
Explained<void> probe_kvm(std::string_view cpu_model, const std::filesystem::path &directory);
// Nothing: SEV-SNP guests can be started here. Else what is missing.
Explained<void> probe_snp();
// A CID that no VM on this host uses now. system; busy.
Explained<std::uint32_t> free_cid();

} // namespace cvmin
