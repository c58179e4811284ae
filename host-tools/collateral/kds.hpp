// Names of things in AMD's Key Distribution Service (AMD 57230, "VCEK Certificate and KDS Interface"): what a VCEK is
// asked for by, and the paths below the service's address. Opens no connection.
#pragma once

#include "common/snp_report.hpp"
#include "common/vek_cert.hpp"
#include "host-tools/base/explained.hpp"

namespace cvmin {

inline constexpr std::string_view amd_kds = "https://kdsintf.amd.com";

// What AMD derives a VCEK from.
struct VcekId {
    Product product;
    Bytes hwid; // 64 bytes, Turin 8
    Tcb tcb;
    friend bool operator==(const VcekId &, const VcekId &) = default;
};

// Of a report: its chip and REPORTED_TCB. `product` is for reports of version 2, which do not say; mismatch: it is not
// the one that a later report says. missing: version 2 and no product. unsupported: a CPU without published roots, or
// a CHIP_ID that is masked or not of the product's form.
Explained<VcekId> vcek_id(const SnpReport &report, std::optional<Product> product);
// Of a CHIP_ID as people have it: 64 bytes, or for Turin also 8. out_of_range, unsupported.
Explained<VcekId> vcek_id(Product product, ByteView chip_id, const Tcb &tcb);
Explained<Product> product_of_report(const SnpReport &report, std::optional<Product> product);

// "boot_loader=4,tee=0,snp=24,microcode=219", each component of the product once; or TCB_VERSION as a report has it, 16
// hexadecimal digits after 0x. malformed, missing, out_of_range, unsupported.
Explained<Tcb> parse_tcb(Product product, std::string_view text);

// Paths, from the slash on. The HWID is lower-case hex, a level two decimal digits at least.
std::string vcek_path(const VcekId &id);                    // the VCEK, DER
std::string cert_chain_path(VekKind kind, Product product); // ASK or ASVK, then ARK, PEM
std::string crl_path(VekKind kind, Product product);        // DER

} // namespace cvmin
