// cvmin manifest: makes the manifest of a computation, says what one allows whom and what is wrong with it, and signs
// it.
#include "host-tools/base/os.hpp"
#include "host-tools/base/text.hpp"
#include "host-tools/cli.hpp"
#include "host-tools/computation/manifest_file.hpp"
#include "host-tools/computation/manifest_json.hpp"
#include "host-tools/computation/static_elf.hpp"
#include "host-tools/reference.hpp"
#include "host-tools/signing/key_file.hpp"
#include "qemu/machine.hpp"

#include <cerrno>
#include <charconv>
#include <cstdio>

#include <fcntl.h>
#include <unistd.h>

namespace cvmin {

namespace {

constexpr const char *command = "manifest";
constexpr mode_t for_everybody = 0644;
constexpr std::size_t read_size = 1u << 20;
constexpr std::size_t max_program_size = std::size_t{1} << 30; // read whole, to see what it is
constexpr std::string_view digest_prefix = "sha256:";

// Small enough for the smallest CVM, and enough to try things out.
constexpr std::uint64_t default_memory = 32u << 20, default_output = 8u << 20;

struct Args {
    std::string file, out, id, algorithm, key;
    std::optional<std::string> signer, cbor;
    std::vector<std::string> parties, datasets, consumers, arguments, environment;
    Limits limits{
        .memory = default_memory, .cpu_seconds = 60, .wall_seconds = 300, .output = default_output, .processes = 16};
    bool force = false;
    bool json = false;
};

int finish_output() {
    if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0)
        return report_error(command, Error{Errc::system, "standard output", static_cast<std::uint64_t>(errno)});
    return Exit::ok;
}

Explained<void> write_out(const Args &args, ByteView bytes) {
    const auto written = args.force ? write_file(args.out, bytes) : write_new_file(args.out, bytes, for_everybody);
    if (!written && written.error().code == Errc::system && written.error().detail == EEXIST)
        return explain(Errc::system, args.out + ": is there already, and is kept; --force replaces it");
    if (!written)
        return explain(written.error(), args.out);
    return {};
}

std::string size_text(std::uint64_t bytes) {
    static constexpr std::pair<std::uint64_t, const char *> units[] = {
        {std::uint64_t{1} << 40, "TiB"}, {1u << 30, "GiB"}, {1u << 20, "MiB"}, {1u << 10, "KiB"}};
    for (const auto &[unit, name] : units)
        if (bytes >= unit && bytes % unit == 0)
            return std::to_string(bytes / unit) + " " + name;
    return std::to_string(bytes) + " bytes";
}

// ---- new ------------------------------------------------------------------------------------------------------

struct Measured {
    Sha256Digest sha256{};
    std::uint64_t size = 0;
};

Explained<Measured> measure_file(const std::string &path) {
    const UniqueFd fd{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)}; // not waiting for a pipe's writer
    struct stat info{};
    if (!fd || ::fstat(fd.get(), &info) != 0)
        return explain(Error{errno == ENOENT ? Errc::missing : Errc::system, "file", static_cast<std::uint64_t>(errno)},
                       path);
    if (!S_ISREG(info.st_mode))
        return explain(Errc::unsupported, path + ": is no regular file");
    Measured out;
    Sha256Stream stream;
    Bytes buffer(read_size);
    for (;;) {
        const ssize_t got = ::read(fd.get(), buffer.data(), buffer.size());
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return explain(Error{Errc::system, "file", static_cast<std::uint64_t>(errno)}, path);
        if (got == 0)
            break;
        stream.update(ByteView{buffer}.first(static_cast<std::size_t>(got)));
        out.size += static_cast<std::uint64_t>(got);
    }
    out.sha256 = stream.finish();
    return out;
}

struct Item {
    Measured content;
    std::string party;
};

// "FILE@PARTY", or "sha256:HEX:SIZE@PARTY" of what only the other party has.
Explained<Item> read_item(const std::string &option, const std::string &spec, bool program) {
    const std::size_t at = spec.rfind('@');
    if (at == std::string::npos || at == 0)
        return explain(Errc::usage,
                       option + ": \"" + printable_line(spec) + "\": wanted FILE@PARTY, or sha256:HEX:SIZE@PARTY");
    Item item;
    item.party = spec.substr(at + 1);
    const std::string source = spec.substr(0, at);
    if (source.starts_with(digest_prefix)) {
        const std::string_view rest = std::string_view{source}.substr(digest_prefix.size());
        const std::size_t colon = rest.find(':');
        const auto digest = parse_hex_exactly<sizeof(Sha256Digest)>(rest.substr(0, colon), "sha256");
        const std::string_view size = colon == std::string_view::npos ? std::string_view{} : rest.substr(colon + 1);
        const auto [end, error] = std::from_chars(size.data(), size.data() + size.size(), item.content.size);
        if (!digest || error != std::errc{} || end != size.data() + size.size())
            return explain(Errc::usage, option + ": \"" + printable_line(source) +
                                            "\": wanted sha256:, 64 hexadecimal digits, ':' and the size in bytes");
        item.content.sha256 = *digest;
        return item;
    }
    CVMIN_TRY(content, measure_file(source));
    item.content = content;
    if (program) {
        const auto bytes = read_file(source, max_program_size);
        if (!bytes)
            return explain(bytes.error(), source);
        if (const auto why = why_not_static_elf(*bytes))
            return explain(Errc::unsupported, source + ": " + *why);
    }
    return item;
}

// "NAME=VALUE" at the first '='.
Explained<std::pair<std::string, std::string>> named(const std::string &option, const std::string &spec,
                                                     const std::string &form) {
    const std::size_t equals = spec.find('=');
    if (equals == std::string::npos || equals == 0 || equals + 1 == spec.size())
        return explain(Errc::usage, option + ": \"" + printable_line(spec) + "\": wanted " + form);
    return std::pair{spec.substr(0, equals), spec.substr(equals + 1)};
}

Explained<Manifest> from_options(const Args &args) {
    Manifest manifest;
    manifest.id = args.id;
    CVMIN_TRY(program, read_item("--algorithm", args.algorithm, true));
    manifest.algorithm = {.sha256 = program.content.sha256,
                          .size_limit = program.content.size,
                          .kind = AlgorithmKind::elf,
                          .arguments = args.arguments,
                          .environment = args.environment,
                          .party = std::move(program.party),
                          .limits = args.limits};
    for (const std::string &spec : args.datasets) {
        CVMIN_TRY(split, named("--dataset", spec, "NAME=FILE@PARTY"));
        CVMIN_TRY(item, read_item("--dataset", split.second, false));
        // an empty file is one, too; its limit cannot be 0
        manifest.datasets.push_back({std::move(split.first), item.content.sha256,
                                     std::max<std::uint64_t>(item.content.size, 1), std::move(item.party)});
    }
    for (const std::string &spec : args.parties) {
        CVMIN_TRY(split, named("--party", spec, "NAME=KEY.pub.pem"));
        CVMIN_TRY(key, read_public_key_file(split.second));
        manifest.parties.push_back({std::move(split.first), key});
    }
    manifest.consumers = args.consumers;
    return manifest;
}

int make(const Args &args) {
    const auto manifest = from_options(args);
    if (!manifest)
        return report_error(command, manifest.error());
    const std::string text = manifest_json(*manifest).dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
    // the same rules, and the same words, as for a file that somebody wrote; but there are no lines yet
    const auto written = parse_manifest_json(as_bytes(text));
    if (!written) {
        for (const ManifestMistake &mistake : written.error())
            report_error(command, Exit::bad_input,
                         (mistake.member.empty() ? "" : printable_line(mistake.member) + ": ") +
                             printable_line(mistake.text));
        return Exit::bad_input;
    }
    const std::string ordered = manifest_json(written->manifest).dump(2) + "\n";
    if (args.out.empty()) {
        std::fwrite(ordered.data(), 1, ordered.size(), stdout);
        return finish_output();
    }
    if (const auto done = write_out(args, as_bytes(ordered)); !done)
        return report_error(command, done.error());
    const std::string digest = hex(manifest_digest(written->encoded));
    if (args.json)
        print_json({{"schema", 1}, {"file", args.out}, {"id", written->manifest.id}, {"sha256", digest}});
    else
        std::printf("%s  %s\n", digest.c_str(), args.out.c_str());
    note("cvmin manifest check says who may do what");
    return finish_output();
}

// ---- check ----------------------------------------------------------------------------------------------------

std::string joined(const std::vector<std::string> &texts) {
    std::string out;
    for (const std::string &text : texts)
        out += (out.empty() ? "" : ", ") + text;
    return out;
}

// What a reader should think of before agreeing.
std::vector<std::string> remarks(const Manifest &manifest) {
    std::vector<std::string> out;
    const std::string &author = manifest.algorithm.party;
    const bool brings_data = std::ranges::contains(manifest.datasets, author, &Dataset::party);
    const bool others_bring_data =
        std::ranges::any_of(manifest.datasets, [&](const Dataset &dataset) { return dataset.party != author; });
    if (is_consumer(manifest, author) && others_bring_data)
        out.push_back(author + " brings the program and gets the result: whatever the program writes of the others' "
                               "data reaches its author, so the others should know what it does");
    for (const Dataset &dataset : manifest.datasets)
        if (dataset.party != author && std::ranges::contains(manifest.consumers, dataset.party) &&
            manifest.consumers.size() == 1 && manifest.datasets.size() == 1 && !brings_data)
            out.push_back("only " + dataset.party + "'s data and only " + dataset.party +
                          " gets the result: the program is what is kept from " + dataset.party);
    if (manifest.datasets.empty())
        out.emplace_back("there is no data: the program runs on its arguments alone");
    return out;
}

void explain_manifest(const ManifestFile &file, const std::optional<std::string> &signed_by) {
    const Manifest &manifest = file.manifest;
    const Algorithm &algorithm = manifest.algorithm;
    std::printf("manifest   %s\n", manifest.id.c_str());
    std::printf("sha256     %s\n", hex(file.digest).c_str());
    std::printf("           (HOST_DATA of the CVM that is booted for it; its evidence names it, too)\n");
    if (signed_by)
        std::printf("signed by  %s\n", signed_by->c_str());
    std::printf("\nprogram    sha256 %s, at most %s, from %s\n", hex(algorithm.sha256).c_str(),
                size_text(algorithm.size_limit).c_str(), algorithm.party.c_str());
    if (!algorithm.arguments.empty())
        std::printf("           arguments: %s\n", shell_quote(algorithm.arguments).c_str());
    if (!algorithm.environment.empty())
        std::printf("           environment: %s\n", shell_quote(algorithm.environment).c_str());
    const Limits &limits = algorithm.limits;
    std::printf(
        "           is ended beyond %s of memory (output included), %llu s of CPU time, %llu s, %llu processes;\n"
        "           may write %s\n",
        size_text(limits.memory).c_str(), static_cast<unsigned long long>(limits.cpu_seconds),
        static_cast<unsigned long long>(limits.wall_seconds), static_cast<unsigned long long>(limits.processes),
        size_text(limits.output).c_str());
    for (const Dataset &dataset : manifest.datasets)
        std::printf("data       %s: sha256 %s, at most %s, from %s\n", dataset.name.c_str(),
                    hex(dataset.sha256).c_str(), size_text(dataset.size_limit).c_str(), dataset.party.c_str());
    std::printf("\n");
    for (const Party &party : manifest.parties) {
        std::vector<std::string> roles = roles_of(manifest, party);
        const bool result = is_consumer(manifest, party.name);
        if (result)
            roles.pop_back();
        const std::string brings = roles.empty() ? "brings nothing" : "brings " + joined(roles);
        std::printf("%-10s %s; %s\n", party.name.c_str(), brings.c_str(),
                    result ? "gets result, log and receipt" : "gets no result");
        std::printf("           key: spki sha256 %s\n", hex(sha256(public_key_der(party.key))).c_str());
    }
    std::printf("\nOnly the holder of a party's key may do this, and nothing else. Nobody gets another's data.\n");
    constexpr std::uint64_t mib = 1u << 20;
    std::printf("Inputs and run may take %llu MiB of the CVM's memory; boot adds its own needs to that.\n",
                static_cast<unsigned long long>((memory_bound(manifest) + mib - 1) / mib));
    for (const std::string &remark : remarks(manifest))
        std::printf("Note: %s.\n", remark.c_str());
}

// Whose signature is wanted: the party of the manifest that has the key, or its digest where nobody has.
std::string signer_name(const Manifest &manifest, const PublicKey &key) {
    const Party *party = find_party(manifest, key);
    return party != nullptr ? party->name : "no party of it (spki sha256 " + hex(sha256(public_key_der(key))) + ")";
}

Explained<std::optional<PublicKey>> wanted_signer(const Args &args) {
    if (!args.signer)
        return std::optional<PublicKey>{};
    CVMIN_TRY(key, read_public_key_file(*args.signer));
    return std::optional{key};
}

int check(const Args &args) {
    const auto signer = wanted_signer(args);
    if (!signer)
        return report_error(command, signer.error());
    const auto bytes = read_file(args.file, max_manifest_json_size);
    if (!bytes)
        return report_error(command, bytes.error(), args.file);
    if (!*signer && form_of(*bytes) == ManifestForm::json) // every mistake, and not the first
        if (const auto written = parse_manifest_json(*bytes); !written) {
            Json problems = Json::array();
            for (const ManifestMistake &mistake : written.error())
                problems.push_back({{"line", mistake.line},
                                    {"member", printable_line(mistake.member)},
                                    {"problem", printable_line(mistake.text)}});
            if (args.json)
                print_json({{"schema", 1}, {"ok", false}, {"problems", std::move(problems)}});
            else
                for (const ManifestMistake &mistake : written.error())
                    report_error(command, Exit::bad_input, args.file + ": " + to_string(mistake));
            return Exit::bad_input;
        }
    const auto file = read_manifest(*bytes, args.file, *signer ? &**signer : nullptr);
    if (!file)
        return report_error(command, file.error());
    std::optional<std::string> signed_by;
    if (*signer) {
        if (find_party(file->manifest, **signer) == nullptr)
            return report_error(command, Exit::bad_input,
                                args.file + ": is signed by " + signer_name(file->manifest, **signer));
        signed_by = signer_name(file->manifest, **signer);
    }
    if (args.json)
        print_json({{"schema", 1},
                    {"ok", true},
                    {"problems", Json::array()},
                    {"sha256", hex(file->digest)},
                    {"signed_by", signed_by ? Json(*signed_by) : Json(nullptr)},
                    {"remarks", remarks(file->manifest)},
                    {"manifest", manifest_json(file->manifest)}});
    else
        explain_manifest(*file, signed_by);
    return finish_output();
}

// ---- digest and sign ------------------------------------------------------------------------------------------

int digest(const Args &args) {
    const auto signer = wanted_signer(args);
    if (!signer)
        return report_error(command, signer.error());
    const auto file = load_manifest(args.file, *signer ? &**signer : nullptr);
    if (!file)
        return report_error(command, file.error());
    if (args.cbor)
        if (const auto written = write_file(*args.cbor, file->encoded); !written)
            return report_error(command, written.error(), *args.cbor);
    if (args.json)
        print_json(
            {{"schema", 1}, {"id", file->manifest.id}, {"sha256", hex(file->digest)}, {"size", file->encoded.size()}});
    else
        std::printf("%s\n", hex(file->digest).c_str());
    return finish_output();
}

int sign(const Args &args) {
    const auto file = load_manifest(args.file);
    if (!file)
        return report_error(command, file.error());
    P384PrivateKey key;
    if (const auto read = read_private_key_file(key, args.key); !read)
        return report_error(command, read.error());
    const auto public_key = key.public_key();
    if (!public_key)
        return report_error(command, public_key.error(), args.key);
    const Party *party = find_party(file->manifest, *public_key);
    if (party == nullptr)
        return report_error(command, Exit::bad_input,
                            args.key + ": is the key of " + signer_name(file->manifest, *public_key) +
                                ", whose agreement nobody needs");
    const auto message = sign_manifest(file->encoded, key);
    if (!message)
        return report_error(command, message.error(), args.file);
    if (const auto done = write_out(args, *message); !done)
        return report_error(command, done.error());
    if (args.json)
        print_json({{"schema", 1},
                    {"file", args.out},
                    {"party", party->name},
                    {"id", file->manifest.id},
                    {"sha256", hex(file->digest)}});
    else
        std::printf("%s: signed by %s, sha256 %s\n", args.out.c_str(), party->name.c_str(), hex(file->digest).c_str());
    return finish_output();
}

void describe_new(CLI::App &app, Args &args) {
    app.add_option("--id", args.id, "name of the computation: 1 to 64 of a-z, 0-9, '.', '_', '-'")->required();
    app.add_option("--algorithm", args.algorithm,
                   "static x86-64 program and who brings it: FILE@PARTY, or sha256:HEX:SIZE@PARTY without the file")
        ->required();
    app.add_option("--dataset", args.datasets,
                   "NAME=FILE@PARTY, or NAME=sha256:HEX:SIZE@PARTY without the file; repeatable")
        ->allow_extra_args(false);
    app.add_option("--party", args.parties, "NAME=KEY.pub.pem, a P-384 public key (cvmin keygen); repeatable")
        ->required()
        ->allow_extra_args(false);
    app.add_option("--consumer", args.consumers, "party that gets the result; repeatable")
        ->required()
        ->allow_extra_args(false);
    app.add_option("--argument", args.arguments, "argument of the program (--argument=-n); repeatable, in order")
        ->allow_extra_args(false);
    app.add_option("--environment", args.environment, "NAME=value for the program; repeatable")
        ->allow_extra_args(false);
    const auto size = CLI::AsSizeValue(false);
    app.add_option("--memory", args.limits.memory, "memory of the run, its output included: bytes, or 64M, 1G")
        ->transform(size)
        ->default_str(size_text(default_memory));
    app.add_option("--output-limit", args.limits.output, "what the run may write: bytes, or 16M")
        ->transform(size)
        ->default_str(size_text(default_output));
    app.add_option("--cpu-seconds", args.limits.cpu_seconds, "CPU time of the run, of all processes together")
        ->capture_default_str();
    app.add_option("--wall-seconds", args.limits.wall_seconds, "time of the run")->capture_default_str();
    app.add_option("--processes", args.limits.processes, "processes and threads at one time")->capture_default_str();
    app.add_option("--out", args.out, "file to write (default: standard output)");
    app.add_flag("--force", args.force, "replace a file that is there");
    app.add_flag("--json", args.json, "with --out: print JSON (schema 1)");
    app.footer(
        "Example:\n"
        "  cvmin manifest new --id survey-1 --algorithm join@carol --dataset a=a.csv@alice --dataset b=b.csv@bob \\\n"
        "      --party alice=alice.pub.pem --party bob=bob.pub.pem --party carol=carol.pub.pem \\\n"
        "      --consumer alice --consumer bob --memory 64M --output-limit 1M --out survey-1.json");
}

} // namespace

int cmd_manifest(int argc, char **argv) {
    Args args;
    CLI::App app{"Make, check and sign the manifest of a computation: which program runs on whose data for whom.",
                 "cvmin manifest"};
    app.require_subcommand(1);
    app.footer("Examples:\n"
               "  cvmin manifest new --id demo --algorithm count@carol --dataset a=a.csv@alice \\\n"
               "      --party alice=alice.pub.pem --party carol=carol.pub.pem --consumer alice --out demo.json\n"
               "  cvmin manifest check demo.json\n"
               "  cvmin manifest digest demo.json\n"
               "  cvmin manifest sign demo.json --key alice.pem --out demo.alice.cose\n"
               "  cvmin manifest check demo.alice.cose --signer alice.pub.pem\n"
               "  cvmin boot --image out/image.json --manifest demo.json\n\n"
               "Exit codes: 0 done, 2 usage, 3 bad input: a manifest with mistakes, a signature that does not hold, a\n"
               "program that a CVM cannot run, 4 system, or a file that is there. See docs/manifest.md.");
    CLI::App *new_app = app.add_subcommand("new", "write a manifest; digests are computed");
    describe_new(*new_app, args);
    CLI::App *check_app = app.add_subcommand("check", "say who may do what, or name every mistake");
    check_app->add_option("file", args.file, "manifest: JSON, CBOR, or signed; - is standard input")->required();
    check_app->add_option("--signer", args.signer,
                          "of a signed one: the public key of the party that must have signed it");
    check_app->add_flag("--json", args.json, "print JSON (schema 1)");
    CLI::App *digest_app = app.add_subcommand("digest", "print the SHA-256 that goes into HOST_DATA");
    digest_app->add_option("file", args.file, "manifest: JSON, CBOR, or signed; - is standard input")->required();
    digest_app->add_option("--signer", args.signer,
                           "of a signed one: the public key of the party that must have signed it");
    digest_app->add_option("--cbor", args.cbor, "write the bytes that the digest is of to this file");
    digest_app->add_flag("--json", args.json, "print JSON (schema 1)");
    CLI::App *sign_app = app.add_subcommand("sign", "sign a manifest as one of its parties");
    sign_app->add_option("file", args.file, "manifest: JSON or CBOR; - is standard input")->required();
    sign_app->add_option("--key", args.key, "the party's private key")->required();
    sign_app->add_option("--out", args.out, "file for the signed manifest (COSE_Sign1)")->required();
    sign_app->add_flag("--force", args.force, "replace a file that is there");
    sign_app->add_flag("--json", args.json, "print JSON (schema 1)");
    if (const auto done = parse_options(app, argc, argv))
        return *done;
    if (new_app->parsed()) {
        if (args.json && args.out.empty())
            return report_error(command, Exit::usage, "--json goes with --out: standard output gets the manifest");
        return make(args);
    }
    return check_app->parsed() ? check(args) : digest_app->parsed() ? digest(args) : sign(args);
}

} // namespace cvmin
