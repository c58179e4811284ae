// By libcrypto's low-level functions, as common/hash_openssl.cpp and for its reasons.
#define OPENSSL_SUPPRESS_DEPRECATED
#include "host-tools/measured/tpm_hash.hpp"

#include <openssl/sha.h>

#include <cstdlib>

namespace cvmin {

namespace {

void must(int result) {
    if (result != 1)
        std::abort();
}

template <class Context, auto Init, auto Update, auto Final, std::size_t Size>
TpmDigest hash_parts(std::span<const ByteView> parts) {
    Context context;
    must(Init(&context));
    for (const ByteView part : parts)
        if (!part.empty())
            must(Update(&context, part.data(), part.size()));
    TpmDigest out = TpmDigest::filled(Size, std::byte{0});
    must(Final(u8(out.data()), &context));
    return out;
}

} // namespace

bool can_hash(TpmAlg alg) {
    return digest_size(alg) != 0;
}

TpmDigest tpm_hash(TpmAlg alg, std::span<const ByteView> parts) {
    switch (alg) {
    case TpmAlg::sha1:
        return hash_parts<SHA_CTX, SHA1_Init, SHA1_Update, SHA1_Final, SHA_DIGEST_LENGTH>(parts);
    case TpmAlg::sha256:
        return hash_parts<SHA256_CTX, SHA256_Init, SHA256_Update, SHA256_Final, SHA256_DIGEST_LENGTH>(parts);
    case TpmAlg::sha384:
        return hash_parts<SHA512_CTX, SHA384_Init, SHA384_Update, SHA384_Final, SHA384_DIGEST_LENGTH>(parts);
    case TpmAlg::sha512:
        return hash_parts<SHA512_CTX, SHA512_Init, SHA512_Update, SHA512_Final, SHA512_DIGEST_LENGTH>(parts);
    }
    return {};
}

TpmDigest tpm_hash(TpmAlg alg, ByteView bytes) {
    return tpm_hash(alg, std::span{&bytes, 1});
}

void pcr_extend(TpmAlg alg, TpmDigest &value, ByteView digest) {
    const ByteView parts[] = {value.view(), digest};
    value = tpm_hash(alg, parts);
}

} // namespace cvmin
