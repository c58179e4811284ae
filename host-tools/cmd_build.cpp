// cvmin build: options, progress, the result's path. The recipe is image/build.hpp's.
#include "host-tools/base/os.hpp"
#include "host-tools/cli.hpp"
#include "host-tools/image_output.hpp"
#include "host-tools/reference.hpp"
#include "image/build.hpp"
#include "image/source_state.hpp"

#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <thread>

namespace cvmin {

static std::string from_environment(const char *name) {
    const char *value = std::getenv(name);
    return value == nullptr ? "" : value;
}

static unsigned default_jobs() {
    unsigned jobs = 0;
    const std::string limit = from_environment("CVMIN_JOBS");
    const auto [end, error] = std::from_chars(limit.data(), limit.data() + limit.size(), jobs);
    if (error == std::errc{} && end == limit.data() + limit.size() && jobs > 0)
        return jobs;
    return std::max(1u, std::thread::hardware_concurrency());
}

int report_build_failure(const char *command, const BuildFailure &failure) {
    if (failure.signal != 0) {
        report_error(command, Exit::system_failure, "interrupted; nothing was changed");
        std::signal(failure.signal, SIG_DFL);
        std::raise(failure.signal); // whoever waits for us learns of the signal
        return Exit::system_failure;
    }
    if (failure.reported) // exit codes are the same in our scripts
        return failure.exit_status >= Exit::usage && failure.exit_status <= Exit::peer ? failure.exit_status
                                                                                       : Exit::system_failure;
    if (!failure.log.empty())
        std::fprintf(stderr, "%s\n", failure.log.c_str());
    if (failure.error.code == Errc::usage || (failure.error.code == Errc::system && failure.error.detail == 0))
        return report_error(command, static_cast<Exit>(exit_code(failure.error.code)),
                            failure.log.empty() ? failure.subject : failure.subject + " failed");
    return report_error(command, failure.error, failure.subject);
}

static Explained<void> sign_reference_values(const std::filesystem::path &out, const P384PrivateKey &key,
                                             const std::string &signer) {
    const std::filesystem::path corim = out / "reference-values.corim";
    const auto file = read_file(corim, corim::max_size);
    if (!file)
        return explain(file.error(), corim.string());
    const auto made = sign_corim(*file, key, signer);
    if (!made)
        return std::unexpected(made.error());
    if (const auto written = write_file(out / signed_corim_name, *made); !written)
        return explain(written.error(), (out / signed_corim_name).string());
    return {};
}

int cmd_build(int argc, char **argv) {
    CLI::App app{
        "Builds the CVM image: kernel, agent, initramfs, command line, firmware, reference values and image.json.\n"
        "The same sources give the same bytes. Runs inside the toolchain root; prints the path of image.json.",
        "cvmin build"};
    app.footer(
        "Examples:\n"
        "  ./dev cvmin build --out out\n"
        "  ./dev cvmin build --firmware source --out out-source\n"
        "The kernel is built once per configuration (some minutes); a changed agent makes a new image in seconds.");
    std::string out, source, work, corim_key, corim_signer, firmware = "package";
    bool debug = false, rebuild_kernel = false, rebuild_firmware = false, json = false;
    unsigned jobs = default_jobs();
    app.add_option("--out", out, "directory of the image; replaced as a whole (default: out, or out-debug)");
    app.add_option("--source", source, "work tree of cvmin (default: $CVMIN_SRC, or the current directory)");
    app.add_option("--work", work,
                   "directory for intermediate files (default: the cache, so that they are used again)");
    app.add_flag("--debug", debug, "build the debug image: console on, another launch digest");
    app.add_flag("--rebuild-kernel", rebuild_kernel, "build the kernel again, whatever the cache has (some minutes)");
    app.add_option("--firmware", firmware,
                   "package: Debian's binary, pinned (default); source: OVMF built from Debian's edk2 sources\n"
                   "(some minutes, once; other bytes, another launch digest)")
        ->check(CLI::IsMember({"package", "source"}));
    app.add_flag("--rebuild-firmware", rebuild_firmware,
                 "with --firmware source: build it again, whatever the cache has");
    app.add_option("-j,--jobs", jobs, "parallel jobs (default: $CVMIN_JOBS, or the number of cores)")
        ->check(CLI::Range(1, 1024));
    app.add_option("--corim-key", corim_key,
                   "private key (P-384; PEM or DER) that signs the reference values: reference-values.signed.corim");
    app.add_option("--corim-signer", corim_signer, "name of that signer (default: the key's fingerprint)");
    app.add_flag("--json", json, "print JSON: paths, digests, steps with their times");
    if (const auto code = parse_options(app, argc, argv))
        return *code;

    std::error_code error;
    BuildOptions options;
    if (source.empty())
        source = from_environment("CVMIN_SRC");
    options.source = std::filesystem::absolute(source.empty() ? "." : source, error).lexically_normal();
    if (!options.source.has_filename())
        options.source = options.source.parent_path();
    options.out = out.empty() ? (debug ? "out-debug" : "out") : out;
    if (!options.out.has_filename())
        options.out = options.out.parent_path();
    if (!work.empty())
        options.work = std::filesystem::absolute(work, error);
    options.sysroot = from_environment("CVMIN_SYSROOT");
    options.debug = debug;
    options.rebuild_kernel = rebuild_kernel;
    options.firmware = firmware == "source" ? FirmwareOrigin::source : FirmwareOrigin::package;
    options.rebuild_firmware = rebuild_firmware;
    if (rebuild_firmware && options.firmware != FirmwareOrigin::source)
        return report_error("build", Exit::usage, "--rebuild-firmware goes with --firmware source only");
    options.jobs = jobs;

    P384PrivateKey key;
    if (!corim_key.empty()) // a key that cannot be used is known before minutes are spent
        if (const auto read = read_private_key_file(key, corim_key); !read)
            return report_error("build", read.error());

    // Said, and not recorded in the image: the same content under another commit gives the same bytes.
    Json source_json;
    int interrupted = 0;
    {
        const Interrupts interrupts;
        if (const auto state = read_source_state(options.source, interrupts)) {
            source_json = {{"commit", state->commit}, {"dirty", state->dirty()}};
            note("source            commit " + state->commit.substr(0, 12) +
                 (state->dirty() ? ", not as committed: " + changed_text(*state) : ""));
        } else if (state.error().code == Errc::missing) {
            note("source            no commit: the work tree has no git repository of its own");
        }
        interrupted = interrupts.signal();
    }
    if (interrupted != 0)
        return report_build_failure(
            "build", {.error = {Errc::system, "build"}, .subject = {}, .log = {}, .signal = interrupted});

    const auto built = build_image(options, [](std::string_view text) { note(text); });
    if (!built)
        return report_build_failure("build", built.error());
    if (!corim_key.empty())
        if (const auto done = sign_reference_values(options.out, key, corim_signer); !done)
            return report_error("build", done.error());
    if (!json) {
        std::printf("%s\n", built->image_json.c_str());
        return Exit::ok;
    }
    Json steps = Json::array();
    for (const BuildStep &step : built->steps)
        steps.push_back({{"name", step.name}, {"seconds", step.seconds}});
    print_json({{"schema", 1},
                {"image", built->image_json.string()},
                {"source", std::move(source_json)},
                {"manifest", to_json(built->manifest)},
                {"steps", steps}});
    return Exit::ok;
}

} // namespace cvmin
