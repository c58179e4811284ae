// Why a launch digest is not the predicted one: searches the launches near a described one for a digest that was found,
// and says what is different. A launch is a point with one value per axis (firmware, kernel, initrd, command line,
// hashes page, VMM, CPU model, guest features, FPU state, vCPUs); near are those that differ on at most two axes, and
// in the number of vCPUs besides. Reads no file and prints nothing. Decides nothing: a digest that was explained is as
// wrong as one that was not.
#pragma once

#include "common/launch.hpp"
#include "host-tools/base/json.hpp"
#include "image/image_manifest.hpp"

#include <chrono>
#include <optional>
#include <string>
#include <vector>

namespace cvmin {

struct KernelInputs {
    ByteView kernel;
    std::optional<ByteView> initrd; // nothing: no initrd
    std::string command_line;
    Sha256Digest kernel_sha256; // of the bytes above
    Sha256Digest initrd_sha256; // of nothing when there is none
    KernelHashes hashes() const;
};
struct SvsmInput {
    ByteView image;
    std::uint64_t vars_size;
};

// What somebody believes to have been launched. The views must outlive it.
struct LaunchDescription {
    std::string firmware_name; // for people
    ByteView firmware;
    std::optional<KernelInputs> kernel; // nothing: no kernel, or kernel-hashes=off
    std::optional<SvsmInput> svsm;      // then no kernel
    Vmm vmm = Vmm::qemu;
    FpuState fpu = FpuState::reset;
    std::uint64_t guest_features = 1;
    std::optional<std::uint32_t> signature; // nothing: not known, any of QEMU's models is as near as another
    std::string vcpu_type;                  // the model's name, where it was named so
    std::optional<unsigned> vcpus;          // nothing: not known
};

// Of an image, with vCPUs and signature left open. `files` are as load_image_files returned them, and must outlive it.
LaunchDescription describe_image(const ImageManifest &manifest, const ImageFiles &files);

struct NamedFile {
    std::string name;
    Bytes bytes;
};

struct ExplainOptions {
    // Other builds of OVMF, whole or CODE only, and variable stores (OVMF_VARS.fd), which are tried in front of the
    // described firmware.
    std::span<const NamedFile> also;
    std::optional<std::uint64_t> memory; // guest memory in bytes, where it is known: see OldQemuLaunch
    std::chrono::milliseconds time{2000};
    unsigned threads = 0; // 0: as many as there are processors
};
inline constexpr std::size_t max_also_files = 64; // at 4 MiB each what a small machine can hold

struct Difference {
    std::string what;      // "vcpus", "vcpu_type", "guest_features", ...: stable, see docs/explain.md
    std::string found;     // the value with which the digest matches
    std::string described; // the value of the description; empty: it had none
    std::string text;      // "vcpus 4 instead of 2"
};

struct Explanation {
    enum class Kind : std::uint8_t { as_described, explained, nothing_near };
    Kind kind = Kind::nothing_near;
    std::vector<Difference> differences; // of the nearest launch that matches
    std::vector<Difference> open;        // what the description left open, as it must be for the match
    std::uint64_t candidates = 0;        // digests compared
    bool complete = true;                // false: the time was over before everything near had been tried
};

// 48 bytes: SEV-SNP. 32 bytes: SEV and SEV-ES guests. out_of_range (detail: bytes): another size. Errors of the
// description: those of parse_ovmf (parse_ovmf_table for 32 bytes) and parse_svsm; of `also`: the same, and
// malformed ("explain.also") for a file that is neither OVMF nor a variable store, its index as detail.
Result<Explanation> explain_digest(const LaunchDescription &described, ByteView digest, const ExplainOptions &options);

// One line each: a sentence, the differences indented, the number of candidates.
std::vector<std::string> explanation_lines(const Explanation &explanation);
// Without "schema" and "digest": "result", "differences", "open", "candidates", "complete".
Json explanation_json(const Explanation &explanation);

// "0x21 (SNP, debug swap)". APM volume 2 (24593), SEV_FEATURES.
std::string guest_features_text(std::uint64_t features);
std::string_view vmm_name(Vmm vmm);              // as after --vmm-type
std::string_view fpu_state_name(FpuState state); // as after --fpu-state
std::string hex_number(std::uint64_t value);     // "0x800f12"

} // namespace cvmin
