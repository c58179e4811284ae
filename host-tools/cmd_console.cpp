// cvmin console: what the guest wrote to its serial console. A guest is not trusted with a terminal: other bytes than
// text are escaped, unless --raw is given.
#include "host-tools/base/text.hpp"
#include "host-tools/cli.hpp"
#include "qemu/supervisor.hpp"
#include "qemu/vm.hpp"

#include <cstdio>
#include <thread>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace cvmin {

static constexpr std::size_t max_part = 2u << 20; // the supervisor keeps two parts of at most 1 MiB
static constexpr std::chrono::milliseconds follow_interval{100};

static void print(ByteView bytes, bool raw) {
    const std::string text = raw ? std::string{as_text(bytes)} : printable_text(as_text(bytes));
    std::fwrite(text.data(), 1, text.size(), stdout);
    std::fflush(stdout);
}

// The rest of the open part; `at` moves on.
static void print_from(const UniqueFd &part, off_t &at, bool raw) {
    Bytes chunk(64u << 10);
    ssize_t got;
    while ((got = ::pread(part.get(), chunk.data(), chunk.size(), at)) > 0) {
        print(ByteView{chunk}.first(static_cast<std::size_t>(got)), raw);
        at += got;
    }
}

static UniqueFd open_part(const std::filesystem::path &file) {
    return UniqueFd{::open(file.c_str(), O_RDONLY | O_CLOEXEC)};
}

// Until the CVM ends. A part that was renamed away is read to its end before the next one is begun.
static void follow(const VmInfo &vm, UniqueFd part, bool raw) {
    const std::filesystem::path file = vm.directory / vm_file::console;
    off_t at = 0;
    for (;;) {
        const bool lives = find_vm(vm.name).has_value();
        struct stat now{}, ours{};
        const bool renamed =
            ::stat(file.c_str(), &now) == 0 && ::fstat(part.get(), &ours) == 0 && now.st_ino != ours.st_ino;
        print_from(part, at, raw);
        if (renamed) {
            part = open_part(file);
            at = 0;
        } else if (!lives) {
            return;
        } else {
            std::this_thread::sleep_for(follow_interval);
        }
    }
}

int cmd_console(int argc, char **argv) {
    std::string vm_name;
    bool follows = false, raw = false, as_json = false;
    CLI::App app{"Print what a CVM wrote to its console (the newest 1 to 2 MiB).", "cvmin console"};
    app.add_option("name", vm_name, "name of the CVM")->required();
    auto *follow_flag = app.add_flag("--follow,-f", follows, "go on until the CVM ends");
    app.add_flag("--raw", raw, "do not escape bytes that are not text");
    app.add_flag("--json", as_json, "print JSON: {schema, name, text}")->excludes(follow_flag);
    app.footer("Example: cvmin console vm1 --follow\nThe console of a release image is empty: the host can read it.");
    if (const auto done = parse_options(app, argc, argv))
        return *done;
    const auto vm = find_vm(vm_name);
    if (!vm)
        return report_error("console", vm.error());
    auto part = open_part(vm->directory / vm_file::console);
    const auto before = read_file(vm->directory / vm_file::console_before, max_part);
    if (as_json) {
        const auto now = read_file(vm->directory / vm_file::console, max_part);
        const std::string text =
            (before ? std::string{as_text(*before)} : "") + (now ? std::string{as_text(*now)} : "");
        print_json({{"schema", 1}, {"name", vm->name}, {"text", printable_text(text)}});
        return Exit::ok;
    }
    if (before)
        print(*before, raw);
    if (!part) // QEMU has not been started yet
        return Exit::ok;
    if (follows) {
        follow(*vm, std::move(part), raw);
        return Exit::ok;
    }
    off_t at = 0;
    print_from(part, at, raw);
    return Exit::ok;
}

} // namespace cvmin
