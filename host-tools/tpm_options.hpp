// What the commands say about a TPM: which PCRs a quote is asked for, whose word about endorsement keys counts, and the
// earlier session that evidence has to follow. Reads; judges nothing: appraise() does.
#pragma once

#include "common/protocol.hpp"
#include "host-tools/appraise/appraise.hpp"
#include "host-tools/base/explained.hpp"
#include "host-tools/base/json.hpp"
#include "host-tools/tpm/ek_certificate.hpp"
#include "host-tools/tpm/live.hpp"

#include <CLI/CLI.hpp>

namespace cvmin {

using PcrSelection = request::PcrSelection;

inline constexpr PcrSelection every_pcr{.bank = TpmAlg::sha256, .mask = max_pcr_mask};

struct TpmArgs {
    std::optional<std::string> pcrs, after;
    std::vector<std::string> ek_roots;
    bool given() const { return pcrs || after || !ek_roots.empty(); }
};
void add_pcr_option(CLI::App &app, TpmArgs &args);  // --pcrs
void add_tpm_options(CLI::App &app, TpmArgs &args); // --pcrs, --ek-root, --after

// "sha256:0,4,8-9", "0-23" (SHA-256), "sha384:all", "none": nothing. usage.
Explained<std::optional<PcrSelection>> parse_pcrs(const std::string &text);
std::string pcrs_text(const PcrSelection &pcrs); // "sha256:0,4,8-9"

// What to ask the agent for: --pcrs, else what the policy wants quoted (wanted_quote). That it is enough for the policy
// is appraise()'s to see. usage: --pcrs.
Explained<std::optional<PcrSelection>> wanted_pcrs(const TpmArgs &args, const Policy &policy);

// --ek-root: all files. The errors of read_file and EkAuthorities::add.
Explained<EkAuthorities> read_ek_roots(const std::vector<std::string> &files);

// The member "tpm" of FILE.session.json.
Json epoch_json(const TpmEpoch &epoch);
Result<TpmEpoch> parse_epoch(const Json &json);
// The member "credential": what became of a credential that was sent over the connection.
Json activation_json(const TpmActivation &activation);
Result<TpmActivation> parse_activation(const Json &json);
// --after: the TPM's state in the session file of earlier evidence. missing: there was no quote in it; the errors of
// read_file and parse_json.
Explained<TpmEpoch> read_epoch(const std::string &session_file);

// What evidence of a TPM is held against, apart from the policy.
struct TpmReferences {
    EkAuthorities ek_authorities;
    std::optional<TpmEpoch> earlier_quote;
    std::vector<BootFiles> boot_files;
};
// --ek-root, --after, and of `image` (image.json; empty: there is none) its boot files, where the policy looks at them.
// The errors of read_ek_roots, read_epoch and image_boot_files.
Explained<TpmReferences> read_tpm_references(const TpmArgs &args, const Policy &policy, const std::string &image);
void want_tpm(Expectations &wanted, TpmReferences references);

} // namespace cvmin
