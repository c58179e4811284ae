// verify_p384 by libcrypto, for the host: it takes about a third of the time of mbedTLS's P-384. The EC functions
// and not EVP: they say which of point and scalars is wrong, and need no provider, whose loading reads a configuration
// file. OpenSSL marks them as deprecated, for whoever might want another provider.
#define OPENSSL_SUPPRESS_DEPRECATED
#include "common/p384.hpp"

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/obj_mac.h>

#include <memory>

namespace cvmin {

namespace {

template <auto F> struct Freed {
    template <class T> void operator()(T *value) const { F(value); }
};
using Number = std::unique_ptr<BIGNUM, Freed<BN_free>>;
using Group = std::unique_ptr<EC_GROUP, Freed<EC_GROUP_free>>;
using Point = std::unique_ptr<EC_POINT, Freed<EC_POINT_free>>;
using Key = std::unique_ptr<EC_KEY, Freed<EC_KEY_free>>;
using Signature = std::unique_ptr<ECDSA_SIG, Freed<ECDSA_SIG_free>>;

// Whatever failed is said in our own words; nothing stays in the thread's queue.
std::unexpected<Error> failed(Errc code, std::string_view where) {
    ERR_clear_error();
    return fail(code, where);
}

Result<Number> read_scalar(ByteView field, const EC_GROUP &group, std::string_view where) {
    Number number{BN_bin2bn(u8(field), static_cast<int>(field.size()), nullptr)};
    if (!number)
        return failed(Errc::crypto, where);
    if (BN_is_zero(number.get()) || BN_cmp(number.get(), EC_GROUP_get0_order(&group)) >= 0)
        return fail(Errc::out_of_range, where);
    return number;
}

} // namespace

Result<void> verify_p384(const PublicKey &key, const Sha384Digest &digest, const P384Signature &signature,
                         std::string_view where) {
    const Group group{EC_GROUP_new_by_curve_name(NID_secp384r1)};
    const Point point{group ? EC_POINT_new(group.get()) : nullptr};
    const Key ec_key{EC_KEY_new()};
    const Signature parsed{ECDSA_SIG_new()};
    if (!point || !ec_key || !parsed)
        return failed(Errc::crypto, where);
    ByteArray<1 + 2 * p384_scalar_size> encoded;
    encoded[0] = std::byte{4}; // SEC 1, 2.3.3: not compressed
    std::ranges::copy(key.x, encoded.begin() + 1);
    std::ranges::copy(key.y, encoded.begin() + 1 + p384_scalar_size);
    // refuses coordinates that are not below the field's prime or not on the curve
    if (EC_POINT_oct2point(group.get(), point.get(), u8(ByteView{encoded}), encoded.size(), nullptr) != 1)
        return failed(Errc::unsupported, where);
    if (EC_KEY_set_group(ec_key.get(), group.get()) != 1 || EC_KEY_set_public_key(ec_key.get(), point.get()) != 1)
        return failed(Errc::crypto, where);
    CVMIN_TRY(r, read_scalar(ByteView{signature}.first(p384_scalar_size), *group, where));
    CVMIN_TRY(s, read_scalar(ByteView{signature}.last(p384_scalar_size), *group, where));
    if (ECDSA_SIG_set0(parsed.get(), r.get(), s.get()) != 1)
        return failed(Errc::crypto, where);
    (void)r.release(); // the signature's now
    (void)s.release();
    ERR_clear_error();
    switch (ECDSA_do_verify(u8(ByteView{digest}), static_cast<int>(digest.size()), parsed.get(), ec_key.get())) {
    case 1:
        return {};
    case 0:
        return failed(Errc::mismatch, where);
    default: // a sum without an x is no failure of the library's
        return failed(ERR_GET_REASON(ERR_peek_error()) == EC_R_POINT_AT_INFINITY ? Errc::mismatch : Errc::crypto,
                      where);
    }
}

} // namespace cvmin
