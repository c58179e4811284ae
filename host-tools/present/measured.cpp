#include "host-tools/present/measured.hpp"

#include "common/hash.hpp"
#include "common/tpm.hpp"
#include "host-tools/base/text.hpp"
#include "host-tools/measured/event_log.hpp"
#include "host-tools/measured/ima_log.hpp"

#include <cstdio>
#include <set>

namespace cvmin {

namespace {

Item text_item(std::string name, std::string text) {
    text = printable_line(std::move(text));
    Json json = text;
    return {std::move(name), std::move(text), std::move(json), {}};
}
Item number_item(std::string name, std::uint64_t value, std::string note = {}) {
    return {std::move(name), std::to_string(value) + std::move(note), value, {}};
}
Item hex_item(std::string name, ByteView bytes) {
    return text_item(std::move(name), bytes.empty() ? "none" : hex(bytes));
}
std::string hex_number(std::uint64_t value, int digits) {
    char text[24];
    std::snprintf(text, sizeof text, "0x%0*llx", digits, static_cast<unsigned long long>(value));
    return text;
}
std::string bank_name(TpmAlg alg) { // one that has no name here by its number
    const std::string_view known = name(alg);
    return known == "unknown" ? "alg_" + hex_number(static_cast<std::uint64_t>(alg), 4) : std::string{known};
}
std::string id_name(TpmAlgId alg) {
    const std::string_view known = name(alg);
    return known == "unknown" ? hex_number(static_cast<std::uint64_t>(alg), 4) : std::string{known};
}

// ---- event logs -----------------------------------------------------------------------------------------------------

Item event_item(const EventLog &log, const FirmwareEvent &event) {
    const std::string type{name(event.type)};
    const std::string description = describe_event(log, event);
    std::vector<Item> parts;
    Json digests = Json::object();
    bool differs = false, holds = false;
    for (std::size_t bank = 0; bank < log.banks.size(); ++bank) {
        const ByteView digest = log.digest(event, bank);
        if (digest.empty())
            continue;
        const std::string bank_text = bank_name(log.banks[bank].alg);
        digests[bank_text] = hex(digest);
        if (event.extends())
            parts.push_back(hex_item(bank_text, digest));
        const DataCheck check = check_event_data(log, event, bank);
        differs = differs || check == DataCheck::differs;
        holds = holds || check == DataCheck::holds;
    }
    if (differs)
        parts.push_back(text_item("data", "DO NOT HAVE THE DIGEST that is extended"));
    Json json{{"number", event.number},
              {"pcr", event.pcr},
              {"type", type},
              {"type_id", hex_number(static_cast<std::uint64_t>(event.type), 8)},
              {"extended", event.extends()},
              {"digests", std::move(digests)},
              {"description", description},
              {"data", hex(log.data(event))}};
    json["data_match_digest"] = differs ? Json(false) : holds ? Json(true) : Json(nullptr);
    const std::string pcr = event.pcr == 0xffffffff ? "-" : std::to_string(event.pcr);
    const std::string place = event.extends() ? "PCR " + pcr : "not extended";
    return {"event " + std::to_string(event.number),
            place + "  " + (type == "unknown" ? hex_number(static_cast<std::uint64_t>(event.type), 8) : type) + ": " +
                description,
            std::move(json), std::move(parts)};
}

Item pcrs_item(const std::vector<ReplayedBank> &banks) {
    Item out{"PCRS", "as these events make them", Json::object(), {}};
    for (const ReplayedBank &bank : banks) {
        Item of_bank{bank_name(bank.alg), "", Json::object(), {}};
        for (unsigned pcr = 0; pcr < pcr_count; ++pcr) {
            if (bank.pcrs[pcr].events == 0)
                continue;
            const std::string value = hex(bank.pcrs[pcr].value.view());
            of_bank.json[std::to_string(pcr)] = value;
            of_bank.items.push_back(text_item(std::to_string(pcr), value));
        }
        out.json[of_bank.name] = of_bank.json;
        out.items.push_back(std::move(of_bank));
    }
    return out;
}

} // namespace

Result<std::vector<Item>> show_event_log(ByteView bytes, const ShowOptions &) {
    CVMIN_TRY(log, parse_event_log(bytes));
    std::vector<Item> out;
    out.push_back(text_item("FORMAT", log.crypto_agile ? "TCG crypto-agile event log" : "TCG event log, SHA-1 only"));
    Item banks{"BANKS", "", Json::array(), {}};
    for (const EventBank &bank : log.banks) {
        banks.text += (banks.text.empty() ? "" : ", ") + bank_name(bank.alg);
        banks.json.push_back(bank_name(bank.alg));
    }
    out.push_back(std::move(banks));
    if (log.startup_locality)
        out.push_back(number_item("STARTUP_LOCALITY", *log.startup_locality, "  (PCR 0 begins with it)"));
    Item events{"EVENTS", std::to_string(log.events.size()), Json::array(), {}};
    for (const FirmwareEvent &event : log.events) {
        events.items.push_back(event_item(log, event));
        events.json.push_back(events.items.back().json);
    }
    out.push_back(std::move(events));
    out.push_back(pcrs_item(replay_all(log)));
    return out;
}

// ---- quotes ---------------------------------------------------------------------------------------------------------

static std::string pcr_list(std::uint32_t pcrs) { // "0-7, 9"
    std::string out;
    for (unsigned pcr = 0; pcr < 32; ++pcr) {
        if ((pcrs >> pcr & 1) == 0)
            continue;
        unsigned last = pcr;
        while (last + 1 < 32 && (pcrs >> (last + 1) & 1) != 0)
            ++last;
        out += (out.empty() ? "" : ", ") + std::to_string(pcr) + (last == pcr ? "" : "-" + std::to_string(last));
        pcr = last;
    }
    return out.empty() ? "none" : out;
}

static Result<TpmsAttest> attest_of(ByteView bytes) {
    auto attest = parse_attest(bytes);
    if ((!attest || attest->magic != tpm_generated_value) && bytes.size() > 2 &&
        load_be(bytes.first(2)) == bytes.size() - 2)
        return parse_attest(bytes.subspan(2));
    return attest;
}

Result<std::vector<Item>> show_quote(ByteView bytes, const ShowOptions &) {
    CVMIN_TRY(attest, attest_of(bytes));
    if (attest.magic != tpm_generated_value) // any bytes have some meaning as a structure without one
        return fail(Errc::malformed, "tpm.attest.magic", attest.magic);
    std::vector<Item> out;
    out.push_back(text_item("MAGIC", hex_number(attest.magic, 8) + " (made by a TPM, if its signature holds)"));
    out.back().json = hex_number(attest.magic, 8);
    const bool quote = attest.type == tpm_st_attest_quote;
    out.push_back(text_item("TYPE", hex_number(attest.type, 4) + (quote ? " (a quote)" : " (no quote)")));
    out.back().json = hex_number(attest.type, 4);
    out.push_back(hex_item("QUALIFIED_SIGNER", attest.qualified_signer));
    out.push_back(hex_item("EXTRA_DATA", attest.extra_data));
    out.push_back(number_item("CLOCK", attest.clock, " ms"));
    out.push_back(number_item("RESET_COUNT", attest.reset_count));
    out.push_back(number_item("RESTART_COUNT", attest.restart_count));
    out.push_back({"SAFE", attest.safe ? "yes" : "NO: the clock may have run backwards", attest.safe, {}});
    out.push_back(text_item("FIRMWARE_VERSION", hex_number(attest.firmware_version, 16)));
    if (!quote)
        return out;
    Item selection{"SELECTION", "", Json::object(), {}};
    for (const TpmPcrSelection &bank : attest.selection) {
        Json list = Json::array();
        for (unsigned pcr = 0; pcr < 32; ++pcr)
            if ((bank.pcrs >> pcr & 1) != 0)
                list.push_back(pcr);
        selection.json[bank_name(bank.alg)] = list;
        selection.items.push_back({bank_name(bank.alg), "PCR " + pcr_list(bank.pcrs), std::move(list), {}});
    }
    out.push_back(std::move(selection));
    out.push_back(hex_item("PCR_DIGEST", attest.pcr_digest));
    return out;
}

static Item key_item(std::string label, ByteView bytes) {
    const auto key = parse_public(bytes);
    if (!key)
        return text_item(std::move(label), to_string(key.error()));
    static constexpr std::pair<std::uint32_t, std::string_view> names[] = {
        {tpma_object::fixed_tpm, "fixedTPM"},
        {tpma_object::st_clear, "stClear"},
        {tpma_object::fixed_parent, "fixedParent"},
        {tpma_object::sensitive_data_origin, "sensitiveDataOrigin"},
        {tpma_object::user_with_auth, "userWithAuth"},
        {tpma_object::admin_with_policy, "adminWithPolicy"},
        {tpma_object::no_da, "noDA"},
        {tpma_object::encrypted_duplication, "encryptedDuplication"},
        {tpma_object::restricted, "restricted"},
        {tpma_object::decrypt, "decrypt"},
        {tpma_object::sign, "sign"},
        {tpma_object::x509_sign, "x509sign"}};
    std::string attributes;
    for (const auto &[bit, word] : names)
        if ((key->attributes & bit) != 0)
            attributes += (attributes.empty() ? "" : " ") + std::string{word};
    Item out{std::move(label), "", nullptr, {}};
    if (key->type == TpmAlgId::rsa)
        out.text = "RSA-" + std::to_string(key->rsa_bits);
    else
        out.text = key->curve == TpmCurve::p256   ? "ECC P-256"
                   : key->curve == TpmCurve::p384 ? "ECC P-384"
                                                  : "ECC, curve " + std::to_string(static_cast<unsigned>(key->curve));
    out.items.push_back(text_item("type", out.text));
    out.items.push_back(text_item(
        "scheme", key->scheme == TpmAlgId::null ? "null" : id_name(key->scheme) + " " + bank_name(key->scheme_hash)));
    out.items.push_back(text_item("attributes", attributes));
    if (const auto key_name = tpm_name(bytes))
        out.items.push_back(hex_item("name", *key_name));
    out.items.push_back(hex_item("sha-256", sha256(bytes)));
    return out;
}

Result<std::vector<Item>> show_tpm_evidence(const TpmEvidence &tpm) {
    std::vector<Item> out;
    if (auto quote = show_quote(tpm.attest, {}))
        out.push_back({"quote", std::to_string(tpm.attest.size()) + " bytes", nullptr, std::move(*quote)});
    else
        out.push_back(text_item("quote", to_string(quote.error())));
    if (const auto signature = parse_signature(tpm.signature))
        out.push_back(text_item("signature", id_name(signature->alg) + " " + bank_name(signature->hash)));
    else
        out.push_back(text_item("signature", to_string(signature.error())));
    out.push_back(key_item("attestation key", tpm.ak_public));
    out.push_back(key_item("endorsement key", tpm.ek_public));
    out.push_back(text_item("endorsement certificate", tpm.ek_certificate.empty()
                                                           ? "none"
                                                           : std::to_string(tpm.ek_certificate.size()) + " bytes"));
    Item values{"pcrs " + bank_name(tpm.pcr_values.bank), "", Json::object(), {}};
    for (const PcrValue &value : tpm.pcr_values.values) {
        values.json[std::to_string(value.index)] = hex(value.digest);
        values.items.push_back(hex_item(std::to_string(value.index), value.digest));
    }
    out.push_back(std::move(values));
    return out;
}

// ---- IMA lists ------------------------------------------------------------------------------------------------------

static Item ima_item(const ImaEntry &entry) {
    const std::string path = entry.known ? printable_line(std::string{entry.path}) : "(template not known)";
    const std::string hash = printable_line(std::string{entry.hash});
    const std::string template_name = printable_line(std::string{entry.template_name});
    std::vector<Item> parts;
    parts.push_back(text_item("template", template_name));
    if (entry.violation)
        parts.push_back(text_item("violation", "open for writing while it was measured: ones are extended"));
    else if (entry.known)
        parts.push_back(text_item(hash, hex(entry.digest)));
    if (!entry.signature.empty())
        parts.push_back(hex_item("signature", entry.signature));
    Json json{{"number", entry.number},
              {"pcr", entry.pcr},
              {"template", template_name},
              {"template_digest", hex(entry.template_digest)},
              {"violation", entry.violation}};
    if (entry.known) {
        json["path"] = path;
        json["hash"] = hash;
        json["digest"] = hex(entry.digest);
        if (!entry.signature.empty())
            json["signature"] = hex(entry.signature);
    }
    return {"entry " + std::to_string(entry.number),
            "PCR " + std::to_string(entry.pcr) + "  " + path + (entry.violation ? "  VIOLATION" : ""), std::move(json),
            std::move(parts)};
}

Result<std::vector<Item>> show_ima(ByteView bytes, const ShowOptions &) {
    CVMIN_TRY(log, parse_ima_log(bytes));
    std::vector<Item> out;
    Item entries{"ENTRIES", std::to_string(log.entries.size()), Json::array(), {}};
    std::uint64_t violations = 0;
    std::set<unsigned> used;
    for (const ImaEntry &entry : log.entries) {
        entries.items.push_back(ima_item(entry));
        entries.json.push_back(entries.items.back().json);
        violations += entry.violation ? 1 : 0;
        used.insert(entry.pcr);
    }
    out.push_back(number_item("VIOLATIONS", violations));
    out.push_back(std::move(entries));
    Item pcrs{"PCRS", "as these entries make them", Json::object(), {}};
    Item padded{"PCRS_BEFORE_LINUX_5_8", "SHA-1 digests, with zeros after them", Json::object(), {}};
    for (const TpmAlg alg : {TpmAlg::sha1, TpmAlg::sha256, TpmAlg::sha384, TpmAlg::sha512}) {
        const std::string bank{name(alg)};
        Item of_bank{bank, "", Json::object(), {}}, of_padded{bank, "", Json::object(), {}};
        for (const unsigned pcr : used) {
            const auto replayed = replay_ima(log, alg, pcr);
            if (!replayed) {
                out.push_back(text_item("REPLAY", "none: entry " + std::to_string(replayed.error().detail) +
                                                      " has not the digest of its data"));
                return out;
            }
            of_bank.json[std::to_string(pcr)] = hex(replayed->hashed.view());
            of_bank.items.push_back(hex_item(std::to_string(pcr), replayed->hashed.view()));
            of_padded.json[std::to_string(pcr)] = hex(replayed->padded.view());
            of_padded.items.push_back(hex_item(std::to_string(pcr), replayed->padded.view()));
        }
        pcrs.json[bank] = of_bank.json;
        pcrs.items.push_back(std::move(of_bank));
        if (alg == TpmAlg::sha1)
            continue; // the same
        padded.json[bank] = of_padded.json;
        padded.items.push_back(std::move(of_padded));
    }
    out.push_back(std::move(pcrs));
    out.push_back(std::move(padded));
    return out;
}

} // namespace cvmin
