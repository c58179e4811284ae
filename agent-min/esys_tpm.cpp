#include "agent-min/esys_tpm.hpp"

#include "agent-min/random.hpp"
#include "agent-min/tpm_crypto.hpp"

#include <bit>

#include <tss2/tss2_mu.h>

namespace cvmin::agent {

namespace {

template <class T> class Out { // what ESYS gives, and frees
  public:
    T **operator&() { return &value_; } // NOLINT(google-runtime-operator): it is an out-parameter and nothing else
    const T *operator->() const { return value_; }
    const T &operator*() const { return *value_; }
    Out() = default;
    Out(const Out &) = delete;
    Out &operator=(const Out &) = delete;
    ~Out() { Esys_Free(value_); }

  private:
    T *value_ = nullptr;
};

constexpr ESYS_TR password = ESYS_TR_PASSWORD; // all authorisation values are empty
constexpr ESYS_TR none = ESYS_TR_NONE;

// TPM 2.0 Part 2, 6.6.3: of a handle that names nothing, the first of the command.
constexpr TSS2_RC rc_no_such_handle = TPM2_RC_HANDLE + TPM2_RC_H + TPM2_RC_1;
// Said by the TPM itself, not by what lies between.
constexpr bool is_tpm_answer(TSS2_RC rc) {
    return rc != TSS2_RC_SUCCESS && (rc & TSS2_RC_LAYER_MASK) == TSS2_TPM_RC_LAYER;
}

// PC Client: NV indices can be read in pieces of this size everywhere (TPM_PT_NV_BUFFER_MAX >= 512).
constexpr UINT16 nv_piece_size = 512;

template <auto marshal, class T> Result<Bytes> marshalled(const T &value, std::string_view where) {
    ByteArray<max_tpm_public_size> buffer{}; // the same limit for signatures
    std::size_t size = 0;
    const TSS2_RC rc = marshal(&value, reinterpret_cast<std::uint8_t *>(buffer.data()), buffer.size(), &size);
    if (rc != TSS2_RC_SUCCESS)
        return fail(Errc::tpm, where, rc);
    return to_bytes(ByteView{buffer}.first(size));
}

// Sized buffers of the TPM. ESYS has checked size against room when it read them.
template <class T> ByteView bytes_of(const T &sized) {
    return std::as_bytes(std::span{sized.buffer}.first(std::min<std::size_t>(sized.size, sizeof sized.buffer)));
}
template <class T> bool put(T &sized, ByteView bytes) {
    if (bytes.size() > sizeof sized.buffer)
        return false;
    std::ranges::copy(bytes, reinterpret_cast<std::byte *>(sized.buffer));
    sized.size = static_cast<UINT16>(bytes.size());
    return true;
}

TPML_PCR_SELECTION selection_of(TpmAlg bank, std::uint32_t mask) {
    TPML_PCR_SELECTION list{};
    list.count = 1;
    list.pcrSelections[0].hash = static_cast<TPMI_ALG_HASH>(bank);
    list.pcrSelections[0].sizeofSelect = 3; // 24 PCRs
    for (unsigned i = 0; i < 3; ++i)
        list.pcrSelections[0].pcrSelect[i] = static_cast<BYTE>(mask >> (8 * i));
    return list;
}

// PCRs above 23 are no concern of ours, wherever they are named.
std::uint32_t mask_of(const TPMS_PCR_SELECTION &selection) {
    std::uint32_t mask = 0;
    for (unsigned i = 0; i < std::min<unsigned>(selection.sizeofSelect, 3); ++i)
        mask |= static_cast<std::uint32_t>(selection.pcrSelect[i]) << (8 * i);
    return mask;
}

// ---- templates ------------------------------------------------------------------------------------------------

// The attestation key: signs only what the TPM itself has made. `unique` makes it another key on every boot, so a quote
// says which boot it is of, whatever the host keeps of the TPM's state.
Result<TPM2B_PUBLIC> ak_template() {
    TPM2B_PUBLIC out{};
    TPMT_PUBLIC &area = out.publicArea;
    area.type = TPM2_ALG_ECC;
    area.nameAlg = TPM2_ALG_SHA256;
    area.objectAttributes = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT | TPMA_OBJECT_SENSITIVEDATAORIGIN |
                            TPMA_OBJECT_USERWITHAUTH | TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_SIGN_ENCRYPT;
    TPMS_ECC_PARMS &ecc = area.parameters.eccDetail;
    ecc.symmetric.algorithm = TPM2_ALG_NULL;
    ecc.scheme.scheme = TPM2_ALG_ECDSA;
    ecc.scheme.details.ecdsa.hashAlg = TPM2_ALG_SHA256;
    ecc.curveID = TPM2_ECC_NIST_P256;
    ecc.kdf.scheme = TPM2_ALG_NULL;
    ByteArray<32> x;
    ByteArray<32> y;
    CVMIN_CHECK(fill_random(x));
    CVMIN_CHECK(fill_random(y));
    put(area.unique.ecc.x, x);
    put(area.unique.ecc.y, y);
    return out;
}

constexpr TPMA_OBJECT ek_attributes = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT | TPMA_OBJECT_SENSITIVEDATAORIGIN |
                                      TPMA_OBJECT_ADMINWITHPOLICY | TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_DECRYPT;

// TCG EK Credential Profile 2.5, B.6: PolicyA with SHA-256 (PolicySecret of the endorsement hierarchy), and PolicyB
// with SHA-384. The first is what activation has to satisfy; keys with the second may be used with their empty
// password.
constexpr std::string_view policy_a_sha256 = "\x83\x71\x97\x67\x44\x84\xb3\xf8\x1a\x90\xcc\x8d\x46\xa5\xd7\x24"
                                             "\xfd\x52\xd7\x6e\x06\x52\x0b\x64\xf2\xa1\xda\x1b\x33\x14\x69\xaa";
constexpr std::string_view policy_b_sha384{"\xb2\x6e\x7d\x28\xd1\x1a\x50\xbc\x53\xd8\x82\xbc\xf5\xfd\x3a\x1a"
                                           "\x07\x41\x48\xbb\x35\xd3\xb4\xe4\xcb\x1c\x0a\xd9\xbd\xe4\x19\xca"
                                           "\xcb\x47\xba\x09\x69\x96\x46\x15\x0f\x9f\xc0\x00\xf3\xf8\x0e\x12",
                                           48};

TPM2B_PUBLIC ek_rsa_2048() { // template L-1
    TPM2B_PUBLIC out{};
    TPMT_PUBLIC &area = out.publicArea;
    area.type = TPM2_ALG_RSA;
    area.nameAlg = TPM2_ALG_SHA256;
    area.objectAttributes = ek_attributes;
    put(area.authPolicy, as_bytes(policy_a_sha256));
    TPMS_RSA_PARMS &rsa = area.parameters.rsaDetail;
    rsa.symmetric.algorithm = TPM2_ALG_AES;
    rsa.symmetric.keyBits.aes = 128;
    rsa.symmetric.mode.aes = TPM2_ALG_CFB;
    rsa.scheme.scheme = TPM2_ALG_NULL;
    rsa.keyBits = 2048;
    area.unique.rsa.size = 256; // zeros
    return out;
}

TPM2B_PUBLIC ek_ecc(TPM2_ECC_CURVE curve) {
    TPM2B_PUBLIC out{};
    TPMT_PUBLIC &area = out.publicArea;
    area.type = TPM2_ALG_ECC;
    area.objectAttributes = ek_attributes;
    TPMS_ECC_PARMS &ecc = area.parameters.eccDetail;
    ecc.symmetric.algorithm = TPM2_ALG_AES;
    ecc.symmetric.mode.aes = TPM2_ALG_CFB;
    ecc.scheme.scheme = TPM2_ALG_NULL;
    ecc.curveID = curve;
    ecc.kdf.scheme = TPM2_ALG_NULL;
    return out;
}

TPM2B_PUBLIC ek_ecc_p256() { // template L-2
    TPM2B_PUBLIC out = ek_ecc(TPM2_ECC_NIST_P256);
    TPMT_PUBLIC &area = out.publicArea;
    area.nameAlg = TPM2_ALG_SHA256;
    put(area.authPolicy, as_bytes(policy_a_sha256));
    area.parameters.eccDetail.symmetric.keyBits.aes = 128;
    area.unique.ecc.x.size = 32; // zeros
    area.unique.ecc.y.size = 32;
    return out;
}

TPM2B_PUBLIC ek_ecc_p384() { // template H-3
    TPM2B_PUBLIC out = ek_ecc(TPM2_ECC_NIST_P384);
    TPMT_PUBLIC &area = out.publicArea;
    area.nameAlg = TPM2_ALG_SHA384;
    area.objectAttributes |= TPMA_OBJECT_USERWITHAUTH;
    put(area.authPolicy, as_bytes(policy_b_sha384));
    area.parameters.eccDetail.symmetric.keyBits.aes = 256;
    return out; // `unique` is empty
}

// Whether a key is one that the template describes: everything but the key itself.
Result<bool> fits(const TPMT_PUBLIC &key, const TPMT_PUBLIC &wanted) {
    if (key.type != wanted.type)
        return false;
    TPMT_PUBLIC form = key;
    form.unique = wanted.unique;
    CVMIN_TRY(have, marshalled<Tss2_MU_TPMT_PUBLIC_Marshal>(form, "tpm.public"));
    CVMIN_TRY(want, marshalled<Tss2_MU_TPMT_PUBLIC_Marshal>(wanted, "tpm.public"));
    return have == want;
}

} // namespace

struct EsysTpm::EkProfile {
    TPM2_HANDLE certificate; // NV index
    TPM2_HANDLE persistent;  // where a manufacturer keeps the key, if anywhere
    TPM2B_PUBLIC (*key)();
};
// TCG EK Credential Profile 2.5, 2.2.1.4 and 2.2.1.5; the handles are what TCG's TPM v2.0 Provisioning Guidance (7.8)
// recommends and swtpm_setup uses. The first with a certificate is taken.
constinit const EsysTpm::EkProfile EsysTpm::ek_profiles[3] = {
    {.certificate = 0x01c00002, .persistent = 0x81010001, .key = ek_rsa_2048},
    {.certificate = 0x01c0000a, .persistent = 0x81010002, .key = ek_ecc_p256},
    {.certificate = 0x01c00016, .persistent = 0x81010016, .key = ek_ecc_p384},
};

// ---- open and close -------------------------------------------------------------------------------------------

Result<void> EsysTpm::check(TSS2_RC rc, std::string_view where) {
    if (rc == TSS2_RC_SUCCESS)
        return {};
    link_.fault({Errc::tpm, where, rc}); // the link's own reason, if it has one, came first
    return std::unexpected(*link_.fault());
}

template <class T> Result<T> EsysTpm::wrong(Errc code, std::string_view where, std::uint64_t detail) {
    link_.fault({code, where, detail});
    return std::unexpected(*link_.fault());
}

Result<std::unique_ptr<EsysTpm>> EsysTpm::open(TpmDevice &device, Clock &clock) {
    std::unique_ptr<EsysTpm> tpm{new EsysTpm{device, clock}};
    TSS2_ABI_VERSION abi = TSS2_ABI_VERSION_CURRENT;
    CVMIN_CHECK(tpm->check(Esys_Initialize(&tpm->esys_, tpm->link_.tcti(), &abi), "tpm.esys"));
    CVMIN_CHECK(tpm->check(set_tpm_crypto(tpm->esys_), "tpm.esys"));
    tpm->link_.begin(tpm_open_budget_ms);
    CVMIN_CHECK(tpm->find_banks());
    CVMIN_TRY(form, ak_template());
    CVMIN_TRY(ak, tpm->make_primary(form, "tpm.ak", tpm->ak_public_));
    tpm->ak_ = ak;
    tpm->ak_digest_ = sha256(tpm->ak_public_);
    return tpm;
}

EsysTpm::~EsysTpm() {
    link_.begin(tpm_extend_budget_ms);
    flush(ak_);
    if (ek_is_ours_)
        flush(ek_);
    Esys_Finalize(&esys_);
}

void EsysTpm::flush(ESYS_TR object) {
    if (object != none && !fault())
        (void)check(Esys_FlushContext(esys_, object), "tpm.flush");
}

Result<void> EsysTpm::find_banks() {
    Out<TPMS_CAPABILITY_DATA> found;
    CVMIN_CHECK(check(Esys_GetCapability(esys_, none, none, none, TPM2_CAP_PCRS, 0, 1, nullptr, &found), "tpm.banks"));
    if (found->capability != TPM2_CAP_PCRS)
        return wrong<void>(Errc::mismatch, "tpm.banks", found->capability);
    const TPML_PCR_SELECTION &list = found->data.assignedPCR;
    for (const TPMS_PCR_SELECTION &bank :
         std::span{list.pcrSelections}.first(std::min<UINT32>(list.count, TPM2_NUM_PCR_BANKS))) {
        const auto alg = tpm_hash_alg(bank.hash);
        if (alg && mask_of(bank) != 0)
            banks_.push_back({*alg, mask_of(bank)});
    }
    constexpr std::uint32_t log_pcr = 1U << runtime_log_pcr;
    if (((pcrs_of(TpmAlg::sha256) | pcrs_of(TpmAlg::sha384)) & log_pcr) == 0)
        return wrong<void>(Errc::unsupported, "tpm.banks", list.count);
    return {};
}

std::uint32_t EsysTpm::pcrs_of(TpmAlg bank) const {
    std::uint32_t mask = 0;
    for (const Bank &known : banks_) {
        if (known.alg == bank)
            mask |= known.pcrs;
    }
    return mask;
}

Result<ESYS_TR> EsysTpm::make_primary(const TPM2B_PUBLIC &form, std::string_view where, Bytes &public_area) {
    const TPM2B_SENSITIVE_CREATE no_secret{};
    const TPM2B_DATA no_data{};
    const TPML_PCR_SELECTION no_pcrs{};
    ESYS_TR key = none;
    Out<TPM2B_PUBLIC> made;
    CVMIN_CHECK(check(Esys_CreatePrimary(esys_, ESYS_TR_RH_ENDORSEMENT, password, none, none, &no_secret, &form,
                                         &no_data, &no_pcrs, &key, &made, nullptr, nullptr, nullptr),
                      where));
    const auto as_wanted = fits(made->publicArea, form.publicArea);
    auto area = marshalled<Tss2_MU_TPMT_PUBLIC_Marshal>(made->publicArea, where);
    if (!as_wanted || !*as_wanted || !area)
        return wrong<ESYS_TR>(Errc::mismatch, where);
    public_area = std::move(*area);
    return key;
}

std::optional<Sha256Digest> EsysTpm::ak() const {
    return fault() ? std::nullopt : std::optional{ak_digest_};
}

// ---- PCR ------------------------------------------------------------------------------------------------------

Result<void> EsysTpm::extend(const Sha256Digest &sha256, const Sha384Digest &sha384) {
    link_.begin(tpm_extend_budget_ms);
    TPML_DIGEST_VALUES digests{};
    constexpr std::uint32_t log_pcr = 1U << runtime_log_pcr;
    if ((pcrs_of(TpmAlg::sha256) & log_pcr) != 0) {
        TPMT_HA &value = digests.digests[digests.count++];
        value.hashAlg = TPM2_ALG_SHA256;
        std::ranges::copy(sha256, reinterpret_cast<std::byte *>(value.digest.sha256));
    }
    if ((pcrs_of(TpmAlg::sha384) & log_pcr) != 0) {
        TPMT_HA &value = digests.digests[digests.count++];
        value.hashAlg = TPM2_ALG_SHA384;
        std::ranges::copy(sha384, reinterpret_cast<std::byte *>(value.digest.sha384));
    }
    static_assert(ESYS_TR_PCR15 - ESYS_TR_PCR0 == runtime_log_pcr);
    return check(Esys_PCR_Extend(esys_, ESYS_TR_PCR15, password, none, none, &digests), "tpm.extend");
}

// Values of one update counter, as many commands as it takes (a TPM gives eight values at once).
Result<PcrValues> EsysTpm::read_pcrs(const request::PcrSelection &pcrs) {
    PcrValues out{.bank = pcrs.bank, .values = {}};
    std::array<Bytes, pcr_count> values;
    std::optional<UINT32> counter;
    std::uint32_t missing = pcrs.mask;
    for (int moved = 0; missing != 0;) {
        const TPML_PCR_SELECTION wanted = selection_of(pcrs.bank, missing);
        UINT32 now = 0;
        Out<TPML_PCR_SELECTION> given;
        Out<TPML_DIGEST> digests;
        CVMIN_CHECK(check(Esys_PCR_Read(esys_, none, none, none, &wanted, &now, &given, &digests), "tpm.pcr_read"));
        if (counter && *counter != now) { // another value may have changed since: all over again
            if (++moved == max_quote_attempts)
                return wrong<PcrValues>(Errc::busy, "tpm.pcr_read", now);
            counter.reset();
            missing = pcrs.mask;
            continue;
        }
        counter = now;
        const std::uint32_t mask = given->count == 1 ? mask_of(given->pcrSelections[0]) : 0;
        if (mask == 0 || (mask & ~missing) != 0 || given->pcrSelections[0].hash != wanted.pcrSelections[0].hash ||
            std::popcount(mask) != static_cast<int>(std::min<UINT32>(digests->count, 8)))
            return wrong<PcrValues>(Errc::mismatch, "tpm.pcr_read", mask);
        std::size_t next = 0;
        for (unsigned i = 0; i < pcr_count; ++i) {
            if ((mask >> i & 1) == 0)
                continue;
            const TPM2B_DIGEST &digest = digests->digests[next++];
            if (digest.size != digest_size(pcrs.bank))
                return wrong<PcrValues>(Errc::mismatch, "tpm.pcr_read", digest.size);
            values[i] = to_bytes(bytes_of(digest));
        }
        missing &= ~mask;
    }
    for (unsigned i = 0; i < pcr_count; ++i) {
        if ((pcrs.mask >> i & 1) != 0)
            out.values.push_back({.index = static_cast<std::uint8_t>(i), .digest = std::move(values[i])});
    }
    return out;
}

// ---- quote ----------------------------------------------------------------------------------------------------

Result<TpmEvidence> EsysTpm::quote(const request::PcrSelection &pcrs, const Sha256Digest &qualifying_data) {
    if (fault())
        return std::unexpected(*fault());
    if (pcrs.mask == 0 || (pcrs.mask & ~pcrs_of(pcrs.bank)) != 0)
        return fail(Errc::usage, "tpm.bank", static_cast<std::uint64_t>(pcrs.bank));
    link_.begin(tpm_quote_budget_ms);
    CVMIN_CHECK(find_ek());
    TpmEvidence out{.attest = {},
                    .signature = {},
                    .ak_public = ak_public_,
                    .ek_public = ek_public_,
                    .ek_certificate = ek_certificate_,
                    .pcr_values = {}};
    for (int i = 0; i < max_quote_attempts; ++i) {
        CVMIN_TRY(consistent, quote_once(pcrs, qualifying_data, out));
        if (consistent)
            return out;
    }
    return wrong<TpmEvidence>(Errc::busy, "tpm.quote", max_quote_attempts);
}

// Whether the values read are those quoted.
Result<bool> EsysTpm::quote_once(const request::PcrSelection &pcrs, const Sha256Digest &qualifying_data,
                                 TpmEvidence &out) {
    CVMIN_TRY(values, read_pcrs(pcrs));
    out.pcr_values = std::move(values);

    TPM2B_DATA extra{};
    put(extra, qualifying_data);
    const TPMT_SIG_SCHEME own_scheme{.scheme = TPM2_ALG_NULL, .details = {}};
    const TPML_PCR_SELECTION wanted = selection_of(pcrs.bank, pcrs.mask);
    Out<TPM2B_ATTEST> attest;
    Out<TPMT_SIGNATURE> signature;
    CVMIN_CHECK(check(Esys_Quote(esys_, ak_, password, none, none, &extra, &own_scheme, &wanted, &attest, &signature),
                      "tpm.quote"));

    TPMS_ATTEST quoted{};
    std::size_t offset = 0;
    CVMIN_CHECK(
        check(Tss2_MU_TPMS_ATTEST_Unmarshal(attest->attestationData, attest->size, &offset, &quoted), "tpm.quote"));
    if (offset != attest->size)
        return wrong<bool>(Errc::trailing, "tpm.quote", offset);
    const TPML_PCR_SELECTION &selected = quoted.attested.quote.pcrSelect;
    if (quoted.magic != TPM2_GENERATED_VALUE || quoted.type != TPM2_ST_ATTEST_QUOTE ||
        !std::ranges::equal(bytes_of(quoted.extraData), qualifying_data) || selected.count != 1 ||
        selected.pcrSelections[0].hash != wanted.pcrSelections[0].hash ||
        mask_of(selected.pcrSelections[0]) != pcrs.mask)
        return wrong<bool>(Errc::mismatch, "tpm.quote");
    out.attest = to_bytes(std::as_bytes(std::span{attest->attestationData}.first(attest->size)));
    auto signed_by = marshalled<Tss2_MU_TPMT_SIGNATURE_Marshal>(*signature, "tpm.signature");
    if (!signed_by || signature->sigAlg != TPM2_ALG_ECDSA || signature->signature.ecdsa.hash != TPM2_ALG_SHA256)
        return wrong<bool>(Errc::mismatch, "tpm.signature");
    out.signature = std::move(*signed_by);

    Sha256Stream digest; // the scheme's hash
    for (const PcrValue &value : out.pcr_values.values)
        digest.update(value.digest);
    return std::ranges::equal(bytes_of(quoted.attested.quote.pcrDigest), digest.finish());
}

// ---- endorsement key ------------------------------------------------------------------------------------------

Result<void> EsysTpm::find_ek() {
    if (ek_ != none)
        return {};
    const EkProfile *chosen = nullptr;
    for (const EkProfile &profile : ek_profiles) {
        CVMIN_TRY(found, read_certificate(profile.certificate));
        if (found) {
            chosen = &profile;
            break;
        }
    }
    return load_ek(chosen != nullptr ? *chosen : ek_profiles[0]);
}

Result<bool> EsysTpm::read_certificate(TPM2_HANDLE index) {
    ESYS_TR nv = none;
    const TSS2_RC rc = Esys_TR_FromTPMPublic(esys_, index, none, none, none, &nv);
    if (rc == rc_no_such_handle)
        return false;
    CVMIN_CHECK(check(rc, "tpm.ek_certificate"));
    Out<TPM2B_NV_PUBLIC> area;
    CVMIN_CHECK(check(Esys_NV_ReadPublic(esys_, nv, none, none, none, &area, nullptr), "tpm.ek_certificate"));
    const std::size_t size = area->nvPublic.dataSize;
    // Never written, or nothing that a certificate could be: as if it were not there.
    if ((area->nvPublic.attributes & TPMA_NV_WRITTEN) == 0 || size == 0 || size > max_ek_certificate_size) {
        CVMIN_CHECK(check(Esys_TR_Close(esys_, &nv), "tpm.ek_certificate"));
        return false;
    }
    Bytes certificate;
    while (certificate.size() < size) {
        const auto piece = static_cast<UINT16>(std::min<std::size_t>(nv_piece_size, size - certificate.size()));
        Out<TPM2B_MAX_NV_BUFFER> data;
        CVMIN_CHECK(check(
            Esys_NV_Read(esys_, nv, nv, password, none, none, piece, static_cast<UINT16>(certificate.size()), &data),
            "tpm.ek_certificate"));
        const ByteView bytes = bytes_of(*data);
        if (bytes.size() != piece)
            return wrong<bool>(Errc::mismatch, "tpm.ek_certificate", bytes.size());
        certificate.insert(certificate.end(), bytes.begin(), bytes.end());
    }
    CVMIN_CHECK(check(Esys_TR_Close(esys_, &nv), "tpm.ek_certificate"));
    ek_certificate_ = std::move(certificate);
    return true;
}

// The manufacturer's copy when it is what the profile says; else made anew from the seed, which gives the same key.
Result<void> EsysTpm::load_ek(const EkProfile &profile) {
    const TPM2B_PUBLIC form = profile.key();
    ESYS_TR key = none;
    const TSS2_RC rc = Esys_TR_FromTPMPublic(esys_, profile.persistent, none, none, none, &key);
    if (rc != rc_no_such_handle) {
        CVMIN_CHECK(check(rc, "tpm.ek"));
        Out<TPM2B_PUBLIC> area;
        CVMIN_CHECK(check(Esys_ReadPublic(esys_, key, none, none, none, &area, nullptr, nullptr), "tpm.ek"));
        const auto as_wanted = fits(area->publicArea, form.publicArea);
        if (as_wanted && *as_wanted) {
            CVMIN_TRY(bytes, marshalled<Tss2_MU_TPMT_PUBLIC_Marshal>(area->publicArea, "tpm.ek"));
            ek_public_ = std::move(bytes);
            ek_ = key;
            ek_profile_ = &profile;
            return {};
        }
        CVMIN_CHECK(check(Esys_TR_Close(esys_, &key), "tpm.ek"));
    }
    CVMIN_TRY(made, make_primary(form, "tpm.ek", ek_public_));
    ek_ = made;
    ek_is_ours_ = true;
    ek_profile_ = &profile;
    return {};
}

Result<void> EsysTpm::start_policy_session(ESYS_TR &session) {
    const TPMT_SYM_DEF plain{.algorithm = TPM2_ALG_NULL, .keyBits = {}, .mode = {}};
    CVMIN_CHECK(check(Esys_StartAuthSession(esys_, none, none, none, none, none, nullptr, TPM2_SE_POLICY, &plain,
                                            TPM2_ALG_SHA256, &session),
                      "tpm.session"));
    // PolicyA: who may use the endorsement hierarchy may use the key
    return check(Esys_PolicySecret(esys_, ESYS_TR_RH_ENDORSEMENT, session, password, none, none, nullptr, nullptr,
                                   nullptr, 0, nullptr, nullptr),
                 "tpm.session");
}

Result<Bytes> EsysTpm::activate(ByteView id_object, ByteView encrypted_secret) {
    if (fault())
        return std::unexpected(*fault());
    TPM2B_ID_OBJECT blob{};
    TPM2B_ENCRYPTED_SECRET secret{};
    if (id_object.size() > sizeof blob.credential || encrypted_secret.size() > sizeof secret.secret)
        return fail(Errc::refused, "tpm.activate");
    std::ranges::copy(id_object, reinterpret_cast<std::byte *>(blob.credential));
    blob.size = static_cast<UINT16>(id_object.size());
    std::ranges::copy(encrypted_secret, reinterpret_cast<std::byte *>(secret.secret));
    secret.size = static_cast<UINT16>(encrypted_secret.size());

    link_.begin(tpm_activate_budget_ms);
    CVMIN_CHECK(find_ek());
    ESYS_TR session = none;
    const bool by_policy = (ek_profile_->key().publicArea.objectAttributes & TPMA_OBJECT_USERWITHAUTH) == 0;
    if (by_policy)
        CVMIN_CHECK(start_policy_session(session));
    Out<TPM2B_DIGEST> credential;
    const TSS2_RC rc = Esys_ActivateCredential(esys_, ak_, ek_, password, by_policy ? session : password, none, &blob,
                                               &secret, &credential);
    if (rc != TSS2_RC_SUCCESS && !is_tpm_answer(rc))
        return check(rc, "tpm.activate").transform([] { return Bytes{}; });
    flush(session); // ESYS keeps sessions open; a TPM has three
    if (is_tpm_answer(rc)) {
        // swtpm answers TPM_RC_FAILURE to a secret that is no OAEP message, and works on. A TPM that has really failed
        // refuses this too, and a peer with a wrong blob must not take the TPM away from the others.
        CVMIN_CHECK(read_pcrs({.bank = banks_.front().alg, .mask = 1}));
        return fail(Errc::refused, "tpm.activate", rc);
    }
    if (fault())
        return std::unexpected(*fault());
    const ByteView value = bytes_of(*credential);
    if (value.empty())
        return wrong<Bytes>(Errc::mismatch, "tpm.activate");
    return to_bytes(value);
}

} // namespace cvmin::agent
