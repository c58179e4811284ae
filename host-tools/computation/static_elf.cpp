#include "host-tools/computation/static_elf.hpp"

namespace cvmin {

namespace {

namespace ident { // e_ident
using magic = Field<0, 4>;
using file_class = Field<4, 1>;
using data = Field<5, 1>;
} // namespace ident
namespace header { // Elf64_Ehdr
using type = Field<16, 2>;
using machine = Field<18, 2>;
using program_offset = Field<32, 8>;
using program_entry_size = Field<54, 2>;
using program_count = Field<56, 2>;
constexpr std::size_t size = 64;
} // namespace header
namespace program { // Elf64_Phdr
using type = Field<0, 4>;
constexpr std::size_t size = 56;
} // namespace program

constexpr std::uint64_t magic = 0x464c457f;
constexpr std::uint64_t class_64 = 2, little_endian = 1;
constexpr std::uint64_t type_exec = 2, type_dyn = 3;
constexpr std::uint64_t machine_x86_64 = 62;
constexpr std::uint64_t segment_load = 1, segment_interpreter = 3;

} // namespace

std::optional<std::string> why_not_static_elf(ByteView file) {
    if (file.size() < header::size || ident::magic::le(file) != magic)
        return file.size() >= 2 && file[0] == std::byte{'#'} && file[1] == std::byte{'!'}
                   ? "is a script: a CVM has no shell and no interpreter to run it"
                   : "is no ELF executable";
    if (ident::file_class::le(file) != class_64 || ident::data::le(file) != little_endian ||
        header::machine::le(file) != machine_x86_64)
        return "is for another processor than x86-64";
    const std::uint64_t type = header::type::le(file);
    if (type != type_exec && type != type_dyn)
        return "is an object file or a core dump and no executable";
    const std::uint64_t offset = header::program_offset::le(file);
    const std::uint64_t count = header::program_count::le(file);
    if (header::program_entry_size::le(file) != program::size || count == 0 || offset > file.size() ||
        (file.size() - offset) / program::size < count)
        return "has program headers outside of the file";
    bool loads = false;
    for (std::uint64_t i = 0; i < count; ++i) {
        const ByteView entry = file.subspan(static_cast<std::size_t>(offset) + i * program::size, program::size);
        if (program::type::le(entry) == segment_interpreter)
            return "is linked dynamically: a CVM has no libraries; link it with -static or -static-pie";
        loads = loads || program::type::le(entry) == segment_load;
    }
    if (!loads)
        return "has nothing to load";
    return std::nullopt;
}

} // namespace cvmin
