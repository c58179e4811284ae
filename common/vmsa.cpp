// The initial VMSA of a vCPU as QEMU and KVM set it up for SEV-SNP: x86 reset state plus what KVM fixes.
// Other VMMs start vCPUs in another state; they are not described here.
#include "common/launch.hpp"

namespace cvmin {

namespace {

// AMD 24593 (APM volume 2), table "VMSA Layout, State Save Area for SEV-ES". Only what is not zero at reset.
namespace field {
using es = Field<0x000, 16>;
using cs = Field<0x010, 16>;
using ss = Field<0x020, 16>;
using ds = Field<0x030, 16>;
using fs = Field<0x040, 16>;
using gs = Field<0x050, 16>;
using gdtr = Field<0x060, 16>;
using ldtr = Field<0x070, 16>;
using idtr = Field<0x080, 16>;
using tr = Field<0x090, 16>;
using efer = Field<0x0d0, 8>;
using cr4 = Field<0x148, 8>;
using cr0 = Field<0x158, 8>;
using dr7 = Field<0x160, 8>;
using dr6 = Field<0x168, 8>;
using rflags = Field<0x170, 8>;
using rip = Field<0x178, 8>;
using g_pat = Field<0x268, 8>;
using rdx = Field<0x310, 8>;
using sev_features = Field<0x3b0, 8>;
using xcr0 = Field<0x3e8, 8>;
using mxcsr = Field<0x408, 4>;
using x87_fcw = Field<0x410, 2>;
} // namespace field

// A segment register in the save area.
using selector = Field<0, 2>;
using attributes = Field<2, 2>;
using limit = Field<4, 4>;
using base = Field<8, 8>;

constexpr std::uint64_t reset_limit = 0xffff;
constexpr std::uint64_t data_attributes = 0x93; // present, read/write, accessed
constexpr std::uint64_t code_attributes = 0x9b; // present, execute/read, accessed
constexpr std::uint64_t ldt_attributes = 0x82;
constexpr std::uint64_t tss_attributes = 0x8b;
constexpr std::uint64_t reset_cs_selector = 0xf000;

template <class Segment> void put_segment(MutableBytes page, std::uint64_t attribute_bits) {
    const MutableBytes segment = Segment::view(page);
    attributes::put_le(segment, attribute_bits);
    limit::put_le(segment, reset_limit);
}

} // namespace

ByteArray<page_size> vmsa_page(const VcpuState &state, std::uint32_t eip) {
    ByteArray<page_size> bytes{};
    const MutableBytes page{bytes};
    put_segment<field::es>(page, data_attributes);
    put_segment<field::cs>(page, code_attributes);
    selector::put_le(field::cs::view(page), reset_cs_selector);
    base::put_le(field::cs::view(page), eip & 0xffff0000u);
    put_segment<field::ss>(page, data_attributes);
    put_segment<field::ds>(page, data_attributes);
    put_segment<field::fs>(page, data_attributes);
    put_segment<field::gs>(page, data_attributes);
    put_segment<field::gdtr>(page, 0);
    put_segment<field::ldtr>(page, ldt_attributes);
    put_segment<field::idtr>(page, 0);
    put_segment<field::tr>(page, tss_attributes);
    field::efer::put_le(page, 0x1000);    // SVME: KVM sets it for every SEV-ES guest
    field::cr4::put_le(page, 0x40);       // MCE: likewise
    field::cr0::put_le(page, 0x10);       // ET
    field::dr7::put_le(page, 0x400);      // reset value
    field::dr6::put_le(page, 0xffff0ff0); // reset value
    field::rflags::put_le(page, 2);       // bit 1 always reads as 1
    field::rip::put_le(page, eip & 0xffffu);
    field::g_pat::put_le(page, 0x0007040600070406);
    field::rdx::put_le(page, state.signature);
    field::sev_features::put_le(page, state.sev_features);
    field::xcr0::put_le(page, 1);
    field::mxcsr::put_le(page, 0x1f80);
    field::x87_fcw::put_le(page, 0x37f);
    return bytes;
}

} // namespace cvmin
