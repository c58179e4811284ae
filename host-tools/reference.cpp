#include "host-tools/reference.hpp"
#include "host-tools/base/text.hpp"
#include "host-tools/publish/release_bundle.hpp"

#include "host-tools/base/os.hpp"
#include "image/build.hpp"
#include "qemu/supervisor.hpp"

namespace cvmin {

// So many digests are shown as wanted; an image has 1,275.
static constexpr std::size_t max_shown_launches = 3;

Explained<PublicKey> read_public_key_file(const std::filesystem::path &path) {
    const auto text = read_file(path, max_key_file);
    if (!text)
        return explain(text.error(), path.string());
    const auto key = read_public_key(*text);
    if (!key)
        return explain(key.error(), path.string());
    return *key;
}

Explained<void> read_private_key_file(P384PrivateKey &key, const std::filesystem::path &path) {
    auto text = read_file(path, max_key_file);
    if (!text)
        return explain(text.error(), path.string());
    const Secret secret{std::move(*text)};
    if (const auto read = read_private_key(key, secret.view()); !read)
        return explain(read.error(), path.string());
    return {};
}

Explained<Bytes> sign_corim(ByteView corim, const P384PrivateKey &key, std::string signer_name) {
    if (signer_name.empty()) {
        const auto public_key = key.public_key();
        if (!public_key)
            return explain(public_key.error(), "signing key");
        signer_name = corim::fingerprint(*public_key);
    }
    auto made = corim::sign(corim, key, signer_name, rfc6979_nonce, nullptr);
    if (!made)
        return explain(made.error(), "signing");
    return std::move(*made);
}

static std::optional<std::int64_t> end_of(const corim::Corim &parsed) {
    std::optional<std::int64_t> ends;
    for (const auto &validity :
         {parsed.validity, parsed.signature ? parsed.signature->validity : std::optional<corim::Validity>{}})
        if (validity && validity->not_after != INT64_MAX)
            ends = std::min(ends.value_or(INT64_MAX), validity->not_after);
    return ends;
}

Explained<ReferenceFile> read_reference(const std::filesystem::path &path,
                                        const std::optional<std::filesystem::path> &key, std::int64_t now) {
    const auto file = read_file(path, corim::max_size);
    if (!file)
        return explain(file.error(), path.string());
    const auto parsed = corim::parse(*file);
    if (!parsed)
        return explain(parsed.error(), path.string());
    ReferenceFile out;
    out.source = path.string() + ", not signed";
    if (parsed->signature && !key)
        return explain(Errc::usage, path.string() + ": is signed: give its signer's --reference-key");
    if (key) {
        const auto public_key = read_public_key_file(*key);
        if (!public_key)
            return std::unexpected(public_key.error());
        if (const auto verified = corim::verify_signature(*file, *public_key, now); !verified)
            return explain(verified.error(), path.string());
        out.source = path.string() + ", signed by " + printable_line(parsed->signature->signer_name);
    }
    if (!corim::holds_at(parsed->validity, now))
        return explain(Errc::out_of_range, path.string() + ": is not valid at this time");
    auto launches = corim::launches_of(*parsed);
    if (!launches)
        return explain(launches.error(), path.string());
    out.debug = corim::is_debug_image(*parsed);
    if (out.debug)
        out.source += ", DEBUG image";
    out.launches = std::move(*launches);
    out.ends = end_of(*parsed);
    return out;
}

Explained<ReferenceFile> read_image_reference(const std::filesystem::path &image_json,
                                              const corim::IdBlockValues &id_block) {
    const auto manifest = load_image_manifest(image_json);
    if (!manifest)
        return explain(manifest.error(), image_json.string());
    const auto files = load_image_files(*manifest);
    if (!files)
        return explain(files.error(), image_json.string());
    const auto before = predict_before_vcpus(*manifest, *files);
    if (!before)
        return explain(before.error(), image_json.string());
    const auto values = predict_all(*before, manifest->guest_features);
    if (!values)
        return explain(values.error(), image_json.string());
    ReferenceFile out;
    out.source = image_json.string() + (manifest->debug ? ", DEBUG image" : "");
    out.debug = manifest->debug;
    out.launches = corim::launches(*manifest, *values, id_block);
    return out;
}

Explained<ReferenceFile> read_release_reference(const std::filesystem::path &directory,
                                                const std::filesystem::path &publisher, std::int64_t now) {
    CVMIN_TRY(key, read_public_key_file(publisher));
    auto release = read_release(directory, key, now);
    if (!release)
        return explain(release.error().code, directory.string() + ": " + release.error().text);
    const ImageManifest &manifest = release->image.manifest;
    ReferenceFile out;
    out.source = directory.string() + ", release of commit " + release->provenance.commit.substr(0, 12) +
                 (manifest.debug ? ", DEBUG image" : "");
    out.debug = manifest.debug;
    auto files = boot_files(release->image.files.kernel, release->image.files.initrd, manifest.command_line);
    if (!files)
        return explain(files.error(), directory.string());
    out.boot_files = std::move(*files);
    out.launches = std::move(release->launches);
    const auto signed_values =
        read_file(directory / signed_corim_name, corim::max_size); // as read_release() checked it
    const auto parsed = signed_values ? corim::parse(*signed_values) : std::unexpected(signed_values.error());
    if (!parsed)
        return explain(parsed.error(), (directory / signed_corim_name).string());
    out.ends = end_of(*parsed);
    return out;
}

std::optional<std::string> release_problem(const std::optional<std::string> &release,
                                           const std::optional<std::string> &publisher) {
    if (release.has_value() == publisher.has_value())
        return std::nullopt;
    return "--release and --publisher go together: a release is worth what its publisher's key is, and that is not "
           "taken from the release";
}

void add_release_options(CLI::App &app, std::optional<std::string> &release, std::optional<std::string> &publisher) {
    app.add_option("--release", release,
                   "directory of cvmin release instead of --image: checked as a whole, then its launches are wanted");
    app.add_option("--publisher", publisher, "with --release: the publisher's public key (P-384; PEM or DER)");
}

Explained<std::uint32_t> signature_of(const std::string &vcpu_type) {
    const auto model = find_cpu_model(vcpu_type);
    if (!model)
        return explain(Errc::usage, "no CPU model " + vcpu_type + "; did you mean " +
                                        std::string{nearest_cpu_model(vcpu_type)} + "?");
    return model->signature;
}

void want_launches(Expectations &wanted, const ReferenceFile &reference, ByteView raw_report,
                   std::optional<std::uint32_t> signature, std::optional<unsigned> vcpus) {
    const auto report = parse_snp_report(raw_report);
    std::vector<const corim::Launch *> candidates;
    bool digest_only = false; // its digest is among the launches, but another value is not as the launch has it
    for (const corim::Launch &launch : reference.launches) {
        const auto configuration = corim::configuration_of(launch.tag_id);
        if ((signature && (!configuration || configuration->signature != *signature)) ||
            (vcpus && (!configuration || configuration->vcpus != *vcpus)))
            continue;
        if (report && corim::meets(*report, launch)) {
            wanted.measurements = {launch.digest};
            wanted.measurement_source = reference.source + ", " + printable_line(corim::describe_launch(launch.tag_id));
            return;
        }
        digest_only = digest_only || (report && report->measurement == launch.digest);
        candidates.push_back(&launch);
    }
    wanted.measurement_source = reference.source;
    if (digest_only) { // a digest that must not be accepted is not put among the wanted ones
        wanted.measurement_source += ", whose guest policy, SVN or ids for this digest the report does not have";
        return;
    }
    for (const corim::Launch *launch : candidates)
        if (wanted.measurements.size() < max_shown_launches)
            wanted.measurements.push_back(launch->digest);
    if (candidates.size() > max_shown_launches)
        wanted.measurement_source +=
            ", " + std::to_string(candidates.size()) + " launches, of which these are the first";
}

} // namespace cvmin
