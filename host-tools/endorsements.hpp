// What a relying party brings of its own to a verification: the signed collateral file and a revocation list, as
// options of the commands that appraise. Reads; judges nothing: appraise() does.
#pragma once

#include "host-tools/appraise/appraise.hpp"
#include "host-tools/base/explained.hpp"

#include <CLI/CLI.hpp>

namespace cvmin {

struct EndorsementArgs {
    std::optional<std::string> collateral, key, crl;
    bool given() const { return collateral || key || crl; }
};
// Whether collateral may be used without asking who signed it: never where something is released by the verdict.
enum class CollateralKey : bool { optional, required };
// --collateral, --collateral-key, --crl
void add_endorsement_options(CLI::App &app, EndorsementArgs &args, CollateralKey key);

// Adds to `into`. The collateral is signed by the key, where one is given, and has not ended at `now`: else mismatch,
// with a text that begins with the file's name and collateral.signature, .expiry or .format. The errors of reading
// files, and of parsing. Gives the time at which the collateral ends.
Explained<std::optional<std::time_t>> add_endorsements(const EndorsementArgs &args, std::time_t now,
                                                       Endorsements &into);

// A public key on P-384 for checking collateral, PEM or DER.
Explained<PublicKey> read_collateral_key(const std::string &path);

} // namespace cvmin
