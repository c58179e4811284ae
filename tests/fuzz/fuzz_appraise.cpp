// Any bytes as evidence, under expectations that the first file of the corpus meets: accepted only with every check
// that may not be skipped passed, and only for our nonce, key, exporter and measurement; always a verdict that can be
// printed.
#include "host-tools/appraise/verdict.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>

using namespace cvmin;

static Bytes data_file(const char *name) {
    std::ifstream in(std::string{CVMIN_TEST_DATA} + "/" + name, std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(in), {}};
    if (text.empty()) {
        std::fprintf(stderr, "missing: %s\n", name);
        std::abort();
    }
    return to_bytes(as_bytes(text));
}

template <std::size_t N> static ByteArray<N> filled(unsigned value) {
    ByteArray<N> out;
    out.fill(static_cast<std::byte>(value));
    return out;
}

static const Expectations &expectations() { // those of tests/unit/appraise_fixture.hpp
    static const Expectations wanted = [] {
        Expectations out;
        out.nonce = Bytes(32, std::byte{0x5a});
        out.exporter = filled<exporter_size>(0x33);
        out.peer_key = PublicKey{filled<48>(0x11), filled<48>(0x22)};
        out.measurements = {filled<48>(0xaa)};
        out.emulated_ark = data_file("appraise/ark.der");
        out.policy = parse_policy(data_file("../../policies/emulated.json")).value();
        out.now = parse_time("2026-06-01T12:00:00Z").value();
        return out;
    }();
    return wanted;
}

// Those of tests/data/negative/make.py's evidence with a vTPM. The logs are outside of what the quote's signature
// covers, so that changed ones are read.
static const Expectations &with_vtpm() {
    static const Expectations wanted = [] {
        Expectations out = expectations();
        out.emulated_ark = data_file("negative/certificates/ark.der");
        Json json = parse_json(data_file("../../policies/emulated-vtpm.json"), "policy").value();
        json["vtpm"]["credential"] = "skip"; // of a connection that is not there
        json["vtpm"]["ek_certificate"] = "skip";
        out.policy = parse_policy(as_bytes(json.dump())).value();
        out.boot_files = {{.bank = TpmAlg::sha256,
                           .kernel = TpmDigest{sha256(as_bytes("kernel"))},
                           .initrd = TpmDigest{sha256(as_bytes("initramfs"))},
                           .load_options = TpmDigest{sha256(as_bytes("load options"))}}};
        return out;
    }();
    return wanted;
}

static void appraise_for(ByteView evidence, const Expectations &wanted) {
    const Appraisal appraisal = appraise(evidence, wanted);
    const Verdict &verdict = appraisal.verdict;
    if (appraisal.accepted.has_value() != verdict.accepted() || verdict.checks().size() != check_kinds().size())
        std::abort();
    if (appraisal.accepted) {
        for (std::size_t i = 0; i < check_kinds().size(); ++i)
            if (verdict.checks()[i].outcome != Outcome::passed &&
                (check_kinds()[i].skipping == Skipping::never || check_kinds()[i].skipping == Skipping::report_only ||
                 verdict.checks()[i].outcome != Outcome::skipped))
                std::abort();
        if (appraisal.accepted->key() != std::get<PublicKey>(wanted.peer_key) ||
            appraisal.accepted->measurement() != wanted.measurements[0] || !appraisal.accepted->emulated())
            std::abort();
    }
    if (verdict_table(appraisal, wanted).empty() || verdict_json(appraisal, wanted).dump().empty())
        std::abort();
    if (appraisal.accepted && wanted.policy.vtpm &&
        (appraisal.vtpm.empty() || verdict[CheckId::tpm_event_log].outcome != Outcome::passed ||
         verdict[CheckId::runtime_log_replay].outcome != Outcome::passed ||
         verdict[CheckId::ima_replay].outcome != Outcome::passed))
        std::abort();
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
    const Expectations &wanted = expectations();
    appraise_for(std::as_bytes(std::span{data, size}), wanted);
    appraise_for(std::as_bytes(std::span{data, size}), with_vtpm());
    // the same bytes as a report by itself, with whatever follows it as its certificates
    const ByteView input = std::as_bytes(std::span{data, size});
    const std::size_t report_size = std::min(size, snp_report_size);
    const Appraisal alone = appraise_report(input.first(report_size), input.subspan(report_size), wanted);
    if (alone.accepted || alone.verdict.accepted() || !alone.verdict.report_only()) // REPORT_DATA was not spoken of
        std::abort();
    return 0;
}
