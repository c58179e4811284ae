#include "host-tools/publish/release_bundle.hpp"

#include "host-tools/base/os.hpp"
#include "host-tools/base/text.hpp"
#include "host-tools/measure/measure.hpp"
#include "host-tools/signing/dsse.hpp"
#include "host-tools/signing/key_file.hpp"
#include "image/build.hpp"
#include "image/sbom.hpp"

#include <cerrno>
#include <map>

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

namespace cvmin {

namespace fs = std::filesystem;

namespace {

// SHA256SUMS itself and some 200 bytes
constexpr std::size_t max_cose_size = max_sha256sums_size + 1024;

std::unexpected<Failure> refused(std::string_view file, const std::string &text) {
    return explain(Errc::mismatch, std::string{file} + ": " + text);
}

Bytes cose_header() {
    cbor::Writer header;
    header.map(2);
    header.integer(cose::label::alg);
    header.integer(cose::es384);
    header.integer(cose::label::content_type);
    header.text(sums_content_type);
    return header.finish();
}

// ---- the directory -----------------------------------------------------------------------------------------------

class Directory {
  public:
    static Explained<Directory> open(const fs::path &path) {
        Directory out;
        out.fd_.reset(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        if (!out.fd_)
            return explain(
                {errno == ENOENT ? Errc::missing : Errc::system, "directory", static_cast<std::uint64_t>(errno)},
                path.string());
        std::error_code error;
        for (fs::directory_iterator at{"/proc/self/fd/" + std::to_string(out.fd_.get()), error};
             !error && at != fs::directory_iterator{}; at.increment(error)) {
            if (out.names_.size() >= max_release_files + std::size(release_file::unlisted))
                return explain(Errc::too_large, path.string() + ": has more than " + std::to_string(max_release_files) +
                                                    " files; a release has not");
            out.names_.push_back(at->path().filename().string());
        }
        if (error)
            return explain({Errc::system, "directory", static_cast<std::uint64_t>(error.value())}, path.string());
        std::ranges::sort(out.names_);
        return out;
    }
    const std::vector<std::string> &names() const { return names_; } // sorted
    // No link is followed, and nothing that is no file is waited for.
    Explained<Bytes> read(std::string_view name, std::uint64_t limit) const {
        const std::string text{name};
        const UniqueFd file{::openat(fd_.get(), text.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)};
        if (!file && errno == ENOENT)
            return explain(Errc::missing, text + ": is missing");
        if (!file && errno == ELOOP)
            return refused(name, "is a symbolic link");
        if (!file)
            return explain({Errc::system, "file", static_cast<std::uint64_t>(errno)}, text);
        struct stat info{};
        if (::fstat(file.get(), &info) != 0)
            return explain({Errc::system, "file", static_cast<std::uint64_t>(errno)}, text);
        if (!S_ISREG(info.st_mode))
            return refused(name, "is not a file");
        auto bytes = read_file("/proc/self/fd/" + std::to_string(file.get()), limit); // the very file that was opened
        if (!bytes)
            return explain(bytes.error(), text);
        return std::move(*bytes);
    }

  private:
    Directory() = default;
    UniqueFd fd_;
    std::vector<std::string> names_;
};

// ---- what a release says, each against what the image is ---------------------------------------------------------

Explained<void> check_reference_json(const LoadedImage &image, std::span<const ReferenceValues> values) {
    const std::string &file = image.manifest.reference_values->path;
    const auto json = parse_json(*image.reference_values, file);
    if (!json)
        return explain(json.error(), file);
    const Json models = json->is_object() ? json->value("cpu_models", Json()) : Json();
    const std::string other = "has other launch digests than the image gives, first: ";
    if (!models.is_array() || models.size() != values.size())
        return refused(file, other + "another number of CPU signatures");
    for (std::size_t i = 0; i < values.size(); ++i) {
        ByteArray<4> signature{};
        store_be(signature, values[i].signature);
        std::string wanted = "0x";
        wanted += hex(signature);
        Json digests = Json::array();
        for (const Sha384Digest &digest : values[i].digests)
            digests.push_back(hex(digest));
        if (!models[i].is_object() || models[i].value("signature", Json()) != Json(wanted) ||
            models[i].value("launch_digests", Json()) != digests)
            return refused(file, std::string{other}.append("CPU signature ").append(wanted));
    }
    return {};
}

Explained<void> check_launches(std::string_view file, ByteView text, const ReleaseBundle &release) {
    const auto parsed = corim::parse(text);
    if (!parsed)
        return explain(parsed.error(), file);
    const auto found = corim::launches_of(*parsed);
    if (!found)
        return explain(found.error(), file);
    if (const auto difference = corim::first_difference(*found, release.launches))
        return refused(file, printable_line(*difference));
    if (corim::is_debug_image(*parsed) != release.image.manifest.debug)
        return refused(file, "says otherwise than image.json whether this is a debug image");
    return {};
}

Explained<std::vector<IdBlockOf>> check_id_blocks(ByteView text, const ReleaseBundle &release) {
    const char *const file = release_file::id_blocks;
    auto blocks = parse_id_blocks(text);
    if (!blocks)
        return explain(blocks.error(), file);
    for (const IdBlockOf &one : *blocks) {
        const SignedIdBlock &block = one.signed_block;
        const std::string digest = hex(block.block.launch_digest);
        if (const auto verified = verify_id_auth(block.auth, block.raw, block.author_key_enabled()); !verified)
            return explain(verified.error(), std::string{file} + ": the block for " + digest);
        if (std::ranges::find(release.launches, block.block.launch_digest, &corim::Launch::digest) ==
            release.launches.end())
            return refused(file, "has a block for " + digest + ", which is no launch digest of this image");
        if (block.block.policy != release.image.manifest.guest_policy)
            return refused(file, "the block for " + digest + " has another guest policy than image.json");
    }
    return std::move(*blocks);
}

Explained<std::vector<LockedInput>> check_locks(const std::map<std::string, Bytes> &texts,
                                                const ImageManifest &manifest) {
    std::vector<LockText> locks;
    for (const std::string &path : lock_paths(manifest)) {
        const auto at = texts.find(fs::path{path}.filename());
        if (at == texts.end())
            return explain(Errc::missing, fs::path{path}.filename().string() + ": is missing");
        locks.push_back({path, at->second});
        // one at a time first, so that the error names it
        const auto alone = locked_inputs(manifest, std::span{&locks.back(), 1});
        if (!alone && alone.error().code != Errc::missing)
            return explain(alone.error(), at->first);
    }
    auto all = locked_inputs(manifest, locks);
    if (!all)
        return explain(all.error(), "locks");
    return std::move(*all);
}

std::unexpected<Failure> refused(const char *file, const DocumentMismatch &mismatch) {
    return refused(file, mismatch.subject + ": found " + (mismatch.found.empty() ? "nothing" : mismatch.found) +
                             ", it says " + (mismatch.wanted.empty() ? "nothing" : mismatch.wanted));
}

} // namespace

Result<SumsSignatures> sign_sums(ByteView sums, const P384PrivateKey &key) {
    CVMIN_TRY(plain, key.sign(sha384(sums), rfc6979_nonce, nullptr));
    CVMIN_TRY(cose, cose::make_sign1(cose_header(), sums, key, rfc6979_nonce, nullptr));
    return SumsSignatures{signature_to_der(plain), std::move(cose)};
}

Explained<void> verify_sums(ByteView sums, const SumsSignatures &signatures, const PublicKey &publisher) {
    const auto der = signature_from_der(signatures.der);
    if (!der)
        return explain(der.error(), release_file::sums_signature);
    if (const auto verified = verify_p384(publisher, sha384(sums), *der, "signature"); !verified)
        return verified.error().code == Errc::mismatch
                   ? refused(release_file::sums_signature, "is not a signature of this publisher over SHA256SUMS")
                   : explain(verified.error(), release_file::sums_signature);
    const auto message = cose::parse_sign1(signatures.cose, max_cose_size);
    if (!message)
        return explain(message.error(), release_file::sums_cose);
    if (!std::ranges::equal(message->protected_header, cose_header()))
        return refused(release_file::sums_cose, "is not a signature over SHA256SUMS: it has another header");
    if (!std::ranges::equal(message->payload, sums))
        return refused(release_file::sums_cose, "signs something else than SHA256SUMS");
    if (const auto verified = cose::verify_sign1(*message, publisher); !verified)
        return verified.error().code == Errc::mismatch
                   ? refused(release_file::sums_cose, "is not signed by this publisher")
                   : explain(verified.error(), release_file::sums_cose);
    return {};
}

std::vector<std::string> lock_paths(const ImageManifest &manifest) {
    static constexpr std::string_view firmware = "toolchain/firmware.lock"; // with it its sources, line by line
    std::vector<std::string> paths{"toolchain/sources.lock"};
    for (const Json &input : manifest.inputs) {
        const auto name = input["name"].get<std::string>();
        if (name.ends_with(".lock"))
            paths.push_back(name);
        if (name == firmware)
            paths.emplace_back("toolchain/firmware-sources.lock");
    }
    std::ranges::sort(paths);
    return paths;
}

Explained<ReleaseBundle> read_release(const fs::path &path, const PublicKey &publisher, std::int64_t now) {
    CVMIN_TRY(directory, Directory::open(path));
    CVMIN_TRY(sums, directory.read(release_file::sums, max_sha256sums_size));
    CVMIN_TRY(der, directory.read(release_file::sums_signature, max_cose_size));
    CVMIN_TRY(cose, directory.read(release_file::sums_cose, max_cose_size));
    CVMIN_CHECK(verify_sums(sums, {std::move(der), std::move(cose)}, publisher));

    ReleaseBundle release;
    release.directory = path;
    auto listed = parse_sha256sums(sums);
    if (!listed)
        return explain(listed.error(), release_file::sums);
    release.files = std::move(*listed);
    for (const std::string &name : directory.names())
        if (!std::ranges::contains(release_file::unlisted, name) &&
            !std::ranges::contains(release.files, name, &NamedDigest::name))
            return refused(printable_line(name), "is not in SHA256SUMS");

    std::map<std::string, Bytes> small; // all but the image's own files, which load_image() reads
    std::uint64_t left = max_release_size;
    for (const NamedDigest &file : release.files) {
        CVMIN_TRY(bytes, directory.read(file.name, left));
        left -= bytes.size();
        if (sha256(bytes) != file.sha256)
            return refused(file.name, "has sha256 " + hex(sha256(bytes)) + ", SHA256SUMS has " + hex(file.sha256));
        if (bytes.size() <= max_json_size)
            small.emplace(file.name, std::move(bytes));
    }
    for (const char *name : {"image.json", sbom_name, provenance_name, release_file::envelope, signed_corim_name,
                             release_file::publisher, release_file::instructions})
        if (!small.contains(name))
            return explain(Errc::missing, std::string{name} + ": is missing in SHA256SUMS");

    CVMIN_TRY(image, load_image(path));
    release.image = std::move(image);
    if (release.image.image_json != small["image.json"])
        return refused("image.json", "was changed while it was read");
    const ImageManifest &manifest = release.image.manifest;
    if (!release.image.reference_values || !release.image.reference_values_corim || !release.image.audit)
        return refused("image.json", "has no reference values or no audit.json, which a release has");
    const Json image_files = to_json(manifest)["files"];
    for (const auto &[member, file] : image_files.items())
        if (!std::ranges::contains(release.files, file["path"].get<std::string>(), &NamedDigest::name))
            return refused("image.json", "names " + file["path"].get<std::string>() + ", which is not in SHA256SUMS");

    const auto before = predict_before_vcpus(manifest, release.image.files);
    if (!before)
        return explain(before.error(), "image.json");
    const auto values = predict_all(*before, manifest.guest_features);
    if (!values)
        return explain(values.error(), "image.json");
    release.launches = corim::launches(manifest, *values);

    const auto named = read_public_key(small[release_file::publisher]);
    if (!named)
        return explain(named.error(), release_file::publisher);
    if (!(*named == publisher))
        return refused(release_file::publisher, "is not the key that signed this release");

    CVMIN_CHECK(check_reference_json(release.image, *values));
    CVMIN_CHECK(check_launches(manifest.reference_values_corim->path, *release.image.reference_values_corim, release));
    if (const auto verified = corim::verify_signature(small[signed_corim_name], publisher, now); !verified)
        return explain(verified.error(), signed_corim_name);
    CVMIN_CHECK(check_launches(signed_corim_name, small[signed_corim_name], release));

    auto provenance = parse_provenance(small[provenance_name]);
    if (!provenance)
        return explain(provenance.error(), provenance_name);
    release.provenance = std::move(*provenance);
    std::vector<NamedDigest> subjects = release.files;
    std::erase_if(subjects, [](const NamedDigest &file) {
        return file.name == provenance_name || file.name == release_file::envelope;
    });
    if (const auto mismatch = first_mismatch(release.provenance, manifest, subjects, *values))
        return refused(provenance_name, *mismatch);
    const auto payload = verify_dsse(small[release_file::envelope], in_toto_payload_type, publisher);
    if (!payload)
        return explain(payload.error(), release_file::envelope);
    if (*payload != small[provenance_name])
        return refused(release_file::envelope, std::string{"has another statement than "} + provenance_name);
    CVMIN_TRY(inputs, check_locks(small, manifest));
    const auto sbom = parse_sbom(small[sbom_name]);
    if (!sbom)
        return explain(sbom.error(), sbom_name);
    if (const auto mismatch = first_mismatch(*sbom, release.image, inputs))
        return refused(sbom_name, *mismatch);
    if (const auto blocks = small.find(release_file::id_blocks); blocks != small.end()) {
        CVMIN_TRY(checked, check_id_blocks(blocks->second, release));
        release.id_blocks = std::move(checked);
    }
    return release;
}

} // namespace cvmin
