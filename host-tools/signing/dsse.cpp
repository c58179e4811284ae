#include "host-tools/signing/dsse.hpp"

#include "host-tools/base/json.hpp"
#include "host-tools/signing/key_file.hpp"

namespace cvmin {

static constexpr std::byte der_integer{0x02}, der_sequence{0x30};

Bytes dsse_pre_authentication_encoding(std::string_view type, ByteView payload) {
    const std::string head =
        "DSSEv1 " + std::to_string(type.size()) + " " + std::string{type} + " " + std::to_string(payload.size()) + " ";
    Bytes out = to_bytes(as_bytes(head));
    out.insert(out.end(), payload.begin(), payload.end());
    return out;
}

Bytes signature_to_der(const P384Signature &signature) {
    Bytes numbers;
    for (const std::size_t at : {std::size_t{0}, p384_scalar_size}) {
        ByteView number = ByteView{signature}.subspan(at, p384_scalar_size);
        while (number.size() > 1 && number.front() == std::byte{0})
            number = number.subspan(1);
        const bool high = (number.front() & std::byte{0x80}) != std::byte{0}; // would be read as negative
        numbers.push_back(der_integer);
        numbers.push_back(static_cast<std::byte>(number.size() + (high ? 1 : 0)));
        if (high)
            numbers.push_back(std::byte{0});
        numbers.insert(numbers.end(), number.begin(), number.end());
    }
    Bytes out{der_sequence, static_cast<std::byte>(numbers.size())}; // at most 102: the short form of a length
    out.insert(out.end(), numbers.begin(), numbers.end());
    return out;
}

Result<P384Signature> signature_from_der(ByteView der) {
    static constexpr std::string_view where = "dsse.signature";
    Reader reader{der};
    reader.take(2); // a sequence and its length: compared below, with everything else
    P384Signature out{};
    for (const std::size_t at : {std::size_t{0}, p384_scalar_size}) {
        reader.take(1);
        ByteView number = reader.take(reader.le(1));
        if (!number.empty() && number.front() == std::byte{0})
            number = number.subspan(1);
        if (number.size() > p384_scalar_size)
            return fail(Errc::malformed, where);
        std::ranges::copy(number, out.begin() + static_cast<std::ptrdiff_t>(at + p384_scalar_size - number.size()));
    }
    if (!reader.finish(where) || !equal(signature_to_der(out), der))
        return fail(Errc::malformed, where);
    return out;
}

// ECDSA takes a digest as an integer, so a shorter one is the same with zeros before it.
static Sha384Digest as_integer(const Sha256Digest &digest) {
    Sha384Digest out{};
    std::ranges::copy(digest, out.end() - digest.size());
    return out;
}

Result<std::string> sign_dsse(std::string_view type, ByteView payload, const P384PrivateKey &key, RandomSource random,
                              void *context) {
    CVMIN_TRY(public_key, key.public_key());
    const std::string keyid = hex(sha256(public_key_der(public_key)));
    const Bytes encoding = dsse_pre_authentication_encoding(type, payload);
    Json signatures = Json::array();
    for (const Sha384Digest &digest : {sha384(encoding), as_integer(sha256(encoding))}) {
        CVMIN_TRY(signature, key.sign(digest, random, context));
        signatures.push_back({{"keyid", keyid}, {"sig", base64(signature_to_der(signature))}});
    }
    const Json envelope{{"payload", base64(payload)}, {"payloadType", type}, {"signatures", std::move(signatures)}};
    std::string line = envelope.dump() + "\n";
    if (line.size() > max_dsse_size)
        return fail(Errc::too_large, "dsse", line.size());
    return line;
}

Result<Bytes> verify_dsse(ByteView envelope, std::string_view type, const PublicKey &key) {
    if (envelope.size() > max_dsse_size)
        return fail(Errc::too_large, "dsse", envelope.size());
    CVMIN_TRY(json, parse_json(envelope, "dsse"));
    CVMIN_TRY(found_type, json_string(json, "payloadType", "dsse.payloadType"));
    if (found_type != type)
        return fail(Errc::unsupported, "dsse.payloadType");
    CVMIN_TRY(text, json_string(json, "payload", "dsse.payload"));
    CVMIN_TRY(payload, parse_base64(text, "dsse.payload"));
    if (!json.contains("signatures"))
        return fail(Errc::missing, "dsse.signatures");
    const Json &signatures = json["signatures"];
    if (!signatures.is_array())
        return fail(Errc::malformed, "dsse.signatures");
    if (signatures.size() > max_dsse_signatures)
        return fail(Errc::too_large, "dsse.signatures", signatures.size());
    const Sha384Digest digest = sha384(dsse_pre_authentication_encoding(type, payload));
    for (const Json &one : signatures) {
        CVMIN_TRY(sig, json_string(one, "sig", "dsse.signature"));
        CVMIN_TRY(der, parse_base64(sig, "dsse.signature"));
        // a signature of another kind is somebody else's
        if (const auto signature = signature_from_der(der);
            signature && verify_p384(key, digest, *signature, "dsse.signature"))
            return payload;
    }
    return fail(Errc::mismatch, "dsse.signatures");
}

} // namespace cvmin
