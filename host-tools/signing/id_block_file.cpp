// Files with ID blocks. Strict: what a block says and what stands beside it must agree.
#include "host-tools/signing/id_block_file.hpp"

#include <cstdio>
#include <set>

namespace cvmin {

namespace {

std::string hex_policy(std::uint64_t policy) {
    char text[19];
    std::snprintf(text, sizeof text, "0x%llx", static_cast<unsigned long long>(policy));
    return text;
}

Result<void> only_these_members(const Json &object, std::initializer_list<std::string_view> names,
                                std::string_view where) {
    const std::set<std::string_view> known{names};
    for (const auto &[member, value] : object.items())
        if (!known.contains(member))
            return fail(Errc::malformed, where);
    return {};
}

Result<IdBlockOf> parse_entry(const Json &json) {
    CVMIN_CHECK(only_these_members(json, {"launch_digest", "vcpus", "vcpu_type", "id_block", "id_auth"},
                                   "id_blocks: member of a block"));
    CVMIN_TRY(digest_text, json_string(json, "launch_digest", "id_blocks.launch_digest"));
    CVMIN_TRY(digest, parse_hex_exactly<sizeof(Sha384Digest)>(digest_text, "id_blocks.launch_digest"));
    CVMIN_TRY(raw_text, json_string(json, "id_block", "id_blocks.id_block"));
    CVMIN_TRY(raw, parse_base64(raw_text, "id_blocks.id_block"));
    CVMIN_TRY(auth_text, json_string(json, "id_auth", "id_blocks.id_auth"));
    CVMIN_TRY(auth, parse_base64(auth_text, "id_blocks.id_auth"));
    IdBlockOf out;
    CVMIN_TRY(signed_block, make_signed_id_block(raw, auth));
    out.signed_block = std::move(signed_block);
    if (out.signed_block.block.launch_digest != digest)
        return fail(Errc::mismatch, "id_blocks.launch_digest (and the digest in its id_block)");
    if (json.contains("vcpus")) {
        CVMIN_TRY(vcpus, json_unsigned(json, "vcpus", "id_blocks.vcpus"));
        if (vcpus == 0 || vcpus > 0xffff)
            return fail(Errc::out_of_range, "id_blocks.vcpus", vcpus);
        out.vcpus = static_cast<unsigned>(vcpus);
        CVMIN_TRY(type, json_string(json, "vcpu_type", "id_blocks.vcpu_type"));
        out.vcpu_type = std::move(type);
    }
    return out;
}

} // namespace

Result<SignedIdBlock> make_signed_id_block(ByteView raw, ByteView auth) {
    CVMIN_TRY(block, parse_id_block(raw));
    if (auth.size() < id_auth_size)
        return fail(Errc::truncated, "id_auth", auth.size());
    if (auth.size() > id_auth_size)
        return fail(Errc::trailing, "id_auth", id_auth_size);
    return SignedIdBlock{block, to_bytes(raw), to_bytes(auth)};
}

Result<SignedIdBlock> sign_id_block(const IdBlock &block, const P384PrivateKey &id_key,
                                    const P384PrivateKey *author_key) {
    const auto raw = encode_id_block(block);
    CVMIN_TRY(auth, sign_id_auth(raw, id_key, author_key));
    return make_signed_id_block(raw, auth);
}

Result<Bytes> parse_raw_or_base64(ByteView text, std::size_t size, std::string_view where) {
    if (text.size() == size)
        return to_bytes(text);
    std::string_view digits = as_text(text);
    constexpr std::string_view blank = " \t\r\n";
    digits.remove_prefix(std::min(digits.find_first_not_of(blank), digits.size()));
    digits = digits.substr(0, digits.find_last_not_of(blank) + 1);
    CVMIN_TRY(bytes, parse_base64(digits, where));
    if (bytes.size() < size)
        return fail(Errc::truncated, where, bytes.size());
    if (bytes.size() > size)
        return fail(Errc::trailing, where, size);
    return bytes;
}

Json to_json(const std::vector<IdBlockOf> &blocks) {
    const IdBlock &first = blocks.at(0).signed_block.block;
    const IdKeys keys = id_auth_claims(blocks.front().signed_block.auth);
    Json json = {{"schema", id_blocks_schema},
                 {"kind", id_blocks_kind},
                 {"id_key_digest", hex(keys.id_key_digest)},
                 {"author_key_digest", keys.author_key_digest ? Json(hex(*keys.author_key_digest)) : Json(nullptr)},
                 {"family_id", hex(first.family_id)},
                 {"image_id", hex(first.image_id)},
                 {"guest_svn", first.guest_svn},
                 {"policy", hex_policy(first.policy)},
                 {"blocks", Json::array()}};
    for (const IdBlockOf &entry : blocks) {
        Json one = {{"launch_digest", hex(entry.signed_block.block.launch_digest)}};
        if (entry.vcpus != 0) {
            one["vcpus"] = entry.vcpus;
            one["vcpu_type"] = entry.vcpu_type;
        }
        one["id_block"] = base64(entry.signed_block.raw);
        one["id_auth"] = base64(entry.signed_block.auth);
        json["blocks"].push_back(std::move(one));
    }
    return json;
}

Result<std::vector<IdBlockOf>> parse_id_blocks(ByteView text) {
    CVMIN_TRY(json, parse_json(text, "id_blocks"));
    CVMIN_TRY(schema, json_unsigned(json, "schema", "id_blocks.schema"));
    if (schema != id_blocks_schema)
        return fail(Errc::unsupported, "id_blocks.schema", schema);
    CVMIN_TRY(kind, json_string(json, "kind", "id_blocks.kind"));
    if (kind != id_blocks_kind)
        return fail(Errc::unsupported, "id_blocks.kind");
    const auto list = json.find("blocks");
    if (list == json.end())
        return fail(Errc::missing, "id_blocks.blocks");
    if (!list->is_array())
        return fail(Errc::malformed, "id_blocks.blocks");
    if (list->empty() || list->size() > max_id_blocks)
        return fail(Errc::out_of_range, "id_blocks.blocks", list->size());
    std::vector<IdBlockOf> blocks;
    for (const Json &entry : *list) {
        CVMIN_TRY(block, parse_entry(entry));
        blocks.push_back(std::move(block));
    }
    // what people read at the top of the file is what is in its blocks
    Json wanted = to_json(blocks);
    if (json.size() != wanted.size())
        return fail(Errc::malformed, "id_blocks: number of members");
    for (const auto &[member, value] : wanted.items()) {
        if (member == "blocks")
            continue;
        const auto found = json.find(member);
        if (found == json.end())
            return fail(Errc::missing, "id_blocks: a member");
        if (*found != value)
            return fail(Errc::mismatch, "id_blocks: a member and what is in the blocks");
    }
    const IdBlock &first = blocks.front().signed_block.block;
    const IdKeys keys = id_auth_claims(blocks.front().signed_block.auth);
    for (const IdBlockOf &entry : blocks) {
        IdBlock same = entry.signed_block.block;
        same.launch_digest = first.launch_digest;
        const IdKeys its = id_auth_claims(entry.signed_block.auth);
        if (!(same == first) || its.id_key_digest != keys.id_key_digest ||
            its.author_key_digest != keys.author_key_digest)
            return fail(Errc::mismatch, "id_blocks: one block and the others");
    }
    return blocks;
}

Result<ByteArray<16>> parse_guest_id(std::string_view text, std::string_view where) {
    if (text.starts_with("0x") || text.starts_with("0X"))
        return parse_hex_exactly<16>(text, where);
    ByteArray<16> out{};
    if (text.empty() || text.size() > out.size())
        return fail(Errc::out_of_range, where, text.size());
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] < 0x20 || text[i] > 0x7e)
            return fail(Errc::malformed, where, i);
        out[i] = static_cast<std::byte>(text[i]);
    }
    return out;
}

} // namespace cvmin
