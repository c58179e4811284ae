// Trains a logistic regression on the rows of several CSV files and writes the weights and how well they fit:
// model.json. No row comes out; what a model may tell of the rows all the same is in README.md. Same inputs, same
// bytes, on every processor. Build: see there.
#include "../program.hpp"

using namespace example;

namespace {

constexpr std::size_t max_features = 32; // an iteration takes rows x features^2 steps
constexpr std::size_t max_files = 16;    // datasets of a manifest
// A file of few rows could be recognized in the weights by whoever knows the rest.
constexpr double least_rows = 50, most_rows = 1e7, default_rows = 100;
constexpr std::size_t rows_per_weight = 10; // with fewer the weights repeat the rows
// Without any, weights of data that a line divides grow without end; and it keeps single rows from mattering much.
constexpr double least_penalty = 1e-6, most_penalty = 1e3, default_penalty = 0.01;
constexpr unsigned max_iterations = 100; // some 8 are needed
constexpr unsigned max_halvings = 40;    // of a step
constexpr double small_step = 1e-9;      // the step after one of this size is smaller than rounding

using Vector = std::vector<double>;

struct Task {
    std::string in, out, label;
    std::vector<std::string> features, files;
    double penalty = 0;
    std::size_t minimum_rows = 0; // of each file
};

struct Data {
    std::vector<Vector> rows; // each: features, standardized, then 1 for the bias
    std::vector<bool> labels;
    Vector mean, deviation; // of each feature
};

// ---- options and inputs -----------------------------------------------------------------------------------------

Task parse_options(const Options &options) {
    Task task{.in = options.find("--in").value_or("/in"),
              .out = options.find("--out").value_or("/out"),
              .label = options.get("--label"),
              .features = options.all("--feature"),
              .files = options.all("--data"),
              .penalty = options.number("--penalty", default_penalty)};
    if (task.features.empty() || task.features.size() > max_features)
        end(Ends::usage, "--feature: found " + std::to_string(task.features.size()) + ", wanted 1 to " +
                             std::to_string(max_features));
    if (task.files.empty() || task.files.size() > max_files)
        end(Ends::usage,
            "--data: found " + std::to_string(task.files.size()) + ", wanted 1 to " + std::to_string(max_files));
    for (const std::string &name : task.features)
        if (name == task.label || std::ranges::count(task.features, name) != 1)
            end(Ends::usage, "--feature " + CsvReader::printed(name) + ": wanted once, and not as label");
    for (const std::string &name : task.files)
        if (std::ranges::count(task.files, name) != 1)
            end(Ends::usage, "--data " + CsvReader::printed(name) + ": wanted once");
    if (task.penalty < least_penalty || task.penalty > most_penalty)
        end(Ends::usage, "--penalty: wanted 0.000001 to 1000");
    const double rows = options.number("--minimum-rows", default_rows);
    if (rows < least_rows || rows > most_rows || rows != std::floor(rows))
        end(Ends::usage, "--minimum-rows: wanted a whole number from 50 to 10000000");
    task.minimum_rows = static_cast<std::size_t>(rows);
    return task;
}

void add_file(const Task &task, const std::string &file, Data &data) {
    std::vector<std::string> columns = task.features;
    columns.push_back(task.label);
    const Csv csv = read_input(task.in, file, columns);
    if (csv.rows() < task.minimum_rows)
        end(Ends::refused, file + ": fewer than " + std::to_string(task.minimum_rows) + " rows");
    for (std::size_t row = 0; row < csv.rows(); ++row) {
        Vector values;
        for (std::size_t i = 0; i < task.features.size(); ++i) {
            const auto value = parse_number(csv.columns[i][row]);
            if (!value)
                end(Ends::bad_input, place(file, csv, row, task.features[i]) + " is no number");
            values.push_back(*value);
        }
        const std::string &label = csv.columns.back()[row];
        if (label != "0" && label != "1")
            end(Ends::bad_input, place(file, csv, row, task.label) + " is neither 0 nor 1");
        values.push_back(1);
        data.rows.push_back(std::move(values));
        data.labels.push_back(label == "1");
    }
}

// Each feature gets mean 0 and deviation 1, so that one penalty and one size of a step suit all.
void standardize(const Task &task, Data &data) {
    const double count = static_cast<double>(data.rows.size());
    for (std::size_t i = 0; i < task.features.size(); ++i) {
        double mean = 0, squares = 0;
        for (const Vector &row : data.rows)
            mean += row[i] / count;
        for (const Vector &row : data.rows)
            squares += (row[i] - mean) * (row[i] - mean) / count;
        const double deviation = std::sqrt(squares);
        if (!std::isfinite(deviation) || !(deviation > 1e-12 * std::abs(mean)))
            end(Ends::refused,
                CsvReader::printed(task.features[i]) + ": all rows have the same value, or it is too large");
        for (Vector &row : data.rows)
            row[i] = (row[i] - mean) / deviation;
        data.mean.push_back(mean);
        data.deviation.push_back(deviation);
    }
}

// ---- training ---------------------------------------------------------------------------------------------------

// libm has another exp() for each kind of processor, and their last bits differ. This one adds and multiplies only.
double exponential(double x) {
    constexpr double ln2_high = 0x1.62e42fee00000p-1, ln2_low = 0x1.a39ef35793c76p-33; // the product with k is exact
    const double k = std::floor(x / (ln2_high + ln2_low) + 0.5);
    const double r = (x - k * ln2_high) - k * ln2_low; // at most ln(2)/2: 16 terms are enough for 53 bits
    double sum = 1;
    for (int n = 16; n > 0; --n)
        sum = 1 + sum * r / n;
    return std::ldexp(sum, static_cast<int>(k));
}

double probability(double score) {
    return 1 / (1 + exponential(-std::clamp(score, -700.0, 700.0)));
}

double product(const Vector &a, const Vector &b) {
    double sum = 0;
    for (std::size_t i = 0; i < a.size(); ++i)
        sum += a[i] * b[i];
    return sum;
}

// Of the mean negative log-likelihood plus penalty/2 times the squares of all weights but the bias.
struct Slope {
    Vector gradient;
    std::vector<Vector> hessian;
};

Slope slope_at(const Task &task, const Data &data, const Vector &weights) {
    const std::size_t size = weights.size();
    const double count = static_cast<double>(data.rows.size());
    Slope s{.gradient = Vector(size), .hessian = std::vector<Vector>(size, Vector(size))};
    for (std::size_t row = 0; row < data.rows.size(); ++row) {
        const Vector &x = data.rows[row];
        const double p = probability(product(weights, x));
        const double error = (p - (data.labels[row] ? 1 : 0)) / count, curve = p * (1 - p) / count;
        for (std::size_t i = 0; i < size; ++i) {
            s.gradient[i] += error * x[i];
            for (std::size_t j = 0; j <= i; ++j)
                s.hessian[i][j] += curve * x[i] * x[j];
        }
    }
    for (std::size_t i = 0; i + 1 < size; ++i) {
        s.gradient[i] += task.penalty * weights[i];
        s.hessian[i][i] += task.penalty;
    }
    return s;
}

// hessian * step = gradient by Cholesky's decomposition; the lower half of the matrix is read. nullopt: it has none.
std::optional<Vector> newton_step(Slope s) {
    const std::size_t size = s.gradient.size();
    std::vector<Vector> &l = s.hessian;
    Vector &step = s.gradient;
    for (std::size_t i = 0; i < size; ++i) {
        for (std::size_t j = 0; j <= i; ++j) {
            for (std::size_t k = 0; k < j; ++k)
                l[i][j] -= l[i][k] * l[j][k];
            if (i != j)
                l[i][j] /= l[j][j];
            else if (!(l[i][i] > 0))
                return std::nullopt;
            else
                l[i][i] = std::sqrt(l[i][i]);
        }
        for (std::size_t k = 0; k < i; ++k)
            step[i] -= l[i][k] * step[k];
        step[i] /= l[i][i];
    }
    for (std::size_t i = size; i-- > 0;) {
        for (std::size_t k = i + 1; k < size; ++k)
            step[i] -= l[k][i] * step[k];
        step[i] /= l[i][i];
    }
    return std::move(step);
}

struct Trained {
    Vector weights; // of standardized features, the bias last
    unsigned iterations = 0;
};

// Newton's method; a step is halved until the gradient gets smaller, so that it ends at the one minimum from anywhere.
Trained train(const Task &task, const Data &data) {
    Trained trained{.weights = Vector(task.features.size() + 1)};
    Slope here = slope_at(task, data, trained.weights);
    while (trained.iterations++ < max_iterations) {
        const auto step = newton_step(here);
        if (!step)
            break;
        const double length = std::ranges::max(*step, {}, [](double x) { return std::abs(x); });
        double scale = 1;
        for (unsigned halving = 0;; ++halving, scale /= 2) {
            Vector next = trained.weights;
            for (std::size_t i = 0; i < next.size(); ++i)
                next[i] -= scale * (*step)[i];
            Slope there = slope_at(task, data, next);
            const bool better = product(there.gradient, there.gradient) < product(here.gradient, here.gradient);
            if (!better && halving < max_halvings && std::abs(length) > small_step)
                continue;
            trained.weights = std::move(next);
            here = std::move(there);
            break;
        }
        if (std::abs(length) <= small_step)
            return trained;
    }
    end(Ends::refused, "no weights are found: the features may be the same but for a factor; a larger --penalty helps");
}

std::string model_json(const Task &task, const Data &data, const Trained &trained) {
    std::size_t right = 0;
    for (std::size_t row = 0; row < data.rows.size(); ++row)
        right += (product(trained.weights, data.rows[row]) >= 0) == data.labels[row] ? 1 : 0;
    const auto number = [](double value) {
        std::array<char, 40> text{};
        std::snprintf(text.data(), text.size(), "%.17g", value);
        return std::string{text.data()};
    };
    const auto quoted = [](const std::string &name) { // an argument of a manifest: printable ASCII
        std::string text{'"'};
        for (const char c : name)
            text += c == '"' || c == '\\' ? std::string{'\\', c} : std::string{c};
        return text + '"';
    };
    double bias = trained.weights.back();
    std::string weights;
    for (std::size_t i = 0; i < task.features.size(); ++i) { // in the features' own units
        const double weight = trained.weights[i] / data.deviation[i];
        bias -= weight * data.mean[i];
        weights += (i == 0 ? "\n    " : ",\n    ") + quoted(task.features[i]) + ": " + number(weight);
    }
    return "{\n  \"schema\": 1,\n  \"kind\": \"logistic-regression\",\n  \"label\": " + quoted(task.label) +
           ",\n  \"rows\": " + std::to_string(data.rows.size()) + ",\n  \"penalty\": " + number(task.penalty) +
           ",\n  \"bias\": " + number(bias) + ",\n  \"weights\": {" + weights + "\n  },\n  \"training_accuracy\": " +
           number(static_cast<double>(right) / static_cast<double>(data.rows.size())) +
           ",\n  \"iterations\": " + std::to_string(trained.iterations) + "\n}\n";
}

} // namespace

int main(int argc, char **argv) {
    static constexpr std::string_view known[] = {"--label",        "--feature", "--data", "--penalty",
                                                 "--minimum-rows", "--in",      "--out"};
    const Task task = parse_options(Options{argc, argv, known});
    Data data;
    for (const std::string &file : task.files)
        add_file(task, file, data);
    if (const std::size_t wanted = rows_per_weight * (task.features.size() + 1); data.rows.size() < wanted)
        end(Ends::refused, "wanted " + std::to_string(wanted) + " rows for so many features, and there are fewer");
    if (std::ranges::count(data.labels, true) == 0 || std::ranges::count(data.labels, false) == 0)
        end(Ends::refused, CsvReader::printed(task.label) + ": all rows have the same label");
    standardize(task, data);
    write_output(task.out, "model.json", model_json(task, data, train(task, data)));
    std::puts("model.json is written");
    return 0;
}
