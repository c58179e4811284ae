// cvmin image: what is in an image and why, and why two images are not the same. What is compared, and how, is
// image/image_diff.hpp's.
#include "host-tools/base/text.hpp"
#include "host-tools/cli.hpp"
#include "host-tools/image_output.hpp"
#include "image/image_diff.hpp"

#include <algorithm>
#include <cstdio>

#include <sys/stat.h>

namespace cvmin {

namespace {

constexpr const char *command = "image";

struct Args {
    std::string image, other;
    bool json = false;
};

// As ls(1) writes it.
std::string mode_text(std::uint32_t mode) {
    std::string text = S_ISDIR(mode)   ? "d"
                       : S_ISLNK(mode) ? "l"
                       : S_ISCHR(mode) ? "c"
                       : S_ISBLK(mode) ? "b"
                       : S_ISREG(mode) ? "-"
                                       : "?";
    for (int bit = 8; bit >= 0; --bit)
        text += (mode >> bit & 1) != 0 ? "xwr"[bit % 3] : '-';
    if ((mode & S_ISUID) != 0)
        text[3] = text[3] == 'x' ? 's' : 'S';
    if ((mode & S_ISGID) != 0)
        text[6] = text[6] == 'x' ? 's' : 'S';
    if ((mode & S_ISVTX) != 0)
        text[9] = text[9] == 'x' ? 't' : 'T';
    return text;
}

Json file_json(const InitramfsFile &file) {
    char mode[12];
    std::snprintf(mode, sizeof mode, "%06o", static_cast<unsigned>(file.mode));
    Json out{{"name", file.name}, {"mode", mode}, {"uid", file.uid}, {"gid", file.gid}};
    if (S_ISCHR(file.mode) || S_ISBLK(file.mode))
        out["device"] = std::to_string(file.device_major) + ":" + std::to_string(file.device_minor);
    out["size"] = file.size;
    out["sha256"] = S_ISREG(file.mode) || S_ISLNK(file.mode) ? Json(hex(file.sha256)) : Json(nullptr);
    return out;
}

Json files_json(const std::vector<InitramfsFile> &files) {
    Json out = Json::array();
    for (const InitramfsFile &file : files)
        out.push_back(file_json(file));
    return out;
}

void print_files(const std::vector<InitramfsFile> &files) {
    for (const InitramfsFile &file : files) {
        const bool has_data = S_ISREG(file.mode) || S_ISLNK(file.mode);
        std::printf("%s %u:%u %10llu %-64s %s\n", mode_text(file.mode).c_str(), file.uid, file.gid,
                    static_cast<unsigned long long>(file.size), has_data ? hex(file.sha256).c_str() : "-",
                    printable_line(file.name).c_str());
    }
}

int list(const Args &args) {
    const auto image = load_image(args.image);
    if (!image)
        return report_error(command, image.error());
    const auto files = list_initramfs(image->files.initrd);
    if (!files)
        return report_error(command, files.error(), args.image);
    if (args.json)
        print_json({{"schema", 1}, {"initramfs", files_json(*files)}});
    else
        print_files(*files);
    return Exit::ok;
}

Json inspect_json(const LoadedImage &image, const std::vector<InitramfsFile> &files) {
    Json out{{"schema", 1}, {"image", to_json(image.manifest)}, {"initramfs", files_json(files)}};
    if (image.audit) {
        const Json audit = to_json(*image.audit);
        for (const char *member : {"kernel_base", "kernel_options", "command_line", "hardening", "sources"})
            out[member] = audit[member];
    } else {
        for (const char *member : {"kernel_base", "kernel_options", "command_line", "hardening", "sources"})
            out[member] = nullptr; // not recorded
    }
    return out;
}

void print_audit(const ImageAudit &audit) {
    std::printf("\ncommand line, %zu parameters:\n", audit.parameters.size());
    for (const CommandLineParameter &parameter : audit.parameters)
        std::printf("  %-36s %s\n", printable_line(parameter.text).c_str(), printable_line(parameter.reason).c_str());
    std::printf("\nkernel, %zu options that this image asks for or that are not as in Linux's allnoconfig:\n",
                audit.options.size());
    for (const KernelOption &option : audit.options) {
        const std::string reason = (option.origin == "selected"  ? "selected by "
                                    : option.origin == "default" ? "default of "
                                                                 : "") +
                                   option.reason;
        const std::string base = option.base == option.value ? "as there" : "there " + option.base;
        std::printf("  %-48s %-12s %s\n", printable_line("CONFIG_" + option.name + "=" + option.value).c_str(),
                    printable_line(base).c_str(), printable_line(reason).c_str());
    }
    std::printf("\nlicences:\n");
    for (const SourceLicence &source : audit.sources)
        std::printf(
            "  %-20s %-28s %-24s %s\n", printable_line(source.name).c_str(), printable_line(source.version).c_str(),
            source.part == "-" ? "beside the image" : source.part.c_str(), printable_line(source.licence).c_str());
}

int inspect(const Args &args) {
    const auto image = load_image(args.image);
    if (!image)
        return report_error(command, image.error());
    const auto files = list_initramfs(image->files.initrd);
    if (!files)
        return report_error(command, files.error(), args.image);
    if (args.json) {
        print_json(inspect_json(*image, *files));
        return Exit::ok;
    }
    const ImageManifest &manifest = image->manifest;
    std::printf("built by cvmin %s%s\ncommand line: %s\n\nfiles:\n", printable_line(manifest.version).c_str(),
                manifest.debug ? ", debug (console on)" : "", manifest.command_line.c_str());
    const Json files_of_manifest = to_json(manifest)["files"];
    for (const auto &[name, file] : files_of_manifest.items())
        std::printf("  %-24s %10llu %s %s\n", name.c_str(),
                    static_cast<unsigned long long>(file["size"].get<std::uint64_t>()),
                    file["sha256"].get<std::string>().c_str(), file["path"].get<std::string>().c_str());
    std::printf("\ninputs:\n");
    for (const Json &input : manifest.inputs)
        std::printf("  %-10s %10llu %s %s\n", printable_line(input["kind"].get<std::string>()).c_str(),
                    static_cast<unsigned long long>(input["size"].get<std::uint64_t>()),
                    input["sha256"].get<std::string>().c_str(),
                    printable_line(input["name"].get<std::string>()).c_str());
    std::printf("\ninitramfs:\n");
    print_files(*files);
    if (image->audit)
        print_audit(*image->audit);
    else
        std::printf("\nreasons of kernel options and parameters, and licences: not available; whoever built this image "
                    "recorded none (no audit.json)\n");
    return Exit::ok;
}

// What is not followed comes first: it is what people look for.
void print_recommendations(const std::vector<Recommendation> &list) {
    const auto not_followed = [](const Recommendation &one) { return !followed(one); };
    const auto count = std::ranges::count_if(list, not_followed);
    std::printf("%zu recommendations, %td not followed:\n", list.size(), count);
    for (const bool others : {true, false}) {
        if (!others)
            std::printf("\nfollowed:\n");
        for (const Recommendation &one : list) {
            if (followed(one) == others)
                continue;
            const std::string name = (one.kind == "config" ? "CONFIG_" : "") + one.name;
            const std::string wanted = "wanted " + one.wanted + " (" + one.by + ")";
            const std::string line = one.reason.empty() ? wanted
                                     : others           ? wanted + ": " + one.reason
                                                        : wanted + ", by " + one.reason;
            std::printf("  %-7s %-42s %-9s %s\n", one.kind.c_str(), printable_line(name).c_str(),
                        printable_line(one.ours).c_str(), printable_line(line).c_str());
        }
    }
}

int hardening(const Args &args) {
    const auto image = load_image(args.image);
    if (!image)
        return report_error(command, image.error());
    if (!image->audit)
        return report_error(command, Error{Errc::missing, "audit"}, args.image + ": no audit.json");
    if (args.json)
        print_json({{"schema", 1}, {"hardening", to_json(*image->audit)["hardening"]}});
    else
        print_recommendations(image->audit->hardening);
    return Exit::ok;
}

int diff(const Args &args) {
    const auto a = load_image(args.image);
    if (!a)
        return report_error(command, a.error());
    const auto b = load_image(args.other);
    if (!b)
        return report_error(command, b.error());
    const ImageComparison comparison = compare_images(*a, *b);
    if (args.json)
        print_json(comparison_json(comparison, a->audit && b->audit));
    else
        print_comparison(comparison, a->audit && b->audit);
    return comparison.same_bytes ? Exit::ok : Exit::rejected;
}

} // namespace

int cmd_image(int argc, char **argv) {
    Args args;
    CLI::App app{"Show what is in an image and why, and why two images are not the same.", "cvmin image"};
    app.require_subcommand(1);
    app.footer(
        "Examples:\n"
        "  cvmin image list out\n"
        "  cvmin image inspect out/image.json\n"
        "  cvmin image hardening out\n"
        "  cvmin image diff out out-debug\n\n"
        "Exit codes: 0 done, 1 the images differ (diff), 2 usage, 3 bad input: no image, or a file of it is not the\n"
        "recorded one, 4 system.");
    const auto add = [&](const char *name, const char *what) {
        CLI::App *sub = app.add_subcommand(name, what);
        sub->add_option("image", args.image, "directory of an image, or its image.json")->required();
        sub->add_flag("--json", args.json, "print JSON (schema 1)");
        return sub;
    };
    CLI::App *list_app = add("list", "every file of the initramfs: mode, owner, size, sha256");
    CLI::App *inspect_app =
        add("inspect", "files, inputs, initramfs, and with their reasons parameters and kernel options; licences");
    CLI::App *hardening_app =
        add("hardening", "recommended kernel settings, what this image has, and why where it is another");
    CLI::App *diff_app = add("diff", "what differs, down to the first byte, and whether the launch digest does");
    diff_app->add_option("other", args.other, "the second image")->required();
    if (const auto done = parse_options(app, argc, argv))
        return *done;
    if (list_app->parsed())
        return list(args);
    if (hardening_app->parsed())
        return hardening(args);
    return inspect_app->parsed() ? inspect(args) : diff(args);
}

} // namespace cvmin
