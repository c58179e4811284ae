// cvmin: the table of commands, and dispatch.
#include "host-tools/cli.hpp"

#include <cerrno>
#include <cstdio>
#include <cstring>

#include <fcntl.h>
#include <unistd.h>

namespace cvmin {

static constexpr Command table[] = {
    {"build", "build the CVM image reproducibly and write image.json", cmd_build},
    {"image", "show what is in an image and why, and why two are not the same", cmd_image},
    {"reproduce", "build a recorded image again, and compare every byte", cmd_reproduce},
    {"release", "write an image and all that others need of it into a signed directory", cmd_release},
    {"measure", "predict the launch digest that the AMD-SP will report", cmd_measure},
    {"explain", "say why a launch digest is not the predicted one", cmd_explain},
    {"keygen", "make a P-384 key that signs images or releases", cmd_keygen},
    {"sign", "sign an ID block: the launch digest, ids and version number", cmd_sign},
    {"manifest", "make, check and sign the manifest of a computation", cmd_manifest},
    {"boot", "boot an image as a CVM, with SEV-SNP or an emulated launch", cmd_boot},
    {"list", "list the CVMs of this user", cmd_list},
    {"describe", "show one CVM: how it was launched, what it runs on", cmd_describe},
    {"console", "print or follow a CVM's console", cmd_console},
    {"relay", "make a CVM reachable over TCP", cmd_relay},
    {"stop", "stop a CVM and remove its state", cmd_stop},
    {"corim", "show, sign and verify reference values as CoRIM", cmd_corim},
    {"certs", "fetch AMD's certificates and lists, bundle them for offline use", cmd_certs},
    {"attest", "ask a CVM for evidence and store it", cmd_attest},
    {"verify", "appraise evidence; the verdict lists every check", cmd_verify},
    {"verifier", "serve: appraise evidence for others, over HTTP", cmd_verifier},
    {"passport", "get a verifier's result for a CVM, which its agent keeps", cmd_passport},
    {"policy", "make, check and explain appraisal policies", cmd_policy},
    {"show", "print a report, certificate, list, claims, evidence or log", cmd_show},
    {"send", "attest and verify a CVM, then send it a secret", cmd_send},
    {"events", "attest and verify a CVM, then print what its agent recorded", cmd_events},
    {"upload", "attest and verify a CVM, then bring our inputs of a computation", cmd_upload},
    {"status", "show where a computation stands", cmd_status},
    {"result", "take the result of a computation, with its receipt", cmd_result},
    {"receipt", "verify the receipt of a computation, offline", cmd_receipt},
    {"completion", "print a completion script for bash", cmd_completion},
};

std::span<const Command> commands() {
    return table;
}

static void print_help(std::FILE *out) {
    std::fprintf(out,
                 "Usage: cvmin COMMAND [OPTIONS]\n\nBuild, measure, boot and attest confidential VMs.\n\nCommands:\n");
    for (const Command &command : table)
        std::fprintf(out, "  %-10s %s\n", command.name, command.summary);
    std::fprintf(out, "\nExit codes: 0 accepted or done, 1 evidence rejected, 2 usage, 3 bad input, 4 system, 5 peer\n"
                      "unreachable or timed out. `cvmin COMMAND --help` shows the options of a command.\n");
}

static int run(int argc, char **argv) {
    if (argc < 2) {
        print_help(stderr);
        return Exit::usage;
    }
    const std::string_view name = argv[1];
    if (name == "--help" || name == "-h" || name == "help") {
        print_help(stdout);
        return Exit::ok;
    }
    if (name == "--version") {
        std::printf("cvmin %s\n", CVMIN_VERSION);
        return Exit::ok;
    }
    for (const Command &command : table)
        if (name == command.name)
            return command.run(argc - 1, argv + 1);
    std::fprintf(stderr, "cvmin: error: no command '%s'; see cvmin --help\n", argv[1]);
    return Exit::usage;
}

// Started with some of 0-2 closed, the next files that are opened would get these numbers, and what is printed.
static bool open_standard_streams() {
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; ++fd)
        if (::fcntl(fd, F_GETFD) < 0 && ::open("/dev/null", O_RDWR) != fd)
            return false;
    return true;
}

} // namespace cvmin

int main(int argc, char **argv) {
    if (!cvmin::open_standard_streams())
        return cvmin::Exit::system_failure;
    const int code = cvmin::run(argc, argv);
    // a result that did not arrive (a full disk) must not pass for a success
    if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) {
        std::fprintf(stderr, "cvmin: error: standard output could not be written: %s\n", std::strerror(errno));
        return code == cvmin::Exit::ok ? cvmin::Exit::system_failure : code;
    }
    return code;
}
