// Strict, canonical CBOR (RFC 8949, 4.2.1 core deterministic encoding) over TinyCBOR: definite lengths, shortest
// numbers, map keys in bytewise order and unique, no tags, no floats, texts of printable ASCII.
// Knows no message; claims, evidence and protocol are built on it.
#pragma once

#include "common/bytes.hpp"

#include <tinycbor/cbor.h>

#include <optional>

namespace cvmin::cbor {

inline constexpr std::size_t max_depth = 4; // evidence: collection, record; claims: claims, cnf, COSE_Key

// Writes one item front to back. Member order, counts and depth are the caller's program text and not its input: a
// mistake there stops the process.
class Encoder {
  public:
    explicit Encoder(std::size_t reserve = 0);
    Encoder(const Encoder &) = delete;
    Encoder &operator=(const Encoder &) = delete;

    void open_map(std::size_t members); // then key, value, key, value, ... in canonical order; then close
    void open_array(std::size_t items);
    void close();

    void integer(std::int64_t value);
    void unsigned_integer(std::uint64_t value);
    void bytes(ByteView value);
    void text(std::string_view value);
    void null();
    template <std::size_t N> void bytes_or_null(const std::optional<ByteArray<N>> &value) {
        if (value)
            bytes(*value);
        else
            null();
    }

    Bytes finish();

  private:
    Bytes out_;
    std::array<CborEncoder, max_depth + 1> levels_{};
    std::size_t depth_ = 0;
};

// Reads one item front to back. The constructor checks the whole input for canonical form, so that nothing is believed
// of an input that is wrong anywhere. The first failure sticks: later reads give nothing, and finish() the error.
// Views point into the input; nothing is allocated.
class Decoder {
  public:
    // too_large: more than `limit` bytes. truncated, trailing. malformed: not well-formed or not canonical.
    Decoder(ByteView input, std::size_t limit, std::string_view where);
    Decoder(const Decoder &) = delete;
    Decoder &operator=(const Decoder &) = delete;

    // malformed: another type, another count, deeper than max_depth.
    void open_map();
    void open_array(std::size_t items);
    std::size_t open_array(); // of any count, which it gives
    void close();             // malformed: members or items are left that nobody asked for

    // The next key of the map must be this one; members are asked for in canonical order. `where` names the member in
    // the errors of its value. malformed: another key, or the map ends.
    void member(std::int64_t key, std::string_view where);
    void member(std::string_view key, std::string_view where);
    // Whether the next key is this one; consumed if it is.
    bool optional_member(std::int64_t key, std::string_view where);
    bool optional_member(std::string_view key, std::string_view where);
    // Whether the open container has another item or key: for those whose count or keys are the input's to choose. A
    // key is then read like a value.
    bool more() const { return !error_ && !cbor_value_at_end(&levels_[depth_]); }

    // malformed: another type. out_of_range: outside of the limits.
    std::int64_t integer();
    std::uint64_t unsigned_integer(std::uint64_t max = UINT64_MAX);
    ByteView bytes(std::size_t min, std::size_t max);
    std::string_view text(std::size_t min, std::size_t max);
    bool null();    // whether the value is null; consumed if it is
    ByteView raw(); // the bytes of the next item, whatever it is; to be read with a Decoder of its own
    template <std::size_t N> ByteArray<N> array() {
        ByteArray<N> out{};
        std::ranges::copy(bytes(N, N), out.begin());
        return out;
    }
    template <std::size_t N> std::optional<ByteArray<N>> array_or_null() {
        if (null())
            return std::nullopt;
        return array<N>();
    }
    // The text must be this one; another one is refused with `code`.
    void expect_text(std::string_view wanted, Errc code = Errc::malformed);
    void expect_integer(std::int64_t wanted, Errc code = Errc::malformed);

    bool ok() const { return !error_; }
    void refuse(Errc code); // a value of the current member that the caller does not accept
    Result<void> finish();  // malformed: containers are open

  private:
    bool at_value(bool right_type);
    bool next_key_is(std::string_view key) const;
    void advance();

    CborParser parser_{};
    std::array<CborValue, max_depth + 1> levels_{};
    std::size_t depth_ = 0;
    const std::uint8_t *start_;
    std::string_view where_;
    std::optional<Error> error_;
};

// The first item of a sequence (RFC 8742), in canonical form; what follows it is not looked at. truncated, malformed.
Result<ByteView> first_item(ByteView sequence, std::string_view where);

} // namespace cvmin::cbor
