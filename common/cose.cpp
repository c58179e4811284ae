#include "common/cose.hpp"

namespace cvmin::cose {

namespace {

// Both headers of a message. RFC 9052, 3: a label may not occur twice, in one map or in both; what `crit` names must be
// understood, and we understand nothing that would be named there.
Result<void> check_headers(ByteView protected_header, ByteView unprotected, cbor::Form form) {
    cbor::Cursor cursor(protected_header, max_header_size, "cose.protected", form);
    bool has_alg = false;
    for (std::size_t left = cursor.map(); left > 0 && cursor.ok(); --left) {
        const auto key = cursor.key();
        if (key == label::crit) {
            cursor.at("cose.crit");
            cursor.refuse(Errc::unsupported);
        } else if (key == label::alg) {
            cursor.at("cose.alg");
            has_alg = true;
            if (cursor.integer() != es384)
                cursor.refuse(Errc::unsupported);
            cursor.at("cose.protected");
        } else {
            cursor.skip_item();
        }
        if (key && find_member(unprotected, *key))
            cursor.refuse(Errc::malformed);
    }
    CVMIN_CHECK(cursor.finish());
    if (!has_alg)
        return fail(Errc::missing, "cose.alg");
    return {};
}

constexpr std::byte empty_map{0xa0};

} // namespace

std::optional<ByteView> find_member(ByteView header, std::int64_t label) {
    cbor::Cursor cursor(header, max_header_size, "cose.header");
    for (std::size_t left = cursor.map(); left > 0 && cursor.ok(); --left) {
        const auto key = cursor.key();
        const ByteView item = cursor.skip_item();
        if (key == label && cursor.ok())
            return item;
    }
    return std::nullopt;
}

Result<Sign1> parse_sign1(ByteView message, std::size_t limit) {
    cbor::Cursor cursor(message, limit, "cose");
    cursor.at("cose.tag");
    cursor.expect_tag(sign1_tag);
    cursor.at("cose");
    cursor.array(4, 4);
    Sign1 out{};
    cursor.at("cose.protected");
    out.protected_header = cursor.bytes(1, max_header_size);
    cursor.at("cose.unprotected");
    if (!cursor.is(cbor::Major::map))
        cursor.refuse(Errc::malformed);
    out.unprotected = cursor.skip_item();
    if (out.unprotected.size() > max_header_size)
        cursor.refuse(Errc::too_large);
    cursor.at("cose.payload");
    if (cursor.is(cbor::Major::simple)) // nil: detached
        cursor.refuse(Errc::unsupported);
    out.payload = cursor.bytes(0, limit);
    cursor.at("cose.signature");
    const ByteView signature = cursor.bytes(sizeof(P384Signature), sizeof(P384Signature));
    CVMIN_CHECK(cursor.finish());
    std::ranges::copy(signature, out.signature.begin());
    CVMIN_CHECK(check_headers(out.protected_header, out.unprotected, cbor::Form::any));
    return out;
}

Bytes sig_structure(ByteView protected_header, ByteView payload) {
    cbor::Writer writer(protected_header.size() + payload.size() + 32);
    writer.array(4);
    writer.text("Signature1");
    writer.bytes(protected_header);
    writer.bytes({}); // external_aad
    writer.bytes(payload);
    return writer.finish();
}

Result<void> verify_sign1(const Sign1 &message, const PublicKey &key) {
    return verify_p384(key, sha384(sig_structure(message.protected_header, message.payload)), message.signature,
                       "cose.signature");
}

Result<Bytes> make_sign1(ByteView protected_header, ByteView payload, const P384PrivateKey &key, RandomSource random,
                         void *context) {
    CVMIN_CHECK(check_headers(protected_header, ByteView{&empty_map, 1}, cbor::Form::deterministic));
    return sign_sign1(protected_header, payload, key, random, context);
}

Result<Bytes> sign_sign1(ByteView protected_header, ByteView payload, const P384PrivateKey &key, RandomSource random,
                         void *context) {
    CVMIN_TRY(signature, key.sign(sha384(sig_structure(protected_header, payload)), random, context));
    cbor::Writer writer(protected_header.size() + payload.size() + signature.size() + 32);
    writer.tag(sign1_tag);
    writer.array(4);
    writer.bytes(protected_header);
    writer.raw(ByteView{&empty_map, 1});
    writer.bytes(payload);
    writer.bytes(signature);
    return writer.finish();
}

} // namespace cvmin::cose
