// A report that another tool fetched, and the certificates for it, as files given to a command. Reads; judges nothing:
// appraise_report() does.
#pragma once

#include "host-tools/appraise/appraise.hpp"
#include "host-tools/base/explained.hpp"

#include <CLI/CLI.hpp>

namespace cvmin {

struct ReportArgs {
    std::string report;
    std::optional<std::string> vek, ask, ark, report_data;

    bool given() const { return !report.empty(); }
    // A member that makes no sense without --report.
    bool anything_else() const { return vek || ask || ark || report_data; }
};
void add_report_options(CLI::App &app, ReportArgs &args);

struct ReportInput {
    Bytes report;
    Bytes certificates; // as a GHCB table
    OrSkip<ByteArray<64>> report_data;
    std::shared_ptr<const X509Certificate> intermediate; // the given ASK or ASVK, for Endorsements
};
// usage: --report-data is not 64 bytes or skip. The errors of read_file and certificate_der, with the file's name.
Explained<ReportInput> read_report_input(const ReportArgs &args);

} // namespace cvmin
