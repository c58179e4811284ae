// Parts of the build recipe: what is read of its files, what is in the initramfs, and that bytes follow from inputs
// only.
#include "tests/unit/cmocka.hpp"

#include "agent-min/mounts.hpp"
#include "host-tools/base/os.hpp"
#include "image/build.hpp"
#include "image/child.hpp"
#include "image/newc.hpp"

#include <chrono>
#include <csignal>
#include <filesystem>
#include <thread>

#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

using namespace cvmin;

static void parse_command_line_joins_parameters_without_their_reasons(void **) {
    const auto line =
        parse_command_line(as_bytes("# a comment\nconsole=ttynull   # why\n\n  quiet\nloglevel=3 debug # two\n"));
    assert_true(line.has_value());
    assert_string_equal(line->c_str(), "console=ttynull quiet loglevel=3 debug");
}

static void parse_command_line_refuses_what_the_kernel_would_not_get(void **) {
    assert_true(parse_command_line({}).error().code == Errc::malformed);
    assert_true(parse_command_line(as_bytes("# only a comment\n")).error().code == Errc::malformed);
    assert_true(parse_command_line(as_bytes("a\tb")).error().code == Errc::malformed);
    assert_true(parse_command_line(as_bytes({"a\0b", 3})).error().code == Errc::malformed);
    assert_true(parse_command_line(as_bytes(std::string(max_command_line_size + 1, 'x'))).error().code ==
                Errc::too_large);
    assert_true(parse_command_line(as_bytes(std::string(max_command_line_size, 'x'))).has_value());
}

static void parse_firmware_pin_reads_its_line_and_nothing_else(void **) {
    const std::string digest(64, 'a');
    const auto pin = parse_firmware_pin(as_bytes("# why\n" + digest + " 4194304 /usr/share/ovmf/X.fd\n"));
    assert_true(pin.has_value());
    assert_true(hex(pin->sha256) == digest && pin->size == 4194304 && pin->path == "/usr/share/ovmf/X.fd");
    for (const std::string &bad : {std::string{}, digest, digest + " 1", digest + " x /a", digest + " 1 /a b",
                                   digest + " 1 /a\n" + digest + " 1 /b", digest + " 1234567890123 /a"})
        assert_true(parse_firmware_pin(as_bytes(bad)).error().code == Errc::malformed);
    assert_true(parse_firmware_pin(as_bytes("aa 1 /a")).error().code == Errc::out_of_range);
}

static void make_initramfs_holds_the_agent_and_its_mount_points_only(void **) {
    const auto archive = make_initramfs(as_bytes("agent"));
    const auto entries = read_newc(*archive);
    assert_true(entries.has_value());
    std::string names;
    for (const NewcListed &entry : *entries) {
        names += std::string{entry.name} + " ";
        const bool init = entry.name == "init";
        assert_int_equal(entry.mode, init ? S_IFREG | 0755 : S_IFDIR | 0755);
        assert_true(as_text(entry.data) == (init ? "agent" : ""));
    }
    assert_string_equal(names.c_str(), "dev init proc run sys ");
    // every mount point of the agent's table that is not inside another file system
    for (const agent::Mount &mount : agent::mounts) {
        const std::string_view target = std::string_view{mount.target}.substr(1);
        if (!target.contains('/'))
            assert_true(names.contains(std::string{target} + " "));
    }
}

static void compress_zstd_gives_one_frame_that_unpacks_to_the_same(void **) {
    std::string text;
    for (int i = 0; i < 50000; ++i)
        text += std::to_string(i * 7919 % 1000);
    const Bytes one = *compress_zstd(as_bytes(text)), two = *compress_zstd(as_bytes(text));
    assert_true(one == two);
    assert_true(one.size() < text.size() / 2);
    assert_int_equal(ZSTD_getFrameContentSize(one.data(), one.size()), text.size());
    Bytes back(text.size());
    assert_int_equal(ZSTD_decompress(back.data(), back.size(), one.data(), one.size()), text.size());
    assert_true(as_text(back) == text);
    assert_int_equal(ZSTD_findFrameCompressedSize(one.data(), one.size()), one.size());
    assert_int_equal(std::to_integer<int>(one[4]) & 0x04, 0); // RFC 8878 3.1.1.1.1: no content checksum
}

static void digest_tree_follows_names_and_contents_of_sources_only(void **) {
    char name[] = "/tmp/cvmin-tree-XXXXXX";
    assert_non_null(::mkdtemp(name));
    const std::filesystem::path root{name};
    std::filesystem::create_directories(root / "a/b");
    int wrong = 0;
    wrong += !write_file(root / "a/x.cpp", as_bytes("1"));
    wrong += !write_file(root / "a/b/y.hpp", as_bytes("22"));
    wrong += !write_file(root / "top", as_bytes("333"));
    const auto digest = digest_tree(root, {"a", "top"});
    const std::string lines = hex(sha256(as_bytes("22"))) + "  a/b/y.hpp\n" + hex(sha256(as_bytes("1"))) +
                              "  a/x.cpp\n" + hex(sha256(as_bytes("333"))) + "  top\n";
    wrong += !digest || digest->sha256 != sha256(as_bytes(lines)) || digest->files != 3 || digest->size != 6;
    wrong += !write_file(root / "a/README.md", as_bytes("not a source"));
    wrong += digest_tree(root, {"a", "top"})->sha256 != digest->sha256;
    std::filesystem::rename(root / "a/x.cpp", root / "a/z.cpp");
    wrong += digest_tree(root, {"a", "top"})->sha256 == digest->sha256;
    wrong += digest_tree(root, {"a", "missing"}).error().code != Errc::missing;
    std::filesystem::remove_all(root);
    assert_int_equal(wrong, 0);
}

static void run_child_returns_output_and_status(void **) {
    const Interrupts interrupts;
    ChildOptions options;
    options.capture_output = true;
    options.environment = {{"CVMIN_TEST", "value"}};
    auto result = run_child({"sh", "-c", "cat; echo $CVMIN_TEST; exit 3"}, options, interrupts);
    assert_true(result.has_value());
    assert_int_equal(result->status, 3);
    assert_string_equal(result->output.c_str(), "value\n");
    assert_true(run_child({"cvmin-no-such-program"}, options, interrupts).error().code == Errc::missing);
}

static void an_interrupt_ends_the_child_with_all_its_descendants(void **) {
    char name[] = "/tmp/cvmin-pid-XXXXXX";
    const int fd = ::mkstemp(name);
    assert_true(fd >= 0);
    ::close(fd);
    const Interrupts interrupts;
    std::thread killer([] {
        std::this_thread::sleep_for(std::chrono::milliseconds(300));
        ::kill(::getpid(), SIGTERM);
    });
    const auto start = std::chrono::steady_clock::now();
    const std::string script = "sh -c 'sleep 30 & echo $! >" + std::string{name} + "; wait' & wait";
    const auto result = run_child({"sh", "-c", script}, {}, interrupts);
    killer.join();
    const auto took = std::chrono::steady_clock::now() - start;
    const pid_t descendant = std::stoi(std::string{as_text(*read_file(name, 100))});
    bool gone = false;
    for (int i = 0; i < 100 && !gone; ++i) {
        gone = ::kill(descendant, 0) != 0;
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    ::unlink(name);
    assert_int_equal(interrupts.signal(), SIGTERM);
    assert_true(result.has_value() && result->status == 128 + SIGTERM);
    assert_true(took < std::chrono::seconds(10));
    assert_true(gone);
    // nothing is started any more
    assert_true(run_child({"true"}, {}, interrupts).error().code == Errc::system);
}

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(parse_command_line_joins_parameters_without_their_reasons),
        cmocka_unit_test(parse_command_line_refuses_what_the_kernel_would_not_get),
        cmocka_unit_test(parse_firmware_pin_reads_its_line_and_nothing_else),
        cmocka_unit_test(make_initramfs_holds_the_agent_and_its_mount_points_only),
        cmocka_unit_test(compress_zstd_gives_one_frame_that_unpacks_to_the_same),
        cmocka_unit_test(digest_tree_follows_names_and_contents_of_sources_only),
        cmocka_unit_test(run_child_returns_output_and_status),
        cmocka_unit_test(an_interrupt_ends_the_child_with_all_its_descendants),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
