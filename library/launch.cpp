// The C interface of common/launch.hpp. Checks what a caller in another language can get wrong, and turns results into
// status codes and exceptions (only memory can run out) into one. It computes nothing itself.
#include "common/launch.hpp"
#include "library/caller.hpp"

#include <cvmin/launch.h>

#include <cstdio>
#include <cstring>
#include <new>
#include <utility>

namespace cvmin {

namespace {

using Options = cvmin_launch_options;
constexpr std::uint64_t snp_active = 1; // SEV_FEATURES bit 0

static_assert(sizeof(void *) == 8 && sizeof(Options) == 152, "the structure of the published interface");
static_assert(CVMIN_LAUNCH_MAX_VCPUS == max_vcpus);
static_assert(CVMIN_LAUNCH_MAX_FIRMWARE_SIZE == max_firmware_size && CVMIN_LAUNCH_MAX_FIRMWARE_SIZE == max_vars_size);
static_assert(CVMIN_LAUNCH_SNP_DIGEST_SIZE == sizeof(Sha384Digest));
static_assert(CVMIN_LAUNCH_SEV_DIGEST_SIZE == sizeof(Sha256Digest));
#define CVMIN_STRING_(x) #x
#define CVMIN_STRING(x) CVMIN_STRING_(x)
constexpr std::string_view header_version = CVMIN_STRING(CVMIN_LAUNCH_VERSION_MAJOR) "." CVMIN_STRING(
    CVMIN_LAUNCH_VERSION_MINOR) "." CVMIN_STRING(CVMIN_LAUNCH_VERSION_PATCH);
static_assert(header_version == CVMIN_VERSION);

constexpr std::size_t max_vcpu_type_length = 64; // the longest that QEMU names has 22 characters

// Longer than every Error's line; only a wrong vcpu_type of the caller fills it.
struct Failure {
    int status;
    char text[192] = "";
};
template <class T> using OrFailure = std::expected<T, Failure>;

std::unexpected<Failure> failure(int status, const char *text) {
    Failure out{status};
    std::snprintf(out.text, sizeof out.text, "%s", text);
    return std::unexpected(out);
}
std::unexpected<Failure> invalid(const char *text) {
    return failure(CVMIN_LAUNCH_INVALID_ARGUMENT, text);
}

int status_of(Errc code) {
    switch (code) {
    case Errc::truncated:
        return CVMIN_LAUNCH_TRUNCATED;
    case Errc::trailing:
        return CVMIN_LAUNCH_TRAILING;
    case Errc::malformed:
        return CVMIN_LAUNCH_MALFORMED;
    case Errc::unsupported:
        return CVMIN_LAUNCH_UNSUPPORTED;
    case Errc::out_of_range:
        return CVMIN_LAUNCH_OUT_OF_RANGE;
    case Errc::too_large:
        return CVMIN_LAUNCH_TOO_LARGE;
    case Errc::mismatch:
        return CVMIN_LAUNCH_MISMATCH;
    case Errc::missing:
        return CVMIN_LAUNCH_MISSING;
    case Errc::usage:
        return CVMIN_LAUNCH_INVALID_ARGUMENT;
    default: // the others are of files, processes and peers, which the launch digest has none of
        return CVMIN_LAUNCH_INTERNAL;
    }
}

std::unexpected<Failure> failure(const Error &error) {
    return failure(status_of(error.code), to_string(error).c_str());
}

template <class T> OrFailure<T> as_failure(Result<T> result) {
    if (!result)
        return failure(result.error());
    return std::move(*result);
}

// ---- options --------------------------------------------------------------------------------------------------

OrFailure<Options> read_options(const Options *given) {
    const auto options = copy_options(given);
    if (options && options->reserved == 0)
        return *options;
    switch (options ? OptionsProblem::unknown : options.error()) {
    case OptionsProblem::null:
        return invalid("options is NULL");
    case OptionsProblem::size:
        return invalid("options.struct_size is not the size of a struct cvmin_launch_options");
    default:
        return failure(CVMIN_LAUNCH_UNSUPPORTED, "options has members set which this version does not know");
    }
}

// What the call says, checked and in our own types.
struct Launch {
    std::uint32_t mode;
    LaunchConfig config;
    ByteView firmware, svsm;
    std::optional<Sha384Digest> firmware_digest;
    std::optional<KernelHashes> hashes;
    std::uint64_t vars_size;
};

OrFailure<Vmm> vmm_of(std::uint32_t value) {
    switch (value) {
    case CVMIN_LAUNCH_VMM_QEMU:
        return Vmm::qemu;
    case CVMIN_LAUNCH_VMM_EC2:
        return Vmm::ec2;
    case CVMIN_LAUNCH_VMM_EC2_LEGACY:
        return Vmm::ec2_legacy;
    case CVMIN_LAUNCH_VMM_GCE:
        return Vmm::gce;
    case CVMIN_LAUNCH_VMM_KRUN:
        return Vmm::krun;
    default:
        return invalid("options.vmm is none of enum cvmin_launch_vmm");
    }
}

OrFailure<FpuState> fpu_of(std::uint32_t value) {
    switch (value) {
    case CVMIN_LAUNCH_FPU_RESET:
        return FpuState::reset;
    case CVMIN_LAUNCH_FPU_ZERO:
        return FpuState::zero;
    case CVMIN_LAUNCH_FPU_MXCSR_ONLY:
        return FpuState::mxcsr_only;
    default:
        return invalid("options.fpu is none of enum cvmin_launch_fpu");
    }
}

OrFailure<std::uint32_t> signature_of(const Options &options) {
    if (!options.vcpu_type) {
        if (options.vcpu_signature == 0 && options.vmm == CVMIN_LAUNCH_VMM_QEMU)
            return invalid("options names no vCPU: set vcpu_type or vcpu_signature");
        return options.vcpu_signature;
    }
    if (options.vcpu_signature != 0)
        return invalid("options has both vcpu_type and vcpu_signature");
    const std::size_t length = strnlen(options.vcpu_type, max_vcpu_type_length + 1);
    if (length > max_vcpu_type_length)
        return invalid("options.vcpu_type is longer than any name QEMU has");
    const std::string_view type{options.vcpu_type, length};
    if (const auto model = find_cpu_model(type))
        return model->signature;
    const std::string_view nearest = nearest_cpu_model(type);
    char text[sizeof(Failure::text)];
    std::snprintf(text, sizeof text, "options.vcpu_type: QEMU has no AMD model of that name; did you mean %.*s?",
                  static_cast<int>(nearest.size()), nearest.data());
    return invalid(text);
}

bool measures_vcpus(std::uint32_t mode) {
    return mode != CVMIN_LAUNCH_MODE_SEV && mode != CVMIN_LAUNCH_MODE_SNP_FIRMWARE;
}
bool is_snp(std::uint32_t mode) {
    return mode == CVMIN_LAUNCH_MODE_SNP || mode == CVMIN_LAUNCH_MODE_SNP_FIRMWARE ||
           mode == CVMIN_LAUNCH_MODE_SNP_SVSM;
}

// What is given must take part in the digest: an option without effect is a caller's mistake that would go unseen.
OrFailure<void> check_inputs(const Options &o) {
    for (const cvmin_launch_bytes &bytes : {o.firmware, o.firmware_digest, o.kernel, o.initrd, o.cmdline, o.svsm})
        if (!bytes.data && bytes.size != 0)
            return invalid("options has an input with a size and no address");
    const bool svsm = o.mode == CVMIN_LAUNCH_MODE_SNP_SVSM;
    if (absent(o.firmware))
        return invalid("options.firmware is absent");
    if (absent(o.kernel) && !(absent(o.initrd) && absent(o.cmdline)))
        return invalid("options has initrd or cmdline without a kernel, with which alone they are measured");
    if (!absent(o.kernel) && (svsm || o.mode == CVMIN_LAUNCH_MODE_SNP_FIRMWARE))
        return invalid("options.kernel is not part of what this mode measures");
    if (absent(o.svsm) == svsm)
        return invalid("options.svsm goes with mode SNP_SVSM, and only with it");
    if (o.vars_size != 0 && !svsm)
        return invalid("options.vars_size goes with mode SNP_SVSM only");
    if (!absent(o.firmware_digest) && o.mode != CVMIN_LAUNCH_MODE_SNP && !svsm)
        return invalid("options.firmware_digest goes with modes SNP and SNP_SVSM only");
    if (!absent(o.firmware_digest) && o.firmware_digest.size != sizeof(Sha384Digest))
        return invalid("options.firmware_digest is not of 48 bytes");
    if (svsm && o.vmm != CVMIN_LAUNCH_VMM_QEMU)
        return invalid("options.vmm: an SVSM is launched by QEMU only");
    if (o.cmdline.size > CVMIN_LAUNCH_MAX_CMDLINE_SIZE)
        return failure(CVMIN_LAUNCH_TOO_LARGE, "options.cmdline is larger than its limit");
    if (as_text(view(o.cmdline)).contains('\0'))
        return failure(CVMIN_LAUNCH_MALFORMED, "options.cmdline has a NUL inside, at which it would be cut");
    return {};
}

OrFailure<Launch> read_launch(const Options *given) {
    CVMIN_TRY(options, read_options(given));
    if (cvmin_launch_digest_size(options.mode) == 0)
        return invalid("options.mode is none of enum cvmin_launch_mode");
    CVMIN_TRY(vmm, vmm_of(options.vmm));
    CVMIN_TRY(fpu, fpu_of(options.fpu));
    CVMIN_CHECK(check_inputs(options));
    Launch launch{options.mode, {}, view(options.firmware), view(options.svsm), {}, {}, options.vars_size};
    if (measures_vcpus(options.mode)) {
        CVMIN_TRY(signature, signature_of(options));
        if (options.vcpus == 0 || options.vcpus > max_vcpus)
            return failure(Error{Errc::out_of_range, "options.vcpus", options.vcpus});
        if (is_snp(options.mode) && (options.guest_features & snp_active) == 0)
            return invalid("options.guest_features: bit 0 is set in every SNP guest");
        launch.config = {options.vcpus, {signature, options.guest_features, vmm, fpu}};
    }
    if (!absent(options.firmware_digest)) {
        launch.firmware_digest.emplace();
        std::ranges::copy(view(options.firmware_digest), launch.firmware_digest->begin());
    }
    if (launch.firmware.size() > max_firmware_size) // before hashing anything
        return failure(Error{Errc::too_large, "options.firmware", launch.firmware.size()});
    if (!absent(options.kernel))
        launch.hashes = kernel_hashes(view(options.kernel), view(options.initrd), as_text(view(options.cmdline)));
    return launch;
}

// ---- digests --------------------------------------------------------------------------------------------------

LaunchDigest after_firmware(const Launch &launch) {
    return launch.firmware_digest ? LaunchDigest{*launch.firmware_digest} : measure_firmware(launch.firmware);
}

Result<std::vector<Sha384Digest>> snp_digests(const Launch &launch) {
    CVMIN_TRY(ovmf, parse_ovmf(launch.firmware));
    CVMIN_TRY(before, measure_metadata(after_firmware(launch), ovmf, launch.hashes, launch.config.vcpu.vmm));
    return measure_vcpu_counts(before, launch.config, ovmf.reset_eip);
}

Result<std::vector<Sha384Digest>> svsm_digests(const Launch &launch) {
    CVMIN_CHECK(parse_ovmf_table(launch.firmware));
    CVMIN_TRY(before,
              measure_svsm_before_vcpus(after_firmware(launch), launch.firmware.size(), launch.svsm, launch.vars_size));
    std::vector<Sha384Digest> digests;
    digests.reserve(launch.config.vcpus);
    LaunchDigest digest = before.digest;
    while (digests.size() < launch.config.vcpus) { // each vCPU adds the same page
        CVMIN_TRY(next, measure_svsm_vcpus(digest, {1, launch.config.vcpu}, before.entry));
        digests.push_back(next);
        digest = LaunchDigest{next};
    }
    return digests;
}

// For counts 1 to vcpus.
OrFailure<std::vector<Sha384Digest>> all_digests(const Launch &launch) {
    if (launch.mode == CVMIN_LAUNCH_MODE_SNP)
        return as_failure(snp_digests(launch));
    if (launch.mode == CVMIN_LAUNCH_MODE_SNP_SVSM)
        return as_failure(svsm_digests(launch));
    return failure(CVMIN_LAUNCH_UNSUPPORTED, "options.mode: digests for every count are for SNP and SNP_SVSM only");
}

OrFailure<Bytes> one_digest(const Launch &launch) {
    switch (launch.mode) {
    case CVMIN_LAUNCH_MODE_SNP_FIRMWARE: {
        CVMIN_CHECK(as_failure(parse_ovmf_table(launch.firmware)));
        return to_bytes(measure_firmware(launch.firmware).value());
    }
    case CVMIN_LAUNCH_MODE_SEV: {
        CVMIN_TRY(digest, as_failure(sev_digest(launch.firmware, launch.hashes)));
        return to_bytes(digest);
    }
    case CVMIN_LAUNCH_MODE_SEV_ES: {
        CVMIN_TRY(digest, as_failure(sev_es_digest(launch.firmware, launch.hashes, launch.config)));
        return to_bytes(digest);
    }
    default: {
        CVMIN_TRY(digests, all_digests(launch));
        return to_bytes(digests.back());
    }
    }
}

OrFailure<Bytes> digest_for(const Options *options, std::size_t size) {
    CVMIN_TRY(launch, read_launch(options));
    if (size != cvmin_launch_digest_size(launch.mode))
        return invalid("digest_size is not that of the mode's digest");
    return one_digest(launch);
}

OrFailure<Bytes> digests_for(const Options *options, std::size_t size) {
    CVMIN_TRY(launch, read_launch(options));
    if (size != launch.config.vcpus * sizeof(Sha384Digest) && measures_vcpus(launch.mode))
        return invalid("digests_size is not 48 times vcpus");
    CVMIN_TRY(digests, all_digests(launch));
    Bytes out;
    out.reserve(size);
    for (const Sha384Digest &digest : digests)
        out.insert(out.end(), digest.begin(), digest.end());
    return out;
}

// ---- the boundary ---------------------------------------------------------------------------------------------

// Everything between the C call and the function that answers it: output zeroed first, text, no exception beyond.
template <class Compute>
int call(Compute compute, const Options *options, unsigned char *out, std::size_t out_size, char *text,
         std::size_t text_size) noexcept {
    constexpr std::size_t most = max_vcpus * sizeof(Sha384Digest);
    const auto say = [&](int status, const char *why) { return cvmin::say(text, text_size, status, why); };
    if (!out)
        return say(CVMIN_LAUNCH_INVALID_ARGUMENT, "the output is NULL");
    if (out_size > most) // not written to: so large a buffer is more likely a wrong number
        return say(CVMIN_LAUNCH_INVALID_ARGUMENT, "the output's size is more than 255 digests");
    std::memset(out, 0, out_size);
    if (!text && text_size != 0)
        return CVMIN_LAUNCH_INVALID_ARGUMENT;
    try {
        const OrFailure<Bytes> bytes = compute(options, out_size);
        if (!bytes)
            return say(bytes.error().status, bytes.error().text);
        if (bytes->size() != out_size)
            return say(CVMIN_LAUNCH_INTERNAL, "a digest has another size than it should");
        if (out_size != 0)
            std::memcpy(out, bytes->data(), out_size);
        return say(CVMIN_LAUNCH_OK, "");
    } catch (const std::bad_alloc &) {
        return say(CVMIN_LAUNCH_NO_MEMORY, "out of memory");
    } catch (...) {
        return say(CVMIN_LAUNCH_INTERNAL, "an exception which is not one of memory");
    }
}

} // namespace

} // namespace cvmin

extern "C" {

int cvmin_launch_digest(const struct cvmin_launch_options *options, unsigned char *digest, std::size_t digest_size,
                        char *error, std::size_t error_size) {
    return cvmin::call(cvmin::digest_for, options, digest, digest_size, error, error_size);
}

int cvmin_launch_digests(const struct cvmin_launch_options *options, unsigned char *digests, std::size_t digests_size,
                         char *error, std::size_t error_size) {
    return cvmin::call(cvmin::digests_for, options, digests, digests_size, error, error_size);
}

std::size_t cvmin_launch_digest_size(std::uint32_t mode) {
    switch (mode) {
    case CVMIN_LAUNCH_MODE_SNP:
    case CVMIN_LAUNCH_MODE_SNP_FIRMWARE:
    case CVMIN_LAUNCH_MODE_SNP_SVSM:
        return CVMIN_LAUNCH_SNP_DIGEST_SIZE;
    case CVMIN_LAUNCH_MODE_SEV_ES:
    case CVMIN_LAUNCH_MODE_SEV:
        return CVMIN_LAUNCH_SEV_DIGEST_SIZE;
    default:
        return 0;
    }
}

const char *cvmin_launch_error_text(int status) {
    switch (status) {
    case CVMIN_LAUNCH_OK:
        return "ok";
    case CVMIN_LAUNCH_INVALID_ARGUMENT:
        return "an argument is not valid";
    case CVMIN_LAUNCH_TRUNCATED:
        return "an input ends too early";
    case CVMIN_LAUNCH_TRAILING:
        return "an input has bytes after its end";
    case CVMIN_LAUNCH_MALFORMED:
        return "an input is not well-formed";
    case CVMIN_LAUNCH_UNSUPPORTED:
        return "an input or option is of a kind this version does not support";
    case CVMIN_LAUNCH_OUT_OF_RANGE:
        return "a number is out of range";
    case CVMIN_LAUNCH_TOO_LARGE:
        return "an input is larger than its limit";
    case CVMIN_LAUNCH_MISMATCH:
        return "parts of an input contradict each other";
    case CVMIN_LAUNCH_MISSING:
        return "the firmware lacks what this launch needs";
    case CVMIN_LAUNCH_NO_MEMORY:
        return "out of memory";
    case CVMIN_LAUNCH_INTERNAL:
        return "a mistake in the library";
    default:
        return "not a status of this version";
    }
}

const char *cvmin_launch_vcpu_type(std::size_t index, std::uint32_t *signature) {
    const auto models = cvmin::cpu_models();
    if (signature)
        *signature = index < models.size() ? models[index].signature : 0;
    return index < models.size() ? models[index].name.data() : nullptr; // literals, which end with a NUL
}

const char *cvmin_launch_version(void) {
    return CVMIN_VERSION;
}

} // extern "C"
