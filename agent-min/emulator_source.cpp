#include "agent-min/emulator_source.hpp"

#include "agent-min/vsock.hpp"
#include "common/protocol.hpp"

namespace cvmin::agent {

Result<PlatformReport> EmulatorSource::report(const ByteArray<64> &report_data) {
    const std::uint64_t deadline = clock_.now_ms() + emulator_timeout_ms;
    const bool was_lost = lost_;
    auto result = exchange(report_data, deadline);
    const bool out_of_order = !result && result.error() == Error{Errc::refused, "emulated_sp",
                                                                 static_cast<std::uint64_t>(SpStatus::bad_sequence)};
    if (was_lost && out_of_order) { // the lost request had been counted: go past it, once
        sequence_ += 2;
        result = exchange(report_data, deadline);
    }
    return result;
}

Result<PlatformReport> EmulatorSource::exchange(const ByteArray<64> &report_data, std::uint64_t deadline_ms) {
    CVMIN_TRY(fd, link_.connect(deadline_ms));
    const SpRequest request{.sequence = sequence_, .report_data = report_data, .vmpl = 0};
    const Bytes message = encode_sp_request(request);
    Bytes frame = to_bytes(frame_header(message.size()));
    frame.insert(frame.end(), message.begin(), message.end());
    lost_ = true;
    CVMIN_CHECK(send_all(fd.get(), frame, clock_, deadline_ms));

    ByteArray<frame_header_size> header{};
    CVMIN_CHECK(receive_all(fd.get(), header, clock_, deadline_ms));
    const std::uint64_t size = load_be(header);
    if (size > max_sp_response_size)
        return fail(Errc::too_large, "sp_response", size);
    Bytes body(size);
    CVMIN_CHECK(receive_all(fd.get(), body, clock_, deadline_ms));
    CVMIN_TRY(response, parse_sp_response(body));
    if (response.sequence != request.sequence + 1)
        return fail(Errc::mismatch, "sp_response.sequence", response.sequence);
    lost_ = false;
    if (response.status != SpStatus::ok) // a refused request changes nothing there, nor here
        return fail(Errc::refused, "emulated_sp", static_cast<std::uint64_t>(response.status));
    sequence_ += 2;
    CVMIN_CHECK(check_report(response.report, report_data));
    return PlatformReport{std::move(response.report), std::move(response.certificates)};
}

} // namespace cvmin::agent
