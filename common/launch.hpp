// The launch digest of a guest: for SEV-SNP pages in the order in which the VMM submits them, hashed as the AMD-SP
// does; for SEV and SEV-ES one SHA-256. Source: AMD 56860 "SEV Secure Nested Paging Firmware ABI", SNP_LAUNCH_UPDATE,
// table PAGE_INFO; QEMU's sev-snp-guest. The prediction (cvmin measure) and the emulated AMD-SP both stand on
// LaunchDigest and on the same list of regions.
#pragma once

#include "common/bytes.hpp"
#include "common/hash.hpp"

#include <optional>
#include <string_view>
#include <vector>

namespace cvmin {

inline constexpr std::size_t page_size = 4096;
inline constexpr std::uint64_t four_gib = std::uint64_t{1} << 32;
// GPA at which KVM submits every VMSA: the top page of the 48-bit address space.
inline constexpr std::uint64_t vmsa_gpa = 0xFFFFFFFFF000;

// Who launches: decides the order and kind of the metadata pages and the first state of vCPUs.
enum class Vmm : std::uint8_t {
    qemu,
    ec2,        // CPUID page last; RDX 0x600
    ec2_legacy, // the same with RDX 0, as public tools had it until 2025
    gce,        // SEC_MEM unmeasured; RDX 0x600
    krun,       // as virtee's sev crate computes it; never compared with a launch by libkrun
};

enum class PageType : std::uint8_t {
    normal = 1,
    vmsa = 2,
    zero = 3,
    unmeasured = 4,
    secrets = 5,
    cpuid = 6,
};
std::string_view name(PageType type);

// Running launch digest. Starts as 48 zero bytes (or a seed: the "OVMF hash").
class LaunchDigest {
  public:
    LaunchDigest() = default;
    explicit LaunchDigest(const Sha384Digest &seed) : value_(seed) {}

    // One 4 KiB page whose contents are measured (normal, vmsa).
    void page(PageType type, std::uint64_t gpa, ByteView contents);
    // The same with the SHA-384 of the page already known.
    void page_digest(PageType type, std::uint64_t gpa, const Sha384Digest &contents);
    // `count` pages from gpa upwards whose contents enter as 48 zero bytes.
    void uncounted_pages(PageType type, std::uint64_t gpa, std::size_t count);
    // Contents of a multiple of 4 KiB, normal pages from gpa upwards. Equal pages are hashed once.
    void normal_pages(std::uint64_t gpa, ByteView contents);

    const Sha384Digest &value() const { return value_; }

  private:
    Sha384Digest value_{};
};

// ---- OVMF -----------------------------------------------------------------------------------------------------

// QEMU's own limit for pflash is 8 MiB unless max-fw-size says otherwise; real builds have 4 MiB.
inline constexpr std::size_t max_firmware_size = 64u << 20;
// Real firmware has 6 to 8 sections, of 0.2 MiB in all. The limits keep the work small, whatever a file claims.
inline constexpr std::size_t max_metadata_sections = 64;
inline constexpr std::uint64_t max_metadata_memory = 64u << 20;

enum class SectionType : std::uint32_t { // OVMF SEV metadata; numbers of edk2 OvmfPkg/ResetVector
    sec_mem = 1,
    secrets = 2,
    cpuid = 3,
    svsm_caa = 4,
    kernel_hashes = 0x10,
};
struct MetadataSection {
    std::uint32_t gpa;
    std::uint32_t size;
    SectionType type;
};
struct HashTableArea { // SEV_HASH_TABLE_RV
    std::uint32_t gpa;
    std::uint32_t size;
};
struct Ovmf {
    std::vector<MetadataSection> sections;   // file order: the order in which they are measured
    std::optional<HashTableArea> hash_table; // absent, or base 0, means no measured direct boot
    std::uint32_t reset_eip = 0;             // AP reset vector (SEV_ES_RESET_BLOCK); 0: no such entry
    bool has_kernel_hashes_section() const;
};
// `firmware` is the whole file. missing: no GUIDed table, or one without SEV metadata (not an OVMF for SNP);
// truncated/malformed: table or metadata, an entry or a section that may be there once only is there twice;
// unsupported: section type or metadata version; out_of_range: file size not a multiple of 4 KiB, sections that
// overlap, are not whole pages, point outside of memory below 4 GiB or into the firmware; too_large: file, count,
// memory.
Result<Ovmf> parse_ovmf(ByteView firmware);
// The same for SEV and SEV-ES, where SEV metadata is not needed and not looked at: `sections` stays empty.
Result<Ovmf> parse_ovmf_table(ByteView firmware);

// The image of a Coconut SVSM, which is loaded below OVMF's variable store and has a table and metadata of its own.
struct Svsm {
    std::vector<MetadataSection> sections;
    std::uint32_t start_offset = 0; // entry point, from the image's first byte
};
// Its table and metadata have OVMF's form, and errors in them OVMF's names. As parse_ovmf, and missing: no SVSM_INFO
// entry; out_of_range: an entry point outside of the image.
Result<Svsm> parse_svsm(ByteView image);

// ---- measured direct boot -------------------------------------------------------------------------------------

struct KernelHashes {
    Sha256Digest kernel;
    Sha256Digest initrd;
    Sha256Digest cmdline;
};
// The command line is hashed with one trailing NUL; nothing at all as a single NUL. No initrd hashes as empty.
KernelHashes kernel_hashes(ByteView kernel, ByteView initrd, std::string_view cmdline);
inline constexpr std::size_t hash_table_size = 176; // padded SevHashTable
ByteArray<hash_table_size> encode_hash_table(const KernelHashes &hashes);
// The zero page with the table at (area.gpa & 0xfff). out_of_range: the table does not fit.
Result<ByteArray<page_size>> hash_table_page(const HashTableArea &area, const KernelHashes &hashes);

// ---- vCPUs ----------------------------------------------------------------------------------------------------

inline constexpr unsigned max_vcpus = 255; // what QEMU's x2APIC-less APIC ids and cvmin's reference values cover
// CPUID signature (leaf 1 EAX) of a family, model and stepping.
std::uint32_t cpu_signature(unsigned family, unsigned model, unsigned stepping);
struct CpuModel {
    std::string_view name; // as after QEMU's -cpu
    std::uint32_t signature;
};
std::span<const CpuModel> cpu_models();                        // every AMD model QEMU names, sorted by name
std::optional<CpuModel> find_cpu_model(std::string_view name); // exact
std::string_view nearest_cpu_model(std::string_view name);     // for "did you mean"

// What the VMSA says of the floating-point unit: MXCSR and FCW.
enum class FpuState : std::uint8_t {
    reset,      // 0x1f80, 0x37f: what KVM writes for VMs made by KVM_SEV_INIT2, every SNP guest among them
    zero,       // 0, 0: KVM's legacy VM type (SEV-ES of old machine types), and SNP hosts before INIT2
    mxcsr_only, // 0x1f80, 0: no host does; sev-snp-measure 0.0.13 in SVSM mode
};
struct VcpuState {
    std::uint32_t signature;        // RDX at reset under QEMU; other VMMs do not use it
    std::uint64_t sev_features = 1; // SEV_FEATURES: bit 0 SNP active
    Vmm vmm = Vmm::qemu;
    FpuState fpu = FpuState::reset; // under QEMU; the others leave the FPU state zero
};
inline constexpr std::uint32_t bsp_reset_eip = 0xfffffff0;
// The VMSA page of a vCPU as the VMM sets it up (24593, table of the SEV-ES save area).
ByteArray<page_size> vmsa_page(const VcpuState &state, std::uint32_t eip);
// The VMSA page of every vCPU of an SVSM launch: 32-bit protected mode at `entry`. `vmm` is not looked at: QEMU only.
ByteArray<page_size> svsm_vmsa_page(const VcpuState &state, std::uint64_t entry);

// ---- the whole launch -----------------------------------------------------------------------------------------

struct LaunchConfig {
    unsigned vcpus = 0; // 1..max_vcpus
    VcpuState vcpu{};
};
// One step of a launch, in the order of submission. `contents` is empty for types that are measured as zeros.
struct LaunchRegion {
    PageType type;
    std::uint64_t gpa;
    std::uint64_t size;
    std::string_view what; // "firmware", "sec_mem", "kernel hashes", ...
};
// Regions before the VMSAs for a firmware: firmware itself, then its metadata. with_hashes: the kernel-hashes
// section is a normal page (else zero).
std::vector<LaunchRegion> launch_regions(const Ovmf &ovmf, std::size_t firmware_size, bool with_hashes,
                                         Vmm vmm = Vmm::qemu);

// The firmware alone: the value that sev-snp-measure calls OVMF hash.
LaunchDigest measure_firmware(ByteView firmware);
// The metadata sections on top of it. unsupported: hashes for a firmware without a KERNEL_HASHES section or table area;
// out_of_range: the table does not fit its area; mismatch: section and area are different pages.
Result<LaunchDigest> measure_metadata(LaunchDigest after_firmware, const Ovmf &ovmf,
                                      const std::optional<KernelHashes> &hashes, Vmm vmm = Vmm::qemu);
// Both: the digest before the VMSAs.
Result<LaunchDigest> measure_before_vcpus(ByteView firmware, const Ovmf &ovmf,
                                          const std::optional<KernelHashes> &hashes, Vmm vmm = Vmm::qemu);
// Adds one VMSA per vCPU, BSP first. out_of_range: vcpus; missing: more than one vCPU without an AP reset vector.
Result<Sha384Digest> measure_vcpus(LaunchDigest digest, const LaunchConfig &config, std::uint32_t ap_reset_eip);
// The digests for 1, 2, ... config.vcpus vCPUs, which differ only in their last VMSA. Same errors.
Result<std::vector<Sha384Digest>> measure_vcpu_counts(LaunchDigest digest, const LaunchConfig &config,
                                                      std::uint32_t ap_reset_eip);
// Everything: parse, firmware, metadata, VMSAs. The VMM is config.vcpu's.
Result<Sha384Digest> launch_digest(ByteView firmware, const std::optional<KernelHashes> &hashes,
                                   const LaunchConfig &config);

// ---- SEV-SNP under a Coconut SVSM -----------------------------------------------------------------------------

// OVMF's variable store, in flash between the SVSM and the firmware; 528 KiB in real builds.
inline constexpr std::uint64_t max_vars_size = 64u << 20;

// Regions before the VMSAs: firmware, SVSM image, and the sections of the SVSM. out_of_range: vars_size is not whole
// pages, or a section reaches into the image; too_large: vars_size.
Result<std::vector<LaunchRegion>> svsm_launch_regions(std::size_t firmware_size, const Svsm &svsm,
                                                      std::size_t svsm_size, std::uint64_t vars_size);
struct SvsmLaunch {
    LaunchDigest digest;
    std::uint64_t entry; // GPA at which every vCPU starts
};
// Parses the SVSM. The firmware must have OVMF's table; its metadata is the SVSM's to read and is not measured.
Result<SvsmLaunch> measure_svsm_before_vcpus(ByteView firmware, ByteView svsm, std::uint64_t vars_size);
// The same with the digest after the firmware's pages already known.
Result<SvsmLaunch> measure_svsm_before_vcpus(LaunchDigest after_firmware, std::size_t firmware_size, ByteView svsm,
                                             std::uint64_t vars_size);
// Adds one VMSA per vCPU, all equal. out_of_range: vcpus.
Result<Sha384Digest> measure_svsm_vcpus(LaunchDigest digest, const LaunchConfig &config, std::uint64_t entry);

// ---- SEV and SEV-ES ---------------------------------------------------------------------------------------------

// SHA-256 of the firmware, then of the table of hashes (its 176 bytes, without the page around it) if there is one.
// Errors: those of parse_ovmf_table; unsupported: hashes for a firmware without hash table area.
Result<Sha256Digest> sev_digest(ByteView firmware, const std::optional<KernelHashes> &hashes);
// The same followed by the VMSA of each vCPU. Bit 0 of sev_features is cleared: the guest is none of SEV-SNP. Errors:
// also those of measure_vcpus.
Result<Sha256Digest> sev_es_digest(ByteView firmware, const std::optional<KernelHashes> &hashes,
                                   const LaunchConfig &config, std::uint32_t ap_reset_eip);
// With the AP reset vector of the firmware itself.
Result<Sha256Digest> sev_es_digest(ByteView firmware, const std::optional<KernelHashes> &hashes,
                                   const LaunchConfig &config);

} // namespace cvmin
