#include "host-tools/signer_options.hpp"

#include "host-tools/base/os.hpp"
#include "host-tools/signing/id_block.hpp"
#include "host-tools/signing/key_file.hpp"

namespace cvmin {

static constexpr std::string_view from_policy = "policy";

void add_signer_options(CLI::App &app, SignerArgs &args) {
    app.add_option(
        "--signer", args.signers,
        "instead of an image: accept what this ID key signed (FILE.pub.pem, its digest in hex, or \"policy\": "
        "the policy's signer); repeatable");
    app.add_option("--author", args.authors, "the same for the author key that signed the ID key; with --signer, both");
    app.add_option("--minimum-svn", args.minimum_svn, "with --signer or --author: least GUEST_SVN that is accepted")
        ->check(CLI::Range(std::uint64_t{0}, std::uint64_t{0xffffffff}));
}

void add_manifest_option(CLI::App &app, std::optional<std::string> &file) {
    app.add_option("--manifest", file,
                   "manifest of the computation that the CVM must be launched for (HOST_DATA), and must claim");
}

// A digest is told from a file by its form: 96 hexadecimal digits.
static Explained<Sha384Digest> key_digest(const std::string &given, std::string_view option) {
    if (const auto digest = parse_hex_exactly<sizeof(Sha384Digest)>(given, option)) {
        if (all_zero(*digest))
            return explain(Errc::usage, std::string{option} + ": zeros stand in every report that nobody signed for");
        return *digest;
    }
    const auto text = read_file(given, max_key_file);
    if (!text)
        return explain(text.error(), given);
    const auto key = read_public_key(*text);
    if (!key)
        return explain(key.error(), given);
    return snp_key_digest(*key);
}

Explained<void> read_signer(const SignerArgs &args, Policy &policy) {
    if (!args.given())
        return {};
    if (std::ranges::contains(args.signers, from_policy)) {
        if (args.signers.size() != 1 || !args.authors.empty() || args.minimum_svn)
            return explain(Errc::usage, "--signer policy: the policy says all of it; leave the other options out");
        if (!policy.signer)
            return explain(Errc::usage, "--signer policy: the policy has no member \"signer\"");
        return {};
    }
    if (args.signers.empty() && args.authors.empty())
        return explain(Errc::usage, "--minimum-svn: goes with --signer or --author");
    if (!args.minimum_svn)
        return explain(Errc::usage, "--signer needs --minimum-svn N: else every release that was ever signed counts, "
                                    "also those with known holes (0 says so)");
    if (policy.signer)
        return explain(Errc::usage, "the policy names a signer already: say --signer policy");
    Signer signer;
    for (const std::string &given : args.signers) {
        const auto digest = key_digest(given, "--signer");
        if (!digest)
            return std::unexpected(digest.error());
        signer.id_key_digests.push_back(*digest);
    }
    for (const std::string &given : args.authors) {
        const auto digest = key_digest(given, "--author");
        if (!digest)
            return std::unexpected(digest.error());
        signer.author_key_digests.push_back(*digest);
    }
    signer.guest_svn_minimum = *args.minimum_svn;
    policy.signer = std::move(signer);
    return {};
}

void want_signer(Expectations &wanted) {
    wanted.measurements.clear();
    wanted.signer_vouches = true;
    const std::uint32_t minimum = wanted.policy.signer ? wanted.policy.signer->guest_svn_minimum : 0;
    wanted.measurement_source = "the pinned signer (SVN at least " + std::to_string(minimum) + ")";
}

} // namespace cvmin
