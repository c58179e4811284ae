#include "host-tools/computation/json_lines.hpp"

#include "host-tools/base/json.hpp"
#include "host-tools/base/text.hpp"

#include <memory>
#include <set>

namespace cvmin {

namespace {

// Reads a text and counts, across the copies that the parser makes of it.
class Counting {
  public:
    using iterator_category = std::input_iterator_tag;
    using value_type = char;
    using difference_type = std::ptrdiff_t;
    using pointer = const char *;
    using reference = const char &;

    Counting(const char *at, std::size_t *count) : at_(at), count_(count) {}
    reference operator*() const { return *at_; }
    Counting &operator++() {
        ++at_;
        ++*count_;
        return *this;
    }
    bool operator==(const Counting &other) const { return at_ == other.at_; }
    bool operator!=(const Counting &other) const { return at_ != other.at_; }

  private:
    const char *at_;
    std::size_t *count_;
};

// Told of each token just after it was read.
class Handler : public nlohmann::json_sax<Json> {
  public:
    Handler(std::string_view text, const std::size_t *read, JsonLines &out) : text_(text), read_(read), out_(out) {}

    bool null() override { return value(0); }
    bool boolean(bool) override { return value(0); }
    // the parser reads one character past a number to see that it ends
    bool number_integer(number_integer_t) override { return value(1); }
    bool number_unsigned(number_unsigned_t) override { return value(1); }
    bool number_float(number_float_t, const string_t &) override { return value(1); }
    bool string(string_t &) override { return value(0); }
    bool binary(binary_t &) override { return value(0); }
    bool start_object(std::size_t) override { return open(false); }
    bool start_array(std::size_t) override { return open(true); }
    bool end_object() override { return close(); }
    bool end_array() override { return close(); }
    bool key(string_t &name) override {
        Level &level = levels_.back();
        level.key = name;
        if (level.keys.insert(name).second)
            return true;
        return refuse("the member \"" + printable_line(name) + "\" stands there twice");
    }
    bool parse_error(std::size_t position, const std::string &, const nlohmann::detail::exception &error) override {
        std::string_view what =
            error.what(); // "[json.exception.parse_error.101] parse error at line 1, column 2: text"
        if (const auto at = what.find(": "); at != std::string_view::npos)
            what.remove_prefix(at + 2);
        out_.problem = JsonLines::Problem{line_at(position == 0 ? 0 : position - 1), printable_line(std::string{what})};
        return false;
    }

  private:
    struct Level {
        bool array;
        std::string path; // of the container
        std::size_t index = 0;
        std::string key;
        std::set<std::string, std::less<>> keys;
    };

    // Offsets grow, so the text is counted once.
    std::size_t line_at(std::size_t offset) {
        for (offset = std::min(offset, text_.size()); counted_ < offset; ++counted_)
            line_ += text_[counted_] == '\n';
        return line_;
    }
    bool refuse(std::string text) {
        out_.problem = JsonLines::Problem{line_at(*read_ == 0 ? 0 : *read_ - 1), std::move(text)};
        return false;
    }
    std::string path_of_value() {
        if (levels_.empty())
            return {};
        Level &level = levels_.back();
        if (level.array)
            return level.path + '[' + std::to_string(level.index++) + ']';
        return level.path.empty() ? level.key : level.path + '.' + level.key;
    }
    // `ahead`: characters that were read behind the value.
    std::string note(std::size_t ahead) {
        std::string path = path_of_value();
        out_.lines.emplace(path, line_at(*read_ > ahead ? *read_ - ahead - 1 : 0));
        return path;
    }
    bool value(std::size_t ahead) {
        note(ahead);
        return true;
    }
    bool open(bool array) {
        std::string path = note(0);
        if (levels_.size() >= max_json_depth)
            return refuse("more than " + std::to_string(max_json_depth) + " levels");
        levels_.push_back({.array = array, .path = std::move(path), .index = 0, .key = {}, .keys = {}});
        return true;
    }
    bool close() {
        levels_.pop_back();
        return true;
    }

    std::string_view text_;
    const std::size_t *read_;
    JsonLines &out_;
    std::vector<Level> levels_;
    std::size_t counted_ = 0, line_ = 1;
};

} // namespace

std::size_t JsonLines::line_of(std::string_view path) const {
    for (;;) {
        if (const auto found = lines.find(path); found != lines.end())
            return found->second;
        const auto cut = path.find_last_of(".[");
        if (path.empty())
            return 1;
        path = cut == std::string_view::npos ? std::string_view{} : path.substr(0, cut);
    }
}

JsonLines json_lines(ByteView bytes) {
    JsonLines out;
    const std::string_view text = as_text(bytes);
    std::size_t read = 0;
    Handler handler(text, &read, out);
    Json::sax_parse(Counting{std::to_address(text.begin()), &read}, Counting{std::to_address(text.end()), &read},
                    &handler);
    return out;
}

} // namespace cvmin
