#include "host-tools/explain_verdict.hpp"

#include "host-tools/measure/explain.hpp"

namespace cvmin {

void explain_failed_measurement(Appraisal &appraisal, const std::filesystem::path &image_json,
                                std::string_view vcpu_type, unsigned vcpus) {
    constexpr std::chrono::milliseconds patience{1500};
    if (appraisal.verdict[CheckId::snp_measurement].outcome != Outcome::failed || !appraisal.report)
        return;
    const auto model = find_cpu_model(vcpu_type);
    const auto manifest = load_image_manifest(image_json);
    if (!model || !manifest)
        return;
    const auto files = load_image_files(*manifest);
    if (!files)
        return;
    LaunchDescription described = describe_image(*manifest, *files);
    described.vcpu_type = vcpu_type;
    described.signature = model->signature;
    described.vcpus = vcpus;
    ExplainOptions options;
    options.time = patience;
    const auto explanation = explain_digest(described, appraisal.report->measurement, options);
    if (!explanation)
        return;
    appraisal.explanation = DigestExplanation{explanation_lines(*explanation), explanation_json(*explanation)};
}

} // namespace cvmin
