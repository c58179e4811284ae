// What the service asks of the platform beside its report: a TPM, and the logs that others keep. Interfaces only.
#pragma once

#include "common/evidence.hpp"
#include "common/hash.hpp"
#include "common/protocol.hpp"
#include "common/runtime_log.hpp"

namespace cvmin::agent {

// A TPM that answers wrongly, too late or not at all is one that is not there: after an error of extend() or quote()
// nobody asks it again.
class Tpm {
  public:
    // SHA-256 of the AK's TPMT_PUBLIC; nullopt: there is no TPM that works.
    virtual std::optional<Sha256Digest> ak() const = 0;
    // Into runtime_log_pcr, every bank of these two that the TPM has; at least one.
    virtual Result<void> extend(const Sha256Digest &sha256, const Sha384Digest &sha384) = 0;
    // A quote of exactly these PCRs and their values; extraData = qualifying_data. usage: the TPM has no such bank, and
    // works; every other error: it does not.
    virtual Result<TpmEvidence> quote(const request::PcrSelection &pcrs, const Sha256Digest &qualifying_data) = 0;
    // The credential. refused: the TPM works and did not take it; every other error: it does not work.
    virtual Result<Bytes> activate(ByteView id_object, ByteView encrypted_secret) = 0;

  protected:
    ~Tpm() = default;
};

// Logs of firmware and kernel, and the SVSM's word on its vTPM. What cannot be had is empty; why is for the runtime
// log.
class BootLogs {
  public:
    virtual Bytes event_log() = 0; // at most max_event_log_size; a longer one is none
    virtual Bytes ima_log() = 0;   // at most max_ima_log_size; a longer one is none
    virtual std::optional<SvsmEvidence> svsm(const ByteArray<64> &report_data) = 0;

  protected:
    ~BootLogs() = default;
};

} // namespace cvmin::agent
