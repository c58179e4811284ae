// TPM structures and quotes: of swtpm, Google's and Azure's vTPMs, against what tpm2-tools and independent programs
// read; and every way to be wrong. IMA lists of our own boots, against what the TPM said.
#include "tests/unit/cmocka.hpp"

#include "host-tools/base/json.hpp"
#include "host-tools/measured/ima_log.hpp"
#include "host-tools/measured/quote.hpp"

using namespace cvmin;

static Json json_file(const std::string &name) {
    return parse_json(test::data(name), "test").value();
}
static std::uint64_t number(const Json &text) {
    return std::stoull(text.get<std::string>(), nullptr, 16);
}
static std::string text(const Json &json) {
    return json.get<std::string>();
}
// [[algorithm, [PCR, ...]], ...]
static std::vector<TpmPcrSelection> selection_of(const Json &json) {
    std::vector<TpmPcrSelection> out;
    for (const Json &bank : json) {
        TpmPcrSelection each{static_cast<TpmAlg>(bank[0].get<unsigned>()), 0};
        for (const Json &pcr : bank[1])
            each.pcrs |= 1u << pcr.get<unsigned>();
        out.push_back(each);
    }
    return out;
}
static bool is_what_another_program_read(const TpmsAttest &attest, const Json &wanted) {
    return attest.magic == number(wanted["magic"]) && attest.type == number(wanted["type"]) &&
           hex(attest.extra_data) == text(wanted["extra"]) && attest.clock == wanted["clock"].get<std::uint64_t>() &&
           attest.reset_count == wanted["reset_count"].get<std::uint32_t>() &&
           attest.restart_count == wanted["restart_count"].get<std::uint32_t>() &&
           attest.safe == (wanted["safe"].get<int>() == 1) &&
           attest.firmware_version == number(wanted["firmware_version"]) &&
           attest.selection == selection_of(wanted["pcr_select"]) &&
           hex(attest.pcr_digest) == text(wanted["pcr_digest"]) &&
           hex(attest.qualified_signer) == text(wanted["qualified_signer"]);
}
static bool digest_is_of(const TpmsAttest &attest, TpmAlg hash, const std::vector<Bytes> &values) {
    const std::vector<ByteView> views(values.begin(), values.end());
    return equal(pcr_digest(hash, views).view(), attest.pcr_digest);
}

// ---- quotes ---------------------------------------------------------------------------------------------------------

static void quotes_of_google_hold(void **) {
    const Json index = json_file("go-tpm-tools/quotes.json");
    std::size_t quotes = 0;
    for (const Json &each : index["quotes"]) {
        const auto file = [&](const char *member) {
            return test::data("go-tpm-tools/" + each[member].get<std::string>());
        };
        const Bytes message = file("quote");
        const TpmsAttest attest = parse_attest(message).value();
        const TpmtPublic key = parse_public(file("ak_pub")).value();
        Bytes signature_bytes = file("sig");
        const auto signature = parse_signature(signature_bytes).value();
        assert_true(is_what_another_program_read(attest, each["attest"]));
        assert_true(key.attributes == number(each["ak_attributes"]));
        assert_true(static_cast<unsigned>(signature.alg) == number(each["sig_alg"]) &&
                    static_cast<unsigned>(signature.hash) == number(each["sig_hash"]));
        assert_true(verify_tpm_signature(message, signature, key).has_value() == each["signature_valid"].get<bool>());
        std::vector<Bytes> values;
        for (const auto &[pcr, value] : each["pcrs"].items())
            values.push_back(parse_hex(value.get<std::string>(), "pcr").value());
        assert_true(digest_is_of(attest, signature.hash, values) == each["pcr_digest_matches"].get<bool>());
        ++quotes;
    }
    assert_int_equal(quotes, 6);
}

static Bytes bytes_of(const Json &array) {
    Bytes out;
    for (const Json &each : array)
        out.push_back(static_cast<std::byte>(each.get<unsigned>()));
    return out;
}
static Bytes base64url(std::string text) {
    std::ranges::replace(text, '-', '+');
    std::ranges::replace(text, '_', '/');
    text.resize((text.size() + 3) / 4 * 4, '=');
    return parse_base64(text, "test").value();
}
// Azure's AK is a JSON web key in the data that the report names; its signature comes without algorithms.
static TpmtPublic azure_key(const Bytes &hcl_report) {
    constexpr std::size_t header = 32, report = 1184, runtime = 20;
    const std::size_t at = header + report;
    const auto size = static_cast<std::size_t>(load_le(ByteView{hcl_report}.subspan(at + 16, 4)));
    const Json keys = parse_json(ByteView{hcl_report}.subspan(at + runtime, size), "test").value();
    TpmtPublic key{};
    key.type = TpmAlgId::rsa;
    key.rsa_bits = 2048;
    for (const Json &each : keys["keys"])
        if (each["kid"] == "HCLAkPub") {
            key.rsa_modulus = base64url(each["n"].get<std::string>());
            key.rsa_exponent = static_cast<std::uint32_t>(load_be(base64url(each["e"].get<std::string>())));
        }
    return key;
}

static void quotes_of_azure_hold(void **) {
    const Json index = json_file("trustee/vtpm.json");
    std::size_t quotes = 0;
    for (const Json &each : index["azure"]) {
        const std::string name = each["file"].get<std::string>();
        const Json file = json_file("trustee/az-snp-vtpm/" + name);
        const bool self = each["hcl_from"] == "self";
        const Bytes hcl = self ? bytes_of(file["report"]) : test::data("trustee/az-snp-vtpm/hcl-report.bin");
        const Json &quote = self ? file["quote"] : file;
        const auto bytes = [&](const Json &value) {
            return value.is_array() ? bytes_of(value) : parse_hex(value.get<std::string>(), "test").value();
        };
        const Bytes message = bytes(quote["message"]);
        const TpmsAttest attest = parse_attest(message).value();
        TpmtSignature signature{
            .alg = TpmAlgId::rsassa, .hash = TpmAlg::sha256, .rsa = bytes(quote["signature"]), .r = {}, .s = {}};
        const TpmtPublic key = azure_key(hcl);
        assert_true(is_what_another_program_read(attest, each["attest"]));
        assert_true(verify_tpm_signature(message, signature, key).has_value() == each["quote_sig_valid"].get<bool>());
        std::vector<Bytes> values;
        for (const Json &value : quote["pcrs"])
            values.push_back(bytes(value));
        assert_true(digest_is_of(attest, TpmAlg::sha256, values) == each["pcr_digest_matches"].get<bool>());
        signature.rsa[7] ^= std::byte{1};
        assert_true(verify_tpm_signature(message, signature, key).error().code == Errc::mismatch);
        ++quotes;
    }
    assert_true(quotes >= 3);
    const Json plain = json_file("trustee/tpm/tpm_evidence.json")["tpm_quote"];
    const Bytes message = parse_base64(plain["message"].get<std::string>(), "test").value();
    assert_true(is_what_another_program_read(parse_attest(message).value(), index["tpm_evidence"]["attest"]));
    const Bytes signature = parse_base64(plain["signature"].get<std::string>(), "test").value();
    assert_true(parse_signature(signature).value().alg == TpmAlgId::rsassa);
}

static const std::vector<std::string> kinds{"ecc-p256", "ecc-p384", "rsassa", "rsapss", "rsassa-sha384"};

struct SwtpmQuote {
    Bytes message, signature_bytes, public_bytes;
    TpmsAttest attest;
    TpmtSignature signature;
    TpmtPublic key;
    explicit SwtpmQuote(const std::string &kind)
        : message(test::data("measured/quotes/" + kind + "/quote.attest")),
          signature_bytes(test::data("measured/quotes/" + kind + "/quote.signature")),
          public_bytes(test::data("measured/quotes/" + kind + "/public.tpmt")), attest(parse_attest(message).value()),
          signature(parse_signature(signature_bytes).value()), key(parse_public(public_bytes).value()) {}
};

static void quotes_of_swtpm_hold(void **) {
    for (const std::string &kind : kinds) {
        const SwtpmQuote quote{kind};
        assert_true(verify_tpm_signature(quote.message, quote.signature, quote.key).has_value());
        assert_true(equal(pcr_digest(quote.signature.hash,
                                     std::vector<ByteView>{test::data("measured/quotes/" + kind + "/pcrs.bin")})
                              .view(),
                          quote.attest.pcr_digest) ||
                    kind == "rsapss"); // tpm2-tools writes all 24 in groups, which are the same bytes
        const Bytes name = test::data("measured/quotes/" + kind + "/name");
        assert_true(equal(tpm_name(quote.public_bytes).value(), name));
        const Bytes qualified = test::data("measured/quotes/" + kind + "/qualified-name");
        assert_true(equal(tpm_qualified_name(tpm_rh_endorsement, name).value(), qualified));
        assert_true(equal(quote.attest.qualified_signer, qualified));
        assert_true((quote.key.attributes & (tpma_object::restricted | tpma_object::sign | tpma_object::decrypt)) ==
                    (tpma_object::restricted | tpma_object::sign));
        const std::string yaml{as_text(test::data("measured/quotes/" + kind + "/quote.yaml"))};
        assert_true(yaml.contains("extraData: " + hex(quote.attest.extra_data) + "\n") &&
                    yaml.contains("pcrDigest: " + hex(quote.attest.pcr_digest)) &&
                    yaml.contains("clock: " + std::to_string(quote.attest.clock) + "\n"));
    }
}

static void every_changed_byte_of_a_quote_is_refused(void **) {
    for (const std::string &kind : kinds) {
        const SwtpmQuote quote{kind};
        for (std::size_t at = 0; at < quote.message.size(); ++at) {
            Bytes changed = quote.message;
            changed[at] ^= std::byte{1};
            assert_true(verify_tpm_signature(changed, quote.signature, quote.key).error().code == Errc::mismatch);
        }
        for (std::size_t at = 0; at < quote.signature_bytes.size(); ++at) {
            Bytes changed = quote.signature_bytes;
            changed[at] ^= std::byte{1};
            const auto signature = parse_signature(changed);
            assert_false(signature && verify_tpm_signature(quote.message, *signature, quote.key).has_value());
        }
        // some bytes of a key are no part of what checks a signature: attributes, policy; they are its name's
        for (std::size_t at = quote.public_bytes.size() - 40; at < quote.public_bytes.size(); ++at) {
            Bytes changed = quote.public_bytes;
            changed[at] ^= std::byte{1};
            const auto key = parse_public(changed);
            assert_false(key && verify_tpm_signature(quote.message, quote.signature, *key).has_value());
            assert_false(equal(tpm_name(changed).value(), tpm_name(quote.public_bytes).value()));
        }
    }
}

static void another_key_or_scheme_is_refused(void **) {
    for (const std::string &one : kinds)
        for (const std::string &other : kinds) {
            const SwtpmQuote quote{one}, of_other{other};
            assert_true(verify_tpm_signature(quote.message, quote.signature, of_other.key).has_value() ==
                        (one == other));
        }
    SwtpmQuote quote{"ecc-p256"};
    quote.signature.hash = TpmAlg::sha1;
    assert_true(verify_tpm_signature(quote.message, quote.signature, quote.key).error().code == Errc::unsupported);
    SwtpmQuote curve{"ecc-p256"};
    curve.key.curve = TpmCurve::p521;
    assert_true(verify_tpm_signature(curve.message, curve.signature, curve.key).error().code == Errc::unsupported);
    SwtpmQuote point{"ecc-p256"};
    point.key.x[31] ^= std::byte{1}; // not on the curve
    assert_true(verify_tpm_signature(point.message, point.signature, point.key).error().code == Errc::unsupported);
    SwtpmQuote zero{"ecc-p256"};
    zero.signature.r.clear();
    assert_true(verify_tpm_signature(zero.message, zero.signature, zero.key).error().code == Errc::out_of_range);
    SwtpmQuote exponent{"rsassa"};
    exponent.key.rsa_exponent = 1;
    exponent.signature.rsa.assign(256, std::byte{0});
    assert_true(verify_tpm_signature(exponent.message, exponent.signature, exponent.key).error().code ==
                Errc::unsupported);
    SwtpmQuote small{"rsassa"};
    small.key.rsa_bits = 1024;
    small.key.rsa_modulus.resize(128);
    assert_true(verify_tpm_signature(small.message, small.signature, small.key).error().code == Errc::unsupported);
}

// ---- structures -----------------------------------------------------------------------------------------------------

static void parse_attest_rejects_every_cut_and_every_addition(void **) {
    const SwtpmQuote quote{"rsassa"};
    assert_int_equal(quote.attest.selection.size(), 2);
    for (std::size_t size = 0; size < quote.message.size(); ++size)
        assert_true(parse_attest(ByteView{quote.message}.first(size)).error().code == Errc::truncated);
    Bytes longer = quote.message;
    longer.push_back(std::byte{0});
    assert_true(parse_attest(longer).error().code == Errc::trailing);
    longer.resize(max_tpm_attest_size + 1);
    assert_true(parse_attest(longer).error().code == Errc::too_large);
    for (std::size_t size = 0; size < quote.public_bytes.size(); ++size)
        assert_false(parse_public(ByteView{quote.public_bytes}.first(size)).has_value());
    for (std::size_t size = 0; size < quote.signature_bytes.size(); ++size)
        assert_true(parse_signature(ByteView{quote.signature_bytes}.first(size)).error().code == Errc::truncated);
    Bytes more = quote.signature_bytes;
    more.push_back(std::byte{0});
    assert_true(parse_signature(more).error().code == Errc::trailing);
    more = quote.public_bytes;
    more.push_back(std::byte{0});
    assert_true(parse_public(more).error().code == Errc::trailing);
}

static void parse_attest_reads_each_field_at_its_place(void **) {
    // typed from Part 2, tables TPMS_ATTEST, TPMS_CLOCK_INFO and TPMS_QUOTE_INFO
    const Bytes bytes = parse_hex("ff544347"
                                  "8018"
                                  "0002"
                                  "aabb"
                                  "0003"
                                  "010203"
                                  "1112131415161718"
                                  "21222324"
                                  "31323334"
                                  "01"
                                  "4142434445464748"
                                  "00000002"
                                  "000b"
                                  "03"
                                  "010080"
                                  "0004"
                                  "02"
                                  "0180"
                                  "0002"
                                  "5152",
                                  "test")
                            .value();
    const TpmsAttest attest = parse_attest(bytes).value();
    assert_true(attest.magic == 0xff544347 && attest.type == 0x8018 && hex(attest.qualified_signer) == "aabb" &&
                hex(attest.extra_data) == "010203" && attest.clock == 0x1112131415161718 &&
                attest.reset_count == 0x21222324 && attest.restart_count == 0x31323334 && attest.safe &&
                attest.firmware_version == 0x4142434445464748 && hex(attest.pcr_digest) == "5152");
    assert_true(attest.selection[0] == (TpmPcrSelection{TpmAlg::sha256, 0x800001}) &&
                attest.selection[1] == (TpmPcrSelection{TpmAlg::sha1, 0x8001}));
    const auto with = [&](std::size_t at, unsigned value) {
        Bytes changed = bytes;
        changed[at] = static_cast<std::byte>(value);
        return parse_attest(changed);
    };
    assert_true(with(0, 0).value().magic == 0x00544347);         // judged by appraisal
    assert_true(with(31, 2).error().code == Errc::malformed);    // safe: neither yes nor no
    assert_true(with(43, 17).error().code == Errc::too_large);   // count of banks
    assert_true(with(46, 5).error().code == Errc::out_of_range); // PCR 32 and above
    assert_true(with(51, 0x0b).error().code == Errc::malformed); // the same bank twice
    Bytes certify = bytes;
    certify[5] = std::byte{0x17}; // TPM_ST_ATTEST_CERTIFY: not decoded further
    assert_true(parse_attest(certify).value().selection.empty());
}

static void parse_public_rejects_what_is_no_signing_key(void **) {
    const SwtpmQuote quote{"ecc-p256"};
    const auto with = [&](std::size_t at, unsigned value) {
        Bytes changed = quote.public_bytes;
        changed[at] = static_cast<std::byte>(value);
        return parse_public(changed).error().code;
    };
    assert_true(with(1, 0x08) == Errc::unsupported); // keyedhash
    assert_true(with(7, 0x73) == Errc::malformed);   // reserved attribute
    assert_true(with(13, 0x99) == Errc::unsupported);
    assert_true(tpm_name(Bytes(3)).error().code == Errc::truncated);
    Bytes sha1 = quote.public_bytes;
    sha1[3] = std::byte{4};
    assert_true(tpm_name(sha1).error().code == Errc::unsupported);
    // the storage template of an EK: AES-128-CFB, no scheme
    const TpmtPublic ek = parse_public(test::data("tpm/swtpm_rsa.tpmt")).value();
    assert_true(ek.symmetric == TpmAlgId::aes && ek.symmetric_bits == 128 && ek.symmetric_mode == TpmAlgId::cfb &&
                ek.scheme == TpmAlgId::null && ek.rsa_bits == 2048 && ek.rsa_exponent == 65537);
}

// ---- IMA lists ------------------------------------------------------------------------------------------------------

static void ima_lists_replay_to_what_the_tpm_said(void **) {
    for (const std::string kind : {"ng", "sig", "legacy"}) {
        const std::string folder = "measured/boot-" + kind + "/";
        const Bytes bytes = test::data(folder + "ima.bin");
        const ImaLog log = parse_ima_log(bytes).value();
        assert_int_equal(log.entries.size(), 5);
        const Json said = json_file(folder + "pcrs.json");
        for (const char *const bank : {"sha1", "sha256", "sha384"}) {
            const ImaReplay replayed = replay_ima(log, *tpm_hash_by_name(bank)).value();
            assert_true(hex(replayed.hashed.view()) == said[bank]["10"].get<std::string>());
            assert_int_equal(replayed.entries, 5);
            // a kernel before 5.8 would have extended this
            assert_true((replayed.padded == replayed.hashed) == (std::string_view{bank} == "sha1"));
        }
        const bool legacy = kind == "legacy";
        const auto &aggregate = log.entries[0], &program = log.entries[2], &violated = log.entries[3];
        assert_true(aggregate.path == "boot_aggregate" && program.path == "/tmp/unexpected_program");
        assert_true(program.hash == (legacy ? "sha1" : "sha256") && program.digest.size() == (legacy ? 20 : 32));
        assert_true(equal(program.digest, log.entries[1].digest) && log.entries[1].path == "/init");
        assert_true(violated.violation && violated.path == "/tmp/violated" && all_zero(violated.digest));
        assert_true(std::ranges::count_if(log.entries, &ImaEntry::violation) == 1);
        assert_true(std::ranges::all_of(log.entries, &ImaEntry::known));
        // of the bank of its own hash: Linux made it before IMA's first entry
        const TpmAlg alg = legacy ? TpmAlg::sha1 : TpmAlg::sha256;
        std::vector<TpmDigest> pcrs;
        for (unsigned pcr = 0; pcr < 10; ++pcr)
            pcrs.emplace_back(
                parse_hex(said[std::string{name(alg)}][std::to_string(pcr)].get<std::string>(), "pcr").value());
        assert_true(equal(ima_boot_aggregate(alg, pcrs).view(), aggregate.digest));
    }
}

static void ima_refuses_an_entry_that_says_something_else(void **) {
    for (const std::string kind : {"ng", "sig", "legacy"}) {
        const Bytes bytes = test::data("measured/boot-" + kind + "/ima.bin");
        const auto right = replay_ima(parse_ima_log(bytes).value(), TpmAlg::sha256).value();
        for (std::size_t at = 0; at < bytes.size(); ++at) {
            Bytes changed = bytes;
            changed[at] ^= std::byte{0x20};
            const auto log = parse_ima_log(changed);
            const auto replayed = log ? replay_ima(*log, TpmAlg::sha256) : std::unexpected(log.error());
            // a violation's fields are in no digest: only what is extended for it
            const bool free = log && log->entries.size() == 5 && log->entries[3].violation && replayed &&
                              replayed->hashed == right.hashed;
            const ImaLog original = parse_ima_log(bytes).value();
            const auto begin = static_cast<std::size_t>(original.entries[3].template_digest.data() - bytes.data());
            const auto end = static_cast<std::size_t>(original.entries[4].template_digest.data() - bytes.data()) - 4;
            // nor is the name of a template, by which fields are understood
            const bool renamed = log && std::ranges::any_of(log->entries, [](const ImaEntry &e) { return !e.known; });
            if (renamed)
                continue;
            if (free)
                assert_true(at >= begin && at < end);
            else
                assert_true(!replayed || replayed->hashed != right.hashed);
        }
    }
}

static void ima_rejects_cuts_and_absurd_lengths(void **) {
    for (const std::string kind : {"ng", "sig", "legacy"}) {
        const Bytes bytes = test::data("measured/boot-" + kind + "/ima.bin");
        std::size_t whole = 0;
        for (std::size_t size = 0; size < bytes.size(); ++size) {
            const auto log = parse_ima_log(ByteView{bytes}.first(size));
            whole += log ? 1 : 0;
            assert_true(log || log.error().code == Errc::truncated);
        }
        assert_int_equal(whole, 5); // 0 to 4 whole entries
    }
    Bytes bytes = test::data("measured/boot-ng/ima.bin");
    const auto with = [&](std::size_t at, std::uint64_t value) {
        Bytes changed = bytes;
        store_le(MutableBytes{changed}.subspan(at, 4), value);
        return parse_ima_log(changed).error().code;
    };
    assert_true(with(0, 24) == Errc::malformed);   // PCR
    assert_true(with(24, 256) == Errc::too_large); // name of the template
    assert_true(with(34, max_ima_template_data + 1) == Errc::too_large);
    assert_true(with(34, 0xffffffff) == Errc::too_large);
    assert_true(with(38, 0xffffffff) == Errc::malformed); // a field longer than the data
    assert_true(with(38, 39) == Errc::malformed);         // a digest of SHA-256 with 31 bytes
    assert_true(parse_ima_log({}).value().entries.empty());
    assert_true(replay_ima(parse_ima_log(bytes).value(), static_cast<TpmAlg>(0x12)).error().code == Errc::unsupported);
    assert_int_equal(replay_ima(parse_ima_log(bytes).value(), TpmAlg::sha256, 11).value().entries, 0);
}

static void ima_keeps_templates_that_it_does_not_know(void **) {
    Bytes bytes = test::data("measured/boot-ng/ima.bin");
    bytes[28] = std::byte{'x'}; // "xma-ng"
    const ImaLog log = parse_ima_log(bytes).value();
    assert_true(!log.entries[0].known && log.entries[0].path.empty() && log.entries[1].known);
}

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(quotes_of_google_hold),
        cmocka_unit_test(quotes_of_azure_hold),
        cmocka_unit_test(quotes_of_swtpm_hold),
        cmocka_unit_test(every_changed_byte_of_a_quote_is_refused),
        cmocka_unit_test(another_key_or_scheme_is_refused),
        cmocka_unit_test(parse_attest_rejects_every_cut_and_every_addition),
        cmocka_unit_test(parse_attest_reads_each_field_at_its_place),
        cmocka_unit_test(parse_public_rejects_what_is_no_signing_key),
        cmocka_unit_test(ima_lists_replay_to_what_the_tpm_said),
        cmocka_unit_test(ima_refuses_an_entry_that_says_something_else),
        cmocka_unit_test(ima_rejects_cuts_and_absurd_lengths),
        cmocka_unit_test(ima_keeps_templates_that_it_does_not_know),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
