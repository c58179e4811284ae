#include "agent-min/kernel_logs.hpp"

#include "agent-min/fd.hpp"
#include "agent-min/file.hpp"

#include <fcntl.h>

namespace cvmin::agent {

namespace {

Bytes file_or_nothing(const std::string &path, std::size_t limit, std::string_view where) {
    auto bytes = read_file(path, limit, where);
    return bytes ? std::move(*bytes) : Bytes{};
}

// The rules in a policy as the kernel shows it: one a line, with a blank at its end.
bool is_our_policy(std::string_view shown) {
    for (const std::string_view rule : ima_rules) {
        const std::size_t end = std::min(shown.find('\n'), shown.size());
        std::string_view line = shown.substr(0, end);
        while (line.ends_with(' '))
            line.remove_suffix(1);
        if (line != rule)
            return false;
        shown.remove_prefix(std::min(end + 1, shown.size()));
    }
    return shown.empty();
}

} // namespace

Result<void> KernelLogs::load_ima_policy() {
    const std::string path = securityfs_ + "/ima/policy";
    {
        Fd policy{::open(path.c_str(), O_WRONLY | O_CLOEXEC)};
        if (!policy)
            return os_error("ima.policy");
        for (const std::string_view rule : ima_rules) { // one rule a write; they count from close(2) on
            const std::string line = std::string{rule} + '\n';
            if (::write(policy.get(), line.data(), line.size()) != static_cast<ssize_t>(line.size()))
                return os_error("ima.policy");
        }
    }
    // close(2) does not say whether it took them
    CVMIN_TRY(shown, read_file(path, max_ima_policy_size, "ima.policy"));
    if (!is_our_policy(as_text(shown)))
        return fail(Errc::mismatch, "ima.policy");
    return {};
}

Bytes KernelLogs::event_log() {
    return file_or_nothing(securityfs_ + "/tpm0/binary_bios_measurements", max_event_log_size, "event_log");
}

Bytes KernelLogs::ima_log() {
    return file_or_nothing(securityfs_ + "/ima/binary_runtime_measurements", max_ima_log_size, "ima_log");
}

std::optional<SvsmEvidence> KernelLogs::svsm(const ByteArray<64> &report_data) {
    if (tsm_ == nullptr)
        return std::nullopt;
    auto evidence = tsm_->svsm(report_data);
    return evidence ? std::optional{std::move(*evidence)} : std::nullopt;
}

} // namespace cvmin::agent
