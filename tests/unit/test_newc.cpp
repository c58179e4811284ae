// newc archives: bytes typed from the format's definition, GNU cpio as the second reader, and every refusal.
#include "tests/unit/cmocka.hpp"

#include "image/newc.hpp"

#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include <sys/stat.h>
#include <unistd.h>

using namespace cvmin;
using namespace std::string_literals;

static NewcEntry directory(std::string name) {
    return {std::move(name), S_IFDIR | 0755, {}, 0, 0};
}
static NewcEntry file(std::string name, std::string_view data, std::uint32_t mode = 0644) {
    return {std::move(name), S_IFREG | mode, to_bytes(as_bytes(data)), 0, 0};
}

// Linux, driver-api/early-userspace/buffer-format: magic, then ino mode uid gid nlink mtime filesize major minor rmajor
// rminor namesize check as 8 hexadecimal digits each; name and data padded to 4 from the start of the archive.
static const std::string expected_bytes = "070701"
                                          "00000001" // ino
                                          "000041ED" // 040755
                                          "00000000"
                                          "00000000"
                                          "00000002" // nlink
                                          "00000000"
                                          "00000000"
                                          "00000000"
                                          "00000000"
                                          "00000000"
                                          "00000000"
                                          "00000004"
                                          "00000000"
                                          "dev\0\0\0" // 110 + 4 = 114, padded to 116
                                          "070701"
                                          "00000002"
                                          "000081ED" // 0100755
                                          "00000000"
                                          "00000000"
                                          "00000001"
                                          "00000000"
                                          "00000005" // filesize
                                          "00000000"
                                          "00000000"
                                          "00000000"
                                          "00000000"
                                          "00000005" // namesize
                                          "00000000"
                                          "init\0\0"    // 116 + 110 + 5 = 231, padded to 232
                                          "hello\0\0\0" // padded to 240
                                          "070701"
                                          "00000000"
                                          "00000000"
                                          "00000000"
                                          "00000000"
                                          "00000001"
                                          "00000000"
                                          "00000000"
                                          "00000000"
                                          "00000000"
                                          "00000000"
                                          "00000000"
                                          "0000000B"
                                          "00000000"
                                          "TRAILER!!!\0\0\0\0"s;

static void write_newc_gives_the_bytes_of_the_format_definition(void **) {
    const auto archive = write_newc({file("init", "hello", 0755), directory("dev")}); // sorted by the writer
    assert_true(archive.has_value());
    assert_int_equal(archive->size(), expected_bytes.size());
    assert_true(as_text(*archive) == expected_bytes);
}

static void write_newc_does_not_depend_on_the_order_given(void **) {
    const std::vector<NewcEntry> one{directory("a"), directory("a/b"), file("a/b/c", "1"), file("a-b", "2")};
    const std::vector<NewcEntry> other{one[3], one[2], one[1], one[0]};
    assert_true(*write_newc(one) == *write_newc(other));
}

static void gnu_cpio_reads_what_write_newc_writes(void **) {
    const auto archive = write_newc({directory("a"),
                                     directory("a/b"),
                                     directory("a/e"),
                                     file("a/b/c", "four"),
                                     {"console", S_IFCHR | 0600, {}, 5, 1},
                                     {"link", S_IFLNK | 0777, to_bytes(as_bytes("a/b/c")), 0, 0}});
    assert_true(archive.has_value());
    char path[] = "/tmp/cvmin-newc-XXXXXX";
    const int fd = ::mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(::write(fd, archive->data(), archive->size()), archive->size());
    ::close(fd);
    const std::string command = "cpio -itv --numeric-uid-gid --quiet <" + std::string{path};
    std::string listing;
    std::FILE *pipe = ::popen(command.c_str(), "r");
    assert_non_null(pipe);
    char line[512];
    while (std::fgets(line, sizeof line, pipe) != nullptr)
        listing += line;
    const int status = ::pclose(pipe);
    ::unlink(path);
    assert_int_equal(status, 0);
    assert_string_equal(listing.c_str(), "drwxr-xr-x   4 0        0               0 Jan  1  1970 a\n"
                                         "drwxr-xr-x   2 0        0               0 Jan  1  1970 a/b\n"
                                         "-rw-r--r--   1 0        0               4 Jan  1  1970 a/b/c\n"
                                         "drwxr-xr-x   2 0        0               0 Jan  1  1970 a/e\n"
                                         "crw-------   1 0        0          5,   1 Jan  1  1970 console\n"
                                         "lrwxrwxrwx   1 0        0               5 Jan  1  1970 link -> a/b/c\n");
}

static void read_newc_lists_what_was_written(void **) {
    const auto archive = write_newc(
        {file("init", "hello", 0755), {"dev", S_IFDIR | 0700, {}, 0, 0}, {"dev/console", S_IFCHR | 0600, {}, 5, 1}});
    const auto entries = read_newc(*archive);
    assert_true(entries.has_value());
    assert_int_equal(entries->size(), 3);
    const NewcListed dev = (*entries)[0], console = (*entries)[1], init = (*entries)[2];
    assert_true(dev.name == "dev" && console.name == "dev/console" && init.name == "init");
    assert_int_equal(dev.mode, S_IFDIR | 0700);
    assert_int_equal(dev.links, 2);
    assert_int_equal(console.device_major, 5);
    assert_int_equal(console.device_minor, 1);
    assert_int_equal(init.inode, 3);
    assert_true(as_text(init.data) == "hello");
    assert_int_equal(init.uid + init.gid + init.mtime + init.origin_major + init.origin_minor, 0);
}

static void expect_refusal(std::vector<NewcEntry> entries, Errc code) {
    const auto archive = write_newc(std::move(entries));
    assert_false(archive.has_value());
    assert_int_equal(archive.error().code, code);
}

static void write_newc_refuses_what_could_not_be_unpacked_as_meant(void **) {
    for (const char *name : {"", "/init", "a//b", "a/", "..", "a/../b", "./a", "TRAILER!!!"})
        expect_refusal({directory("a"), file(name, "")}, Errc::malformed);
    expect_refusal({file(std::string{"a\0b", 3}, "")}, Errc::malformed);
    expect_refusal({file(std::string(max_newc_name_size, 'n'), "")}, Errc::malformed);
    expect_refusal({file("a", "1"), file("a", "2")}, Errc::mismatch);
    expect_refusal({file("a/b", "")}, Errc::missing);
    expect_refusal({file("a", ""), file("a/b", "")}, Errc::missing); // a is no directory
    expect_refusal({{"fifo", S_IFIFO | 0600, {}, 0, 0}}, Errc::unsupported);
    expect_refusal({{"none", 0644, {}, 0, 0}}, Errc::unsupported);
    expect_refusal({{"dir", S_IFDIR | 0755, to_bytes(as_bytes("x")), 0, 0}}, Errc::malformed);
    expect_refusal({{"file", S_IFREG | 0644, {}, 5, 1}}, Errc::malformed);
}

static void expect_unreadable(ByteView archive, Errc code) {
    const auto entries = read_newc(archive);
    assert_false(entries.has_value());
    assert_int_equal(entries.error().code, code);
}

static void read_newc_refuses_every_shorter_archive(void **) {
    const ByteView whole = as_bytes(expected_bytes);
    for (std::size_t size = 0; size < 240 + newc_header_size + 11; ++size) // up to the NUL of the trailer's name
        expect_unreadable(whole.first(size), Errc::truncated);
}

static void read_newc_refuses_each_malformed_field(void **) {
    const struct {
        std::size_t offset;
        char value;
        Errc code;
    } changes[] = {
        {5, '2', Errc::malformed},        // 070702: with checksums
        {6, 'x', Errc::malformed},        // ino
        {102, '1', Errc::malformed},      // check
        {94, '1', Errc::too_large},       // namesize 0x10000004
        {101, '1', Errc::malformed},      // namesize 1: no name
        {113, 'x', Errc::malformed},      // the NUL after "dev"
        {111, '\0', Errc::malformed},     // a NUL in it
        {115, 'x', Errc::malformed},      // its padding
        {116 + 54, 'F', Errc::truncated}, // filesize 0xF0000005
        {239, 'x', Errc::malformed},      // padding of the data
        {240 + 61, '1', Errc::truncated}, // a trailer with data
    };
    for (const auto &change : changes) {
        Bytes bytes = to_bytes(as_bytes(expected_bytes));
        bytes[change.offset] = static_cast<std::byte>(change.value);
        const auto entries = read_newc(bytes);
        const bool refused = !entries && entries.error().code == change.code;
        bytes = {};
        if (!refused)
            print_error("offset %zu\n", change.offset);
        assert_true(refused);
    }
}

static void read_newc_takes_zeros_after_the_trailer_and_nothing_else(void **) {
    Bytes bytes = to_bytes(as_bytes(expected_bytes));
    bytes.resize(512);
    assert_int_equal(read_newc(bytes)->size(), 2);
    bytes.back() = std::byte{1};
    expect_unreadable(bytes, Errc::trailing);
}

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(write_newc_gives_the_bytes_of_the_format_definition),
        cmocka_unit_test(write_newc_does_not_depend_on_the_order_given),
        cmocka_unit_test(gnu_cpio_reads_what_write_newc_writes),
        cmocka_unit_test(read_newc_lists_what_was_written),
        cmocka_unit_test(write_newc_refuses_what_could_not_be_unpacked_as_meant),
        cmocka_unit_test(read_newc_refuses_every_shorter_archive),
        cmocka_unit_test(read_newc_refuses_each_malformed_field),
        cmocka_unit_test(read_newc_takes_zeros_after_the_trailer_and_nothing_else),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
