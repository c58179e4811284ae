// Decoding and encoding of the attestation report by the field list of snp_report.hpp. Judges nothing.
#include "common/snp_report.hpp"

namespace cvmin {

namespace f = report_field;

static std::uint8_t byte_of(std::uint64_t value) {
    return static_cast<std::uint8_t>(value & 0xff);
}

Result<SnpReport> parse_snp_report(ByteView raw) {
    if (raw.size() < snp_report_size)
        return fail(Errc::truncated, "snp_report", raw.size());
    if (raw.size() > snp_report_size)
        return fail(Errc::trailing, "snp_report", snp_report_size);
    if (f::signature_algo::le(raw) != signature_algo_ecdsa_p384_sha384)
        return fail(Errc::unsupported, "snp_report.signature_algo", f::signature_algo::le(raw));

    SnpReport report{};
    report.version = static_cast<std::uint32_t>(f::version::le(raw));
    report.guest_svn = static_cast<std::uint32_t>(f::guest_svn::le(raw));
    report.policy = f::policy::le(raw);
    report.family_id = f::family_id::array(raw);
    report.image_id = f::image_id::array(raw);
    report.vmpl = static_cast<std::uint32_t>(f::vmpl::le(raw));
    report.signature_algo = static_cast<std::uint32_t>(f::signature_algo::le(raw));
    report.current_tcb = f::current_tcb::le(raw);
    report.platform_info = f::platform_info::le(raw);
    report.key_info = static_cast<std::uint32_t>(f::key_info::le(raw));
    report.report_data = f::report_data::array(raw);
    report.measurement = f::measurement::array(raw);
    report.host_data = f::host_data::array(raw);
    report.id_key_digest = f::id_key_digest::array(raw);
    report.author_key_digest = f::author_key_digest::array(raw);
    report.report_id = f::report_id::array(raw);
    report.report_id_ma = f::report_id_ma::array(raw);
    report.reported_tcb = f::reported_tcb::le(raw);
    report.cpuid_family = byte_of(f::cpuid_family::le(raw));
    report.cpuid_model = byte_of(f::cpuid_model::le(raw));
    report.cpuid_stepping = byte_of(f::cpuid_stepping::le(raw));
    report.chip_id = f::chip_id::array(raw);
    report.committed_tcb = f::committed_tcb::le(raw);
    report.current = {.major = byte_of(f::current_major::le(raw)),
                      .minor = byte_of(f::current_minor::le(raw)),
                      .build = byte_of(f::current_build::le(raw))};
    report.committed = {.major = byte_of(f::committed_major::le(raw)),
                        .minor = byte_of(f::committed_minor::le(raw)),
                        .build = byte_of(f::committed_build::le(raw))};
    report.launch_tcb = f::launch_tcb::le(raw);
    report.launch_mit_vector = f::launch_mit_vector::le(raw);
    report.current_mit_vector = f::current_mit_vector::le(raw);
    report.signature_r = f::signature_r::array(raw);
    report.signature_s = f::signature_s::array(raw);
    return report;
}

ByteArray<snp_report_size> encode_snp_report(const SnpReport &report) {
    ByteArray<snp_report_size> raw{};
    f::version::put_le(raw, report.version);
    f::guest_svn::put_le(raw, report.guest_svn);
    f::policy::put_le(raw, report.policy);
    f::family_id::put(raw, report.family_id);
    f::image_id::put(raw, report.image_id);
    f::vmpl::put_le(raw, report.vmpl);
    f::signature_algo::put_le(raw, report.signature_algo);
    f::current_tcb::put_le(raw, report.current_tcb);
    f::platform_info::put_le(raw, report.platform_info);
    f::key_info::put_le(raw, report.key_info);
    f::report_data::put(raw, report.report_data);
    f::measurement::put(raw, report.measurement);
    f::host_data::put(raw, report.host_data);
    f::id_key_digest::put(raw, report.id_key_digest);
    f::author_key_digest::put(raw, report.author_key_digest);
    f::report_id::put(raw, report.report_id);
    f::report_id_ma::put(raw, report.report_id_ma);
    f::reported_tcb::put_le(raw, report.reported_tcb);
    f::cpuid_family::put_le(raw, report.cpuid_family);
    f::cpuid_model::put_le(raw, report.cpuid_model);
    f::cpuid_stepping::put_le(raw, report.cpuid_stepping);
    f::chip_id::put(raw, report.chip_id);
    f::committed_tcb::put_le(raw, report.committed_tcb);
    f::current_build::put_le(raw, report.current.build);
    f::current_minor::put_le(raw, report.current.minor);
    f::current_major::put_le(raw, report.current.major);
    f::committed_build::put_le(raw, report.committed.build);
    f::committed_minor::put_le(raw, report.committed.minor);
    f::committed_major::put_le(raw, report.committed.major);
    f::launch_tcb::put_le(raw, report.launch_tcb);
    f::launch_mit_vector::put_le(raw, report.launch_mit_vector);
    f::current_mit_vector::put_le(raw, report.current_mit_vector);
    return raw;
}

} // namespace cvmin
