// cvmin keygen: makes a P-384 key in a file that only its owner can read, and says by which digests others name it.
#include "host-tools/base/os.hpp"
#include "host-tools/cli.hpp"
#include "host-tools/signing/id_block.hpp"
#include "host-tools/signing/key_file.hpp"

#include <cerrno>
#include <cstdio>

#include <sys/stat.h>
#include <unistd.h>

namespace cvmin {

namespace {

constexpr const char *command = "keygen";
constexpr mode_t owner_only = 0600;
constexpr mode_t for_everybody = 0644;

struct Args {
    std::string out, show;
    bool force = false;
    bool json = false;
};

void print_result(const Args &args, const PublicKey &key, const std::string &private_file,
                  const std::string &public_file) {
    const std::string snp = hex(snp_key_digest(key));
    const std::string spki = hex(sha256(public_key_der(key)));
    if (args.json) {
        Json json = {{"schema", 1}, {"algorithm", "ECDSA P-384"}};
        if (!private_file.empty())
            json["private_key"] = private_file;
        json["public_key"] = public_file;
        json["snp_key_digest"] = snp;
        json["spki_sha256"] = spki;
        print_json(json);
        return;
    }
    if (!private_file.empty())
        std::printf("private key      %s\n", private_file.c_str());
    std::printf("public key       %s\n", public_file.c_str());
    std::printf("snp key digest   %s\n", snp.c_str());
    std::printf("spki sha256      %s\n", spki.c_str());
}

int show(const Args &args) {
    auto bytes = read_file(args.show, max_key_file);
    if (!bytes)
        return report_error(command, bytes.error(), args.show);
    const Secret text{std::move(*bytes)};
    auto key = read_public_key(text.view());
    if (!key && key.error().code == Errc::malformed) { // perhaps the other half
        P384PrivateKey private_key;
        if (const auto read = read_private_key(private_key, text.view()); read || read.error().code != Errc::malformed)
            key = read ? private_key.public_key() : std::unexpected(read.error());
    }
    if (!key)
        return report_error(command, key.error(), args.show);
    print_result(args, *key, "", args.show);
    return Exit::ok;
}

// With --force only what is a file may be replaced: not a device, nor what a link points to. Nothing: it may be made.
std::optional<std::string> why_not(const std::string &path, bool force) {
    struct stat info{};
    if (::lstat(path.c_str(), &info) != 0)
        return std::nullopt; // not there; or what making it will say
    if (!force)
        return path + ": is there already, and is kept; --force replaces it";
    if (!S_ISREG(info.st_mode))
        return path + ": is there already and is not a file; it is kept";
    return std::nullopt;
}

int make(const Args &args) {
    const std::string public_file = args.out + ".pub.pem";
    for (const std::string &path : {args.out, public_file})
        if (const auto reason = why_not(path, args.force))
            return report_error(command, Exit::system_failure, *reason);
    const auto key = generate_key();
    if (!key)
        return report_error(command, key.error());
    const auto public_pem = public_key_pem(key->public_key);
    if (!public_pem)
        return report_error(command, public_pem.error());

    const auto write = args.force ? write_file : write_new_file;
    if (const auto written = write(args.out, key->pem.view(), owner_only); !written)
        return report_error(command, written.error(), args.out);
    if (const auto written = write(public_file, as_bytes(*public_pem), for_everybody); !written) {
        if (!args.force)
            ::unlink(args.out.c_str()); // made just now: not half of a pair
        return report_error(command, written.error(), public_file);
    }
    print_result(args, key->public_key, args.out, public_file);
    return Exit::ok;
}

} // namespace

int cmd_keygen(int argc, char **argv) {
    Args args;
    CLI::App app{"Make an ECDSA P-384 key: an ID key, an author key, or one for signed reference values.",
                 "cvmin keygen"};
    auto *out = app.add_option("--out", args.out,
                               "file for the private key (PEM, mode 0600); FILE.pub.pem gets the other half");
    auto *shown = app.add_option("--show", args.show, "print the digests of this key instead; makes nothing");
    app.add_flag("--force", args.force, "replace files that are there")->needs(out);
    app.add_flag("--json", args.json, "print JSON (schema 1)");
    shown->excludes(out);
    app.footer("Examples:\n"
               "  cvmin keygen --out id-key.pem\n"
               "  cvmin keygen --show id-key.pem.pub.pem\n\n"
               "\"snp key digest\" is what reports carry as ID_KEY_DIGEST or AUTHOR_KEY_DIGEST. See docs/keygen.md.");
    if (const auto done = parse_options(app, argc, argv))
        return *done;
    if (args.out.empty() == args.show.empty())
        return report_error(command, Exit::usage, "wanted either --out FILE or --show FILE");
    if (args.out == "-")
        return report_error(command, Exit::usage, "--out: a private key does not go to standard output");
    const int result = args.show.empty() ? make(args) : show(args);
    if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0)
        return report_error(command, Error{Errc::system, "standard output", static_cast<std::uint64_t>(errno)});
    return result;
}

} // namespace cvmin
