// Text that others wrote, made fit for a terminal or a page.
#pragma once

#include <string>
#include <string_view>

namespace cvmin {

// What a guest or QEMU wrote: other bytes than text become "\xNN", so that they cannot drive a terminal. Newlines and
// tabs stay.
std::string printable_text(std::string_view text);
// A name or reason out of a certificate, claims or a file: one line, '?' for all that is not printable ASCII.
std::string printable_line(std::string text);
// As HTML text or attribute value: no markup is left. What is not printable stays.
std::string html_escaped(std::string_view text);

} // namespace cvmin
