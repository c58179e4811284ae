#include "host-tools/collateral/collateral.hpp"

#include "host-tools/appraise/report_signature.hpp"

namespace cvmin {

Result<std::vector<PemBlock>> split_pem(ByteView bytes, std::size_t limit, std::string_view where) {
    constexpr std::string_view begin = "-----BEGIN ";
    constexpr std::string_view dashes = "-----";
    constexpr std::string_view blank = " \t\r\n";
    std::string_view text = as_text(bytes);
    std::vector<PemBlock> blocks;
    const auto skip_blanks = [&] { text.remove_prefix(std::min(text.find_first_not_of(blank), text.size())); };
    skip_blanks();
    if (!text.starts_with(begin)) {
        blocks.push_back({.label = {}, .der = to_bytes(bytes)});
        return blocks;
    }
    for (; !text.empty(); skip_blanks()) {
        if (blocks.size() == limit)
            return fail(Errc::too_large, where, blocks.size() + 1);
        if (!text.starts_with(begin))
            return fail(Errc::malformed, where);
        text.remove_prefix(begin.size());
        const std::size_t label_end = text.find(dashes);
        if (label_end == text.npos)
            return fail(Errc::malformed, where);
        PemBlock block{.label = std::string{text.substr(0, label_end)}, .der = {}};
        text.remove_prefix(label_end + dashes.size());
        const std::string end = "-----END " + block.label + std::string{dashes};
        const std::size_t stop = text.find(end);
        if (stop == text.npos)
            return fail(Errc::malformed, where);
        std::string base64_text;
        for (const char c : text.substr(0, stop))
            if (!blank.contains(c))
                base64_text += c;
        CVMIN_TRY(der, parse_base64(base64_text, where));
        block.der = std::move(der);
        blocks.push_back(std::move(block));
        text.remove_prefix(stop + end.size());
    }
    return blocks;
}

namespace {

using Certificate = std::shared_ptr<const X509Certificate>;

std::unexpected<Failure> not_wanted(std::string_view what, const ChainProblem &problem) {
    return explain(Errc::mismatch, std::string{what} + ": found " + problem.found + "; wanted " + problem.wanted);
}

// A proxy's or portal's page in place of the answer: said plainly, because "malformed DER" helps nobody.
std::optional<Failure> web_page(std::string_view what, ByteView bytes) {
    const std::string_view text = as_text(bytes);
    const std::size_t first = text.find_first_not_of(" \t\r\n");
    if (first == text.npos || text[first] != '<')
        return std::nullopt;
    return Failure{Errc::malformed,
                   std::string{what} + ": the answer is a web page and no certificate or list (a proxy, a portal?)"};
}

Explained<Certificate> read_certificate(std::string_view what, ByteView der) {
    auto certificate = X509Certificate::parse(der, "certificate");
    if (!certificate)
        return explain(certificate.error(), what);
    return std::make_shared<const X509Certificate>(std::move(*certificate));
}

struct Authorities {
    TrustedChain chain;
    Certificate ark; // as the service has it: its key is the pinned one
};

Explained<Authorities> read_chain(ByteView bytes, const CollateralRequest &request) {
    constexpr std::string_view what = "the chain";
    const auto blocks = split_pem(bytes, 2, "chain");
    if (!blocks)
        return explain(blocks.error(), what);
    if (blocks->size() != 2 || (*blocks)[0].label != "CERTIFICATE" || (*blocks)[1].label != "CERTIFICATE")
        return explain(Errc::malformed, "the chain: wanted two certificates in PEM, an intermediate and the ARK");
    CVMIN_TRY(intermediate, read_certificate(what, (*blocks)[0].der));
    CVMIN_TRY(ark, read_certificate(what, (*blocks)[1].der));
    auto chain = verify_intermediate(intermediate, request.product, request.emulated_ark, request.now);
    if (!chain)
        return not_wanted(what, chain.error());
    if (chain->kind && *chain->kind != request.kind)
        return not_wanted(what, {intermediate->subject_name(),
                                 request.kind == VekKind::vlek ? "the ASVK of VLEKs" : "the ASK of VCEKs"});
    // the same key, whatever else AMD may write into the certificate one day; an emulated one byte for byte
    if (chain->emulated ? !equal(ark->der(), chain->ark->der()) : spki_digest(*ark) != spki_digest(*chain->ark))
        return not_wanted(what, {"a root " + ark->subject_name() + " (SPKI SHA-256 " + hex(spki_digest(*ark)) + ")",
                                 std::string{chain->emulated ? "the given" : "AMD's pinned"} + " ARK (SPKI SHA-256 " +
                                     hex(spki_digest(*chain->ark)) + ")"});
    return Authorities{.chain = std::move(*chain), .ark = std::move(ark)};
}

struct Vcek {
    TrustedChain chain;
    Certificate certificate;
};

Explained<Vcek> read_vcek(ByteView bytes, const CollateralRequest &request, const Certificate &intermediate) {
    constexpr std::string_view what = "the VCEK";
    const VcekId &id = *request.vcek;
    const auto der = certificate_der(bytes, "certificate");
    if (!der)
        return explain(der.error(), what);
    CVMIN_TRY(certificate, read_certificate(what, *der));
    const Certificate own[] = {intermediate};
    auto chain = verify_chain(*certificate, {}, request.emulated_ark, request.now, Revocation::skip, own);
    if (!chain)
        return not_wanted(what, chain.error());
    const auto vek = parse_vek_cert(*certificate);
    if (!vek)
        return explain(vek.error(), what);
    if (vek->kind != VekKind::vcek || vek->product != id.product || (chain->product && chain->product != id.product))
        return not_wanted(what, {"a " + std::string{name(vek->kind)} + " of " + vek->product_name,
                                 "a VCEK of " + std::string{name(id.product)}});
    if (vek->hwid != id.hwid)
        return not_wanted(what, {"HWID " + hex(vek->hwid), hex(id.hwid)});
    if (vek->tcb != id.tcb)
        return not_wanted(what, {to_string(id.product, vek->tcb), to_string(id.product, id.tcb)});
    if (!request.report.empty())
        if (const auto signature = verify_report_signature(request.report, vek->key); !signature)
            return not_wanted(what,
                              {"a key with which the report does not verify (" + to_string(signature.error()) + ")",
                               "the key that signed the report"});
    return Vcek{.chain = std::move(*chain), .certificate = std::move(certificate)};
}

Explained<std::shared_ptr<const RevocationList>> read_crl(ByteView bytes, const CollateralRequest &request,
                                                          const TrustedChain &chain) {
    constexpr std::string_view what = "the CRL";
    auto list = RevocationList::parse(bytes, "crl");
    if (!list)
        return explain(list.error(), what);
    if (const auto good = check_crl(*list, *chain.ark, request.now); !good)
        return not_wanted(what, good.error());
    return std::make_shared<const RevocationList>(std::move(*list));
}

struct Item {
    std::string what;  // of the report to the user: "VCEK"
    std::string label; // in sentences: "the VCEK of chip ..."
    std::string path;
    std::size_t limit;
    std::string not_found;
    std::optional<std::time_t> fresh_for; // how long a cached one is used unasked; nothing: always
};

// From the cache, or from the service and then into the cache. `read` decides whether bytes are what was asked for.
template <class Read>
auto obtain(const Item &item, const CollateralRequest &request, CollateralAccess &access, Collateral &out, Read read)
    -> decltype(read(ByteView{})) {
    const std::string url = access.address + item.path;
    auto from_cache = access.refresh ? std::nullopt : access.cache.read(item.path, item.limit);
    std::optional<decltype(read(ByteView{}))> cached;
    if (from_cache) {
        cached = read(from_cache->bytes);
        if (!*cached)
            access.note(item.what + ": the cached one is not used: " + cached->error().text);
        const std::time_t age = request.now - from_cache->stored;
        const bool fresh = !item.fresh_for || (age >= 0 && age < *item.fresh_for);
        if (*cached && (fresh || access.offline)) {
            access.note(item.what + ": from the cache");
            out.items.push_back({item.what, url, true});
            return std::move(*cached);
        }
    }
    if (access.offline)
        return cached ? std::move(*cached)
                      : explain(Errc::unreachable, item.label + ": is not in the cache, and --offline asks nobody");
    access.note(item.what + ": asking " + access.address);
    const auto bytes = fetch(access.http, access.pacing,
                             {.url = url,
                              .what = item.label,
                              .limit = item.limit,
                              .retries = access.retries,
                              .deadline = access.deadline,
                              .not_found = item.not_found},
                             access.note);
    if (!bytes && cached && *cached && bytes.error().code != Errc::busy) {
        access.note(item.what + ": the cached one is used, which is still current: " + bytes.error().text);
        out.items.push_back({item.what, url, true});
        return std::move(*cached);
    }
    if (!bytes)
        return std::unexpected(bytes.error());
    if (auto page = web_page(item.label, *bytes))
        return std::unexpected(std::move(*page));
    auto value = read(ByteView{*bytes});
    if (!value)
        return value;
    const auto written = access.cache.write(item.path, *bytes);
    if (!written)
        access.note(item.what + ": cannot be cached: " + explain(written.error(), "cache").error().text);
    out.items.push_back({item.what, url, false, written.has_value()});
    return value;
}

Explained<void> attempt(const CollateralRequest &request, CollateralAccess &access, Collateral &out) {
    const std::string product{name(request.product)};
    const std::string no_product = "the service does not know " + product;
    CVMIN_TRY(authorities, obtain(Item{.what = "chain",
                                       .label = "the chain of " + product,
                                       .path = cert_chain_path(request.kind, request.product),
                                       .limit = max_cert_chain_size,
                                       .not_found = no_product,
                                       .fresh_for = std::nullopt},
                                  request, access, out, [&](ByteView bytes) { return read_chain(bytes, request); }));
    out.intermediate = authorities.chain.intermediate;
    out.ark = authorities.ark;
    out.chain = authorities.chain;
    if (request.vcek) {
        const std::string chip = hex(request.vcek->hwid).substr(0, 16);
        CVMIN_TRY(
            vcek,
            obtain(Item{.what = "VCEK",
                        .label = "the VCEK of chip " + chip,
                        .path = vcek_path(*request.vcek),
                        .limit = max_certificate_size,
                        .not_found = "the service has none for this chip at this TCB (" +
                                     to_string(request.product, request.vcek->tcb) +
                                     "): a pre-production chip, another product, or a TCB that AMD never released",
                        .fresh_for = std::nullopt},
                   request, access, out, [&](ByteView bytes) { return read_vcek(bytes, request, out.intermediate); }));
        out.vek = vcek.certificate;
        out.chain = vcek.chain;
    }
    if (request.crl) {
        CVMIN_TRY(crl,
                  obtain(Item{.what = "CRL",
                              .label = "the revocation list of " + product,
                              .path = crl_path(request.kind, request.product),
                              .limit = max_crl_size,
                              .not_found = no_product,
                              .fresh_for = crl_cache_age},
                         request, access, out, [&](ByteView bytes) { return read_crl(bytes, request, out.chain); }));
        // of the chain, and of the intermediate that is handed out, where the program's own was taken for the chain
        for (const TrustedChain &chain : {out.chain, authorities.chain})
            if (const auto good = check_revocation(*crl, chain, request.now); !good)
                return not_wanted("the revocation list", good.error());
        out.crl = crl;
    }
    return {};
}

} // namespace

Explained<Collateral> fetch_collateral(const CollateralRequest &request, CollateralAccess &access) {
    Collateral out;
    auto done = attempt(request, access, out);
    // a chain that was cached before AMD renewed it does not fit a new VCEK: once more, without the cache
    if (!done && done.error().code == Errc::mismatch && !access.offline &&
        std::ranges::any_of(out.items, &Collateral::Item::cached)) {
        access.note("once more without the cache: " + done.error().text);
        access.refresh = true;
        out = {};
        done = attempt(request, access, out);
    }
    if (!done)
        return std::unexpected(std::move(done.error()));
    return out;
}

} // namespace cvmin
