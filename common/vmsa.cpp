// The initial VMSA of a vCPU: x86 reset state, what KVM fixes, and where VMMs differ from each other. Where each value
// comes from, and which were never compared with hardware, is in docs/measure.md.
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
constexpr std::uint64_t tss_attributes = 0x8b; // 32-bit, busy
constexpr std::uint64_t reset_cs_selector = 0xf000;

constexpr std::uint64_t reset_pat = 0x0007040600070406; // 24593, A.3: the PAT register at reset
constexpr std::uint64_t gce_pat = 0x00070106;

// A value that no CPU has; EC2 and GCE start vCPUs with it where QEMU has the CPUID signature.
constexpr std::uint64_t constant_rdx = 0x600;

// In what VMMs differ.
struct Differences {
    std::uint64_t bsp_cs, ap_cs, ss, tr; // attributes
    std::uint64_t pat;
    std::uint64_t rdx;
    FpuState fpu;
};

Differences differences(const VcpuState &state) {
    constexpr std::uint64_t not_accessed_code = 0x9a;
    constexpr std::uint64_t not_accessed_data = 0x92;
    constexpr std::uint64_t small_tss = 0x83; // 16-bit, busy
    switch (state.vmm) {
    case Vmm::ec2:
    case Vmm::ec2_legacy:
        return {not_accessed_code, code_attributes, not_accessed_data,
                small_tss,         reset_pat,       state.vmm == Vmm::ec2 ? constant_rdx : 0,
                FpuState::zero};
    case Vmm::gce:
        return {code_attributes, code_attributes, data_attributes, tss_attributes,
                gce_pat,         constant_rdx,    FpuState::zero};
    case Vmm::krun:
        return {not_accessed_code, not_accessed_code, not_accessed_data, small_tss, reset_pat, 0, FpuState::zero};
    case Vmm::qemu:
        break;
    }
    return {code_attributes, code_attributes, data_attributes, tss_attributes, reset_pat, state.signature, state.fpu};
}

template <class Segment>
void put_segment(MutableBytes page, std::uint64_t attribute_bits, std::uint64_t limit_value = reset_limit) {
    const MutableBytes segment = Segment::view(page);
    attributes::put_le(segment, attribute_bits);
    limit::put_le(segment, limit_value);
}

void put_fpu(MutableBytes page, FpuState fpu) {
    if (fpu == FpuState::zero)
        return;
    field::mxcsr::put_le(page, 0x1f80);
    if (fpu == FpuState::reset)
        field::x87_fcw::put_le(page, 0x37f);
}

// What does not depend on VMM or SVSM.
void put_common(MutableBytes page, const VcpuState &state) {
    put_segment<field::gdtr>(page, 0);
    put_segment<field::ldtr>(page, ldt_attributes);
    put_segment<field::idtr>(page, 0);
    field::efer::put_le(page, 0x1000);    // SVME: KVM sets it for every SEV-ES guest
    field::cr4::put_le(page, 0x40);       // MCE: likewise
    field::dr7::put_le(page, 0x400);      // reset value
    field::dr6::put_le(page, 0xffff0ff0); // reset value
    field::rflags::put_le(page, 2);       // bit 1 always reads as 1
    field::sev_features::put_le(page, state.sev_features);
    field::xcr0::put_le(page, 1);
}

} // namespace

ByteArray<page_size> vmsa_page(const VcpuState &state, std::uint32_t eip) {
    const Differences of_vmm = differences(state);
    ByteArray<page_size> bytes{};
    const MutableBytes page{bytes};
    put_common(page, state);
    put_segment<field::es>(page, data_attributes);
    put_segment<field::cs>(page, eip == bsp_reset_eip ? of_vmm.bsp_cs : of_vmm.ap_cs);
    selector::put_le(field::cs::view(page), reset_cs_selector);
    base::put_le(field::cs::view(page), eip & 0xffff0000u);
    put_segment<field::ss>(page, of_vmm.ss);
    put_segment<field::ds>(page, data_attributes);
    put_segment<field::fs>(page, data_attributes);
    put_segment<field::gs>(page, data_attributes);
    put_segment<field::tr>(page, of_vmm.tr);
    field::cr0::put_le(page, 0x10); // ET
    field::rip::put_le(page, eip & 0xffffu);
    field::g_pat::put_le(page, of_vmm.pat);
    field::rdx::put_le(page, of_vmm.rdx);
    put_fpu(page, of_vmm.fpu);
    return bytes;
}

// Coconut's QEMU starts an SVSM as a multiboot-like loader would: flat 32-bit segments, paging off.
ByteArray<page_size> svsm_vmsa_page(const VcpuState &state, std::uint64_t entry) {
    constexpr std::uint64_t code_selector = 8;
    constexpr std::uint64_t data_selector = 16;
    constexpr std::uint64_t flat_limit = 0xffffffff;
    constexpr std::uint64_t flat_data = 0xc00 | data_attributes; // granularity and 32-bit
    constexpr std::uint64_t flat_code = 0xc00 | code_attributes;
    ByteArray<page_size> bytes{};
    const MutableBytes page{bytes};
    put_common(page, state);
    const auto put_data = [&]<class Segment>(Segment) {
        put_segment<Segment>(page, flat_data, flat_limit);
        selector::put_le(Segment::view(page), data_selector);
    };
    put_data(field::es{});
    put_segment<field::cs>(page, flat_code, flat_limit);
    selector::put_le(field::cs::view(page), code_selector);
    put_data(field::ss{});
    put_data(field::ds{});
    put_data(field::fs{});
    put_segment<field::gs>(page, data_attributes); // the SVSM's loader does not set it
    put_segment<field::tr>(page, tss_attributes);
    field::cr0::put_le(page, 0x11); // ET and PE
    field::rip::put_le(page, entry);
    field::g_pat::put_le(page, reset_pat);
    field::rdx::put_le(page, state.signature);
    put_fpu(page, state.fpu);
    return bytes;
}

} // namespace cvmin
