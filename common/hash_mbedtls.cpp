// SHA-2 by mbedTLS, for the guest: the agent has it for TLS anyway, and hashes little.
#include "common/hash.hpp"

#include <mbedtls/sha256.h>
#include <mbedtls/sha512.h>

#include <cstdlib>
#include <memory>

namespace cvmin {

static void must(int result) {
    if (result != 0)
        std::abort();
}

Sha256Digest sha256(ByteView bytes) {
    Sha256Digest out;
    must(mbedtls_sha256(u8(bytes), bytes.size(), u8(MutableBytes{out}), 0));
    return out;
}

Sha384Digest sha384(ByteView bytes) {
    Sha384Digest out;
    must(mbedtls_sha512(u8(bytes), bytes.size(), u8(MutableBytes{out}), 1));
    return out;
}

Sha512Digest sha512(ByteView bytes) {
    Sha512Digest out;
    must(mbedtls_sha512(u8(bytes), bytes.size(), u8(MutableBytes{out}), 0));
    return out;
}

static mbedtls_sha256_context *context(MutableBytes state) {
    return reinterpret_cast<mbedtls_sha256_context *>(state.data());
}

Sha256Stream::Sha256Stream() {
    static_assert(sizeof(mbedtls_sha256_context) <= state_size);
    static_assert(alignof(mbedtls_sha256_context) <= alignof(std::uint64_t));
    mbedtls_sha256_init(std::construct_at(context(state_)));
    must(mbedtls_sha256_starts(context(state_), 0));
}
Sha256Stream::~Sha256Stream() {
    mbedtls_sha256_free(context(state_));
}
void Sha256Stream::update(ByteView bytes) {
    must(mbedtls_sha256_update(context(state_), u8(bytes), bytes.size()));
}
Sha256Digest Sha256Stream::finish() {
    Sha256Digest out;
    must(mbedtls_sha256_finish(context(state_), u8(MutableBytes{out})));
    return out;
}

} // namespace cvmin
