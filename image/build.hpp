// The recipe of `cvmin build`: kernel (image/kernel.sh), agent (CMake), initramfs, command line, firmware (pinned, or
// image/firmware.sh), reference values and image.json, put in place all at once. Prints nothing; what it runs may write
// to standard error. Not responsible for making the toolchain: it runs inside the toolchain root.
#pragma once

#include "image/image_manifest.hpp"

#include <functional>

namespace cvmin {

inline constexpr int initramfs_zstd_level = 19; // highest without long decompression windows; under a second for ours
inline constexpr std::size_t max_agent_size = 16u << 20;      // the budget is 300 KiB; this bounds a mistake
inline constexpr std::size_t max_recipe_file_size = 4u << 20; // locks, scripts and sources: the largest has 100 KiB
inline constexpr std::size_t max_recipe_tree_entries = 10000; // files of the agent's sources: under 100

// Written beside an image by whoever signs it (cvmin build --corim-key). Not in image.json: a signature has randomness
// in it, and the image is the same bytes without it.
inline constexpr const char *signed_corim_name = "reference-values.signed.corim";

// Debian's binary of image/firmware.pin, or what image/firmware.sh makes of Debian's sources.
enum class FirmwareOrigin : std::uint8_t { package, source };

struct BuildOptions {
    std::filesystem::path source;  // work tree
    std::filesystem::path out;     // replaced as a whole; must be absent, empty, or an image of ours
    std::filesystem::path work;    // empty: in the cache, so that the next build compiles only what changed
    std::filesystem::path sysroot; // $CVMIN_SYSROOT
    bool debug = false;
    FirmwareOrigin firmware = FirmwareOrigin::package;
    bool rebuild_kernel = false;   // whatever the cache has, which stays as it is
    bool rebuild_firmware = false; // likewise; of FirmwareOrigin::source only
    unsigned jobs = 1;
};

struct BuildStep {
    std::string name;
    double seconds;
};

struct Built {
    ImageManifest manifest;
    std::filesystem::path image_json;
    std::vector<BuildStep> steps;
};

struct BuildFailure {
    Error error;
    std::string subject;   // path or step
    std::string log;       // last lines of what failed; for people
    bool reported = false; // the script that failed has already said why on standard error
    int signal = 0;        // the build was interrupted by this signal
    int exit_status = 0;   // of the script, when reported
};

using BuildProgress = std::function<void(std::string_view)>;
// Nothing but caches is changed unless it succeeds.
std::expected<Built, BuildFailure> build_image(const BuildOptions &options, const BuildProgress &progress);

// Everything in a work tree that decides a byte of an image, as `inputs` of its image.json; but for the last of these,
// the resolved kernel configuration, which is known when the kernel has been built.
std::expected<Json, BuildFailure> recipe_inputs(const std::filesystem::path &source, bool debug,
                                                FirmwareOrigin firmware);
// Of an image that was built, by its inputs.
FirmwareOrigin firmware_origin(const ImageManifest &manifest);
inline constexpr const char *resolved_configuration_input = "resolved kernel configuration";

// ---- its parts, for tests ----

// Parameters of a commented command line file, joined by single blanks. malformed: no parameter, or a character that
// is not printable ASCII; too_large.
Result<std::string> parse_command_line(ByteView text);

struct FirmwarePin {
    Sha256Digest sha256;
    std::uint64_t size;
    std::filesystem::path path;
};
// malformed: not exactly one line "sha256 size path".
Result<FirmwarePin> parse_firmware_pin(ByteView text);

// What the kernel unpacks: the agent as /init, and the mount points of the agent's table. /dev/console is not here: the
// kernel's own built-in archive has it (with /dev and /root), so that PID 1 starts with descriptors 0 to 2.
Result<Bytes> make_initramfs(ByteView agent);
// One frame, one thread, no checksum. crypto is never returned; system: zstd failed (detail: its code).
Result<Bytes> compress_zstd(ByteView bytes);

// Digest over "sha256  path\n" of each source file below the directories and of each file named, sorted by path.
struct TreeDigest {
    Sha256Digest sha256;
    std::uint64_t size;
    std::size_t files;
};
Result<TreeDigest> digest_tree(const std::filesystem::path &root, const std::vector<std::filesystem::path> &paths);

} // namespace cvmin
