// What the agent does for a request, and for whom: the meaning of common/protocol.hpp. Knows nothing of sockets or TLS.
#pragma once

#include "agent-min/computation.hpp"
#include "agent-min/measured.hpp"
#include "agent-min/report_source.hpp"
#include "agent-min/runtime_log.hpp"
#include "agent-min/secret_store.hpp"
#include "common/claims.hpp"
#include "common/protocol.hpp"

namespace cvmin::agent {

class Channel { // the TLS connection that a request came over
  public:
    virtual Result<ByteArray<exporter_size>> exporter(ByteView context) = 0;

  protected:
    ~Channel() = default;
};

// Puts of one connection that are answered with `exists` before it is closed: enough for a mistake, too few to guess.
inline constexpr unsigned max_exists_answers = 3;

struct Peer { // what is known of a connection
    Channel &channel;
    std::uint64_t session = 0;      // its number in the runtime log
    bool attested = false;          // it has taken evidence, or the passport: it can know whom it speaks with
    std::optional<PublicKey> key{}; // of its certificate
    SecretStore::Holdings put{};    // what it has put is its own to ask for
    unsigned exists_answers = 0;
};

struct Timings { // microseconds since boot
    std::uint64_t start = 0, listening = 0, ready = 0;
};

struct Reply {
    Response response;
    bool close = false; // end the connection after the reply
    bool stop = false;  // end the CVM after the reply
};

struct Platform { // all of it outlives the service
    ReportSource &source;
    SecretStore &secrets;
    RuntimeLog &log; // and through it the TPM; its boot record is there
    BootLogs *logs = nullptr;
    Computation *computation = nullptr; // none: this agent runs none
};

class Service {
  public:
    Service(const Platform &platform, const PublicKey &key, const Timings &timings)
        : platform_(platform), key_(key), timings_(timings) {}

    // One request, without its frame header. Never fails: what goes wrong is a Failure to the peer.
    Reply handle(ByteView message, Peer &peer);
    // Which party of the computation this is, by its place in the manifest.
    std::optional<std::size_t> party(const Peer &peer) const;

  private:
    Reply on(const request::Hello &, Peer &) const;
    Reply on(const request::Attest &attest, Peer &peer);
    Reply on(const request::PutSecret &put, Peer &peer);
    Reply on(const request::SecretDigest &digest, Peer &peer) const;
    Reply on(const request::Stop &, Peer &peer);
    Reply on(const request::Activate &activate, Peer &peer);
    Reply on(const request::Events &events, Peer &peer) const;
    Reply on(const request::PassportPut &put, Peer &peer);
    Reply on(const request::PassportGet &, Peer &peer) const;
    template <class R> Reply compute(const R &request, const Peer &peer); // what the computation answers

    // Claims that name the log's head as it is now, and the TPM's AK if it works.
    Bytes claims_now(const request::Attest &attest, const ByteArray<exporter_size> &exporter) const;

    Platform platform_;
    PublicKey key_;
    Timings timings_;
    Bytes passport_; // the newest result that was put; not looked at here
};

} // namespace cvmin::agent
