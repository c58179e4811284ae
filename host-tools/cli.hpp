// What every subcommand shares: the table of commands, option parsing by CLI11, error lines, exit codes.
// Result on standard output, all else on standard error.
#pragma once

#include "common/bytes.hpp"
#include "host-tools/base/json.hpp"
#include "qemu/explained.hpp"

#include <CLI/CLI.hpp>

#include <filesystem>
#include <optional>

namespace cvmin {

enum Exit : int { ok = 0, rejected = 1, usage = 2, bad_input = 3, system_failure = 4, peer = 5 };

struct Command {
    const char *name;
    const char *summary;
    int (*run)(int argc, char **argv); // argv[0] is the command's name
};
std::span<const Command> commands(); // main.cpp

// Parses; a value means: return it (help was printed: 0; usage error: 2).
std::optional<int> parse_options(CLI::App &app, int argc, char **argv);

// "cvmin COMMAND: error: SUBJECT: text" on standard error. Returns the exit code of the error.
int report_error(std::string_view command, const Error &error, std::string_view subject = {});
int report_error(std::string_view command, Exit code, std::string_view text);
int report_error(std::string_view command, const Failure &failure);

// Progress for people: a line on standard error, unless CVMIN_QUIET is set.
void note(std::string_view text);
// Pretty JSON and a newline on standard output.
void print_json(const Json &json);

int cmd_attest(int argc, char **argv);
int cmd_boot(int argc, char **argv);
int cmd_build(int argc, char **argv);
int cmd_certs(int argc, char **argv);
int cmd_completion(int argc, char **argv);
int cmd_console(int argc, char **argv);
int cmd_corim(int argc, char **argv);
int cmd_describe(int argc, char **argv);
int cmd_events(int argc, char **argv);
int cmd_explain(int argc, char **argv);
int cmd_image(int argc, char **argv);
int cmd_keygen(int argc, char **argv);
int cmd_list(int argc, char **argv);
int cmd_manifest(int argc, char **argv);
int cmd_measure(int argc, char **argv);
int cmd_passport(int argc, char **argv);
int cmd_policy(int argc, char **argv);
int cmd_receipt(int argc, char **argv);
int cmd_relay(int argc, char **argv);
int cmd_release(int argc, char **argv);
int cmd_reproduce(int argc, char **argv);
int cmd_result(int argc, char **argv);
int cmd_send(int argc, char **argv);
int cmd_show(int argc, char **argv);
int cmd_sign(int argc, char **argv);
int cmd_status(int argc, char **argv);
int cmd_stop(int argc, char **argv);
int cmd_upload(int argc, char **argv);
int cmd_verifier(int argc, char **argv);
int cmd_verify(int argc, char **argv);

} // namespace cvmin
