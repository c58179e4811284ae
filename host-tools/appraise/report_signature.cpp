#include "host-tools/appraise/report_signature.hpp"

#include "common/p384.hpp"

namespace cvmin {

// Little-endian with zeros above its 48 bytes, as AMD has it, to big-endian, as everybody else.
static Result<void> read_scalar(MutableBytes out, ByteView field, std::string_view where) {
    if (!all_zero(field.subspan(out.size())))
        return fail(Errc::out_of_range, where);
    std::ranges::reverse_copy(field.first(out.size()), out.begin());
    return {};
}

Result<void> verify_report_signature(ByteView raw, const PublicKey &key) {
    if (raw.size() != snp_report_size)
        return fail(raw.size() < snp_report_size ? Errc::truncated : Errc::trailing, "snp_report", raw.size());
    P384Signature signature;
    const MutableBytes scalars{signature};
    CVMIN_CHECK(
        read_scalar(scalars.first(p384_scalar_size), report_field::signature_r::view(raw), "snp_report.signature.r"));
    CVMIN_CHECK(
        read_scalar(scalars.last(p384_scalar_size), report_field::signature_s::view(raw), "snp_report.signature.s"));
    return verify_p384(key, sha384(raw.first(snp_report_signed_size)), signature, "snp_report.signature");
}

} // namespace cvmin
