#include "image/build.hpp"

#include "host-tools/base/os.hpp"
#include "host-tools/corim/corim.hpp"
#include "host-tools/measure/measure.hpp"
#include "image/child.hpp"
#include "image/hardening.hpp"
#include "image/image_audit.hpp"
#include "image/newc.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <map>
#include <set>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

namespace cvmin {

namespace fs = std::filesystem;

// ---- parts
// -----------------------------------------------------------------------------------------------------------

// Lines without comments (from '#' to the end) and blanks at both ends; empty lines are left out.
static std::vector<std::string_view> meaningful_lines(std::string_view text) {
    static constexpr std::string_view blanks = " \t\r";
    std::vector<std::string_view> lines;
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t end = std::min(text.find('\n', at), text.size());
        std::string_view line = text.substr(at, end - at);
        line = line.substr(0, line.find('#'));
        const std::size_t first = line.find_first_not_of(blanks);
        if (first != std::string_view::npos)
            lines.push_back(line.substr(first, line.find_last_not_of(blanks) - first + 1));
        at = end + 1;
    }
    return lines;
}

static std::vector<std::string> words_of(std::string_view line) {
    std::vector<std::string> words;
    for (std::size_t at = 0; (at = line.find_first_not_of(' ', at)) != std::string_view::npos;) {
        const std::size_t end = std::min(line.find(' ', at), line.size());
        words.emplace_back(line.substr(at, end - at));
        at = end;
    }
    return words;
}

Result<std::string> parse_command_line(ByteView text) {
    std::string line;
    for (const std::string_view parameter : meaningful_lines(as_text(text))) {
        if (!std::ranges::all_of(parameter, [](char c) { return c >= ' ' && c < 0x7f; }))
            return fail(Errc::malformed, "cmdline");
        if (!line.empty())
            line += ' ';
        line += parameter;
    }
    if (line.empty())
        return fail(Errc::malformed, "cmdline");
    if (line.size() > max_command_line_size)
        return fail(Errc::too_large, "cmdline", line.size());
    return line;
}

Result<FirmwarePin> parse_firmware_pin(ByteView text) {
    const auto lines = meaningful_lines(as_text(text));
    if (lines.size() != 1)
        return fail(Errc::malformed, "firmware.pin", lines.size());
    const auto words = words_of(lines[0]);
    if (words.size() != 3 || words[1].size() > 12 ||
        !std::ranges::all_of(words[1], [](char c) { return c >= '0' && c <= '9'; }))
        return fail(Errc::malformed, "firmware.pin");
    CVMIN_TRY(digest, parse_hex_exactly<32>(words[0], "firmware.pin"));
    return FirmwarePin{digest, std::stoull(words[1]), words[2]};
}

Result<Bytes> make_initramfs(ByteView agent) {
    return write_newc({
        {"dev", S_IFDIR | 0755, {}, 0, 0},
        {"init", S_IFREG | 0755, to_bytes(agent), 0, 0},
        {"proc", S_IFDIR | 0755, {}, 0, 0},
        {"run", S_IFDIR | 0755, {}, 0, 0},
        {"sys", S_IFDIR | 0755, {}, 0, 0},
    });
}

Result<Bytes> compress_zstd(ByteView bytes) {
    struct Free {
        void operator()(ZSTD_CCtx *context) const { ZSTD_freeCCtx(context); }
    };
    const std::unique_ptr<ZSTD_CCtx, Free> context{ZSTD_createCCtx()};
    if (!context)
        return fail(Errc::system, "zstd");
    // everything that could follow the machine is set: level, one thread, no checksum, size in the frame
    for (const auto &[parameter, value] : {std::pair{ZSTD_c_compressionLevel, initramfs_zstd_level},
                                           {ZSTD_c_nbWorkers, 0},
                                           {ZSTD_c_checksumFlag, 0},
                                           {ZSTD_c_contentSizeFlag, 1}})
        if (const std::size_t code = ZSTD_CCtx_setParameter(context.get(), parameter, value); ZSTD_isError(code))
            return fail(Errc::system, "zstd", code);
    Bytes out(ZSTD_compressBound(bytes.size()));
    const std::size_t size = ZSTD_compress2(context.get(), out.data(), out.size(), bytes.data(), bytes.size());
    if (ZSTD_isError(size))
        return fail(Errc::system, "zstd", size);
    out.resize(size);
    return out;
}

static bool is_source(const fs::path &path) {
    const std::string extension = path.extension();
    return extension == ".cpp" || extension == ".hpp" || extension == ".h" || extension == ".cmake" ||
           path.filename() == "CMakeLists.txt";
}

// By name, sorted by bytes.
struct SourceFile {
    Sha256Digest sha256;
    std::size_t size;
};
static Result<std::map<std::string, SourceFile>> source_files(const fs::path &root,
                                                              const std::vector<fs::path> &paths) {
    std::map<std::string, SourceFile> files;
    std::error_code error;
    for (const fs::path &path : paths) {
        if (!fs::is_directory(root / path, error)) {
            files[path];
            continue;
        }
        fs::recursive_directory_iterator at{root / path, error};
        for (; !error && at != fs::recursive_directory_iterator{}; at.increment(error)) {
            if (at->is_regular_file(error) && is_source(at->path()))
                files[at->path().lexically_relative(root)];
            if (files.size() > max_recipe_tree_entries)
                return fail(Errc::too_large, "sources", files.size());
        }
        if (error)
            return fail(Errc::system, "sources", static_cast<std::uint64_t>(error.value()));
    }
    for (auto &[name, file] : files) {
        CVMIN_TRY(bytes, read_file(root / name, max_recipe_file_size));
        file = {sha256(bytes), bytes.size()};
    }
    return files;
}

Result<TreeDigest> digest_tree(const fs::path &root, const std::vector<fs::path> &paths) {
    CVMIN_TRY(files, source_files(root, paths));
    Sha256Stream stream;
    TreeDigest digest{};
    for (const auto &[name, file] : files) {
        stream.update(as_bytes(hex(file.sha256) + "  " + name + "\n"));
        digest.size += file.size;
        ++digest.files;
    }
    digest.sha256 = stream.finish();
    return digest;
}

// ---- the build ---------------------------------------------------------------------------------------------------

template <class T> using BuildResult = std::expected<T, BuildFailure>;

static std::unexpected<BuildFailure> failure(const Error &error, std::string subject) {
    return std::unexpected(BuildFailure{error, std::move(subject), {}, false, 0, 0});
}
static std::unexpected<BuildFailure> os_failure(std::string_view where, std::string subject) {
    return failure({Errc::system, where, static_cast<std::uint64_t>(errno)}, std::move(subject));
}
template <class T> static BuildResult<T> named(Result<T> result, const fs::path &subject) {
    if (!result)
        return failure(result.error(), subject);
    if constexpr (std::is_void_v<T>)
        return {};
    else
        return std::move(*result);
}

// Lines "sha256 size path ..." of a lock.
static BuildResult<void> add_lock_lines(Json &inputs, const fs::path &lock) {
    const auto text = named(read_file(lock, max_recipe_file_size), lock);
    if (!text)
        return std::unexpected(text.error());
    for (const std::string_view line : meaningful_lines(as_text(*text))) {
        const auto words = words_of(line);
        if (words.size() < 3 || !parse_hex_exactly<32>(words[0], "lock") || words[1].size() > 12 ||
            !std::ranges::all_of(words[1], [](char c) { return c >= '0' && c <= '9'; }))
            return failure({Errc::malformed, "lock"}, lock);
        inputs.push_back({{"kind", "source"},
                          {"name", fs::path{words[2]}.filename()},
                          {"sha256", words[0]},
                          {"size", std::stoull(words[1])}});
    }
    return {};
}

static constexpr const char *firmware_script = "image/firmware.sh", *firmware_pin = "image/firmware.pin";
static constexpr const char *firmware_sources_lock = "toolchain/firmware-sources.lock";
// packages of the locks, of which an image has one
static constexpr std::string_view firmware_package_name = "ovmf-amdsev", firmware_source_name = "edk2";

FirmwareOrigin firmware_origin(const ImageManifest &manifest) {
    const bool built = std::ranges::any_of(manifest.inputs, [](const Json &input) {
        return input["kind"] == "recipe" && input["name"] == firmware_script;
    });
    return built ? FirmwareOrigin::source : FirmwareOrigin::package;
}

std::expected<Json, BuildFailure> recipe_inputs(const fs::path &source, bool debug, FirmwareOrigin firmware) {
    Json inputs = Json::array();
    if (auto done = add_lock_lines(inputs, source / "toolchain/sources.lock"); !done)
        return std::unexpected(done.error());
    if (firmware == FirmwareOrigin::source)
        if (auto done = add_lock_lines(inputs, source / firmware_sources_lock); !done)
            return std::unexpected(done.error());
    std::vector<std::pair<const char *, fs::path>> files{
        {"toolchain", "toolchain/debs.lock"},
        {"toolchain", "toolchain/sysroot.sh"},
        {"toolchain", "toolchain/guest.cmake"},
        {"toolchain", "toolchain/mbedtls/config-guest.h"},
        {"recipe", "image/kernel.config"},
        {"recipe", "image/kernel.sh"},
        {"recipe", "image/kernel_options.sh"},
        {"recipe", "image/hardening.list"},
        {"recipe", "toolchain/licences"},
        {"recipe", debug ? "image/cmdline.debug" : "image/cmdline"},
        {"recipe", firmware == FirmwareOrigin::source ? firmware_script : firmware_pin},
    };
    if (firmware == FirmwareOrigin::source)
        files.emplace_back("toolchain", "toolchain/firmware.lock");
    std::set<fs::path> patches;
    std::error_code error;
    for (fs::directory_iterator at{source / "image/patches", error}; !error && at != fs::directory_iterator{};
         at.increment(error))
        if (at->path().extension() == ".patch")
            patches.insert("image/patches" / at->path().filename());
    if (error)
        return failure({Errc::system, "patches", static_cast<std::uint64_t>(error.value())}, source / "image/patches");
    for (const fs::path &patch : patches)
        files.emplace_back("recipe", patch);
    for (const auto &[kind, name] : files) {
        const auto bytes = named(read_file(source / name, max_recipe_file_size), source / name);
        if (!bytes)
            return std::unexpected(bytes.error());
        inputs.push_back({{"kind", kind}, {"name", name}, {"sha256", hex(sha256(*bytes))}, {"size", bytes->size()}});
    }
    const auto tree = digest_tree(source, {"agent-min", "common", "CMakeLists.txt"});
    if (!tree)
        return failure(tree.error(), "agent-min, common");
    inputs.push_back({{"kind", "tree"},
                      {"name", "agent-min common CMakeLists.txt"},
                      {"sha256", hex(tree->sha256)},
                      {"size", tree->size}});
    return inputs;
}

// Two builds of one tree share its objects and must take turns.
static BuildResult<UniqueFd> take_lock(const fs::path &path, const Interrupts &interrupts,
                                       const BuildProgress &progress) {
    UniqueFd lock{::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)};
    if (!lock)
        return os_failure("lock", path);
    if (::flock(lock.get(), LOCK_EX | LOCK_NB) == 0)
        return lock;
    progress("another build of this tree is running; waiting for it");
    while (::flock(lock.get(), LOCK_EX) != 0) {
        if (errno != EINTR)
            return os_failure("lock", path);
        if (interrupts.signal() != 0)
            return std::unexpected(BuildFailure{
                .error = {Errc::system, "lock"}, .subject = path, .log = {}, .signal = interrupts.signal()});
    }
    return lock;
}

// A directory of ours may be replaced; anything else that lies at `out` is left alone.
static BuildResult<void> check_replaceable(const fs::path &out) {
    static constexpr std::string_view ours[] = {"agent",
                                                "audit.json",
                                                "bzImage",
                                                "cmdline",
                                                "OVMF.fd",
                                                "image.json",
                                                "initrd.zst",
                                                "reference-values.json",
                                                "reference-values.corim",
                                                signed_corim_name};
    std::error_code error;
    const fs::file_status status = fs::symlink_status(out, error);
    if (status.type() == fs::file_type::not_found)
        return {};
    if (status.type() != fs::file_type::directory)
        return failure({Errc::usage, "out"}, out.string() + " is not a directory");
    for (fs::directory_iterator at{out, error}; !error && at != fs::directory_iterator{}; at.increment(error))
        if (std::ranges::find(ours, at->path().filename().string()) == std::end(ours))
            return failure({Errc::usage, "out"}, at->path().string() + " is not part of an image");
    if (error)
        return failure({Errc::system, "out", static_cast<std::uint64_t>(error.value())}, out);
    return {};
}

// A directory beside `out` that becomes `out`, or disappears. While its owner lives it is locked, so that what a killed
// build left behind can be told from what another one is writing.
class Staging {
  public:
    static BuildResult<Staging> make(const fs::path &out) {
        const fs::path parent = out.has_parent_path() ? out.parent_path() : fs::path{"."};
        std::error_code error;
        fs::create_directories(parent, error);
        if (error)
            return failure({Errc::system, "out", static_cast<std::uint64_t>(error.value())}, parent);
        const std::string prefix = out.filename().string() + ".new-";
        for (fs::directory_iterator at{parent, error}; !error && at != fs::directory_iterator{}; at.increment(error))
            if (at->path().filename().string().starts_with(prefix))
                remove_if_abandoned(at->path());
        std::string name = (parent / prefix).string() + "XXXXXX";
        if (::mkdtemp(name.data()) == nullptr)
            return os_failure("out", out);
        UniqueFd lock{::open(name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
        Staging staging{name, std::move(lock)};
        if (!staging.lock_ || ::flock(staging.lock_.get(), LOCK_EX | LOCK_NB) != 0 || ::chmod(name.c_str(), 0755) != 0)
            return os_failure("out", out);
        return staging;
    }
    Staging(Staging &&other) noexcept : path_(std::exchange(other.path_, {})), lock_(std::move(other.lock_)) {}
    Staging &operator=(Staging &&) = delete;
    ~Staging() {
        std::error_code ignored;
        if (!path_.empty())
            fs::remove_all(path_, ignored);
    }
    const fs::path &path() const { return path_; }

    // `out` is the old directory or the new one at every moment.
    BuildResult<void> become(const fs::path &out) {
        if (::fsync(lock_.get()) != 0)
            return os_failure("out", out);
        if (::rename(path_.c_str(), out.c_str()) == 0) { // there was none, or an empty one
            path_.clear();
            return {};
        }
        if (::renameat2(AT_FDCWD, path_.c_str(), AT_FDCWD, out.c_str(), RENAME_EXCHANGE) != 0)
            return os_failure("out", out);
        return {}; // the destructor removes the old one, which now has the temporary name
    }

  private:
    Staging(fs::path path, UniqueFd lock) : path_(std::move(path)), lock_(std::move(lock)) {}
    static void remove_if_abandoned(const fs::path &path) {
        const UniqueFd lock{::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)};
        std::error_code ignored;
        if (lock && ::flock(lock.get(), LOCK_EX | LOCK_NB) == 0)
            fs::remove_all(path, ignored);
    }
    fs::path path_;
    UniqueFd lock_;
};

class Build {
  public:
    Build(const BuildOptions &options, const BuildProgress &progress) : options_(options), progress_(progress) {}

    BuildResult<Built> run() {
        if (auto done = check_options(); !done)
            return std::unexpected(done.error());
        auto lock = take_lock(fs::path{work_}.concat(".lock"), interrupts_, progress_);
        if (!lock)
            return std::unexpected(lock.error());
        for (const auto &[name, step] : {std::pair{"kernel", &Build::kernel},
                                         {"agent", &Build::agent},
                                         {"initramfs", &Build::initramfs},
                                         {"firmware", &Build::firmware},
                                         {"reference values", &Build::reference_values},
                                         {"audit", &Build::audit},
                                         {"image", &Build::image}}) {
            const auto start = std::chrono::steady_clock::now();
            auto done = (this->*step)();
            if (done && interrupts_.signal() != 0)
                done = interrupted(name);
            if (!done)
                return std::unexpected(done.error());
            const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
            built_.steps.push_back({name, took.count()});
            char text[160];
            std::snprintf(text, sizeof text, "%-17s %7.1f s  %s", name, took.count(), note_.c_str());
            progress_(text);
            note_.clear();
        }
        return std::move(built_);
    }

  private:
    BuildResult<void> interrupted(std::string step) const {
        return std::unexpected(BuildFailure{
            .error = {Errc::system, "build"}, .subject = std::move(step), .log = {}, .signal = interrupts_.signal()});
    }

    // Linux's build, and the maps that keep paths out of the bytes, take no blanks, colons, equal signs or quotes.
    static BuildResult<void> check_path(const fs::path &path) {
        static constexpr std::string_view allowed = "/._-+,@%~";
        if (!std::ranges::all_of(path.string(), [](char c) {
                return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c < 0 ||
                       allowed.contains(c);
            }))
            return failure({Errc::usage, "path"}, path.string() +
                                                      " has a character that compilers' path maps do not "
                                                      "take; use letters, digits and " +
                                                      std::string{allowed});
        return {};
    }

    BuildResult<void> check_options() {
        if (!fs::exists(options_.source / "image/kernel.config"))
            return failure({Errc::usage, "source"}, options_.source.string() + " is not a cvmin source tree");
        if (options_.sysroot.empty() || !fs::exists(options_.sysroot / "lib/libmbedtls.a"))
            return failure({Errc::system, "sysroot"}, "CVMIN_SYSROOT names no guest sysroot: run it through ./dev");
        for (const fs::path &path : {options_.source, options_.sysroot, options_.work})
            if (auto fine = check_path(path); !fine)
                return fine;
        if (auto replaceable = check_replaceable(options_.out); !replaceable)
            return replaceable;
        const Sha256Digest key = sha256(as_bytes(options_.source.string() + '\n' + options_.sysroot.string()));
        // known before minutes are spent on a kernel
        if (options_.firmware == FirmwareOrigin::source)
            if (auto ready = run_script(firmware_script, {options_.rebuild_firmware ? "--can-rebuild" : "--can-build"});
                !ready)
                return std::unexpected(ready.error());
        work_ = options_.work.empty() ? cache_directory() / ("agent-" + hex(ByteView{key}.first(8)))
                                      : options_.work / "agent";
        std::error_code error;
        fs::create_directories(work_, error);
        if (error)
            return failure({Errc::system, "work", static_cast<std::uint64_t>(error.value())}, work_);
        return {};
    }

    BuildResult<Bytes> read_source(const fs::path &name) {
        return named(read_file(options_.source / name, max_recipe_file_size), options_.source / name);
    }

    // ---- steps ----

    // A script of image/ that prints the path of what it made.
    BuildResult<fs::path> run_script(const char *script, std::vector<std::string> arguments) {
        std::vector<std::string> command{"bash", options_.source / script};
        command.insert(command.end(), arguments.begin(), arguments.end());
        if (!options_.work.empty())
            command.insert(command.end(), {"--work", options_.work});
        ChildOptions child;
        child.environment = {{"CVMIN_SRC", options_.source}, {"CVMIN_CACHE", cache_directory()}};
        child.capture_output = true;
        auto finished = run_child(command, child, interrupts_);
        if (!finished)
            return failure(finished.error(), script);
        if (interrupts_.signal() != 0)
            return std::unexpected(interrupted(script).error());
        if (finished->status != 0)
            return std::unexpected(BuildFailure{.error = {Errc::system, "script"},
                                                .subject = script,
                                                .log = {},
                                                .reported = true,
                                                .exit_status = finished->status});
        std::string &path = finished->output;
        while (path.ends_with('\n'))
            path.pop_back();
        return fs::path{path};
    }

    // For a script that builds what the cache has once per key; with `again`, beside it.
    std::vector<std::string> script_arguments(bool again, const char *suffix) {
        std::vector<std::string> arguments{"-j", std::to_string(options_.jobs)};
        if (again) {
            const fs::path target = fs::path{work_}.concat(suffix); // the script makes it, and wants that there is none
            std::error_code ignored;
            fs::remove_all(target, ignored);
            arguments.insert(arguments.end(), {"--out", target});
        }
        return arguments;
    }

    BuildResult<void> kernel() {
        const auto made = run_script("image/kernel.sh", script_arguments(options_.rebuild_kernel, "-kernel"));
        if (!made)
            return std::unexpected(made.error());
        const fs::path &path = *made;
        auto bytes = named(read_file(path / "bzImage", max_kernel_size), path);
        auto config = named(read_file(path / "config", max_recipe_file_size), path);
        if (!bytes || !config)
            return std::unexpected(!bytes ? bytes.error() : config.error());
        kernel_ = std::move(*bytes);
        kernel_config_ = std::move(*config);
        kernel_config_path_ = path / "config";
        note_ = std::to_string(kernel_.size()) + " bytes, " + path.filename().string();
        return {};
    }

    // Why the image is as it is, for whoever has the image and not this work tree.
    BuildResult<void> audit() {
        ImageAudit audit;
        const char *const line_file = options_.debug ? "image/cmdline.debug" : "image/cmdline";
        const auto line = read_source(line_file);
        if (!line)
            return std::unexpected(line.error());
        auto parameters = named(parse_commented_parameters(*line), options_.source / line_file);
        if (!parameters)
            return std::unexpected(parameters.error());
        audit.parameters = std::move(*parameters);

        if (auto done = hardening(audit); !done)
            return done;
        const auto options_file = run_script("image/kernel_options.sh", {kernel_config_path_});
        if (!options_file)
            return std::unexpected(options_file.error());
        const auto options = named(read_file(*options_file, max_recipe_file_size), *options_file);
        if (!options)
            return std::unexpected(options.error());
        auto parsed = named(parse_kernel_options(*options), *options_file);
        if (!parsed)
            return std::unexpected(parsed.error());
        audit.options = std::move(*parsed);

        if (auto done = licences(audit.sources); !done)
            return done;
        audit_ = to_json(audit).dump(1) + "\n";
        if (auto back = parse_image_audit(as_bytes(audit_)); !back)
            return failure(back.error(), "audit.json");
        note_ = std::to_string(audit.options.size()) + " kernel options, " + std::to_string(audit.sources.size()) +
                " sources";
        return {};
    }

    // What is recommended, held against what is: a deviation has its reason, or there is no image.
    BuildResult<void> hardening(ImageAudit &audit) {
        static constexpr const char *name = "image/hardening.list";
        const auto text = read_source(name);
        if (!text)
            return std::unexpected(text.error());
        auto list = named(parse_recommendations(*text), options_.source / name);
        if (!list)
            return std::unexpected(list.error());
        if (const auto held = hold_recommendations(*list, kernel_config_, audit.parameters); !held)
            return failure({held.error().code, "hardening"},
                           (options_.source / name).string() + ": " + held.error().text);
        audit.hardening = std::move(*list);
        return {};
    }

    // Each source has a licence, and each licence a source of that version: both ways, so that neither grows stale.
    BuildResult<void> licences(std::vector<SourceLicence> &sources) {
        const auto text = read_source("toolchain/licences");
        if (!text)
            return std::unexpected(text.error());
        auto parsed = named(parse_licences(*text), options_.source / "toolchain/licences");
        if (!parsed)
            return std::unexpected(parsed.error());
        const bool built_firmware = options_.firmware == FirmwareOrigin::source;
        std::erase_if(*parsed, [&](const SourceLicence &source) {
            return source.name == firmware_source_name && !built_firmware;
        });
        for (SourceLicence &source : *parsed)
            if (source.name == firmware_package_name && built_firmware)
                source.part = "-"; // pinned like the others, and not in this image
        std::vector<const char *> locks{"toolchain/sources.lock", "toolchain/debs.lock"};
        if (built_firmware)
            locks.push_back(firmware_sources_lock);
        for (const char *lock : locks) {
            const bool sources_lock = lock != std::string_view{"toolchain/debs.lock"};
            const auto lines = read_source(lock);
            if (!lines)
                return std::unexpected(lines.error());
            for (const std::string_view line : meaningful_lines(as_text(*lines))) {
                const auto words = words_of(line); // sha256 size path package version architecture
                if (words.size() < 5)
                    return failure({Errc::malformed, "lock"}, options_.source / lock);
                const auto known = std::ranges::find(*parsed, words[3], &SourceLicence::name);
                if (known != parsed->end())
                    known->version = words[4];
                else if (sources_lock)
                    return failure({Errc::missing, "licence"}, "toolchain/licences: that of " + words[3]);
            }
        }
        for (const SourceLicence &source : *parsed)
            if (source.version.empty())
                return failure({Errc::missing, "source"},
                               "toolchain/licences names " + source.name + ", which no lock has");
        sources = std::move(*parsed);
        sources.push_back({"cvmin", CVMIN_VERSION, "agent", "Apache-2.0"}); // ./LICENSE
        return {};
    }

    static constexpr std::uintmax_t full_disk = 1u << 20; // the largest object has some 200 KiB
    BuildResult<void> run_logged(const std::vector<std::string> &command, std::string subject) {
        ChildOptions child;
        child.log = fs::path{work_}.concat(".log");
        // Paths stay as they are, nothing is taken for equal that is not, and what the compiler is given by a map of
        // paths, which ccache does not compare, is in guest.cmake.
        child.environment = {{"CCACHE_BASEDIR", ""},
                             {"CCACHE_SLOPPINESS", ""},
                             {"CCACHE_COMPILERCHECK", "content"},
                             {"CCACHE_EXTRAFILES", options_.source / "toolchain/guest.cmake"}};
        auto finished = run_child(command, child, interrupts_);
        if (!finished)
            return failure(finished.error(), std::move(subject));
        if (interrupts_.signal() != 0)
            return interrupted(std::move(subject));
        if (finished->status == 0)
            return {};
        BuildFailure failed{.error = {Errc::system, "agent"}, .subject = std::move(subject), .log = {}};
        // cmake and compilers do not always have the room to say so
        std::error_code unknown;
        if (const fs::space_info space = fs::space(work_, unknown); !unknown && space.available < full_disk)
            failed.error.detail = ENOSPC;
        if (auto log = read_file(child.log, 64u << 20)) {
            static constexpr std::size_t tail = 4000; // some 40 lines
            const std::string_view text = as_text(*log);
            failed.log = text.substr(text.size() - std::min(text.size(), tail));
        }
        return std::unexpected(std::move(failed));
    }

    // The agent's build tree, which ninja keeps right by the files' dates. What dates do not tell is told by content: a
    // tree made by another recipe, or a file that changed and has no later date (a clock that was set back, a copy with
    // the date of its original), and the tree is made anew.
    BuildResult<void> agent() {
        static constexpr const char *makers[] = {"CMakeLists.txt", "common/CMakeLists.txt", "agent-min/CMakeLists.txt",
                                                 "toolchain/guest.cmake"};
        const fs::path record = work_ / "cvmin.sources";
        std::error_code error;
        fs::remove(fs::path{work_}.concat(".log"), error);
        std::vector<std::string> configure{
            "cmake", "-G", "Ninja", "-S", options_.source, "-B", work_, "-DCVMIN_SYSROOT=" + options_.sysroot.string(),
            "-DCMAKE_BUILD_TYPE=MinSizeRel", "-DCMAKE_TOOLCHAIN_FILE=" + (options_.source / makers[3]).string(),
            // this function does it; cmake's way never ends with dates in the future
            "-DCMAKE_SUPPRESS_REGENERATION=ON"};
        if (in_path("ccache"))
            configure.insert(configure.end(),
                             {"-DCMAKE_C_COMPILER_LAUNCHER=ccache", "-DCMAKE_CXX_COMPILER_LAUNCHER=ccache"});
        std::string tree_key;
        for (const std::string &word : configure)
            tree_key += word + '\n';
        const auto files = source_files(options_.source, {"agent-min", "common", "CMakeLists.txt", makers[3]});
        if (!files)
            return failure(files.error(), "agent-min, common");
        std::string now;
        for (const char *maker : makers)
            if (const auto file = files->find(maker); file != files->end())
                tree_key += hex(file->second.sha256) + '\n';
        now = hex(sha256(as_bytes(tree_key))) + '\n';
        for (const auto &[name, file] : *files)
            now += hex(file.sha256) + "  " + name + '\n';

        if (!fs::exists(work_ / "build.ninja") || !tree_is_of(record, now)) {
            fs::remove_all(work_, error);
            if (auto done = run_logged(configure, "configuring the agent"); !done)
                return done;
        }
        if (auto done = run_logged({"ninja", "-C", work_, "-j", std::to_string(options_.jobs), "cvmin-agent"},
                                   "compiling the agent");
            !done)
            return done;
        if (auto written = write_file(record, as_bytes(now)); !written)
            return failure(written.error(), record);
        const fs::path binary = work_ / "agent-min/cvmin-agent";
        auto bytes = named(read_file(binary, max_agent_size), binary);
        if (!bytes)
            return std::unexpected(bytes.error());
        agent_ = std::move(*bytes);
        note_ = std::to_string(agent_.size()) + " bytes";
        return {};
    }

    static bool in_path(const char *program) {
        const char *const value = std::getenv("PATH");
        const std::string path = value == nullptr ? "" : value;
        for (std::size_t at = 0; at <= path.size();) {
            const std::size_t end = std::min(path.find(':', at), path.size());
            if (end > at && ::access((fs::path{path.substr(at, end - at)} / program).c_str(), X_OK) == 0)
                return true;
            at = end + 1;
        }
        return false;
    }

    // `record`: what was compiled last: a line for the recipe, then "sha256  name" of each file.
    bool tree_is_of(const fs::path &record, const std::string &now) const {
        const auto bytes = read_file(record, max_recipe_file_size);
        std::error_code error;
        const auto compiled = fs::last_write_time(record, error);
        if (!bytes || error)
            return false;
        const std::string_view before = as_text(*bytes);
        if (before.substr(0, before.find('\n')) != std::string_view{now}.substr(0, now.find('\n')))
            return false;
        static constexpr std::size_t digits = 64, name_at = digits + 2;
        for (std::size_t at = now.find('\n') + 1; at < now.size();) {
            const std::size_t end = now.find('\n', at);
            const std::string line = now.substr(at, end - at);
            at = end + 1;
            if (before.contains('\n' + line + '\n'))
                continue;
            const auto written = fs::last_write_time(options_.source / line.substr(name_at), error);
            if (error || written <= compiled)
                return false;
        }
        return true;
    }

    BuildResult<void> initramfs() {
        const auto archive = make_initramfs(agent_);
        if (!archive)
            return failure(archive.error(), "initramfs");
        auto compressed = compress_zstd(*archive);
        if (!compressed)
            return failure(compressed.error(), "initramfs");
        initrd_ = std::move(*compressed);
        note_ = std::to_string(initrd_.size()) + " bytes";
        return {};
    }

    BuildResult<void> pinned_firmware() {
        auto text = read_source(firmware_pin);
        if (!text)
            return std::unexpected(text.error());
        const auto pin = parse_firmware_pin(*text);
        if (!pin)
            return failure(pin.error(), options_.source / firmware_pin);
        auto bytes = named(read_file(pin->path, max_firmware_size), pin->path);
        if (!bytes)
            return std::unexpected(bytes.error());
        if (bytes->size() != pin->size || sha256(*bytes) != pin->sha256)
            return failure({Errc::mismatch, "firmware.pin"},
                           pin->path.string() + ": is " + hex(sha256(*bytes)) + ", the pin wants " + hex(pin->sha256));
        firmware_ = std::move(*bytes);
        firmware_source_ = pin->path;
        return {};
    }

    BuildResult<void> built_firmware() {
        const auto made = run_script(firmware_script, script_arguments(options_.rebuild_firmware, "-firmware"));
        if (!made)
            return std::unexpected(made.error());
        auto bytes = named(read_file(*made, max_firmware_size), *made);
        if (!bytes)
            return std::unexpected(bytes.error());
        firmware_ = std::move(*bytes);
        firmware_source_ = *made;
        note_ = std::to_string(firmware_.size()) + " bytes, from source";
        return {};
    }

    BuildResult<void> firmware() {
        if (auto done = options_.firmware == FirmwareOrigin::source ? built_firmware() : pinned_firmware(); !done)
            return done;
        const fs::path line_file = options_.debug ? "image/cmdline.debug" : "image/cmdline";
        auto line_text = read_source(line_file);
        if (!line_text)
            return std::unexpected(line_text.error());
        auto line = named(parse_command_line(*line_text), options_.source / line_file);
        if (!line)
            return std::unexpected(line.error());
        built_.manifest.command_line = std::move(*line);
        built_.manifest.hashes = kernel_hashes(kernel_, initrd_, built_.manifest.command_line);
        return {};
    }

    BuildResult<void> reference_values() {
        ImageManifest &manifest = built_.manifest;
        manifest.guest_policy = default_guest_policy;
        manifest.debug = options_.debug;
        manifest.firmware.sha256 = sha256(firmware_);
        const auto before = predict_before_vcpus(firmware_, manifest.hashes);
        if (!before)
            return failure(before.error(), firmware_source_);
        const auto all = predict_all(*before, manifest.guest_features);
        if (!all)
            return failure(all.error(), "reference values");
        Json models = Json::array();
        for (const ReferenceValues &values : *all) {
            Json names = Json::array(), digests = Json::array();
            for (const std::string_view name : values.models)
                names.push_back(name);
            for (const Sha384Digest &digest : values.digests)
                digests.push_back(hex(digest));
            ByteArray<4> signature{};
            store_be(signature, values.signature);
            models.push_back({{"models", std::move(names)},
                              {"signature", "0x" + hex(signature)},
                              {"launch_digests", std::move(digests)}});
        }
        values_ = Json{{"schema", 1},
                       {"kind", "cvmin-reference-values"},
                       {"debug", options_.debug},
                       {"hashes",
                        {{"kernel", hex(manifest.hashes.kernel)},
                         {"initrd", hex(manifest.hashes.initrd)},
                         {"cmdline", hex(manifest.hashes.cmdline)}}},
                       {"firmware", hex(manifest.firmware.sha256)},
                       {"guest_features", "0x" + std::to_string(manifest.guest_features)},
                       {"cpu_models", std::move(models)}};
        corim_ = corim::encode(corim::launches(manifest, *all), manifest.debug);
        note_ = std::to_string(all->size()) + " CPU signatures x " + std::to_string(max_vcpus) + " vCPU counts";
        return {};
    }

    // Everything that decides a byte of the image, by digest.
    BuildResult<void> inputs() {
        auto recorded = recipe_inputs(options_.source, options_.debug, options_.firmware);
        if (!recorded)
            return std::unexpected(recorded.error());
        built_.manifest.inputs = std::move(*recorded);
        built_.manifest.inputs.push_back({{"kind", "recipe"},
                                          {"name", resolved_configuration_input},
                                          {"sha256", hex(sha256(kernel_config_))},
                                          {"size", kernel_config_.size()}});
        return {};
    }

    BuildResult<void> image() {
        if (auto done = inputs(); !done)
            return done;
        ImageManifest &manifest = built_.manifest;
        manifest.version = CVMIN_VERSION;
        manifest.directory = options_.out;

        auto staging = Staging::make(options_.out);
        if (!staging)
            return std::unexpected(staging.error());
        auto put = [&](const char *name, ByteView bytes, mode_t mode = 0644) -> BuildResult<ImageFile> {
            if (auto written = write_file(staging->path() / name, bytes, mode); !written)
                return failure(written.error(), options_.out / name);
            return ImageFile{name, sha256(bytes), bytes.size()};
        };
        auto kernel = put("bzImage", kernel_);
        auto initrd = put("initrd.zst", initrd_);
        auto cmdline = put("cmdline", as_bytes(manifest.command_line));
        auto firmware = put("OVMF.fd", firmware_);
        auto agent = put("agent", agent_, 0755);
        auto values = put("reference-values.json", as_bytes(values_.dump(1) + "\n"));
        auto corim = put("reference-values.corim", corim_);
        auto audit = put("audit.json", as_bytes(audit_));
        for (const auto *file : {&kernel, &initrd, &cmdline, &firmware, &agent, &values, &corim, &audit})
            if (!*file)
                return std::unexpected(file->error());
        manifest.kernel = *kernel;
        manifest.initrd = *initrd;
        manifest.cmdline = *cmdline;
        manifest.firmware = *firmware;
        manifest.agent = *agent;
        manifest.reference_values = *values;
        manifest.reference_values_corim = *corim;
        manifest.audit = *audit;
        const std::string text = to_json(manifest).dump(2) + "\n";
        // what is written must be what our own reader takes
        if (auto parsed = parse_image_manifest(as_bytes(text), options_.out); !parsed)
            return failure(parsed.error(), "image.json");
        if (auto written = put("image.json", as_bytes(text)); !written)
            return std::unexpected(written.error());
        if (interrupts_.signal() != 0)
            return interrupted("image");
        if (auto done = staging->become(options_.out); !done)
            return done;
        built_.image_json = options_.out / "image.json";
        note_ = built_.image_json.string() + (options_.debug ? " (debug: console on)" : "");
        return {};
    }

    const BuildOptions &options_;
    const BuildProgress &progress_;
    Interrupts interrupts_;
    fs::path work_; // of the agent
    Bytes kernel_, kernel_config_, agent_, initrd_, firmware_;
    fs::path firmware_source_, kernel_config_path_;
    std::string audit_; // text of audit.json
    Json values_;
    Bytes corim_;
    std::string note_;
    Built built_;
};

std::expected<Built, BuildFailure> build_image(const BuildOptions &options, const BuildProgress &progress) {
    return Build{options, progress}.run();
}

} // namespace cvmin
