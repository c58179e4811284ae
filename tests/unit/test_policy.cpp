// Policy files: the shipped ones, every member left out, mistyped, unknown, and what must not be skipped.
#include "tests/unit/cmocka.hpp"

#include "host-tools/appraise/appraise.hpp"
#include "host-tools/appraise/policy.hpp"
#include "host-tools/appraise/unknown_bits.hpp"

#include <set>

using namespace cvmin;

static Json shipped(const char *name) {
    return parse_json(test::data(std::string{"../../policies/"} + name + ".json"), "policy").value();
}
static std::expected<Policy, PolicyError> read(const Json &json) {
    return parse_policy(as_bytes(json.dump()));
}
static PolicyError refusal(const Json &json) {
    const auto policy = read(json);
    if (policy) {
        print_error("accepted: %s\n", json.dump(2).c_str());
        abort();
    }
    return policy.error();
}

// Every member, by path; comments are no members.
static void collect(const Json &json, const std::string &path, std::vector<std::string> &out) {
    for (const auto &[name, value] : json.items()) {
        if (name == "comment")
            continue;
        const std::string member = path.empty() ? name : path + "." + name;
        out.push_back(member);
        if (value.is_object())
            collect(value, member, out);
    }
}
static Json::json_pointer pointer(std::string path) {
    for (char &c : path)
        if (c == '.')
            c = '/';
    return Json::json_pointer{"/" + path};
}
static std::pair<std::string, std::string> split(const std::string &path) { // parent, name
    const std::size_t dot = path.rfind('.');
    return dot == path.npos ? std::pair{std::string{}, path} : std::pair{path.substr(0, dot), path.substr(dot + 1)};
}
static Json &object_at(Json &root, const std::string &path) {
    return path.empty() ? root : root[pointer(path)];
}

static void shipped_policies_say_what_they_ask_for(void **) {
    const Policy milan = read(shipped("milan")).value();
    assert_true(milan.products == std::vector{Product::milan});
    assert_true(milan.report_versions == (std::vector<std::uint32_t>{3, 5}));
    assert_true(milan.guest_policy[0] == false && milan.guest_policy[1] == false && !milan.guest_policy[2]);
    assert_true(guest_policy_bits[0].member() == "debug" && guest_policy_bits[1].member() == "migration_agent");
    assert_true(milan.vmpl == 0 && !milan.host_data && !milan.masked_chip_id && !milan.revocation);
    for (const auto &minimum : milan.minimum_tcb[0])
        assert_true(minimum == (Tcb{.level = {0, 0, 0, 24, 0}}));
    assert_true(milan.platform_info[2] == true && milan.platform_info[5] == true && !milan.platform_info[0]);

    const Policy genoa = read(shipped("genoa")).value();
    for (const auto &minimum : genoa.minimum_tcb[1])
        assert_true(minimum == (Tcb{.level = {0, 0, 0, 23, 0}}));
    const Policy turin = read(shipped("turin")).value();
    for (const auto &minimum : turin.minimum_tcb[2])
        assert_true(minimum == (Tcb{.level = {0, 1, 0, 2, 71}}));
    assert_true(turin.allowed_unknown_bits == std::vector<std::string>{"platform_info.6"});
    assert_true(read(shipped("emulated"))->report_versions == std::vector<std::uint32_t>{5});
}

static void a_default_policy_allows_nothing(void **) {
    const Policy policy;
    assert_true(policy.products.empty() && policy.report_versions.empty() && policy.signing_keys.empty());
}

static void parse_policy_names_each_missing_member(void **) {
    const Json good = shipped("turin");
    std::vector<std::string> members;
    collect(good, "", members);
    assert_true(members.size() > 60);
    for (const std::string &member : members) {
        Json json = good;
        const auto [parent, name] = split(member);
        object_at(json, parent).erase(name);
        const PolicyError error = refusal(json);
        assert_true(error.member == member && error.error.code == Errc::missing);
        assert_true(to_string(error).starts_with(member + ": "));
    }
}

static void parse_policy_names_each_mistyped_member(void **) {
    const Json good = shipped("turin");
    std::vector<std::string> members;
    collect(good, "", members);
    for (const std::string &member : members)
        for (const Json &wrong :
             {Json(nullptr), Json(-1), Json(1.5), Json("Skip"), Json(""), Json::array({Json::object()})}) {
            Json json = good;
            json[pointer(member)] = wrong;
            const PolicyError error = refusal(json);
            if (!error.member.starts_with(member))
                print_error("%s: %s\n", member.c_str(), to_string(error).c_str());
            assert_true(error.member.starts_with(member));
        }
}

static void parse_policy_refuses_unknown_members_everywhere(void **) {
    const Json good = shipped("milan");
    std::vector<std::string> objects{""};
    std::vector<std::string> members;
    collect(good, "", members);
    for (const std::string &member : members)
        if (good[pointer(member)].is_object())
            objects.push_back(member);
    assert_true(objects.size() >= 9);
    for (const std::string &parent : objects) {
        Json json = good;
        object_at(json, parent)["hots_data"] = "skip";
        const PolicyError error = refusal(json);
        assert_true(error.member == (parent.empty() ? "hots_data" : parent + ".hots_data"));
        assert_int_equal(error.error.code, Errc::malformed);
        json = good;
        object_at(json, parent)["comment"] = 7; // a comment is text
        assert_int_equal(refusal(json).error.code, Errc::malformed);
    }
    Json json = good;
    json["minimum_tcb"]["Genoa"] = json["minimum_tcb"]["Milan"]; // a product that is not allowed
    assert_true(refusal(json).member == "minimum_tcb.Genoa");
    json = good;
    json["minimum_tcb"]["Milan"]["launch"]["fmc"] = 1; // a component that Milan has not
    assert_true(refusal(json).member == "minimum_tcb.Milan.launch.fmc");
}

// What may be "skip" is exactly what docs/appraisal.md calls skippable.
static void parse_policy_takes_skip_only_where_it_may(void **) {
    const std::set<std::string> never{
        "schema",      "product",       "report_versions",   "signing_key",          "guest_policy",
        "minimum_tcb", "platform_info", "mitigation_vector", "allowed_unknown_bits", "minimum_tcb.Milan"};
    const Json good = shipped("milan");
    std::vector<std::string> members;
    collect(good, "", members);
    for (const std::string &member : members) {
        Json json = good;
        json[pointer(member)] = "skip";
        const bool component = std::ranges::count(member, '.') == 3; // a level within a minimum
        assert_int_equal(read(json).has_value(), !never.contains(member) && !component);
    }
}

static void parse_policy_refuses_values_out_of_range(void **) {
    const struct {
        const char *member;
        Json value;
        Errc code;
    } cases[] = {
        {"schema", 2, Errc::unsupported},
        {"product", Json::array(), Errc::out_of_range},
        {"product", {"Venice"}, Errc::unsupported},
        {"product", {"milan"}, Errc::unsupported},
        {"report_versions", Json::array(), Errc::out_of_range},
        {"report_versions", {4294967296}, Errc::out_of_range},
        {"signing_key", Json::array(), Errc::out_of_range},
        {"signing_key", {"VCEK"}, Errc::unsupported},
        {"vmpl", 4, Errc::out_of_range},
        {"measurement", "required", Errc::malformed},
        {"measurement", Json::array(), Errc::out_of_range},
        {"measurement", Json::array({std::string(94, '0')}), Errc::out_of_range},
        {"measurement", std::string(96, '0'), Errc::malformed}, // not a list
        {"report_data", "Caller", Errc::malformed},
        {"report_data", std::string(126, '0'), Errc::out_of_range},
        {"masked_chip_id", "true", Errc::malformed},
        {"require", Json::array(), Errc::out_of_range},
        {"require", {"AMD-SB-3015", "amd-sb-3019"}, Errc::unsupported}, // names are exact
        {"require", {"CVE-2020-1"}, Errc::unsupported},
        {"require", {"AMD-SB-3034"}, Errc::mismatch}, // no report shows it
        {"provisional_firmware", true, Errc::unsupported},
        {"report_id", std::string(62, '0'), Errc::out_of_range},
        {"report_id", "none", Errc::malformed},
        {"report_id_ma", "None", Errc::malformed},
        {"host_data", std::string(62, '0'), Errc::out_of_range},
        {"host_data", std::string(64, 'g'), Errc::malformed},
        {"chip_id", Json::array(), Errc::out_of_range},
        {"chip_id", {std::string(126, '1')}, Errc::out_of_range},
        {"chip_id", {std::string(128, '0')}, Errc::out_of_range}, // a masked CHIP_ID is no machine
        {"chip_id", Json(std::vector<std::string>(257, std::string(128, '1'))), Errc::out_of_range},
        {"family_id", std::string(34, '0'), Errc::out_of_range},
        {"guest_svn_minimum", 4294967296, Errc::out_of_range},
        {"id_key_digest", std::string(64, '0'), Errc::out_of_range},
        {"mitigation_vector.launch", "3", Errc::malformed},
        {"mitigation_vector.launch", 3, Errc::malformed},
        {"minimum_tcb.Milan.launch.snp", 256, Errc::out_of_range},
        {"guest_policy.abi_minimum", {{"major", 256}, {"minor", 0}}, Errc::out_of_range},
        {"guest_policy.abi_minimum", {{"major", 1}}, Errc::missing},
        {"allowed_unknown_bits", {"platform_info.64"}, Errc::unsupported},
        {"allowed_unknown_bits", {"platform_info.06"}, Errc::unsupported},
        {"allowed_unknown_bits", {"platform.6"}, Errc::unsupported},
        {"allowed_unknown_bits", {"measurement.6"}, Errc::unsupported},
        {"revocation", "optional", Errc::unsupported},
        {"revocation", true, Errc::malformed},
        {"revocation", Json::object(), Errc::missing},
        {"revocation", {{"maximum_age_days", 0}}, Errc::out_of_range},
        {"revocation", {{"maximum_age_days", 4294967296}}, Errc::out_of_range},
        {"revocation", {{"maximum_age_days", "7"}}, Errc::malformed},
        {"revocation", {{"maximum_age_days", 7}, {"minimum_age_days", 1}}, Errc::malformed},
        {"ak", std::string(62, '0'), Errc::out_of_range},
        {"event_log", "image", Errc::unsupported},
        {"event_log", true, Errc::malformed},
        {"boot_events", "required", Errc::unsupported},
        {"runtime_log", "required", Errc::malformed},
        {"runtime_log", Json::object(), Errc::missing},
        {"runtime_log", {{"refuse", Json::array({"boot"})}}, Errc::unsupported},
        {"runtime_log", {{"refuse", Json::array({"Violation"})}}, Errc::unsupported},
        {"ima", {{"allowed", "skip"}}, Errc::malformed},
        {"ima", {{"allowed", Json::array({{{"sha256", std::string(64, '0')}}})}}, Errc::missing},
        {"ima", {{"allowed", Json::array({{{"sha256", std::string(40, '0')}, {"path", "skip"}}})}}, Errc::out_of_range},
        {"ima", {{"allowed", Json::array({{{"sha256", std::string(64, '0')}, {"path", "bin/x"}}})}}, Errc::malformed},
        {"vtpm", "required", Errc::malformed},
        {"pcrs", Json::object(), Errc::out_of_range},
        {"pcrs", {{"24", std::string(64, '0')}}, Errc::malformed},
        {"pcrs", {{"4", std::string(62, '0')}}, Errc::out_of_range},
        {"pcrs", {{"4", Json::array()}}, Errc::out_of_range},
        {"manifest", std::string(62, '0'), Errc::out_of_range},
    };
    for (const auto &[member, value, code] : cases) {
        Json json = shipped("milan");
        json[pointer(member)] = value;
        const PolicyError error = refusal(json);
        if (error.error.code != code || !error.member.starts_with(member))
            print_error("%s = %s: %s\n", member, value.dump().c_str(), to_string(error).c_str());
        assert_true(error.error.code == code && error.member.starts_with(member));
    }
}

static void parse_policy_reads_what_a_relying_party_pins(void **) {
    Json json = shipped("turin");
    json["host_data"] = "0x" + std::string(64, 'a');
    json["chip_id"] = {"0102030405060708", std::string(128, '1')};
    json["csp_id"] = {"CN=cloud.example"};
    json["mitigation_vector"]["current"] = "0000000000000005";
    json["guest_policy"]["abi_minimum"] = {{"major", 1}, {"minor", 55}};
    json["revocation"] = "required";
    json["minimum_tcb"]["Turin"]["launch"] = "skip";
    json["measurement"] = Json::array({std::string(96, 'a'), "0x" + std::string(96, 'b')});
    json["report_data"] = std::string(128, 'c');
    const Policy policy = read(json).value();
    assert_true(policy.host_data->front() == std::byte{0xaa});
    assert_true(hex((*policy.chip_ids)[0]) == "0102030405060708" + std::string(112, '0'));
    assert_true(policy.csp_ids->front() == "CN=cloud.example" && policy.current_mitigations == 5u);
    assert_true(policy.abi_minimum == (AbiVersion{1, 55}) && policy.revocation);
    assert_false(policy.minimum_tcb[2][2].has_value());
    assert_false(policy.crl_maximum_age_days.has_value());
    assert_true(policy.measurements.size() == 2 && hex(policy.measurements[1]) == std::string(96, 'b'));
    assert_true(hex(*policy.report_data) == std::string(128, 'c'));
    assert_true(!policy.any_measurement && !policy.any_report_data);
    for (const bool skipped : {false, true}) {
        json["measurement"] = json["report_data"] = skipped ? "skip" : "caller";
        json["vmpl"] = json["masked_chip_id"] = "skip";
        const Policy other = read(json).value();
        assert_true(other.any_measurement == skipped && other.any_report_data == skipped);
        assert_true(other.measurements.empty() && !other.report_data && !other.vmpl && other.masked_chip_id);
    }
    json["revocation"] = {{"maximum_age_days", 30}};
    const Policy aged = read(json).value();
    assert_true(aged.revocation && aged.crl_maximum_age_days == 30u);
}

static void parse_policy_reads_what_a_vtpm_must_show(void **) {
    const Policy policy = read(shipped("emulated-vtpm")).value();
    assert_true(policy.vtpm && policy.vtpm->bank == TpmAlg::sha256 && policy.vtpm->credential);
    assert_true(!policy.vtpm->ek_certificate && !policy.vtpm->svsm && policy.event_log && policy.boot_events);
    assert_true(policy.ima && policy.ima->empty() && policy.runtime_log->front() == "debug-image");
    Json json = shipped("emulated-vtpm");
    json["vtpm"]["bank"] = "sha384";
    json["vtpm"]["svsm"] = json["vtpm"]["ek_certificate"] = "required";
    json["ima"]["allowed"] = Json::array({{{"sha256", std::string(64, 'd')}, {"path", "/bin/tool"}},
                                          {{"sha256", std::string(64, 'e')}, {"path", "skip"}}});
    const PolicyError of_ima = refusal(json); // boot_aggregate is over the SHA-256 bank
    assert_true(of_ima.member == "ima" && to_string(of_ima).contains("sha256"));
    json["vtpm"]["bank"] = "sha256";
    const Policy listed = read(json).value();
    assert_true(listed.ima->at(0).path == "/bin/tool" && !listed.ima->at(1).path);
    json["vtpm"]["bank"] = "sha384";
    json["ima"] = "skip";
    json["pcrs"] = {{"comment", "of a machine of ours"},
                    {"7", std::string(96, 'a')},
                    {"22", Json::array({std::string(96, 'b'), std::string(96, 'c')})}};
    const Policy whole = read(json).value();
    assert_true(whole.vtpm->bank == TpmAlg::sha384 && whole.vtpm->svsm && whole.vtpm->ek_certificate);
    assert_true(whole.pcrs->size() == 2 && whole.pcrs->at(22).size() == 2 && hex(whole.pcrs->at(7)[0]).front() == 'a');
    assert_false(wanted_quote(read(shipped("emulated")).value()).has_value());
    assert_true(wanted_quote(policy) == (request::PcrSelection{.bank = TpmAlg::sha256, .mask = 0xffff}));
    assert_true(wanted_quote(whole) == (request::PcrSelection{.bank = TpmAlg::sha384, .mask = 0x40ffff}));
    json["vtpm"]["bank"] = "sha1"; // in which anybody can make two files of one digest
    assert_true(refusal(json).member == "vtpm.bank");
    for (const char *const member : {"bank", "credential", "ek_certificate", "svsm"}) {
        json = shipped("emulated-vtpm");
        json["vtpm"].erase(member);
        const PolicyError error = refusal(json);
        assert_true(error.member == std::string{"vtpm."} + member && error.error.code == Errc::missing);
    }
}

static void parse_policy_refuses_logs_without_a_quote(void **) {
    Json json = shipped("emulated-vtpm");
    json["vtpm"] = "skip";
    const auto problems = check_policy(as_bytes(json.dump())).error();
    assert_true(problems.size() == 3 && problems[0].member == "event_log" && problems[1].member == "boot_events" &&
                problems[2].member == "ima");
    assert_true(to_string(problems[2]).contains("proves nothing while vtpm"));
    json["event_log"] = json["boot_events"] = json["ima"] = "skip";
    assert_true(read(json).has_value()); // the agent's own log needs no TPM
    json = shipped("emulated-vtpm");
    json["event_log"] = "skip";
    assert_true(refusal(json).member == "boot_events");
}

static void parse_policy_refuses_demands_that_prove_nothing(void **) {
    const std::string chip(128, '1');
    const std::pair<const char *, Json> id_block[] = {
        {"family_id", std::string(32, '1')}, {"image_id", std::string(32, '1')}, {"guest_svn_minimum", 0}};
    for (const auto &[member, value] : id_block) {
        Json json = shipped("genoa");
        json[member] = value;
        const PolicyError error = refusal(json);
        assert_true(error.member == member && error.error.code == Errc::mismatch);
        assert_true(to_string(error).starts_with(std::string{member} + ": proves nothing"));
        for (const char *const key : {"id_key_digest", "author_key_digest"}) {
            Json vouched = json;
            vouched[key] = std::string(96, '2');
            assert_true(read(vouched).has_value());
        }
    }
    for (const Json &keys : {Json{"vlek"}, Json{"vcek", "vlek"}}) {
        Json json = shipped("milan");
        json["signing_key"] = keys;
        assert_true(read(json).has_value()); // of any provider, in writing
        json["csp_id"] = {"CN=cloud.example"};
        assert_true(read(json).has_value());
        json["chip_id"] = {chip};
        const PolicyError error = refusal(json);
        assert_true(error.member == "chip_id" && error.error.code == Errc::mismatch);
        assert_true(to_string(error) == "chip_id: is a list while signing_key has vlek: a VLEK vouches for no chip");
    }
}

static void parse_policy_refuses_what_is_no_policy(void **) {
    for (const std::string_view text : {"", "[]", "null", "{", "{}", "\"skip\"", "{\"schema\":1}"})
        assert_false(parse_policy(as_bytes(text)).has_value());
    const std::string whole = shipped("milan").dump();
    for (std::size_t size = 0; size < whole.size(); size += 13)
        assert_false(parse_policy(as_bytes(std::string_view{whole}.substr(0, size))).has_value());
    assert_int_equal(parse_policy(Bytes(max_json_size + 1)).error().error.code, Errc::too_large);
}

static void parse_policy_refuses_a_member_that_is_there_twice(void **) {
    const std::string good = shipped("milan").dump();
    for (const std::string_view member : {"\"vmpl\":0,", "\"debug\":false,", "\"schema\":1,"}) {
        std::string text = good;
        const std::size_t at = text.find(member);
        assert_true(at != text.npos);
        text.insert(at, member);
        assert_true(parse_policy(as_bytes(text)).error().error == (Error{Errc::malformed, "policy", 0}));
    }
    // the same name in two objects is something else
    assert_true(parse_json(as_bytes("{\"a\":{\"b\":1},\"b\":[{\"b\":1},{\"b\":2}]}"), "x").has_value());
}

static void unknown_bits_have_names_that_a_policy_can_say(void **) {
    ByteArray<snp_report_size> raw{};
    raw.fill(std::byte{0xff});
    SnpReport report{};
    report.version = 2;
    report.policy = ~std::uint64_t{0};
    const auto all = unknown_bits(raw, report, Product::milan);
    assert_true(all.size() > 4000);
    for (const std::string &bit : all)
        assert_true(valid_unknown_bit(bit));
    for (const std::string_view bit : {"", ".", "policy", "policy.", "policy.-1", "policy.64", "Policy.30",
                                       "policy.30 ", "reserved_1eb.8", "reserved_330.2944", "!policy.17"})
        assert_false(valid_unknown_bit(bit));
    // bit 17 of the policy must be set
    raw.fill(std::byte{0});
    report.policy = 0;
    assert_true(unknown_bits(raw, report, Product::milan) == std::vector<std::string>{"!policy.17"});
}

static void check_policy_names_everything_that_is_wrong(void **) {
    Json json = shipped("milan");
    json["product"] = {"Venice"};
    json["guest_policy"]["debug"] = "no";
    json["guest_policy"].erase("cxl");
    json["guest_policy"]["more"] = true;
    json.erase("vmpl");
    json["host_data"] = "00";
    json["require"] = {"AMD-SB-9999"};
    json["mitigation_vector"]["launch"] = 3;
    json["revocation"] = "maybe";
    json["typo"] = 1;
    const auto problems = check_policy(as_bytes(json.dump())).error();
    std::vector<std::string> members;
    for (const PolicyError &problem : problems)
        members.push_back(problem.member);
    const std::vector<std::string> wanted{
        "product[0]", "guest_policy.debug", "guest_policy.cxl",         "guest_policy.more", "vmpl", "host_data",
        "require[0]", "minimum_tcb.Milan",  "mitigation_vector.launch", "revocation",        "typo"};
    for (const std::string &member : members)
        if (members != wanted)
            print_error("%s\n", member.c_str());
    assert_true(members == wanted);
    assert_true(parse_policy(as_bytes(json.dump())).error().member == "product[0]");
    assert_true(check_policy(as_bytes(shipped("milan").dump())).has_value());
    assert_int_equal(check_policy(as_bytes("{")).error().size(), 1);
    json = shipped("milan"); // two demands that prove nothing
    json["family_id"] = json["image_id"] = std::string(32, '1');
    assert_int_equal(check_policy(as_bytes(json.dump())).error().size(), 2);
}

static void a_policy_requires_advisories_by_any_of_their_names(void **) {
    Json json = shipped("genoa");
    json["require"] = {"EntrySign", "CVE-2024-21944"};
    assert_true(*read(json)->advisories == (std::vector<std::string>{"AMD-SB-3019", "AMD-SB-3015"}));
    json["require"] = "skip";
    assert_false(read(json)->advisories.has_value());
    // of two products both must be known
    json = shipped("genoa");
    json["product"] = {"Genoa", "Turin"};
    json["minimum_tcb"]["Turin"] = shipped("turin")["minimum_tcb"]["Turin"];
    const PolicyError error = refusal(json);
    assert_true(error.member == "require[1]" && error.error.code == Errc::mismatch);
    assert_true(to_string(error).contains("for a product of this policy nothing is known"));
    json["require"] = {"BadRAM"};
    assert_true(read(json).has_value());
    assert_true(read(json)->minimum_tcb[2][0].has_value()); // and each has minima of its own
}

static Json with_signer() {
    Json json = shipped("genoa");
    json["signer"] = {{"comment", "the release key and the one before it"},
                      {"id_key_digest", {std::string(96, 'a'), "0x" + std::string(96, 'b')}},
                      {"author_key_digest", "skip"},
                      {"family_id", std::string(32, 'c')},
                      {"image_id", "skip"},
                      {"guest_svn_minimum", 4}};
    return json;
}

static void a_signer_is_read(void **) {
    assert_false(read(shipped("genoa")).value().signer.has_value());
    const Policy policy = read(with_signer()).value();
    assert_int_equal(policy.signer->id_key_digests.size(), 2);
    assert_true(hex(policy.signer->id_key_digests[1]) == std::string(96, 'b'));
    assert_true(policy.signer->author_key_digests.empty() && !policy.signer->image_id);
    assert_true(hex(*policy.signer->family_id) == std::string(32, 'c'));
    assert_int_equal(policy.signer->guest_svn_minimum, 4);
    // it vouches for the ID block, whose values may then be demanded
    Json json = with_signer();
    json["guest_svn_minimum"] = 5;
    assert_true(read(json).has_value());
}

static void a_signer_that_is_not_whole_is_refused(void **) {
    const auto refused = [](const char *member, const Json &value) {
        Json json = with_signer();
        json["signer"][member] = value;
        return refusal(json);
    };
    for (const char *const member :
         {"id_key_digest", "author_key_digest", "family_id", "image_id", "guest_svn_minimum"}) {
        Json json = with_signer();
        json["signer"].erase(member);
        const PolicyError error = refusal(json);
        assert_true(error.error.code == Errc::missing && error.member == std::string{"signer."} + member);
        assert_int_equal(refused(member, 1.5).error.code, Errc::malformed);
    }
    assert_int_equal(refused("guest_svn_minimum", "skip").error.code, Errc::malformed);
    assert_int_equal(refused("guest_svn_minimum", 0x100000000).error.code, Errc::out_of_range);
    assert_int_equal(refused("more", 1).error.code, Errc::malformed);
    assert_int_equal(refused("id_key_digest", Json::array()).error.code, Errc::out_of_range);
    assert_int_equal(refused("id_key_digest", {std::string(94, 'a')}).error.code, Errc::out_of_range);
    assert_int_equal(refused("id_key_digest", std::string(96, 'a')).error.code, Errc::malformed); // not a list
    // zeros are what a report without an ID block has
    const PolicyError zeros = refused("id_key_digest", {std::string(96, '0')});
    assert_true(zeros.error.code == Errc::out_of_range && zeros.member == "signer.id_key_digest[0]");
    const PolicyError nobody = refused("id_key_digest", "skip");
    assert_true(nobody.error.code == Errc::mismatch && nobody.member == "signer");
    assert_true(to_string(nobody).contains("names no signer"));
    Json json = with_signer();
    json["signer"] = "skip"; // left out, or whole
    assert_int_equal(refusal(json).error.code, Errc::malformed);
}

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(shipped_policies_say_what_they_ask_for),
        cmocka_unit_test(a_default_policy_allows_nothing),
        cmocka_unit_test(parse_policy_names_each_missing_member),
        cmocka_unit_test(parse_policy_names_each_mistyped_member),
        cmocka_unit_test(parse_policy_refuses_unknown_members_everywhere),
        cmocka_unit_test(parse_policy_takes_skip_only_where_it_may),
        cmocka_unit_test(parse_policy_refuses_values_out_of_range),
        cmocka_unit_test(parse_policy_reads_what_a_relying_party_pins),
        cmocka_unit_test(parse_policy_reads_what_a_vtpm_must_show),
        cmocka_unit_test(parse_policy_refuses_logs_without_a_quote),
        cmocka_unit_test(parse_policy_refuses_demands_that_prove_nothing),
        cmocka_unit_test(parse_policy_refuses_what_is_no_policy),
        cmocka_unit_test(parse_policy_refuses_a_member_that_is_there_twice),
        cmocka_unit_test(unknown_bits_have_names_that_a_policy_can_say),
        cmocka_unit_test(check_policy_names_everything_that_is_wrong),
        cmocka_unit_test(a_policy_requires_advisories_by_any_of_their_names),
        cmocka_unit_test(a_signer_is_read),
        cmocka_unit_test(a_signer_that_is_not_whole_is_refused),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
