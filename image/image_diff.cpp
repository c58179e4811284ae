#include "image/image_diff.hpp"

#include "host-tools/base/os.hpp"
#include "image/image_parts.hpp"
#include "image/newc.hpp"

#include <cstdio>
#include <map>

#include <sys/stat.h>

namespace cvmin {

namespace fs = std::filesystem;

// ---- reading -----------------------------------------------------------------------------------------------------

static Explained<Bytes> load_optional(const ImageManifest &manifest, const ImageFile &file) {
    const fs::path path = manifest.directory / file.path;
    // nothing that a build writes beside an image is larger than the initramfs may be
    auto bytes = read_file(path, max_initrd_size);
    if (!bytes)
        return explain(bytes.error(), path.string());
    if (bytes->size() != file.size || sha256(*bytes) != file.sha256)
        return explain(Errc::mismatch, path.string() + ": is not the file that image.json records");
    return std::move(*bytes);
}

Explained<LoadedImage> load_image(const fs::path &path) {
    std::error_code ignored;
    const fs::path image_json = fs::is_directory(path, ignored) ? path / "image.json" : path;
    LoadedImage image;
    auto text = read_file(image_json, max_json_size);
    if (!text)
        return explain(text.error(), image_json.string());
    image.image_json = std::move(*text);
    auto manifest = parse_image_manifest(image.image_json, image_json.parent_path());
    if (!manifest)
        return explain(manifest.error(), image_json.string());
    image.manifest = std::move(*manifest);
    auto files = load_image_files(image.manifest);
    if (!files)
        return explain(files.error(), image_json.string());
    image.files = std::move(*files);
    for (const auto &[file, into] : {std::pair{&image.manifest.agent, &image.agent},
                                     {&image.manifest.reference_values, &image.reference_values},
                                     {&image.manifest.reference_values_corim, &image.reference_values_corim},
                                     {&image.manifest.audit, &image.audit_json}})
        if (*file) {
            auto bytes = load_optional(image.manifest, **file);
            if (!bytes)
                return std::unexpected(bytes.error());
            *into = std::move(*bytes);
        }
    if (image.audit_json) {
        auto audit = parse_image_audit(*image.audit_json);
        if (!audit)
            return explain(audit.error(), (image.manifest.directory / image.manifest.audit->path).string());
        std::string line;
        for (const CommandLineParameter &parameter : audit->parameters)
            line += (line.empty() ? "" : " ") + parameter.text;
        if (line != image.manifest.command_line)
            return explain(Errc::mismatch, (image.manifest.directory / image.manifest.audit->path).string() +
                                               ": has reasons for another command line");
        image.audit = std::move(*audit);
    }
    return image;
}

Result<std::vector<InitramfsFile>> list_initramfs(ByteView initrd) {
    CVMIN_TRY(archive, unpack_initrd(initrd));
    CVMIN_TRY(entries, read_newc(archive));
    std::vector<InitramfsFile> files;
    files.reserve(entries.size());
    for (const NewcListed &entry : entries)
        files.push_back({std::string{entry.name}, entry.mode, entry.uid, entry.gid, entry.device_major,
                         entry.device_minor, entry.data.size(), sha256(entry.data)});
    return files;
}

// ---- comparing ---------------------------------------------------------------------------------------------------

static std::size_t first_difference(ByteView a, ByteView b) {
    const auto [at_a, at_b] = std::ranges::mismatch(a, b);
    return static_cast<std::size_t>(at_a - a.begin());
}

static std::string in_bytes(std::size_t size) {
    return std::to_string(size) + " bytes";
}

// The bytes from the first differing one on, as many as say something.
static std::string excerpt(ByteView bytes, std::size_t at) {
    static constexpr std::size_t shown = 8;
    if (at >= bytes.size())
        return "ends after " + in_bytes(bytes.size());
    return hex(bytes.subspan(at, std::min(shown, bytes.size() - at))) + (bytes.size() - at > shown ? "..." : "");
}

std::string path_text(const ImageDifference &difference) {
    std::string text;
    for (const std::string &one : difference.path)
        text += (text.empty() ? "" : ": ") + one;
    return text;
}

namespace {

class Comparer {
  public:
    ImageComparison result;

    using Path = std::vector<std::string>;
    void add(ImageDifference difference) {
        if (result.differences.size() == max_differences)
            ++result.left_out;
        else
            result.differences.push_back(std::move(difference));
    }
    void bytes(Path path, ByteView a, ByteView b, bool measured) {
        if (equal(a, b))
            return;
        const std::size_t at = first_difference(a, b);
        add({std::move(path), excerpt(a, at), excerpt(b, at), at, measured});
    }
    void text(Path path, const std::string &a, const std::string &b, bool measured) {
        if (a != b)
            add({std::move(path), a, b, std::nullopt, measured});
    }

    // Two files of which the parts are known, by name; of two parts with one name the first with the first.
    // `reported`: a part about which everything has been said.
    void parts(const Path &path, ByteView a, ByteView b, const std::vector<Part> &in_a, const std::vector<Part> &in_b,
               bool measured, std::string_view reported = {}) {
        const auto numbered = [](const std::vector<Part> &all) {
            std::map<std::string, std::size_t> seen;
            std::vector<std::pair<std::string, const Part *>> out;
            for (const Part &part : all) {
                const std::size_t n = seen[part.name]++;
                out.emplace_back(n == 0 ? part.name : part.name + " #" + std::to_string(n + 1), &part);
            }
            return out;
        };
        const auto list_a = numbered(in_a), list_b = numbered(in_b);
        const std::map<std::string, const Part *> names_a(list_a.begin(), list_a.end()),
            names_b(list_b.begin(), list_b.end());
        const std::size_t before = count();
        for (const auto &[name, part] : list_a) {
            if (name == reported)
                continue;
            Path inner = path;
            inner.push_back(name);
            if (const auto other = names_b.find(name); other == names_b.end())
                add({std::move(inner), in_bytes(part->size), "", std::nullopt, measured});
            else
                bytes(std::move(inner), part->in(a), other->second->in(b), measured);
        }
        for (const auto &[name, part] : list_b)
            if (!names_a.contains(name)) {
                Path inner = path;
                inner.push_back(name);
                add({std::move(inner), "", in_bytes(part->size), std::nullopt, measured});
            }
        if (count() == before && reported.empty()) // the same parts in another order
            bytes(path, a, b, measured);
    }

    void elf_or_bytes(const Path &path, ByteView a, ByteView b, bool measured) {
        if (equal(a, b))
            return;
        const auto in_a = elf_parts(a), in_b = elf_parts(b);
        if (in_a && in_b)
            parts(path, a, b, *in_a, *in_b, measured);
        else
            bytes(path, a, b, measured);
    }

    void kernel(ByteView a, ByteView b) {
        if (equal(a, b))
            return;
        // the payload first, since the rest of a bzImage holds its size; and vmlinux rather than its compressed form
        const auto payload_a = bzimage_payload(a), payload_b = bzimage_payload(b);
        const std::size_t before = count();
        if (payload_a && payload_b && !equal(payload_a->in(a), payload_b->in(b))) {
            const auto inner_a = unpack_kernel(payload_a->in(a)), inner_b = unpack_kernel(payload_b->in(b));
            if (inner_a && inner_b && !equal(*inner_a, *inner_b))
                elf_or_bytes({"kernel", "vmlinux"}, *inner_a, *inner_b, true);
            else
                bytes({"kernel", payload_a->name}, payload_a->in(a), payload_b->in(b), true);
        }
        const auto in_a = bzimage_parts(a), in_b = bzimage_parts(b);
        if (in_a && in_b)
            parts({"kernel"}, a, b, without(*in_a, payload_a), without(*in_b, payload_b), true,
                  count() != before ? payload_a->name : std::string{});
        else if (count() == before)
            bytes({"kernel"}, a, b, true);
    }

    void initrd(ByteView a, ByteView b) {
        if (equal(a, b))
            return;
        const auto archive_a = unpack_initrd(a), archive_b = unpack_initrd(b);
        if (!archive_a || !archive_b)
            return bytes({"initrd"}, a, b, true);
        if (equal(*archive_a, *archive_b)) // same contents, another compressor or level
            return bytes({"initrd", "(compression)"}, a, b, true);
        const auto entries_a = read_newc(*archive_a), entries_b = read_newc(*archive_b);
        const std::size_t before = count();
        if (entries_a && entries_b)
            entries(*entries_a, *entries_b);
        if (count() == before)
            bytes({"initrd", "(archive)"}, *archive_a, *archive_b, true);
    }

    void manifests(const ImageManifest &a, const ImageManifest &b) {
        inputs(a.inputs, b.inputs);
        text({"version"}, a.version, b.version, false);
        text({"debug"}, a.debug ? "yes" : "no", b.debug ? "yes" : "no", false);
    }
    void options(const std::optional<ImageAudit> &a, const std::optional<ImageAudit> &b) {
        if (!a || !b)
            return;
        std::map<std::string, std::array<const KernelOption *, 2>> all;
        for (const KernelOption &option : a->options)
            all[option.name][0] = &option;
        for (const KernelOption &option : b->options)
            all[option.name][1] = &option;
        for (const auto &[name, both] : all) { // one that is not listed has the value of the base
            const std::string value_a = both[0] != nullptr ? both[0]->value : both[1]->base;
            const std::string value_b = both[1] != nullptr ? both[1]->value : both[0]->base;
            text({"kernel option", "CONFIG_" + name}, value_a, value_b, false);
        }
    }
    void command_lines(const std::string &a, const std::string &b) {
        if (a == b)
            return;
        const std::size_t before = count();
        const auto in_a = parameters(a), in_b = parameters(b);
        for (const auto &[name, value] : in_a) {
            const auto other = in_b.find(name);
            text({"command line", name}, value, other == in_b.end() ? "" : other->second, true);
        }
        for (const auto &[name, value] : in_b)
            if (!in_a.contains(name))
                text({"command line", name}, "", value, true);
        if (count() == before) // order or blanks
            bytes({"command line"}, as_bytes(a), as_bytes(b), true);
    }
    void features(const ImageManifest &a, const ImageManifest &b) {
        text({"guest features"}, mask(a.guest_features), mask(b.guest_features), true);
        text({"guest policy"}, mask(a.guest_policy), mask(b.guest_policy), false);
    }
    void optional(const std::string &name, const std::optional<Bytes> &a, const std::optional<Bytes> &b) {
        if (a && b)
            elf_or_bytes({name}, *a, *b, false);
        else
            text({name}, a ? in_bytes(a->size()) : "", b ? in_bytes(b->size()) : "", false);
    }
    std::size_t count() const { return result.differences.size() + result.left_out; }

  private:
    // The payload as a part of its own, taken out of the section that it lies in.
    static std::vector<Part> without(const std::vector<Part> &parts, const std::optional<Part> &payload) {
        std::vector<Part> out;
        for (const Part &part : parts) {
            const std::size_t end = part.offset + part.size;
            if (!payload || payload->offset < part.offset || payload->offset + payload->size > end) {
                out.push_back(part);
                continue;
            }
            const std::size_t after = payload->offset + payload->size;
            out.push_back({part.name, part.offset, payload->offset - part.offset});
            out.push_back(*payload);
            out.push_back({part.name + " (after the compressed kernel)", after, end - after});
        }
        return out;
    }
    static std::string mask(std::uint64_t value) {
        char out[20];
        std::snprintf(out, sizeof out, "0x%llx", static_cast<unsigned long long>(value));
        return out;
    }
    static std::string mode(std::uint32_t value) {
        char out[16];
        std::snprintf(out, sizeof out, "%06o", static_cast<unsigned>(value));
        return out;
    }

    // By name; one that is there several times ("console=a console=b") with all of its values in order.
    static std::map<std::string, std::string> parameters(std::string_view line) {
        std::map<std::string, std::string> out;
        for (std::size_t at = 0; (at = line.find_first_not_of(' ', at)) != std::string_view::npos;) {
            const std::size_t end = std::min(line.find(' ', at), line.size());
            const std::string one{line.substr(at, end - at)};
            std::string &value = out[one.substr(0, one.find('='))];
            value += (value.empty() ? "" : " ") + one;
            at = end;
        }
        return out;
    }

    void inputs(const Json &a, const Json &b) {
        using Key = std::pair<std::string, std::string>;
        const auto key = [](const Json &input) {
            return Key{input["kind"].get<std::string>(), input["name"].get<std::string>()};
        };
        const auto value = [](const Json &input) {
            return input["sha256"].get<std::string>() + " (" + in_bytes(input["size"].get<std::size_t>()) + ")";
        };
        std::map<Key, std::string> in_a, in_b;
        for (const Json &input : a)
            in_a[key(input)] = value(input);
        for (const Json &input : b)
            in_b[key(input)] = value(input);
        for (const auto &[name, found] : in_a) {
            const auto other = in_b.find(name);
            text({"input", name.first, name.second}, found, other == in_b.end() ? "" : other->second, false);
        }
        for (const auto &[name, found] : in_b)
            if (!in_a.contains(name))
                text({"input", name.first, name.second}, "", found, false);
    }

    static std::string whole(const NewcListed &entry) { return mode(entry.mode) + ", " + in_bytes(entry.data.size()); }
    void entries(const std::vector<NewcListed> &a, const std::vector<NewcListed> &b) {
        std::map<std::string_view, const NewcListed *> in_a, in_b;
        for (const NewcListed &entry : a)
            in_a.emplace(entry.name, &entry);
        for (const NewcListed &entry : b)
            in_b.emplace(entry.name, &entry);
        for (const auto &[name, one] : in_a) {
            const auto found = in_b.find(name);
            const std::string shown{name};
            if (found == in_b.end()) {
                add({{"initrd", shown}, whole(*one), "", std::nullopt, true});
                continue;
            }
            const NewcListed &other = *found->second;
            const auto number = [&](const char *what, std::uint32_t x, std::uint32_t y) {
                text({"initrd", shown, what}, std::to_string(x), std::to_string(y), true);
            };
            text({"initrd", shown, "mode"}, mode(one->mode), mode(other.mode), true);
            number("uid", one->uid, other.uid);
            number("gid", one->gid, other.gid);
            number("mtime", one->mtime, other.mtime);
            number("links", one->links, other.links);
            number("inode", one->inode, other.inode);
            number("origin's major", one->origin_major, other.origin_major);
            number("origin's minor", one->origin_minor, other.origin_minor);
            number("device's major", one->device_major, other.device_major);
            number("device's minor", one->device_minor, other.device_minor);
            elf_or_bytes({"initrd", shown}, one->data, other.data, true);
        }
        for (const auto &[name, one] : in_b)
            if (!in_a.contains(name))
                add({{"initrd", std::string{name}}, "", whole(*one), std::nullopt, true});
    }
};

} // namespace

ImageComparison compare_images(const LoadedImage &a, const LoadedImage &b) {
    Comparer comparer;
    comparer.manifests(a.manifest, b.manifest);
    comparer.options(a.audit, b.audit);
    comparer.command_lines(a.manifest.command_line, b.manifest.command_line);
    comparer.features(a.manifest, b.manifest);
    comparer.bytes({"firmware"}, a.files.firmware, b.files.firmware, true);
    comparer.kernel(a.files.kernel, b.files.kernel);
    comparer.initrd(a.files.initrd, b.files.initrd);
    // the agent is what the initramfs holds as /init; it is said once
    const bool agents_follow = a.manifest.hashes.initrd != b.manifest.hashes.initrd && a.agent && b.agent;
    if (!agents_follow)
        comparer.optional("agent", a.agent, b.agent);
    comparer.optional("reference values", a.reference_values, b.reference_values);
    comparer.optional("reference values (CoRIM)", a.reference_values_corim, b.reference_values_corim);
    comparer.optional("audit", a.audit_json, b.audit_json);

    ImageComparison &result = comparer.result;
    const ImageManifest &first = a.manifest, &second = b.manifest;
    if (first.guest_features != second.guest_features)
        result.measured.emplace_back("guest features");
    if (first.firmware.sha256 != second.firmware.sha256)
        result.measured.emplace_back("firmware");
    if (first.hashes.kernel != second.hashes.kernel)
        result.measured.emplace_back("kernel");
    if (first.hashes.initrd != second.hashes.initrd)
        result.measured.emplace_back("initrd");
    if (first.hashes.cmdline != second.hashes.cmdline)
        result.measured.emplace_back("command line");
    // image.json has the digest of every file, and each file was held against it
    result.same_bytes = equal(a.image_json, b.image_json);
    if (!result.same_bytes && comparer.count() == 0)
        comparer.bytes({"image.json"}, a.image_json, b.image_json, false);
    return result;
}

const ImageDifference *first_output_difference(const ImageComparison &comparison) {
    for (const ImageDifference &difference : comparison.differences)
        if (difference.measured)
            return &difference;
    return comparison.differences.empty() ? nullptr : &comparison.differences.back();
}

} // namespace cvmin
