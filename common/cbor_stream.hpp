// CBOR (RFC 8949) for formats of others that nest deeper than TinyCBOR is built for, carry tags and members we do not
// know: COSE and CoRIM. A writer of the deterministic form, and a cursor over what others wrote.
// Knows no message. Our own formats stand on common/cbor.hpp, which takes one encoding only.
#pragma once

#include "common/bytes.hpp"

#include <optional>

namespace cvmin::cbor {

// The digest in a CoMID lies 9 containers and tags deep. As much room again for what we skip, and the walk's state
// stays a small array.
inline constexpr std::size_t max_nesting = 20;
// Members of one map: a triples map has 8, COSE headers and our own under 10. Bounds what is kept to find equal keys.
inline constexpr std::size_t max_map_members = 256;

enum class Major : std::uint8_t { unsigned_integer, negative_integer, bytes, text, array, map, tag, simple };

enum class Form : std::uint8_t {
    any,           // of others: numbers and keys as they like
    deterministic, // RFC 8949, 4.2.1: shortest numbers, map keys in bytewise order
};

// Whether `input` is exactly one item, whatever it means. Lengths are definite, the keys of a map are integers, texts
// or byte strings and unique, texts are UTF-8. truncated, trailing, malformed; too_large: more than `limit` bytes,
// deeper than max_nesting, more than max_map_members.
Result<void> check_item(ByteView input, std::size_t limit, Form form, std::string_view where);

// Writes items front to back. Counts and the order of map members are the caller's program text: a mistake there stops
// the process in finish().
class Writer {
  public:
    explicit Writer(std::size_t reserve = 0) { out_.reserve(reserve); }

    void map(std::uint64_t members) { head(Major::map, members); } // then key, value, ... in canonical order
    void array(std::uint64_t items) { head(Major::array, items); }
    void tag(std::uint64_t number) { head(Major::tag, number); } // then the item
    void integer(std::int64_t value);
    void unsigned_integer(std::uint64_t value) { head(Major::unsigned_integer, value); }
    void bytes(ByteView value);
    void text(std::string_view value);
    void raw(ByteView item); // an encoded item, as it is

    Bytes finish(); // what was written is one item in deterministic form, or the process stops

  private:
    void head(Major major, std::uint64_t value);
    Bytes out_;
};

// Reads one item front to back; the constructor has checked all of it (check_item). The first failure sticks: later
// reads give nothing, and finish() the error. Views point into the input; nothing is allocated after construction.
// What a caller does not know it skips; that maps and arrays are read to their ends is the caller's loop.
class Cursor {
  public:
    Cursor(ByteView input, std::size_t limit, std::string_view where, Form form = Form::any);

    void at(std::string_view where) { where_ = where; } // names what is read next, in errors
    bool is(Major major) const;                         // the next item's type; false at the end and after a failure

    // malformed: another type. out_of_range: more than max, or not of the wanted size.
    std::size_t map(std::size_t max = max_map_members);
    std::size_t array(std::size_t min, std::size_t max);
    std::uint64_t tag();
    void expect_tag(std::uint64_t number);
    std::int64_t integer();
    std::uint64_t unsigned_integer(std::uint64_t max = UINT64_MAX);
    ByteView bytes(std::size_t min, std::size_t max);
    std::string_view text(std::size_t min, std::size_t max); // may hold any UTF-8
    ByteView skip_item();                                    // any item; its encoded bytes
    // The next map key when it is an integer that fits; any other key is consumed and gives nothing.
    std::optional<std::int64_t> key();

    bool ok() const { return !error_; }
    void refuse(Errc code); // a value that the caller does not accept
    Result<void> finish();  // trailing: the caller stopped before the end

  private:
    struct Head {
        Major major;
        std::uint64_t value;
    };
    std::optional<Head> take(Major major);
    ByteView input_;
    std::size_t offset_ = 0;
    std::string_view where_;
    std::optional<Error> error_;
};

} // namespace cvmin::cbor
