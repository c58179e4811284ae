#include "host-tools/measure/boot_header.hpp"

#include "common/guid.hpp"
#include "common/launch.hpp"

namespace cvmin {

namespace {

// Linux x86 boot protocol: offsets in the file, from the start of the boot sector.
namespace field {
using setup_sects = Field<0x1f1, 1>;
using vid_mode = Field<0x1fa, 2>;
using header = Field<0x202, 4>; // "HdrS"
using version = Field<0x206, 2>;
using type_of_loader = Field<0x210, 1>;
using loadflags = Field<0x211, 1>;
using ramdisk_image = Field<0x218, 4>;
using ramdisk_size = Field<0x21c, 4>;
using heap_end_ptr = Field<0x224, 2>;
using cmd_line_ptr = Field<0x228, 4>;
using initrd_addr_max = Field<0x22c, 4>;
using xloadflags = Field<0x236, 2>;
using setup_data = Field<0x250, 8>;
static_assert(setup_data::end <= patched_header_size);
} // namespace field

constexpr std::uint64_t header_magic = 0x53726448; // "HdrS"
constexpr std::uint64_t protocol_2_02 = 0x202;     // cmd_line_ptr
constexpr std::uint64_t protocol_2_03 = 0x203;     // initrd_addr_max
constexpr std::uint64_t protocol_2_12 = 0x20c;     // xloadflags
constexpr std::uint64_t loaded_high = 0x01;
constexpr std::uint64_t can_use_heap = 0x80;
constexpr std::uint64_t can_be_loaded_above_4g = 0x02;
constexpr std::size_t sector = 512;

// Where QEMU puts things for a "high and recent" kernel, and what it calls itself.
constexpr std::uint64_t real_mode_address = 0x10000;
constexpr std::uint64_t command_line_address = 0x20000;
constexpr std::uint64_t qemu_loader = 0xb0;
constexpr std::uint64_t initrd_max_before_2_03 = 0x37ffffff;
constexpr std::uint64_t acpi_data =
    0x28000; // kept free at the end of low memory, q35 and pc of machine type 2.1 and later

// The video mode of "vga=": QEMU takes the first occurrence, wherever it is. false: QEMU refuses the command line.
bool video_mode(std::string_view command_line, std::optional<std::uint16_t> &mode) {
    const std::size_t at = command_line.find("vga=");
    if (at == std::string_view::npos)
        return true;
    std::string_view value = command_line.substr(at + 4);
    if (value.starts_with("normal")) {
        mode = 0xffff;
    } else if (value.starts_with("ext")) {
        mode = 0xfffe;
    } else if (value.starts_with("ask")) {
        mode = 0xfffd;
    } else {
        value = value.substr(0, value.find(' '));
        unsigned base = 10; // as strtoul with base 0
        if (value.starts_with("0x") || value.starts_with("0X")) {
            base = 16;
            value.remove_prefix(2);
        } else if (value.starts_with("0")) {
            base = 8;
        }
        constexpr std::size_t most_digits = 8; // more are out of the field's range anyway
        if (value.empty() || value.size() > most_digits)
            return false;
        std::uint64_t number = 0;
        for (char c : value) {
            const unsigned digit = c >= '0' && c <= '9'   ? static_cast<unsigned>(c - '0')
                                   : c >= 'a' && c <= 'f' ? static_cast<unsigned>(c - 'a') + 10
                                   : c >= 'A' && c <= 'F' ? static_cast<unsigned>(c - 'A') + 10
                                                          : 16u;
            if (digit >= base)
                return false;
            number = number * base + digit;
        }
        mode = static_cast<std::uint16_t>(number);
    }
    return true;
}

// Where QEMU puts the initrd: as high as kernel and memory allow.
std::optional<std::uint32_t> initrd_address(ByteView header, const OldQemuLaunch &launch) {
    if (launch.memory_below_4g <= acpi_data || launch.memory_below_4g > four_gib)
        return std::nullopt;
    const std::uint64_t version = field::version::le(header);
    std::uint64_t most = initrd_max_before_2_03;
    if (version >= protocol_2_12 && (field::xloadflags::le(header) & can_be_loaded_above_4g) != 0)
        most = 0xffffffff;
    else if (version >= protocol_2_03)
        most = field::initrd_addr_max::le(header);
    if (most >= launch.memory_below_4g - acpi_data)
        most = launch.memory_below_4g - acpi_data - 1;
    if (*launch.initrd_size >= most)
        return std::nullopt;
    return static_cast<std::uint32_t>((most - *launch.initrd_size) & ~std::uint64_t{page_size - 1});
}

// Firmware volume header (UEFI PI volume 3, EFI_FIRMWARE_VOLUME_HEADER).
namespace volume {
using file_system = Field<0x10, 16>;
using length = Field<0x20, 8>;
using signature = Field<0x28, 4>; // "_FVH"
constexpr std::size_t size = 0x38;
constexpr std::uint64_t magic = 0x4856465f;
constexpr Guid nv_data = guid("fff12b8d-7696-4c8b-a985-2747075b4f50"); // gEfiSystemNvDataFvGuid
} // namespace volume

// The length that a variable store at the front of the file gives itself.
std::optional<std::uint64_t> store_length(ByteView file) {
    if (file.size() < volume::size)
        return std::nullopt;
    if (volume::signature::le(file) != volume::magic || !equal(volume::file_system::view(file), volume::nv_data))
        return std::nullopt;
    const std::uint64_t length = volume::length::le(file);
    if (length < page_size || length % page_size != 0)
        return std::nullopt;
    return length;
}

} // namespace

std::optional<ByteArray<patched_header_size>> header_patched_by_qemu(ByteView kernel, const OldQemuLaunch &launch) {
    if (kernel.size() < patched_header_size)
        return std::nullopt;
    ByteArray<patched_header_size> bytes;
    std::ranges::copy(kernel.first(patched_header_size), bytes.begin());
    const MutableBytes header{bytes};
    if (field::header::le(bytes) != header_magic || field::version::le(bytes) < protocol_2_02 ||
        (field::loadflags::le(bytes) & loaded_high) == 0)
        return std::nullopt;
    const std::uint64_t sectors = field::setup_sects::le(bytes);
    if (((sectors == 0 ? 4 : sectors) + 1) * sector > kernel.size())
        return std::nullopt;

    field::cmd_line_ptr::put_le(header, command_line_address);
    std::optional<std::uint16_t> mode;
    if (!video_mode(launch.command_line, mode))
        return std::nullopt;
    if (mode)
        field::vid_mode::put_le(header, *mode);
    field::type_of_loader::put_le(header, qemu_loader);
    field::loadflags::put_le(header, field::loadflags::le(bytes) | can_use_heap);
    field::heap_end_ptr::put_le(header, command_line_address - real_mode_address - 0x200);
    if (launch.initrd_size) {
        const auto address = initrd_address(bytes, launch);
        if (!address)
            return std::nullopt;
        field::ramdisk_image::put_le(header, *address);
        field::ramdisk_size::put_le(header, *launch.initrd_size);
    }
    return bytes;
}

std::optional<std::size_t> variable_store_size(ByteView firmware) {
    const auto length = store_length(firmware);
    if (!length || *length >= firmware.size())
        return std::nullopt;
    return static_cast<std::size_t>(*length);
}

bool is_variable_store(ByteView file) {
    return store_length(file) == file.size();
}

} // namespace cvmin
