#include "image/image_manifest.hpp"

#include "host-tools/base/os.hpp"

#include <cstdio>

namespace cvmin {

static constexpr std::string_view kind = "cvmin-image";

// An object with all of `required` and perhaps some of `optional` members, and nothing else.
static Result<void> check_members(const Json &object, std::span<const std::string_view> required,
                                  std::span<const std::string_view> optional, std::string_view where) {
    if (!object.is_object())
        return fail(Errc::malformed, where);
    for (const std::string_view name : required)
        if (!object.contains(name))
            return fail(Errc::missing, where);
    for (const auto &[name, value] : object.items())
        if (std::ranges::find(required, name) == required.end() && std::ranges::find(optional, name) == optional.end())
            return fail(Errc::malformed, where);
    return {};
}

static bool valid_path(std::string_view path) {
    if (path.empty() || path.size() > max_image_path_size)
        return false;
    for (std::size_t at = 0; at <= path.size();) {
        const std::size_t end = std::min(path.find('/', at), path.size());
        const std::string_view component = path.substr(at, end - at);
        if (component.empty() || component == "." || component == "..")
            return false;
        at = end + 1;
    }
    return std::ranges::all_of(path, [](char c) { return c > ' ' && c < 0x7f && c != '\\'; });
}

static Result<Sha256Digest> digest_of(const Json &object, const char *member, std::string_view where) {
    CVMIN_TRY(text, json_string(object, member, where));
    if (text.size() != 64 || !std::ranges::all_of(text, [](char c) { return c < 'A' || c > 'F'; }))
        return fail(Errc::malformed, where); // lower case, so that digests can be compared as text
    return parse_hex_exactly<32>(text, where);
}

static Result<ImageFile> file_of(const Json &files, const char *member, std::string_view where) {
    static constexpr std::string_view members[] = {"path", "sha256", "size"};
    CVMIN_TRY(object, json_object(files, member, where));
    CVMIN_CHECK(check_members(object, members, {}, where));
    CVMIN_TRY(path, json_string(object, "path", where));
    if (!valid_path(path))
        return fail(Errc::out_of_range, where);
    CVMIN_TRY(sha256, digest_of(object, "sha256", where));
    CVMIN_TRY(size, json_unsigned(object, "size", where));
    return ImageFile{std::move(path), sha256, size};
}

// "0x30000": hexadecimal text, since JSON has no hexadecimal numbers and these are bit masks.
static Result<std::uint64_t> mask_of(const Json &object, const char *member, std::string_view where) {
    CVMIN_TRY(text, json_string(object, member, where));
    if (text.size() < 3 || text.size() > 18 || !text.starts_with("0x"))
        return fail(Errc::malformed, where);
    std::string digits = text.substr(2);
    if (digits.size() % 2 != 0)
        digits.insert(digits.begin(), '0');
    if (digits.starts_with("0x")) // parse_hex would take a second prefix
        return fail(Errc::malformed, where);
    CVMIN_TRY(bytes, parse_hex(digits, where));
    return load_be(bytes);
}

static Result<void> check_inputs(const Json &inputs) {
    static constexpr std::string_view members[] = {"kind", "name", "sha256", "size"};
    if (!inputs.is_array())
        return fail(Errc::malformed, "image.inputs");
    for (const Json &input : inputs) {
        CVMIN_CHECK(check_members(input, members, {}, "image.inputs"));
        CVMIN_CHECK(json_string(input, "kind", "image.inputs"));
        CVMIN_CHECK(json_string(input, "name", "image.inputs"));
        CVMIN_CHECK(digest_of(input, "sha256", "image.inputs"));
        CVMIN_CHECK(json_unsigned(input, "size", "image.inputs"));
    }
    return {};
}

// What one launch uses twice must be the same both times.
static Result<void> check_consistent(const ImageManifest &manifest) {
    const KernelHashes &hashes = manifest.hashes;
    const std::string &line = manifest.command_line;
    if (hashes.kernel != manifest.kernel.sha256)
        return fail(Errc::mismatch, "image.hashes.kernel");
    if (hashes.initrd != manifest.initrd.sha256)
        return fail(Errc::mismatch, "image.hashes.initrd");
    if (manifest.cmdline.size != line.size() || manifest.cmdline.sha256 != sha256(as_bytes(line)))
        return fail(Errc::mismatch, "image.cmdline");
    if (hashes.cmdline != sha256(as_bytes({line.c_str(), line.size() + 1}))) // hashed with its NUL
        return fail(Errc::mismatch, "image.hashes.cmdline");
    return {};
}

Result<ImageManifest> parse_image_manifest(ByteView text, const std::filesystem::path &directory) {
    CVMIN_TRY(json, parse_json(text, "image.json"));
    // the schema first: of another schema nothing else is known
    CVMIN_TRY(schema, json_unsigned(json, "schema", "image.schema"));
    if (schema != image_schema)
        return fail(Errc::unsupported, "image.schema", schema);
    static constexpr std::string_view members[] = {"schema",         "kind",         "version", "debug",
                                                   "files",          "command_line", "hashes",  "guest_policy",
                                                   "guest_features", "inputs"};
    CVMIN_CHECK(check_members(json, members, {}, "image.json"));
    CVMIN_TRY(found_kind, json_string(json, "kind", "image.kind"));
    if (found_kind != kind)
        return fail(Errc::unsupported, "image.kind");

    ImageManifest manifest;
    manifest.directory = directory.empty() ? "." : directory;
    CVMIN_TRY(version, json_string(json, "version", "image.version"));
    manifest.version = std::move(version);
    if (!json["debug"].is_boolean())
        return fail(Errc::malformed, "image.debug");
    manifest.debug = json["debug"].get<bool>();

    static constexpr std::string_view required_files[] = {"kernel", "initrd", "cmdline", "firmware"};
    static constexpr std::string_view optional_files[] = {"agent", "reference_values", "reference_values_corim",
                                                          "audit"};
    CVMIN_TRY(files, json_object(json, "files", "image.files"));
    CVMIN_CHECK(check_members(files, required_files, optional_files, "image.files"));
    CVMIN_TRY(kernel, file_of(files, "kernel", "image.kernel"));
    CVMIN_TRY(initrd, file_of(files, "initrd", "image.initrd"));
    CVMIN_TRY(cmdline, file_of(files, "cmdline", "image.cmdline"));
    CVMIN_TRY(firmware, file_of(files, "firmware", "image.firmware"));
    if (kernel.size > max_kernel_size)
        return fail(Errc::too_large, "image.kernel", kernel.size);
    if (initrd.size > max_initrd_size)
        return fail(Errc::too_large, "image.initrd", initrd.size);
    if (firmware.size > max_firmware_size)
        return fail(Errc::too_large, "image.firmware", firmware.size);
    manifest.kernel = std::move(kernel);
    manifest.initrd = std::move(initrd);
    manifest.cmdline = std::move(cmdline);
    manifest.firmware = std::move(firmware);
    if (files.contains("agent")) {
        CVMIN_TRY(agent, file_of(files, "agent", "image.agent"));
        manifest.agent = std::move(agent);
    }
    if (files.contains("reference_values")) {
        CVMIN_TRY(values, file_of(files, "reference_values", "image.reference_values"));
        manifest.reference_values = std::move(values);
    }
    if (files.contains("reference_values_corim")) {
        CVMIN_TRY(values, file_of(files, "reference_values_corim", "image.reference_values_corim"));
        manifest.reference_values_corim = std::move(values);
    }
    if (files.contains("audit")) {
        CVMIN_TRY(audit, file_of(files, "audit", "image.audit"));
        manifest.audit = std::move(audit);
    }

    CVMIN_TRY(line, json_string(json, "command_line", "image.command_line"));
    if (line.size() > max_command_line_size)
        return fail(Errc::too_large, "image.command_line", line.size());
    // printable ASCII only: a NUL would end it early for QEMU, and a line break belongs to no parameter
    if (!std::ranges::all_of(line, [](char c) { return c >= ' ' && c < 0x7f; }))
        return fail(Errc::malformed, "image.command_line");
    manifest.command_line = std::move(line);

    static constexpr std::string_view hash_members[] = {"kernel", "initrd", "cmdline"};
    CVMIN_TRY(hashes, json_object(json, "hashes", "image.hashes"));
    CVMIN_CHECK(check_members(hashes, hash_members, {}, "image.hashes"));
    CVMIN_TRY(kernel_hash, digest_of(hashes, "kernel", "image.hashes.kernel"));
    CVMIN_TRY(initrd_hash, digest_of(hashes, "initrd", "image.hashes.initrd"));
    CVMIN_TRY(cmdline_hash, digest_of(hashes, "cmdline", "image.hashes.cmdline"));
    manifest.hashes = {kernel_hash, initrd_hash, cmdline_hash};

    CVMIN_TRY(policy, mask_of(json, "guest_policy", "image.guest_policy"));
    if ((policy & guest_policy_reserved_1) == 0)
        return fail(Errc::out_of_range, "image.guest_policy", policy);
    manifest.guest_policy = policy;
    CVMIN_TRY(features, mask_of(json, "guest_features", "image.guest_features"));
    if ((features & 1) == 0) // SNP active
        return fail(Errc::out_of_range, "image.guest_features", features);
    manifest.guest_features = features;

    CVMIN_CHECK(check_inputs(json["inputs"]));
    manifest.inputs = std::move(json["inputs"]);
    CVMIN_CHECK(check_consistent(manifest));
    return manifest;
}

static Json to_json(const ImageFile &file) {
    return {{"path", file.path}, {"sha256", hex(file.sha256)}, {"size", file.size}};
}

static std::string mask_text(std::uint64_t mask) {
    char text[20];
    std::snprintf(text, sizeof text, "0x%llx", static_cast<unsigned long long>(mask));
    return text;
}

Json to_json(const ImageManifest &manifest) {
    Json files{{"kernel", to_json(manifest.kernel)},
               {"initrd", to_json(manifest.initrd)},
               {"cmdline", to_json(manifest.cmdline)},
               {"firmware", to_json(manifest.firmware)}};
    if (manifest.agent)
        files["agent"] = to_json(*manifest.agent);
    if (manifest.reference_values)
        files["reference_values"] = to_json(*manifest.reference_values);
    if (manifest.reference_values_corim)
        files["reference_values_corim"] = to_json(*manifest.reference_values_corim);
    if (manifest.audit)
        files["audit"] = to_json(*manifest.audit);
    return {{"schema", image_schema},
            {"kind", kind},
            {"version", manifest.version},
            {"debug", manifest.debug},
            {"files", std::move(files)},
            {"command_line", manifest.command_line},
            {"hashes",
             {{"kernel", hex(manifest.hashes.kernel)},
              {"initrd", hex(manifest.hashes.initrd)},
              {"cmdline", hex(manifest.hashes.cmdline)}}},
            {"guest_policy", mask_text(manifest.guest_policy)},
            {"guest_features", mask_text(manifest.guest_features)},
            {"inputs", manifest.inputs.is_null() ? Json::array() : manifest.inputs}};
}

// A file, with errors that name it by its place in the manifest.
static Result<Bytes> read_named(const std::filesystem::path &path, std::size_t limit, std::string_view where) {
    auto bytes = read_file(path, limit);
    if (!bytes)
        return fail(bytes.error().code, where, bytes.error().detail);
    return bytes;
}

Result<ImageManifest> load_image_manifest(const std::filesystem::path &image_json) {
    CVMIN_TRY(text, read_named(image_json, max_json_size, "image.json"));
    return parse_image_manifest(text, image_json.parent_path());
}

static Result<Bytes> load_checked(const ImageManifest &manifest, const ImageFile &file, std::size_t limit,
                                  std::string_view where) {
    CVMIN_TRY(bytes, read_named(manifest.directory / file.path, limit, where));
    if (bytes.size() != file.size || sha256(bytes) != file.sha256)
        return fail(Errc::mismatch, where);
    return bytes;
}

Result<ImageFiles> load_image_files(const ImageManifest &manifest) {
    CVMIN_TRY(kernel, load_checked(manifest, manifest.kernel, max_kernel_size, "image.kernel"));
    CVMIN_TRY(initrd, load_checked(manifest, manifest.initrd, max_initrd_size, "image.initrd"));
    CVMIN_CHECK(load_checked(manifest, manifest.cmdline, max_command_line_size, "image.cmdline"));
    CVMIN_TRY(firmware, load_checked(manifest, manifest.firmware, max_firmware_size, "image.firmware"));
    return ImageFiles{std::move(kernel), std::move(initrd), std::move(firmware)};
}

} // namespace cvmin
