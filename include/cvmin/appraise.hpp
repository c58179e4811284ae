// C++23 interface of libcvmin_appraise: a header over the C interface, with its limits and rules (cvmin/appraise.h,
// docs/library.md). Only errors and results are made into values here; nothing is judged.
#pragma once

#include <cvmin/appraise.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace cvmin::attestation {

enum class Status : int {
    invalid_argument = CVMIN_APPRAISE_INVALID_ARGUMENT,
    invalid_policy = CVMIN_APPRAISE_INVALID_POLICY,
    unsupported = CVMIN_APPRAISE_UNSUPPORTED,
    too_large = CVMIN_APPRAISE_TOO_LARGE,
    malformed = CVMIN_APPRAISE_MALFORMED,
    no_memory = CVMIN_APPRAISE_NO_MEMORY,
    internal = CVMIN_APPRAISE_INTERNAL,
};
struct Failure {
    Status status;
    std::string text; // one line: what was wrong with the call
};

enum class Subject : std::uint32_t {
    report = CVMIN_APPRAISE_SUBJECT_REPORT,
    evidence = CVMIN_APPRAISE_SUBJECT_EVIDENCE,
};

using Input = std::span<const std::byte>; // empty is absent

// Views: what they point to must live through the call.
struct Options {
    Subject subject = Subject::report;
    std::uint32_t skip = 0; // CVMIN_APPRAISE_SKIP_...
    std::chrono::sys_seconds time{};
    Input evidence{};
    std::string_view policy{};
    Input measurements{};
    Input vek{}, ask{}, ark{}, certificates{}, crl{}, emulated_ark{};
    Input report_data{}, nonce{}, exporter{}, peer_key{}, manifest{};
};

struct Verdict {
    bool accepted = false;
    std::string json; // docs/verdict.schema.json
};

// A refusal is a verdict; a Failure means that there is none, and nothing was accepted.
inline std::expected<Verdict, Failure> appraise(const Options &o) {
    const auto bytes = [](Input input) {
        return input.empty() ? cvmin_appraise_bytes{nullptr, 0} : cvmin_appraise_bytes{input.data(), input.size()};
    };
    cvmin_appraise_options options = CVMIN_APPRAISE_OPTIONS_INIT;
    options.subject = static_cast<std::uint32_t>(o.subject);
    options.skip = o.skip;
    options.time = o.time.time_since_epoch().count();
    options.evidence = bytes(o.evidence);
    options.policy = bytes(std::as_bytes(std::span{o.policy.data(), o.policy.size()}));
    options.measurements = bytes(o.measurements);
    options.vek = bytes(o.vek);
    options.ask = bytes(o.ask);
    options.ark = bytes(o.ark);
    options.certificates = bytes(o.certificates);
    options.crl = bytes(o.crl);
    options.emulated_ark = bytes(o.emulated_ark);
    options.report_data = bytes(o.report_data);
    options.nonce = bytes(o.nonce);
    options.exporter = bytes(o.exporter);
    options.peer_key = bytes(o.peer_key);
    options.manifest = bytes(o.manifest);
    Verdict verdict;
    char error[256] = "";
    std::size_t size = CVMIN_APPRAISE_VERDICT_SIZE;
    int status = CVMIN_APPRAISE_BUFFER_TOO_SMALL;
    for (int tries = 0; tries < 2 && status == CVMIN_APPRAISE_BUFFER_TOO_SMALL; ++tries) {
        verdict.json.resize(size);
        status = cvmin_appraise(&options, verdict.json.data(), &size, error, sizeof error);
    }
    if (status != CVMIN_APPRAISE_ACCEPTED && status != CVMIN_APPRAISE_REFUSED)
        return std::unexpected(Failure{static_cast<Status>(status), error});
    verdict.json.resize(size);
    verdict.accepted = status == CVMIN_APPRAISE_ACCEPTED;
    return verdict;
}

} // namespace cvmin::attestation
