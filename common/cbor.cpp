#include "common/cbor.hpp"

#include <cstdlib>

namespace cvmin::cbor {

namespace {

constexpr std::uint32_t canonical = CborValidateCanonicalFormat | CborValidateMapKeysAreUnique | CborValidateNoTags |
                                    CborValidateNoUndefined | CborValidateNoUnknownSimpleTypes |
                                    static_cast<std::uint32_t>(CborValidateCompleteData);

CborError validate(ByteView bytes) {
    CborParser parser;
    CborValue value;
    if (const CborError error = cbor_parser_init(u8(bytes), bytes.size(), 0, &parser, &value); error != CborNoError)
        return error;
    return cbor_value_validate(&value, canonical);
}

void must(CborError error) {
    if (error != CborNoError)
        std::abort();
}

CborError append(void *out, const void *data, std::size_t size, CborEncoderAppendType) {
    const auto *bytes = static_cast<const std::byte *>(data);
    static_cast<Bytes *>(out)->insert(static_cast<Bytes *>(out)->end(), bytes, bytes + size);
    return CborNoError;
}

Errc code_of(CborError error) {
    switch (error) {
    case CborErrorUnexpectedEOF:
    case CborErrorAdvancePastEOF:
        return Errc::truncated;
    case CborErrorGarbageAtEnd:
        return Errc::trailing;
    default:
        return Errc::malformed;
    }
}

// A definite-length string ends where the next item begins: its content is the `length` bytes before that.
ByteView content_before(const CborValue &next, std::size_t length) {
    return {reinterpret_cast<const std::byte *>(cbor_value_get_next_byte(&next)) - length, length};
}

// Texts go to terminals and logs of the other side: no control characters, no look-alikes.
bool printable(std::string_view text) {
    return std::ranges::all_of(text, [](char c) { return c >= 0x20 && c < 0x7f; });
}

} // namespace

Encoder::Encoder(std::size_t reserve) {
    out_.reserve(reserve);
    cbor_encoder_init_writer(&levels_[0], append, &out_);
}

void Encoder::open_map(std::size_t members) {
    if (depth_ == max_depth)
        std::abort();
    must(cbor_encoder_create_map(&levels_[depth_], &levels_[depth_ + 1], members));
    ++depth_;
}

void Encoder::open_array(std::size_t items) {
    if (depth_ == max_depth)
        std::abort();
    must(cbor_encoder_create_array(&levels_[depth_], &levels_[depth_ + 1], items));
    ++depth_;
}

void Encoder::close() {
    if (depth_ == 0)
        std::abort();
    --depth_;
    must(cbor_encoder_close_container_checked(&levels_[depth_], &levels_[depth_ + 1]));
}

void Encoder::integer(std::int64_t value) {
    must(cbor_encode_int(&levels_[depth_], value));
}
void Encoder::unsigned_integer(std::uint64_t value) {
    must(cbor_encode_uint(&levels_[depth_], value));
}
void Encoder::bytes(ByteView value) {
    must(cbor_encode_byte_string(&levels_[depth_], u8(value), value.size()));
}
void Encoder::text(std::string_view value) {
    must(cbor_encode_text_string(&levels_[depth_], value.data(), value.size()));
}
void Encoder::null() {
    must(cbor_encode_null(&levels_[depth_]));
}

Bytes Encoder::finish() {
    // Catches members written out of order: what is sent must be what the other side's Decoder takes.
    if (depth_ != 0)
        std::abort();
    must(validate(out_));
    return std::move(out_);
}

Decoder::Decoder(ByteView input, std::size_t limit, std::string_view where) : start_(u8(input)), where_(where) {
    if (input.size() > limit) {
        error_ = Error{Errc::too_large, where, input.size()};
        return;
    }
    if (const CborError error = validate(input); error != CborNoError) {
        error_ = Error{code_of(error), where, 0};
        return;
    }
    if (cbor_parser_init(start_, input.size(), 0, &parser_, &levels_[0]) != CborNoError)
        error_ = Error{Errc::malformed, where, 0};
}

void Decoder::refuse(Errc code) {
    if (!error_) {
        const std::uint8_t *at = cbor_value_get_next_byte(&levels_[depth_]);
        error_ = Error{code, where_, static_cast<std::uint64_t>(at - start_)};
    }
}

// Whether there is a value to read and it is of the type asked for; else the failure is recorded.
bool Decoder::at_value(bool right_type) {
    if (error_)
        return false;
    if (cbor_value_at_end(&levels_[depth_]) || !right_type) {
        refuse(Errc::malformed);
        return false;
    }
    return true;
}

void Decoder::advance() {
    if (cbor_value_advance(&levels_[depth_]) != CborNoError)
        refuse(Errc::malformed);
}

void Decoder::open_map() {
    if (!at_value(cbor_value_is_map(&levels_[depth_])))
        return;
    if (depth_ == max_depth || cbor_value_enter_container(&levels_[depth_], &levels_[depth_ + 1]) != CborNoError)
        return refuse(Errc::malformed);
    ++depth_;
}

std::size_t Decoder::open_array() {
    std::size_t length = 0;
    if (!at_value(cbor_value_is_array(&levels_[depth_])))
        return 0;
    if (depth_ == max_depth || cbor_value_get_array_length(&levels_[depth_], &length) != CborNoError ||
        cbor_value_enter_container(&levels_[depth_], &levels_[depth_ + 1]) != CborNoError) {
        refuse(Errc::malformed);
        return 0;
    }
    ++depth_;
    return length;
}

void Decoder::open_array(std::size_t items) {
    if (open_array() != items)
        refuse(Errc::malformed);
}

void Decoder::close() {
    if (error_)
        return;
    if (depth_ == 0 || !cbor_value_at_end(&levels_[depth_]))
        return refuse(Errc::malformed);
    --depth_;
    if (cbor_value_leave_container(&levels_[depth_], &levels_[depth_ + 1]) != CborNoError)
        refuse(Errc::malformed);
}

void Decoder::member(std::int64_t key, std::string_view where) {
    where_ = where;
    expect_integer(key);
}

bool Decoder::optional_member(std::int64_t key, std::string_view where) {
    const CborValue &value = levels_[depth_];
    std::int64_t next = 0;
    if (!more() || !cbor_value_is_integer(&value) || cbor_value_get_int64_checked(&value, &next) != CborNoError ||
        next != key)
        return false;
    where_ = where;
    advance();
    return true;
}

bool Decoder::next_key_is(std::string_view key) const {
    const CborValue &value = levels_[depth_];
    if (error_ || cbor_value_at_end(&value) || !cbor_value_is_text_string(&value))
        return false;
    std::size_t length = 0;
    CborValue next = value;
    if (cbor_value_get_string_length(&value, &length) != CborNoError || cbor_value_advance(&next) != CborNoError)
        return false;
    return as_text(content_before(next, length)) == key;
}

void Decoder::member(std::string_view key, std::string_view where) {
    if (!optional_member(key, where)) {
        where_ = where;
        refuse(Errc::malformed);
    }
}

bool Decoder::optional_member(std::string_view key, std::string_view where) {
    if (!next_key_is(key))
        return false;
    where_ = where;
    advance();
    return true;
}

std::int64_t Decoder::integer() {
    std::int64_t value = 0;
    if (!at_value(cbor_value_is_integer(&levels_[depth_])))
        return 0;
    if (cbor_value_get_int64_checked(&levels_[depth_], &value) != CborNoError) {
        refuse(Errc::out_of_range);
        return 0;
    }
    advance();
    return value;
}

std::uint64_t Decoder::unsigned_integer(std::uint64_t max) {
    std::uint64_t value = 0;
    if (!at_value(cbor_value_is_unsigned_integer(&levels_[depth_])))
        return 0;
    cbor_value_get_uint64(&levels_[depth_], &value);
    if (value > max) {
        refuse(Errc::out_of_range);
        return 0;
    }
    advance();
    return value;
}

ByteView Decoder::bytes(std::size_t min, std::size_t max) {
    if (!at_value(cbor_value_is_byte_string(&levels_[depth_])))
        return {};
    std::size_t length = 0;
    if (cbor_value_get_string_length(&levels_[depth_], &length) != CborNoError || length < min || length > max) {
        refuse(Errc::out_of_range);
        return {};
    }
    advance();
    return error_ ? ByteView{} : content_before(levels_[depth_], length);
}

std::string_view Decoder::text(std::size_t min, std::size_t max) {
    if (!at_value(cbor_value_is_text_string(&levels_[depth_])))
        return {};
    std::size_t length = 0;
    if (cbor_value_get_string_length(&levels_[depth_], &length) != CborNoError || length < min || length > max) {
        refuse(Errc::out_of_range);
        return {};
    }
    advance();
    if (error_)
        return {};
    const std::string_view value = as_text(content_before(levels_[depth_], length));
    if (!printable(value)) {
        refuse(Errc::malformed);
        return {};
    }
    return value;
}

bool Decoder::null() {
    if (error_ || cbor_value_at_end(&levels_[depth_]) || !cbor_value_is_null(&levels_[depth_]))
        return false;
    advance();
    return true;
}

ByteView Decoder::raw() {
    if (!at_value(true))
        return {};
    const std::uint8_t *const from = cbor_value_get_next_byte(&levels_[depth_]);
    advance();
    if (error_)
        return {};
    const auto size = static_cast<std::size_t>(cbor_value_get_next_byte(&levels_[depth_]) - from);
    return {reinterpret_cast<const std::byte *>(from), size};
}

void Decoder::expect_text(std::string_view wanted, Errc code) {
    if (text(0, SIZE_MAX) != wanted)
        refuse(code);
}

void Decoder::expect_integer(std::int64_t wanted, Errc code) {
    if (integer() != wanted)
        refuse(code);
}

Result<ByteView> first_item(ByteView sequence, std::string_view where) {
    constexpr std::uint32_t one_of_several = canonical & ~static_cast<std::uint32_t>(CborValidateCompleteData);
    CborParser parser;
    CborValue value;
    CborError error = cbor_parser_init(u8(sequence), sequence.size(), 0, &parser, &value);
    if (error == CborNoError)
        error = cbor_value_validate(&value, one_of_several);
    if (error == CborNoError)
        error = cbor_value_advance(&value);
    if (error != CborNoError)
        return fail(code_of(error), where);
    return sequence.first(static_cast<std::size_t>(cbor_value_get_next_byte(&value) - u8(sequence)));
}

Result<void> Decoder::finish() {
    if (!error_ && depth_ != 0)
        refuse(Errc::malformed);
    if (error_)
        return std::unexpected(*error_);
    return {};
}

} // namespace cvmin::cbor
