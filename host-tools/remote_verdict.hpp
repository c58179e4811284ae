// Evidence of a running agent, judged by a verifier service: its nonce, our connection, its signed result. Who relies
// on it has said whose results count (ResultExpectations); what only we can see, the binding to our connection, is
// checked here and not there.
#pragma once

#include "host-tools/passport.hpp"
#include "host-tools/target_options.hpp"
#include "host-tools/verifier_client/verifier_client.hpp"

#include <random>

namespace cvmin {

struct VerifierArgs {
    std::optional<std::string> url;
    std::string ca_file;
};
void add_verifier_options(CLI::App &app, VerifierArgs &args); // --verifier, --ca-file

// Waits that a signal ends together with the process: nothing is half done anywhere while a service is asked.
class PlainPacing final : public Pacing {
  public:
    std::chrono::steady_clock::time_point now() override { return std::chrono::steady_clock::now(); }
    bool wait(std::chrono::milliseconds time) override;
    double random() override { return std::uniform_real_distribution<double>{0, 1}(source_); }

  private:
    std::random_device source_; // once a second at most
};

struct VerifierAccess { // a service to be asked
    // `address` is read_question()'s.
    VerifierAccess(const VerifierArgs &args, std::string address);
    VerifierAccess(const VerifierAccess &) = delete;
    VerifierAccess &operator=(const VerifierAccess &) = delete;
    ~VerifierAccess() = default;

    PlainPacing pacing;
    CurlClient http;
    VerifierClient client;
};

struct RemoteQuestion {               // whom to ask, about whom
    std::string address;              // of the verifier
    std::optional<PcrSelection> pcrs; // to be quoted: --pcrs, else what the policy wants
    VmInfo vm;
};
// args.url is there. `policy`: a file; empty: none. usage; the errors of reading it, and of find_target().
Explained<RemoteQuestion> read_question(const VerifierArgs &args, const TpmArgs &tpm, const std::string &policy,
                                        const TargetArgs &target);

enum class NonceFrom : bool {
    us,      // a result that answers our own question; where the service takes no nonces of others, its own
    service, // for results that others will rely on
};

struct RemoteVerdict {
    LiveAttestation live; // its session is open
    std::string token;    // the result as it came
    std::time_t now = 0;
    ResultAppraisal appraisal;
    std::vector<Check> binding; // what was checked here
    bool accepted() const { return holds(appraisal, binding); }
};

// Evidence of the CVM's agent, over a connection that is made once the verifier has given its nonce, or taken ours.
// `wanted` is completed by nonce and key. `timeout_s` is the agent's; the verifier has verifier_timeout for each of its
// answers. The errors of VerifierClient, open_session() and attest_live().
Explained<RemoteVerdict> judge_by_verifier(VerifierClient &verifier, NonceFrom nonce, ResultExpectations wanted,
                                           const RemoteQuestion &asked, unsigned timeout_s);

// That this evidence can be read, is bound to its claims, and these to nonce, connection and key: the rows of
// appraise() that need no reference value. Whether the report is genuine is the verifier's to say.
std::vector<Check> binding_checks(ByteView evidence, const Expectations &wanted);

} // namespace cvmin
