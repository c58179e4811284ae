// Reads named columns out of a CSV file (RFC 4180: a first line of names, fields that may be quoted, CRLF or LF), for
// the programs in this folder. What is wrong with a file is said by line and column, never with what a field holds: a
// program's log goes to all who get the result, and the data is not theirs. Knows nothing of what the columns mean.
#pragma once

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <expected>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace example {

inline constexpr std::size_t max_csv_columns = 256; // no table for people has more; a file of commas is none
inline constexpr std::size_t max_csv_field =
    4096; // bytes: a quote that nobody closed ends here, not at the end of the file
inline constexpr std::size_t max_csv_rows = 10'000'000; // some 1 GB of memory with two columns: more is a mistake
inline constexpr std::size_t max_printed_name = 64;     // bytes of a column's name in a message

struct CsvError {
    std::size_t line = 0; // 0: of the file as a whole
    std::string text;
};

inline std::string to_string(const CsvError &error) {
    return error.line == 0 ? error.text : "line " + std::to_string(error.line) + ": " + error.text;
}

struct Csv {
    std::vector<std::vector<std::string>> columns; // as wanted; each has a field for every row
    std::vector<std::size_t> lines;                // where each row begins; the first line of a file is 1
    std::size_t rows() const { return lines.size(); }
};

class CsvReader {
  public:
    explicit CsvReader(std::string_view text) : text_(text) {
        if (text_.starts_with("\xef\xbb\xbf")) // what some spreadsheets put before UTF-8
            text_.remove_prefix(3);
    }

    // The columns with these names, which are each there once.
    std::expected<Csv, CsvError> read(std::span<const std::string> wanted) {
        if (text_.empty())
            return fail(0, "the file is empty; wanted a first line with the names of columns");
        const auto header = record();
        if (!header)
            return std::unexpected(header.error());
        const std::size_t width = fields_.size();
        std::vector<std::size_t> places;
        for (const std::string &name : wanted) {
            const auto found = std::ranges::find(fields_, name);
            if (found == fields_.end())
                return fail(1, "none of the " + std::to_string(width) + " columns is \"" + printed(name) + '"');
            if (std::find(found + 1, fields_.end(), name) != fields_.end())
                return fail(1, "more than one column is \"" + printed(name) + '"');
            places.push_back(static_cast<std::size_t>(found - fields_.begin()));
        }
        Csv csv;
        csv.columns.resize(wanted.size());
        while (!text_.empty()) {
            const auto line = record();
            if (!line)
                return std::unexpected(line.error());
            if (fields_.size() != width)
                return fail(*line, std::to_string(fields_.size()) + " fields; wanted " + std::to_string(width) +
                                       ", as in the first line");
            if (csv.rows() == max_csv_rows)
                return fail(*line, "more than " + std::to_string(max_csv_rows) + " rows");
            for (std::size_t i = 0; i < places.size(); ++i)
                csv.columns[i].push_back(std::move(fields_[places[i]]));
            csv.lines.push_back(*line);
        }
        return csv;
    }

    static std::string printed(std::string_view name) { // on one line, whatever it is
        std::string text{name.substr(0, max_printed_name)};
        std::ranges::replace_if(text, [](char c) { return c < ' ' || c > '~'; }, '?');
        return text;
    }

  private:
    static std::unexpected<CsvError> fail(std::size_t line, std::string text) {
        return std::unexpected(CsvError{line, std::move(text)});
    }

    bool at_line_end() const { return text_.starts_with('\n') || text_.starts_with("\r\n"); }
    char take() {
        const char c = text_.front();
        text_.remove_prefix(1);
        line_ += c == '\n' ? 1 : 0;
        return c;
    }

    // One record into fields_; the line on which it begins.
    std::expected<std::size_t, CsvError> record() {
        const std::size_t first = line_;
        fields_.clear();
        if (at_line_end())
            return fail(first, "the line is empty");
        for (;;) {
            if (fields_.size() == max_csv_columns)
                return fail(first, "more than " + std::to_string(max_csv_columns) + " fields");
            if (const auto done = text_.starts_with('"') ? quoted() : plain(); !done)
                return std::unexpected(done.error());
            if (text_.empty())
                return first;
            if (at_line_end()) {
                text_.remove_prefix(text_.starts_with('\r') ? 1 : 0);
                take();
                return first;
            }
            take(); // a comma: neither kind of field ends at anything else
        }
    }

    std::expected<void, CsvError> plain() {
        std::string &field = fields_.emplace_back();
        while (!text_.empty() && text_.front() != ',' && !at_line_end()) {
            const char c = take();
            if (c == '"')
                return fail(line_, "a quotation mark within a field that does not begin with one");
            if (c == '\r')
                return fail(line_, "a carriage return that ends no line");
            if (const auto stored = store(field, c); !stored)
                return stored;
        }
        return {};
    }

    std::expected<void, CsvError> quoted() {
        const std::size_t begins = line_;
        std::string &field = fields_.emplace_back();
        take();
        for (;;) {
            if (text_.empty())
                return fail(begins, "a quoted field does not end");
            const char c = take();
            if (c == '"') {
                if (!text_.starts_with('"'))
                    break;
                take(); // two of them stand for one
            }
            if (const auto stored = store(field, c); !stored)
                return stored;
        }
        if (!text_.empty() && text_.front() != ',' && !at_line_end())
            return fail(line_, "text after the end of a quoted field");
        return {};
    }

    std::expected<void, CsvError> store(std::string &field, char c) const {
        if (c == '\0')
            return fail(line_, "a zero byte: this is no CSV file");
        if (field.size() == max_csv_field)
            return fail(line_, "a field of more than " + std::to_string(max_csv_field) + " bytes");
        field.push_back(c);
        return {};
    }

    std::string_view text_;
    std::size_t line_ = 1;
    std::vector<std::string> fields_;
};

inline std::expected<Csv, CsvError> read_csv(std::string_view text, std::span<const std::string> wanted) {
    return CsvReader{text}.read(wanted);
}

// A decimal number and nothing else; no blanks, no "nan", no "inf", no hexadecimal, no leading '+'.
inline std::optional<double> parse_number(std::string_view text) {
    double value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size() || !std::isfinite(value))
        return std::nullopt;
    return value;
}

} // namespace example
