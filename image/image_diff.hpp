// What two images have in common and what not: every input, option, parameter, output and part of an output that
// differs, down to the first differing byte. Reads files; prints nothing. Not responsible for what a difference means
// for a verdict.
#pragma once

#include "host-tools/base/explained.hpp"
#include "image/image_audit.hpp"
#include "image/image_manifest.hpp"

#include <optional>
#include <string>
#include <vector>

namespace cvmin {

inline constexpr std::size_t max_initramfs_files_shown = 65536; // max_newc_entries
// One differing archive would otherwise fill memory with names: after so many the count alone goes on.
inline constexpr std::size_t max_differences = 1000;

struct LoadedImage {
    ImageManifest manifest;
    Bytes image_json; // exact bytes
    ImageFiles files;
    std::optional<Bytes> agent, reference_values, reference_values_corim, audit_json;
    std::optional<ImageAudit> audit; // nothing: built by a cvmin that recorded none
};
// A directory, or its image.json. Every file is there and is the recorded one; else its failure names it.
Explained<LoadedImage> load_image(const std::filesystem::path &path);

struct InitramfsFile {
    std::string name;
    std::uint32_t mode = 0, uid = 0, gid = 0;
    std::uint32_t device_major = 0, device_minor = 0;
    std::uint64_t size = 0;
    Sha256Digest sha256{}; // of a file's contents or a link's target
};
// malformed, truncated, trailing, too_large: as decompress_zstd and read_newc, which name the layer.
Result<std::vector<InitramfsFile>> list_initramfs(ByteView initrd);

struct ImageDifference {
    // From the outside in: {"initrd", "init", ".text"}, {"kernel", "vmlinux", ".rodata"}, {"command line", "quiet"},
    // {"kernel option", "CONFIG_SMP"}, {"input", "recipe", "image/cmdline"}.
    std::vector<std::string> path;
    std::string a, b;                  // what is there; empty: nothing
    std::optional<std::size_t> offset; // of the first byte that differs, in the innermost thing that has bytes
    bool measured = false;             // part of what decides the launch digest
};
std::string path_text(const ImageDifference &difference); // joined by ": "

struct ImageComparison {
    std::vector<ImageDifference> differences; // causes first: inputs, options, parameters; then outputs in launch order
    std::size_t left_out = 0;                 // more than max_differences
    bool same_bytes = false;                  // image.json and every file
    std::vector<std::string> measured;        // which of firmware, kernel, initrd, command line, guest features differ
};
ImageComparison compare_images(const LoadedImage &a, const LoadedImage &b);

// The innermost first difference between two outputs of the same kind (that of `differences` with bytes), for a
// message.
const ImageDifference *first_output_difference(const ImageComparison &comparison);

} // namespace cvmin
