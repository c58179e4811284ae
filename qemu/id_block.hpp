// ID block of a launch and its authentication. AMD 56860, SNP_LAUNCH_FINISH, tables ID_BLOCK and ID_AUTH_INFO.
// Decodes and verifies signatures; what the block must agree with is the launch's business (emulated_sp.hpp).
#pragma once

#include "common/bytes.hpp"
#include "common/hash.hpp"

#include <optional>

namespace cvmin {

inline constexpr std::size_t id_block_size = 96;
inline constexpr std::size_t id_auth_size = 4096;
inline constexpr std::uint32_t id_block_version = 1;

struct IdBlock {
    Sha384Digest launch_digest;
    ByteArray<16> family_id, image_id;
    std::uint32_t version, guest_svn;
    std::uint64_t policy;
};
// truncated, trailing. A version other than 1 is decoded: refusing it is the launch's business.
Result<IdBlock> parse_id_block(ByteView raw);

struct IdKeys { // SHA-384 of the 1028-byte public keys, as the report carries them
    Sha384Digest id_key_digest{};
    std::optional<Sha384Digest> author_key_digest; // when the author key is enabled
};
// The ID key signed `block`; with `author_key_enabled` the author key signed the ID key.
// truncated, trailing; unsupported: algorithm or curve; out_of_range: r, s or a coordinate; mismatch: a signature.
Result<IdKeys> verify_id_auth(ByteView auth, ByteView block, bool author_key_enabled);

} // namespace cvmin
