#include "common/claims.hpp"

#include "common/cbor.hpp"

namespace cvmin {

namespace {

// CBOR map keys, in canonical order.
namespace claim { // RFC 9711, IANA "CWT Claims"; negative ones are private
constexpr std::int64_t cnf = 8;
constexpr std::int64_t eat_nonce = 10;
constexpr std::int64_t eat_profile = 265;
constexpr std::int64_t tls_exporter = -70001;
constexpr std::int64_t runtime_log = -70002;
constexpr std::int64_t manifest = -70003;
constexpr std::int64_t ak = -70004;
constexpr std::size_t count = 7;
} // namespace claim
namespace confirmation { // RFC 8747, 3.1
constexpr std::int64_t cose_key = 1;
}
namespace cose_key { // RFC 9053, 7.1.1
constexpr std::int64_t kty = 1;
constexpr std::int64_t crv = -1;
constexpr std::int64_t x = -2;
constexpr std::int64_t y = -3;
constexpr std::int64_t kty_ec2 = 2;
constexpr std::int64_t crv_p384 = 2;
} // namespace cose_key

} // namespace

Bytes encode_claims(const Claims &claims) {
    cbor::Encoder out(512);
    out.open_map(claim::count);
    out.integer(claim::cnf);
    out.open_map(1);
    out.integer(confirmation::cose_key);
    out.open_map(4);
    out.integer(cose_key::kty);
    out.integer(cose_key::kty_ec2);
    out.integer(cose_key::crv);
    out.integer(cose_key::crv_p384);
    out.integer(cose_key::x);
    out.bytes(claims.key.x);
    out.integer(cose_key::y);
    out.bytes(claims.key.y);
    out.close();
    out.close();
    out.integer(claim::eat_nonce);
    out.bytes(claims.nonce);
    out.integer(claim::eat_profile);
    out.text(claims_profile);
    out.integer(claim::tls_exporter);
    out.bytes_or_null(claims.exporter);
    out.integer(claim::runtime_log);
    out.bytes_or_null(claims.runtime_log);
    out.integer(claim::manifest);
    out.bytes_or_null(claims.manifest);
    out.integer(claim::ak);
    out.bytes_or_null(claims.ak);
    out.close();
    return out.finish();
}

Result<Claims> parse_claims(ByteView bytes) {
    Claims claims;
    cbor::Decoder in(bytes, max_claims_size, "claims");
    in.open_map();
    in.member(claim::cnf, "claims.cnf");
    in.open_map();
    in.member(confirmation::cose_key, "claims.cnf");
    in.open_map();
    in.member(cose_key::kty, "claims.cnf.kty");
    in.expect_integer(cose_key::kty_ec2, Errc::unsupported);
    in.member(cose_key::crv, "claims.cnf.crv");
    in.expect_integer(cose_key::crv_p384, Errc::unsupported);
    in.member(cose_key::x, "claims.cnf.x");
    claims.key.x = in.array<48>();
    in.member(cose_key::y, "claims.cnf.y");
    claims.key.y = in.array<48>();
    in.close();
    in.close();
    in.member(claim::eat_nonce, "claims.eat_nonce");
    claims.nonce = to_bytes(in.bytes(min_nonce_size, max_nonce_size));
    in.member(claim::eat_profile, "claims.eat_profile");
    in.expect_text(claims_profile, Errc::unsupported);
    in.member(claim::tls_exporter, "claims.tls-exporter");
    claims.exporter = in.array_or_null<exporter_size>();
    in.member(claim::runtime_log, "claims.runtime-log");
    claims.runtime_log = in.array_or_null<48>();
    in.member(claim::manifest, "claims.manifest");
    claims.manifest = in.array_or_null<32>();
    in.member(claim::ak, "claims.ak");
    claims.ak = in.array_or_null<32>();
    in.close();
    CVMIN_CHECK(in.finish());
    return claims;
}

Sha512Digest report_data_for(ByteView claims_bytes) {
    return sha512(claims_bytes);
}

} // namespace cvmin
