// Byte strings, a fail-sticky reading cursor, little- and big-endian stores, fields at fixed offsets, hex and base64.
// No I/O, no knowledge of any format.
#pragma once

#include "common/error.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace cvmin {

using Bytes = std::vector<std::byte>;
using ByteView = std::span<const std::byte>;
using MutableBytes = std::span<std::byte>;
template <std::size_t N> using ByteArray = std::array<std::byte, N>;

inline ByteView as_bytes(std::string_view text) {
    return std::as_bytes(std::span{text.data(), text.size()});
}
inline const unsigned char *u8(ByteView bytes) {
    return reinterpret_cast<const unsigned char *>(bytes.data());
}
inline unsigned char *u8(MutableBytes bytes) {
    return reinterpret_cast<unsigned char *>(bytes.data());
}
inline Bytes to_bytes(ByteView view) {
    return Bytes(view.begin(), view.end());
}
inline std::string_view as_text(ByteView bytes) {
    return {reinterpret_cast<const char *>(bytes.data()), bytes.size()};
}
inline bool all_zero(ByteView bytes) {
    return std::ranges::all_of(bytes, [](std::byte b) { return b == std::byte{0}; });
}
inline bool equal(ByteView a, ByteView b) {
    return std::ranges::equal(a, b);
}

// Unsigned integers of 1 to 8 bytes.
constexpr std::uint64_t load_le(ByteView bytes) {
    std::uint64_t value = 0;
    for (std::size_t i = bytes.size(); i-- > 0;)
        value = value << 8 | std::to_integer<std::uint64_t>(bytes[i]);
    return value;
}
constexpr std::uint64_t load_be(ByteView bytes) {
    std::uint64_t value = 0;
    for (std::byte b : bytes)
        value = value << 8 | std::to_integer<std::uint64_t>(b);
    return value;
}
constexpr void store_le(MutableBytes out, std::uint64_t value) {
    for (std::byte &b : out) {
        b = static_cast<std::byte>(value & 0xff);
        value >>= 8;
    }
}
constexpr void store_be(MutableBytes out, std::uint64_t value) {
    for (std::size_t i = out.size(); i-- > 0;) {
        out[i] = static_cast<std::byte>(value & 0xff);
        value >>= 8;
    }
}

// A field of a fixed-size structure: offset and size, named once.
template <std::size_t Offset, std::size_t Size> struct Field {
    static constexpr std::size_t offset = Offset;
    static constexpr std::size_t size = Size;
    static constexpr std::size_t end = Offset + Size;

    // `raw` is the whole structure; its caller has checked the exact size.
    static constexpr ByteView view(ByteView raw) { return raw.subspan(Offset, Size); }
    static constexpr MutableBytes view(MutableBytes raw) { return raw.subspan(Offset, Size); }
    static constexpr std::uint64_t le(ByteView raw)
        requires(Size <= 8)
    {
        return load_le(view(raw));
    }
    static constexpr void put_le(MutableBytes raw, std::uint64_t value)
        requires(Size <= 8)
    {
        store_le(view(raw), value);
    }
    static constexpr ByteArray<Size> array(ByteView raw) {
        ByteArray<Size> out;
        std::ranges::copy(view(raw), out.begin());
        return out;
    }
    static constexpr void put(MutableBytes raw, ByteView value) {
        std::ranges::copy(value.first(Size), view(raw).begin());
    }
};

// Fields in table order cover [0, total) without gap or overlap.
template <std::size_t Total, class... Fields> consteval bool fields_tile() {
    std::size_t at = 0;
    bool ok = true;
    ((ok = ok && Fields::offset == at, at = Fields::end), ...);
    return ok && at == Total;
}

// Reads front to back. The first short read makes it fail for good: later reads give zeros, and finish() the error.
class Reader {
  public:
    explicit Reader(ByteView bytes) : rest_(bytes), total_(bytes.size()) {}

    std::uint64_t le(std::size_t size) { return load_le(take(size)); }
    std::uint64_t be(std::size_t size) { return load_be(take(size)); }
    ByteView take(std::size_t size) {
        if (failed_ || size > rest_.size()) {
            failed_ = true;
            return {};
        }
        ByteView out = rest_.first(size);
        rest_ = rest_.subspan(size);
        return out;
    }
    template <std::size_t N> ByteArray<N> array() {
        ByteArray<N> out{};
        std::ranges::copy(take(N), out.begin());
        return out;
    }
    std::size_t left() const { return rest_.size(); }
    std::size_t offset() const { return total_ - rest_.size(); }
    bool ok() const { return !failed_; }
    // truncated: a read went past the end. trailing: bytes are left.
    Result<void> finish(std::string_view where) const {
        if (failed_)
            return fail(Errc::truncated, where, offset());
        if (!rest_.empty())
            return fail(Errc::trailing, where, offset());
        return {};
    }

  private:
    ByteView rest_;
    std::size_t total_;
    bool failed_ = false;
};

std::string hex(ByteView bytes); // lower case, no prefix
// malformed: odd length or a character that is not a hex digit. An optional 0x prefix is accepted.
Result<Bytes> parse_hex(std::string_view text, std::string_view where);
std::string base64(ByteView bytes);                                        // standard alphabet, padded
Result<Bytes> parse_base64(std::string_view text, std::string_view where); // malformed

// A byte string of exactly N bytes; out_of_range names another length.
template <std::size_t N> Result<ByteArray<N>> exactly(ByteView bytes, std::string_view where) {
    if (bytes.size() != N)
        return fail(Errc::out_of_range, where, bytes.size());
    ByteArray<N> out;
    std::ranges::copy(bytes, out.begin());
    return out;
}
template <std::size_t N> Result<ByteArray<N>> parse_hex_exactly(std::string_view text, std::string_view where) {
    CVMIN_TRY(bytes, parse_hex(text, where));
    return exactly<N>(bytes, where);
}

} // namespace cvmin
