// What `cvmin verifier serve` judges by, as options and as a snapshot read from their files. Reads; judges nothing.
#pragma once

#include "host-tools/endorsements.hpp"
#include "host-tools/signer_options.hpp"
#include "host-tools/verifier/appraiser.hpp"

#include <CLI/CLI.hpp>

namespace cvmin {

struct VerifierReferenceArgs {
    std::string policy, image;
    std::vector<std::string> references, reference_keys, ek_roots;
    std::optional<std::string> release, publisher, emulated_ark;
    SignerArgs signer;
    EndorsementArgs endorsements;
    bool allow_debug = false;
};
void add_verifier_reference_options(CLI::App &app, VerifierReferenceArgs &args);
// Says what is wrong with the arguments, before any work is done.
std::optional<std::string> usage_problem(const VerifierReferenceArgs &args);

// Everything is read, or nothing. The errors of the files, with their names; usage: options that do not go together
// with what the policy says.
Explained<ReferenceSnapshot> read_verifier_references(const VerifierReferenceArgs &args, std::time_t now);

} // namespace cvmin
