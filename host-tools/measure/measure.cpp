#include "host-tools/measure/measure.hpp"

namespace cvmin {

Result<void> check_launchable(const ImageManifest &manifest) {
    const KernelHashes &hashes = manifest.hashes;
    if (manifest.command_line.contains('\0'))
        return fail(Errc::malformed, "image.cmdline");
    // The table's digests are what is launched, the files' digests what was read: a prediction holds for both or none.
    if (hashes.kernel != manifest.kernel.sha256)
        return fail(Errc::mismatch, "image.hashes.kernel");
    if (hashes.initrd != manifest.initrd.sha256)
        return fail(Errc::mismatch, "image.hashes.initrd");
    if (hashes.cmdline != kernel_hashes({}, {}, manifest.command_line).cmdline)
        return fail(Errc::mismatch, "image.hashes.cmdline");
    return {};
}

Result<BeforeVcpus> predict_before_vcpus(ByteView firmware, const std::optional<KernelHashes> &hashes,
                                         const std::optional<Sha384Digest> &firmware_digest, Vmm vmm) {
    CVMIN_TRY(ovmf, parse_ovmf(firmware));
    const LaunchDigest after_firmware = firmware_digest ? LaunchDigest{*firmware_digest} : measure_firmware(firmware);
    CVMIN_TRY(digest, measure_metadata(after_firmware, ovmf, hashes, vmm));
    return BeforeVcpus{digest, ovmf.reset_eip};
}

Result<BeforeVcpus> predict_before_vcpus(const ImageManifest &manifest, const ImageFiles &files, Vmm vmm) {
    CVMIN_CHECK(check_launchable(manifest));
    return predict_before_vcpus(files.firmware, manifest.hashes, std::nullopt, vmm);
}

Result<Sha384Digest> predict_launch_digest(const BeforeVcpus &before, const VcpuState &vcpu, unsigned vcpus) {
    return measure_vcpus(before.digest, {vcpus, vcpu}, before.ap_reset_eip);
}

Result<Sha384Digest> predict_launch_digest(const ImageManifest &manifest, const ImageFiles &files,
                                           const CpuModel &model, unsigned vcpus) {
    CVMIN_TRY(before, predict_before_vcpus(manifest, files));
    return predict_launch_digest(before, {model.signature, manifest.guest_features}, vcpus);
}

Result<std::vector<ReferenceValues>> predict_all(const BeforeVcpus &before, const VcpuState &state) {
    std::vector<ReferenceValues> all;
    for (const CpuModel &model : cpu_models()) {
        VcpuState vcpu = state;
        vcpu.signature = state.vmm == Vmm::qemu ? model.signature : 0;
        const auto same = std::ranges::find(all, vcpu.signature, &ReferenceValues::signature);
        if (same != all.end()) {
            same->models.push_back(model.name);
            continue;
        }
        CVMIN_TRY(digests, measure_vcpu_counts(before.digest, {max_vcpus, vcpu}, before.ap_reset_eip));
        all.push_back({vcpu.signature, {model.name}, std::move(digests)});
    }
    return all;
}

Result<std::vector<ReferenceValues>> predict_all(const BeforeVcpus &before, std::uint64_t guest_features) {
    return predict_all(before, VcpuState{0, guest_features});
}

} // namespace cvmin
