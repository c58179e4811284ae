#include "host-tools/present/html.hpp"
#include "host-tools/base/text.hpp"

#include "host-tools/appraise/verdict.hpp"

#include <algorithm>
#include <array>
#include <cstdio>

namespace cvmin {

// ---- text -----------------------------------------------------------------------------------------------------------

// Everything that came out of evidence, certificates and files passes through here: ASCII, and no markup.
static std::string escaped(std::string_view text) {
    return html_escaped(printable_line(std::string{text}));
}

static bool is_hex(std::string_view text) {
    return text.size() >= 32 && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

// Long hex in groups of eight, those marked that differ from `other`.
static std::string hex_groups(std::string_view text, std::string_view other = {}) {
    constexpr std::size_t group = 8;
    std::string out = "<span class=\"hex\">";
    for (std::size_t at = 0; at < text.size(); at += group) {
        const std::string_view part = text.substr(at, group);
        const bool differs = is_hex(other) && (at >= other.size() || other.substr(at, group) != part);
        out += differs ? "<mark>" : "<span>";
        out += escaped(part);
        out += differs ? "</mark>" : "</span>";
    }
    return out + "</span>";
}

static std::string value_html(const std::string &text, const std::string &other = {}) {
    if (text.empty())
        return "<span class=\"none\">-</span>";
    if (is_hex(text))
        return hex_groups(text, other);
    std::string out; // long hex in the middle of a text, too
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t end = std::min(text.find_first_not_of("0123456789abcdef", at), text.size());
        const std::string run = text.substr(at, end - at);
        out += is_hex(run) ? hex_groups(run) : run;
        const std::size_t next = std::min(text.find_first_of("0123456789abcdef", end), text.size());
        out += escaped(std::string_view{text}.substr(end, next - end));
        at = next;
    }
    return out;
}

static const char *class_of(Outcome outcome) {
    switch (outcome) {
    case Outcome::passed:
        return "passed";
    case Outcome::failed:
        return "failed";
    case Outcome::skipped:
        return "skipped";
    case Outcome::not_made:
        return "unmade";
    }
    return "failed";
}

// A mark that does not speak by colour alone.
static std::string mark_of(Outcome outcome) {
    static constexpr const char *paths[] = {
        "<path d=\"M5 8h6\"/>",                   // not made
        "<path d=\"M5 5l6 6M11 5l-6 6\"/>",       // failed
        "<path d=\"M4.5 8.5l2.5 2.5 4.5-5.5\"/>", // passed
        "<path d=\"M6 5v6M10 5v6\"/>",            // skipped
    };
    return std::string{"<svg class=\"mark "} + class_of(outcome) +
           "\" viewBox=\"0 0 16 16\" aria-hidden=\"true\"><circle cx=\"8\" cy=\"8\" r=\"7\"/>" +
           paths[static_cast<std::size_t>(outcome)] + "</svg>";
}

static std::string badge(Outcome outcome) {
    return "<span class=\"badge " + std::string{class_of(outcome)} + "\">" + mark_of(outcome) +
           std::string{name(outcome)} + "</span>";
}

// ---- style
// ------------------------------------------------------------------------------------------------------------

static constexpr const char *style = R"css(
:root{color-scheme:light dark;--bg:#f5f6f8;--card:#fff;--ink:#1c2330;--soft:#5b6577;--line:#dfe3ea;--good:#0b6e3c;--good-bg:#e3f4ea;--bad:#b3202c;--bad-bg:#fdeaec;--skip:#5b6577;--skip-bg:#eceff4;--warn:#7a4d00;--warn-bg:#fff1d1;--accent:#2457c5;--mono:ui-monospace,"SF Mono","DejaVu Sans Mono",Menlo,Consolas,monospace}
@media (prefers-color-scheme:dark){:root{--bg:#11151c;--card:#1a202a;--ink:#e7ebf2;--soft:#9ba7b9;--line:#2d3644;--good:#5fd394;--good-bg:#15342a;--bad:#ff8a92;--bad-bg:#3d1c22;--skip:#9ba7b9;--skip-bg:#262e3a;--warn:#ffcf70;--warn-bg:#3d2f12;--accent:#86aaff}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;-webkit-text-size-adjust:100%}
main{max-width:1080px;margin:0 auto;padding:20px 16px 48px}
h1{margin:0;font-size:34px;line-height:1.1;letter-spacing:.01em}
h2{margin:0 0 12px;font-size:16px}
h3{margin:0 0 8px;font-size:13px;color:var(--soft);font-weight:600}
p{margin:6px 0}
.emulated{background:repeating-linear-gradient(-45deg,#ffc531 0 18px,#1b1b1b 18px 36px);padding:9px;text-align:center}
.emulated strong{display:inline-block;max-width:100%;background:#1b1b1b;color:#ffc531;padding:7px 16px;border-radius:6px;font-size:16px;line-height:1.35}
.banner{display:flex;gap:18px;align-items:center;border-radius:14px;padding:22px 24px;margin:0 0 18px;border:1px solid}
.banner.accepted{background:var(--good-bg);border-color:var(--good);color:var(--good)}
.banner.refused{background:var(--bad-bg);border-color:var(--bad);color:var(--bad)}
.banner>svg{flex:none;width:60px;height:60px;fill:none;stroke:currentColor;stroke-width:1.4;stroke-linecap:round;stroke-linejoin:round}
.banner p{color:var(--ink);margin:6px 0 0}
.facts{display:flex;flex-wrap:wrap;gap:6px 18px;margin-top:8px;color:var(--soft);font-size:14px}
.facts b{color:var(--ink);font-weight:600}
.card{background:var(--card);border:1px solid var(--line);border-radius:14px;padding:18px 20px;margin:0 0 18px;min-width:0}
.two{display:grid;grid-template-columns:1fr 1fr;gap:18px}
.two>.card{margin-bottom:18px}
.chain{display:flex;align-items:stretch;gap:0}
.cert{flex:1 1 0;min-width:0;border:1px solid var(--line);border-radius:10px;padding:12px 14px;background:var(--bg)}
.cert .role{font-size:12px;color:var(--soft)}
.cert .who{font-weight:650;overflow-wrap:anywhere}
.cert dl{margin:8px 0 0;font-size:13px}
.arrow{flex:none;width:44px;display:flex;align-items:center;justify-content:center;color:var(--soft)}
.arrow svg{width:26px;height:26px;fill:none;stroke:currentColor;stroke-width:1.6;stroke-linecap:round;stroke-linejoin:round}
dl{display:grid;grid-template-columns:auto 1fr;gap:3px 12px;margin:0}
dt{color:var(--soft)}dd{margin:0;min-width:0;overflow-wrap:anywhere}
.hex{font-family:var(--mono);font-size:13px;overflow-wrap:normal}
.hex>*{display:inline-block;margin-right:.5em}
mark{background:var(--bad-bg);color:var(--bad);font-weight:700;border-radius:3px;box-shadow:0 0 0 2px var(--bad-bg)}
table{border-collapse:collapse;width:100%}
th,td{text-align:left;padding:7px 10px;border-bottom:1px solid var(--line);vertical-align:top}
tr:last-child>td,tr:last-child>th{border-bottom:0}
thead th{font-size:12.5px;color:var(--soft);font-weight:600;white-space:nowrap}
.tcb td,.tcb th{white-space:nowrap;padding-left:8px;padding-right:8px}
.tcb td{font-variant-numeric:tabular-nums}
.tcb .min{color:var(--soft);font-size:12.5px;margin-left:4px}
.tcb .low{color:var(--bad);font-weight:700}
.scroll{overflow-x:auto;margin:0 -4px;padding:0 4px}
.bits{list-style:none;margin:0;padding:0}
.bits li{display:flex;gap:9px;align-items:baseline;padding:4px 0;border-bottom:1px solid var(--line)}
.bits li:last-child{border-bottom:0}
.bits .is{margin-left:auto;color:var(--soft);text-align:right;font-size:14px}
.bits li.failed .is{color:var(--bad);font-weight:600}
#advisories .is{white-space:nowrap}
.bits svg{align-self:center}
.mark{flex:none;width:17px;height:17px;fill:none;stroke:currentColor;stroke-width:1.6;stroke-linecap:round;stroke-linejoin:round;vertical-align:-3px}
.mark.passed{color:var(--good)}.mark.failed,.mark.unmade{color:var(--bad)}.mark.skipped{color:var(--skip)}
.mark circle{stroke-width:1.2}
.badge{display:inline-flex;gap:5px;align-items:center;border-radius:999px;padding:1px 9px 1px 5px;font-size:12.5px;font-weight:600;white-space:nowrap}
.badge.passed{background:var(--good-bg);color:var(--good)}
.badge.failed,.badge.unmade{background:var(--bad-bg);color:var(--bad)}
.badge.skipped{background:var(--skip-bg);color:var(--skip)}
.why{border-color:var(--bad)}
.why li{margin:0 0 12px}.why ul{margin:0;padding:0;list-style:none}
.why .name,.checks .name{font-family:var(--mono);font-size:13px;font-weight:600;overflow-wrap:anywhere}
.why dl{margin:5px 0 0 0}
.explanation{background:var(--warn-bg);color:var(--ink);border-left:4px solid var(--warn);border-radius:6px;padding:10px 14px;margin:14px 0 0;white-space:pre-wrap;overflow-wrap:anywhere}
.none{color:var(--soft)}
.checks{table-layout:fixed}
.checks col.o{width:104px}.checks col.n{width:250px}.checks col.a{width:118px}
.checks td{overflow-wrap:anywhere;font-size:14px}
.checks .anchor{color:var(--soft);font-size:13px}
.checks tr.failed td,.checks tr.unmade td{background:var(--bad-bg)}
.checks tbody th{padding-top:18px;font-size:13px;color:var(--soft)}
.compare dt{padding-top:2px}
footer{color:var(--soft);font-size:13px}
code{font-family:var(--mono);font-size:.93em}
@media (max-width:820px){
.two{grid-template-columns:1fr;gap:0}
.chain{flex-direction:column}
.arrow{width:100%;height:34px}.arrow svg{transform:rotate(90deg)}
.banner{padding:18px 16px;gap:14px}.banner>svg{width:46px;height:46px}h1{font-size:28px}
.card{padding:16px 14px}
.checks,.checks tbody{display:block}
.checks colgroup,.checks thead{display:none}
.checks tr{display:grid;grid-template-columns:auto 1fr;gap:2px 10px;padding:10px 6px;border-bottom:1px solid var(--line)}
.checks tr.failed,.checks tr.unmade{background:var(--bad-bg);border-radius:8px}
.checks tr.failed td,.checks tr.unmade td{background:none}
.checks td{display:block;padding:0;border:0}
.checks td.v,.checks td.anchor{grid-column:1/-1}
.checks td[data-label]::before{content:attr(data-label) " ";color:var(--soft);font-size:12.5px}
.checks tbody tr.section{display:block;padding:14px 6px 2px;border:0}.checks tbody th{padding:0;border:0;display:block}
.tcb td,.tcb th{padding-left:6px;padding-right:6px;font-size:14px}
.tcb .min{display:block;margin:0}
.tcb th{white-space:normal}
.tcb .badge{padding:0;background:none;font-size:0;gap:0}
}
@media print{body{background:#fff}.card,.banner{break-inside:avoid}}
)css";

std::string page_head(std::string_view title, std::string_view more_style) {
    std::string out = "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
                      // were anything to slip through the escaping, it could neither run nor send
                      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
                      "'unsafe-inline'; base-uri 'none'; form-action 'none'\">\n"
                      "<meta name=\"referrer\" content=\"no-referrer\">\n<title>";
    out += escaped(title) + "</title>\n<style>" + style;
    out += more_style;
    return out + "</style>\n</head>\n";
}

// ---- the page
// -----------------------------------------------------------------------------------------------------------

namespace {

class Page {
  public:
    Page(const Appraisal &appraisal, const Expectations &wanted) : appraisal_(appraisal), want_(wanted) {}

    std::string make() {
        const bool accepted = appraisal_.verdict.accepted();
        const bool emulated = appraisal_.verdict.emulated();
        out_ = page_head(std::string{accepted ? "ACCEPTED" : "REFUSED"} + (emulated ? " (EMULATED)" : "") +
                         " - cvmin verdict");
        out_ += "<body>\n";
        if (emulated)
            out_ += "<div class=\"emulated\" id=\"emulated\"><strong>EMULATED: vouched for by an emulated ARK, not by "
                    "AMD. This machine protects nothing.</strong></div>\n";
        out_ += "<main>\n";
        banner();
        why();
        chain();
        tcbs();
        advisories();
        out_ += "<div class=\"two\">\n";
        bits("Guest policy", "policy", CheckId::snp_policy_debug, guest_policy_bits);
        bits("Platform", "platform", CheckId::snp_platform_info_smt, platform_info_bits);
        out_ += "</div>\n";
        measurement();
        binding();
        measured_boot();
        all_checks();
        out_ += "<footer><p>For people to read: no program takes a decision from this page. What each check stops is "
                "in cvmin's <code>docs/appraisal.md</code>.</p></footer>\n</main>\n</body>\n</html>\n";
        return std::move(out_);
    }

  private:
    const Check &check(CheckId id) const { return appraisal_.verdict[id]; }

    void banner() {
        const bool accepted = appraisal_.verdict.accepted();
        std::array<std::size_t, 4> count{};
        for (const Check &each : appraisal_.verdict.checks())
            ++count[static_cast<std::size_t>(each.outcome)];
        out_ += std::string{"<header class=\"banner "} + (accepted ? "accepted" : "refused") + "\">\n";
        out_ += accepted ? "<svg viewBox=\"0 0 24 24\" aria-hidden=\"true\"><path d=\"M12 2.5l8 3v6c0 5-3.4 8.6-8 "
                           "10-4.6-1.4-8-5-8-10v-6z\"/>"
                           "<path d=\"M8.3 12l2.6 2.6 4.8-5.2\"/></svg>\n"
                         : "<svg viewBox=\"0 0 24 24\" aria-hidden=\"true\"><path d=\"M12 2.5l8 3v6c0 5-3.4 8.6-8 "
                           "10-4.6-1.4-8-5-8-10v-6z\"/>"
                           "<path d=\"M9 9l6 6M15 9l-6 6\"/></svg>\n";
        out_ += std::string{"<div><h1 id=\"verdict\">"} + (accepted ? "ACCEPTED" : "REFUSED") + "</h1>\n<p>";
        if (appraisal_.verdict.report_only())
            out_ += "A report by itself: it ties nobody's connection to this machine.";
        else if (accepted)
            out_ += want_.live ? "The peer of this connection is the guest described below."
                               : "Stored evidence, held against what its caller says of the connection.";
        else
            out_ += "Nothing may be sent to this machine on the strength of this evidence.";
        out_ += "</p>\n<div class=\"facts\">";
        const auto fact = [&](std::size_t number, const char *text) {
            out_ += "<span><b>" + std::to_string(number) + "</b> " + text + "</span>";
        };
        fact(count[static_cast<std::size_t>(Outcome::passed)], "passed");
        fact(count[static_cast<std::size_t>(Outcome::failed)], "failed");
        fact(count[static_cast<std::size_t>(Outcome::not_made)], "not made");
        fact(count[static_cast<std::size_t>(Outcome::skipped)], "skipped");
        out_ += "<span>judged as of <b>" + escaped(format_time(want_.now)) + "</b></span>";
        const Genuine genuine = appraisal_.verdict.genuine();
        out_ += "<span>genuine <b id=\"genuine\">" + std::string{name(genuine)} + "</b></span>";
        out_ += std::string{"<span>acceptable <b id=\"acceptable\">"} +
                (appraisal_.verdict.acceptable() ? "yes" : "no") + "</b></span>";
        if (appraisal_.vek)
            out_ += "<span>product <b>" + escaped(name(appraisal_.vek->product)) + "</b></span>";
        out_ += "</div></div>\n</header>\n";
    }

    void why() {
        if (appraisal_.verdict.accepted())
            return;
        out_ += "<section class=\"card why\" id=\"why\">\n<h2>Why it was refused</h2>\n<ul>\n";
        std::size_t unmade = 0;
        for (const Check &each : appraisal_.verdict.checks()) {
            // what could not be looked at because of another failure is only counted: the table below has it
            const bool follows = each.outcome == Outcome::not_made && each.found.starts_with("nothing to look at");
            unmade += follows ? 1 : 0;
            if (follows || (each.outcome != Outcome::failed && each.outcome != Outcome::not_made))
                continue;
            out_ += "<li>" + badge(each.outcome) + " <span class=\"name\">" + escaped(each.name) + "</span><dl>";
            out_ += "<dt>found</dt><dd>" + value_html(each.found, each.wanted) + "</dd>";
            if (!each.wanted.empty())
                out_ += "<dt>wanted</dt><dd>" + value_html(each.wanted) + "</dd>";
            out_ += "</dl></li>\n";
        }
        if (unmade != 0)
            out_ += "<li class=\"none\">" + std::to_string(unmade) +
                    " more checks could not be made, because there was nothing left to look at.</li>\n";
        out_ += "</ul>\n</section>\n";
    }

    static std::string when(const mbedtls_x509_time &time) {
        char text[64];
        std::snprintf(text, sizeof text, "%04d-%02d-%02d", time.year, time.mon, time.day);
        return text;
    }

    void chain() {
        out_ += "<section class=\"card\" id=\"chain\">\n<h2>" + mark_of(check(CheckId::snp_chain).outcome) +
                " Who vouches for it</h2>\n";
        if (appraisal_.chain.size() == 3) {
            const bool vlek = appraisal_.vek && appraisal_.vek->kind == VekKind::vlek;
            const std::array<std::string, 3> roles{vlek ? "Signs the report (VLEK)" : "Signs the report (VCEK)",
                                                   vlek ? "Intermediate (ASVK)" : "Intermediate (ASK)",
                                                   appraisal_.verdict.emulated() ? "Root (EMULATED ARK)"
                                                                                 : "Root (AMD ARK, pinned)"};
            out_ += "<div class=\"chain\">\n";
            for (std::size_t i = 3; i-- > 0;) {
                const X509Certificate &certificate = *appraisal_.chain[i];
                const mbedtls_x509_crt &crt = certificate.get();
                out_ += "<div class=\"cert\"><div class=\"role\">" + roles[i] + "</div><div class=\"who\">" +
                        escaped(certificate.subject_name()) + "</div><dl><dt>serial</dt><dd>" +
                        escaped(hex({reinterpret_cast<const std::byte *>(crt.serial.p), crt.serial.len})) +
                        "</dd><dt>valid</dt><dd>" + when(crt.valid_from) + " to " + when(crt.valid_to) + "</dd>";
                if (i == 0 && appraisal_.vek) {
                    out_ += "<dt>product</dt><dd>" + escaped(appraisal_.vek->product_name) + "</dd>";
                    if (vlek)
                        out_ += "<dt>provider</dt><dd>" + escaped(appraisal_.vek->csp_id) + "</dd>";
                }
                out_ += "</dl></div>\n";
                if (i != 0)
                    out_ += "<div class=\"arrow\"><svg viewBox=\"0 0 24 24\" role=\"img\" aria-label=\"signs\"><path "
                            "d=\"M4 12h15M13.5 6.5L19 12l-5.5 5.5\"/></svg></div>\n";
            }
            out_ += "</div>\n";
        } else {
            out_ += "<p>" + escaped(check(CheckId::snp_chain).found) + "</p>\n";
        }
        out_ += "<dl style=\"margin-top:14px\">";
        for (const CheckId id : {CheckId::snp_signature, CheckId::snp_revocation, CheckId::snp_chip_id}) {
            const Check &each = check(id);
            out_ += "<dt>" + mark_of(each.outcome) + " " + escaped(each.name) + "</dt><dd>" +
                    value_html(each.found, each.outcome == Outcome::failed ? each.wanted : std::string{}) + "</dd>";
        }
        out_ += "</dl>\n</section>\n";
    }

    void tcbs() {
        out_ += "<section class=\"card\" id=\"tcb\">\n<h2>Firmware levels (TCB)</h2>\n";
        if (!appraisal_.report || !appraisal_.vek) {
            out_ += "<p class=\"none\">Not known: the levels are read in the layout of a product, which the "
                    "certificate names.</p>\n</section>\n";
            return;
        }
        const Product product = appraisal_.vek->product;
        const SnpReport &report = *appraisal_.report;
        const std::array<std::uint64_t, tcb_kind_count> raw{report.reported_tcb, report.committed_tcb,
                                                            report.launch_tcb, report.current_tcb};
        out_ += "<div class=\"scroll\"><table class=\"tcb\"><thead><tr><th></th>";
        for (const TcbComponent component : all_tcb_components) {
            std::string label{name(component)};
            std::ranges::replace(label, '_', ' ');
            if (tcb_byte(product, component))
                out_ += "<th>" + label + "</th>";
        }
        out_ += "<th>verdict</th></tr></thead>\n<tbody>\n";
        static constexpr std::array checks{CheckId::snp_tcb_minimum_reported, CheckId::snp_tcb_minimum_committed,
                                           CheckId::snp_tcb_minimum_launch, CheckId::snp_tcb_minimum_current};
        const Tcb reported = decode_tcb(product, report.reported_tcb);
        for (std::size_t kind = 0; kind < tcb_kind_count; ++kind)
            tcb_row(product, tcb_kind_names[kind], decode_tcb(product, raw[kind]),
                    wanted_minimum(want_, product, static_cast<TcbKind>(kind)), std::nullopt, check(checks[kind]));
        tcb_row(product, "certificate", appraisal_.vek->tcb, std::nullopt, reported,
                check(CheckId::snp_tcb_certificate));
        out_ += "</tbody></table></div>\n<p class=\"none\">Reported: what the signing key is derived for. "
                "Committed: what cannot be rolled back. Launch: what ran when the guest was started. Current: what "
                "runs now. Certificate: what the key was certified for; it must equal reported.</p>\n</section>\n";
    }

    // Known holes that this report does not show as closed, whether the policy asks for them or not.
    void advisories() {
        const auto open = [](const AdvisoryResult &result) { return result.state != AdvisoryState::met; };
        if (std::ranges::none_of(appraisal_.advisories, open))
            return;
        out_ +=
            "<section class=\"card\" id=\"advisories\">\n<h2>Advisories not shown as met</h2>\n<ul class=\"bits\">\n";
        for (const AdvisoryResult &result : appraisal_.advisories) {
            if (!open(result))
                continue;
            const bool unmet = result.state == AdvisoryState::unmet;
            out_ += std::string{"<li class=\""} + (unmet && result.required ? "failed" : "skipped") + "\">" +
                    mark_of(unmet ? Outcome::failed : Outcome::skipped) + "<span><b>" + escaped(result.advisory->id) +
                    "</b> " + escaped(result.advisory->what) + "<br><span class=\"none\">" +
                    escaped(unmet ? result.why : "the report does not tell") +
                    (result.advisory->confirmed ? "" : " (unconfirmed)") + "</span></span><span class=\"is\">" +
                    (result.required ? "required" : "not required") + "</span></li>\n";
        }
        out_ += "</ul>\n</section>\n";
    }

    // Levels below `minimum`, or other than `equal`, stand out.
    void tcb_row(Product product, std::string_view label, const Tcb &tcb, const std::optional<Tcb> &minimum,
                 const std::optional<Tcb> &equal, const Check &verdict) {
        out_ += "<tr><th>" + std::string{label} + "</th>";
        for (const TcbComponent component : all_tcb_components) {
            if (!tcb_byte(product, component))
                continue;
            const unsigned level = tcb[component];
            const bool low = minimum && level < (*minimum)[component];
            const bool other = equal && level != (*equal)[component];
            out_ += (low || other ? "<td class=\"low\">" : "<td>") + std::to_string(level);
            if (minimum)
                out_ += std::string{" <span class=\"min\">"} + (low ? "&lt; " : "min ") +
                        std::to_string((*minimum)[component]) + "</span>";
            out_ += "</td>";
        }
        out_ += "<td>" + badge(verdict.outcome) + "</td></tr>\n";
    }

    template <std::size_t N>
    void bits(const char *title, const char *id, CheckId first, const std::array<NamedBit, N> &table) {
        out_ +=
            std::string{"<section class=\"card\" id=\""} + id + "\">\n<h2>" + title + "</h2>\n<ul class=\"bits\">\n";
        for (std::size_t i = 0; i < N; ++i) {
            const Check &each = check(static_cast<CheckId>(static_cast<std::size_t>(first) + i));
            std::string label{table[i].member()};
            std::ranges::replace(label, '_', ' ');
            out_ += std::string{"<li class=\""} + class_of(each.outcome) + "\">" + mark_of(each.outcome) + "<span>" +
                    label + "</span><span class=\"is\">" + escaped(each.found);
            if (each.outcome == Outcome::failed)
                out_ += ", wanted " + escaped(each.wanted);
            else if (each.outcome == Outcome::skipped)
                out_ += ", not checked";
            out_ += "</span></li>\n";
        }
        out_ += "</ul>\n</section>\n";
    }

    void measurement() {
        const Check &each = check(CheckId::snp_measurement);
        out_ += "<section class=\"card\" id=\"measurement\">\n<h2>" + mark_of(each.outcome) +
                " Launch digest (MEASUREMENT)</h2>\n<dl class=\"compare\"><dt>found</dt><dd>" +
                value_html(each.found, each.outcome == Outcome::failed ? each.wanted : std::string{}) + "</dd>";
        if (each.outcome == Outcome::passed)
            out_ += "<dt>wanted</dt><dd>the same</dd>";
        else
            out_ += "<dt>wanted</dt><dd>" + value_html(each.wanted) + "</dd>";
        if (!want_.measurement_source.empty())
            out_ += "<dt>from</dt><dd>" + escaped(want_.measurement_source) + "</dd>";
        out_ += "</dl>\n";
        if (appraisal_.explanation) {
            out_ += "<div class=\"explanation\" id=\"explanation\">";
            for (const std::string &line : appraisal_.explanation->lines)
                out_ += escaped(line) + "\n";
            out_ += "</div>\n";
        }
        out_ += "</section>\n";
    }

    void binding() {
        out_ += "<section class=\"card\" id=\"binding\">\n<h2>What ties it to a connection and a moment</h2>\n<ul "
                "class=\"bits\">\n";
        static constexpr struct {
            CheckId id;
            const char *text;
        } rows[] = {{CheckId::binding_report_data, "REPORT_DATA"},
                    {CheckId::binding_nonce, "nonce"},
                    {CheckId::binding_exporter, "TLS exporter of the connection"},
                    {CheckId::binding_key, "key of the peer"}};
        for (const auto &[id, text] : rows) {
            const Check &each = check(id);
            std::string is{name(each.outcome)};
            if (each.outcome == Outcome::passed)
                is = "as wanted by: " + std::string{each.anchor};
            else if (each.outcome == Outcome::skipped)
                is = each.wanted == "skip" ? "not checked" : each.wanted;
            out_ += std::string{"<li class=\""} + class_of(each.outcome) + "\">" + mark_of(each.outcome) + "<span>" +
                    text + "</span><span class=\"is\">" + escaped(is) + "</span></li>\n";
        }
        out_ += "</ul>\n</section>\n";
    }

    // Only where a policy asks for it: else there is nothing to see but skipped rows.
    void measured_boot() {
        static constexpr struct {
            CheckId id;
            const char *text;
        } rows[] = {{CheckId::tpm_quote, "quote"},
                    {CheckId::tpm_ak, "attestation key"},
                    {CheckId::tpm_signature, "signature of the quote"},
                    {CheckId::tpm_extra_data, "that it answers these claims"},
                    {CheckId::tpm_pcr_digest, "PCR values"},
                    {CheckId::tpm_clock, "one boot of the TPM"},
                    {CheckId::tpm_ek, "endorsement key's certificate"},
                    {CheckId::tpm_credential, "both keys in one TPM"},
                    {CheckId::tpm_svsm, "the SVSM's TPM"},
                    {CheckId::tpm_event_log, "event log of the firmware"},
                    {CheckId::tpm_boot_events, "kernel, initramfs, command line"},
                    {CheckId::tpm_pcrs, "PCRs by value"},
                    {CheckId::runtime_log_replay, "the agent's log"},
                    {CheckId::runtime_log_events, "events in it"},
                    {CheckId::ima_replay, "list of executed files (IMA)"},
                    {CheckId::ima_boot_aggregate, "that it is of this boot"},
                    {CheckId::ima_allowed, "executed files"}};
        if (std::ranges::all_of(rows, [this](const auto &row) { return check(row.id).outcome == Outcome::skipped; }))
            return;
        out_ += "<section class=\"card\" id=\"measured\">\n<h2>What was booted, and what happened since</h2>\n";
        if (!appraisal_.vtpm.empty())
            out_ += "<p class=\"note\" id=\"vtpm\"><b>Anchored in: " + escaped(appraisal_.vtpm) + ".</b> " +
                    escaped(vtpm_note(appraisal_.vtpm)) + "</p>\n";
        out_ += "<ul class=\"bits\">\n";
        for (const auto &[id, text] : rows) {
            const Check &each = check(id);
            out_ += std::string{"<li class=\""} + class_of(each.outcome) + "\">" + mark_of(each.outcome) + "<span>" +
                    text + "</span><span class=\"is\">" +
                    escaped(each.outcome == Outcome::skipped ? "not checked" : each.found) + "</span></li>\n";
        }
        out_ += "</ul>\n</section>\n";
    }

    void all_checks() {
        out_ += "<section class=\"card\" id=\"checks\">\n<h2>Every check</h2>\n<table class=\"checks\">"
                "<colgroup><col class=\"o\"><col class=\"n\"><col><col><col class=\"a\"></colgroup>"
                "<thead><tr><th>outcome</th><th>check</th><th>found</th><th>wanted</th><th>on whose word</th></tr>"
                "</thead>\n<tbody>\n";
        for (const Check &each : appraisal_.verdict.checks()) {
            const bool same = each.outcome == Outcome::passed && each.found == each.wanted;
            out_ += std::string{"<tr class=\""} + class_of(each.outcome) + "\"><td>" + badge(each.outcome) +
                    "</td><td class=\"name\">" + escaped(each.name) + "</td><td class=\"v\" data-label=\"found\">" +
                    value_html(each.found, each.outcome == Outcome::failed ? each.wanted : std::string{}) +
                    "</td><td class=\"v\" data-label=\"wanted\">" +
                    (same ? std::string{"the same"} : value_html(each.wanted)) +
                    "</td><td class=\"anchor\" data-label=\"on the word of\">" + escaped(each.anchor) + "</td></tr>\n";
        }
        out_ += "</tbody></table>\n</section>\n";
    }

    const Appraisal &appraisal_;
    const Expectations &want_;
    std::string out_;
};

} // namespace

std::string verdict_html(const Appraisal &appraisal, const Expectations &expectations) {
    return Page{appraisal, expectations}.make();
}

} // namespace cvmin
