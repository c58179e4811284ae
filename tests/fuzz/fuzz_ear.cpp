// Any bytes as evidence, or as a report by itself; its verdict as an attestation result and as a page: well-formed
// whatever the evidence says, and never better than the verdict.
#include "common/cert_table.hpp"
#include "common/cose.hpp"
#include "host-tools/appraise/verdict.hpp"
#include "host-tools/base/mbed.hpp"
#include "host-tools/present/ear.hpp"
#include "host-tools/present/html.hpp"
#include "tests/fuzz/data_file.hpp"

using namespace cvmin;

template <std::size_t N> static ByteArray<N> filled(unsigned value) {
    ByteArray<N> out;
    out.fill(static_cast<std::byte>(value));
    return out;
}

static const Expectations &expectations() { // those of the entry good-evidence in tests/data/negative
    static const Expectations wanted = [] {
        Expectations out;
        out.nonce = Bytes(32, std::byte{0x5a});
        out.exporter = filled<exporter_size>(0x33);
        out.peer_key = PublicKey{filled<48>(0x11), filled<48>(0x22)};
        ByteArray<64> report_data;
        for (std::size_t i = 0; i < report_data.size(); ++i)
            report_data[i] = static_cast<std::byte>(0x40 + i);
        out.report_data = report_data;
        out.measurements = {filled<48>(0xaa)};
        out.emulated_ark = fuzz::data_file("negative/certificates/ark.der");
        out.policy = parse_policy(fuzz::data_file("../../policies/emulated.json")).value();
        out.now = parse_time("2026-06-01T12:00:00Z").value();
        return out;
    }();
    return wanted;
}

static void check(const Appraisal &appraisal, bool sign) {
    static P384PrivateKey key;
    static const bool ready =
        key.parse(fuzz::data_file("negative/certificates/vek-key.der"), system_random, nullptr, "fuzz").has_value();
    if (!ready)
        std::abort();
    const Expectations &wanted = expectations();
    for (const EarProfile profile : {EarProfile::ietf, EarProfile::veraison}) {
        const auto claims = ear_claims(appraisal, wanted, {.profile = profile, .issued = wanted.now});
        if (!claims)
            std::abort();
        const std::string text = claims->dump();
        if (!parse_json(as_bytes(text), "ear"))
            std::abort();
        // an emulated root is no hardware: not even an accepted verdict under it says more than this, of no part
        if (!(*claims)["submods"].contains("sev-snp"))
            std::abort();
        for (const Json &submodule : (*claims)["submods"])
            if (submodule[profile == EarProfile::ietf ? "ear_status" : "ear.status"] != "contraindicated")
                std::abort();
    }
    if (sign) {
        const auto token = sign_jwt(*ear_claims(appraisal, wanted, {.issued = wanted.now}), key);
        if (!token || std::ranges::count(*token, '.') != 2)
            std::abort();
        const auto cwt = sign_cwt(*ear_claims(appraisal, wanted, {.issued = wanted.now}), key);
        if (!cwt || !cose::parse_sign1(*cwt, cwt->size()))
            std::abort();
        for (const char c : *token)
            if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') && c != '-' && c != '_' &&
                c != '.')
                std::abort();
    }
    const std::string page = verdict_html(appraisal, wanted);
    if (!page.starts_with("<!") || page.contains("<script") || page.contains('\0'))
        std::abort();
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
    static const Bytes vcek = fuzz::data_file("negative/certificates/vcek-genoa.der");
    static const Bytes ask = fuzz::data_file("negative/certificates/ask.der");
    static const Bytes table = encode_cert_table({.vcek = vcek, .vlek = {}, .ask = ask, .ark = {}, .crl = {}});
    const ByteView input = std::as_bytes(std::span{data, size});
    // a signature takes longer than all the rest, and knows nothing of what it signs
    check(size == snp_report_size ? appraise_report(input, table, expectations()) : appraise(input, expectations()),
          size != 0 && data[size - 1] % 32 == 0);
    return 0;
}
