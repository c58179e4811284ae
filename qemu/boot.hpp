// What is needed to boot an image: options resolved against the image, the host and QEMU. Makes a plan and reads files;
// carrying it out is supervisor.hpp's business.
#pragma once

#include "common/launch.hpp"
#include "image/image_manifest.hpp"
#include "qemu/explained.hpp"
#include "qemu/machine.hpp"
#include "qemu/vm.hpp"
#include "qemu/vtpm.hpp"

#include <optional>
#include <string>

namespace cvmin {

inline constexpr std::string_view default_cpu_model = "EPYC-v4";
inline constexpr unsigned default_memory_mib = 128;

struct BootOptions {
    std::filesystem::path image_json;
    std::string cpu_model{default_cpu_model};
    unsigned vcpus = 1;
    unsigned memory_mib = default_memory_mib;
    std::string platform = "auto";
    std::string accelerator = "auto";
    std::optional<std::uint64_t> policy; // else the image's
    ByteArray<32> host_data{};
    std::string manifest_id; // of the manifest whose digest HOST_DATA is; for people; empty: of none that is known
    // base64 or raw, with id_auth; or id-blocks.json of cvmin sign, of which the block for this launch is taken
    std::optional<std::filesystem::path> id_block, id_auth;
    bool vtpm = false;
    std::optional<std::filesystem::path> vtpm_state; // keeps it, for another boot; implies vtpm
    // for experiments: another kernel or command line than the image's, another hash page
    std::optional<std::filesystem::path> kernel;
    std::optional<std::string> append;
    std::string hash_page = "computed"; // over what QEMU is given; "from-image", "none", or a file of 4096 bytes
};

struct BootPlan {
    Machine machine; // but for name, paths and accelerator, which depend on the VM's directory
    QemuVersion qemu;
    std::filesystem::path image_json; // absolute
    std::uint64_t policy = 0;
    ByteArray<32> host_data{};
    std::string manifest_id;
    VcpuState vcpu;
    std::size_t firmware_size = 0;
    Sha384Digest predicted{}; // of the image as built, with this CPU model and vCPU count
    bool altered = false;     // an experiment: not the image as built
    std::optional<Vtpm> vtpm; // its paths depend on the VM's directory, too
    std::string hash_page_choice;
    std::optional<ByteArray<page_size>> hash_page; // emulated: what is put in guest memory
    bool hash_page_fits = true;     // the page is the one for kernel, initramfs and command line that QEMU is given
    std::vector<std::string> notes; // for people: what was chosen and why
};

// usage: an option; errors of the image's files; unsupported: the policy or the firmware; system: QEMU, or what
// --platform snp needs, is not here; missing: id-blocks.json has no block for this launch. Whether an ID block fits is
// not judged here but by the AMD-SP.
// A program of swtpm's that is not here: system. `dry_run`: what this host lacks becomes a note.
Explained<BootPlan> make_plan(const BootOptions &options, bool dry_run);

// Fills in what depends on the VM's directory, and chooses the accelerator (probing KVM there).
Explained<void> place_plan(BootPlan &plan, std::string_view name, const std::filesystem::path &directory,
                           std::string_view accelerator, bool dry_run);

} // namespace cvmin
