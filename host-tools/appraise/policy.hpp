// Appraisal policy: what a relying party demands of a report beyond being genuine. A JSON file; every member must be
// there, "skip" must be written down. Schema: docs/policy.schema.json.
#pragma once

#include "common/bytes.hpp"
#include "host-tools/base/json.hpp"

namespace cvmin {

struct Policy {};

} // namespace cvmin
