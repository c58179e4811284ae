#include "host-tools/appraise/policy_text.hpp"

#include "host-tools/appraise/advisories.hpp"

#include "embedded_policies.hpp"

#include <algorithm>

namespace cvmin {

namespace {

Json recommended(Product product) {
    const auto text = [product]() -> ByteView {
        switch (product) {
        case Product::milan:
            return embedded::bytes(embedded::milan);
        case Product::genoa:
            return embedded::bytes(embedded::genoa);
        case Product::turin:
            return embedded::bytes(embedded::turin);
        }
        return {};
    };
    return parse_json(text(), "policy").value_or(Json::object()); // a test reads all three
}

// Members of lists that say what is let pass: together.
void unite(Json &list, const Json &other) {
    for (const Json &entry : other)
        if (std::ranges::find(list, entry) == list.end())
            list.push_back(entry);
}

// Every value of an object but comments.
void skip_members(Json &object) {
    for (auto &[name, value] : object.items())
        if (name != "comment")
            value = "skip";
}

} // namespace

Json new_policy(std::span<const Product> products, bool skip_all) {
    Json policy = recommended(products.front());
    for (const Product product : products.subspan(1)) {
        const Json other = recommended(product);
        for (const char *const member : {"product", "report_versions", "allowed_unknown_bits"})
            unite(policy[member], other[member]);
        policy["minimum_tcb"][std::string{name(product)}] = other["minimum_tcb"][std::string{name(product)}];
    }
    if (products.size() > 1) {
        std::string names;
        for (const Product product : products)
            names += (names.empty() ? "" : ", ") + std::string{name(product)};
        policy["comment"] = "Recommended starting point for " + names +
                            ". Read the comments, then pin chip_id or host_data if it matters which machine it is.";
        policy["minimum_tcb"]["comment"] = "as in the recommended policy of each product";
        // only what a report of each product can show
        Json required = Json::array();
        for (const Json &id : policy["require"]) {
            const Advisory *advisory = find_advisory(id.get<std::string>());
            if (advisory != nullptr && std::ranges::all_of(products, [advisory](Product product) {
                    return advisory->floors[static_cast<std::size_t>(product)].has_value();
                }))
                required.push_back(id);
        }
        policy["require"] = required.empty() ? Json("skip") : required;
    }
    if (!skip_all)
        return policy;
    policy["comment"] =
        "Everything that depends on the site is \"skip\": any machine of these products is accepted, with "
        "any firmware. Signature, chain, format and product are checked all the same.";
    policy["report_versions"] = Json::array({2, 3, 4, 5}); // every one that is known here
    policy["signing_key"] = Json::array({"vcek", "vlek"});
    for (const char *const member : {"measurement",
                                     "report_data",
                                     "vmpl",
                                     "masked_chip_id",
                                     "host_data",
                                     "report_id",
                                     "report_id_ma",
                                     "chip_id",
                                     "csp_id",
                                     "family_id",
                                     "image_id",
                                     "guest_svn_minimum",
                                     "id_key_digest",
                                     "author_key_digest",
                                     "require",
                                     "provisional_firmware",
                                     "revocation",
                                     "manifest",
                                     "ak",
                                     "vtpm",
                                     "pcrs",
                                     "event_log",
                                     "boot_events",
                                     "runtime_log",
                                     "ima"})
        policy[member] = "skip";
    for (const char *const member : {"guest_policy", "platform_info", "mitigation_vector"}) {
        policy[member].erase("comment");
        skip_members(policy[member]);
    }
    policy["minimum_tcb"].erase("comment");
    for (const Product product : products)
        skip_members(policy["minimum_tcb"][std::string{name(product)}]);
    return policy;
}

// ---- in words -------------------------------------------------------------------------------------------------------

namespace {

struct Meaning {
    std::string_view path;    // without "$."; of minimum_tcb the kind only
    std::string_view wanted;  // what the value demands
    std::string_view skipped; // what nobody looks at
};

constexpr Meaning meanings[] = {
    {"schema", "the form of this file", ""},
    {"product", "the report must be of one of these product lines, by certificate, root and CPUID alike", ""},
    {"report_versions", "the report must have one of these versions", ""},
    {"signing_key", "the key that signs must be of one of these kinds", ""},
    {"measurement", "the launch digest must be one of these; caller: one that the caller wants, or its signer signed",
     "a report by itself may be of any software, unless the caller wants a digest; never evidence of a connection"},
    {"report_data", "REPORT_DATA of a report by itself must be this; caller: what the caller says",
     "a report by itself may have been made for anybody's question, unless the caller says for which"},
    {"guest_policy.debug", "the host's debug commands, which decrypt the guest",
     "the host may decrypt the guest by debug commands"},
    {"guest_policy.migration_agent", "a migration agent of the host's choice",
     "an agent of the host's choice may move the guest to another machine"},
    {"guest_policy.smt", "launch on a host with SMT", "the guest may run beside sibling threads of the host"},
    {"guest_policy.single_socket", "launch on one socket only", "memory traffic may go between sockets"},
    {"guest_policy.cxl", "guest memory on CXL devices", "guest memory may lie on CXL devices, outside of the package"},
    {"guest_policy.aes_256_xts", "AES-256-XTS for memory is demanded", "memory may be encrypted by the older mode"},
    {"guest_policy.rapl_disabled", "RAPL must be disabled to launch", "the host may read its power meter"},
    {"guest_policy.ciphertext_hiding", "ciphertext must be hidden to launch", "the host may read ciphertext of memory"},
    {"guest_policy.page_swap_disabled", "the host's moving and swapping of pages is disabled",
     "the host may move and swap pages and watch their ciphertext"},
    {"guest_policy.abi_minimum", "the guest must demand firmware of at least this ABI version",
     "the guest may be launched by firmware of any ABI version"},
    {"vmpl", "the report must be asked for at this privilege level", "any privilege level of the guest may have asked"},
    {"host_data", "HOST_DATA must be exactly this", "the host may give the guest any configuration by HOST_DATA"},
    {"report_id", "it must be this one running guest", "any guest with the wanted launch digest will do"},
    {"report_id_ma", "REPORT_ID of the migration agent must be this; none: no agent",
     "any migration agent, or none, may belong to the guest"},
    {"chip_id", "it must be one of these chips", "any chip will do, so any machine of the product"},
    {"masked_chip_id", "whether a report that names no chip is let pass", "a report that names no chip is let pass"},
    {"csp_id", "the VLEK must be of one of these providers", "the VLEK of any provider will do"},
    {"family_id", "FAMILY_ID of the ID block must be this", "images of any family"},
    {"image_id", "IMAGE_ID of the ID block must be this", "any image of the signer's"},
    {"guest_svn_minimum", "GUEST_SVN of the ID block must be at least this",
     "older releases of the image are not refused"},
    {"id_key_digest", "this key must have signed the ID block", "anybody may have signed an ID block, or nobody"},
    {"author_key_digest", "this key must have signed the ID key", "anybody may have signed the ID key, or nobody"},
    {"signer.id_key_digest",
     "one of these keys must have signed the ID block, if that is to vouch for the launch digest",
     "the author key alone says whose ID key it is"},
    {"signer.author_key_digest", "one of these keys must have signed the ID key",
     "the ID key alone says whose image it is"},
    {"signer.family_id", "and the ID block has this FAMILY_ID", "of any family"},
    {"signer.image_id", "and this IMAGE_ID", "any image of the signer's"},
    {"signer.guest_svn_minimum", "and at least this GUEST_SVN", ""},
    {"require", "the report must show that these holes are closed",
     "known holes of the platform are told of in the verdict, and refuse nothing"},
    {"reported", "REPORTED_TCB, which the signing key is derived for, must be at least this",
     "any REPORTED_TCB, so any firmware that AMD ever signed"},
    {"committed", "COMMITTED_TCB must be at least this", "the host may roll firmware back"},
    {"launch", "LAUNCH_TCB must be at least this", "the guest may have been launched by older firmware"},
    {"current", "CURRENT_TCB must be at least this", "any firmware may run now"},
    {"provisional_firmware", "current firmware must be the committed one", "the host may still take its firmware back"},
    {"platform_info.smt", "SMT", "SMT may be on"},
    {"platform_info.tsme", "encryption of all memory", "memory outside of guests may be in the clear"},
    {"platform_info.ecc", "ECC memory", "memory may be without ECC, and faults in it easier to provoke"},
    {"platform_info.rapl_disabled", "RAPL is disabled", "the host's power meter may be on"},
    {"platform_info.ciphertext_hiding", "ciphertext hiding", "the host may be able to read ciphertext of memory"},
    {"platform_info.alias_check_complete", "the check for aliased memory",
     "memory may be aliased by a manipulated SPD chip"},
    {"platform_info.tio", "SEV-TIO, devices inside of the trust boundary", "SEV-TIO may be on or off"},
    {"mitigation_vector.launch", "LAUNCH_MIT_VECTOR must have all of these bits", "any mitigations at launch"},
    {"mitigation_vector.current", "CURRENT_MIT_VECTOR must have all of these bits", "any mitigations now"},
    {"allowed_unknown_bits", "these bits, whose meaning is unknown here, may be set; all others may not", ""},
    {"revocation", "a current revocation list must be there, and not list the chain",
     "an intermediate that AMD has revoked is noticed only if a list is given (--crl, --collateral)"},
    {"manifest", "the claims must name this manifest", "any computation will do"},
    {"ak", "the claims must name this key of a vTPM, which is new in each boot", "any key, so any boot of the guest"},
    {"vtpm", "", "a vTPM is not asked for: nothing shows what was booted but the launch digest"},
    {"vtpm.bank", "a quote must be there of this bank of PCRs, whole, about these very claims, by a key that they name",
     ""},
    {"vtpm.credential", "the TPM must show on this connection that it holds the quote's key beside its endorsement key",
     "the quote's key may be anybody's that the agent took for a TPM's"},
    {"vtpm.ek_certificate", "an authority that the caller names must vouch for the endorsement key",
     "nobody says who made the TPM; of a TPM that the host runs nobody can"},
    {"vtpm.svsm", "the TPM must be the SVSM's, which the launch digest covers", "the host may run the TPM"},
    {"pcrs", "these PCRs must have one of these values", "PCRs may have any values that the rest allows"},
    {"event_log", "the firmware's log must replay to the quoted PCRs", "the firmware's log is not looked at"},
    {"boot_events", "the log must show kernel, initramfs and command line of the image that the caller names",
     "what the log says was booted is not compared with an image"},
    {"runtime_log", "", "the agent's own log is not looked at"},
    {"runtime_log.refuse", "the agent's log must be whole, have this session, and none of these events", ""},
    {"ima", "", "files that were executed in the guest are not looked at"},
    {"ima.allowed", "only these files may have been executed since the agent started", ""},
};

std::string listed(const Json &value) {
    if (value.is_string())
        return value.get<std::string>();
    if (!value.is_array() || value.empty())
        return value.is_array() ? "none" : value.dump();
    std::string out;
    for (const Json &entry : value)
        out += (out.empty() ? "" : ", ") + (entry.is_string() ? entry.get<std::string>() : entry.dump());
    return out;
}

// What a table of bits says: "must be clear: ...".
std::string of_bit(std::string_view path, const Json &value, std::string_view meaning) {
    const bool bit = path.starts_with("guest_policy.") || path.starts_with("platform_info.");
    if (bit && value.is_boolean())
        return std::string{value.get<bool>() ? "must be set: " : "must be clear: "} + std::string{meaning};
    return std::string{meaning};
}

void explain_member(const std::string &path, const Json &value, const std::string &reason,
                    std::vector<PolicyLine> &lines) {
    std::string_view known = path;
    if (known.starts_with("minimum_tcb."))
        known = known.substr(known.rfind('.') + 1);
    const auto *const meaning = std::ranges::find(meanings, known, &Meaning::path);
    PolicyLine line{.path = "$." + path, .value = listed(value), .meaning = {}, .reason = reason};
    line.skipped = value == "skip";
    if (meaning != std::end(meanings))
        line.meaning = line.skipped ? std::string{meaning->skipped} : of_bit(path, value, meaning->wanted);
    if (path == "require" && value.is_array())
        for (const Json &id : value)
            if (const Advisory *advisory = find_advisory(id.get<std::string>()))
                line.meaning += "; " + advisory->id + ": " + advisory->what;
    lines.push_back(std::move(line));
}

// Objects without a meaning of their own are entered.
void explain_object(const std::string &prefix, const Json &object, const std::string &above,
                    std::vector<PolicyLine> &lines) {
    const auto comment = object.find("comment");
    const std::string reason = comment != object.end() && comment->is_string() ? comment->get<std::string>() : above;
    for (const auto &[name, value] : object.items()) {
        if (name == "comment")
            continue;
        const std::string path = prefix + name;
        const bool value_of_its_own = path == "revocation" || path == "guest_policy.abi_minimum" || path == "pcrs" ||
                                      (path.starts_with("minimum_tcb.") && std::ranges::count(path, '.') == 2);
        if (value.is_object() && !value_of_its_own)
            explain_object(path + ".", value, reason, lines);
        else
            explain_member(path, value, prefix.empty() ? "" : reason, lines);
    }
}

} // namespace

std::vector<PolicyLine> explain_policy(const Json &policy) {
    std::vector<PolicyLine> lines;
    if (policy.is_object())
        explain_object("", policy, "", lines);
    return lines;
}

} // namespace cvmin
