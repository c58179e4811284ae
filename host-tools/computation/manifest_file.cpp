#include "host-tools/computation/manifest_file.hpp"

#include "common/cose.hpp"
#include "host-tools/base/os.hpp"
#include "host-tools/computation/manifest_json.hpp"

namespace cvmin {

namespace {

constexpr std::byte cose_sign1_head{0xd2}; // tag 18

Bytes encoded_content_type() {
    cbor::Writer writer(64);
    writer.text(manifest_content_type);
    return writer.finish();
}

} // namespace

ManifestForm form_of(ByteView bytes) {
    if (!bytes.empty() && bytes.front() == cose_sign1_head)
        return ManifestForm::signed_cbor;
    // a CBOR map of a few members begins with 0xa0 to 0xb7, which no JSON does
    const bool map = !bytes.empty() && (bytes.front() & std::byte{0xe0}) == std::byte{0xa0};
    return map ? ManifestForm::cbor : ManifestForm::json;
}

Explained<ManifestFile> read_manifest(ByteView bytes, std::string_view name, const PublicKey *signer) {
    const std::string file{name};
    ManifestFile out;
    out.form = form_of(bytes);
    if (out.form == ManifestForm::signed_cbor && signer == nullptr)
        return explain(Errc::usage, file + ": is signed: say by whom (cvmin manifest check --signer KEY)");
    if (out.form != ManifestForm::signed_cbor && signer != nullptr)
        return explain(Errc::usage, file + ": is not signed");
    if (out.form == ManifestForm::json) {
        auto written = parse_manifest_json(bytes);
        if (!written) {
            const auto &mistakes = written.error();
            std::string text = file + ": " + to_string(mistakes.front());
            if (mistakes.size() > 1)
                text += " (and " + std::to_string(mistakes.size() - 1) + " more: cvmin manifest check)";
            return explain(Errc::malformed, std::move(text));
        }
        out.manifest = std::move(written->manifest);
        out.encoded = std::move(written->encoded);
        out.digest = manifest_digest(out.encoded);
        return out;
    }
    ByteView encoded = bytes;
    if (out.form == ManifestForm::signed_cbor) {
        const auto opened = open_signed_manifest(bytes, *signer);
        if (!opened)
            return explain(opened.error(), file);
        encoded = *opened;
    }
    auto manifest = parse_manifest(encoded);
    if (!manifest)
        return explain(manifest.error(), file);
    out.manifest = std::move(*manifest);
    out.encoded = to_bytes(encoded);
    out.digest = manifest_digest(encoded);
    return out;
}

Explained<ManifestFile> load_manifest(const std::filesystem::path &path, const PublicKey *signer) {
    const auto bytes = read_file(path, max_manifest_json_size);
    if (!bytes)
        return explain(bytes.error(), path.native());
    return read_manifest(*bytes, path.native(), signer);
}

Result<Bytes> sign_manifest(ByteView encoded, const P384PrivateKey &key) {
    CVMIN_TRY(manifest, parse_manifest(encoded));
    CVMIN_TRY(public_key, key.public_key());
    if (find_party(manifest, public_key) == nullptr)
        return fail(Errc::mismatch, "manifest.party.key");
    cbor::Writer header(64);
    header.map(2);
    header.integer(cose::label::alg);
    header.integer(cose::es384);
    header.integer(cose::label::content_type);
    header.text(manifest_content_type);
    return cose::make_sign1(header.finish(), encoded, key, rfc6979_nonce, nullptr);
}

Result<ByteView> open_signed_manifest(ByteView message, const PublicKey &signer) {
    CVMIN_TRY(sign1, cose::parse_sign1(message, max_signed_manifest_size));
    // the same key may sign other things, which must not pass for this
    const auto type = cose::find_member(sign1.protected_header, cose::label::content_type);
    if (!type || !equal(*type, encoded_content_type()))
        return fail(Errc::unsupported, "cose.content_type");
    CVMIN_CHECK(cose::verify_sign1(sign1, signer));
    return sign1.payload;
}

} // namespace cvmin
