// SHA-2 by mbedTLS, one shot and streamed. A failure of the hash itself is not recoverable and stops the process.
#pragma once

#include "common/bytes.hpp"

#include <mbedtls/sha256.h>
#include <mbedtls/sha512.h>

namespace cvmin {

using Sha256Digest = ByteArray<32>;
using Sha384Digest = ByteArray<48>;
using Sha512Digest = ByteArray<64>;

Sha256Digest sha256(ByteView bytes);
Sha384Digest sha384(ByteView bytes);
Sha512Digest sha512(ByteView bytes);

class Sha256Stream {
  public:
    Sha256Stream();
    ~Sha256Stream();
    Sha256Stream(const Sha256Stream &) = delete;
    Sha256Stream &operator=(const Sha256Stream &) = delete;
    void update(ByteView bytes);
    Sha256Digest finish(); // once

  private:
    mbedtls_sha256_context context_;
};

} // namespace cvmin
