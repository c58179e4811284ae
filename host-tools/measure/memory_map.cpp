// The measured memory map as one HTML page: a picture, the same as a table for those who cannot see it or want to copy
// it, and what is in memory without being measured. Style and picture are in the page; nothing is fetched, nothing
// runs.
#include "host-tools/base/text.hpp"
#include "host-tools/measure/boot_header.hpp"
#include "host-tools/measure/derivation.hpp"

#include <cmath>

namespace cvmin {

namespace {

// Text of any kind as HTML text or attribute value: valid UTF-8, no control characters, no markup.
std::string escaped(std::string_view text) {
    // the JSON writer replaces what is not UTF-8; reading it back takes its own escapes away
    const std::string quoted = Json(std::string{text}).dump(-1, ' ', false, Json::error_handler_t::replace);
    const Json valid = Json::parse(quoted, nullptr, false);
    std::string plain = valid.get_ref<const std::string &>();
    for (char &c : plain)
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
            c = ' ';
    return html_escaped(plain);
}

struct Block {
    std::uint64_t gpa, end;
    std::string style; // class of the picture
    std::string label, note;
};

std::string size_text(std::uint64_t bytes) {
    constexpr std::uint64_t kib = 1024;
    constexpr std::uint64_t mib = kib * kib;
    constexpr std::uint64_t gib = kib * mib;
    if (bytes >= gib && bytes % gib == 0)
        return std::to_string(bytes / gib) + " GiB";
    if (bytes >= gib)
        return "about " + std::to_string(bytes / gib) + " GiB";
    if (bytes >= mib && bytes % mib == 0)
        return std::to_string(bytes / mib) + " MiB";
    if (bytes >= 16 * mib)
        return "about " + std::to_string(bytes / mib) + " MiB";
    return std::to_string(bytes / kib) + " KiB";
}

std::string style_of(const DerivationStep &step) {
    if (step.kind == "vmsa")
        return "vmsa";
    if (step.type == PageType::normal)
        return step.kind == "kernel_hashes" ? "hashes" : "contents";
    return step.type == PageType::unmeasured ? "none" : "address";
}

std::string_view measured_text(const DerivationStep &step) {
    switch (step.type) {
    case PageType::normal:
    case PageType::vmsa:
        return "contents and address";
    case PageType::zero:
        return "address; the AMD-SP fills it with zeros";
    case PageType::secrets:
    case PageType::cpuid:
        return "address and kind, not the contents";
    case PageType::unmeasured:
        break;
    }
    return "address, not the contents";
}

// Everything from 0 to 4 GiB, highest first, gaps included.
std::vector<Block> blocks_below_4g(const Derivation &derivation, const LaunchDescription &described) {
    std::vector<Block> blocks;
    for (const DerivationStep &step : derivation.steps)
        if (step.type != PageType::vmsa)
            blocks.push_back({step.gpa, step.end(), style_of(step), step.what, std::string{name(step.type)}});
    std::ranges::sort(blocks, {}, &Block::gpa);
    std::vector<Block> all;
    std::uint64_t at = 0;
    const std::uint64_t firmware_gpa = four_gib - described.firmware.size();
    const auto gap = [&](std::uint64_t end) {
        if (at >= end)
            return;
        const bool store = described.svsm && end == firmware_gpa;
        all.push_back({at, end, "gap",
                       store                 ? "variable store of the firmware"
                       : end == firmware_gpa ? "memory and devices"
                                             : "memory",
                       "not measured"});
    };
    for (Block &block : blocks) {
        gap(block.gpa);
        at = block.end;
        all.push_back(std::move(block));
    }
    std::ranges::reverse(all);
    return all;
}

// Sizes differ by a factor of a million: heights grow with the logarithm.
double height_of(const Block &block) {
    constexpr double least = 30;
    constexpr double per_doubling = 3.2;
    const std::uint64_t pages = (block.end - block.gpa) / page_size;
    return least + per_doubling * std::log2(static_cast<double>(pages) + 1);
}

std::string number(double value) { // one decimal place, whatever the locale
    const auto tenths = static_cast<long long>(std::llround(value * 10));
    return std::to_string(tenths / 10) + "." + std::to_string(tenths % 10);
}

constexpr std::string_view style = R"css(
:root { color-scheme: light dark; --text: #1b1b1f; --page: #ffffff; --line: #6b6b76; --contents: #bfe3c6; --hashes: #f5d78e;
  --address: #c9d8f2; --vmsa: #e3c9ee; --gap: #efeff2; --none: #f3c6c0; }
@media (prefers-color-scheme: dark) { :root { --text: #ececf1; --page: #17171b; --line: #8d8d99; --contents: #1f5a2e;
  --hashes: #6b5312; --address: #274471; --vmsa: #56306a; --gap: #26262c; --none: #6e2a21; } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--text); background: var(--page); margin: 0 auto; padding: 1.5rem; max-width: 70rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.2rem; margin-top: 2rem; }
code, .hex { font-family: ui-monospace, monospace; overflow-wrap: anywhere; }
svg { width: 100%; height: auto; max-width: 56rem; } svg text { fill: var(--text); font: 13px system-ui, sans-serif; }
svg .at { font: 12px ui-monospace, monospace; }
svg rect { stroke: var(--line); stroke-width: 1; } svg .gap { stroke-dasharray: 5 4; } svg .none { stroke-dasharray: 2 3; }
.contents { fill: var(--contents); } .hashes { fill: var(--hashes); } .address { fill: var(--address); } .vmsa { fill: var(--vmsa); }
.gap { fill: var(--gap); } .none { fill: var(--none); }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-size: 0.9rem; }
caption { text-align: left; padding-bottom: 0.5rem; } th, td { border: 1px solid var(--line); padding: 0.3rem 0.5rem; text-align: left; vertical-align: top; }
td.at { white-space: nowrap; font-family: ui-monospace, monospace; }
)css";

std::string picture(const Derivation &derivation, const LaunchDescription &described) {
    constexpr double left = 200; // addresses stand there
    constexpr double width = 640;
    std::vector<Block> blocks;
    for (const DerivationStep &step : derivation.steps)
        if (step.type == PageType::vmsa)
            blocks.push_back({step.gpa, step.gpa + step.pages * page_size, "vmsa", step.what, "vmsa"});
    std::ranges::reverse(blocks);
    const auto below = blocks_below_4g(derivation, described);
    const std::size_t vmsas = blocks.size();
    blocks.insert(blocks.end(), below.begin(), below.end());

    constexpr double space = 40; // between the VMSAs, which are no memory of the guest's, and its memory
    double total = 20;
    for (const Block &block : blocks)
        total += height_of(block);
    total += vmsas > 0 ? space : 0;

    std::string out =
        "<svg role=\"img\" aria-labelledby=\"map-title map-text\" viewBox=\"0 0 " + number(left + width + 10) + " " +
        number(total) +
        "\">\n<title id=\"map-title\">Measured memory map</title>\n"
        "<desc id=\"map-text\">The guest's memory below 4 GiB, highest address first, and the VMSAs above it. "
        "The table of the steps below says the same in words.</desc>\n";
    double y = 10;
    for (std::size_t i = 0; i < blocks.size(); ++i) {
        const Block &block = blocks[i];
        if (i == vmsas && vmsas > 0) {
            out += "<text x=\"" + number(left + 10) + "\" y=\"" + number(y + space / 2 + 4) +
                   "\">4 GiB: guest memory ends here in this picture</text>\n";
            y += space;
        }
        const double height = height_of(block);
        const std::string title = block.label + ", " + size_text(block.end - block.gpa) + ", " + block.note;
        std::string label = block.label;
        constexpr std::size_t longest_label = 72; // what fits into the block; the whole is in the title and the table
        if (label.size() > longest_label) {
            std::size_t cut = longest_label;
            while (cut > 0 && (static_cast<unsigned char>(label[cut]) & 0xc0) == 0x80) // not inside of a character
                --cut;
            label = label.substr(0, cut) + "...";
        }
        out += "<g><title>" + escaped(title) + "</title><rect class=\"" + block.style + "\" x=\"" + number(left) +
               "\" y=\"" + number(y) + "\" width=\"" + number(width) + "\" height=\"" + number(height) + "\"/>";
        out += "<text class=\"at\" x=\"5.0\" y=\"" + number(y + height - 5) + "\">" + hex_number(block.gpa) + "</text>";
        out += "<text x=\"" + number(left + 10) + "\" y=\"" + number(y + height / 2 + 4) + "\">" + escaped(label) +
               "</text>";
        out += "<text x=\"" + number(left + width - 10) + "\" y=\"" + number(y + 14) + "\" text-anchor=\"end\">" +
               (block.style == "vmsa" ? std::string{} : size_text(block.end - block.gpa) + ", ") + escaped(block.note) +
               "</text></g>\n";
        y += height;
    }
    return out + "</svg>\n";
}

std::string steps_table(const Derivation &derivation) {
    std::string out =
        "<div class=\"scroll\" role=\"region\" aria-label=\"Steps of the launch\" tabindex=\"0\"><table>\n"
        "<caption>The digest starts as 48 zero bytes. Each page changes it, in this order.</caption>\n"
        "<thead><tr><th scope=\"col\">Step</th><th scope=\"col\">Guest physical addresses</th><th "
        "scope=\"col\">Pages</th>"
        "<th scope=\"col\">Type</th><th scope=\"col\">What it is</th><th scope=\"col\">What is measured</th>"
        "<th scope=\"col\">Digest after it (SHA-384)</th></tr></thead>\n<tbody>\n";
    std::size_t count = 0;
    for (const DerivationStep &step : derivation.steps)
        out += "<tr><th scope=\"row\">" + std::to_string(++count) + "</th><td class=\"at\">" + hex_number(step.gpa) +
               " to " + hex_number(step.end() - 1) + "</td><td>" + std::to_string(step.pages) + "</td><td>" +
               std::string{name(step.type)} + "</td><td>" + escaped(step.what) + "</td><td>" +
               std::string{measured_text(step)} + "</td><td class=\"hex\">" + hex(step.digest) + "</td></tr>\n";
    return out + "</tbody></table></div>\n";
}

std::string not_measured(const Derivation &derivation, const LaunchDescription &described) {
    std::string out = "<ul>\n";
    const auto item = [&](std::string_view text) { out += "<li>" + std::string{text} + "</li>\n"; };
    if (derivation.hashes)
        item("Kernel, initrd and command line are not among the pages. Their SHA-256 digests are, in the hashes page; "
             "the firmware "
             "compares what it is given with them before it starts the kernel.");
    else if (described.svsm)
        item("What the firmware boots under the SVSM: nothing in this digest speaks of it.");
    else
        item("<strong>Kernel, initrd, command line and disks: there is no hashes page, so nothing in this digest "
             "speaks of what the "
             "firmware boots.</strong>");
    if (described.svsm)
        item("The variable store of the firmware, in flash below the firmware: the host chooses its contents.");
    else if (!variable_store_size(described.firmware))
        item("The variable store of the firmware, where it has one (OVMF_VARS.fd, in flash of its own): the host "
             "chooses its contents.");
    for (const DerivationStep &step : derivation.steps)
        if (step.type == PageType::unmeasured)
            item("The contents of " + hex_number(step.gpa) + " to " + hex_number(step.end() - 1) + " (" +
                 escaped(step.what) + "): this VMM submits these pages as unmeasured.");
    item("The contents of the secrets page and the CPUID page. The AMD-SP writes the one and checks the other.");
    item("All other memory. It belongs to the guest only after the guest has accepted it, page by page.");
    item("What the host hands over at run time: ACPI tables, firmware configuration items, device memory, disks, the "
         "clock.");
    item("Guest policy, ID block and HOST_DATA: they stand in fields of their own in the report.");
    return out + "</ul>\n";
}

} // namespace

std::string memory_map_html(const Derivation &derivation, const LaunchDescription &described, std::string_view title) {
    std::string out = "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
                      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
                      "'unsafe-inline'\">\n<title>Launch of " +
                      escaped(title) + "</title>\n<style>" + std::string{style} +
                      "</style>\n</head>\n<body>\n<main>\n<h1>Launch of " + escaped(title) + "</h1>\n";
    const unsigned vcpus = described.vcpus.value_or(0);
    out += "<p>" + std::to_string(vcpus) + (vcpus == 1 ? " vCPU" : " vCPUs") +
           (described.signature && described.vmm == Vmm::qemu
                ? " of CPU model " + escaped(described.vcpu_type.empty() ? "with signature" : described.vcpu_type) +
                      " " + hex_number(*described.signature)
                : "") +
           ", launched by " + std::string{vmm_name(described.vmm)} + (described.svsm ? " with an SVSM" : "") +
           ", guest features " + escaped(guest_features_text(described.guest_features)) + ".</p>\n";
    out +=
        "<p>Launch digest, as the report's MEASUREMENT must be:<br><code>" + hex(derivation.digest) + "</code></p>\n";
    out +=
        "<h2>Memory map</h2>\n<p>Heights grow with the logarithm of the size. Dashed blocks are not measured.</p>\n" +
        picture(derivation, described);
    out += "<h2>Steps</h2>\n" + steps_table(derivation);
    if (derivation.hashes) {
        out += "<h2>Hashes page</h2>\n<dl>\n<dt>Command line, with its NUL</dt><dd class=\"hex\">" +
               hex(derivation.hashes->cmdline) + "</dd>\n<dt>initrd</dt><dd class=\"hex\">" +
               hex(derivation.hashes->initrd) + "</dd>\n<dt>Kernel</dt><dd class=\"hex\">" +
               hex(derivation.hashes->kernel) + "</dd>\n</dl>\n";
        if (derivation.hash_table_gpa)
            out += "<p>The table is at " + hex_number(*derivation.hash_table_gpa) +
                   "; the rest of its page is zero.</p>\n";
        if (described.kernel)
            out += "<p>Command line: <code>" + escaped(described.kernel->command_line) + "</code></p>\n";
    }
    out += "<h2>In memory, or handed over, and not measured</h2>\n" + not_measured(derivation, described);
    return out + "</main>\n</body>\n</html>\n";
}

} // namespace cvmin
