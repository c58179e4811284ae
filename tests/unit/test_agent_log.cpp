// What the agent records, what it does when there is no room for it, and what it says of its TPM and its log in
// evidence.
#include "tests/unit/agent_world.hpp"

using namespace cvmin;
using namespace cvmin::agent;
using namespace cvmin::test;

namespace {

const request::PcrSelection some_pcrs{TpmAlg::sha256, 0xff8000};
const Bytes nonce = to_bytes(filled<32>(0xaa));

std::optional<Evidence> evidence_of(World &world, Peer &peer, std::optional<request::PcrSelection> pcrs) {
    const auto response = world.ask(request::Attest{nonce, pcrs}, peer);
    const auto *evidence = std::get_if<response::Evidence>(&response);
    if (evidence == nullptr)
        return std::nullopt;
    auto parsed = parse_evidence(evidence->evidence);
    return parsed ? std::optional{std::move(*parsed)} : std::nullopt;
}

// Whether claims, log and report of this evidence belong together.
bool consistent(const Evidence &evidence) {
    const auto claims = parse_claims(evidence.claims);
    const auto log = parse_runtime_log(evidence.runtime_log);
    const auto report = parse_snp_report(evidence.report);
    return claims && log && report && claims->runtime_log == log->head &&
           report->report_data == sha512(evidence.claims);
}

std::size_t count_of(const World &world, std::string_view kind) {
    std::size_t count = 0;
    for (const Event &event : world.events())
        count += kind_name(event) == kind ? 1 : 0;
    return count;
}

// A log with room for so many records above what is kept back for the reserve.
RuntimeLogWriter small(std::size_t above_reserve) {
    return RuntimeLogWriter{max_runtime_log_size, log_reserve_records + above_reserve};
}

} // namespace

static void evidence_carries_the_log_whose_head_is_in_its_claims(void **) {
    World world;
    for (int i = 0; i < 3; ++i) {
        const auto evidence = evidence_of(world, world.peer, std::nullopt);
        assert_true(evidence && consistent(*evidence));
        const auto log = parse_runtime_log(evidence->runtime_log);
        assert_true(log->records.back().event == Event(event::SessionOpened{.session = 1, .nonce = sha256(nonce)}));
        assert_true(!evidence->tpm && !evidence->svsm && evidence->event_log.empty() && evidence->ima_log.empty());
    }
    assert_int_equal(world.tpm.quotes, 0);
}

static void every_record_is_mirrored_in_the_tpm(void **) {
    World world;
    world.attest(world.peer);
    world.ask(World::put("k"), world.peer);
    world.ask(request::Stop{}, world.other);
    const auto log = parse_runtime_log(world.log.log());
    assert_true(log && log->records.size() == 4 && world.tpm.extends == 4);
    assert_true(log->head == world.tpm.pcr384 && log->pcr256 == world.tpm.pcr256);
    assert_true(log->records.back().event == Event(event::Stop{2}));
}

static void a_quote_is_of_these_claims_and_the_logs_come_with_it(void **) {
    World world;
    const auto evidence = evidence_of(world, world.peer, some_pcrs);
    assert_true(evidence && consistent(*evidence) && evidence->tpm);
    assert_true(world.tpm.qualifying_data == sha256(evidence->claims));
    assert_true(equal(evidence->tpm->attest, sha256(evidence->claims)) &&
                evidence->tpm->pcr_values.bank == TpmAlg::sha256);
    const auto claims = parse_claims(evidence->claims);
    assert_true(claims->ak == filled<32>(0xa1));
    // the quoted PCR is that of this very log
    const auto log = parse_runtime_log(evidence->runtime_log);
    assert_true(equal(evidence->tpm->pcr_values.values[0].digest, log->pcr256));
    const auto other_bank = evidence_of(world, world.peer, request::PcrSelection{TpmAlg::sha384, 0x8000});
    assert_true(equal(other_bank->tpm->pcr_values.values[0].digest, *parse_claims(other_bank->claims)->runtime_log));
    assert_true(evidence->event_log == bytes_of("e0") && evidence->ima_log == bytes_of("10"));
    assert_true(other_bank->svsm && world.logs.report_data == sha512(other_bank->claims));
}

static void without_a_tpm_there_is_evidence_without_a_quote(void **) {
    World world{false};
    const auto evidence = evidence_of(world, world.peer, some_pcrs);
    assert_true(evidence && consistent(*evidence) && !evidence->tpm);
    assert_false(parse_claims(evidence->claims)->ak.has_value());
    assert_true(evidence->ima_log == bytes_of("10")); // what there is
    assert_true(world.failure(request::Activate{bytes_of("00"), bytes_of("00")}, world.peer) ==
                PeerErrc::not_available);
}

static void a_tpm_that_fails_to_mirror_is_not_there_any_more(void **) {
    World world;
    world.tpm.fail_with = Error{Errc::timed_out, "tpm.extend"};
    const auto evidence = evidence_of(world, world.peer, some_pcrs);
    assert_true(evidence && consistent(*evidence) && !evidence->tpm && !parse_claims(evidence->claims)->ak);
    const auto events = world.events();
    assert_true(events.size() == 2 && events[1] == Event(event::TpmLost{"tpm.extend timed out"}));
    assert_int_equal(world.tpm.extends, 2); // boot, session: not asked again
    world.tpm.fail_with.reset();            // and it does not come back
    const auto later = evidence_of(world, world.peer, some_pcrs);
    assert_true(later && consistent(*later) && !later->tpm);
    assert_true(world.tpm.extends == 2 && world.tpm.quotes == 0 && count_of(world, "tpm-lost") == 1);
}

static void a_tpm_that_fails_to_quote_is_not_there_any_more(void **) {
    World world;
    world.tpm.refuse_with = Error{Errc::malformed, "tpm.quote"};
    const auto evidence = evidence_of(world, world.peer, some_pcrs);
    assert_true(evidence && consistent(*evidence) && !evidence->tpm);
    assert_false(parse_claims(evidence->claims)->ak.has_value()); // the claims were made anew
    assert_int_equal(count_of(world, "tpm-lost"), 1);
    assert_true(evidence_of(world, world.peer, some_pcrs).has_value());
    assert_int_equal(world.tpm.quotes, 1);
}

static void a_bank_that_the_tpm_has_not_is_said_and_costs_nothing(void **) {
    World world;
    world.tpm.refuse_with = Error{Errc::usage, "tpm.bank"};
    assert_true(world.failure(request::Attest{nonce, some_pcrs}, world.peer) == PeerErrc::tpm_refused);
    assert_true(world.failure(World::put("k"), world.peer) == PeerErrc::not_attested);
    world.tpm.refuse_with.reset();
    const auto evidence = evidence_of(world, world.peer, some_pcrs);
    assert_true(evidence && evidence->tpm && count_of(world, "tpm-lost") == 0);
}

static void credentials_are_activated_for_attested_peers_only(void **) {
    World world;
    const request::Activate activate{bytes_of("0102"), bytes_of("0304")};
    assert_true(world.failure(activate, world.peer) == PeerErrc::not_attested);
    world.attest(world.peer);
    assert_true(std::get<response::Activated>(world.ask(activate, world.peer)).credential == bytes_of("c0ffee"));
    world.tpm.refuse_with = Error{Errc::refused, "tpm.activate"};
    assert_true(world.failure(activate, world.peer) == PeerErrc::tpm_refused);
    assert_int_equal(count_of(world, "tpm-lost"), 0);
    world.tpm.refuse_with = Error{Errc::timed_out, "tpm.activate"};
    assert_true(world.failure(activate, world.peer) == PeerErrc::not_available);
    assert_int_equal(count_of(world, "tpm-lost"), 1);

    World odd;
    odd.attest(odd.peer);
    odd.tpm.credential = Bytes(max_credential_size + 1);
    assert_true(odd.failure(activate, odd.peer) == PeerErrc::not_available);
    assert_int_equal(count_of(odd, "tpm-lost"), 1);
}

static void a_secret_is_recorded_once_and_only_its_sender_can_tell_what_it_was(void **) {
    World world;
    world.attest(world.peer);
    world.attest(world.other);
    world.ask(World::put("k"), world.peer);
    world.ask(World::put("k"), world.peer);
    world.ask(World::put("k"), world.other); // the same bytes: nothing changes
    const auto events = world.events();
    assert_true(events.size() == 3);
    const auto exporter = world.channel.exporter(secret_context("k"));
    assert_true(events[2] ==
                Event(event::SecretReceived{
                    .session = 1, .name = "k", .commitment = secret_commitment(*exporter, as_bytes("s3cret"))}));
    const auto &commitment = std::get<event::SecretReceived>(events[2]).commitment;
    assert_true(commitment != sha256(as_bytes("s3cret")));
}

static void what_is_not_allowed_is_recorded_and_not_more_than_so_often(void **) {
    World world;
    assert_true(world.failure(World::put("early"), world.other) == PeerErrc::not_attested);
    world.attest(world.peer);
    world.ask(World::put("k"), world.peer);
    assert_true(world.failure(World::put("k", "guess"), world.peer) == PeerErrc::exists);
    const auto events = world.events();
    assert_true(events[0] ==
                Event(event::Violation{.session = 2, .rule = ViolationRule::put_before_attest, .name = "early"}));
    assert_true(events[3] == Event(event::Violation{.session = 1, .rule = ViolationRule::wrong_put, .name = "k"}));
    for (int i = 0; i < 2000; ++i)
        assert_true(world.failure(World::put("early"), world.other) == PeerErrc::not_attested);
    assert_int_equal(count_of(world, "violation"), max_violations);
    assert_int_equal(count_of(world, "violations-dropped"), 1);
    assert_true(world.failure(World::put("l"), world.peer) == std::nullopt); // there is room for what matters
}

static void sessions_leave_the_reserve_to_what_matters(void **) {
    World world;
    for (int i = 0; i < 3000; ++i)
        world.attest(world.other);
    assert_int_equal(count_of(world, "sessions-dropped"), 1);
    assert_true(world.log.log().size() + log_reserve <= max_runtime_log_size + max_runtime_record_size);
    const std::size_t sessions = count_of(world, "session-opened");
    assert_true(sessions > 200);
    world.ask(request::Stop{}, world.other); // nor does whoever asks for a stop
    assert_true(std::holds_alternative<event::SessionsDropped>(world.events().back()));
    const auto evidence = evidence_of(world, world.peer, some_pcrs);
    assert_true(evidence && consistent(*evidence) && evidence->tpm && count_of(world, "session-opened") == sessions);
    // and all that is promised room has it, however large
    for (unsigned i = 0; i < max_violations + 1; ++i)
        world.log.violation({.session = UINT64_MAX, .rule = ViolationRule::wrong_put, .name = std::string(64, 'v')});
    for (std::size_t i = 0; i < max_secrets; ++i)
        assert_true(world.failure(World::put(std::string(62, 's') + std::to_string(10 + i)), world.peer) ==
                    std::nullopt);
    for (const Event &event : {Event(event::Manifest{}), Event(event::Start{}), Event(event::Result{})}) {
        assert_true(world.log.has_room());
        world.log.record(event);
    }
    world.log.lost({Errc::timed_out, "tpm"});
    assert_true(world.log.has_room() && count_of(world, "log-full") == 0);
    assert_int_equal(count_of(world, "secret-received"), max_secrets);
    assert_int_equal(count_of(world, "tpm-lost"), 1);
}

// Sessions have filled all but the reserve, and then comes everything that the reserve is for, each record as large as
// it can be.
static void the_reserve_has_room_for_the_largest_computation(void **) {
    World world;
    world.clock.us = UINT64_MAX; // microseconds: the number takes 9 bytes
    const auto session = [&] { world.log.note(event::SessionOpened{.session = UINT64_MAX, .nonce = {}}); };
    const auto before = [&] { return std::pair{world.log.log().size(), world.log.count()}; };
    auto [bytes, records] = before();
    while (count_of(world, "sessions-dropped") == 0) {
        std::tie(bytes, records) = before();
        session();
    }
    const event::SecretReceived secret{
        .session = UINT64_MAX, .name = std::string(max_secret_name_size, 's'), .commitment = {}};
    std::vector<Event> events(max_secrets, secret);
    events.emplace_back(event::Manifest{});
    events.emplace_back(event::InputReceived{.session = UINT64_MAX, .item = std::string{algorithm_item}});
    for (std::size_t i = 0; i < max_datasets; ++i)
        events.emplace_back(event::InputReceived{
            .session = UINT64_MAX, .item = std::string{data_item_prefix} + std::string(max_manifest_name_size, 'd')});
    events.emplace_back(event::Start{});
    events.emplace_back(event::Result{UINT64_MAX}); // with what follows more than run-failed
    events.emplace_back(event::ResultTaken{});
    for (unsigned i = 0; i < max_violations + 1; ++i)
        world.log.violation({.session = UINT64_MAX,
                             .rule = ViolationRule::wrong_role,
                             .name = std::string{output_prefix} + std::string(cvmin::max_output_name_size, 'v')});
    for (const Event &event : events) {
        assert_true(world.log.has_room());
        world.log.record(event);
    }
    world.log.lost(
        {Errc::timed_out, std::string_view{"a reason that is as long as any can be, and longer than what the "
                                           "agent says of its TPM by some words, so that it is cut"}});
    assert_true(world.log.has_room());
    assert_int_equal(count_of(world, "log-full"), 0);
    assert_int_equal(count_of(world, "secret-received"), max_secrets);
    assert_int_equal(count_of(world, "input-received"), 1 + max_datasets);
    assert_int_equal(count_of(world, "violation"), max_violations);
    for (const char *once : {"manifest", "start", "result", "result-taken", "violations-dropped", "tpm-lost"})
        assert_int_equal(count_of(world, once), 1);
    // what runtime_log.hpp and docs/runtime-log.md say of it
    assert_int_equal(world.log.log().size() - bytes, 14768);
    assert_int_equal(world.log.count() - records, 72);
}

static void what_cannot_be_recorded_is_not_done(void **) {
    // room for two records beside the two that are kept back for the end of the log
    World world{true, RuntimeLogWriter{max_runtime_log_size, 4}};
    world.attest(world.peer); // below the reserve: recorded as dropped
    assert_true(world.failure(World::put("k"), world.peer) == PeerErrc::log_full);
    assert_int_equal(world.secrets.size(), 0);
    const auto events = world.events();
    assert_true(events.size() == 2 && std::holds_alternative<event::SessionsDropped>(events[0]) &&
                std::holds_alternative<event::LogFull>(events[1]));
    // evidence goes on, and says that the log is full
    const auto evidence = evidence_of(world, world.other, some_pcrs);
    assert_true(evidence && consistent(*evidence) && evidence->tpm);
    assert_true(world.failure(World::put("k"), world.peer) == PeerErrc::log_full);
    assert_true(world.failure(World::put("k"), world.peer) == PeerErrc::log_full);
    world.log.violation({.session = 1, .rule = ViolationRule::wrong_put, .name = "k"});
    world.log.lost({Errc::timed_out, "tpm"});
    assert_true(world.events().size() == 2 && world.log.tpm() == nullptr);
    const auto after = evidence_of(world, world.other, some_pcrs);
    assert_true(after && consistent(*after) && !after->tpm);
}

static void sessions_are_recorded_up_to_the_reserve_and_no_further(void **) {
    World world{true, small(3)}; // boot and two sessions
    for (int i = 0; i < 5; ++i)
        world.attest(world.peer);
    const auto events = world.events();
    assert_int_equal(events.size(), 3);
    assert_true(std::holds_alternative<event::SessionOpened>(events[1]) &&
                std::holds_alternative<event::SessionsDropped>(events[2]));
}

static void events_are_given_to_attested_peers_from_any_number_on(void **) {
    World world;
    assert_true(world.failure(request::Events{0}, world.peer) == PeerErrc::not_attested);
    world.attest(world.peer);
    world.ask(World::put("k"), world.peer);
    cvmin::RuntimeLog read;
    const auto all = world.ask(request::Events{0}, world.peer);
    const auto &chunk = std::get<response::EventsChunk>(all);
    assert_true(chunk.total == 3 && append_records(read, chunk.records).has_value() && read.head == world.log.head());
    const auto none = world.ask(request::Events{3}, world.peer);
    assert_true(std::get<response::EventsChunk>(none).records.empty());
    assert_true(std::get<response::EventsChunk>(world.ask(request::Events{UINT64_MAX}, world.peer)).total == 3);
    world.attest(world.other);
    const auto more = world.ask(request::Events{3}, world.peer);
    assert_true(append_records(read, std::get<response::EventsChunk>(more).records).has_value());
    assert_true(read.records.size() == 4 && read.head == world.log.head());
}

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(evidence_carries_the_log_whose_head_is_in_its_claims),
        cmocka_unit_test(every_record_is_mirrored_in_the_tpm),
        cmocka_unit_test(a_quote_is_of_these_claims_and_the_logs_come_with_it),
        cmocka_unit_test(without_a_tpm_there_is_evidence_without_a_quote),
        cmocka_unit_test(a_tpm_that_fails_to_mirror_is_not_there_any_more),
        cmocka_unit_test(a_tpm_that_fails_to_quote_is_not_there_any_more),
        cmocka_unit_test(a_bank_that_the_tpm_has_not_is_said_and_costs_nothing),
        cmocka_unit_test(credentials_are_activated_for_attested_peers_only),
        cmocka_unit_test(a_secret_is_recorded_once_and_only_its_sender_can_tell_what_it_was),
        cmocka_unit_test(what_is_not_allowed_is_recorded_and_not_more_than_so_often),
        cmocka_unit_test(sessions_leave_the_reserve_to_what_matters),
        cmocka_unit_test(the_reserve_has_room_for_the_largest_computation),
        cmocka_unit_test(what_cannot_be_recorded_is_not_done),
        cmocka_unit_test(sessions_are_recorded_up_to_the_reserve_and_no_further),
        cmocka_unit_test(events_are_given_to_attested_peers_from_any_number_on),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
