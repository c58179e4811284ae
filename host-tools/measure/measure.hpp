// Predicts the launch digest of an image or of single files. Used by measure, build, boot and verify.
// Reads no file and prints nothing; the digest itself is common/launch.hpp's.
#pragma once

#include "common/launch.hpp"
#include "image/image_manifest.hpp"

#include <optional>
#include <vector>

namespace cvmin {

// The part of a prediction that does not depend on vCPUs, and what the vCPUs need of the firmware.
struct BeforeVcpus {
    LaunchDigest digest;
    std::uint32_t ap_reset_eip;
};

// Of single files. `firmware_digest` ("OVMF hash") stands for the firmware's pages when it is given; the metadata is
// read from `firmware` all the same. Errors: those of parse_ovmf and measure_metadata.
Result<BeforeVcpus> predict_before_vcpus(ByteView firmware, const std::optional<KernelHashes> &hashes,
                                         const std::optional<Sha384Digest> &firmware_digest = std::nullopt,
                                         Vmm vmm = Vmm::qemu);

// Of an image. `files` are as load_image_files returned them: their digests are those of the manifest, and are not
// computed again. mismatch: the hash table's digests are not those of the manifest's files; malformed: a NUL in the
// command line, at which QEMU would cut it.
Result<BeforeVcpus> predict_before_vcpus(const ImageManifest &manifest, const ImageFiles &files, Vmm vmm = Vmm::qemu);
// Only what it refuses of a manifest: for the modes whose digest is not built on BeforeVcpus.
Result<void> check_launchable(const ImageManifest &manifest);

// vcpus: 1..max_vcpus, else out_of_range.
Result<Sha384Digest> predict_launch_digest(const BeforeVcpus &before, const VcpuState &vcpu, unsigned vcpus);
Result<Sha384Digest> predict_launch_digest(const ImageManifest &manifest, const ImageFiles &files,
                                           const CpuModel &model, unsigned vcpus);

// All that an image can be launched with: for each CPUID signature of cpu_models() the digests for 1..max_vcpus vCPUs.
struct ReferenceValues {
    std::uint32_t signature;              // 0 for a VMM that does not use it
    std::vector<std::string_view> models; // the names QEMU has for it, sorted
    std::vector<Sha384Digest> digests;    // [n - 1]: with n vCPUs
};
Result<std::vector<ReferenceValues>> predict_all(const BeforeVcpus &before, std::uint64_t guest_features);
// The same under another VMM or FPU state. `state.signature` is not looked at. For a VMM that does not use signatures
// there is one element, with every model.
Result<std::vector<ReferenceValues>> predict_all(const BeforeVcpus &before, const VcpuState &state);

} // namespace cvmin
