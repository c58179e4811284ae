// The computation of several parties: from the manifest over the inputs and the run to the result. Every request has an
// answer in every state (docs/computation.md has the table). Parties are the keys of the manifest; what a party may do
// follows from it, so nobody's word about itself counts. Knows nothing of TLS, files or namespaces.
#pragma once

#include "agent-min/background.hpp"
#include "agent-min/report_source.hpp"
#include "agent-min/runtime_log.hpp"
#include "agent-min/sandbox.hpp"
#include "agent-min/store.hpp"
#include "common/p384.hpp"
#include "common/protocol.hpp"

#include <bitset>

namespace cvmin::agent {

// Hashed of a result in one turn of the event loop: some 10 ms under emulation.
inline constexpr std::uint64_t hashed_per_turn = 256u << 10;

// ---- states ---------------------------------------------------------------------------------------------------

namespace run_state {
struct WaitingManifest {};
struct WaitingInputs {};
struct Running {};
struct Hashing { // the program has ended well; "running" to the parties
    std::vector<response::OutputFile> files;
    std::size_t file = 0;
    std::uint64_t offset = 0; // in it
    Sha256Stream stream;
};
struct Result {
    std::vector<response::OutputFile> files; // by name
    Bytes receipt;                           // made when it is first asked for; then the same for everybody
    std::bitset<max_parties> confirmed;      // by place in the manifest's consumers
};
struct Done {
    Sha256Digest receipt{}; // so that whoever lost the last answer can confirm again
};
struct Failed {
    std::string reason;      // 1..max_reason_size
    bool by_program = false; // the program chose it, so it is for consumers
};
struct Stopped {};
} // namespace run_state

class Computation final : public Background {
  public:
    struct Parts { // all of it outlives the computation
        ReportSource &source;
        RuntimeLog &log;
        Store &store;
        Sandbox *sandbox;             // nullptr: this kernel cannot run one
        PublicKey key;                // the agent's
        const P384PrivateKey &signer; // the same, for receipts
    };
    struct Party { // who asks: a connection that has taken evidence
        std::uint64_t session = 0;
        std::optional<PublicKey> key;
    };
    explicit Computation(const Parts &parts) : parts_(parts) {}
    Computation(const Computation &) = delete;
    Computation &operator=(const Computation &) = delete;

    Response on(const request::Manifest &request, const Party &from);
    Response on(const request::Put &request, const Party &from);
    Response on(const request::PutEnd &request, const Party &from);
    Response on(const request::Status &, const Party &from);
    Response on(const request::Get &request, const Party &from);
    Response on(const request::Confirm &request, const Party &from);
    void stop(); // the machine goes off: nothing is kept

    std::array<int, 2> fds() const override;
    std::optional<std::uint64_t> deadline_ms() const override;
    void turn() override;

    RunState state() const;
    std::optional<Sha256Digest> manifest_digest() const; // of the one that was accepted
    // The place of this key among the manifest's parties; nothing: no manifest has been accepted, or nobody's key.
    std::optional<std::size_t> place_of(const std::optional<PublicKey> &key) const;

  private:
    struct Input {
        ManifestItem item;
        std::uint64_t received = 0;
        bool complete = false;
        Sha256Stream stream;
    };
    struct Agreement { // what the parties agreed on
        Manifest manifest;
        Sha256Digest digest{};
        std::vector<Input> inputs;
    };
    using State =
        std::variant<run_state::WaitingManifest, run_state::WaitingInputs, run_state::Running, run_state::Hashing,
                     run_state::Result, run_state::Done, run_state::Failed, run_state::Stopped>;
    template <class S> bool is() const { return std::holds_alternative<S>(state_); }

    Result<bool> launched_for(const Sha256Digest &digest);
    std::string_view party_of(const Party &from) const;
    std::expected<std::size_t, Response> own_input(const Party &from, std::string_view item);
    std::expected<std::size_t, Response> consumer(const Party &from, std::string_view name);
    bool inputs_complete() const;
    void forget(Input &input, std::size_t place);
    void start();
    void ended(const SandboxExit &exit);
    void hash_some(run_state::Hashing &state);
    void fail_run(std::string reason, bool by_program = false);
    Result<void> make_receipt(run_state::Result &state);

    Parts parts_;
    std::unique_ptr<Agreement> agreement_; // from the manifest on
    std::optional<ByteArray<32>> host_data_;
    std::optional<std::uint64_t> wait_status_;
    Bytes log_; // what the program wrote, once it has ended
    State state_ = run_state::WaitingManifest{};
};

} // namespace cvmin::agent
