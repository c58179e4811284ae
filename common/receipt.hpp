// The receipt of a computation: what ran on what and gave what, signed by the key that the CVM's evidence is about.
//   COSE_Sign1 (cose.hpp) by the agent's attested key over { 1: body, 2: evidence }
// The evidence's nonce is the SHA-256 of the body, so the report itself vouches for it: who has the image's reference
// values needs nothing else. Described in protocol.cddl. No I/O; whether the evidence convinces is appraisal's.
#pragma once

#include "common/cose.hpp"
#include "common/evidence.hpp"
#include "common/protocol.hpp"

namespace cvmin {

inline constexpr std::uint64_t receipt_version = 1;
inline constexpr std::string_view receipt_content_type = "application/vnd.cvmin.receipt+cbor";
inline constexpr std::size_t max_receipt_body_size = 4096; // 16 datasets at their largest need under 2,000
inline constexpr std::size_t max_receipt_size = max_evidence_size + max_receipt_body_size + 1024;

struct ReceiptDataset {
    std::string name; // is_manifest_name()
    Sha256Digest sha256{};
    friend bool operator==(const ReceiptDataset &, const ReceiptDataset &) = default;
};

struct ReceiptBody {
    Sha256Digest manifest{}; // manifest_digest
    Sha256Digest program{};
    std::vector<ReceiptDataset> datasets; // by name, each once; at most max_datasets
    Sha256Digest output{};                // output_digest
    Sha256Digest log{};                   // of what the program wrote to standard output and error, as it is kept
    std::uint64_t wait_status = 0;
    Sha384Digest runtime_log{}; // head of the runtime log when the receipt was made
    friend bool operator==(const ReceiptBody &, const ReceiptBody &) = default;
};

// SHA-256 over canonical CBOR [[name, size, SHA-256], ...], which is sorted by name.
Sha256Digest output_digest(const std::vector<response::OutputFile> &outputs);

Bytes encode_receipt_body(const ReceiptBody &body);
// malformed: not canonical CBOR, unknown or missing member, names out of order; unsupported: version; out_of_range: a
// length or name; too_large.
Result<ReceiptBody> parse_receipt_body(ByteView bytes);

// The errors of P384PrivateKey::sign.
Result<Bytes> make_receipt(ByteView body, ByteView evidence, const P384PrivateKey &key, RandomSource random,
                           void *context);

struct Receipt {
    ReceiptBody body;
    Bytes body_bytes;
    Bytes evidence; // encode_evidence; its claims are whole and those of this receipt
};
// A receipt that is one in itself: its signature is by the key of the claims, and the claims are about this body.
// Besides the errors of what it consists of: mismatch: signature; receipt.nonce, receipt.manifest, receipt.runtime_log:
// claims and body differ; receipt.exporter: evidence for a connection, not for a receipt. What is left is to appraise
// the evidence with sha256(body_bytes) as nonce and no channel.
Result<Receipt> parse_receipt(ByteView bytes);

} // namespace cvmin
