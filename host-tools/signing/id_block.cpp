// Decoding of ID_BLOCK and ID_AUTH_INFO, and their ECDSA P-384 signatures.
#include "host-tools/signing/id_block.hpp"

#include "host-tools/base/mbed.hpp"

namespace cvmin {

namespace {

namespace block_field { // table ID_BLOCK
using launch_digest = Field<0x00, 48>;
using family_id = Field<0x30, 16>;
using image_id = Field<0x40, 16>;
using version = Field<0x50, 4>;
using guest_svn = Field<0x54, 4>;
using policy = Field<0x58, 8>;
static_assert(fields_tile<id_block_size, launch_digest, family_id, image_id, version, guest_svn, policy>());
} // namespace block_field

namespace auth_field { // table ID_AUTH_INFO
using id_key_algo = Field<0x000, 4>;
using author_key_algo = Field<0x004, 4>;
using reserved_008 = Field<0x008, 56>;
using id_block_signature = Field<0x040, 512>;
using id_key = Field<0x240, 1028>;
using reserved_644 = Field<0x644, 60>;
using id_key_signature = Field<0x680, 512>;
using author_key = Field<0x880, 1028>;
using reserved_c84 = Field<0xC84, 892>;
static_assert(fields_tile<id_auth_size, id_key_algo, author_key_algo, reserved_008, id_block_signature, id_key,
                          reserved_644, id_key_signature, author_key, reserved_c84>());
} // namespace auth_field

namespace key_field { // public key; then zeros up to 1028
using curve = Field<0x00, 4>;
using x = Field<0x04, 72>; // little-endian
using y = Field<0x4C, 72>;
} // namespace key_field

namespace signature_field { // then zeros up to 512
using r = Field<0x00, 72>;  // little-endian
using s = Field<0x48, 72>;
} // namespace signature_field

constexpr std::uint64_t algorithm_ecdsa_p384_sha384 = 1;
constexpr std::uint64_t curve_p384 = 2;

struct Places { // static texts for errors
    std::string_view key, signature;
};

// A number of 48 bytes as the firmware has it: little-endian in a field of 72 bytes, the rest zero.
void put_number(MutableBytes field, const ByteArray<48> &big_endian) {
    std::ranges::reverse_copy(big_endian, field.begin());
}
// Nothing: one of the bytes that must be zero is not.
std::optional<ByteArray<48>> number(ByteView field) {
    if (!all_zero(field.subspan(48)))
        return std::nullopt;
    ByteArray<48> big_endian;
    std::ranges::reverse_copy(field.first(48), big_endian.begin());
    return big_endian;
}

Result<void> verify_signature(ByteView message, ByteView key, ByteView signature, const Places &where) {
    if (key_field::curve::le(key) != curve_p384)
        return fail(Errc::unsupported, where.key, key_field::curve::le(key));
    const auto x = number(key_field::x::view(key));
    const auto y = number(key_field::y::view(key));
    if (!x || !y)
        return fail(Errc::out_of_range, where.key);
    const auto r = number(signature_field::r::view(signature));
    const auto s = number(signature_field::s::view(signature));
    P384Signature big_endian{}; // r or s that is too long stays 0, which no signature has
    if (r && s) {
        std::ranges::copy(*r, big_endian.begin());
        std::ranges::copy(*s, big_endian.begin() + p384_scalar_size);
    }
    const auto verified = verify_p384({*x, *y}, sha384(message), big_endian, where.signature);
    if (!verified && verified.error().code == Errc::unsupported) // the key is no point of the curve
        return fail(Errc::out_of_range, where.key);
    if (!verified && verified.error().code == Errc::out_of_range)
        return fail(Errc::mismatch, where.signature);
    return verified;
}

void put_signature(MutableBytes field, const P384Signature &signature) {
    put_number(signature_field::r::view(field), Field<0, p384_scalar_size>::array(signature));
    put_number(signature_field::s::view(field), Field<p384_scalar_size, p384_scalar_size>::array(signature));
}

Result<void> exact_size(ByteView raw, std::size_t size, std::string_view where) {
    if (raw.size() < size)
        return fail(Errc::truncated, where, raw.size());
    if (raw.size() > size)
        return fail(Errc::trailing, where, size);
    return {};
}

} // namespace

Result<IdBlock> parse_id_block(ByteView raw) {
    CVMIN_CHECK(exact_size(raw, id_block_size, "id_block"));
    namespace f = block_field;
    return IdBlock{.launch_digest = f::launch_digest::array(raw),
                   .family_id = f::family_id::array(raw),
                   .image_id = f::image_id::array(raw),
                   .version = static_cast<std::uint32_t>(f::version::le(raw)),
                   .guest_svn = static_cast<std::uint32_t>(f::guest_svn::le(raw)),
                   .policy = f::policy::le(raw)};
}

ByteArray<id_block_size> encode_id_block(const IdBlock &block) {
    namespace f = block_field;
    ByteArray<id_block_size> raw{};
    f::launch_digest::put(raw, block.launch_digest);
    f::family_id::put(raw, block.family_id);
    f::image_id::put(raw, block.image_id);
    f::version::put_le(raw, block.version);
    f::guest_svn::put_le(raw, block.guest_svn);
    f::policy::put_le(raw, block.policy);
    return raw;
}

ByteArray<snp_public_key_size> snp_public_key(const PublicKey &key) {
    ByteArray<snp_public_key_size> raw{};
    key_field::curve::put_le(raw, curve_p384);
    put_number(key_field::x::view(MutableBytes{raw}), key.x);
    put_number(key_field::y::view(MutableBytes{raw}), key.y);
    return raw;
}

Sha384Digest snp_key_digest(const PublicKey &key) {
    return sha384(snp_public_key(key));
}

Result<Bytes> sign_id_auth(ByteView block, const P384PrivateKey &id_key, const P384PrivateKey *author_key) {
    namespace f = auth_field;
    Bytes auth(id_auth_size);
    const MutableBytes raw{auth};
    CVMIN_TRY(id_public, id_key.public_key());
    const auto id_key_bytes = snp_public_key(id_public);
    CVMIN_TRY(signature, id_key.sign(sha384(block), rfc6979_nonce, nullptr));
    f::id_key_algo::put_le(raw, algorithm_ecdsa_p384_sha384);
    put_signature(f::id_block_signature::view(raw), signature);
    f::id_key::put(raw, id_key_bytes);
    if (author_key != nullptr) {
        CVMIN_TRY(author_public, author_key->public_key());
        CVMIN_TRY(by_author, author_key->sign(sha384(id_key_bytes), rfc6979_nonce, nullptr));
        f::author_key_algo::put_le(raw, algorithm_ecdsa_p384_sha384);
        put_signature(f::id_key_signature::view(raw), by_author);
        f::author_key::put(raw, snp_public_key(author_public));
    }
    // a fault while signing may give the key away: a wrong signature is not let out
    CVMIN_CHECK(verify_id_auth(auth, block, author_key != nullptr));
    return auth;
}

IdKeys id_auth_claims(ByteView auth) {
    IdKeys keys{.id_key_digest = sha384(auth_field::id_key::view(auth)), .author_key_digest = {}};
    if (id_auth_has_author(auth))
        keys.author_key_digest = sha384(auth_field::author_key::view(auth));
    return keys;
}

bool id_auth_has_author(ByteView auth) {
    return !all_zero(auth_field::author_key::view(auth)) || !all_zero(auth_field::id_key_signature::view(auth));
}

Result<IdKeys> verify_id_auth(ByteView auth, ByteView block, bool author_key_enabled) {
    namespace f = auth_field;
    CVMIN_CHECK(exact_size(auth, id_auth_size, "id_auth"));
    CVMIN_CHECK(exact_size(block, id_block_size, "id_block"));
    if (f::id_key_algo::le(auth) != algorithm_ecdsa_p384_sha384)
        return fail(Errc::unsupported, "id_auth.id_key_algo", f::id_key_algo::le(auth));
    CVMIN_CHECK(verify_signature(block, f::id_key::view(auth), f::id_block_signature::view(auth),
                                 {"id_auth.id_key", id_auth_check::id_block_signature}));
    IdKeys keys{.id_key_digest = sha384(f::id_key::view(auth)), .author_key_digest = {}};
    if (author_key_enabled) {
        if (f::author_key_algo::le(auth) != algorithm_ecdsa_p384_sha384)
            return fail(Errc::unsupported, "id_auth.author_key_algo", f::author_key_algo::le(auth));
        CVMIN_CHECK(verify_signature(f::id_key::view(auth), f::author_key::view(auth), f::id_key_signature::view(auth),
                                     {"id_auth.author_key", id_auth_check::id_key_signature}));
        keys.author_key_digest = sha384(f::author_key::view(auth));
    }
    return keys;
}

} // namespace cvmin
