// Secret bytes: move-only, wiped on destruction, compared in constant time. Never printed, never an argument.
#pragma once

#include "common/bytes.hpp"

#include <mbedtls/constant_time.h>
#include <mbedtls/platform_util.h>

#include <utility>

namespace cvmin {

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
    friend bool operator==(const Secret &a, const Secret &b) {
        return a.bytes_.size() == b.bytes_.size() &&
               mbedtls_ct_memcmp(a.bytes_.data(), b.bytes_.data(), a.bytes_.size()) == 0;
    }

  private:
    void wipe() {
        mbedtls_platform_zeroize(bytes_.data(), bytes_.size());
        bytes_.clear();
    }
    Bytes bytes_;
};

} // namespace cvmin
