// The runtime log: written and read as a log typed by another program (tests/data/runtime_log/ORIGIN.md), its head
// against that program's, and every way in which a log can be wrong.
#include "common/cbor.hpp"
#include "common/runtime_log.hpp"
#include "tests/unit/wire.hpp"

#include <fstream>
#include <iterator>

using namespace cvmin;
using namespace cvmin::test;

namespace {

Bytes file(const char *name) {
    std::ifstream in{std::string{CVMIN_TEST_DATA} + "/runtime_log/" + name, std::ios::binary};
    const std::string text{std::istreambuf_iterator<char>{in}, {}};
    return to_bytes(as_bytes(text));
}

std::vector<Bytes> records_of(ByteView sequence) {
    std::vector<Bytes> records;
    while (!sequence.empty()) {
        const auto item = cbor::first_item(sequence, "test");
        if (!item)
            abort();
        records.push_back(to_bytes(*item));
        sequence = sequence.subspan(item->size());
    }
    return records;
}

Bytes joined(const std::vector<Bytes> &parts) {
    Bytes all;
    for (const Bytes &part : parts)
        all.insert(all.end(), part.begin(), part.end());
    return all;
}

// Of up to 23 records.
Bytes log_of(const std::vector<Bytes> &records) {
    Bytes log = joined(records);
    log.insert(log.begin(), static_cast<std::byte>(0x80 + records.size()));
    return log;
}

// A record typed by hand around this content, with digests that are right unless said otherwise.
struct Typed {
    std::string content;
    std::string map = "a5";
    std::string number = "00 00";
    std::string pcr = "01 0f";
    std::string sha256_alg = "0b", sha384_alg = "0c";
    std::string type = "09 1a00011171";
    std::string end = "";
    Bytes bytes() const {
        const Bytes hashed = bytes_of(content);
        return bytes_of(map + number + pcr + "03 82 a2 00" + sha256_alg + "01 5820" + hex(sha256(hashed)) + "a2 00" +
                        sha384_alg + "01 5830" + hex(sha384(hashed)) + type + "0a" + content + end);
    }
};
const std::string boot = "a7 00 00 01 00 02 61 61 03 00 04 61 62 05 00 06 00";

Errc refusal(const Bytes &log) {
    const auto parsed = parse_runtime_log(log);
    return parsed ? Errc::usage : parsed.error().code;
}
Errc refusal(const Typed &record) {
    return refusal(log_of({record.bytes()}));
}
// Of a second record with this content.
Errc refusal_after_boot(const std::string &content) {
    return refusal(log_of({Typed{.content = boot}.bytes(), Typed{.content = content, .number = "00 01"}.bytes()}));
}

const Event every_event[] = {
    event::Boot{.agent = "cvmin-agent 0.1.0",
                .debug_image = false,
                .report_source = "sev_guest",
                .tpm = PartState::ready,
                .ima = PartState::ready},
    event::SessionOpened{.session = 1, .nonce = filled<32>(0xaa)},
    event::SecretReceived{.session = 1, .name = "db-key", .commitment = filled<32>(0xbb)},
    event::Violation{.session = 2, .rule = ViolationRule::put_before_attest, .name = "k"},
    event::Violation{.session = 1, .rule = ViolationRule::wrong_put, .name = "db-key"},
    event::Manifest{filled<32>(0xcc)},
    event::Start{filled<32>(0xdd)},
    event::Result{256},
    event::TpmLost{"tpm.extend timed out"},
    event::SessionsDropped{},
    event::ViolationsDropped{},
    event::Stop{1},
    event::LogFull{},
};
constexpr std::uint64_t every_time[] = {1000500, 2000000, 2000100, 2000200, 2000300, 2000400, 2000500,
                                        2000600, 2000700, 2000800, 2000900, 2001000, 2001100};
// by Python's hashlib
constexpr std::string_view every_head =
    "ed03e39e552fa345601447b75c48624ce21c1458d88a771db4080ee1a8e5ef95e13a7ab338811f914d47f449d86859fe";
constexpr std::string_view every_pcr256 = "aaf3fa2cbb05f7a1119c804622e4fe700cce203852c8acf95eba28d18013610a";
constexpr std::string_view boot_head =
    "400ff8c91f6a661384d8377eb8f640d4bd58d3e532c9e8548af3033abf743c0d88f96ac9672c85efffe9330bcb187669";

constexpr std::string_view computation_head =
    "561f9360d2757c7a2826fb902bb3bf7e677a395557981d12aef69f26221a8893b2d65f998f5ae384d6f205a9466cde2f";

RuntimeLogWriter written(std::size_t count = std::size(every_event)) {
    RuntimeLogWriter log;
    for (std::size_t i = 0; i < count; ++i)
        if (!log.append(every_time[i], every_event[i]))
            abort();
    return log;
}

} // namespace

static void a_log_is_written_as_another_program_typed_it(void **) {
    const RuntimeLogWriter log = written();
    assert_true(equal(log.log(), file("every_kind.cel")));
    assert_true(hex(log.head()) == every_head);
    assert_true(hex(written(1).head()) == boot_head);
    assert_true(all_zero(RuntimeLogWriter{}.head()) && RuntimeLogWriter{}.log() == bytes_of("80"));
}

// What a computation leaves in a log; by the same other program.
static void a_computation_is_written_and_read_as_another_program_typed_it(void **) {
    const Event events[] = {
        every_event[0],
        event::Manifest{filled<32>(0xcc)},
        event::Violation{.session = 3, .rule = ViolationRule::wrong_role, .name = "data/left.csv"},
        event::Violation{.session = 2, .rule = ViolationRule::digest_mismatch, .name = "algorithm"},
        event::Violation{.session = 2, .rule = ViolationRule::wrong_manifest, .name = "manifest"},
        event::InputReceived{.session = 2, .item = "algorithm"},
        event::InputReceived{.session = 3, .item = "data/left.csv"},
        event::RunFailed{"the program used more than 64 MiB"},
        event::ResultTaken{},
    };
    RuntimeLogWriter log;
    for (std::size_t i = 0; i < std::size(events); ++i)
        assert_true(log.append(1000 + i, events[i]).has_value());
    assert_true(equal(log.log(), file("computation.cel")));
    assert_true(hex(log.head()) == computation_head);
    const auto read = parse_runtime_log(file("computation.cel"));
    assert_true(read && read->records.size() == std::size(events));
    for (std::size_t i = 0; i < std::size(events); ++i)
        assert_true(read->records[i].event == events[i]);
    assert_true(kind_name(events[5]) == "input-received" && kind_name(events[7]) == "run-failed" &&
                kind_name(events[8]) == "result-taken");
}

static void a_log_is_read_and_replayed(void **) {
    const Bytes bytes = file("every_kind.cel");
    const auto log = parse_runtime_log(bytes);
    assert_true(log && log->records.size() == std::size(every_event));
    for (std::size_t i = 0; i < std::size(every_event); ++i) {
        const RuntimeRecord &record = log->records[i];
        assert_true(record.number == i && record.time_us == every_time[i] && record.event == every_event[i]);
    }
    assert_true(hex(log->head) == every_head && hex(log->pcr256) == every_pcr256);
    assert_true(equal(encode_runtime_log(*log), bytes));
    assert_true(kind_name(log->records[2].event) == "secret-received" &&
                kind_name(Event{event::LogFull{}}) == "log-full");
}

static void records_can_be_asked_for_from_any_number_on(void **) {
    const RuntimeLogWriter log = written();
    const auto records = records_of(log.records_from(0));
    assert_int_equal(records.size(), log.count());
    for (std::uint64_t from = 0; from <= log.count(); ++from)
        assert_true(equal(log.records_from(from),
                          joined({records.begin() + static_cast<std::ptrdiff_t>(from), records.end()})));
    assert_true(log.records_from(UINT64_MAX).empty());

    RuntimeLog read; // in two pieces
    assert_true(append_records(read, joined({records[0], records[1]})).has_value());
    assert_true(append_records(read, {}).has_value());
    assert_true(append_records(read, log.records_from(2)).has_value());
    assert_true(hex(read.head) == every_head);
    RuntimeLog gap;
    assert_true(append_records(gap, records[0]).has_value());
    assert_true(refused_with(append_records(gap, log.records_from(2)), Errc::mismatch));
    assert_true(gap.records.size() == 1 && hex(gap.head) == boot_head);
}

static void every_truncation_and_every_tampered_byte_is_refused(void **) {
    const Bytes bytes = file("every_kind.cel");
    assert_int_equal(accepted_truncations(bytes, parse_runtime_log), 0);
    // A changed byte is noticed here, or it changes the head: only a whole record forged anew can do that.
    std::size_t accepted = 0;
    for (std::size_t i = 0; i < bytes.size(); ++i)
        for (const unsigned bit : {0u, 5u}) {
            Bytes tampered = bytes;
            tampered[i] ^= static_cast<std::byte>(1u << bit);
            if (parse_runtime_log(tampered))
                ++accepted;
        }
    assert_int_equal(accepted, 0);
    Bytes longer = bytes;
    longer.push_back(std::byte{0});
    assert_true(refusal(longer) == Errc::trailing);
}

static void records_left_out_doubled_or_out_of_order_are_refused(void **) {
    const auto records = records_of(written().records_from(0));
    auto without = records, doubled = records, swapped = records, shorter = records;
    without.erase(without.begin() + 3);
    doubled.insert(doubled.begin() + 3, records[3]);
    std::swap(swapped[3], swapped[4]);
    shorter.pop_back();
    assert_true(refusal(log_of(records)) == Errc::usage); // accepted
    const auto refused = parse_runtime_log(log_of(without));
    assert_true(!refused && refused.error() == (Error{Errc::mismatch, "runtime_log.recnum", 3}));
    assert_true(refusal(log_of(doubled)) == Errc::mismatch);
    assert_true(refusal(log_of(swapped)) == Errc::mismatch);
    // one that ends early is whole in itself; its head is another one, which is what the claims are compared with
    const auto cut = parse_runtime_log(log_of(shorter));
    assert_true(cut && hex(cut->head) != every_head);
    shorter.erase(shorter.begin());
    assert_true(refusal(log_of(shorter)) == Errc::mismatch);
    assert_true(refusal(bytes_of("80")) == Errc::malformed);
    assert_true(refusal(Bytes{}) == Errc::truncated);
}

static void wrong_digests_are_refused_one_by_one(void **) {
    const auto records = records_of(written(3).records_from(0));
    const auto with = [&](std::size_t at) {
        auto changed = records;
        changed[1][at] ^= std::byte{0x80};
        const auto log = parse_runtime_log(log_of(changed));
        return log ? Error{Errc::usage, ""} : log.error();
    };
    // a5 00 nn 01 0f 03 82 a2 00 0b 01 58 20 | 32 | a2 00 0c 01 58 30 | 48
    assert_true(with(13) == (Error{Errc::mismatch, "runtime_log.sha256", 1}));
    assert_true(with(13 + 31) == (Error{Errc::mismatch, "runtime_log.sha256", 1}));
    assert_true(with(13 + 32 + 6) == (Error{Errc::mismatch, "runtime_log.sha384", 1}));
    assert_true(with(13 + 32 + 6 + 47) == (Error{Errc::mismatch, "runtime_log.sha384", 1}));
}

static void records_of_another_shape_are_refused(void **) {
    assert_true(refusal(Typed{.content = boot}) == Errc::usage); // accepted
    assert_true(refusal(Typed{.content = boot, .number = "00 01"}) == Errc::mismatch);
    assert_true(refusal(Typed{.content = boot, .pcr = "01 0e"}) == Errc::unsupported);
    assert_true(refusal(Typed{.content = boot, .pcr = "02 0f"}) == Errc::malformed); // an NV index
    assert_true(refusal(Typed{.content = boot, .sha256_alg = "04"}) == Errc::unsupported);
    assert_true(refusal(Typed{.content = boot, .sha384_alg = "0d"}) == Errc::unsupported);
    assert_true(refusal(Typed{.content = boot, .type = "09 05"}) == Errc::unsupported); // pcclient_std
    assert_true(refusal(Typed{.content = boot, .map = "a6", .end = "0b 00"}) == Errc::malformed);
    assert_true(refusal(Typed{.content = "00"}) == Errc::malformed);
    assert_true(refusal(bytes_of("a0")) == Errc::malformed);
    assert_true(refusal(bytes_of("81 a0")) == Errc::malformed);
    assert_true(refusal(bytes_of("81 00")) == Errc::malformed);
}

static void events_out_of_their_limits_are_refused(void **) {
    const std::string digest = "5820" + repeat("ab", 32);
    // boot: agent, debug, source, TPM, IMA
    assert_true(refusal(Typed{.content = "a7 00 00 01 00 02 60 03 00 04 61 62 05 00 06 00"}) == Errc::out_of_range);
    assert_true(refusal(Typed{.content = "a7 00 00 01 00 02 61 61 03 02 04 61 62 05 00 06 00"}) == Errc::out_of_range);
    assert_true(refusal(Typed{.content = "a7 00 00 01 00 02 61 61 03 00 04 61 62 05 03 06 00"}) == Errc::out_of_range);
    assert_true(refusal(Typed{.content = "a7 00 00 01 00 02 61 61 03 00 04 61 62 05 00 06 03"}) == Errc::out_of_range);
    assert_true(refusal(Typed{.content = "a7 00 00 01 00 02 61 1b 03 00 04 61 62 05 00 06 00"}) == Errc::malformed);
    assert_true(refusal(Typed{.content = "a6 00 00 01 00 02 61 61 03 00 04 61 62 05 00"}) == Errc::malformed);
    assert_true(refusal_after_boot("a4 00 01 01 00 02 01 03" + digest) == Errc::usage); // accepted: session-opened
    assert_true(refusal_after_boot("a4 00 01 01 00 02 01 03 581f" + repeat("ab", 31)) == Errc::out_of_range);
    assert_true(refusal_after_boot("a5 00 01 01 00 02 01 03" + digest + "04 00") == Errc::malformed);
    assert_true(refusal_after_boot("a5 00 03 01 00 02 01 03 61 6b 04" + digest) == Errc::usage); // secret-received
    assert_true(refusal_after_boot("a5 00 03 01 00 02 01 03 61 4b 04" + digest) == Errc::out_of_range); // "K"
    assert_true(refusal_after_boot("a5 00 03 01 00 02 01 03 60 04" + digest) == Errc::out_of_range);
    assert_true(refusal_after_boot("a5 00 06 01 00 02 01 03 06 04 61 6b") == Errc::unsupported);         // rule 6
    assert_true(refusal_after_boot("a5 00 06 01 00 02 01 03 05 04 68 6f75747075742f58") == Errc::usage); // output/X
    assert_true(refusal_after_boot("a5 00 06 01 00 02 01 03 05 04 62 2f58") == Errc::out_of_range);      // /X
    assert_true(refusal_after_boot("a4 00 0c 01 00 02 01 03 66 646174612f78") == Errc::usage);           // data/x
    assert_true(refusal_after_boot("a5 00 0c 01 00 02 01 03 66 646174612f78 04" + digest) == Errc::malformed);
    assert_true(refusal_after_boot("a4 00 0c 01 00 02 01 03 61 78") == Errc::out_of_range);     // x
    assert_true(refusal_after_boot("a4 00 05 01 00 02" + digest + "03 00") == Errc::malformed); // a result's digest
    assert_true(refusal_after_boot("a3 00 0d 01 00 02 60") == Errc::out_of_range);
    assert_true(refusal_after_boot("a3 00 0d 01 00 02 7861" + repeat("78", 97)) == Errc::out_of_range);
    assert_true(refusal_after_boot("a3 00 0e 01 00 02 00") == Errc::malformed);
    assert_true(refusal_after_boot("a3 00 0a 01 00 02 60") == Errc::out_of_range); // no reason
    assert_true(refusal_after_boot("a3 00 0a 01 00 02 7860" + repeat("78", 96)) == Errc::usage);
    assert_true(refusal_after_boot("a3 00 0a 01 00 02 7861" + repeat("78", 97)) == Errc::out_of_range);
    assert_true(refusal_after_boot("a2 00 0f 01 00") == Errc::unsupported); // a kind that is not known
    assert_true(refusal_after_boot("a2 00 08 01 00") == Errc::usage);
    assert_true(refusal_after_boot("a2 00 08 01 61 61") == Errc::malformed);
    assert_true(refusal_after_boot("a3 00 08 01 00 02 59 0100" + repeat("00", 256)) == Errc::too_large);
}

static void boot_is_the_first_record_and_log_full_the_last(void **) {
    assert_true(refusal(Typed{.content = "a2 00 08 01 00"}) == Errc::malformed);
    assert_true(refusal_after_boot(boot) == Errc::malformed);
    assert_true(refusal_after_boot("a2 00 07 01 00") == Errc::usage); // accepted
    const Bytes records[] = {Typed{.content = boot}.bytes(),
                             Typed{.content = "a2 00 07 01 00", .number = "00 01"}.bytes(),
                             Typed{.content = "a2 00 08 01 00", .number = "00 02"}.bytes()};
    assert_true(refusal(log_of({records[0], records[1], records[2]})) == Errc::malformed);
}

static void a_full_log_takes_nothing_more_and_stays_readable(void **) {
    RuntimeLogWriter log;
    assert_true(log.append(0, every_event[0]).has_value());
    while (log.append(UINT64_MAX, event::TpmLost{std::string(max_event_text_size, 'x')})) {}
    assert_true(log.log().size() <= max_runtime_log_size);
    assert_true(log.log().size() + max_runtime_record_size > max_runtime_log_size && !log.has_room());
    const auto read = parse_runtime_log(log.log());
    assert_true(read && read->head == log.head() && read->records.size() == log.count());
    assert_true(log.count() > 255); // its array needs a length of two bytes

    RuntimeLogWriter few{max_runtime_log_size, 3};
    assert_true(few.has_room(0, 2) && !few.has_room(0, 3));
    assert_false(few.append(0, every_event[0], 0, 3).has_value());
    assert_true(few.append(0, every_event[0], 0, 2).has_value());
    assert_true(few.append(0, event::Stop{1}).has_value());
    assert_false(few.append(0, event::Stop{1}, 0, 1).has_value());
    assert_true(few.append(0, event::Stop{1}).has_value());
    assert_false(few.append(0, event::Stop{1}).has_value());
    assert_int_equal(few.count(), 3);
    RuntimeLogWriter kept;
    assert_false(kept.append(0, every_event[0], max_runtime_log_size).has_value());
    assert_true(kept.count() == 0 && all_zero(kept.head()));
}

static void logs_above_their_limits_are_refused(void **) {
    assert_true(refusal(Bytes(max_runtime_log_size + 1)) == Errc::too_large);
    std::string many = "99 0401"; // 1025 items
    for (std::size_t i = 0; i <= max_runtime_records; ++i)
        many += "00";
    assert_true(refusal(bytes_of(many)) == Errc::too_large);
    RuntimeLog log;
    assert_true(refused_with(append_records(log, Bytes(max_runtime_log_size + 1)), Errc::too_large));
}

static void every_event_at_its_largest_fits(void **) {
    const std::string name(max_secret_name_size, 'n');
    const Event largest[] = {
        event::Boot{.agent = std::string(max_agent_name_size, 'a'),
                    .debug_image = true,
                    .report_source = std::string(max_report_source_size, 'r'),
                    .tpm = PartState::failed,
                    .ima = PartState::failed},
        event::SessionOpened{.session = UINT64_MAX, .nonce = {}},
        event::SecretReceived{.session = UINT64_MAX, .name = name, .commitment = {}},
        event::Result{UINT64_MAX},
        event::Violation{.session = UINT64_MAX, .rule = ViolationRule::wrong_put, .name = name},
        event::TpmLost{std::string(max_event_text_size, 'x')},
    };
    RuntimeLogWriter log;
    for (const Event &event : largest)
        assert_true(log.append(UINT64_MAX, event).has_value());
    const auto read = parse_runtime_log(log.log());
    assert_true(read.has_value());
    for (const Bytes &record : records_of(log.records_from(0)))
        assert_true(record.size() <= max_runtime_record_size);
}

static void a_commitment_tells_only_those_who_know_the_exporter(void **) {
    // by sha256sum
    assert_true(hex(secret_context("db-key")) == "21beab6d664f95dd51b39074a270a0b7a1b390a764fe16f13e3ccbfb0273c28c");
    Bytes both = to_bytes(filled<32>(7));
    for (const char c : std::string_view{"s3cret"})
        both.push_back(static_cast<std::byte>(c));
    assert_true(secret_commitment(filled<32>(7), as_bytes("s3cret")) == sha256(both));
    assert_true(secret_commitment(filled<32>(8), as_bytes("s3cret")) != sha256(both));
}

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(a_log_is_written_as_another_program_typed_it),
        cmocka_unit_test(a_computation_is_written_and_read_as_another_program_typed_it),
        cmocka_unit_test(a_log_is_read_and_replayed),
        cmocka_unit_test(records_can_be_asked_for_from_any_number_on),
        cmocka_unit_test(every_truncation_and_every_tampered_byte_is_refused),
        cmocka_unit_test(records_left_out_doubled_or_out_of_order_are_refused),
        cmocka_unit_test(wrong_digests_are_refused_one_by_one),
        cmocka_unit_test(records_of_another_shape_are_refused),
        cmocka_unit_test(events_out_of_their_limits_are_refused),
        cmocka_unit_test(boot_is_the_first_record_and_log_full_the_last),
        cmocka_unit_test(a_full_log_takes_nothing_more_and_stays_readable),
        cmocka_unit_test(logs_above_their_limits_are_refused),
        cmocka_unit_test(every_event_at_its_largest_fits),
        cmocka_unit_test(a_commitment_tells_only_those_who_know_the_exporter),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
