#include "host-tools/tpm/credential.hpp"

#include "host-tools/tpm/openssl.hpp"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>

#include <mbedtls/platform_util.h>

namespace cvmin {

using openssl::failed;

namespace {

// Part 1, B.10.4 and C.6.4: the seed is made for this use. B.4: OAEP's label ends with a zero, which is hashed too.
constexpr char identity[] = "IDENTITY";
constexpr std::size_t max_name_size = 2 + max_tpm_digest_size; // algorithm, digest
constexpr int octet_bits = 8;

const char *libcrypto_name(TpmAlg hash) {
    switch (hash) {
    case TpmAlg::sha256:
        return "SHA256";
    case TpmAlg::sha384:
        return "SHA384";
    case TpmAlg::sha512:
        return "SHA512";
    default:
        return nullptr;
    }
}

struct Curve {
    TpmCurve id;
    const char *name;
    std::size_t size; // of a coordinate
};
constexpr Curve curves[] = {{TpmCurve::p256, "P-256", 32}, {TpmCurve::p384, "P-384", 48}};

OSSL_PARAM octets(const char *name, ByteView value) { // libcrypto reads it only
    return OSSL_PARAM_construct_octet_string(name, const_cast<std::byte *>(value.data()), value.size());
}
OSSL_PARAM text(const char *name, const char *value) {
    return OSSL_PARAM_construct_utf8_string(name, const_cast<char *>(value), 0);
}

Result<Secret> derive(const char *kind, const OSSL_PARAM *parameters, std::size_t bits, std::string_view where) {
    const openssl::Kdf kdf{EVP_KDF_fetch(openssl::context(), kind, nullptr)};
    const openssl::KdfContext context{kdf ? EVP_KDF_CTX_new(kdf.get()) : nullptr};
    Bytes out(bits / octet_bits);
    if (!context || EVP_KDF_derive(context.get(), u8(MutableBytes{out}), out.size(), parameters) != 1)
        return failed(Errc::crypto, where);
    return Secret{std::move(out)};
}

void append(Bytes &out, ByteView bytes) {
    out.insert(out.end(), bytes.begin(), bytes.end());
}
void append_sized(Bytes &out, ByteView bytes) { // a TPM2B
    ByteArray<2> size;
    store_be(size, bytes.size());
    append(out, size);
    append(out, bytes);
}

// ---- the seed, and how it gets to the TPM ---------------------------------------------------------------------------

struct Seed {
    Secret value;
    Bytes encrypted;
};

Result<openssl::Key> public_key(const char *kind, const OSSL_PARAM_BLD *builder, std::string_view where) {
    const openssl::Parameters parameters{OSSL_PARAM_BLD_to_param(const_cast<OSSL_PARAM_BLD *>(builder))};
    const openssl::KeyContext context{EVP_PKEY_CTX_new_from_name(openssl::context(), kind, nullptr)};
    EVP_PKEY *made = nullptr;
    if (!parameters || !context || EVP_PKEY_fromdata_init(context.get()) != 1 ||
        EVP_PKEY_fromdata(context.get(), &made, EVP_PKEY_PUBLIC_KEY, parameters.get()) != 1)
        return failed(Errc::malformed, where);
    openssl::Key key{made};
    // a modulus of one factor or a point beside the curve is no key of a TPM
    const openssl::KeyContext check{EVP_PKEY_CTX_new_from_pkey(openssl::context(), key.get(), nullptr)};
    if (!check || EVP_PKEY_public_check(check.get()) != 1)
        return failed(Errc::malformed, where);
    return key;
}

Result<openssl::Key> rsa_key(const TpmtPublic &ek) {
    const openssl::Number n{BN_bin2bn(u8(ByteView{ek.rsa_modulus}), static_cast<int>(ek.rsa_modulus.size()), nullptr)};
    const openssl::Number e{BN_new()};
    const openssl::ParameterBuilder builder{OSSL_PARAM_BLD_new()};
    if (!n || !e || !builder || BN_set_word(e.get(), ek.rsa_exponent) != 1 ||
        OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_N, n.get()) != 1 ||
        OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_E, e.get()) != 1)
        return failed(Errc::crypto, "ek.rsa");
    return public_key("RSA", builder.get(), "ek.rsa");
}

// B.10.4: a random seed of the size of the nameAlg's digest, by RSAES-OAEP with that hash and the label "IDENTITY\0".
Result<Seed> rsa_seed(const TpmtPublic &ek) {
    if (ek.rsa_bits < min_ek_rsa_bits || ek.rsa_bits > max_ek_rsa_bits ||
        ek.rsa_modulus.size() * octet_bits != ek.rsa_bits)
        return fail(Errc::unsupported, "ek.rsa_bits", ek.rsa_bits);
    CVMIN_TRY(key, rsa_key(ek));
    Bytes random(digest_size(ek.name_alg));
    if (RAND_priv_bytes_ex(openssl::context(), u8(MutableBytes{random}), random.size(), 0) != 1)
        return failed(Errc::crypto, "seed");
    Secret seed{std::move(random)};

    const char *hash = libcrypto_name(ek.name_alg);
    const OSSL_PARAM parameters[] = {
        text(OSSL_ASYM_CIPHER_PARAM_PAD_MODE, OSSL_PKEY_RSA_PAD_MODE_OAEP),
        text(OSSL_ASYM_CIPHER_PARAM_OAEP_DIGEST, hash),
        text(OSSL_ASYM_CIPHER_PARAM_MGF1_DIGEST, hash),
        octets(OSSL_ASYM_CIPHER_PARAM_OAEP_LABEL, std::as_bytes(std::span{identity})), // with its zero
        OSSL_PARAM_construct_end(),
    };
    const openssl::KeyContext context{EVP_PKEY_CTX_new_from_pkey(openssl::context(), key.get(), nullptr)};
    Bytes encrypted(ek.rsa_modulus.size());
    std::size_t size = encrypted.size();
    if (!context || EVP_PKEY_encrypt_init_ex(context.get(), parameters) != 1 ||
        EVP_PKEY_encrypt(context.get(), u8(MutableBytes{encrypted}), &size, u8(seed.view()), seed.view().size()) != 1 ||
        size != encrypted.size())
        return failed(Errc::crypto, "seed");
    return Seed{std::move(seed), std::move(encrypted)};
}

// SEC 1, 2.3.3, not compressed.
Bytes point_of(const TpmtPublic &ek, std::size_t size) {
    Bytes out(1 + 2 * size);
    out[0] = std::byte{4};
    std::ranges::copy(ek.x, out.begin() + static_cast<std::ptrdiff_t>(1 + size - ek.x.size()));
    std::ranges::copy(ek.y, out.begin() + static_cast<std::ptrdiff_t>(1 + 2 * size - ek.y.size()));
    return out;
}

Result<Secret> shared_x(EVP_PKEY *own, EVP_PKEY *peer, std::size_t size) {
    const openssl::KeyContext context{EVP_PKEY_CTX_new_from_pkey(openssl::context(), own, nullptr)};
    Bytes z(size);
    std::size_t written = z.size();
    if (!context || EVP_PKEY_derive_init(context.get()) != 1 || EVP_PKEY_derive_set_peer(context.get(), peer) != 1 ||
        EVP_PKEY_derive(context.get(), u8(MutableBytes{z}), &written) != 1 || written != size)
        return failed(Errc::crypto, "seed");
    return Secret{std::move(z)};
}

// C.6.1, C.6.4: an ephemeral key; seed = KDFe(nameAlg, Z.x, "IDENTITY", ephemeral.x, EK.x, bits); its point is sent.
Result<Seed> ecc_seed(const TpmtPublic &ek) {
    const auto *curve = std::ranges::find(curves, ek.curve, &Curve::id);
    if (curve == std::end(curves))
        return fail(Errc::unsupported, "ek.curve", static_cast<std::uint64_t>(ek.curve));
    if (ek.x.size() > curve->size || ek.y.size() > curve->size)
        return fail(Errc::malformed, "ek.ecc");
    const Bytes ek_point = point_of(ek, curve->size);
    const openssl::ParameterBuilder builder{OSSL_PARAM_BLD_new()};
    if (!builder || OSSL_PARAM_BLD_push_utf8_string(builder.get(), OSSL_PKEY_PARAM_GROUP_NAME, curve->name, 0) != 1 ||
        OSSL_PARAM_BLD_push_octet_string(builder.get(), OSSL_PKEY_PARAM_PUB_KEY, ek_point.data(), ek_point.size()) != 1)
        return failed(Errc::crypto, "ek.ecc");
    CVMIN_TRY(key, public_key("EC", builder.get(), "ek.ecc"));
    const openssl::Key own{EVP_PKEY_Q_keygen(openssl::context(), nullptr, "EC", curve->name)};
    Bytes own_point(ek_point.size());
    std::size_t written = 0;
    if (!own ||
        EVP_PKEY_get_octet_string_param(own.get(), OSSL_PKEY_PARAM_PUB_KEY, u8(MutableBytes{own_point}),
                                        own_point.size(), &written) != 1 ||
        written != own_point.size() || own_point[0] != std::byte{4})
        return failed(Errc::crypto, "seed");
    CVMIN_TRY(z, shared_x(own.get(), key.get(), curve->size));
    const ByteView own_x = ByteView{own_point}.subspan(1, curve->size);
    const ByteView own_y = ByteView{own_point}.subspan(1 + curve->size);
    CVMIN_TRY(seed, tpm_kdfe(ek.name_alg, z.view(), identity, own_x, ByteView{ek_point}.subspan(1, curve->size),
                             digest_size(ek.name_alg) * octet_bits));
    Bytes encrypted;
    append_sized(encrypted, own_x);
    append_sized(encrypted, own_y);
    return Seed{std::move(seed), std::move(encrypted)};
}

// ---- what the TPM unwraps
// ---------------------------------------------------------------------------------------------

Result<Bytes> aes_cfb(const TpmtPublic &ek, const Secret &key, ByteView plain) {
    const std::string kind = "AES-" + std::to_string(ek.symmetric_bits) + "-CFB"; // CFB with whole blocks of feedback
    const openssl::Cipher cipher{EVP_CIPHER_fetch(openssl::context(), kind.c_str(), nullptr)};
    const openssl::CipherContext context{EVP_CIPHER_CTX_new()};
    const ByteArray<16> zero{}; // 24.4: the IV is zero; every seed is used once
    Bytes out(plain.size());
    int size = 0;
    if (!cipher || !context ||
        EVP_EncryptInit_ex2(context.get(), cipher.get(), u8(key.view()), u8(ByteView{zero}), nullptr) != 1 ||
        EVP_EncryptUpdate(context.get(), u8(MutableBytes{out}), &size, u8(plain), static_cast<int>(plain.size())) !=
            1 ||
        static_cast<std::size_t>(size) != out.size())
        return failed(Errc::crypto, "credential.encrypt");
    return out;
}

Result<Bytes> hmac(TpmAlg hash, const Secret &key, ByteView message) {
    Bytes out(digest_size(hash));
    std::size_t size = 0;
    if (EVP_Q_mac(openssl::context(), "HMAC", nullptr, libcrypto_name(hash), nullptr, key.view().data(),
                  key.view().size(), u8(message), message.size(), u8(MutableBytes{out}), out.size(),
                  &size) == nullptr ||
        size != out.size())
        return failed(Errc::crypto, "credential.hmac");
    return out;
}

// EK Credential Profile 2.5, B.3.3: what every template of an EK has. It does not leave its TPM, was made there, and
// decrypts nothing that its user chose.
constexpr std::uint32_t ek_attributes = tpma_object::fixed_tpm | tpma_object::fixed_parent | tpma_object::restricted |
                                        tpma_object::decrypt | tpma_object::sensitive_data_origin;

Result<void> check_ek(const TpmtPublic &ek) {
    if ((ek.attributes & ek_attributes) != ek_attributes || (ek.attributes & tpma_object::sign) != 0)
        return fail(Errc::unsupported, "ek.attributes", ek.attributes);
    if (libcrypto_name(ek.name_alg) == nullptr)
        return fail(Errc::unsupported, "ek.name_alg", static_cast<std::uint64_t>(ek.name_alg));
    if (ek.symmetric != TpmAlgId::aes || ek.symmetric_mode != TpmAlgId::cfb)
        return fail(Errc::unsupported, "ek.symmetric", static_cast<std::uint64_t>(ek.symmetric));
    if (ek.symmetric_bits != 128 && ek.symmetric_bits != 192 && ek.symmetric_bits != 256)
        return fail(Errc::unsupported, "ek.symmetric_bits", ek.symmetric_bits);
    return {};
}

} // namespace

// KDFa is SP 800-108's counter mode: HMAC([i]32 || label || 00 || contextU || contextV || [bits]32), libcrypto's KBKDF
// with its "salt" as the label and its "info" as the context.
Result<Secret> tpm_kdfa(TpmAlg hash, ByteView key, std::string_view label, ByteView context_u, ByteView context_v,
                        std::size_t bits) {
    const char *digest = libcrypto_name(hash);
    if (digest == nullptr)
        return fail(Errc::unsupported, "kdfa.hash", static_cast<std::uint64_t>(hash));
    Bytes context = to_bytes(context_u);
    append(context, context_v);
    const OSSL_PARAM parameters[] = {
        text(OSSL_KDF_PARAM_MODE, "COUNTER"),
        text(OSSL_KDF_PARAM_MAC, "HMAC"),
        text(OSSL_KDF_PARAM_DIGEST, digest),
        octets(OSSL_KDF_PARAM_KEY, key),
        octets(OSSL_KDF_PARAM_SALT, as_bytes(label)),
        octets(OSSL_KDF_PARAM_INFO, context),
        OSSL_PARAM_construct_end(),
    };
    return derive("KBKDF", parameters, bits, "kdfa");
}

// KDFe is SP 800-56A's one-step derivation: H([i]32 || Z || label || 00 || partyU || partyV), libcrypto's SSKDF.
Result<Secret> tpm_kdfe(TpmAlg hash, ByteView z, std::string_view label, ByteView party_u, ByteView party_v,
                        std::size_t bits) {
    const char *digest = libcrypto_name(hash);
    if (digest == nullptr)
        return fail(Errc::unsupported, "kdfe.hash", static_cast<std::uint64_t>(hash));
    Bytes info = to_bytes(as_bytes(label));
    info.push_back(std::byte{0});
    append(info, party_u);
    append(info, party_v);
    const OSSL_PARAM parameters[] = {
        text(OSSL_KDF_PARAM_DIGEST, digest),
        octets(OSSL_KDF_PARAM_SECRET, z),
        octets(OSSL_KDF_PARAM_INFO, info),
        OSSL_PARAM_construct_end(),
    };
    return derive("SSKDF", parameters, bits, "kdfe");
}

Result<Bytes> protect_credential(const TpmtPublic &ek, const Secret &seed, ByteView ak_name, ByteView credential) {
    CVMIN_CHECK(check_ek(ek));
    const std::size_t size = digest_size(ek.name_alg);
    if (seed.view().size() != size)
        return fail(Errc::out_of_range, "seed", seed.view().size());
    if (ak_name.size() < 2 || ak_name.size() > max_name_size)
        return fail(Errc::out_of_range, "ak_name", ak_name.size());
    if (credential.empty() || credential.size() > size)
        return fail(Errc::out_of_range, "credential", credential.size());
    // (44), (45)
    CVMIN_TRY(storage_key, tpm_kdfa(ek.name_alg, seed.view(), "STORAGE", ak_name, {}, ek.symmetric_bits));
    Bytes plain;
    plain.reserve(2 + credential.size()); // grows no second time: no copy is left behind
    append_sized(plain, credential);
    const Secret identity_value{std::move(plain)};
    CVMIN_TRY(encrypted, aes_cfb(ek, storage_key, identity_value.view()));
    // (46), (47)
    CVMIN_TRY(integrity_key, tpm_kdfa(ek.name_alg, seed.view(), "INTEGRITY", {}, {}, size * octet_bits));
    Bytes covered = encrypted;
    append(covered, ak_name);
    CVMIN_TRY(integrity, hmac(ek.name_alg, integrity_key, covered));
    Bytes id_object;
    append_sized(id_object, integrity);
    append(id_object, encrypted);
    return id_object;
}

Result<ProtectedCredential> make_credential(ByteView ek_public, ByteView ak_name, ByteView credential) {
    CVMIN_TRY(ek, parse_public(ek_public));
    CVMIN_CHECK(check_ek(ek));
    if (openssl::context() == nullptr)
        return fail(Errc::crypto, "libcrypto");
    auto seed = ek.type == TpmAlgId::rsa ? rsa_seed(ek) : ecc_seed(ek);
    if (!seed)
        return std::unexpected(seed.error());
    CVMIN_TRY(id_object, protect_credential(ek, seed->value, ak_name, credential));
    return ProtectedCredential{.id_object = std::move(id_object), .encrypted_secret = std::move(seed->encrypted)};
}

} // namespace cvmin
