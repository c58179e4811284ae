// The first line of the input names two columns to read from the rest. What is read and written out again, quoted,
// reads the same; what is refused has a reason on one line, and a line that is there.
#include "examples/csv.hpp"

#include <cstdint>
#include <cstdlib>

namespace {

std::string quoted(const std::string &field) {
    std::string text{'"'};
    for (const char c : field)
        text += c == '"' ? std::string{"\"\""} : std::string{c};
    return text + '"';
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
    using namespace example;
    std::string_view input{reinterpret_cast<const char *>(data), size};
    const std::string_view names = input.substr(0, input.find('\n'));
    const std::size_t comma = std::min(names.find(','), names.size());
    const std::vector<std::string> wanted{std::string{names.substr(0, comma)},
                                          std::string{names.substr(std::min(comma + 1, names.size()))}};
    input.remove_prefix(std::min(names.size() + 1, input.size()));
    const auto csv = read_csv(input, wanted);
    if (!csv) {
        const auto lines = 1 + static_cast<std::size_t>(std::ranges::count(input, '\n'));
        if (csv.error().text.empty() || csv.error().line > lines || to_string(csv.error()).contains('\n'))
            std::abort();
        return 0;
    }
    if (csv->columns.size() != 2 || csv->columns[0].size() != csv->rows() || csv->columns[1].size() != csv->rows())
        std::abort();
    if (!std::ranges::is_sorted(csv->lines))
        std::abort();
    if (wanted[0] == wanted[1]) // one column twice, which cannot be written out as two
        return 0;
    std::string text = quoted(wanted[0]) + ',' + quoted(wanted[1]) + "\r\n";
    for (std::size_t row = 0; row < csv->rows(); ++row)
        text += quoted(csv->columns[0][row]) + ',' + quoted(csv->columns[1][row]) + '\n';
    const auto again = read_csv(text, wanted);
    if (!again || again->columns != csv->columns)
        std::abort();
    return 0;
}
