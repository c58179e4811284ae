#include "agent-min/runtime_log.hpp"

namespace cvmin::agent {

namespace {

// What must always fit: the loss of the TPM, which an append itself can bring about, and log-full.
constexpr std::size_t last_records = 2;
constexpr std::size_t last_bytes = last_records * max_runtime_record_size;

std::string reason_of(const Error &error) {
    std::string text = to_string(error); // printable: our own words and a number
    text.resize(std::min(text.size(), max_event_text_size));
    return text;
}

} // namespace

bool RuntimeLog::append(const Event &event, std::size_t keep, std::size_t keep_records) {
    const auto digests = writer_.append(clock_.now_us(), event, keep, keep_records);
    if (!digests)
        return false;
    if (tpm_ != nullptr) {
        if (const auto extended = tpm_->extend(digests->sha256, digests->sha384); !extended)
            lost(extended.error());
    }
    return true;
}

bool RuntimeLog::has_room() {
    if (!full_ && !writer_.has_room(last_bytes, last_records)) {
        full_ = true;
        // the loss of the TPM by this very record goes unrecorded: nothing comes after log-full
        append(event::LogFull{}, 0, 0);
    }
    return !full_;
}

void RuntimeLog::record(const Event &event) {
    if (has_room())
        append(event, last_bytes, last_records);
}

void RuntimeLog::note(const Event &event, const Event &mark, bool &dropped) {
    if (dropped || full_)
        return;
    // room for the mark is part of the reserve
    dropped = !append(event, log_reserve, log_reserve_records);
    if (dropped)
        record(mark);
}

void RuntimeLog::violation(const event::Violation &violation) {
    if (violations_ < max_violations) {
        ++violations_;
        record(violation);
    } else if (!violations_dropped_) {
        violations_dropped_ = true;
        record(event::ViolationsDropped{});
    }
}

void RuntimeLog::lost(const Error &error) {
    if (tpm_ == nullptr)
        return;
    tpm_ = nullptr;
    if (!full_)
        append(event::TpmLost{reason_of(error)}, max_runtime_record_size, 1);
}

} // namespace cvmin::agent
