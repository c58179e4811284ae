#include "host-tools/verifier/appraiser.hpp"

#include <sys/stat.h>

namespace cvmin {

Judged judge_presented(const ReferenceSnapshot &references, const Presented &presented, ByteView nonce,
                       std::time_t now) {
    Judged out{.appraisal = {}, .expectations = references.wanted};
    Expectations &wanted = out.expectations;
    wanted.nonce = to_bytes(nonce);
    wanted.now = now;
    if (!presented.ours) {
        ByteArray<64> report_data{};
        std::ranges::copy(nonce.first(std::min(nonce.size(), report_data.size())), report_data.begin());
        wanted.report_data = report_data;
        if (references.launches)
            references.launches(wanted, presented.report);
        out.appraisal = appraise_report(presented.report, presented.certificates, wanted);
        return out;
    }
    // Of the connection nothing is known here. That is the relying party's to check, by the key in the result.
    wanted.exporter = Skip{};
    wanted.peer_key = Skip{};
    if (references.launches) {
        const auto parsed = parse_evidence(presented.evidence);
        references.launches(wanted, parsed ? ByteView{parsed->report} : ByteView{});
    }
    out.appraisal = appraise(presented.evidence, wanted);
    return out;
}

Explained<void> Appraiser::load(std::time_t now) {
    auto loaded = loader_(now);
    const std::lock_guard lock{mutex_};
    if (!loaded) {
        if (current_)
            stamps_ = stamps_of(current_->files); // the same bad file is not read again and again
        return std::unexpected(loaded.error());
    }
    auto snapshot = std::make_shared<const ReferenceSnapshot>(std::move(*loaded));
    stamps_ = stamps_of(snapshot->files);
    current_ = std::move(snapshot);
    return {};
}

bool Appraiser::changed() const {
    const std::lock_guard lock{mutex_};
    return current_ && stamps_of(current_->files) != stamps_;
}

std::shared_ptr<const ReferenceSnapshot> Appraiser::current(std::time_t now) const {
    const std::lock_guard lock{mutex_};
    return current_ && (!current_->ends || now <= *current_->ends) ? current_ : nullptr;
}

std::vector<Appraiser::Stamp> Appraiser::stamps_of(const std::vector<std::filesystem::path> &files) {
    std::vector<Stamp> stamps;
    for (const auto &file : files) {
        struct stat found{};
        Stamp stamp{.path = file};
        if (::stat(file.c_str(), &found) == 0)
            stamp = {.path = file,
                     .seconds = found.st_mtim.tv_sec,
                     .nanoseconds = found.st_mtim.tv_nsec,
                     .size = static_cast<std::uint64_t>(found.st_size),
                     .inode = found.st_ino};
        stamps.push_back(std::move(stamp));
    }
    return stamps;
}

} // namespace cvmin
