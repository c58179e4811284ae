// ID blocks in files: base64 as QEMU takes it, raw bytes, and id-blocks.json with one block for each launch
// configuration that was signed. Reads and writes text, no files.
#pragma once

#include "host-tools/base/json.hpp"
#include "host-tools/signing/id_block.hpp"

#include <string>
#include <vector>

namespace cvmin {

inline constexpr std::uint64_t id_blocks_schema = 1;
inline constexpr std::string_view id_blocks_kind = "cvmin-id-blocks";
// One block takes 5.8 KiB of text: so many fit into what parse_json takes.
inline constexpr std::size_t max_id_blocks = 128;
inline constexpr std::size_t max_id_block_file = max_json_size;

struct SignedIdBlock {
    IdBlock block;
    Bytes raw;  // id_block_size bytes: what was signed
    Bytes auth; // id_auth_size bytes
    bool author_key_enabled() const { return id_auth_has_author(auth); }
};
// Sizes as above; whether signatures hold is for verify_id_auth, and for the AMD-SP. truncated, trailing.
Result<SignedIdBlock> make_signed_id_block(ByteView raw, ByteView auth);
// Signs. crypto.
Result<SignedIdBlock> sign_id_block(const IdBlock &block, const P384PrivateKey &id_key,
                                    const P384PrivateKey *author_key);

// `size` bytes as they are, or in base64 with white space around it. malformed; truncated, trailing: another size.
Result<Bytes> parse_raw_or_base64(ByteView text, std::size_t size, std::string_view where);

struct IdBlockOf { // a block, and what it was signed for; the digest is what decides
    SignedIdBlock signed_block;
    unsigned vcpus = 0;    // 0: not known (signed over a digest)
    std::string vcpu_type; // empty: not known
};
// The blocks of one call of cvmin sign: same keys, ids, version and policy.
Json to_json(const std::vector<IdBlockOf> &blocks);
// malformed (also an unknown member), missing, unsupported (schema, kind), out_of_range (none, or too many); mismatch:
// a member beside a block says something else than the block.
Result<std::vector<IdBlockOf>> parse_id_blocks(ByteView text);
inline bool looks_like_json(ByteView text) {
    const std::size_t at = as_text(text).find_first_not_of(" \t\r\n");
    return at != std::string_view::npos && as_text(text)[at] == '{';
}

// FAMILY_ID and IMAGE_ID: "0x" and 32 hexadecimal digits are these 16 bytes; anything else is text of 1 to 16 printable
// ASCII characters, padded with zeros. out_of_range: its length; malformed: a digit, or another character.
Result<ByteArray<16>> parse_guest_id(std::string_view text, std::string_view where);

} // namespace cvmin
