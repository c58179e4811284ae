#include "common/cbor_stream.hpp"

#include <cstdlib>

namespace cvmin::cbor {

namespace {

constexpr std::uint8_t one_byte_follows = 24; // 24..27: the argument is in the next 1, 2, 4, 8 bytes
constexpr std::uint8_t eight_bytes_follow = 27;
constexpr std::uint64_t simple_false = 20;
constexpr std::uint64_t simple_undefined = 23;

struct Head {
    Major major;
    std::uint8_t info;
    std::uint64_t value;
    std::size_t size; // of the head itself
};

Result<Head> read_head(ByteView input, std::size_t offset, std::string_view where) {
    if (offset >= input.size())
        return fail(Errc::truncated, where, offset);
    const auto first = std::to_integer<std::uint8_t>(input[offset]);
    const auto info = static_cast<std::uint8_t>(first & 0x1f);
    Head head{static_cast<Major>(first >> 5), info, info, 1};
    if (info < one_byte_follows)
        return head;
    if (info > eight_bytes_follow) // 28 to 30 mean nothing, 31 an indefinite length
        return fail(Errc::malformed, where, offset);
    const std::size_t argument = std::size_t{1} << (info - one_byte_follows);
    if (input.size() - offset - 1 < argument)
        return fail(Errc::truncated, where, offset);
    head.value = load_be(input.subspan(offset + 1, argument));
    head.size = 1 + argument;
    return head;
}

// The shortest encoding is that whose value would not have fitted into the next shorter one.
bool shortest(const Head &head) {
    switch (head.size) {
    case 2:
        return head.value >= one_byte_follows;
    case 3:
        return head.value > 0xff;
    case 5:
        return head.value > 0xffff;
    case 9:
        return head.value > 0xffffffff;
    default:
        return true;
    }
}

bool is_string(Major major) {
    return major == Major::bytes || major == Major::text;
}

// RFC 3629: no overlong form, no surrogates, nothing above U+10FFFF.
bool valid_utf8(ByteView text) {
    for (std::size_t i = 0; i < text.size();) {
        const auto byte = [&](std::size_t at) { return std::to_integer<std::uint32_t>(text[at]); };
        const std::uint32_t first = byte(i);
        if (first < 0x80) {
            ++i;
            continue;
        }
        const std::size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
        if (first < 0xc2 || first > 0xf4 || text.size() - i < length)
            return false;
        std::uint32_t code = first & (0x7fu >> length);
        for (std::size_t k = 1; k < length; ++k) {
            if ((byte(i + k) & 0xc0) != 0x80)
                return false;
            code = code << 6 | (byte(i + k) & 0x3f);
        }
        constexpr std::uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
        if (code < least[length] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
            return false;
        i += length;
    }
    return true;
}

// A container that is open, or a tag whose item is awaited.
struct Level {
    std::uint64_t left;         // items still to come
    bool is_map = false;        // then `left` counts keys and values
    std::size_t keys_begin = 0; // of this map, in Walk::keys_
};

// One pass over the items, without recursion.
class Walk {
  public:
    Walk(ByteView input, std::size_t offset, Form form, std::string_view where)
        : input_(input), offset_(offset), form_(form), where_(where) {}

    // Until the item at `offset` is over; gives where it ends.
    Result<std::size_t> run() {
        levels_[0] = {.left = 1};
        depth_ = 1;
        while (depth_ != 0) {
            Level &level = levels_[depth_ - 1];
            if (level.left == 0) {
                CVMIN_CHECK(leave(level));
                --depth_;
                continue;
            }
            const bool is_key = level.is_map && level.left % 2 == 0;
            --level.left;
            CVMIN_CHECK(item(is_key));
        }
        return offset_;
    }

  private:
    Result<void> item(bool is_key) {
        const std::size_t start = offset_;
        CVMIN_TRY(head, read_head(input_, offset_, where_));
        if (form_ == Form::deterministic && head.major != Major::simple && !shortest(head))
            return fail(Errc::malformed, where_, start);
        offset_ += head.size;
        if (is_string(head.major)) {
            if (head.value > input_.size() - offset_)
                return fail(Errc::truncated, where_, start);
            const ByteView content = input_.subspan(offset_, static_cast<std::size_t>(head.value));
            if (head.major == Major::text && !valid_utf8(content))
                return fail(Errc::malformed, where_, start);
            offset_ += content.size();
        } else if (head.major == Major::simple) {
            CVMIN_CHECK(check_simple(head, start));
        }
        if (is_key) {
            if (!is_string(head.major) && head.major != Major::unsigned_integer &&
                head.major != Major::negative_integer)
                return fail(Errc::malformed, where_, start);
            keys_.push_back(input_.subspan(start, offset_ - start));
            return {};
        }
        if (head.major == Major::array || head.major == Major::map || head.major == Major::tag)
            return enter(head, start);
        return {};
    }

    // false, true, null, undefined, and floats; undefined has no place in what we keep.
    Result<void> check_simple(const Head &head, std::size_t start) const {
        const bool is_float = head.info > one_byte_follows;
        const bool known = head.info < one_byte_follows && head.value >= simple_false && head.value < simple_undefined;
        if (is_float || known)
            return {};
        return fail(Errc::malformed, where_, start);
    }

    Result<void> enter(const Head &head, std::size_t start) {
        if (depth_ == levels_.size())
            return fail(Errc::too_large, where_, start);
        Level level{.left = head.major == Major::tag ? 1 : head.value};
        // every item takes a byte at least, so that a count beyond the rest is wrong without walking there
        if (level.left > input_.size() - offset_)
            return fail(Errc::truncated, where_, start);
        if (head.major == Major::map) {
            if (head.value > max_map_members)
                return fail(Errc::too_large, where_, start);
            level = {.left = 2 * head.value, .is_map = true, .keys_begin = keys_.size()};
        }
        levels_[depth_++] = level;
        return {};
    }

    Result<void> leave(const Level &level) {
        if (!level.is_map)
            return {};
        const auto keys = std::span{keys_}.subspan(level.keys_begin);
        const auto less = [](ByteView a, ByteView b) { return std::ranges::lexicographical_compare(a, b); };
        if (form_ == Form::any)
            std::ranges::sort(keys, less);
        for (std::size_t i = 1; i < keys.size(); ++i)
            if (!less(keys[i - 1], keys[i])) // equal, or out of order
                return fail(Errc::malformed, where_, static_cast<std::uint64_t>(keys[i].data() - input_.data()));
        keys_.resize(level.keys_begin);
        return {};
    }

    ByteView input_;
    std::size_t offset_;
    Form form_;
    std::string_view where_;
    std::array<Level, max_nesting + 1> levels_{};
    std::size_t depth_ = 0;
    std::vector<ByteView> keys_; // of the maps that are open, outermost first
};

} // namespace

Result<void> check_item(ByteView input, std::size_t limit, Form form, std::string_view where) {
    if (input.size() > limit)
        return fail(Errc::too_large, where, input.size());
    CVMIN_TRY(end, Walk(input, 0, form, where).run());
    if (end != input.size())
        return fail(Errc::trailing, where, end);
    return {};
}

// ---- Writer ---------------------------------------------------------------------------------------------------

void Writer::head(Major major, std::uint64_t value) {
    const auto first = static_cast<std::uint8_t>(static_cast<std::uint8_t>(major) << 5);
    std::size_t size = 0;
    std::uint8_t info = 0;
    if (value < one_byte_follows) {
        info = static_cast<std::uint8_t>(value);
    } else {
        const unsigned power = value <= 0xff ? 0u : value <= 0xffff ? 1u : value <= 0xffffffff ? 2u : 3u;
        info = static_cast<std::uint8_t>(one_byte_follows + power);
        size = std::size_t{1} << power;
    }
    out_.push_back(static_cast<std::byte>(first | info));
    for (std::size_t i = size; i-- > 0;)
        out_.push_back(static_cast<std::byte>(value >> (8 * i) & 0xff));
}

void Writer::integer(std::int64_t value) {
    if (value >= 0)
        head(Major::unsigned_integer, static_cast<std::uint64_t>(value));
    else
        head(Major::negative_integer, ~static_cast<std::uint64_t>(value)); // -1 - value
}

void Writer::bytes(ByteView value) {
    head(Major::bytes, value.size());
    raw(value);
}

void Writer::text(std::string_view value) {
    head(Major::text, value.size());
    raw(as_bytes(value));
}

void Writer::raw(ByteView item) {
    out_.insert(out_.end(), item.begin(), item.end());
}

Bytes Writer::finish() {
    if (!check_item(out_, out_.size(), Form::deterministic, "cbor"))
        std::abort();
    return std::move(out_);
}

// ---- Cursor ---------------------------------------------------------------------------------------------------

Cursor::Cursor(ByteView input, std::size_t limit, std::string_view where, Form form) : input_(input), where_(where) {
    if (const auto checked = check_item(input, limit, form, where); !checked)
        error_ = checked.error();
}

void Cursor::refuse(Errc code) {
    if (!error_)
        error_ = Error{code, where_, offset_};
}

bool Cursor::is(Major major) const {
    if (error_)
        return false;
    const auto head = read_head(input_, offset_, where_);
    return head && head->major == major;
}

std::optional<Cursor::Head> Cursor::take(Major major) {
    if (error_)
        return std::nullopt;
    const auto head = read_head(input_, offset_, where_);
    if (!head || head->major != major) {
        refuse(Errc::malformed);
        return std::nullopt;
    }
    offset_ += head->size;
    return Head{head->major, head->value};
}

std::size_t Cursor::map(std::size_t max) {
    const auto head = take(Major::map);
    if (head && head->value > max)
        refuse(Errc::out_of_range);
    return ok() && head ? static_cast<std::size_t>(head->value) : 0;
}

std::size_t Cursor::array(std::size_t min, std::size_t max) {
    const auto head = take(Major::array);
    if (head && (head->value < min || head->value > max))
        refuse(Errc::out_of_range);
    return ok() && head ? static_cast<std::size_t>(head->value) : 0;
}

std::uint64_t Cursor::tag() {
    const auto head = take(Major::tag);
    return head ? head->value : 0;
}

void Cursor::expect_tag(std::uint64_t number) {
    const std::size_t start = offset_;
    const auto head = take(Major::tag);
    if (head && head->value != number) {
        offset_ = start;
        refuse(Errc::unsupported);
    }
}

std::int64_t Cursor::integer() {
    const bool negative = is(Major::negative_integer);
    const auto head = take(negative ? Major::negative_integer : Major::unsigned_integer);
    if (head && head->value > static_cast<std::uint64_t>(INT64_MAX))
        refuse(Errc::out_of_range);
    if (!ok() || !head)
        return 0;
    const auto value = static_cast<std::int64_t>(head->value);
    return negative ? -1 - value : value;
}

std::uint64_t Cursor::unsigned_integer(std::uint64_t max) {
    const auto head = take(Major::unsigned_integer);
    if (head && head->value > max)
        refuse(Errc::out_of_range);
    return ok() && head ? head->value : 0;
}

ByteView Cursor::bytes(std::size_t min, std::size_t max) {
    const auto head = take(Major::bytes);
    if (head && (head->value < min || head->value > max))
        refuse(Errc::out_of_range);
    if (!ok() || !head)
        return {};
    const ByteView content = input_.subspan(offset_, static_cast<std::size_t>(head->value));
    offset_ += content.size();
    return content;
}

std::string_view Cursor::text(std::size_t min, std::size_t max) {
    const auto head = take(Major::text);
    if (head && (head->value < min || head->value > max))
        refuse(Errc::out_of_range);
    if (!ok() || !head)
        return {};
    const ByteView content = input_.subspan(offset_, static_cast<std::size_t>(head->value));
    offset_ += content.size();
    return as_text(content);
}

ByteView Cursor::skip_item() {
    if (error_)
        return {};
    const auto end = Walk(input_, offset_, Form::any, where_).run();
    if (!end) {
        refuse(Errc::malformed);
        return {};
    }
    const ByteView item = input_.subspan(offset_, *end - offset_);
    offset_ = *end;
    return item;
}

std::optional<std::int64_t> Cursor::key() {
    if (is(Major::unsigned_integer) || is(Major::negative_integer)) {
        const auto head = read_head(input_, offset_, where_);
        if (head && head->value <= static_cast<std::uint64_t>(INT64_MAX))
            return integer();
    }
    skip_item();
    return std::nullopt;
}

Result<void> Cursor::finish() {
    if (!error_ && offset_ != input_.size())
        error_ = Error{Errc::trailing, where_, offset_};
    if (error_)
        return std::unexpected(*error_);
    return {};
}

} // namespace cvmin::cbor
