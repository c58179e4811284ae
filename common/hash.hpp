// SHA-2, one shot and streamed. A failure of the hash itself is not recoverable and stops the process.
// Two implementations, both held by tests/unit/test_hash.cpp: hash_mbedtls.cpp for the guest, hash_openssl.cpp for the
// host, where hashing is most of the work (DECISIONS.md).
#pragma once

#include "common/bytes.hpp"

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
    ~Sha256Stream();                              // wipes the state
    Sha256Stream(const Sha256Stream &) = default; // goes on from the same state
    Sha256Stream &operator=(const Sha256Stream &) = delete;
    void update(ByteView bytes);
    Sha256Digest finish(); // once

  private:
    static constexpr std::size_t state_size = 128; // room for either implementation's state, which checks it
    alignas(std::uint64_t) ByteArray<state_size> state_;
};

} // namespace cvmin
