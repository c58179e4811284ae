// Firmware event logs, quotes and IMA lists, printed for people and as JSON. Judges nothing.
#pragma once

#include "host-tools/present/show.hpp"

namespace cvmin {

// For cvmin show. An event log: every event with its digests, and the values that a replay gives.
Result<std::vector<Item>> show_event_log(ByteView bytes, const ShowOptions &options);
// TPMS_ATTEST, with or without the size of a TPM2B_ATTEST before it.
Result<std::vector<Item>> show_quote(ByteView bytes, const ShowOptions &options);
// binary_runtime_measurements.
Result<std::vector<Item>> show_ima(ByteView bytes, const ShowOptions &options);

// Parts of evidence: a vTPM's quote with its keys and values.
Result<std::vector<Item>> show_tpm_evidence(const TpmEvidence &tpm);

} // namespace cvmin
