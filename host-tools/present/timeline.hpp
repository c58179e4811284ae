// What cvmin show prints, as one self-contained page: facts, and the events of a log along a line for each PCR (or kind
// of event). No scripts, nothing fetched. For people: nothing reads it back.
#pragma once

#include "host-tools/present/show.hpp"

namespace cvmin {

std::string timeline_html(std::string_view kind, std::string_view file, const std::vector<Item> &items);

} // namespace cvmin
