// Where attestation reports come from.
#pragma once

#include "common/bytes.hpp"

namespace cvmin::agent {

struct PlatformReport {
    Bytes report;       // 1184 bytes, with the REPORT_DATA that was asked for
    Bytes certificates; // certificate table; empty when the host gave none
};

class ReportSource {
  public:
    virtual std::string_view name() const = 0;
    // Every error means: no report now. It may be asked again.
    virtual Result<PlatformReport> report(const ByteArray<64> &report_data) = 0;

  protected:
    ~ReportSource() = default;
};

// A report that does not carry the data it was asked for is not ours to hand on. mismatch, or parse_snp_report's error.
Result<void> check_report(ByteView report, const ByteArray<64> &report_data);

} // namespace cvmin::agent
