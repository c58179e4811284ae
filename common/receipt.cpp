#include "common/receipt.hpp"

#include "common/cbor.hpp"

namespace cvmin {

namespace {

namespace key {
constexpr std::int64_t version = 1;
constexpr std::int64_t manifest = 2;
constexpr std::int64_t program = 3;
constexpr std::int64_t datasets = 4;
constexpr std::int64_t output = 5;
constexpr std::int64_t log = 6;
constexpr std::int64_t wait_status = 7;
constexpr std::int64_t runtime_log = 8;
constexpr std::size_t count = 8;
constexpr std::int64_t body = 1; // of the payload
constexpr std::int64_t evidence = 2;
} // namespace key

constexpr std::size_t output_entry_size = max_output_name_size + 64; // name, size, digest

} // namespace

Sha256Digest output_digest(const std::vector<response::OutputFile> &outputs) {
    cbor::Encoder out(outputs.size() * output_entry_size + 8);
    out.open_array(outputs.size());
    for (const response::OutputFile &output : outputs) {
        out.open_array(3);
        out.text(output.name);
        out.unsigned_integer(output.size);
        out.bytes(output.sha256);
        out.close();
    }
    out.close();
    return sha256(out.finish());
}

Bytes encode_receipt_body(const ReceiptBody &body) {
    cbor::Encoder out(max_receipt_body_size);
    const auto digest = [&](std::int64_t at, ByteView value) {
        out.integer(at);
        out.bytes(value);
    };
    out.open_map(key::count);
    out.integer(key::version);
    out.unsigned_integer(receipt_version);
    digest(key::manifest, body.manifest);
    digest(key::program, body.program);
    out.integer(key::datasets);
    out.open_array(body.datasets.size());
    for (const ReceiptDataset &dataset : body.datasets) {
        out.open_array(2);
        out.text(dataset.name);
        out.bytes(dataset.sha256);
        out.close();
    }
    out.close();
    digest(key::output, body.output);
    digest(key::log, body.log);
    out.integer(key::wait_status);
    out.unsigned_integer(body.wait_status);
    digest(key::runtime_log, body.runtime_log);
    out.close();
    return out.finish();
}

Result<ReceiptBody> parse_receipt_body(ByteView bytes) {
    cbor::Decoder in(bytes, max_receipt_body_size, "receipt.body");
    ReceiptBody body;
    in.open_map();
    in.member(key::version, "receipt.version");
    in.expect_integer(receipt_version, Errc::unsupported);
    in.member(key::manifest, "receipt.manifest");
    body.manifest = in.array<32>();
    in.member(key::program, "receipt.program");
    body.program = in.array<32>();
    in.member(key::datasets, "receipt.datasets");
    if (in.open_array() > max_datasets)
        in.refuse(Errc::too_large);
    while (in.more()) {
        ReceiptDataset dataset;
        in.open_array(2);
        dataset.name = in.text(1, max_manifest_name_size);
        if (in.ok() && !is_manifest_name(dataset.name))
            in.refuse(Errc::out_of_range);
        if (!body.datasets.empty() && dataset.name <= body.datasets.back().name)
            in.refuse(Errc::malformed);
        dataset.sha256 = in.array<32>();
        in.close();
        body.datasets.push_back(std::move(dataset));
    }
    in.close();
    in.member(key::output, "receipt.output");
    body.output = in.array<32>();
    in.member(key::log, "receipt.log");
    body.log = in.array<32>();
    in.member(key::wait_status, "receipt.wait_status");
    body.wait_status = in.unsigned_integer();
    in.member(key::runtime_log, "receipt.runtime_log");
    body.runtime_log = in.array<48>();
    in.close();
    CVMIN_CHECK(in.finish());
    return body;
}

Result<Bytes> make_receipt(ByteView body, ByteView evidence, const P384PrivateKey &key, RandomSource random,
                           void *context) {
    cbor::Encoder header(64);
    header.open_map(2);
    header.integer(cose::label::alg);
    header.integer(cose::es384);
    header.integer(cose::label::content_type);
    header.text(receipt_content_type);
    header.close();
    cbor::Encoder payload(body.size() + evidence.size() + 32);
    payload.open_map(2);
    payload.integer(key::body);
    payload.bytes(body);
    payload.integer(key::evidence);
    payload.bytes(evidence);
    payload.close();
    return cose::sign_sign1(header.finish(), payload.finish(), key, random, context);
}

Result<Receipt> parse_receipt(ByteView bytes) {
    CVMIN_TRY(sign1, cose::parse_sign1(bytes, max_receipt_size));
    Receipt receipt;
    cbor::Decoder in(sign1.payload, max_receipt_size, "receipt.payload");
    in.open_map();
    in.member(key::body, "receipt.body");
    receipt.body_bytes = to_bytes(in.bytes(1, max_receipt_body_size));
    in.member(key::evidence, "receipt.evidence");
    receipt.evidence = to_bytes(in.bytes(1, max_evidence_size));
    in.close();
    CVMIN_CHECK(in.finish());
    CVMIN_TRY(body, parse_receipt_body(receipt.body_bytes));
    receipt.body = std::move(body);
    CVMIN_TRY(evidence, parse_evidence(receipt.evidence));
    CVMIN_TRY(claims, parse_claims(evidence.claims));
    CVMIN_CHECK(cose::verify_sign1(sign1, claims.key));
    if (!equal(claims.nonce, sha256(receipt.body_bytes)))
        return fail(Errc::mismatch, "receipt.nonce");
    if (claims.exporter)
        return fail(Errc::mismatch, "receipt.exporter");
    if (claims.manifest != receipt.body.manifest)
        return fail(Errc::mismatch, "receipt.manifest");
    if (claims.runtime_log != receipt.body.runtime_log)
        return fail(Errc::mismatch, "receipt.runtime_log");
    return receipt;
}

} // namespace cvmin
