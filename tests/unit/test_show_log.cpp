// The runtime log as people and programs are shown it, and a real log of another program in another encoding.
#include "host-tools/base/os.hpp"
#include "host-tools/present/runtime_log.hpp"
#include "tests/unit/wire.hpp"

#include <filesystem>

using namespace cvmin;
using namespace cvmin::test;

namespace {

Bytes file(const char *name) {
    auto bytes = read_file(std::filesystem::path{CVMIN_TEST_DATA} / "runtime_log" / name, max_cel_tlv_size);
    if (!bytes)
        abort();
    return *bytes;
}

RuntimeLog every_kind() {
    auto log = parse_runtime_log(file("every_kind.cel"));
    if (!log)
        abort();
    return *log;
}

} // namespace

static void a_table_has_a_line_for_every_record(void **) {
    const std::string a = repeat("aa", 32), b = repeat("bb", 32), c = repeat("cc", 32), d = repeat("dd", 32);
    const std::string wanted =
        "   #         seconds  event               details\n"
        "   0        1.000500  boot                cvmin-agent 0.1.0, reports from sev_guest, TPM ready, IMA ready\n"
        "   1        2.000000  session-opened      session 1, nonce sha256 " +
        a +
        "\n"
        "   2        2.000100  secret-received     session 1, db-key, commitment " +
        b +
        "\n"
        "   3        2.000200  violation           session 2, k: a secret was sent on a connection that had not taken "
        "evidence\n"
        "   4        2.000300  violation           session 1, db-key: other bytes were sent under a name that is "
        "taken\n"
        "   5        2.000400  manifest            sha256 " +
        c +
        "\n"
        "   6        2.000500  start               program sha256 " +
        d +
        "\n"
        "   7        2.000600  result              status 256\n"
        "   8        2.000700  tpm-lost            tpm.extend timed out\n"
        "   9        2.000800  sessions-dropped    sessions are not recorded any more\n"
        "  10        2.000900  violations-dropped  violations are not recorded any more\n"
        "  11        2.001000  stop                session 1\n"
        "  12        2.001100  log-full            nothing is recorded any more, nor done that would be\n"
        "head  ed03e39e552fa345601447b75c48624ce21c1458d88a771db4080ee1a8e5ef95e13a7ab338811f914d47f449d86859fe\n";
    const std::string table = runtime_log_table(every_kind());
    if (table != wanted)
        print_error("%s", table.c_str());
    assert_true(table == wanted);
}

static void json_has_what_each_event_says(void **) {
    const Json json = runtime_log_json(every_kind());
    assert_true(json["schema"] == 1 && json["records"].size() == 13);
    assert_true(json["head"] == json["pcr"]["sha384"]);
    assert_true(json["pcr"]["sha256"] == "aaf3fa2cbb05f7a1119c804622e4fe700cce203852c8acf95eba28d18013610a");
    const Json &boot = json["records"][0];
    assert_true(boot["number"] == 0 && boot["time_us"] == 1000500 && boot["event"] == "boot");
    assert_true(boot["agent"] == "cvmin-agent 0.1.0" && boot["debug_image"] == false && boot["tpm"] == "ready" &&
                boot["ima"] == "ready" && boot["report_source"] == "sev_guest");
    assert_true(boot["digests"]["sha256"] == "cf9886e4774c407c6e733655a38015ef3f5e868bc6053051cc128ecc93b6d832");
    assert_true(json["records"][1]["nonce_sha256"] == repeat("aa", 32));
    assert_true(json["records"][2]["commitment"] == repeat("bb", 32) && json["records"][2]["name"] == "db-key");
    assert_true(json["records"][3]["rule"] == "put-before-attest" && json["records"][4]["rule"] == "wrong-put");
    assert_true(json["records"][6]["program_sha256"] == repeat("dd", 32));
    assert_true(json["records"][7]["status"] == 256);
    assert_true(json["records"][8]["reason"] == "tpm.extend timed out");
}

static void show_prints_the_log_and_refuses_a_wrong_one(void **) {
    const auto items = show_runtime_log(file("every_kind.cel"), {});
    assert_true(items.has_value());
    const std::string text = show_text(*items);
    assert_true(text.contains("TCG Canonical Event Log in CBOR, of cvmin's agent"));
    assert_true(text.contains("2.000700  tpm-lost            tpm.extend timed out"));
    const Json json = show_json("runtime-log", *items)["runtime-log"];
    assert_true(json["records"].size() == 13 && json["records"][12]["event"] == "log-full");
    Bytes tampered = file("every_kind.cel");
    tampered[tampered.size() - 3] ^= std::byte{1};
    assert_true(refused_with(show_runtime_log(tampered, {}), Errc::mismatch));
    assert_true(refused_with(show_runtime_log(bytes_of("80"), {}), Errc::malformed));
}

// google/go-tpm-tools, cel/testdata: of Confidential Space, whose content type is 80, in an RTMR.
static void a_log_in_tlv_is_said_to_be_one(void **) {
    const Bytes bytes = file("go-tpm-tools.cel");
    const auto summary = summarize_cel_tlv(bytes);
    assert_true(summary && summary->records == 18);
    assert_true(summary->index_types == std::vector<unsigned>{108} &&
                summary->content_types == std::vector<unsigned>{80});
    const auto items = show_runtime_log(bytes, {});
    assert_true(items && show_text(*items).contains("in TLV, of another program"));
    assert_true(show_json("runtime-log", *items)["runtime-log"]["records"] == 18);

    std::size_t accepted = 0; // at the ends of its records, as a log that may go on has it
    for (std::size_t size = 0; size < bytes.size(); ++size)
        accepted += summarize_cel_tlv(ByteView{bytes}.first(size)) ? 1 : 0;
    assert_int_equal(accepted, 17);
    Bytes swapped = bytes;
    swapped[12] = std::byte{1}; // the first number
    assert_true(refused_with(summarize_cel_tlv(swapped), Errc::malformed));
    assert_true(refused_with(summarize_cel_tlv(Bytes(max_cel_tlv_size + 1)), Errc::too_large));
    assert_true(refused_with(summarize_cel_tlv(bytes_of("00 ffffffff 00")), Errc::truncated));
}

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(a_table_has_a_line_for_every_record),
        cmocka_unit_test(json_has_what_each_event_says),
        cmocka_unit_test(show_prints_the_log_and_refuses_a_wrong_one),
        cmocka_unit_test(a_log_in_tlv_is_said_to_be_one),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
