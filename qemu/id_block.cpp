// Decoding of ID_BLOCK and ID_AUTH_INFO, and their ECDSA P-384 signatures.
#include "qemu/id_block.hpp"

#include "qemu/mbed.hpp"

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

Result<void> verify_signature(ByteView message, ByteView key, ByteView signature, const Places &where) {
    if (key_field::curve::le(key) != curve_p384)
        return fail(Errc::unsupported, where.key, key_field::curve::le(key));
    MbedGroup group;
    MbedPoint point;
    MbedMpi r, s;
    CVMIN_MBED(where.key, mbedtls_ecp_group_load(group.get(), MBEDTLS_ECP_DP_SECP384R1));
    // the point by way of its uncompressed form, which mbedTLS reads; a coordinate has 48 bytes, the rest must be zero
    ByteArray<97> uncompressed{std::byte{4}};
    const ByteView x = key_field::x::view(key);
    const ByteView y = key_field::y::view(key);
    if (!all_zero(x.subspan(48)) || !all_zero(y.subspan(48)))
        return fail(Errc::out_of_range, where.key);
    std::ranges::reverse_copy(x.first(48), uncompressed.begin() + 1);
    std::ranges::reverse_copy(y.first(48), uncompressed.begin() + 49);
    if (mbedtls_ecp_point_read_binary(group.get(), point.get(), u8(ByteView{uncompressed}), uncompressed.size()) != 0 ||
        mbedtls_ecp_check_pubkey(group.get(), point.get()) != 0)
        return fail(Errc::out_of_range, where.key);
    const ByteView r_bytes = signature_field::r::view(signature);
    const ByteView s_bytes = signature_field::s::view(signature);
    CVMIN_MBED(where.signature, mbedtls_mpi_read_binary_le(r.get(), u8(r_bytes), r_bytes.size()));
    CVMIN_MBED(where.signature, mbedtls_mpi_read_binary_le(s.get(), u8(s_bytes), s_bytes.size()));
    const Sha384Digest digest = sha384(message);
    // refuses r and s outside of 1..n-1 too
    if (mbedtls_ecdsa_verify(group.get(), u8(ByteView{digest}), digest.size(), point.get(), r.get(), s.get()) != 0)
        return fail(Errc::mismatch, where.signature);
    return {};
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

Result<IdKeys> verify_id_auth(ByteView auth, ByteView block, bool author_key_enabled) {
    namespace f = auth_field;
    CVMIN_CHECK(exact_size(auth, id_auth_size, "id_auth"));
    CVMIN_CHECK(exact_size(block, id_block_size, "id_block"));
    if (f::id_key_algo::le(auth) != algorithm_ecdsa_p384_sha384)
        return fail(Errc::unsupported, "id_auth.id_key_algo", f::id_key_algo::le(auth));
    CVMIN_CHECK(verify_signature(block, f::id_key::view(auth), f::id_block_signature::view(auth),
                                 {"id_auth.id_key", "id_auth.id_block_signature"}));
    IdKeys keys{.id_key_digest = sha384(f::id_key::view(auth)), .author_key_digest = {}};
    if (author_key_enabled) {
        if (f::author_key_algo::le(auth) != algorithm_ecdsa_p384_sha384)
            return fail(Errc::unsupported, "id_auth.author_key_algo", f::author_key_algo::le(auth));
        CVMIN_CHECK(verify_signature(f::id_key::view(auth), f::author_key::view(auth), f::id_key_signature::view(auth),
                                     {"id_auth.author_key", "id_auth.id_key_signature"}));
        keys.author_key_digest = sha384(f::author_key::view(auth));
    }
    return keys;
}

} // namespace cvmin
