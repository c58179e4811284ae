#include "common/tpm.hpp"

#include "common/hash.hpp"

namespace cvmin {

std::string_view name(TpmAlgId alg) {
    switch (alg) {
    case TpmAlgId::none:
        return "none";
    case TpmAlgId::rsa:
        return "rsa";
    case TpmAlgId::aes:
        return "aes";
    case TpmAlgId::null:
        return "null";
    case TpmAlgId::rsassa:
        return "rsassa";
    case TpmAlgId::rsaes:
        return "rsaes";
    case TpmAlgId::rsapss:
        return "rsapss";
    case TpmAlgId::oaep:
        return "oaep";
    case TpmAlgId::ecdsa:
        return "ecdsa";
    case TpmAlgId::ecdh:
        return "ecdh";
    case TpmAlgId::ecdaa:
        return "ecdaa";
    case TpmAlgId::ecc:
        return "ecc";
    case TpmAlgId::cfb:
        return "cfb";
    }
    return "unknown";
}

std::optional<TpmAlg> tpm_hash_by_name(std::string_view wanted) {
    for (const TpmAlg alg : {TpmAlg::sha1, TpmAlg::sha256, TpmAlg::sha384, TpmAlg::sha512})
        if (name(alg) == wanted)
            return alg;
    return std::nullopt;
}

static Bytes read_sized(Reader &reader) { // TPM2B_*
    return to_bytes(reader.take(reader.be(2)));
}
static TpmAlgId read_alg(Reader &reader) {
    return static_cast<TpmAlgId>(reader.be(2));
}
static TpmAlg read_hash(Reader &reader) {
    // other algorithms are decoded and kept; the type holds any number of two bytes
    return static_cast<TpmAlg>(reader.be(2)); // NOLINT(clang-analyzer-optin.core.EnumCastOutOfRange)
}

// ---- TPMS_ATTEST ----------------------------------------------------------------------------------------------------

static Result<void> read_selections(Reader &reader, std::vector<TpmPcrSelection> &out) {
    const std::uint64_t count = reader.be(4);
    if (count > max_pcr_selections)
        return fail(Errc::too_large, "tpm.attest.pcr_select", count);
    for (std::uint64_t i = 0; i < count && reader.ok(); ++i) {
        const TpmAlg alg = read_hash(reader);
        const std::size_t size = reader.be(1);
        if (size > sizeof(std::uint32_t))
            return fail(Errc::out_of_range, "tpm.attest.pcr_select", reader.offset());
        const TpmPcrSelection selection{alg, static_cast<std::uint32_t>(load_le(reader.take(size)))};
        if (std::ranges::any_of(out, [&](const TpmPcrSelection &other) { return other.alg == alg; }))
            return fail(Errc::malformed, "tpm.attest.pcr_select", reader.offset());
        out.push_back(selection);
    }
    return {};
}

Result<TpmsAttest> parse_attest(ByteView attest) {
    if (attest.size() > max_tpm_attest_size)
        return fail(Errc::too_large, "tpm.attest", attest.size());
    Reader reader{attest};
    TpmsAttest out{};
    out.magic = static_cast<std::uint32_t>(reader.be(4));
    out.type = static_cast<std::uint16_t>(reader.be(2));
    out.qualified_signer = read_sized(reader);
    out.extra_data = read_sized(reader);
    out.clock = reader.be(8);
    out.reset_count = static_cast<std::uint32_t>(reader.be(4));
    out.restart_count = static_cast<std::uint32_t>(reader.be(4));
    const std::uint64_t safe = reader.be(1); // TPMI_YES_NO
    out.safe = safe == 1;
    out.firmware_version = reader.be(8);
    if (safe > 1)
        return fail(Errc::malformed, "tpm.attest.safe", safe);
    if (out.type != tpm_st_attest_quote) {
        reader.take(reader.left());
    } else {
        CVMIN_CHECK(read_selections(reader, out.selection));
        out.pcr_digest = read_sized(reader);
    }
    CVMIN_CHECK(reader.finish("tpm.attest"));
    return out;
}

// ---- TPMT_PUBLIC ----------------------------------------------------------------------------------------------------

// TPMA_OBJECT bits without a meaning in 1.59 to 1.83: firmwareLimited (8) and svnLimited (9) came with 1.83.
static constexpr std::uint32_t reserved_attributes = 1u << 0 | 1u << 3 | 0xfu << 12 | 0xfffu << 20;

static Result<void> read_symmetric(Reader &reader, TpmtPublic &out) { // TPMT_SYM_DEF_OBJECT
    out.symmetric = read_alg(reader);
    if (out.symmetric == TpmAlgId::null)
        return {};
    if (out.symmetric != TpmAlgId::aes && reader.ok())
        return fail(Errc::unsupported, "tpm.public.symmetric", static_cast<std::uint64_t>(out.symmetric));
    out.symmetric_bits = static_cast<std::uint16_t>(reader.be(2));
    out.symmetric_mode = read_alg(reader);
    return {};
}

static Result<void> read_scheme(Reader &reader, TpmtPublic &out) { // TPMT_RSA_SCHEME, TPMT_ECC_SCHEME
    out.scheme = read_alg(reader);
    switch (out.scheme) {
    case TpmAlgId::null:
    case TpmAlgId::rsaes:
        return {};
    case TpmAlgId::rsassa:
    case TpmAlgId::rsapss:
    case TpmAlgId::oaep:
    case TpmAlgId::ecdsa:
    case TpmAlgId::ecdh:
        out.scheme_hash = read_hash(reader);
        return {};
    case TpmAlgId::ecdaa:
        out.scheme_hash = read_hash(reader);
        reader.be(2); // count
        return {};
    default:
        if (!reader.ok())
            return {}; // finish() says so
        return fail(Errc::unsupported, "tpm.public.scheme", static_cast<std::uint64_t>(out.scheme));
    }
}

Result<TpmtPublic> parse_public(ByteView tpmt_public) {
    if (tpmt_public.size() > max_tpm_public_size)
        return fail(Errc::too_large, "tpm.public", tpmt_public.size());
    Reader reader{tpmt_public};
    TpmtPublic out{};
    out.type = read_alg(reader);
    out.name_alg = read_hash(reader);
    out.attributes = static_cast<std::uint32_t>(reader.be(4));
    out.auth_policy = read_sized(reader);
    if (!reader.ok())
        return fail(Errc::truncated, "tpm.public", reader.offset());
    if (out.type != TpmAlgId::rsa && out.type != TpmAlgId::ecc)
        return fail(Errc::unsupported, "tpm.public.type", static_cast<std::uint64_t>(out.type));
    if ((out.attributes & reserved_attributes) != 0)
        return fail(Errc::malformed, "tpm.public.attributes", out.attributes);
    CVMIN_CHECK(read_symmetric(reader, out));
    CVMIN_CHECK(read_scheme(reader, out));
    if (out.type == TpmAlgId::rsa) {
        out.rsa_bits = static_cast<std::uint16_t>(reader.be(2));
        const auto exponent = static_cast<std::uint32_t>(reader.be(4));
        out.rsa_exponent = exponent == 0 ? 65537 : exponent;
        out.rsa_modulus = read_sized(reader);
        if (out.rsa_modulus.size() > max_rsa_bytes || out.rsa_modulus.size() * 8 > out.rsa_bits)
            return fail(Errc::malformed, "tpm.public.modulus", out.rsa_modulus.size());
    } else {
        out.curve = static_cast<TpmCurve>(reader.be(2));
        const TpmAlgId kdf = read_alg(reader); // TPMT_KDF_SCHEME
        if (kdf != TpmAlgId::null)
            read_hash(reader);
        out.x = read_sized(reader);
        out.y = read_sized(reader);
        if (out.x.size() > max_ecc_bytes || out.y.size() > max_ecc_bytes)
            return fail(Errc::malformed, "tpm.public.point", std::max(out.x.size(), out.y.size()));
    }
    CVMIN_CHECK(reader.finish("tpm.public"));
    return out;
}

static Result<Bytes> name_of(std::uint64_t alg, ByteView bytes) {
    Bytes out(2);
    store_be(out, alg);
    const auto append = [&](const auto &digest) { out.insert(out.end(), digest.begin(), digest.end()); };
    switch (static_cast<TpmAlg>(alg)) {
    case TpmAlg::sha256:
        append(sha256(bytes));
        return out;
    case TpmAlg::sha384:
        append(sha384(bytes));
        return out;
    case TpmAlg::sha512:
        append(sha512(bytes));
        return out;
    default:
        return fail(Errc::unsupported, "tpm.name", alg);
    }
}

Result<Bytes> tpm_name(ByteView tpmt_public) {
    if (tpmt_public.size() < 4)
        return fail(Errc::truncated, "tpm.name", tpmt_public.size());
    return name_of(load_be(tpmt_public.subspan(2, 2)), tpmt_public);
}

Result<Bytes> tpm_qualified_name(std::uint32_t hierarchy, ByteView name) {
    if (name.size() < 2)
        return fail(Errc::truncated, "tpm.name", name.size());
    Bytes hashed(4 + name.size());
    store_be(MutableBytes{hashed}.first(4), hierarchy);
    std::ranges::copy(name, hashed.begin() + 4);
    return name_of(load_be(name.first(2)), hashed);
}

// ---- TPMT_SIGNATURE -------------------------------------------------------------------------------------------------

Result<TpmtSignature> parse_signature(ByteView tpmt_signature) {
    if (tpmt_signature.size() > max_tpm_signature_size)
        return fail(Errc::too_large, "tpm.signature", tpmt_signature.size());
    Reader reader{tpmt_signature};
    TpmtSignature out{};
    out.alg = read_alg(reader);
    out.hash = read_hash(reader);
    if (!reader.ok())
        return fail(Errc::truncated, "tpm.signature", reader.offset());
    switch (out.alg) {
    case TpmAlgId::rsassa:
    case TpmAlgId::rsapss:
        out.rsa = read_sized(reader);
        break;
    case TpmAlgId::ecdsa:
        out.r = read_sized(reader);
        out.s = read_sized(reader);
        break;
    default:
        return fail(Errc::unsupported, "tpm.signature", static_cast<std::uint64_t>(out.alg));
    }
    CVMIN_CHECK(reader.finish("tpm.signature"));
    return out;
}

} // namespace cvmin
