// What is inside an image's files: an ELF and a bzImage typed from their specifications, frames of libzstd, and every
// refusal. Real files (the agent as readelf sees it, vmlinux in the built kernel) are tests/image/audit.sh's.
#include "tests/unit/cmocka.hpp"

#include "image/image_parts.hpp"

#include <zstd.h>

using namespace cvmin;
using namespace std::string_literals;

static Bytes zstd_frame(ByteView bytes) {
    Bytes out(ZSTD_compressBound(bytes.size()));
    out.resize(ZSTD_compress(out.data(), out.size(), bytes.data(), bytes.size(), 3));
    return out;
}

static void put(Bytes &file, std::size_t at, std::size_t size, std::uint64_t value) {
    store_le(MutableBytes{file}.subspan(at, size), value);
}
static void put(Bytes &file, std::size_t at, std::string_view text) {
    std::ranges::copy(as_bytes(text), file.begin() + static_cast<std::ptrdiff_t>(at));
}

// ELF-64: header, .text at 0x80 (0x10 bytes), .bss (no bytes), .shstrtab at 0x98, section headers at 0xc0, 3 bytes
// more.
static Bytes elf_file() {
    Bytes file(0xc0 + 4 * 64 + 3);
    put(file, 0,
        "\x7f"
        "ELF\2\1\1"s);
    put(file, 0x28, 8, 0xc0); // e_shoff
    put(file, 0x34, 2, 64);   // e_ehsize
    put(file, 0x3a, 2, 64);   // e_shentsize
    put(file, 0x3c, 2, 4);    // e_shnum
    put(file, 0x3e, 2, 3);    // e_shstrndx
    put(file, 0x98, "\0.text\0.bss\0.shstrtab\0"s);
    const auto section = [&](std::size_t i, std::uint64_t name, std::uint64_t type, std::uint64_t offset,
                             std::uint64_t size) {
        const std::size_t at = 0xc0 + i * 64;
        put(file, at, 4, name);
        put(file, at + 4, 4, type);
        put(file, at + 0x18, 8, offset);
        put(file, at + 0x20, 8, size);
    };
    section(1, 1, 1, 0x80, 0x10);
    section(2, 7, 8, 0x90, 0x1000); // SHT_NOBITS
    section(3, 12, 3, 0x98, 22);
    return file;
}

static void elf_parts_names_every_byte(void **) {
    const auto parts = elf_parts(elf_file());
    assert_true(parts.has_value());
    const std::vector<std::pair<std::string, std::size_t>> wanted{
        {"(ELF header)", 0},          {"(before .text)", 0x40}, {".text", 0x80},
        {"(before .shstrtab)", 0x90}, {".shstrtab", 0x98},      {"(before (section headers))", 0xae},
        {"(section headers)", 0xc0},  {"(tail)", 0x1c0}};
    assert_int_equal(parts->size(), wanted.size());
    std::size_t at = 0;
    for (std::size_t i = 0; i < wanted.size(); ++i) {
        assert_string_equal((*parts)[i].name.c_str(), wanted[i].first.c_str());
        assert_int_equal((*parts)[i].offset, wanted[i].second);
        assert_int_equal((*parts)[i].offset, at);
        at += (*parts)[i].size;
    }
    assert_int_equal(at, elf_file().size());
}

static void elf_parts_refuses_what_is_no_elf_64(void **) {
    const auto refused = [](std::size_t at, std::size_t size, std::uint64_t value, Errc wanted) {
        Bytes file = elf_file();
        put(file, at, size, value);
        const auto parts = elf_parts(file);
        return !parts && parts.error().code == wanted;
    };
    assert_true(refused(0, 1, 'x', Errc::malformed));                  // magic
    assert_true(refused(4, 1, 1, Errc::malformed));                    // 32-bit
    assert_true(refused(5, 1, 2, Errc::malformed));                    // big-endian
    assert_true(refused(0x3a, 2, 40, Errc::malformed));                // section header size
    assert_true(refused(0x3c, 2, 0, Errc::malformed));                 // no sections
    assert_true(refused(0x3c, 2, 5, Errc::malformed));                 // one more than there is
    assert_true(refused(0x3c, 2, 1025, Errc::too_large));              // max_elf_sections
    assert_true(refused(0x3e, 2, 4, Errc::malformed));                 // names in no section
    assert_true(refused(0x28, 8, ~0ull, Errc::malformed));             // table outside
    assert_true(refused(0x38, 2, 2, Errc::malformed));                 // segments of size 0
    assert_true(refused(0xc0 + 64, 4, 22, Errc::malformed));           // name outside
    assert_true(refused(0xc0 + 64 + 0x18, 8, 0x20, Errc::malformed));  // over the header
    assert_true(refused(0xc0 + 64 + 0x18, 8, ~0ull, Errc::malformed)); // outside
    assert_true(refused(0xc0 + 64 + 0x20, 8, ~0ull, Errc::malformed)); // too long
    for (std::size_t size = 0; size < 0x1c0; ++size)
        assert_false(elf_parts(ByteView{elf_file()}.first(size)).has_value());
}

// bzImage of protocol 2.08, one setup sector: PE header at 0x40 with two sections, payload 0x10 bytes into .text.
static Bytes bzimage(ByteView payload) {
    Bytes file(1024 + 0x10 + payload.size() + 0x20);
    put(file, 0x3c, 4, 0x40);
    put(file, 0x40, "PE\0\0"s);
    put(file, 0x46, 2, 2); // sections
    put(file, 0x54, 2, 0); // no optional header
    put(file, 0x58, ".setup\0\0"s);
    put(file, 0x58 + 16, 4, 0x180);
    put(file, 0x58 + 20, 4, 0x280);
    put(file, 0x80, ".text\0\0\0"s);
    put(file, 0x80 + 16, 4, file.size() - 1024);
    put(file, 0x80 + 20, 4, 1024);
    put(file, 0x1f1, 1, 1);
    put(file, 0x202, "HdrS"s);
    put(file, 0x206, 2, 0x208);
    put(file, 0x248, 4, 0x10);
    put(file, 0x24c, 4, payload.size());
    std::ranges::copy(payload, file.begin() + 1024 + 0x10);
    return file;
}

static void bzimage_parts_finds_sections_and_payload(void **) {
    const Bytes payload = to_bytes(as_bytes("compressed"));
    const Bytes file = bzimage(payload);
    const auto parts = bzimage_parts(file);
    assert_true(parts.has_value());
    assert_int_equal(parts->size(), 3);
    assert_string_equal((*parts)[0].name.c_str(), "(headers)");
    assert_string_equal((*parts)[1].name.c_str(), ".setup");
    assert_int_equal((*parts)[1].offset, 0x280);
    assert_string_equal((*parts)[2].name.c_str(), ".text");
    const auto found = bzimage_payload(file);
    assert_true(found.has_value());
    assert_true(equal(found->in(file), payload));
}

static void bzimage_refuses_other_headers(void **) {
    const auto changed = [](std::size_t at, std::size_t size, std::uint64_t value) {
        Bytes file = bzimage(as_bytes("compressed"));
        put(file, at, size, value);
        return file;
    };
    assert_false(bzimage_parts(changed(0x202, 1, 'h')).has_value());
    assert_false(bzimage_parts(changed(0x3c, 4, 0xffffffff)).has_value());
    assert_false(bzimage_parts(changed(0x40, 1, 'p')).has_value());
    assert_false(bzimage_parts(changed(0x54, 2, 0xffff)).has_value());          // table outside
    assert_false(bzimage_parts(changed(0x58 + 16, 4, 0x181)).has_value());      // over .text
    assert_false(bzimage_parts(changed(0x80 + 20, 4, 0xfffffff0)).has_value()); // outside
    const auto many = bzimage_parts(changed(0x46, 2, 97));
    assert_true(!many && many.error().code == Errc::too_large);
    assert_false(bzimage_payload(changed(0x206, 2, 0x207)).has_value());
    assert_false(bzimage_payload(changed(0x248, 4, 0xffffffff)).has_value());
    assert_false(bzimage_payload(changed(0x24c, 4, 0xffffffff)).has_value());
    assert_false(bzimage_payload(changed(0x24c, 4, 0)).has_value());
    for (std::size_t size = 0; size < 1024; size += 7)
        assert_false(bzimage_parts(ByteView{bzimage(as_bytes("x"))}.first(size)).has_value());
}

static void decompress_zstd_stops_at_its_limit(void **) {
    const Bytes zeros(1u << 20);
    const Bytes frame = zstd_frame(zeros); // a bomb: some 60 bytes
    assert_true(frame.size() < 200);
    const auto exact = decompress_zstd(frame, zeros.size(), "test");
    assert_true(exact && exact->bytes == zeros && exact->packed_size == frame.size());
    for (const std::size_t limit : {zeros.size() - 1, std::size_t{131072}, std::size_t{1}, std::size_t{0}}) {
        const auto less = decompress_zstd(frame, limit, "test");
        assert_true(!less && less.error().code == Errc::too_large && less.error().detail == limit);
    }
}

static void decompress_zstd_refuses_other_bytes(void **) {
    const std::string text = "the kernel unpacks this, and nothing else, from the frame";
    Bytes frame = zstd_frame(as_bytes(text));
    for (std::size_t size = 0; size < frame.size(); ++size) {
        const auto cut = decompress_zstd(ByteView{frame}.first(size), 1000, "test");
        assert_true(!cut && cut.error().code == Errc::truncated);
    }
    assert_true(decompress_zstd(frame, 1000, "test").has_value());
    const auto noise = decompress_zstd(as_bytes("not a frame of zstd"), 1000, "test");
    assert_true(!noise && noise.error().code == Errc::malformed);
    assert_true(unpack_initrd(frame).has_value());
    frame.push_back(std::byte{0});
    const auto longer = unpack_initrd(frame);
    assert_true(!longer && longer.error().code == Errc::trailing);
}

static void unpack_kernel_wants_the_size_after_the_frame(void **) {
    const std::string text = "vmlinux";
    Bytes payload = zstd_frame(as_bytes(text));
    const std::size_t size = payload.size();
    payload.resize(size + 4);
    put(payload, size, 4, text.size());
    const auto kernel = unpack_kernel(payload);
    assert_true(kernel && as_text(*kernel) == text);
    put(payload, size, 4, text.size() + 1);
    assert_true(unpack_kernel(payload).error().code == Errc::mismatch);
    payload.resize(size + 3);
    assert_true(unpack_kernel(payload).error().code == Errc::mismatch);
}

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(elf_parts_names_every_byte),
        cmocka_unit_test(elf_parts_refuses_what_is_no_elf_64),
        cmocka_unit_test(bzimage_parts_finds_sections_and_payload),
        cmocka_unit_test(bzimage_refuses_other_headers),
        cmocka_unit_test(decompress_zstd_stops_at_its_limit),
        cmocka_unit_test(decompress_zstd_refuses_other_bytes),
        cmocka_unit_test(unpack_kernel_wants_the_size_after_the_frame),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
