// TPM 2.0 structures as they stand in evidence: TPMS_ATTEST, TPMT_PUBLIC, TPMT_SIGNATURE, names. TCG "TPM 2.0 Library"
// 1.59, Part 2. Decodes; judges nothing and checks no signature (host-tools/measured/quote.hpp). Big-endian throughout.
#pragma once

#include "common/bytes.hpp"
#include "common/evidence.hpp"

#include <optional>
#include <string_view>
#include <vector>

namespace cvmin {

// TPM_ALG_ID, TCG "Algorithm Registry" 1.34: what is no hash (tpm_alg.hpp has those). Other values are decoded and
// kept.
enum class TpmAlgId : std::uint16_t {
    none = 0, // the structure has no such member
    rsa = 0x0001,
    aes = 0x0006,
    null = 0x0010,
    rsassa = 0x0014,
    rsaes = 0x0015,
    rsapss = 0x0016,
    oaep = 0x0017,
    ecdsa = 0x0018,
    ecdh = 0x0019,
    ecdaa = 0x001a,
    ecc = 0x0023,
    cfb = 0x0043,
};
std::string_view name(TpmAlgId alg);                           // "ecdsa"; "unknown" for what has no name here
std::optional<TpmAlg> tpm_hash_by_name(std::string_view name); // "sha256"
inline constexpr TpmAlg no_hash{};                             // as scheme_hash: none is named

inline constexpr std::size_t max_tpm_digest_size = 64;

// A digest of any of the hashes, without an allocation.
class TpmDigest {
  public:
    TpmDigest() = default;
    // The first 64 bytes; no digest is longer.
    explicit TpmDigest(ByteView bytes) : size_(static_cast<std::uint8_t>(std::min(bytes.size(), max_tpm_digest_size))) {
        std::ranges::copy(bytes.first(size_), bytes_.begin());
    }
    static TpmDigest filled(std::size_t size, std::byte value) {
        TpmDigest out;
        out.size_ = static_cast<std::uint8_t>(std::min(size, max_tpm_digest_size));
        std::ranges::fill(MutableBytes{out.bytes_}.first(out.size_), value);
        return out;
    }
    ByteView view() const { return ByteView{bytes_}.first(size_); }
    MutableBytes data() { return MutableBytes{bytes_}.first(size_); }
    std::size_t size() const { return size_; }
    bool empty() const { return size_ == 0; }
    friend bool operator==(const TpmDigest &a, const TpmDigest &b) { return equal(a.view(), b.view()); }

  private:
    ByteArray<max_tpm_digest_size> bytes_{};
    std::uint8_t size_ = 0;
};

// ---- TPMS_ATTEST ----------------------------------------------------------------------------------------------------

inline constexpr std::uint32_t tpm_generated_value = 0xff544347; // TPM_GENERATED_VALUE: no other TPM data begins so
inline constexpr std::uint16_t tpm_st_attest_quote = 0x8018;
inline constexpr std::size_t max_pcr_selections = 16; // HASH_COUNT; a TPM has at most five banks

struct TpmPcrSelection {
    TpmAlg alg;
    std::uint32_t pcrs; // bit n: PCR n
    friend bool operator==(const TpmPcrSelection &, const TpmPcrSelection &) = default;
};

struct TpmsAttest {
    std::uint32_t magic;
    std::uint16_t type;
    Bytes qualified_signer; // TPM2B_NAME
    Bytes extra_data;       // what the caller gave to be signed with it
    std::uint64_t clock;    // milliseconds
    std::uint32_t reset_count;
    std::uint32_t restart_count;
    bool safe;
    std::uint64_t firmware_version;
    // of a quote; empty for another type, whose `attested` part is not decoded
    std::vector<TpmPcrSelection> selection; // in the order of the quote, in which the digest was taken
    Bytes pcr_digest;
};

// Magic and type are decoded and not judged. truncated, trailing; too_large: more than max_tpm_attest_size bytes or
// max_pcr_selections banks; malformed: `safe` is neither 0 nor 1, or a bank is there twice; out_of_range: a PCR
// above 31.
Result<TpmsAttest> parse_attest(ByteView attest);

// ---- TPMT_PUBLIC ----------------------------------------------------------------------------------------------------

namespace tpma_object { // TPMA_OBJECT
inline constexpr std::uint32_t fixed_tpm = 1u << 1;
inline constexpr std::uint32_t st_clear = 1u << 2;
inline constexpr std::uint32_t fixed_parent = 1u << 4;
inline constexpr std::uint32_t sensitive_data_origin = 1u << 5;
inline constexpr std::uint32_t user_with_auth = 1u << 6;
inline constexpr std::uint32_t admin_with_policy = 1u << 7;
inline constexpr std::uint32_t no_da = 1u << 10;
inline constexpr std::uint32_t encrypted_duplication = 1u << 11;
inline constexpr std::uint32_t restricted = 1u << 16;
inline constexpr std::uint32_t decrypt = 1u << 17;
inline constexpr std::uint32_t sign = 1u << 18;
inline constexpr std::uint32_t x509_sign = 1u << 19;
} // namespace tpma_object

enum class TpmCurve : std::uint16_t { p256 = 0x0003, p384 = 0x0004, p521 = 0x0005 }; // others are decoded and kept

inline constexpr std::size_t max_rsa_bytes = 512; // RSA-4096
inline constexpr std::size_t max_ecc_bytes = 66;  // P-521

struct TpmtPublic {
    TpmAlgId type; // rsa or ecc
    TpmAlg name_alg;
    std::uint32_t attributes; // tpma_object
    Bytes auth_policy;
    TpmAlgId symmetric = TpmAlgId::null; // what a storage key wraps with; null for a signing key
    std::uint16_t symmetric_bits = 0;
    TpmAlgId symmetric_mode = TpmAlgId::null;
    TpmAlgId scheme = TpmAlgId::null; // null: any
    TpmAlg scheme_hash = no_hash;
    // rsa
    std::uint16_t rsa_bits = 0;
    std::uint32_t rsa_exponent = 0; // 0 in the structure means 65537, and is 65537 here
    Bytes rsa_modulus;
    // ecc
    TpmCurve curve{};
    Bytes x, y;
};

// truncated, trailing; too_large: more than max_tpm_public_size; unsupported: neither an RSA nor an ECC key, or a
// scheme whose details are not known; malformed: reserved attribute bits, a modulus or coordinate longer than the key.
Result<TpmtPublic> parse_public(ByteView tpmt_public);

// TPM2B_NAME's buffer: nameAlg || hash(TPMT_PUBLIC). unsupported: nameAlg is not SHA-256, SHA-384 or SHA-512.
Result<Bytes> tpm_name(ByteView tpmt_public);
// Of a primary key: nameAlg || hash(handle of the hierarchy || name), as TPMS_ATTEST.qualifiedSigner has it.
inline constexpr std::uint32_t tpm_rh_endorsement = 0x4000000B;
inline constexpr std::uint32_t tpm_rh_owner = 0x40000001;
Result<Bytes> tpm_qualified_name(std::uint32_t hierarchy, ByteView name);

// ---- TPMT_SIGNATURE -------------------------------------------------------------------------------------------------

struct TpmtSignature {
    TpmAlgId alg; // rsassa, rsapss, ecdsa
    TpmAlg hash;
    Bytes rsa;  // of the two RSA schemes
    Bytes r, s; // of ecdsa: big-endian, perhaps without leading zeros
};

// truncated, trailing; too_large: more than max_tpm_signature_size; unsupported: another scheme.
Result<TpmtSignature> parse_signature(ByteView tpmt_signature);

} // namespace cvmin
