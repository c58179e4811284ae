#include "host-tools/report_input.hpp"

#include "common/cert_table.hpp"
#include "host-tools/base/os.hpp"

namespace cvmin {

void add_report_options(CLI::App &app, ReportArgs &args) {
    app.add_option(
        "--report", args.report,
        "a report by itself, fetched by any tool (1184 bytes); the verdict then speaks of nobody's connection");
    app.add_option("--vek", args.vek, "with --report: its VCEK or VLEK certificate (DER or PEM)");
    app.add_option("--ask", args.ask, "with --report: the ASK or ASVK above it, when it is not the one built in");
    app.add_option("--ark", args.ark,
                   "with --report: the root; it must be a pinned one, or the one of --trust-emulated");
    app.add_option("--report-data", args.report_data,
                   "with --report: what REPORT_DATA must be (hex, 64 bytes), or skip");
}

// Nothing given gives nothing.
static Explained<Bytes> read_certificate(const std::optional<std::string> &path) {
    if (!path)
        return Bytes{};
    const auto text = read_file(*path, max_certificate_size);
    if (!text)
        return explain(text.error(), *path);
    if (text->empty()) // would pass for none, and what was given would not be looked at
        return explain(Error{Errc::truncated, "certificate"}, *path);
    // Text above a certificate, as `openssl x509 -text` writes it, is for people (RFC 7468, section 2); DER begins with
    // '0'.
    constexpr std::string_view begin = "-----BEGIN CERTIFICATE-----";
    std::string_view pem = as_text(*text);
    const std::size_t first = pem.find(begin);
    if (!pem.starts_with('0') && first != pem.npos) {
        pem.remove_prefix(first);
        if (pem.find(begin, begin.size()) != pem.npos) // as of KDS's cert_chain: which of them is meant, we cannot know
            return explain(Errc::malformed, *path + ": more than one certificate; wanted one in each file");
    }
    auto der = certificate_der(std::as_bytes(std::span{pem}), "certificate");
    if (!der)
        return explain(der.error(), *path);
    return std::move(*der);
}

Explained<ReportInput> read_report_input(const ReportArgs &args) {
    ReportInput input;
    if (args.report_data && *args.report_data == "skip") {
        input.report_data = Skip{};
    } else if (args.report_data) {
        const auto wanted = parse_hex_exactly<64>(*args.report_data, "--report-data");
        if (!wanted)
            return explain(Errc::usage, "--report-data: wanted 64 bytes in hexadecimal, or skip");
        input.report_data = *wanted;
    }
    auto report = read_file(args.report, max_evidence_size);
    if (!report)
        return explain(report.error(), args.report);
    input.report = std::move(*report);
    const auto vek = read_certificate(args.vek);
    if (!vek)
        return std::unexpected(vek.error());
    const auto ask = read_certificate(args.ask);
    if (!ask)
        return std::unexpected(ask.error());
    const auto ark = read_certificate(args.ark);
    if (!ark)
        return std::unexpected(ark.error());
    if (!ask->empty()) {
        auto parsed = X509Certificate::parse(*ask, "certificate");
        if (!parsed)
            return explain(parsed.error(), *args.ask);
        input.intermediate = std::make_shared<const X509Certificate>(std::move(*parsed));
    }
    // Which of the two kinds the VEK is, the certificate itself says: appraisal finds it under either name.
    if (!vek->empty() || !ask->empty() || !ark->empty())
        input.certificates = encode_cert_table({.vcek = *vek, .vlek = {}, .ask = *ask, .ark = *ark, .crl = {}});
    return input;
}

} // namespace cvmin
