// image.json: the manifest of a built image. Schema: docs/image.schema.json. Reading, checking, writing; building is
// build.hpp's.
#pragma once

#include "common/launch.hpp"
#include "host-tools/base/json.hpp"

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace cvmin {

inline constexpr std::uint64_t image_schema = 1;
inline constexpr std::size_t max_kernel_size = 64u << 20;      // ours is under 4 MiB; a distribution's is under 20
inline constexpr std::size_t max_initrd_size = 512u << 20;     // guest memory bounds it in practice
inline constexpr std::size_t max_command_line_size = 2047;     // Linux's COMMAND_LINE_SIZE on x86, less the NUL
inline constexpr std::size_t max_image_path_size = 255;        // one component's limit on Linux
inline constexpr std::uint64_t default_guest_policy = 0x30000; // reserved bit 17, SMT allowed; no debug, no migration
inline constexpr std::uint64_t guest_policy_reserved_1 = 0x20000; // AMD 56860, table POLICY: bit 17 must be one

struct ImageFile {
    std::string path; // relative to image.json's directory, no "..", not absolute
    Sha256Digest sha256;
    std::uint64_t size;
};

struct ImageManifest {
    std::filesystem::path directory; // where image.json was found; not part of the file
    std::string version;             // of cvmin that built it
    bool debug = false;              // console on: another image, another digest
    ImageFile kernel, initrd, cmdline, firmware;
    std::optional<ImageFile> agent;                  // what is /init in the initramfs, for people to look at
    std::optional<ImageFile> reference_values;       // launch digests for every CPU model and vCPU count
    std::optional<ImageFile> reference_values_corim; // the same as a CoRIM, not signed
    std::optional<ImageFile> audit;                  // reasons of options and parameters, licences: image_audit.hpp
    std::string command_line;                        // contents of the cmdline file
    KernelHashes hashes;                             // the three digests of the hash table
    std::uint64_t guest_policy = 0;
    std::uint64_t guest_features = 1; // VMSA SEV_FEATURES
    Json inputs;                      // array: every source and tool with kind, name, sha256 and size
};

// Parses and checks shape; does not open the other files. missing, malformed (also an unknown member), out_of_range
// (path, digest, policy), too_large, unsupported (schema), mismatch (hashes are not those of the files or of the
// command line).
Result<ImageManifest> parse_image_manifest(ByteView text, const std::filesystem::path &directory);
Json to_json(const ImageManifest &manifest);

struct ImageFiles {
    Bytes kernel, initrd, firmware;
};
// Reads image.json and its files; mismatch (where = "image.kernel", ...) when a digest or size is not the recorded one.
Result<ImageManifest> load_image_manifest(const std::filesystem::path &image_json);
Result<ImageFiles> load_image_files(const ImageManifest &manifest);

} // namespace cvmin
