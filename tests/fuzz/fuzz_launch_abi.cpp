// The C interface with any options over any firmware: no crash, no exception, and a zeroed output with every refusal.
// Input: 16 bytes of options, then what serves as firmware, kernel and SVSM.
#include "common/bytes.hpp"

#include <cvmin/launch.h>

#include <cstdlib>
#include <cstring>

using namespace cvmin;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
    Reader reader{std::as_bytes(std::span{data, size})};
    cvmin_launch_options options = CVMIN_LAUNCH_OPTIONS_INIT;
    options.mode = static_cast<std::uint32_t>(reader.le(1));
    options.vmm = static_cast<std::uint32_t>(reader.le(1));
    options.fpu = static_cast<std::uint32_t>(reader.le(1));
    const auto given = reader.le(1); // which of the inputs
    options.vcpus = static_cast<std::uint32_t>(reader.le(2));
    options.guest_features = reader.le(2);
    options.vcpu_signature = static_cast<std::uint32_t>(reader.le(4));
    options.vars_size = reader.le(4);
    if (!reader.ok())
        return 0;
    const ByteView rest = reader.take(reader.left());
    const cvmin_launch_bytes bytes{rest.data(), rest.size()};
    options.firmware = bytes;
    if (given & 1)
        options.kernel = bytes;
    if (given & 2)
        options.initrd = {rest.data(), rest.size() / 2};
    if (given & 4)
        options.cmdline = {rest.data(), rest.size() % 64};
    if (given & 8)
        options.svsm = bytes;
    if (given & 16)
        options.vcpu_type = "EPYC-Milan";
    if (given & 32)
        options.firmware_digest = {rest.data(), std::min<std::size_t>(rest.size(), 48)};
    unsigned char out[255 * 48];
    char error[64];
    for (auto *function : {cvmin_launch_digest, cvmin_launch_digests}) {
        std::size_t want = cvmin_launch_digest_size(options.mode);
        if (function == cvmin_launch_digests)
            want *= std::min<std::size_t>(options.vcpus, 255);
        std::memset(out, 0xee, sizeof out);
        const int status = function(&options, out, want, error, sizeof error);
        if ((status == CVMIN_LAUNCH_OK) != (error[0] == '\0') || status == CVMIN_LAUNCH_INTERNAL)
            std::abort();
        if (status != CVMIN_LAUNCH_OK && !all_zero(std::as_bytes(std::span{out}.first(want))))
            std::abort();
    }
    return 0;
}
