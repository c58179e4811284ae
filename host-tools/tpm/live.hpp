// What a relying party knows of a TPM beside the evidence, because it holds the connection: whether a credential came
// back over it, and what an earlier quote said of the TPM's life. Facts for appraise(), which judges them.
#pragma once

#include "common/evidence.hpp"
#include "common/hash.hpp"
#include "host-tools/tpm/credential.hpp"

namespace cvmin {

// A credential for these two keys was sent over the connection, and this is what came back.
struct TpmActivation {
    Sha256Digest ek_public{}, ak_public{}; // SHA-256 of the TPMT_PUBLIC that it was made for
    bool answered = false;                 // with the credential itself: both keys are in one TPM, which answers here
    std::string found;                     // for people: "the credential came back", or why it did not
};

// What a quote says of the life of its TPM, to be held against a later one.
struct TpmEpoch {
    Sha256Digest ak_public{};
    std::uint64_t clock = 0; // milliseconds in which the TPM was powered, of all its life
    std::uint32_t reset_count = 0, restart_count = 0;
    friend bool operator==(const TpmEpoch &, const TpmEpoch &) = default;
};
// Of a quote that nobody has judged. The errors of parse_attest.
Result<TpmEpoch> tpm_epoch(const TpmEvidence &evidence);

// Nothing: `now` may follow `before` in one boot of one TPM. Else what is wrong, in words: another AK, a reset, a
// restart, a clock that went back.
std::optional<std::string> epoch_problem(const TpmEpoch &before, const TpmEpoch &now);

// The credential for the keys of this evidence, and the value that has to come back.
struct TpmChallenge {
    ProtectedCredential credential;
    Secret wanted;
    Sha256Digest ek_public{}, ak_public{};
};
// The errors of parse_public, tpm_name and make_credential; system: no randomness.
Result<TpmChallenge> make_challenge(const TpmEvidence &evidence);

} // namespace cvmin
