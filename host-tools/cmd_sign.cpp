// cvmin sign: signs ID blocks for the launches of an image, so that the AMD-SP starts nothing else under them and
// relying parties can pin the signer. Keys are read from files; nothing is asked of any server.
#include "host-tools/base/os.hpp"
#include "host-tools/cli.hpp"
#include "host-tools/sign_launches.hpp"
#include "image/image_manifest.hpp"

#include <cerrno>
#include <charconv>
#include <cstdio>

#include <unistd.h>

namespace cvmin {

namespace {

constexpr const char *command = "sign";
constexpr std::uint64_t policy_debug_bit = std::uint64_t{1} << 19; // AMD 56860, table GUEST_POLICY
constexpr std::string_view blocks_file = "id-blocks.json", block_file = "id-block.base64", auth_file = "id-auth.base64";

struct Args {
    std::string image, digest, id_key, author_key, family_id, image_id, policy;
    std::string out_dir = ".";
    std::vector<unsigned> vcpus;
    std::vector<std::string> vcpu_types;
    std::uint32_t svn = 0;
    bool allow_debug = false;
    bool json = false;
};

struct Subject {
    std::vector<LaunchToSign> launches;
    std::uint64_t policy = 0;
};

Explained<std::uint64_t> parse_policy_option(const std::string &text) {
    std::string_view digits = text;
    if (digits.starts_with("0x") || digits.starts_with("0X"))
        digits.remove_prefix(2);
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
    if (error != std::errc{} || end != digits.data() + digits.size())
        return explain(Errc::usage, "--policy: \"" + text + "\" is not a hexadecimal number of up to 64 bits");
    if ((value & guest_policy_reserved_1) == 0)
        return explain(Errc::usage, "--policy: bit 17 must be 1, else no AMD-SP launches it");
    return value;
}

Explained<Subject> of_image(const Args &args) {
    Subject subject;
    const auto manifest = load_image_manifest(args.image);
    if (!manifest)
        return explain(manifest.error(), args.image);
    if (manifest->debug && !args.allow_debug)
        return explain(Errc::usage, args.image + ": is a DEBUG image, whose console the host reads; who relies on the "
                                                 "signer cannot see that (--allow-debug signs it all the same)");
    const auto files = load_image_files(*manifest);
    if (!files)
        return explain(files.error(), args.image);
    subject.policy = manifest->guest_policy;
    CVMIN_TRY(launches, launches_to_sign(*manifest, *files, args.vcpu_types, args.vcpus));
    subject.launches = std::move(launches);
    return subject;
}

Explained<Subject> subject_of(const Args &args) {
    Subject subject;
    if (args.digest.empty()) {
        auto image = of_image(args);
        if (!image)
            return image;
        subject = std::move(*image);
    } else {
        const auto digest = parse_hex_exactly<sizeof(Sha384Digest)>(args.digest, "--digest");
        if (!digest)
            return explain(Errc::usage, "--digest: wanted 48 bytes in hexadecimal");
        if (all_zero(*digest))
            return explain(Errc::usage, "--digest: zeros are no launch digest");
        subject.launches.push_back({*digest, 0, {}});
    }
    if (!args.policy.empty()) {
        const auto policy = parse_policy_option(args.policy);
        if (!policy)
            return std::unexpected(policy.error());
        subject.policy = *policy;
    }
    if ((subject.policy & policy_debug_bit) != 0 && !args.allow_debug)
        return explain(Errc::usage, "the guest policy allows debugging, with which the host reads the guest's memory "
                                    "(--allow-debug signs it all the same)");
    return subject;
}

Explained<void> write_outputs(const Args &args, const std::vector<IdBlockOf> &blocks) {
    const std::filesystem::path directory = args.out_dir;
    std::error_code error;
    std::filesystem::create_directories(directory, error);
    if (error)
        return explain(Errc::system, args.out_dir + ": " + error.message());
    const auto write = [&](std::string_view name, const std::string &text) -> Explained<void> {
        const auto path = directory / name;
        if (const auto written = write_file(path, as_bytes(text)); !written)
            return explain(written.error(), path.native());
        return {};
    };
    if (auto written = write(blocks_file, to_json(blocks).dump(2) + "\n"); !written)
        return written;
    if (blocks.size() != 1) { // of an earlier call: it would be another launch's
        ::unlink((directory / block_file).c_str());
        ::unlink((directory / auth_file).c_str());
        return {};
    }
    if (auto written = write(block_file, base64(blocks[0].signed_block.raw) + "\n"); !written)
        return written;
    return write(auth_file, base64(blocks[0].signed_block.auth) + "\n");
}

void print_result(const Args &args, const std::vector<IdBlockOf> &blocks) {
    const std::filesystem::path directory = args.out_dir;
    const SignedIdBlock &first = blocks.front().signed_block;
    const IdKeys keys = id_auth_claims(first.auth);
    const std::string author = keys.author_key_digest ? ",author-key-enabled=on" : "";
    const std::string qemu = "id-block=$(cat " + (directory / block_file).native() + "),id-auth=$(cat " +
                             (directory / auth_file).native() + ")" + author;
    if (args.json) {
        Json json = to_json(blocks);
        Json files = Json::array({(directory / blocks_file).native()});
        if (blocks.size() == 1) {
            files.push_back((directory / block_file).native());
            files.push_back((directory / auth_file).native());
            json["qemu"] = "id-block=" + base64(first.raw) + ",id-auth=" + base64(first.auth) + author;
        }
        json["files"] = std::move(files);
        print_json(json);
        return;
    }
    for (const IdBlockOf &entry : blocks) {
        std::printf("%s", hex(entry.signed_block.block.launch_digest).c_str());
        if (entry.vcpus != 0)
            std::printf("  %u x %s", entry.vcpus, entry.vcpu_type.c_str());
        std::printf("\n");
    }
    std::printf("family id          %s\nimage id           %s\nguest svn          %u\nguest policy       0x%llx\n",
                hex(first.block.family_id).c_str(), hex(first.block.image_id).c_str(), first.block.guest_svn,
                static_cast<unsigned long long>(first.block.policy));
    std::printf("id key digest      %s\n", hex(keys.id_key_digest).c_str());
    std::printf("author key digest  %s\n", keys.author_key_digest ? hex(*keys.author_key_digest).c_str() : "none");
    std::printf("written            %s\n", (directory / blocks_file).c_str());
    if (blocks.size() == 1)
        std::printf("QEMU               -object sev-snp-guest,...,%s\n", qemu.c_str());
}

void describe(CLI::App &app, Args &args) {
    auto *image = app.add_option("--image", args.image, "image.json whose launches are signed");
    auto *digest = app.add_option("--digest", args.digest, "a launch digest (hex) instead of --image");
    auto *vcpus = app.add_option("--vcpus", args.vcpus, "numbers of vCPUs: 1,2,4 (default 1)")
                      ->delimiter(',')
                      ->check(CLI::Range(1u, max_vcpus));
    auto *types = app.add_option("--vcpu-type", args.vcpu_types, "CPU models: EPYC-Milan,EPYC-Genoa (default EPYC-v4)")
                      ->delimiter(',');
    app.add_option("--id-key", args.id_key, "private key that signs (cvmin keygen)")->required();
    app.add_option("--author-key", args.author_key, "private key that vouches for the ID key");
    app.add_option("--family-id", args.family_id, "text of 1 to 16 characters, or 0x and 32 digits (default: zeros)");
    app.add_option("--image-id", args.image_id, "the same, for this image");
    app.add_option("--svn", args.svn, "security version number: higher with each release that must replace others")
        ->required()
        ->check(CLI::Range(std::uint64_t{0}, std::uint64_t{0xffffffff}));
    app.add_option("--policy", args.policy, "guest policy in hexadecimal (default: the image's)");
    app.add_option("--out-dir", args.out_dir, "directory for id-blocks.json, id-block.base64, id-auth.base64")
        ->capture_default_str();
    app.add_flag("--allow-debug", args.allow_debug, "sign a debug image, or a policy that allows debugging");
    app.add_flag("--json", args.json, "print what id-blocks.json has, and QEMU's option");
    image->excludes(digest);
    vcpus->excludes(digest);
    types->excludes(digest);
    app.footer("Examples:\n"
               "  cvmin sign --image out/image.json --id-key id-key.pem --svn 3 --family-id web --vcpus 1,2,4\n"
               "  cvmin boot --image out/image.json --vcpus 2 --id-block id-blocks.json\n\n"
               "See docs/sign.md for the files, docs/id-block.md for what a signature is good for.");
}

} // namespace

int cmd_sign(int argc, char **argv) {
    Args args;
    CLI::App app{
        "Sign ID blocks: what the AMD-SP checks at launch, and what relying parties may pin instead of a digest.",
        "cvmin sign"};
    describe(app, args);
    if (const auto done = parse_options(app, argc, argv))
        return *done;
    if (args.image.empty() == args.digest.empty())
        return report_error(command, Exit::usage, "wanted either --image image.json or --digest HEX");
    if (!args.digest.empty() && args.policy.empty())
        return report_error(command, Exit::usage, "--digest needs --policy: it is part of what is signed");
    if (args.vcpus.empty())
        args.vcpus = {1};
    if (args.vcpu_types.empty())
        args.vcpu_types = {"EPYC-v4"};
    if (args.vcpus.size() > max_id_blocks / args.vcpu_types.size())
        return report_error(command, Exit::usage,
                            "at most " + std::to_string(max_id_blocks) + " ID blocks go into one file");

    const auto subject = subject_of(args);
    if (!subject)
        return report_error(command, subject.error());
    const IdBlockContent content{args.family_id, args.image_id, args.svn, subject->policy};
    const auto blocks = sign_launches(subject->launches, content, args.id_key, args.author_key);
    if (!blocks)
        return report_error(command, blocks.error());
    if (const auto written = write_outputs(args, *blocks); !written)
        return report_error(command, written.error());
    print_result(args, *blocks);
    if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0)
        return report_error(command, Error{Errc::system, "standard output", static_cast<std::uint64_t>(errno)});
    return Exit::ok;
}

} // namespace cvmin
