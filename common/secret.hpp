// Secret bytes: move-only, wiped on destruction, compared in constant time. Never printed, never an argument.
#pragma once

#include "common/bytes.hpp"

#include <mbedtls/platform_util.h>

#include <utility>

extern "C" { // which this header forgets
#include <mbedtls/constant_time.h>
}

namespace cvmin {

// In a time that depends on the sizes only.
inline bool same_secret(ByteView a, ByteView b) {
    return a.size() == b.size() && mbedtls_ct_memcmp(a.data(), b.data(), a.size()) == 0;
}

class Secret {
  public:
    Secret() = default;
    explicit Secret(Bytes &&bytes) : bytes_(std::move(bytes)) {}
    Secret(const Secret &) = delete;
    Secret &operator=(const Secret &) = delete;
    Secret(Secret &&other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}
    Secret &operator=(Secret &&other) noexcept {
        wipe();
        bytes_ = std::exchange(other.bytes_, {});
        return *this;
    }
    ~Secret() { wipe(); }

    ByteView view() const { return bytes_; }
    friend bool operator==(const Secret &a, const Secret &b) { return same_secret(a.bytes_, b.bytes_); }

  private:
    void wipe() {
        mbedtls_platform_zeroize(bytes_.data(), bytes_.size());
        bytes_.clear();
    }
    Bytes bytes_;
};

} // namespace cvmin
