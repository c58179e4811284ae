// What the programs in this folder share besides CSV: options, input files, one output file, and how they end.
#pragma once

#include "csv.hpp"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace example {

// Exit statuses. Only 0 gives a result (docs/computation.md); the others tell consumers why there is none.
enum class Ends : int { done = 0, refused = 1, usage = 2, bad_input = 3, system = 4 };

[[noreturn]] inline void end(Ends how, const std::string &text) {
    std::fprintf(stderr, "%s\n", text.c_str());
    std::exit(static_cast<int>(how));
}

// --name VALUE pairs, in the order in which they were given.
class Options {
  public:
    Options(int argc, char **argv, std::span<const std::string_view> known) {
        for (int i = 1; i < argc; i += 2) {
            const std::string_view name = argv[i];
            if (std::ranges::find(known, name) == known.end())
                end(Ends::usage, "no option \"" + CsvReader::printed(name) + "\"; wanted one of: " + list(known));
            if (i + 1 == argc)
                end(Ends::usage, std::string{name} + ": wanted a value");
            given_.emplace_back(name, argv[i + 1]);
        }
    }
    std::vector<std::string> all(std::string_view name) const {
        std::vector<std::string> values;
        for (const auto &[option, value] : given_)
            if (option == name)
                values.push_back(value);
        return values;
    }
    std::optional<std::string> find(std::string_view name) const {
        std::vector<std::string> values = all(name);
        if (values.size() > 1)
            end(Ends::usage, std::string{name} + ": given " + std::to_string(values.size()) + " times; wanted once");
        return values.empty() ? std::nullopt : std::optional{std::move(values.front())};
    }
    std::string get(std::string_view name) const {
        auto value = find(name);
        if (!value || value->empty())
            end(Ends::usage, std::string{name} + ": wanted, and not there");
        return std::move(*value);
    }
    double number(std::string_view name, double otherwise) const {
        const auto text = find(name);
        const auto value = text ? parse_number(*text) : std::optional{otherwise};
        if (!value)
            end(Ends::usage, std::string{name} + ": found " + *text + ", wanted a number");
        return *value;
    }

  private:
    static std::string list(std::span<const std::string_view> names) {
        std::string text;
        for (const std::string_view name : names)
            text += (text.empty() ? "" : ", ") + std::string{name};
        return text;
    }
    std::vector<std::pair<std::string_view, std::string>> given_;
};

// An input, mapped: its pages are the agent's, and do not count against the memory of the run.
class InputFile {
  public:
    InputFile(const std::string &folder, const std::string &name) {
        const std::string path = folder + '/' + name;
        const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
        struct stat info{};
        if (fd < 0 || ::fstat(fd, &info) != 0)
            end(Ends::system, name + ": " + std::strerror(errno));
        size_ = static_cast<std::size_t>(info.st_size);
        if (size_ != 0)
            data_ = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, fd, 0);
        if (data_ == MAP_FAILED)
            end(Ends::system, name + ": " + std::strerror(errno));
        ::close(fd);
    }
    InputFile(const InputFile &) = delete;
    InputFile &operator=(const InputFile &) = delete;
    ~InputFile() {
        if (size_ != 0)
            ::munmap(data_, size_);
    }
    std::string_view text() const { return {static_cast<const char *>(data_), size_}; }

  private:
    void *data_ = nullptr;
    std::size_t size_ = 0;
};

inline Csv read_input(const std::string &folder, const std::string &name, std::span<const std::string> wanted) {
    const InputFile file{folder, name};
    auto csv = read_csv(file.text(), wanted);
    if (!csv)
        end(Ends::bad_input, name + ": " + to_string(csv.error()));
    return std::move(*csv);
}

// The place of something wrong, for messages: file, line, column.
inline std::string place(const std::string &file, const Csv &csv, std::size_t row, const std::string &column) {
    return file + ": line " + std::to_string(csv.lines[row]) + ": " + CsvReader::printed(column);
}

inline void write_output(const std::string &folder, const std::string &name, const std::string &text) {
    const std::string path = folder + '/' + name;
    std::FILE *file = std::fopen(path.c_str(), "wxe"); // x: never over something that is there
    if (file == nullptr)
        end(Ends::system, name + ": " + std::strerror(errno));
    const bool written = std::fwrite(text.data(), 1, text.size(), file) == text.size();
    if (std::fclose(file) != 0 || !written)
        end(Ends::system, name + ": " + std::strerror(errno));
}

} // namespace example
