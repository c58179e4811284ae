#include "host-tools/tpm/live.hpp"

#include <cerrno>

#include <sys/random.h>

namespace cvmin {

static constexpr std::size_t challenge_size = 32; // fits the nameAlg of every EK that make_credential() takes

Result<TpmEpoch> tpm_epoch(const TpmEvidence &evidence) {
    CVMIN_TRY(attest, parse_attest(evidence.attest));
    return TpmEpoch{.ak_public = sha256(evidence.ak_public),
                    .clock = attest.clock,
                    .reset_count = attest.reset_count,
                    .restart_count = attest.restart_count};
}

std::optional<std::string> epoch_problem(const TpmEpoch &before, const TpmEpoch &now) {
    // TPM Reset clears the PCRs and TPM Restart some of them: what was quoted before is no longer what is running
    if (now.reset_count != before.reset_count)
        return "reset count " + std::to_string(now.reset_count) + ", and " + std::to_string(before.reset_count) +
               " before";
    if (now.restart_count != before.restart_count)
        return "restart count " + std::to_string(now.restart_count) + ", and " + std::to_string(before.restart_count) +
               " before";
    if (now.ak_public != before.ak_public) // which the agent makes once in its life
        return "another attestation key than before";
    if (now.clock < before.clock)
        return "clock " + std::to_string(now.clock) + " ms, and " + std::to_string(before.clock) + " ms before";
    return std::nullopt;
}

Result<TpmChallenge> make_challenge(const TpmEvidence &evidence) {
    Bytes random(challenge_size);
    // up to 256 bytes come whole or not at all (getrandom(2))
    if (::getrandom(random.data(), random.size(), 0) != static_cast<ssize_t>(random.size()))
        return fail(Errc::system, "getrandom", static_cast<std::uint64_t>(errno));
    Secret wanted{std::move(random)};
    CVMIN_TRY(name, tpm_name(evidence.ak_public));
    CVMIN_TRY(credential, make_credential(evidence.ek_public, name, wanted.view()));
    return TpmChallenge{.credential = std::move(credential),
                        .wanted = std::move(wanted),
                        .ek_public = sha256(evidence.ek_public),
                        .ak_public = sha256(evidence.ak_public)};
}

} // namespace cvmin
