#include "host-tools/cli.hpp"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace cvmin {

std::optional<int> parse_options(CLI::App &app, int argc, char **argv) {
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError &error) {
        if (error.get_exit_code() == 0) { // --help
            app.exit(error);
            return Exit::ok;
        }
        std::fprintf(stderr, "cvmin %s: error: %s\nTry: cvmin %s --help\n", argv[0], error.what(), argv[0]);
        return Exit::usage;
    }
    return std::nullopt;
}

int report_error(std::string_view command, const Error &error, std::string_view subject) {
    std::string text{subject};
    if (!subject.empty())
        text += ": ";
    text += to_string(error);
    if ((error.code == Errc::system || error.code == Errc::missing) && error.detail != 0) {
        text += ": ";
        text += std::strerror(static_cast<int>(error.detail));
    }
    return report_error(command, static_cast<Exit>(exit_code(error.code)), text);
}

int report_error(std::string_view command, Exit code, std::string_view text) {
    std::fprintf(stderr, "cvmin %.*s: error: %.*s\n", static_cast<int>(command.size()), command.data(),
                 static_cast<int>(text.size()), text.data());
    return code;
}

int report_error(std::string_view command, const Failure &failure) {
    return report_error(command, static_cast<Exit>(exit_code(failure.code)), failure.text);
}

void note(std::string_view text) {
    if (std::getenv("CVMIN_QUIET") == nullptr)
        std::fprintf(stderr, "cvmin: %.*s\n", static_cast<int>(text.size()), text.data());
}

void print_json(const Json &json) {
    const std::string text = json.dump(2, ' ', false, Json::error_handler_t::replace);
    std::printf("%s\n", text.c_str());
}

} // namespace cvmin
