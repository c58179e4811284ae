// cvmin release: writes an image with everything that a relying party needs of it into one signed directory, and checks
// such a directory. What a release is: host-tools/publish. Bill of materials and provenance: image/.
#include "host-tools/appraise/verdict.hpp"
#include "host-tools/base/os.hpp"
#include "host-tools/base/scratch.hpp"
#include "host-tools/base/text.hpp"
#include "host-tools/cli.hpp"
#include "host-tools/image_output.hpp"
#include "host-tools/publish/release_bundle.hpp"
#include "host-tools/reference.hpp"
#include "host-tools/sign_launches.hpp"
#include "host-tools/signing/dsse.hpp"
#include "image/build.hpp"
#include "image/sbom.hpp"
#include "image/source_state.hpp"

#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <map>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace cvmin {

namespace fs = std::filesystem;

namespace {

constexpr const char *command = "release";

// ID blocks unless told otherwise: each CPU model that Linux's KVM runs SNP guests on, and QEMU's default; counts up to
// a small server. 20 of max_id_blocks.
const std::vector<std::string> default_vcpu_types{"EPYC-v4", "EPYC-Milan", "EPYC-Genoa", "EPYC-Turin"};
const std::vector<unsigned> default_vcpus{1, 2, 4, 8, 16};

// What decides bytes of an image, and so what of a commit is compared with an image's inputs.
const std::vector<std::string> compared_paths{"CMakeLists.txt", "agent-min", "common", "image", "toolchain"};

struct Args {
    std::string image, out, key, name, signer, source, commit, commit_time, source_uri, id_blocks, publisher;
    std::string id_key, author_key;
    IdBlockContent block;
    std::optional<std::uint32_t> svn;
    std::vector<unsigned> vcpus;
    std::vector<std::string> vcpu_types;
    bool allow_debug = false, json = false;
};

std::string from_environment(const char *name) {
    const char *value = std::getenv(name);
    return value == nullptr ? "" : value;
}

std::string key_name(const PublicKey &key) {
    return hex(sha256(public_key_der(key)));
}

// ---- the source ----------------------------------------------------------------------------------------------------

struct Source {
    std::string commit;
    std::int64_t time = 0;
    fs::path files; // where those of compared_paths are
};

// The commit, and its files in `scratch`; or the work tree itself, when the caller says of which commit it is.
Explained<Source> find_source(const Args &args, const fs::path &scratch, const Interrupts &interrupts) {
    std::error_code error;
    std::string given = args.source.empty() ? from_environment("CVMIN_SRC") : args.source;
    const fs::path tree = fs::absolute(given.empty() ? "." : given, error).lexically_normal();
    if (!args.commit.empty()) {
        const auto time = parse_time(args.commit_time);
        if (!is_commit_id(args.commit))
            return explain(Errc::usage,
                           "--commit: wanted all of a commit's id, 40 or 64 lower-case hexadecimal digits");
        if (!time)
            return explain(Errc::usage, "--commit-time: wanted the form 2026-01-31T12:00:00Z");
        return Source{args.commit, *time, tree};
    }
    auto state = read_source_state(tree, interrupts);
    if (!state && state.error().code == Errc::missing)
        return explain(Errc::missing, state.error().text + "; --commit and --commit-time say which one it is of");
    if (!state)
        return std::unexpected(state.error());
    if (state->dirty())
        return explain(Errc::mismatch, tree.string() + ": is not as its commit " + state->commit.substr(0, 12) +
                                           " has it, and a release is of a commit: " + changed_text(*state));
    Source source{std::move(state->commit), state->time, scratch / "source"};
    fs::create_directory(source.files, error);
    if (error)
        return explain({Errc::system, "directory", static_cast<std::uint64_t>(error.value())}, source.files.string());
    CVMIN_CHECK(export_commit(tree, source.commit, compared_paths, source.files, interrupts));
    return source;
}

Explained<void> check_source(const LoadedImage &image, const Source &source) {
    const auto ours = recipe_inputs(source.files, image.manifest.debug, firmware_origin(image.manifest));
    if (!ours)
        return explain(ours.error().error, ours.error().subject);
    const std::vector<std::string> others = other_inputs(image.manifest, *ours);
    if (others.empty())
        return {};
    for (const std::string &other : others)
        note("otherwise: " + other);
    return explain(Errc::mismatch, "the image was not built from commit " + source.commit.substr(0, 12) +
                                       "; first: " + others.front() + " (build it again, or check out its commit)");
}

// ---- the files -----------------------------------------------------------------------------------------------------

struct NewFile {
    Bytes bytes;
    mode_t mode = 0644;
};
using NewFiles = std::map<std::string, NewFile>;

Explained<NewFiles> image_files(const LoadedImage &image) {
    const ImageManifest &manifest = image.manifest;
    if (!image.agent || !image.reference_values || !image.reference_values_corim || !image.audit_json)
        return explain(Errc::missing,
                       manifest.directory.string() + ": has no agent, reference values or audit.json; build it again");
    NewFiles files;
    files[manifest.kernel.path].bytes = image.files.kernel;
    files[manifest.initrd.path].bytes = image.files.initrd;
    files[manifest.cmdline.path].bytes = to_bytes(as_bytes(manifest.command_line));
    files[manifest.firmware.path].bytes = image.files.firmware;
    files[manifest.agent->path] = {*image.agent, 0755};
    files[manifest.reference_values->path].bytes = *image.reference_values;
    files[manifest.reference_values_corim->path].bytes = *image.reference_values_corim;
    files[manifest.audit->path].bytes = *image.audit_json;
    files["image.json"].bytes = image.image_json;
    for (const auto &[name, file] : files)
        if (!is_release_name(name))
            return explain(Errc::out_of_range, name + ": cannot be the name of a file in a release");
    return files;
}

std::vector<NamedDigest> digests_of(const NewFiles &files) {
    std::vector<NamedDigest> digests;
    for (const auto &[name, file] : files)
        digests.push_back({name, sha256(file.bytes)});
    return digests;
}

std::string instructions(const std::string &name, const Source &source, const LoadedImage &image,
                         const PublicKey &publisher, bool id_blocks) {
    const ImageManifest &manifest = image.manifest;
    std::string text =
        "# " + name + "\n\nA confidential-VM image of cvmin " + manifest.version +
        (manifest.debug ? ", a DEBUG image: its console is on" : "") + ".\nBuilt from commit " + source.commit +
        ".\nSigned by the key whose SubjectPublicKeyInfo has sha256\n" + key_name(publisher) +
        ".\n\nGet the publisher's public key from somewhere else than from here, and call it `publisher.pub.pem`.\n"
        "`publisher.pem` beside this file is only a copy: whoever changed the release could have changed it.\n"
        "Its fingerprint: `openssl pkey -pubin -in publisher.pub.pem -outform DER | sha256sum`\n\n"
        "## With cvmin\n\n"
        "    cvmin release check . --publisher publisher.pub.pem\n\n"
        "That is: both signatures, every file, nothing that is not listed, and that launch digests, provenance, "
        "reference\n"
        "values and locks agree with the files. A running CVM, or stored evidence, against this release:\n\n"
        "    cvmin verify --vm NAME --release . --publisher publisher.pub.pem --policy POLICY.json\n"
        "    cvmin send NAME --secret-name S --file FILE --release . --publisher publisher.pub.pem --policy "
        "POLICY.json\n\n"
        "## Without cvmin\n\n"
        "In this directory; each command must succeed, the last one prints nothing:\n\n"
        "    openssl dgst -sha384 -verify publisher.pub.pem -signature SHA256SUMS.sig SHA256SUMS\n"
        "    sha256sum --check --strict --quiet SHA256SUMS\n"
        "    LC_ALL=C ls -A | grep -vxE 'SHA256SUMS([.](sig|cose))?' | diff - <(cut -c67- SHA256SUMS)\n\n"
        "The launch digest of a report must then be one of `reference-values.json` for its CPU and number of vCPUs. "
        "Other\n"
        "verifiers take `reference-values.signed.corim`; `provenance.dsse.json` is the provenance as an in-toto "
        "attestation,\n"
        "signed by the same key.\n\n"
        "## Rebuild it\n\n"
        "    git checkout " +
        source.commit +
        "\n"
        "    ./dev cvmin reproduce PATH/OF/THIS/DIRECTORY\n\n"
        "builds everything again, and compares every byte of the image.\n\n"
        "## Start it\n\n"
        "    cvmin boot --image image.json" +
        (id_blocks ? " [--id-block id-blocks.json]" : "") + "\n";
    return text;
}

Explained<void> add_id_blocks(const Args &args, const LoadedImage &image, NewFiles &files) {
    if (!args.id_blocks.empty()) { // checked with the rest of the release
        auto text = read_file(args.id_blocks, max_id_block_file);
        if (!text)
            return explain(text.error(), args.id_blocks);
        files[release_file::id_blocks].bytes = std::move(*text);
        return {};
    }
    if (args.id_key.empty())
        return {};
    IdBlockContent content = args.block;
    content.svn = *args.svn;
    content.policy = image.manifest.guest_policy;
    CVMIN_TRY(launches, launches_to_sign(image.manifest, image.files,
                                         args.vcpu_types.empty() ? default_vcpu_types : args.vcpu_types,
                                         args.vcpus.empty() ? default_vcpus : args.vcpus));
    CVMIN_TRY(blocks, sign_launches(launches, content, args.id_key, args.author_key));
    files[release_file::id_blocks].bytes = to_bytes(as_bytes(to_json(blocks).dump(2) + "\n"));
    return {};
}

Explained<NewFiles> all_files(const Args &args, const LoadedImage &image, const Source &source,
                              const P384PrivateKey &key) {
    const auto publisher = key.public_key();
    if (!publisher)
        return explain(publisher.error(), args.key);
    CVMIN_TRY(files, image_files(image));
    CVMIN_TRY(signed_corim, sign_corim(*image.reference_values_corim, key, args.signer));
    files[signed_corim_name].bytes = std::move(signed_corim);
    CVMIN_CHECK(add_id_blocks(args, image, files));
    const auto pem = public_key_pem(*publisher);
    if (!pem)
        return explain(pem.error(), args.key);
    files[release_file::publisher].bytes = to_bytes(as_bytes(*pem));

    std::vector<LockText> locks;
    for (const std::string &path : lock_paths(image.manifest)) {
        auto text = read_file(source.files / path, max_recipe_file_size);
        if (!text)
            return explain(text.error(), path);
        NewFile &file = files[fs::path{path}.filename()];
        file.bytes = std::move(*text);
        locks.push_back({path, file.bytes});
    }
    files[release_file::instructions].bytes =
        to_bytes(as_bytes(instructions(args.name, source, image, *publisher, files.contains(release_file::id_blocks))));

    const auto sbom = spdx_document({image, locks, source.commit, source.time});
    if (!sbom)
        return explain(sbom.error(), sbom_name);
    files[sbom_name].bytes = to_bytes(as_bytes(sbom->dump(1) + "\n"));

    const auto before = predict_before_vcpus(image.manifest, image.files);
    if (!before)
        return explain(before.error(), args.image);
    const auto launches = predict_all(*before, image.manifest.guest_features);
    if (!launches)
        return explain(launches.error(), args.image);
    NewFiles others = files;
    const auto own = image_files(image);
    if (!own)
        return std::unexpected(own.error());
    for (const auto &[name, file] : *own)
        others.erase(name);
    const std::vector<NamedDigest> other_digests = digests_of(others);
    const auto statement =
        slsa_statement({.image = image,
                        .launches = *launches,
                        .locks = locks,
                        .commit = source.commit,
                        .firmware = firmware_origin(image.manifest) == FirmwareOrigin::source ? "source" : "package",
                        .others = other_digests,
                        .source_uri = args.source_uri});
    if (!statement)
        return explain(statement.error(), provenance_name);
    const Bytes provenance = to_bytes(as_bytes(statement->dump(1) + "\n"));
    const auto envelope = sign_dsse(in_toto_payload_type, provenance, key, rfc6979_nonce, nullptr);
    if (!envelope)
        return explain(envelope.error(), release_file::envelope);
    files[provenance_name].bytes = provenance;
    files[release_file::envelope].bytes = to_bytes(as_bytes(*envelope));

    Bytes sums = to_bytes(as_bytes(sha256sums_text(digests_of(files))));
    auto signatures = sign_sums(sums, key);
    if (!signatures)
        return explain(signatures.error(), release_file::sums);
    files[release_file::sums].bytes = std::move(sums);
    files[release_file::sums_signature].bytes = std::move(signatures->der);
    files[release_file::sums_cose].bytes = std::move(signatures->cose);
    return files;
}

// ---- writing -------------------------------------------------------------------------------------------------------

Explained<void> write_files(const fs::path &directory, const NewFiles &files) {
    if (::mkdir(directory.c_str(), 0755) != 0 || ::chmod(directory.c_str(), 0755) != 0) // whatever the umask is
        return explain({Errc::system, "directory", static_cast<std::uint64_t>(errno)}, directory.string());
    for (const auto &[name, file] : files)
        if (const auto written = write_file(directory / name, file.bytes, file.mode); !written)
            return explain(written.error(), name);
    return {};
}

// By GNU tar: members sorted, of uid 0, dated by the commit; nothing of this machine or of now.
Explained<void> write_archive(const fs::path &parent, const std::string &name, const fs::path &archive,
                              std::int64_t time, const Interrupts &interrupts) {
    ChildOptions child;
    child.environment = {{"TAR_OPTIONS", ""}, {"LC_ALL", "C"}};
    const auto done = run_child({"tar", "--create", "--file", archive.string(), "--directory", parent.string(),
                                 "--format=ustar", "--sort=name", "--mtime=@" + std::to_string(time), "--owner=0",
                                 "--group=0", "--numeric-owner", "--mode=u=rwX,go=rX", "--", name},
                                child, interrupts);
    if (!done)
        return explain(done.error(), "tar");
    if (done->status != 0)
        return explain(Errc::system, "tar failed (exit code " + std::to_string(done->status) + ")");
    const UniqueFd file{::open(archive.c_str(), O_RDONLY | O_CLOEXEC)};
    if (!file || ::fsync(file.get()) != 0)
        return explain({Errc::system, "archive", static_cast<std::uint64_t>(errno)}, archive.string());
    return {};
}

// The archive first: where the directory is, the archive is, too. Neither replaces anything.
Explained<void> put_in_place(const fs::path &made_directory, const fs::path &made_archive, const fs::path &out,
                             const fs::path &archive) {
    for (const auto &[from, to] : {std::pair{&made_archive, &archive}, {&made_directory, &out}})
        if (::renameat2(AT_FDCWD, from->c_str(), AT_FDCWD, to->c_str(), RENAME_NOREPLACE) != 0) {
            const Error error{Errc::system, "out", static_cast<std::uint64_t>(errno)};
            if (to == &out)
                ::unlink(archive.c_str());
            return explain(error, to->string());
        }
    return {};
}

struct Made {
    std::string commit, publisher, archive_sha256;
    std::size_t files = 0, launches = 0, id_blocks = 0;
};

Explained<Made> make_release(const Args &args, const fs::path &out, const fs::path &archive,
                             const Interrupts &interrupts) {
    P384PrivateKey key;
    CVMIN_CHECK(read_private_key_file(key, args.key));
    const auto publisher = key.public_key();
    if (!publisher)
        return explain(publisher.error(), args.key);
    CVMIN_TRY(image, load_image(args.image));
    if (image.manifest.debug && !args.allow_debug)
        return explain(Errc::usage, args.image + ": is a DEBUG image, whose console the host reads (--allow-debug "
                                                 "releases it all the same)");
    std::error_code error;
    if (out.has_parent_path())
        fs::create_directories(out.parent_path(), error);
    CVMIN_TRY(scratch, Scratch::make(fs::absolute(out, error).concat(".new-"))); // absolute: git changes to the tree
    CVMIN_TRY(source, find_source(args, scratch.path(), interrupts));
    CVMIN_CHECK(check_source(image, source));
    CVMIN_TRY(files, all_files(args, image, source, key));

    const fs::path directory = scratch.path() / args.name;
    const fs::path made_archive = scratch.path() / "archive";
    CVMIN_CHECK(write_files(directory, files));
    // nothing is published that whoever gets it would refuse
    CVMIN_TRY(release, read_release(directory, *publisher, std::time(nullptr)));
    CVMIN_CHECK(write_archive(scratch.path(), args.name, made_archive, source.time, interrupts));
    const auto archived = read_file(made_archive, max_release_size + max_release_size / 8);
    if (!archived)
        return explain(archived.error(), archive.string());
    if (interrupts.signal() != 0)
        return explain(Errc::system, "interrupted");
    CVMIN_CHECK(put_in_place(directory, made_archive, out, archive));
    return Made{source.commit, key_name(*publisher),    hex(sha256(*archived)),
                files.size(),  release.launches.size(), release.id_blocks.size()};
}

int make(Args args) {
    if (args.image.empty() || args.out.empty() || args.key.empty())
        return report_error(command, Exit::usage, "wanted: cvmin release IMAGE --out DIR --key KEY");
    if (args.commit.empty() != args.commit_time.empty())
        return report_error(command, Exit::usage, "--commit and --commit-time go together");
    if (!args.id_blocks.empty() && !args.id_key.empty())
        return report_error(command, Exit::usage, "wanted either --id-key or --id-blocks");
    if (args.id_key.empty() && (args.svn || !args.author_key.empty() || !args.block.family_id.empty() ||
                                !args.block.image_id.empty() || !args.vcpus.empty() || !args.vcpu_types.empty()))
        return report_error(command, Exit::usage,
                            "--svn, --author-key, --family-id, --image-id, --vcpus and --vcpu-type go with --id-key");
    if (!args.id_key.empty() && !args.svn)
        return report_error(command, Exit::usage,
                            "--id-key needs --svn N: higher with each release that must replace "
                            "others");
    if (args.vcpus.size() * std::max<std::size_t>(1, args.vcpu_types.size()) > max_id_blocks)
        return report_error(command, Exit::usage,
                            "at most " + std::to_string(max_id_blocks) + " ID blocks go into one file");
    if (args.name.empty())
        args.name = "cvmin-" CVMIN_VERSION;
    if (!is_release_name(args.name))
        return report_error(command, Exit::usage,
                            "--name: wanted 1 to 64 letters, digits, '.', '_' and '-', the first "
                            "a letter or digit");
    fs::path out{args.out};
    if (!out.has_filename())
        out = out.parent_path();
    const fs::path archive = fs::path{out}.concat(".tar");
    struct stat found{};
    for (const fs::path &path : {out, archive})
        if (::lstat(path.c_str(), &found) == 0)
            return report_error(command, Exit::usage, path.string() + ": is there already; a release is not replaced");

    int signal = 0;
    Explained<Made> made = explain(Errc::system, "nothing was made");
    {
        const Interrupts interrupts;
        made = make_release(args, out, archive, interrupts);
        signal = interrupts.signal();
    }
    if (!made && signal != 0)
        return report_build_failure(command,
                                    {.error = {Errc::system, "release"}, .subject = {}, .log = {}, .signal = signal});
    if (!made)
        return report_error(command, made.error());
    if (args.json) {
        print_json({{"schema", 1},
                    {"directory", out.string()},
                    {"archive", archive.string()},
                    {"archive_sha256", made->archive_sha256},
                    {"name", args.name},
                    {"commit", made->commit},
                    {"publisher_spki_sha256", made->publisher},
                    {"files", made->files},
                    {"launches", made->launches},
                    {"id_blocks", made->id_blocks}});
        return Exit::ok;
    }
    std::printf("directory        %s (%zu files)\narchive          %s\n  sha256         %s\ncommit           %s\n"
                "publisher        spki sha256 %s\nlaunches         %zu\nid blocks        %zu\n",
                out.c_str(), made->files, archive.c_str(), made->archive_sha256.c_str(), made->commit.c_str(),
                made->publisher.c_str(), made->launches, made->id_blocks);
    return Exit::ok;
}

// ---- check ---------------------------------------------------------------------------------------------------------

int check(const Args &args) {
    const auto publisher = read_public_key_file(args.publisher);
    if (!publisher)
        return report_error(command, publisher.error());
    std::error_code error;
    if (!fs::is_directory(args.image, error))
        return report_error(command, Exit::bad_input, args.image + ": is no directory (an archive is unpacked first)");
    const auto release = read_release(args.image, *publisher, std::time(nullptr));
    // what this command was asked: a refusal is its answer, and no bad input
    const bool refused = !release && exit_code(release.error().code) == Exit::bad_input;
    if (args.json && (release || refused)) {
        Json json{{"schema", 1},
                  {"directory", args.image},
                  {"ok", release.has_value()},
                  {"refused", release ? Json() : Json(release.error().text)},
                  {"publisher_spki_sha256", key_name(*publisher)}};
        if (release) {
            json["version"] = release->image.manifest.version;
            json["debug"] = release->image.manifest.debug;
            json["commit"] = release->provenance.commit;
            json["files"] = release->files.size();
            json["launches"] = release->launches.size();
            json["id_blocks"] = release->id_blocks.size();
        }
        print_json(json);
    }
    if (refused)
        return report_error(command, Exit::rejected, args.image + ": " + release.error().text);
    if (!release)
        return report_error(command, release.error());
    if (!args.json)
        std::printf("%s: cvmin %s%s, commit %s: signed by this publisher; %zu files, %zu launches and %zu ID blocks "
                    "agree\n",
                    args.image.c_str(), printable_line(release->image.manifest.version).c_str(),
                    release->image.manifest.debug ? " (DEBUG image)" : "", release->provenance.commit.c_str(),
                    release->files.size(), release->launches.size(), release->id_blocks.size());
    return Exit::ok;
}

void describe(CLI::App &app, Args &args) {
    app.add_option("image", args.image, "directory of a built image, or its image.json");
    app.add_option("--out", args.out, "directory to make; the same as an archive goes to DIR.tar");
    app.add_option("--key", args.key, "the publisher's private key (P-384; cvmin keygen)");
    app.add_option("--name", args.name,
                   "name of the release, and of the directory in the archive (default: cvmin-" CVMIN_VERSION ")");
    app.add_option("--signer", args.signer,
                   "the publisher's name in the signed CoRIM (default: the key's fingerprint)");
    app.add_option("--source", args.source,
                   "work tree that the image was built from (default: $CVMIN_SRC, or the "
                   "current directory); its git commit is recorded");
    app.add_option("--commit", args.commit, "for a tree without git: the commit that it is of");
    app.add_option("--commit-time", args.commit_time, "with --commit: its time, as 2026-01-31T12:00:00Z");
    app.add_option("--source-uri", args.source_uri, "where the commit can be fetched: git+https://...");
    app.add_option("--id-key", args.id_key, "sign ID blocks with this key, too");
    app.add_option("--author-key", args.author_key, "with --id-key: key that vouches for the ID key");
    app.add_option("--svn", args.svn, "with --id-key: security version number")
        ->check(CLI::Range(std::uint64_t{0}, std::uint64_t{0xffffffff}));
    app.add_option("--family-id", args.block.family_id,
                   "with --id-key: text of 1 to 16 characters, or 0x and 32 digits");
    app.add_option("--image-id", args.block.image_id, "with --id-key: the same, for this image");
    app.add_option("--vcpus", args.vcpus, "with --id-key: numbers of vCPUs (default 1,2,4,8,16)")
        ->delimiter(',')
        ->check(CLI::Range(1u, max_vcpus));
    app.add_option("--vcpu-type", args.vcpu_types,
                   "with --id-key: CPU models (default EPYC-v4,EPYC-Milan,EPYC-Genoa,EPYC-Turin)")
        ->delimiter(',');
    app.add_option("--id-blocks", args.id_blocks, "instead of --id-key: id-blocks.json of cvmin sign");
    app.add_flag("--allow-debug", args.allow_debug, "release a debug image");
    app.add_flag("--json", args.json, "print JSON (schema 1)");
    app.footer(
        "Examples:\n"
        "  cvmin release out --out cvmin-0.1.0 --key publisher.pem\n"
        "  cvmin release out --out cvmin-0.1.0 --key publisher.pem --id-key id-key.pem --svn 3\n"
        "  cvmin release check cvmin-0.1.0 --publisher publisher.pub.pem\n"
        "  cvmin verify --vm vm1 --release cvmin-0.1.0 --publisher publisher.pub.pem --policy policies/genoa.json\n\n"
        "Exit codes: 0 done, 1 the release is refused (check), 2 usage, 3 bad input: also a work tree with changes "
        "and an\n"
        "image of another commit; 4 system.");
}

} // namespace

int cmd_release(int argc, char **argv) {
    Args args;
    CLI::App app{
        "Write an image, its reference values, bill of materials and provenance into one signed directory, and "
        "the same\n"
        "as an archive; or check such a directory. The same commit and key give the same bytes.",
        "cvmin release"};
    app.require_subcommand(0, 1);
    describe(app, args);
    CLI::App *check_app = app.add_subcommand("check", "check signatures, every file, and that all of it agrees");
    check_app->add_option("directory", args.image, "directory of a release")->required();
    check_app->add_option("--publisher", args.publisher, "the publisher's public key (P-384; PEM or DER)")->required();
    check_app->add_flag("--json", args.json, "print JSON (schema 1)");
    if (const auto done = parse_options(app, argc, argv))
        return *done;
    return check_app->parsed() ? check(args) : make(std::move(args));
}

} // namespace cvmin
