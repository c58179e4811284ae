// What a vTPM's quote and the logs beside it show, judged row by row for a verdict.
#include "host-tools/appraise/appraise.hpp"

#include "host-tools/measured/boot_events.hpp"

namespace cvmin {

Result<std::vector<BootFiles>> boot_files(ByteView kernel, ByteView initrd, std::string_view command_line) {
    std::vector<BootFiles> out;
    for (const TpmAlg bank : {TpmAlg::sha256, TpmAlg::sha384}) {
        CVMIN_TRY(digests, boot_digests(bank, kernel, initrd, command_line));
        out.push_back(
            {.bank = bank, .kernel = digests.kernel, .initrd = digests.initrd, .load_options = digests.load_options});
    }
    return out;
}

std::optional<request::PcrSelection> wanted_quote(const Policy &policy) {
    if (!policy.vtpm)
        return std::nullopt;
    request::PcrSelection out{.bank = policy.vtpm->bank, .mask = 0xffff};
    if (policy.pcrs)
        for (const auto &[pcr, values] : *policy.pcrs)
            out.mask |= 1u << pcr;
    return out;
}

} // namespace cvmin
