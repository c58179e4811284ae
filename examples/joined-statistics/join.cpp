// Joins the rows of two CSV files by a key and writes only numbers about groups of them that are large enough: how many
// keys both files have, and by group the mean and standard deviation of a value. No key and no row comes out. The rules
// and what they do not protect against are in README.md. Build: see there.
#include "../program.hpp"

#include <map>
#include <numeric>

using namespace example;

namespace {

// With fewer rows a mean is nearly somebody's value: whoever knows all rows but a few gets them from it.
constexpr std::size_t least_minimum = 5;
constexpr double default_minimum = 10, most_minimum = 1e6;
constexpr std::size_t max_group_name = 64; // bytes: a label, not a text

struct Task {
    std::string in, out, key;
    std::string left, group;  // the file whose column `group` says to which group a row belongs; group empty: none does
    std::string right, value; // the file with the value; value empty: rows are counted only
    double low = 0, high = 0; // what a value may be
    std::size_t minimum = 0;  // rows in whatever is written
};

struct Row {
    std::string group;
    double value = 0;
};
using Rows = std::vector<Row>; // in the order of their keys

// ---- options ----------------------------------------------------------------------------------------------------

Task parse_options(const Options &options) {
    Task task{.in = options.find("--in").value_or("/in"),
              .out = options.find("--out").value_or("/out"),
              .key = options.get("--key"),
              .left = options.get("--left"),
              .group = options.find("--group").value_or(""),
              .right = options.get("--right"),
              .value = options.find("--value").value_or("")};
    const double minimum = options.number("--minimum", default_minimum);
    if (minimum < static_cast<double>(least_minimum) || minimum > most_minimum || minimum != std::floor(minimum))
        end(Ends::usage, "--minimum: wanted a whole number from " + std::to_string(least_minimum) + " to 1000000");
    task.minimum = static_cast<std::size_t>(minimum);
    const auto range = options.find("--range");
    if (range.has_value() == task.value.empty())
        end(Ends::usage, "--value and --range LOW:HIGH are wanted both or neither");
    if (range) {
        const std::size_t colon = range->find(':');
        const auto low = parse_number(std::string_view{*range}.substr(0, colon));
        const auto high =
            colon == std::string::npos ? std::nullopt : parse_number(std::string_view{*range}.substr(colon + 1));
        if (!low || !high || *low >= *high)
            end(Ends::usage, "--range: found " + CsvReader::printed(*range) + ", wanted LOW:HIGH, two numbers");
        task.low = *low;
        task.high = *high;
    }
    return task;
}

// ---- inputs -----------------------------------------------------------------------------------------------------

// A file's rows by key: every key is there, and once.
std::map<std::string_view, std::size_t> by_key(const std::string &file, const Csv &csv, const std::string &column) {
    std::map<std::string_view, std::size_t> rows;
    for (std::size_t row = 0; row < csv.rows(); ++row) {
        const std::string &key = csv.columns[0][row];
        if (key.empty())
            end(Ends::bad_input, place(file, csv, row, column) + " is empty");
        if (const auto [there, added] = rows.emplace(key, row); !added)
            end(Ends::bad_input, place(file, csv, row, column) + " is that of line " +
                                     std::to_string(csv.lines[there->second]) + ", too");
    }
    return rows;
}

// A label is written into the result, so it must be able to stand there.
bool valid_group(std::string_view name) {
    return !name.empty() && name.size() <= max_group_name &&
           std::ranges::none_of(name, [](char c) { return (c >= 0 && c < ' ') || c == '"' || c == 0x7f; });
}

Rows join(const Task &task) {
    std::vector<std::string> left_columns{task.key}, right_columns{task.key};
    if (!task.group.empty())
        left_columns.push_back(task.group);
    if (!task.value.empty())
        right_columns.push_back(task.value);
    const Csv left = read_input(task.in, task.left, left_columns);
    const Csv right = read_input(task.in, task.right, right_columns);
    const auto left_rows = by_key(task.left, left, task.key);
    const auto right_rows = by_key(task.right, right, task.key);
    // all rows are looked at, also those that are in one file only: what is wrong does not tell which ones those are
    for (std::size_t row = 0; !task.group.empty() && row < left.rows(); ++row)
        if (!valid_group(left.columns[1][row]))
            end(Ends::bad_input, place(task.left, left, row, task.group) + " is no name of a group; wanted 1 to " +
                                     std::to_string(max_group_name) + " bytes without quotation marks");
    std::vector<double> values(right.rows());
    for (std::size_t row = 0; !task.value.empty() && row < right.rows(); ++row) {
        const auto value = parse_number(right.columns[1][row]);
        if (!value || *value < task.low || *value > task.high)
            end(Ends::bad_input, place(task.right, right, row, task.value) + " is no number within --range");
        values[row] = *value;
    }
    Rows rows;
    for (const auto &[key, row] : left_rows)
        if (const auto found = right_rows.find(key); found != right_rows.end())
            rows.push_back({.group = task.group.empty() ? "" : left.columns[1][row], .value = values[found->second]});
    return rows;
}

// ---- statistics -------------------------------------------------------------------------------------------------

struct Statistics {
    std::size_t count = 0;
    double mean = 0, deviation = 0; // of the sample
    bool varied = false;            // not all values are the same
};

Statistics statistics_of(const Rows &rows) {
    Statistics s{.count = rows.size()};
    for (const Row &row : rows) {
        s.mean += row.value;
        s.varied = s.varied || row.value != rows.front().value;
    }
    s.mean /= static_cast<double>(rows.size());
    double squares = 0;
    for (const Row &row : rows)
        squares += (row.value - s.mean) * (row.value - s.mean);
    s.deviation = std::sqrt(squares / static_cast<double>(rows.size() - 1)); // at least least_minimum rows
    return s;
}

// Why nothing may be written about these rows; empty: it may.
std::string_view hidden_because(const Task &task, const Rows &rows) {
    if (rows.size() < task.minimum)
        return "there are too few";
    if (!task.value.empty() && !statistics_of(rows).varied)
        return "all have the same value"; // which the mean would say of each of them
    return {};
}

struct Shown {
    std::map<std::string, Rows> groups;
    Rows other; // of all groups that are not shown; empty, or may be shown itself
};

// The whole and its shown groups give the rest by subtraction, so the rest must be able to stand alone: while it is not
// empty and may not be shown, the smallest shown group goes into it. Ends at the latest with all rows.
Shown choose(const Task &task, const Rows &rows) {
    Shown shown;
    for (const Row &row : rows)
        shown.groups[row.group].push_back(row);
    const auto hide = [&](auto place) {
        shown.other.insert(shown.other.end(), place->second.begin(), place->second.end());
        return shown.groups.erase(place);
    };
    for (auto place = shown.groups.begin(); place != shown.groups.end();)
        place = hidden_because(task, place->second).empty() ? std::next(place) : hide(place);
    while (!shown.other.empty() && !hidden_because(task, shown.other).empty() && !shown.groups.empty())
        hide(std::ranges::min_element(shown.groups, {}, [](const auto &group) { return group.second.size(); }));
    return shown;
}

std::string line(const Task &task, std::string_view kind, std::string_view group, const Rows &rows) {
    const Statistics s = statistics_of(rows);
    std::string text = std::string{kind} + ',';
    text += group.contains(',') ? '"' + std::string{group} + '"' : std::string{group};
    text += ',' + std::to_string(s.count);
    if (!task.value.empty()) {
        std::array<char, 2 * 330> numbers{}; // a double has at most 309 digits before the point
        std::snprintf(numbers.data(), numbers.size(), ",%.4f,%.4f", s.mean, s.deviation);
        text += numbers.data();
    }
    return text + '\n';
}

} // namespace

int main(int argc, char **argv) {
    static constexpr std::string_view known[] = {"--key",   "--left",    "--group", "--right", "--value",
                                                 "--range", "--minimum", "--in",    "--out"};
    const Task task = parse_options(Options{argc, argv, known});
    const Rows rows = join(task);
    if (const std::string_view why = hidden_because(task, rows); !why.empty())
        end(Ends::refused, "nothing is said about the rows that are in both files: " + std::string{why} + "; wanted " +
                               std::to_string(task.minimum) + " or more, of different values");
    std::string text = task.value.empty() ? "kind,group,count\n" : "kind,group,count,mean,deviation\n";
    text += line(task, "all", "", rows);
    if (!task.group.empty()) {
        const Shown shown = choose(task, rows);
        for (const auto &[name, group] : shown.groups)
            text += line(task, "group", name, group);
        if (!shown.other.empty())
            text += line(task, "other", "", shown.other);
    }
    write_output(task.out, "statistics.csv", text);
    std::puts("statistics.csv is written");
    return 0;
}
