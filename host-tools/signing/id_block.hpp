// ID block of a launch and its authentication. AMD 56860, SNP_LAUNCH_FINISH, tables ID_BLOCK and ID_AUTH_INFO.
// Encodes, decodes, signs and verifies; what the block must agree with is the launch's business (qemu/emulated_sp.hpp).
#pragma once

#include "common/bytes.hpp"
#include "common/hash.hpp"
#include "common/p384.hpp"

#include <optional>

namespace cvmin {

inline constexpr std::size_t id_block_size = 96;
inline constexpr std::size_t id_auth_size = 4096;
inline constexpr std::size_t snp_public_key_size = 1028;
inline constexpr std::uint32_t id_block_version = 1;

struct IdBlock {
    Sha384Digest launch_digest;
    ByteArray<16> family_id, image_id;
    std::uint32_t version, guest_svn;
    std::uint64_t policy;
    friend bool operator==(const IdBlock &, const IdBlock &) = default;
};
ByteArray<id_block_size> encode_id_block(const IdBlock &block);
// truncated, trailing. A version other than 1 is decoded: refusing it is the launch's business.
Result<IdBlock> parse_id_block(ByteView raw);

namespace id_auth_check { // where errors of verify_id_auth say that a signature does not hold
inline constexpr std::string_view id_block_signature = "id_auth.id_block_signature";
inline constexpr std::string_view id_key_signature = "id_auth.id_key_signature";
} // namespace id_auth_check

struct IdKeys { // SHA-384 of the 1028-byte public keys, as the report carries them
    Sha384Digest id_key_digest{};
    std::optional<Sha384Digest> author_key_digest; // when the author key is enabled
};
// The ID key signed `block`; with `author_key_enabled` the author key signed the ID key.
// truncated, trailing; unsupported: algorithm or curve; out_of_range: r, s or a coordinate; mismatch: a signature.
Result<IdKeys> verify_id_auth(ByteView auth, ByteView block, bool author_key_enabled);

// A public key as the firmware takes it, and the digest by which reports name it (ID_KEY_DIGEST, AUTHOR_KEY_DIGEST).
ByteArray<snp_public_key_size> snp_public_key(const PublicKey &key);
Sha384Digest snp_key_digest(const PublicKey &key);

// ID_AUTH_INFO: `id_key` signs the block, `author_key` (may be null) signs the ID key. What comes out was verified.
// crypto; and the errors of verify_id_auth.
Result<Bytes> sign_id_auth(ByteView block, const P384PrivateKey &id_key, const P384PrivateKey *author_key);
// Whether there is an author key in it, that is, what the launch must be told about AUTHOR_KEY_EN. `auth` has the right
// size.
bool id_auth_has_author(ByteView auth);
// Digests of the keys in it, as reports would name them; nothing is verified. `auth` has the right size.
IdKeys id_auth_claims(ByteView auth);

} // namespace cvmin
