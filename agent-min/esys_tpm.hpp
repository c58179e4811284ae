// The TPM, through ESYS: an attestation key of this boot, the endorsement key and its certificate, quotes, PCR 15.
// Which evidence is asked for and what it is bound to is the service's business; what it is worth is the verifier's.
#pragma once

#include "agent-min/measured.hpp"
#include "agent-min/tpm_link.hpp"

#include <memory>
#include <span>

#include <tss2/tss2_esys.h>

namespace cvmin::agent {

// How long the event loop may stand still for the TPM. After one of these has passed there is no TPM any more, so the
// longest is also the most that a TPM which does not answer costs in all. swtpm needs a tenth of it, under emulation
// too.
inline constexpr std::uint64_t tpm_open_budget_ms = 3000;     // banks, attestation key
inline constexpr std::uint64_t tpm_extend_budget_ms = 1000;   // one command
inline constexpr std::uint64_t tpm_quote_budget_ms = 3000;    // PCR values, quote; the first time EK and certificate
inline constexpr std::uint64_t tpm_activate_budget_ms = 3000; // session, RSA

// PCR values and quote are read again when a PCR moved in between: IMA extends PCR 10 while programs start.
inline constexpr int max_quote_attempts = 5;

class EsysTpm final : public Tpm {
  public:
    // Looks for PCR banks and makes the attestation key. Errors mean that there is no TPM for us: timed_out, system,
    // truncated, ...: of the link; tpm (TSS2_RC); unsupported: neither a SHA-256 nor a SHA-384 bank; mismatch: an
    // answer that is not to the question. `device` and `clock` outlive it.
    static Result<std::unique_ptr<EsysTpm>> open(TpmDevice &device, Clock &clock);
    ~EsysTpm(); // flushes what it made
    EsysTpm(const EsysTpm &) = delete;
    EsysTpm &operator=(const EsysTpm &) = delete;

    std::optional<Sha256Digest> ak() const override;
    Result<void> extend(const Sha256Digest &sha256, const Sha384Digest &sha384) override;
    Result<TpmEvidence> quote(const request::PcrSelection &pcrs, const Sha256Digest &qualifying_data) override;
    Result<Bytes> activate(ByteView id_object, ByteView encrypted_secret) override;

    // Why it counts as gone; nullopt while it works.
    const std::optional<Error> &fault() const { return link_.fault(); }

  private:
    struct EkProfile;
    static const EkProfile ek_profiles[3];

    EsysTpm(TpmDevice &device, Clock &clock) : link_(device, clock) {}
    // A TPM that answered wrongly is gone: any error but what the caller has dealt with ends the link.
    Result<void> check(TSS2_RC rc, std::string_view where);
    template <class T> Result<T> wrong(Errc code, std::string_view where, std::uint64_t detail = 0);

    Result<void> find_banks();
    Result<ESYS_TR> make_primary(const TPM2B_PUBLIC &public_template, std::string_view where, Bytes &public_area);
    Result<void> find_ek();
    Result<bool> read_certificate(TPM2_HANDLE index); // whether there is one; into ek_certificate_
    Result<void> load_ek(const EkProfile &profile);
    std::uint32_t pcrs_of(TpmAlg bank) const;
    Result<PcrValues> read_pcrs(const request::PcrSelection &pcrs);
    Result<bool> quote_once(const request::PcrSelection &pcrs, const Sha256Digest &qualifying_data, TpmEvidence &out);
    Result<void> start_policy_session(ESYS_TR &session);
    void flush(ESYS_TR object);

    TpmLink link_;
    ESYS_CONTEXT *esys_ = nullptr;
    struct Bank {
        TpmAlg alg;
        std::uint32_t pcrs; // bit n: PCR n
    };
    std::vector<Bank> banks_;
    ESYS_TR ak_ = ESYS_TR_NONE;
    Bytes ak_public_;
    Sha256Digest ak_digest_{};
    ESYS_TR ek_ = ESYS_TR_NONE; // found or made when it is first needed
    const EkProfile *ek_profile_ = nullptr;
    bool ek_is_ours_ = false; // made, not found
    Bytes ek_public_;
    Bytes ek_certificate_;
};

} // namespace cvmin::agent
