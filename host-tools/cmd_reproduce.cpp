// cvmin reproduce: builds a recorded image again and says whether the bytes are the same. The recipe is
// image/build.hpp's, the comparison image/image_diff.hpp's.
#include "host-tools/base/os.hpp"
#include "host-tools/base/scratch.hpp"
#include "host-tools/base/text.hpp"
#include "host-tools/cli.hpp"
#include "host-tools/image_output.hpp"
#include "image/build.hpp"
#include "image/child.hpp"
#include "image/provenance.hpp"
#include "image/source_state.hpp"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

namespace cvmin {

namespace fs = std::filesystem;

namespace {

constexpr const char *command = "reproduce";
constexpr std::size_t max_source_size = 1u << 30; // the largest, LLVM's, has 164 MB
constexpr const char *scratch_prefix = "cvmin-reproduce-";
constexpr uid_t varied_user = 1234; // image/vary.sh's
// 0755: the varied user reads what we made
constexpr fs::perms for_everybody = fs::perms::owner_all | fs::perms::group_read | fs::perms::group_exec |
                                    fs::perms::others_read | fs::perms::others_exec;
constexpr const char *variations[] = {"path", "jobs", "umask", "locale", "time", "hostname", "fs-order", "user"};
constexpr const char *copied[] = {"agent-min", "common", "image", "toolchain", "CMakeLists.txt"}; // what decides bytes

struct Args {
    std::string image, source, work, out;
    std::vector<std::string> vary;
    bool cached_kernel = false, cached_firmware = false, json = false;
    unsigned jobs = std::max(1u, std::thread::hardware_concurrency());
    bool varies(std::string_view what) const { return std::ranges::contains(vary, what); }
};

std::string from_environment(const char *name) {
    const char *value = std::getenv(name);
    return value == nullptr ? "" : value;
}

// ---- before: are these the sources? ----

Explained<void> check_sources(const ImageManifest &recorded) {
    for (const Json &input : recorded.inputs) {
        if (input["kind"] != "source")
            continue;
        const std::string wanted = input["sha256"].get<std::string>();
        const fs::path path = cache_directory() / "dl" / wanted;
        const auto bytes = read_file(path, max_source_size);
        const std::string name = printable_line(input["name"].get<std::string>());
        if (!bytes)
            return explain(bytes.error(), name + " (" + path.string() + "; ./dev fetches it, or ./dev firmware)");
        if (hex(sha256(*bytes)) != wanted)
            return explain(Errc::mismatch,
                           path.string() + ": is not " + name + "; remove it, and ./dev fetches it anew");
    }
    return {};
}

// ---- the varied build ----

std::vector<std::string> order_of(const fs::path &directory) {
    std::vector<std::string> names;
    std::error_code error;
    for (fs::directory_iterator at{directory, error}; !error && at != fs::directory_iterator{}; at.increment(error))
        names.push_back(at->path().filename());
    return names;
}

// A copy made in reverse order of names, with other dates; links are followed by neither.
Explained<void> copy_tree(const fs::path &from, const fs::path &to, bool old_dates) {
    std::error_code error;
    if (fs::is_directory(from, error)) {
        fs::create_directories(to, error);
        if (error)
            return explain({Errc::system, "copy", static_cast<std::uint64_t>(error.value())}, to.string());
        std::vector<std::string> names = order_of(from);
        std::ranges::sort(names, std::greater{});
        for (const std::string &name : names)
            if (auto done = copy_tree(from / name, to / name, old_dates); !done)
                return done;
        return {};
    }
    fs::copy_file(from, to, error);
    if (!error && old_dates) { // the year 2001
        struct timespec times[2] = {{1000000000, 0}, {1000000000, 0}};
        if (::utimensat(AT_FDCWD, to.c_str(), times, 0) != 0)
            error = {errno, std::system_category()};
    }
    if (error)
        return explain({Errc::system, "copy", static_cast<std::uint64_t>(error.value())}, to.string());
    return {};
}

// The varied build's cache: what it may use of ours by links, so that it can make its own locks and files beside them.
Explained<void> link_cache(const fs::path &cache) {
    std::error_code error;
    fs::create_directories(cache, error);
    for (const std::string &name : order_of(cache_directory()))
        if (name == "dl" ||
            ((name.starts_with("kernel-") || name.starts_with("firmware-")) && !name.ends_with(".lock")))
            fs::create_symlink(cache_directory() / name, cache / name, error);
    if (error)
        return explain({Errc::system, "cache", static_cast<std::uint64_t>(error.value())}, cache.string());
    return {};
}

Explained<void> give_to_varied_user(const fs::path &directory) {
    std::error_code error;
    for (const fs::path &path : {directory, directory / "cache", directory / "work"})
        if (fs::exists(path, error) && ::chown(path.c_str(), varied_user, varied_user) != 0)
            return explain({Errc::system, "user", static_cast<std::uint64_t>(errno)}, path.string());
    return {};
}

Explained<fs::path> build_varied(const Args &args, const BuildOptions &plain, const fs::path &scratch) {
    const fs::path base = scratch / (args.varies("path") ? "another-directory/with-a-longer+name" : "varied");
    std::error_code error;
    fs::create_directories(base / "work", error);
    if (error)
        return explain({Errc::system, "directory", static_cast<std::uint64_t>(error.value())}, base.string());
    fs::path source = plain.source;
    std::optional<Scratch> memory;
    if (args.varies("path") || args.varies("time") || args.varies("fs-order")) {
        source = base / "tree";
        if (args.varies("fs-order")) { // tmpfs lists the newest first; disks list by a hash of the name
            struct statfs found{};
            const fs::path shm = "/dev/shm";
            if (::statfs(shm.c_str(), &found) != 0 || found.f_type != TMPFS_MAGIC)
                return explain(Errc::system, "fs-order cannot be varied here: /dev/shm is no tmpfs");
            auto made = Scratch::make(fs::path{shm} / scratch_prefix);
            if (!made)
                return std::unexpected(made.error());
            memory.emplace(std::move(*made));
            fs::permissions(memory->path(), for_everybody, error);
            source = memory->path() / "tree";
        }
        for (const char *name : copied)
            if (auto done = copy_tree(plain.source / name, source / name, args.varies("time")); !done)
                return std::unexpected(done.error());
        if (args.varies("fs-order") && order_of(source / "agent-min") == order_of(plain.source / "agent-min"))
            return explain(Errc::system, "fs-order cannot be varied here: both file systems list in the same order");
    }
    if (auto done = link_cache(base / "cache"); !done)
        return std::unexpected(done.error());
    if (args.varies("user")) {
        fs::permissions(scratch, for_everybody, error);
        if (auto done = give_to_varied_user(base); !done)
            return std::unexpected(done.error());
    }
    std::string list = "-";
    for (const std::string &one : args.vary)
        list += "," + one;
    const fs::path self = fs::read_symlink("/proc/self/exe", error);
    if (error)
        return explain({Errc::system, "cvmin", static_cast<std::uint64_t>(error.value())}, "/proc/self/exe");
    const unsigned jobs = args.varies("jobs") ? args.jobs + 2 : args.jobs;
    std::vector<std::string> line{"bash",
                                  source / "image/vary.sh",
                                  list,
                                  self,
                                  "build",
                                  "--source",
                                  source,
                                  "--out",
                                  base / "out",
                                  "--work",
                                  base / "work",
                                  "-j",
                                  std::to_string(jobs)};
    if (plain.debug)
        line.emplace_back("--debug");
    if (plain.rebuild_kernel)
        line.emplace_back("--rebuild-kernel");
    if (plain.firmware == FirmwareOrigin::source)
        line.insert(line.end(), {"--firmware", "source"});
    if (plain.rebuild_firmware)
        line.emplace_back("--rebuild-firmware");
    ChildOptions child;
    child.capture_output = true;
    child.environment = {{"CVMIN_CACHE", base / "cache"}, {"CVMIN_SRC", source}, {"TMPDIR", base / "work"}};
    const Interrupts interrupts;
    const auto finished = run_child(line, child, interrupts);
    if (!finished)
        return explain(finished.error(), "the varied build");
    if (finished->status != 0)
        return explain(Errc::system, "the varied build failed (exit code " + std::to_string(finished->status) + ")");
    return base / "out";
}

// ---- after ----

void offer_diffoscope(const Args &args) {
    std::error_code error;
    bool installed = false;
    std::string path = from_environment("PATH");
    for (std::size_t at = 0; at <= path.size() && !installed;) {
        const std::size_t end = std::min(path.find(':', at), path.size());
        installed = fs::exists(fs::path{path.substr(at, end - at)} / "diffoscope", error);
        at = end + 1;
    }
    if (!installed)
        return;
    const std::string recorded =
        fs::is_directory(args.image, error) ? args.image : fs::path{args.image}.parent_path().string();
    note(args.out.empty() ? "diffoscope is installed: with --out DIR what was built is kept for it"
                          : "for all details: diffoscope --html report.html " + recorded + " " + args.out);
}

int report(const Args &args, const ImageComparison &comparison, bool options_known, bool firmware_rebuilt) {
    if (args.json) {
        Json varied = Json::array();
        for (const std::string &one : args.vary)
            varied.push_back(one);
        print_json({{"schema", 1},
                    {"same", comparison.same_bytes},
                    {"kernel_rebuilt", !args.cached_kernel},
                    {"firmware_rebuilt", firmware_rebuilt},
                    {"varied", std::move(varied)},
                    {"comparison", comparison_json(comparison, options_known)}});
    } else {
        print_comparison(comparison, options_known);
        if (args.cached_kernel)
            std::printf("the kernel was not built again: it came from the cache\n");
        if (!firmware_rebuilt)
            std::printf("the firmware was not built again: it %s\n",
                        args.cached_firmware ? "came from the cache" : "is Debian's binary, which is pinned");
    }
    if (comparison.same_bytes)
        return Exit::ok;
    if (const ImageDifference *first = first_output_difference(comparison); first != nullptr)
        report_error(command, Exit::rejected,
                     "not the recorded bytes; recorded | built, first " + difference_text(*first));
    offer_diffoscope(args);
    return Exit::rejected;
}

int reproduce(const Args &args) {
    const auto recorded = load_image(args.image);
    if (!recorded)
        return report_error(command, recorded.error());

    std::error_code error;
    if (!args.out.empty() && fs::exists(fs::symlink_status(args.out, error)))
        return report_error(command, Exit::usage, args.out + " is there already");
    BuildOptions options;
    options.source = args.source.empty() ? from_environment("CVMIN_SRC") : args.source;
    options.source = fs::absolute(options.source.empty() ? "." : options.source, error).lexically_normal();
    if (!options.source.has_filename())
        options.source = options.source.parent_path();
    options.debug = recorded->manifest.debug;
    options.sysroot = from_environment("CVMIN_SYSROOT");
    options.jobs = args.jobs;
    options.rebuild_kernel = !args.cached_kernel;
    options.firmware = firmware_origin(recorded->manifest);
    options.rebuild_firmware = options.firmware == FirmwareOrigin::source && !args.cached_firmware;
    if (args.cached_firmware && options.firmware == FirmwareOrigin::package)
        return report_error(command, Exit::usage,
                            "--cached-firmware: this image has Debian's binary, which no build makes");
    if (args.varies("user") && options.rebuild_firmware)
        return report_error(command, Exit::system_failure,
                            "user cannot be varied for a firmware from source, which takes a root of its own; leave "
                            "user out, or add --cached-firmware");

    const auto ours = recipe_inputs(options.source, options.debug, options.firmware);
    if (!ours)
        return report_error(command, ours.error().error, ours.error().subject);
    if (const auto others = other_inputs(recorded->manifest, *ours); !others.empty()) {
        for (const std::string &other : others)
            note("needed: " + other);
        if (const auto text = read_file(recorded->manifest.directory / provenance_name, max_provenance_size))
            if (const auto provenance = parse_provenance(*text))
                note(std::string{"the "} + provenance_name + " beside the image says: commit " + provenance->commit);
        return report_error(command, Exit::bad_input,
                            options.source.string() +
                                " is not the work tree that the image was built from; first: " + others.front());
    }
    if (const auto done = check_sources(recorded->manifest); !done)
        return report_error(command, done.error());
    note("inputs of this work tree and sources in the cache are the recorded ones");

    ::setenv("CCACHE_DISABLE", "1", 1); // compiled again, not found again
    auto scratch = Scratch::make((args.work.empty() ? fs::temp_directory_path(error) : fs::absolute(args.work, error)) /
                                 scratch_prefix);
    if (!scratch)
        return report_error(command, scratch.error());
    if (args.vary.empty()) {
        options.out = scratch->path() / "out";
        options.work = scratch->path() / "work";
        const auto built = build_image(options, [](std::string_view text) { note(text); });
        if (!built)
            return report_build_failure(command, built.error());
    } else {
        const auto varied = build_varied(args, options, scratch->path());
        if (!varied)
            return report_error(command, varied.error());
        options.out = *varied;
    }
    const auto image = load_image(options.out);
    if (!image)
        return report_error(command, image.error());
    if (!args.out.empty()) {
        if (const fs::path kept{args.out}; kept.has_parent_path())
            fs::create_directories(kept.parent_path(), error);
        if (!error)
            fs::copy(options.out, args.out, fs::copy_options::recursive, error);
        if (error)
            return report_error(command, {Errc::system, "out", static_cast<std::uint64_t>(error.value())}, args.out);
    }
    return report(args, compare_images(*recorded, *image), recorded->audit && image->audit, options.rebuild_firmware);
}

} // namespace

int cmd_reproduce(int argc, char **argv) {
    Args args;
    CLI::App app{"Build a recorded image again from this work tree and say whether every byte is the same. Checks "
                 "first that the\n"
                 "tree and the sources are those that image.json names. Runs inside the toolchain root.",
                 "cvmin reproduce"};
    app.footer(
        "Examples:\n"
        "  ./dev cvmin reproduce out\n"
        "  ./dev cvmin reproduce out --cached-kernel --vary path,jobs,umask,locale,time,hostname,fs-order,user\n\n"
        "Exit codes: 0 all bytes are the same, 1 they are not, 2 usage, 3 this tree or an input is not the recorded "
        "one,\n"
        "4 system: also when something of --vary cannot be varied here.");
    app.add_option("image", args.image, "directory of an image, or its image.json")->required();
    app.add_option("--source", args.source, "work tree of cvmin (default: $CVMIN_SRC, or the current directory)");
    app.add_option("--work", args.work, "directory for intermediate files (default: $TMPDIR); all of them are removed");
    app.add_option("--out", args.out, "keep what was built in this directory");
    app.add_option("--vary", args.vary,
                   "build with these changed: path, jobs, umask, locale, time (zone, and dates of "
                   "the sources), hostname, fs-order, user")
        ->delimiter(',')
        ->check(CLI::IsMember(std::vector<std::string>(std::begin(variations), std::end(variations))));
    app.add_flag("--cached-kernel", args.cached_kernel, "take the kernel from the cache (building it takes minutes)");
    app.add_flag("--cached-firmware", args.cached_firmware,
                 "take a firmware that is built from source from the cache (building it takes minutes)");
    app.add_option("-j,--jobs", args.jobs, "parallel jobs (default: the number of cores)")->check(CLI::Range(1, 1024));
    app.add_flag("--json", args.json, "print JSON (schema 1)");
    if (const auto done = parse_options(app, argc, argv))
        return *done;
    return reproduce(args);
}

} // namespace cvmin
