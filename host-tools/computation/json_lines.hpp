// Where the members of a JSON text stand, for messages to whoever wrote it: the line of each, and of the first mistake
// in the text itself. What they mean is the caller's.
#pragma once

#include "common/bytes.hpp"

#include <map>
#include <optional>

namespace cvmin {

struct JsonLines {
    struct Problem { // no JSON, or JSON that parse_json() refuses for its form
        std::size_t line = 0;
        std::string text;
    };
    std::optional<Problem> problem; // then `lines` has what stands before it
    // by path: "", "limits", "limits.memory", "datasets[1].name"; lines are counted from 1
    std::map<std::string, std::size_t, std::less<>> lines;

    // Of the member, or of the nearest one around it that is there.
    std::size_t line_of(std::string_view path) const;
};
JsonLines json_lines(ByteView text);

} // namespace cvmin
