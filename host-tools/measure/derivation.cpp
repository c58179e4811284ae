#include "host-tools/measure/derivation.hpp"

namespace cvmin {

namespace {

std::string what_is(std::string_view kind) {
    if (kind == "svsm")
        return "SVSM image";
    if (kind == "sec_mem")
        return "working memory of the firmware's first phases";
    if (kind == "secrets")
        return "secrets page: the AMD-SP fills in the guest's message keys";
    if (kind == "cpuid")
        return "CPUID page: the AMD-SP checks what the host filled in";
    if (kind == "svsm_caa")
        return "calling area of an SVSM";
    return std::string{kind};
}

// Page ranges up to the VMSAs, and where vCPUs start.
struct Before {
    LaunchDigest digest;
    std::uint64_t svsm_entry = 0;
    std::uint32_t ap_eip = 0;
};

void add(Derivation &derivation, const LaunchRegion &region, std::string what, const LaunchDigest &digest) {
    derivation.steps.push_back(
        {region.type, region.gpa, region.size / page_size, std::string{region.what}, std::move(what), digest.value()});
}

Result<Before> derive_svsm(const LaunchDescription &described, Derivation &derivation) {
    const SvsmInput &svsm = *described.svsm;
    CVMIN_CHECK(parse_ovmf_table(described.firmware));
    CVMIN_TRY(parsed, parse_svsm(svsm.image));
    CVMIN_TRY(regions, svsm_launch_regions(described.firmware.size(), parsed, svsm.image.size(), svsm.vars_size));
    CVMIN_TRY(wanted, measure_svsm_before_vcpus(described.firmware, svsm.image, svsm.vars_size));
    LaunchDigest digest;
    for (const LaunchRegion &region : regions) {
        const bool firmware = region.what == "firmware";
        if (region.type == PageType::normal)
            digest.normal_pages(region.gpa, firmware ? described.firmware : svsm.image);
        else
            digest.uncounted_pages(region.type, region.gpa, region.size / page_size);
        add(derivation, region, firmware ? "firmware " + described.firmware_name : what_is(region.what), digest);
    }
    if (digest.value() != wanted.digest.value())
        return fail(Errc::mismatch, "derivation");
    return Before{digest, wanted.entry};
}

Result<Before> derive_ovmf(const LaunchDescription &described, Derivation &derivation) {
    CVMIN_TRY(ovmf, parse_ovmf(described.firmware));
    if (described.kernel)
        derivation.hashes = described.kernel->hashes();
    const auto regions = launch_regions(ovmf, described.firmware.size(), derivation.hashes.has_value(), described.vmm);
    LaunchDigest digest;
    for (const LaunchRegion &region : regions) {
        std::string what = what_is(region.what);
        if (region.what == "firmware") {
            digest.normal_pages(region.gpa, described.firmware);
            what = "firmware " + described.firmware_name;
        } else if (region.type == PageType::normal) {
            if (!ovmf.hash_table || !derivation.hashes)
                return fail(Errc::unsupported, "ovmf.kernel_hashes_section");
            CVMIN_TRY(page, hash_table_page(*ovmf.hash_table, *derivation.hashes));
            digest.page(PageType::normal, region.gpa, page);
            derivation.hash_table_gpa = ovmf.hash_table->gpa;
            what = "hashes page: SHA-256 of command line, initrd and kernel";
        } else {
            digest.uncounted_pages(region.type, region.gpa, region.size / page_size);
            if (region.what == "kernel_hashes")
                what = "hashes page, empty: no kernel, or kernel-hashes=off";
        }
        add(derivation, region, std::move(what), digest);
    }
    CVMIN_TRY(wanted, measure_before_vcpus(described.firmware, ovmf, derivation.hashes, described.vmm));
    if (digest.value() != wanted.value())
        return fail(Errc::mismatch, "derivation");
    return Before{digest, 0, ovmf.reset_eip};
}

std::string padded(std::string text, std::size_t width) {
    if (text.size() < width)
        text.append(width - text.size(), ' ');
    return text;
}

std::string address(std::uint64_t value) {
    ByteArray<6> bytes; // the addresses of a launch have at most 48 bits
    store_be(bytes, value);
    return "0x" + hex(bytes);
}

std::string pages_text(std::uint64_t pages) {
    return std::to_string(pages) + (pages == 1 ? " page" : " pages");
}

} // namespace

Result<Derivation> derive_launch(const LaunchDescription &described) {
    if (!described.vcpus)
        return fail(Errc::missing, "explain.vcpus");
    if (!described.signature && described.vmm == Vmm::qemu)
        return fail(Errc::missing, "explain.vcpu_type");
    Derivation derivation;
    CVMIN_TRY(before, described.svsm ? derive_svsm(described, derivation) : derive_ovmf(described, derivation));

    const VcpuState state{described.signature.value_or(0), described.guest_features, described.vmm, described.fpu};
    const LaunchConfig all{*described.vcpus, state};
    const LaunchConfig first{1, state};
    const auto measured = [&](const LaunchConfig &config) {
        return described.svsm ? measure_svsm_vcpus(before.digest, config, before.svsm_entry)
                              : measure_vcpus(before.digest, config, before.ap_eip);
    };
    CVMIN_TRY(digest, measured(all)); // checks the number
    CVMIN_TRY(after_first, measured(first));
    const std::string features = ", guest features " + guest_features_text(described.guest_features);
    const std::string model = described.vmm == Vmm::qemu ? " of CPU signature " + hex_number(state.signature) : "";
    const auto starts_at = [&](std::uint64_t eip) {
        return ", starts at " + hex_number(described.svsm ? before.svsm_entry : eip);
    };
    derivation.steps.push_back({PageType::vmsa, vmsa_gpa, 1, "vmsa",
                                "VMSA of the first vCPU" + model + starts_at(bsp_reset_eip) + features, after_first});
    if (*described.vcpus > 1) {
        const std::string others = std::to_string(*described.vcpus - 1);
        derivation.steps.push_back({PageType::vmsa, vmsa_gpa, *described.vcpus - 1, "vmsa",
                                    "VMSA of each of " + others + (others == "1" ? " other vCPU" : " other vCPUs") +
                                        model + starts_at(before.ap_eip) + features,
                                    digest});
    }
    derivation.digest = digest;
    return derivation;
}

std::vector<std::string> derivation_lines(const Derivation &derivation) {
    std::vector<std::string> lines{"the digest starts as 48 zero bytes"};
    for (const DerivationStep &step : derivation.steps) {
        lines.push_back(address(step.gpa) + "-" + address(step.end() - 1) + "  " +
                        padded(std::string{name(step.type)}, 10) + "  " + padded(pages_text(step.pages), 10) + "  " +
                        step.what);
        if (step.kind == "kernel_hashes" && derivation.hashes) {
            lines.push_back("    command line  " + hex(derivation.hashes->cmdline));
            lines.push_back("    initrd        " + hex(derivation.hashes->initrd));
            lines.push_back("    kernel        " + hex(derivation.hashes->kernel));
        }
        lines.push_back("    digest        " + hex(step.digest));
    }
    lines.emplace_back("launch digest:");
    lines.push_back(hex(derivation.digest));
    return lines;
}

Json derivation_json(const Derivation &derivation) {
    Json steps = Json::array();
    for (const DerivationStep &step : derivation.steps)
        steps.push_back({{"gpa", hex_number(step.gpa)},
                         {"end", hex_number(step.end())},
                         {"pages", step.pages},
                         {"type", name(step.type)},
                         {"kind", step.kind},
                         {"what", step.what},
                         {"contents_measured", step.contents()},
                         {"digest", hex(step.digest)}});
    Json hashes; // null: no kernel
    if (derivation.hashes)
        hashes = {{"kernel", hex(derivation.hashes->kernel)},
                  {"initrd", hex(derivation.hashes->initrd)},
                  {"cmdline", hex(derivation.hashes->cmdline)}};
    return {
        {"steps", std::move(steps)}, {"kernel_hashes", std::move(hashes)}, {"launch_digest", hex(derivation.digest)}};
}

} // namespace cvmin
