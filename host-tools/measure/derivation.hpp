// How a launch digest comes about: every range of pages in the order of submission, with the running digest after it.
// And the same as a picture: the measured memory map, one self-contained HTML page. Reads no file; SEV-SNP only.
#pragma once

#include "host-tools/measure/explain.hpp"

namespace cvmin {

struct DerivationStep {
    PageType type;
    std::uint64_t gpa;   // of the first page
    std::uint64_t pages; // from gpa upwards; of VMSAs: how many, all submitted at the one GPA
    std::string kind;    // "firmware", "svsm", "sec_mem", "secrets", "cpuid", "svsm_caa", "kernel_hashes", "vmsa"
    std::string what;    // for people
    Sha384Digest digest; // after it
    bool contents() const { return type == PageType::normal || type == PageType::vmsa; } // enter the digest
    std::uint64_t end() const { return gpa + (type == PageType::vmsa ? 1 : pages) * page_size; }
};
struct Derivation {
    std::vector<DerivationStep> steps;
    std::optional<KernelHashes> hashes; // what the hashes page says
    std::optional<std::uint64_t> hash_table_gpa;
    Sha384Digest digest; // of the whole launch
};

// `described` names vCPUs and signature, else missing ("explain.vcpus", "explain.vcpu_type"). Other errors: those of
// parse_ovmf, parse_svsm, measure_metadata and measure_vcpus. mismatch ("derivation"): the steps do not add up to what
// measure_vcpus computes, which is a mistake of ours.
Result<Derivation> derive_launch(const LaunchDescription &described);

std::vector<std::string> derivation_lines(const Derivation &derivation); // the last one is the digest alone
Json derivation_json(const Derivation &derivation);                      // "steps", "kernel_hashes", "launch_digest"
// One HTML page without script, font, picture or address of elsewhere. `title` is text of any kind.
std::string memory_map_html(const Derivation &derivation, const LaunchDescription &described, std::string_view title);

} // namespace cvmin
