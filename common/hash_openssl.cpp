// SHA-2 by libcrypto, for the host. Its low-level functions, linked statically: they are the assembler code that EVP
// reaches too, but need no library initialisation, no fetch and no allocation, and bring 48 KiB and no further library.
// OpenSSL marks them as deprecated, for whoever might want another provider.
#define OPENSSL_SUPPRESS_DEPRECATED
#include "common/hash.hpp"

#include <openssl/crypto.h>
#include <openssl/sha.h>

#include <cstdlib>
#include <memory>

namespace cvmin {

// 1 is success. An empty view may have no address, of which these functions know nothing.
static void must(int result) {
    if (result != 1)
        std::abort();
}

Sha256Digest sha256(ByteView bytes) {
    Sha256Digest out;
    SHA256_CTX context;
    must(SHA256_Init(&context));
    if (!bytes.empty())
        must(SHA256_Update(&context, bytes.data(), bytes.size()));
    must(SHA256_Final(u8(MutableBytes{out}), &context));
    return out;
}

Sha384Digest sha384(ByteView bytes) {
    Sha384Digest out;
    SHA512_CTX context;
    must(SHA384_Init(&context));
    if (!bytes.empty())
        must(SHA384_Update(&context, bytes.data(), bytes.size()));
    must(SHA384_Final(u8(MutableBytes{out}), &context));
    return out;
}

Sha512Digest sha512(ByteView bytes) {
    Sha512Digest out;
    SHA512_CTX context;
    must(SHA512_Init(&context));
    if (!bytes.empty())
        must(SHA512_Update(&context, bytes.data(), bytes.size()));
    must(SHA512_Final(u8(MutableBytes{out}), &context));
    return out;
}

static SHA256_CTX *context(MutableBytes state) {
    return reinterpret_cast<SHA256_CTX *>(state.data());
}

Sha256Stream::Sha256Stream() {
    static_assert(sizeof(SHA256_CTX) <= state_size && alignof(SHA256_CTX) <= alignof(std::uint64_t));
    must(SHA256_Init(std::construct_at(context(state_))));
}
Sha256Stream::~Sha256Stream() {
    OPENSSL_cleanse(state_.data(), state_.size());
}
void Sha256Stream::update(ByteView bytes) {
    if (!bytes.empty())
        must(SHA256_Update(context(state_), bytes.data(), bytes.size()));
}
Sha256Digest Sha256Stream::finish() {
    Sha256Digest out;
    must(SHA256_Final(u8(MutableBytes{out}), context(state_)));
    return out;
}

} // namespace cvmin
