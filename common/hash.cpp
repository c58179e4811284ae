#include "common/hash.hpp"

#include <cstdlib>

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

Sha256Stream::Sha256Stream() {
    mbedtls_sha256_init(&context_);
    must(mbedtls_sha256_starts(&context_, 0));
}
Sha256Stream::~Sha256Stream() {
    mbedtls_sha256_free(&context_);
}
void Sha256Stream::update(ByteView bytes) {
    must(mbedtls_sha256_update(&context_, u8(bytes), bytes.size()));
}
Sha256Digest Sha256Stream::finish() {
    Sha256Digest out;
    must(mbedtls_sha256_finish(&context_, u8(MutableBytes{out})));
    return out;
}

} // namespace cvmin
