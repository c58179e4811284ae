// --signer, --author and --minimum-svn, which verify and send share: who may vouch for the launch digest in the place
// of an image that the relying party has. Only names the signer; appraise() judges.
#pragma once

#include "host-tools/appraise/appraise.hpp"
#include "host-tools/base/explained.hpp"

#include <CLI/CLI.hpp>

namespace cvmin {

struct SignerArgs {
    std::vector<std::string> signers, authors; // files of public keys, or digests; one signer may be "policy"
    std::optional<std::uint32_t> minimum_svn;

    bool given() const { return !signers.empty() || !authors.empty() || minimum_svn; }
};
void add_signer_options(CLI::App &app, SignerArgs &args);
// --manifest, for whoever appraises. (Read by load_manifest.)
void add_manifest_option(CLI::App &app, std::optional<std::string> &file);

// Puts what was given into `policy.signer`, or sees to it that the policy has one. usage: an option that says nothing
// by itself, or two signers; the errors of read_file and read_public_key.
Explained<void> read_signer(const SignerArgs &args, Policy &policy);
// After that: no launch digest is wanted, the signer vouches. `wanted.policy` is the policy above.
void want_signer(Expectations &wanted);

} // namespace cvmin
