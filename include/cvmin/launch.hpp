// C++23 interface of libcvmin_launch: a header over the C interface, with its types, limits and rules (cvmin/launch.h,
// docs/library.md). Only errors and results are made into values here; nothing is computed.
#pragma once

#include <cvmin/launch.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace cvmin::launch {

enum class Status : int {
    invalid_argument = CVMIN_LAUNCH_INVALID_ARGUMENT,
    truncated = CVMIN_LAUNCH_TRUNCATED,
    trailing = CVMIN_LAUNCH_TRAILING,
    malformed = CVMIN_LAUNCH_MALFORMED,
    unsupported = CVMIN_LAUNCH_UNSUPPORTED,
    out_of_range = CVMIN_LAUNCH_OUT_OF_RANGE,
    too_large = CVMIN_LAUNCH_TOO_LARGE,
    mismatch = CVMIN_LAUNCH_MISMATCH,
    missing = CVMIN_LAUNCH_MISSING,
    no_memory = CVMIN_LAUNCH_NO_MEMORY,
    internal = CVMIN_LAUNCH_INTERNAL,
};
struct Failure {
    Status status;
    std::string text; // one line: what was wrong
};
template <class T> using Result = std::expected<T, Failure>;

enum class Mode : std::uint32_t {
    snp = CVMIN_LAUNCH_MODE_SNP,
    snp_firmware = CVMIN_LAUNCH_MODE_SNP_FIRMWARE,
    snp_svsm = CVMIN_LAUNCH_MODE_SNP_SVSM,
    sev_es = CVMIN_LAUNCH_MODE_SEV_ES,
    sev = CVMIN_LAUNCH_MODE_SEV,
};
enum class Vmm : std::uint32_t {
    qemu = CVMIN_LAUNCH_VMM_QEMU,
    ec2 = CVMIN_LAUNCH_VMM_EC2,
    ec2_legacy = CVMIN_LAUNCH_VMM_EC2_LEGACY,
    gce = CVMIN_LAUNCH_VMM_GCE,
    krun = CVMIN_LAUNCH_VMM_KRUN,
};
enum class Fpu : std::uint32_t {
    reset = CVMIN_LAUNCH_FPU_RESET,
    zero = CVMIN_LAUNCH_FPU_ZERO,
    mxcsr_only = CVMIN_LAUNCH_FPU_MXCSR_ONLY,
};

using Input = std::optional<std::span<const std::byte>>; // nullopt is absent; an empty span is an empty file

// Views: what they point to must live through the call.
struct Options {
    Mode mode = Mode::snp;
    Vmm vmm = Vmm::qemu;
    Fpu fpu = Fpu::reset;
    std::uint32_t vcpus = 0; // 1..CVMIN_LAUNCH_MAX_VCPUS
    std::uint64_t guest_features = 1;
    std::string_view vcpu_type{}; // or vcpu_signature
    std::uint32_t vcpu_signature = 0;
    Input firmware{}, firmware_digest{}, kernel{}, initrd{};
    std::optional<std::string_view> cmdline{};
    Input svsm{};
    std::uint64_t vars_size = 0;
};

using SnpDigest = std::array<std::byte, CVMIN_LAUNCH_SNP_DIGEST_SIZE>;

namespace detail {

inline cvmin_launch_bytes bytes(const Input &input) {
    static constexpr std::byte nothing{}; // an empty span may have no address, which would mean that it is absent
    if (!input)
        return {nullptr, 0};
    return {input->empty() ? &nothing : input->data(), input->size()};
}

using Call = int (*)(const cvmin_launch_options *, unsigned char *, std::size_t, char *, std::size_t);

inline Result<void> call(Call function, const Options &o, std::span<std::byte> out) {
    if (o.vcpu_type.contains('\0')) // C would see another name
        return std::unexpected(Failure{Status::invalid_argument, "options.vcpu_type has a NUL inside"});
    std::array<char, 64 + 2> type{}; // longer names are refused by the library
    std::ranges::copy(o.vcpu_type.substr(0, type.size() - 1), type.begin());
    Input cmdline;
    if (o.cmdline)
        cmdline = std::as_bytes(std::span{o.cmdline->data(), o.cmdline->size()});
    cvmin_launch_options options = CVMIN_LAUNCH_OPTIONS_INIT;
    options.mode = static_cast<std::uint32_t>(o.mode);
    options.vmm = static_cast<std::uint32_t>(o.vmm);
    options.fpu = static_cast<std::uint32_t>(o.fpu);
    options.vcpus = o.vcpus;
    options.guest_features = o.guest_features;
    options.vcpu_type = o.vcpu_type.empty() ? nullptr : type.data();
    options.vcpu_signature = o.vcpu_signature;
    options.firmware = bytes(o.firmware);
    options.firmware_digest = bytes(o.firmware_digest);
    options.kernel = bytes(o.kernel);
    options.initrd = bytes(o.initrd);
    options.cmdline = bytes(cmdline);
    options.svsm = bytes(o.svsm);
    options.vars_size = o.vars_size;
    std::array<char, 256> text{};
    const int status =
        function(&options, reinterpret_cast<unsigned char *>(out.data()), out.size(), text.data(), text.size());
    if (status != CVMIN_LAUNCH_OK)
        return std::unexpected(Failure{static_cast<Status>(status), text.data()});
    return {};
}

} // namespace detail

// 48 bytes for the SNP modes, 32 for SEV and SEV-ES.
inline Result<std::vector<std::byte>> digest(const Options &options) {
    std::vector<std::byte> out(cvmin_launch_digest_size(static_cast<std::uint32_t>(options.mode)));
    if (out.empty())
        return std::unexpected(Failure{Status::invalid_argument, "options.mode is none of Mode"});
    if (auto done = detail::call(cvmin_launch_digest, options, out); !done)
        return std::unexpected(std::move(done.error()));
    return out;
}

// For 1, 2, ... options.vcpus vCPUs: [n - 1] is that of n. SNP and SVSM only.
inline Result<std::vector<SnpDigest>> digests(const Options &options) {
    if (options.vcpus == 0 || options.vcpus > CVMIN_LAUNCH_MAX_VCPUS)
        return std::unexpected(Failure{Status::out_of_range, "options.vcpus is out of range"});
    std::vector<SnpDigest> out(options.vcpus);
    if (auto done = detail::call(cvmin_launch_digests, options, std::as_writable_bytes(std::span{out})); !done)
        return std::unexpected(std::move(done.error()));
    return out;
}

struct VcpuType {
    std::string_view name;
    std::uint32_t signature;
};
inline std::vector<VcpuType> vcpu_types() {
    std::vector<VcpuType> types;
    std::uint32_t signature = 0;
    while (const char *name = cvmin_launch_vcpu_type(types.size(), &signature))
        types.push_back({name, signature});
    return types;
}

} // namespace cvmin::launch
