// Verification of ECDSA on P-384: the host's implementation and the guest's give the same verdict, and it is the right
// one, on good signatures, on every bit of one changed, and on the edge values that implementations were found wrong
// at.
#include "tests/unit/cmocka.hpp"

#include "common/p384.hpp"
#include "host-tools/base/mbed.hpp"

namespace cvmin {
Result<void> verify_p384_of_the_guest(const PublicKey &key, const Sha384Digest &digest, const P384Signature &signature,
                                      std::string_view where);
}

using namespace cvmin;

namespace {

using Scalar = ByteArray<p384_scalar_size>;

// SEC 2 and FIPS 186: prime of the field, order of the group, generator.
constexpr std::string_view prime =
    "fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffeffffffff0000000000000000ffffffff";
constexpr std::string_view order =
    "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973";
constexpr std::string_view generator_x =
    "aa87ca22be8b05378eb1c71ef320ad746e1d3b628ba79b9859f741e082542a385502f25dbf55296c3a545e3872760ab7";
constexpr std::string_view generator_y =
    "3617de4a96262c6f5d9e98bf9292dc29f8f41dbd289a147ce9da3113b5f0b8c00a60b1ce1d7e819d7a431d7c90ea0e5f";

Scalar scalar(std::string_view text) {
    return parse_hex_exactly<p384_scalar_size>(text, "test").value();
}
Scalar number(unsigned value) {
    Scalar out{};
    out[p384_scalar_size - 1] = static_cast<std::byte>(value);
    return out;
}
// a + b, where it fits; big-endian
Scalar plus(const Scalar &a, int b) {
    Scalar out = a;
    int carry = b;
    for (std::size_t i = out.size(); i-- > 0;) {
        const int sum = std::to_integer<int>(out[i]) + carry;
        out[i] = static_cast<std::byte>(sum & 0xff);
        carry = sum >> 8;
    }
    return out;
}
// a - b
Scalar minus(const Scalar &a, const Scalar &b) {
    Scalar out{};
    int borrow = 0;
    for (std::size_t i = out.size(); i-- > 0;) {
        const int difference = std::to_integer<int>(a[i]) - std::to_integer<int>(b[i]) + borrow;
        out[i] = static_cast<std::byte>(difference & 0xff);
        borrow = difference >> 8;
    }
    return out;
}
P384Signature signature(const Scalar &r, const Scalar &s) {
    P384Signature out;
    std::ranges::copy(r, out.begin());
    std::ranges::copy(s, out.begin() + p384_scalar_size);
    return out;
}

// Both implementations: the same answer, which is `wanted`; nothing is acceptance.
void both(const PublicKey &key, const Sha384Digest &digest, const P384Signature &sig, std::optional<Errc> wanted) {
    const auto host = verify_p384(key, digest, sig, "test");
    const auto guest = verify_p384_of_the_guest(key, digest, sig, "test");
    assert_int_equal(host.has_value(), !wanted);
    assert_int_equal(guest.has_value(), !wanted);
    if (wanted) {
        assert_int_equal(host.error().code, *wanted);
        assert_int_equal(guest.error().code, *wanted);
        assert_true(host.error().where == "test" && guest.error().where == "test");
    }
}

// RFC 6979, A.2.6: P-384, SHA-384, message "sample".
PublicKey known_key() {
    return {scalar("ec3a4e415b4e19a4568618029f427fa5da9a8bc4ae92e02e06aae5286b300c64def8f0ea9055866064a254515480bc13"),
            scalar("8015d9b72d7d57244ea8ef9ac0c621896708a59367f9dfb9f54ca84b3f1c9db1288b231c3ae0d4fe7344fd2533264720")};
}
const Scalar &known_r() {
    static const Scalar r =
        scalar("94edbb92a5ecb8aad4736e56c691916b3f88140666ce9fa73d64c4ea95ad133c81a648152e44acf96e36dd1e80fabe46");
    return r;
}
const Scalar &known_s() {
    static const Scalar s =
        scalar("99ef4aeb15f178cea1fe40db2603138f130e740a19624526203b6351d0a3a94fa329c145786e679e7b82c71a38628ac8");
    return s;
}
Sha384Digest known_digest() {
    return sha384(as_bytes(std::string_view{"sample"}));
}

void verify_p384_accepts_published_signatures(void **) {
    both(known_key(), known_digest(), signature(known_r(), known_s()), std::nullopt);
    // the other signature of the same message
    both(known_key(), known_digest(), signature(known_r(), minus(scalar(order), known_s())), std::nullopt);
    // RFC 6979, A.2.6, message "test"
    both(
        known_key(), sha384(as_bytes(std::string_view{"test"})),
        signature(
            scalar("8203b63d3c853e8d77227fb377bcf7b7b772e97892a80f36ab775d509d7a5feb0542a7f0812998da8f1dd3ca3cf023db"),
            scalar("ddd0760448d42d8a43af45af836fce4de8be06b485e9b61b827c2f13173923e06a739f040649a667bf3b828246baa5a5")),
        std::nullopt);
    both(known_key(), sha384(as_bytes(std::string_view{"test"})), signature(known_r(), known_s()), Errc::mismatch);
}

// RFC 6979, A.2.6: the private key of known_key()
const P384Scalar &known_secret() {
    static const P384Scalar secret =
        scalar("6b9d3dad2e1b8c1c05b19875b6659f4de23c3b667bf297ba9aa47740787137d896d5724e4c70a825f872c9ea60d2edf5");
    return secret;
}

void sign_p384_deterministic_gives_the_published_signatures(void **) {
    assert_true(sign_p384_deterministic(known_secret(), known_digest()) == signature(known_r(), known_s()));
    assert_true(
        sign_p384_deterministic(known_secret(), sha384(as_bytes(std::string_view{"test"}))) ==
        signature(
            scalar("8203b63d3c853e8d77227fb377bcf7b7b772e97892a80f36ab775d509d7a5feb0542a7f0812998da8f1dd3ca3cf023db"),
            scalar(
                "ddd0760448d42d8a43af45af836fce4de8be06b485e9b61b827c2f13173923e06a739f040649a667bf3b828246baa5a5")));
}

void sign_p384_deterministic_refuses_what_is_no_private_key(void **) {
    for (const P384Scalar &secret : {P384Scalar{}, scalar(order)}) {
        const auto made = sign_p384_deterministic(secret, known_digest());
        assert_false(made.has_value());
        assert_int_equal(made.error().code, Errc::crypto);
    }
}

// SEC 1 ECPrivateKey of known_secret(), as mbedTLS takes it
void a_key_signs_with_randomness_or_by_rfc6979(void **) {
    Bytes der = parse_hex("303e0201010430", "test").value();
    der.insert(der.end(), known_secret().begin(), known_secret().end());
    const Bytes curve = parse_hex("a00706052b81040022", "test").value();
    der.insert(der.end(), curve.begin(), curve.end());
    P384PrivateKey key;
    assert_true(key.parse(der, system_random, nullptr, "key").has_value());
    assert_true(key.sign(known_digest(), rfc6979_nonce, nullptr) == signature(known_r(), known_s()));
    const auto random = key.sign(known_digest(), system_random, nullptr);
    assert_true(random.has_value() && random != key.sign(known_digest(), system_random, nullptr));
    both(known_key(), known_digest(), *random, std::nullopt);
}

void verify_p384_refuses_every_changed_bit(void **) {
    const P384Signature good = signature(known_r(), known_s());
    for (std::size_t bit = 0; bit < good.size() * 8; bit += 3) { // every third: each byte, each position in it
        P384Signature changed = good;
        changed[bit / 8] ^= static_cast<std::byte>(1 << bit % 8);
        both(known_key(), known_digest(), changed, Errc::mismatch);
    }
    for (std::size_t bit = 0; bit < sizeof(Sha384Digest) * 8; bit += 7) {
        Sha384Digest changed = known_digest();
        changed[bit / 8] ^= static_cast<std::byte>(1 << bit % 8);
        both(known_key(), changed, signature(known_r(), known_s()), Errc::mismatch);
    }
}

void verify_p384_refuses_scalars_out_of_range(void **) {
    const Scalar n = scalar(order);
    Scalar ones;
    ones.fill(std::byte{0xff});
    for (const Scalar &bad : {number(0), n, plus(n, 1), scalar(prime), ones}) {
        both(known_key(), known_digest(), signature(bad, known_s()), Errc::out_of_range);
        both(known_key(), known_digest(), signature(known_r(), bad), Errc::out_of_range);
        both(known_key(), known_digest(), signature(bad, bad), Errc::out_of_range);
        both(known_key(), Sha384Digest{}, signature(bad, bad), Errc::out_of_range); // the "psychic" signature
    }
    for (const Scalar &edge : {number(1), number(2), plus(n, -1), plus(n, -2)}) {
        both(known_key(), known_digest(), signature(edge, known_s()), Errc::mismatch);
        both(known_key(), known_digest(), signature(known_r(), edge), Errc::mismatch);
        both(known_key(), known_digest(), signature(edge, edge), Errc::mismatch);
    }
    // r below the order, but the same as known_r in a reduced comparison of fewer bytes
    both(known_key(), known_digest(), signature(plus(known_r(), 1), known_s()), Errc::mismatch);
}

void verify_p384_refuses_keys_that_are_no_points(void **) {
    const P384Signature good = signature(known_r(), known_s());
    const Scalar p = scalar(prime);
    PublicKey off = known_key();
    off.y[47] ^= std::byte{1};
    both(off, known_digest(), good, Errc::unsupported);
    both({known_key().y, known_key().x}, known_digest(), good, Errc::unsupported);
    both({number(0), number(0)}, known_digest(), good, Errc::unsupported); // where some have infinity
    both({p, known_key().y}, known_digest(), good, Errc::unsupported);
    both({known_key().x, p}, known_digest(), good, Errc::unsupported);
    both({number(1), number(1)}, known_digest(), good, Errc::unsupported);
    // the point's coordinates plus the prime: another encoding of it
    PublicKey zero_x{number(0), {}};
    zero_x.y =
        scalar("3cf99ef04f51a5ea630ba3f9f960dd593a14c9be39fd2bd215d3b4b08aaaf86bbf927f2c46e52ab06fb742b8850e521e");
    both(zero_x, known_digest(), good, Errc::mismatch); // (0, sqrt(b)) is on the curve
    both({p, zero_x.y}, known_digest(), good, Errc::unsupported);
    // of two faults the key's counts first
    both(off, known_digest(), signature(number(0), number(0)), Errc::unsupported);
    // the negative point is a key, and another one
    both({known_key().x, minus(p, known_key().y)}, known_digest(), good, Errc::mismatch);
}

// Signatures made from the equation itself, u1 * G + u2 * Q, so that intermediate values are at their edges.
void verify_p384_agrees_at_the_edges_of_the_sum(void **) {
    const PublicKey g{scalar(generator_x), scalar(generator_y)};
    const PublicKey minus_g{g.x, minus(scalar(prime), g.y)};
    // x of G, below the order: with digest 0 and r = s, u1 = 0 and u2 = 1, and the sum is the key itself
    const Scalar gx = scalar(generator_x);
    both(g, Sha384Digest{}, signature(gx, gx), std::nullopt);
    both(minus_g, Sha384Digest{}, signature(gx, gx), std::nullopt);
    both(known_key(), Sha384Digest{}, signature(known_key().x, known_key().x), std::nullopt);
    // digest = order, which is 0 modulo it
    both(g, scalar(order), signature(gx, gx), std::nullopt);
    // digest = r = s: u1 = u2 = 1. With Q = G the sum is 2G, a doubling inside of an addition;
    const Scalar two_g_x =
        scalar("08d999057ba3d2d969260045c55b97f089025959a6f434d651d207d19fb96e9e4fe0e86ebe0e64f85b96a9c75295df61");
    both(g, two_g_x, signature(two_g_x, two_g_x), std::nullopt);
    both(minus_g, two_g_x, signature(two_g_x, two_g_x), Errc::mismatch);
    // with Q = -G it is the point at infinity, which has no x
    both(minus_g, gx, signature(gx, gx), Errc::mismatch);
    both(minus_g, number(1), signature(number(1), number(1)), Errc::mismatch);
    both(g, gx, signature(gx, gx), Errc::mismatch);
    // digest above the order
    Sha384Digest ones;
    ones.fill(std::byte{0xff});
    both(known_key(), ones, signature(known_r(), known_s()), Errc::mismatch);
}

void verify_p384_agrees_on_signatures_of_its_own(void **) {
    std::uint64_t state = 1;
    const auto random = [](void *context, unsigned char *out, std::size_t size) { // xorshift: for test signatures only
        auto &s = *static_cast<std::uint64_t *>(context);
        for (std::size_t i = 0; i < size; ++i) {
            s ^= s << 13;
            s ^= s >> 7;
            s ^= s << 17;
            out[i] = static_cast<unsigned char>(s & 0xff);
        }
        return 0;
    };
    P384PrivateKey key;
    assert_true(key.parse(test::data("appraise/vek-key.der"), random, &state, "test").has_value());
    for (unsigned i = 0; i < 8; ++i) {
        Sha384Digest digest = sha384(ByteView{number(i)});
        if (i < 4) // digests whose first bytes are zero, or all but the last
            std::ranges::fill(MutableBytes{digest}.first(16 * i), std::byte{0});
        const P384Signature sig = key.sign(digest, random, &state).value();
        both(key.public_key().value(), digest, sig, std::nullopt);
        both(known_key(), digest, sig, Errc::mismatch);
        digest[i] ^= std::byte{0x10};
        both(key.public_key().value(), digest, sig, Errc::mismatch);
    }
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(verify_p384_accepts_published_signatures),
        cmocka_unit_test(sign_p384_deterministic_gives_the_published_signatures),
        cmocka_unit_test(sign_p384_deterministic_refuses_what_is_no_private_key),
        cmocka_unit_test(a_key_signs_with_randomness_or_by_rfc6979),
        cmocka_unit_test(verify_p384_refuses_every_changed_bit),
        cmocka_unit_test(verify_p384_refuses_scalars_out_of_range),
        cmocka_unit_test(verify_p384_refuses_keys_that_are_no_points),
        cmocka_unit_test(verify_p384_agrees_at_the_edges_of_the_sum),
        cmocka_unit_test(verify_p384_agrees_on_signatures_of_its_own),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
