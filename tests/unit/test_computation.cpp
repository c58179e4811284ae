// The computation with a faked store and sandbox: every request in every state, who may do what, what is kept and what
// is not, the run's end, the receipt.
#include "agent-min/tls.hpp"
#include "common/receipt.hpp"
#include "tests/unit/agent_fakes.hpp"

#include <functional>

#include <sys/wait.h>

using namespace cvmin;
using namespace cvmin::agent;
using namespace cvmin::test;

namespace {

const Bytes program = bytes_of("7f454c46 01 02 03");
const Bytes left_csv = to_bytes(as_bytes("id,age\n1,30\n2,40\n"));
const Bytes right_csv = to_bytes(as_bytes("id,pay\n1,5\n"));

PublicKey key_of(unsigned value) {
    return {filled<48>(value), filled<48>(value)};
}
const PublicKey alice = key_of(1), bob = key_of(2), carol = key_of(3), dave = key_of(4), stranger = key_of(9);

// alice brings the program, bob and dave a dataset each, carol and bob get the result
Manifest manifest_value() {
    return {
        .id = "join-1",
        .algorithm =
            {.sha256 = sha256(program),
             .size_limit = 1000,
             .kind = AlgorithmKind::elf,
             .arguments = {"--by", "id"},
             .environment = {"LEVEL=1"},
             .party = "alice",
             .limits = {.memory = 8u << 20, .cpu_seconds = 2, .wall_seconds = 3, .output = 1u << 20, .processes = 4}},
        .datasets = {{.name = "left", .sha256 = sha256(left_csv), .size_limit = 100, .party = "bob"},
                     {.name = "right", .sha256 = sha256(right_csv), .size_limit = 100, .party = "dave"}},
        .parties = {{.name = "alice", .key = alice},
                    {.name = "bob", .key = bob},
                    {.name = "carol", .key = carol},
                    {.name = "dave", .key = dave}},
        .consumers = {"bob", "carol"}};
}
Bytes encoded(Manifest manifest) {
    auto bytes = encode_manifest(std::move(manifest));
    if (!bytes)
        abort();
    return *bytes;
}
const Bytes the_manifest = encoded(manifest_value());
Bytes other_manifest() {
    Manifest manifest = manifest_value();
    manifest.id = "join-2";
    return encoded(std::move(manifest));
}

const TlsIdentity &identity() {
    static const std::unique_ptr<TlsIdentity> made = [] {
        auto identity = TlsIdentity::make();
        if (!identity)
            abort();
        return std::move(*identity);
    }();
    return *made;
}

struct Run {
    FakeSource source;
    FakeClock clock;
    agent::RuntimeLog log{clock, nullptr};
    FakeStore store;
    FakeSandbox sandbox;
    Computation computation;
    Bytes receipt; // once it was asked for

    explicit Run(bool with_sandbox = true)
        : computation{{.source = source,
                       .log = log,
                       .store = store,
                       .sandbox = with_sandbox ? &sandbox : nullptr,
                       .key = identity().public_key(),
                       .signer = identity().key()}} {
        log.record(event::Boot{.agent = "cvmin-agent",
                               .debug_image = false,
                               .report_source = "fake",
                               .tpm = PartState::absent,
                               .ima = PartState::absent});
    }
    template <class R> Response ask(const R &request, std::optional<PublicKey> key) {
        return computation.on(request, {.session = 7, .key = std::move(key)});
    }
    template <class R> std::optional<PeerErrc> failure(const R &request, std::optional<PublicKey> key) {
        const Response response = ask(request, std::move(key));
        const auto *failed = std::get_if<response::Failure>(&response);
        return failed == nullptr ? std::nullopt : std::optional{failed->code};
    }
    static request::Put piece(std::string item, std::uint64_t offset, ByteView bytes) {
        return {std::move(item), offset, bytes};
    }
    void put(const std::string &item, ByteView bytes, const PublicKey &key) {
        if (failure(piece(item, 0, bytes), key) || failure(request::PutEnd{item, bytes.size()}, key))
            abort();
    }
    void agree() {
        if (failure(request::Manifest{the_manifest}, std::nullopt))
            abort();
    }
    void put_all() {
        put("data/right", right_csv, dave); // in any order
        put("algorithm", program, alice);
        put("data/left", left_csv, bob);
    }
    void start() {
        agree();
        put_all();
        computation.turn();
    }
    void end(const SandboxExit &exit) {
        sandbox.exit = exit;
        computation.turn();
    }
    void give_result() {
        start();
        sandbox.files = {{"Join.csv", to_bytes(as_bytes("id,age,pay\n1,30,5\n"))}, {"empty", {}}};
        sandbox.written = to_bytes(as_bytes("joined 1 row\n"));
        end(FakeSandbox::ended(0));
        computation.turn();
    }
    Bytes get(std::string name, const PublicKey &key) {
        const Response response = ask(request::Get{std::move(name), 0}, key);
        const auto *data = std::get_if<response::Data>(&response);
        if (data == nullptr || data->total != data->data.size())
            abort();
        return data->data;
    }
    void take_result() {
        give_result();
        receipt = get("receipt", carol);
        if (failure(request::Confirm{sha256(receipt)}, bob) || failure(request::Confirm{sha256(receipt)}, carol))
            abort();
    }
    std::vector<Event> events() const { // what the log holds after its boot record
        const auto parsed = parse_runtime_log(log.log());
        std::vector<Event> events;
        for (const RuntimeRecord &record : std::span{parsed->records}.subspan(1))
            events.push_back(record.event);
        return events;
    }
    response::Status status(const PublicKey &key) { return std::get<response::Status>(ask(request::Status{}, key)); }
};

Event violation(ViolationRule rule, std::string name) {
    return event::Violation{.session = 7, .rule = rule, .name = std::move(name)};
}
Event received(std::string item) {
    return event::InputReceived{.session = 7, .item = std::move(item)};
}

// What comes back, as one word.
std::string word(const Response &response) {
    if (const auto *failed = std::get_if<response::Failure>(&response))
        return std::string{name(failed->code)};
    if (std::holds_alternative<response::Stored>(response))
        return "stored";
    if (std::holds_alternative<response::PutOk>(response))
        return "put-ok";
    if (std::holds_alternative<response::Status>(response))
        return "status";
    if (std::holds_alternative<response::Data>(response))
        return "data";
    return "?";
}

} // namespace

// ---- every request in every state -----------------------------------------------------------------------------

static void every_event_has_its_answer_in_every_state(void **) {
    struct State {
        const char *name;
        RunState state;
        void (*enter)(Run &);
    };
    static constexpr State states[] = {
        {"waiting-manifest", RunState::waiting_manifest, [](Run &) {}},
        {"waiting-inputs", RunState::waiting_inputs, [](Run &run) { run.agree(); }},
        {"complete", RunState::waiting_inputs,
         [](Run &run) {
             run.agree();
             run.put_all();
         }},
        {"running", RunState::running, [](Run &run) { run.start(); }},
        {"hashing", RunState::running,
         [](Run &run) {
             run.start();
             run.sandbox.files = {{"big", Bytes(hashed_per_turn + 1)}};
             run.end(FakeSandbox::ended(0));
             run.computation.turn();
         }},
        {"result", RunState::result,
         [](Run &run) {
             run.give_result();
             run.receipt = run.get("receipt", bob);
         }},
        {"done", RunState::done, [](Run &run) { run.take_result(); }},
        {"failed", RunState::failed,
         [](Run &run) {
             run.start();
             run.end(FakeSandbox::ended(1 << 8));
         }},
        {"stopped", RunState::stopped,
         [](Run &run) {
             run.agree();
             run.computation.stop();
         }},
    };
    using Make = std::string (*)(Run &);
    struct Happening {
        const char *name;
        Make make;
        std::string_view wanted[std::size(states)];
    };
    static const Happening events[] = {
        {"the same manifest",
         [](Run &run) { return word(run.ask(request::Manifest{the_manifest}, std::nullopt)); },
         {"stored", "stored", "stored", "stored", "stored", "stored", "stored", "stored", "wrong_state"}},
        {"another manifest",
         [](Run &run) { return word(run.ask(request::Manifest{other_manifest()}, alice)); },
         {"stored", "exists", "exists", "exists", "exists", "exists", "exists", "exists", "wrong_state"}},
        {"no manifest",
         [](Run &run) { return word(run.ask(request::Manifest{bytes_of("a0")}, alice)); },
         {"bad_manifest", "exists", "exists", "exists", "exists", "exists", "exists", "exists", "wrong_state"}},
        {"a piece",
         [](Run &run) { return word(run.ask(Run::piece("data/left", 0, left_csv), bob)); },
         {"wrong_state", "put-ok", "exists", "wrong_state", "wrong_state", "wrong_state", "wrong_state", "wrong_state",
          "wrong_state"}},
        {"a piece of the program",
         [](Run &run) { return word(run.ask(Run::piece("algorithm", 0, program), alice)); },
         {"wrong_state", "put-ok", "exists", "wrong_state", "wrong_state", "wrong_state", "wrong_state", "wrong_state",
          "wrong_state"}},
        {"a piece of another's",
         [](Run &run) { return word(run.ask(Run::piece("data/left", 0, left_csv), dave)); },
         {"wrong_state", "wrong_role", "wrong_role", "wrong_role", "wrong_role", "wrong_role", "wrong_role",
          "wrong_role", "wrong_state"}},
        {"a piece by a stranger",
         [](Run &run) { return word(run.ask(Run::piece("data/left", 0, left_csv), stranger)); },
         {"wrong_state", "not_a_party", "not_a_party", "not_a_party", "not_a_party", "not_a_party", "not_a_party",
          "not_a_party", "wrong_state"}},
        {"an end",
         [](Run &run) { return word(run.ask(request::PutEnd{"data/left", left_csv.size()}, bob)); },
         {"wrong_state", "wrong_offset", "stored", "stored", "stored", "stored", "stored", "stored", "wrong_state"}},
        {"an end of another size",
         [](Run &run) { return word(run.ask(request::PutEnd{"data/left", 1}, bob)); },
         {"wrong_state", "wrong_offset", "exists", "exists", "exists", "exists", "exists", "exists", "wrong_state"}},
        {"an end of another's",
         [](Run &run) { return word(run.ask(request::PutEnd{"data/left", left_csv.size()}, alice)); },
         {"wrong_state", "wrong_role", "wrong_role", "wrong_role", "wrong_role", "wrong_role", "wrong_role",
          "wrong_role", "wrong_state"}},
        {"a party's status",
         [](Run &run) { return word(run.ask(request::Status{}, dave)); },
         {"status", "status", "status", "status", "status", "status", "status", "status", "status"}},
        {"a stranger's status",
         [](Run &run) { return word(run.ask(request::Status{}, stranger)); },
         {"status", "not_a_party", "not_a_party", "not_a_party", "not_a_party", "not_a_party", "not_a_party",
          "not_a_party", "not_a_party"}},
        {"output wanted",
         [](Run &run) { return word(run.ask(request::Get{"output/Join.csv", 0}, carol)); },
         {"wrong_state", "wrong_state", "wrong_state", "wrong_state", "wrong_state", "data", "wrong_state",
          "wrong_state", "wrong_state"}},
        {"log wanted",
         [](Run &run) { return word(run.ask(request::Get{"log", 0}, carol)); },
         {"wrong_state", "wrong_state", "wrong_state", "wrong_state", "wrong_state", "data", "wrong_state", "data",
          "wrong_state"}},
        {"receipt wanted",
         [](Run &run) { return word(run.ask(request::Get{"receipt", 0}, carol)); },
         {"wrong_state", "wrong_state", "wrong_state", "wrong_state", "wrong_state", "data", "wrong_state",
          "wrong_state", "wrong_state"}},
        {"output wanted by no consumer",
         [](Run &run) { return word(run.ask(request::Get{"output/Join.csv", 0}, dave)); },
         {"wrong_state", "wrong_role", "wrong_role", "wrong_role", "wrong_role", "wrong_role", "wrong_role",
          "wrong_role", "wrong_state"}},
        {"log wanted by a stranger",
         [](Run &run) { return word(run.ask(request::Get{"log", 0}, stranger)); },
         {"wrong_state", "not_a_party", "not_a_party", "not_a_party", "not_a_party", "not_a_party", "not_a_party",
          "not_a_party", "wrong_state"}},
        {"confirmed",
         [](Run &run) { return word(run.ask(request::Confirm{sha256(run.receipt)}, carol)); },
         {"wrong_state", "wrong_state", "wrong_state", "wrong_state", "wrong_state", "stored", "stored", "wrong_state",
          "wrong_state"}},
        {"another receipt confirmed",
         [](Run &run) { return word(run.ask(request::Confirm{}, carol)); },
         {"wrong_state", "wrong_state", "wrong_state", "wrong_state", "wrong_state", "digest_mismatch",
          "digest_mismatch", "wrong_state", "wrong_state"}},
        {"confirmed by no consumer",
         [](Run &run) { return word(run.ask(request::Confirm{sha256(run.receipt)}, alice)); },
         {"wrong_state", "wrong_role", "wrong_role", "wrong_role", "wrong_role", "wrong_role", "wrong_role",
          "wrong_role", "wrong_state"}},
        {"a turn",
         [](Run &run) {
             run.computation.turn();
             return std::string{name(run.computation.state())};
         },
         {"waiting-manifest", "waiting-inputs", "running", "running", "result", "result", "done", "failed", "stopped"}},
        {"a stop",
         [](Run &run) {
             run.computation.stop();
             return std::string{name(run.computation.state())};
         },
         {"stopped", "stopped", "stopped", "stopped", "stopped", "stopped", "stopped", "stopped", "stopped"}},
    };
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < std::size(states); ++i)
        for (const Happening &event : events) {
            Run run;
            states[i].enter(run);
            assert_true(run.computation.state() == states[i].state);
            const std::string got = event.make(run);
            if (got != event.wanted[i]) {
                print_error("%s, %s: %s instead of %s\n", states[i].name, event.name, got.c_str(),
                            std::string{event.wanted[i]}.c_str());
                ++wrong;
            }
        }
    assert_int_equal(wrong, 0);
}

// ---- manifest -------------------------------------------------------------------------------------------------

static void host_data_lets_in_one_manifest_only(void **) {
    Run run;
    assert_true(!run.computation.manifest_digest());
    run.source.host_data = manifest_digest(the_manifest);
    assert_true(run.failure(request::Manifest{other_manifest()}, alice) == PeerErrc::manifest_mismatch);
    assert_true(run.computation.state() == RunState::waiting_manifest && !run.computation.manifest_digest());
    run.agree();
    assert_true(run.computation.manifest_digest() == manifest_digest(the_manifest));
    const auto events = run.events();
    assert_true(events.size() == 2 && events[0] == violation(ViolationRule::wrong_manifest, "manifest") &&
                events[1] == Event{event::Manifest{manifest_digest(the_manifest)}});
}

static void without_host_data_the_first_manifest_holds_for_the_boot(void **) {
    Run run;
    run.agree();
    assert_true(run.failure(request::Manifest{other_manifest()}, std::nullopt) == PeerErrc::exists);
    assert_true(!run.failure(request::Manifest{the_manifest}, std::nullopt));
    assert_true(run.events().size() == 2); // accepted once, refused once
}

static void a_manifest_that_cannot_be_kept_is_refused(void **) {
    Run none{false};
    assert_true(none.failure(request::Manifest{the_manifest}, alice) == PeerErrc::not_available);
    Run silent;
    silent.source.error = Error{Errc::timed_out, "receive"};
    assert_true(silent.failure(request::Manifest{the_manifest}, alice) == PeerErrc::not_available);
    silent.source.error.reset();
    assert_true(!silent.failure(request::Manifest{the_manifest}, alice)); // asked for again
    Run small;
    small.store.room = memory_bound(manifest_value()) - 1;
    assert_true(small.failure(request::Manifest{the_manifest}, alice) == PeerErrc::full);
    small.store.room = memory_bound(manifest_value());
    small.store.fail_with = Error{Errc::system, "store.mount", 1};
    assert_true(small.failure(request::Manifest{the_manifest}, alice) == PeerErrc::internal);
    assert_true(small.computation.state() == RunState::waiting_manifest && small.events().empty());
    small.store.fail_with.reset();
    assert_true(!small.failure(request::Manifest{the_manifest}, alice));
}

// ---- inputs ---------------------------------------------------------------------------------------------------

static void an_input_comes_in_pieces_and_goes_on_where_it_was(void **) {
    Run run;
    run.agree();
    const ByteView csv{left_csv};
    assert_true(!run.failure(Run::piece("data/left", 0, csv.first(4)), bob));
    assert_true(run.failure(Run::piece("data/left", 5, csv.subspan(5)), bob) == PeerErrc::wrong_offset);
    assert_true(run.failure(Run::piece("data/left", 3, csv.subspan(3)), bob) == PeerErrc::wrong_offset);
    const auto status = run.status(bob); // on another connection
    assert_true(status.items.size() == 3 && status.items[0].item == "algorithm" &&
                status.items[1] == (response::ItemStatus{"data/left", 4, false}));
    const Response rest = run.ask(Run::piece("data/left", 4, csv.subspan(4)), bob);
    assert_int_equal(std::get<response::PutOk>(rest).received, csv.size());
    assert_true(run.failure(request::PutEnd{"data/left", csv.size() - 1}, bob) == PeerErrc::wrong_offset);
    const Response stored = run.ask(request::PutEnd{"data/left", csv.size()}, bob);
    assert_true(std::get<response::Stored>(stored).digest == sha256(left_csv));
    assert_true(run.store.items[1] == left_csv && run.store.sealed[1] && !run.store.sealed[0]);
    assert_true(run.events().back() == received("data/left"));
    assert_true(run.status(dave).items[1] == (response::ItemStatus{"data/left", csv.size(), true}));
}

static void a_first_piece_again_begins_anew(void **) {
    Run run;
    run.agree();
    assert_true(!run.failure(Run::piece("data/left", 0, as_bytes("wrong")), bob));
    run.put("data/left", left_csv, bob);
    assert_true(run.store.items[1] == left_csv);
    // and one that is complete stays as it is: a replay changes nothing
    assert_true(run.failure(Run::piece("data/left", 0, as_bytes("x")), bob) == PeerErrc::exists);
    assert_true(run.failure(Run::piece("data/left", left_csv.size(), as_bytes("x")), bob) == PeerErrc::exists);
    assert_true(run.store.items[1] == left_csv);
}

static void other_bytes_than_the_manifest_names_are_not_kept(void **) {
    Run run;
    run.agree();
    Bytes wrong = left_csv;
    wrong.back() ^= std::byte{1};
    assert_true(!run.failure(Run::piece("data/left", 0, wrong), bob));
    assert_true(run.failure(request::PutEnd{"data/left", wrong.size()}, bob) == PeerErrc::digest_mismatch);
    assert_true(run.store.items[1].empty() && !run.store.sealed[1]);
    assert_true(run.status(bob).items[1] == (response::ItemStatus{"data/left", 0, false}));
    assert_true(run.events().back() == violation(ViolationRule::digest_mismatch, "data/left"));
    run.put("data/left", left_csv, bob); // and it can be put right
    assert_true(run.failure(request::PutEnd{"algorithm", 0}, alice) == PeerErrc::digest_mismatch);
}

static void more_than_the_manifest_allows_is_not_kept(void **) {
    Run run;
    run.agree();
    assert_true(!run.failure(Run::piece("data/left", 0, Bytes(100)), bob));
    assert_true(run.failure(Run::piece("data/left", 100, Bytes(1)), bob) == PeerErrc::too_large);
    assert_true(run.store.items[1].empty() && run.status(bob).items[1].received == 0);
    assert_true(run.failure(Run::piece("data/left", 0, Bytes(101)), bob) == PeerErrc::too_large);
    run.store.fail_with = Error{Errc::system, "store.append", 28};
    assert_true(run.failure(Run::piece("data/left", 0, Bytes(100)), bob) == PeerErrc::full);
    assert_true(run.status(bob).items[1].received == 0);
}

static void nobody_acts_in_anothers_role(void **) {
    Run run;
    run.agree();
    for (const auto &[item, owner] : {std::pair{"algorithm", &alice}, {"data/left", &bob}, {"data/right", &dave}})
        for (const PublicKey *key : {&alice, &bob, &carol, &dave})
            if (key != owner) {
                assert_true(run.failure(Run::piece(item, 0, as_bytes("x")), *key) == PeerErrc::wrong_role);
                assert_true(run.failure(request::PutEnd{item, 0}, *key) == PeerErrc::wrong_role);
                assert_true(run.events().back() == violation(ViolationRule::wrong_role, item));
            }
    for (const std::optional<PublicKey> &key : {std::optional{stranger}, std::optional<PublicKey>{}}) {
        assert_true(run.failure(Run::piece("data/left", 0, as_bytes("x")), key) == PeerErrc::not_a_party);
        assert_true(run.failure(request::PutEnd{"data/left", 0}, key) == PeerErrc::not_a_party);
        assert_true(run.failure(request::Get{"log", 0}, key) == PeerErrc::not_a_party);
        assert_true(run.failure(request::Confirm{}, key) == PeerErrc::not_a_party);
        assert_true(run.failure(request::Status{}, key) == PeerErrc::not_a_party);
    }
    assert_true(run.failure(Run::piece("data/middle", 0, as_bytes("x")), bob) == PeerErrc::unknown_item);
    for (const response::ItemStatus &item : run.status(alice).items)
        assert_true(item.received == 0 && !item.complete);
}

// ---- run ------------------------------------------------------------------------------------------------------

static void the_run_begins_when_the_last_input_is_complete(void **) {
    Run run;
    run.agree();
    assert_true(!run.computation.deadline_ms() && run.computation.fds() == (std::array{-1, -1}));
    run.put("data/left", left_csv, bob);
    run.put("data/right", right_csv, dave);
    run.computation.turn();
    assert_true(!run.sandbox.job && !run.computation.deadline_ms());
    run.put("algorithm", program, alice);
    assert_true(run.computation.deadline_ms() == 0);
    run.computation.turn();
    assert_true(run.sandbox.job && run.computation.state() == RunState::running);
    const SandboxJob &job = *run.sandbox.job;
    assert_true(job.program_fd == 77 && job.argv == (std::vector<std::string>{"algorithm", "--by", "id"}));
    assert_true(job.env == std::vector<std::string>{"LEVEL=1"} && std::string_view{job.inputs_dir} == "/fake/in");
    assert_true(job.limits == manifest_value().algorithm.limits);
    assert_true(run.computation.fds() == (std::array{5, 6}) && run.computation.deadline_ms() == 1234);
    assert_true(run.events().back() == Event{event::Start{sha256(program)}});
}

static void a_run_without_a_result_says_why(void **) {
    struct Case {
        std::function<void(Run &)> end;
        std::string_view reason;
        bool by_program = true; // then it is for consumers
    };
    const Case cases[] = {
        {[](Run &run) { run.end(FakeSandbox::ended(3 << 8)); }, "the program ended with exit status 3"},
        {[](Run &run) { run.end(FakeSandbox::ended(SIGSYS)); }, "the program was ended by signal 31"},
        {[](Run &run) { run.end(FakeSandbox::ended(SIGKILL, Ended::wall_limit)); }, "the program ran longer than 3 s"},
        {[](Run &run) { run.end(FakeSandbox::ended(SIGKILL, Ended::cpu_limit)); },
         "the program used more than 2 s of CPU time"},
        {[](Run &run) { run.end(FakeSandbox::ended(SIGKILL, Ended::memory_limit)); },
         "the program used more than 8 MiB of memory"},
        {[](Run &run) {
             run.sandbox.tick_error = Error{Errc::system, "sandbox.watch", 5};
             run.computation.turn();
         },
         "the run could not be watched: sandbox.watch failed in the operating system (5)", false},
        {[](Run &run) {
             run.sandbox.outputs_error = Error{Errc::unsupported, "output.kind"};
             run.end(FakeSandbox::ended(0));
         },
         "the output is refused: output.kind is of a kind this version does not support"},
        {[](Run &run) {
             run.sandbox.files = {{"a", Bytes(5)}};
             run.sandbox.read_error = Error{Errc::truncated, "output.read"};
             run.end(FakeSandbox::ended(0));
             run.computation.turn();
         },
         "the output cannot be read: output.read ends too early", false},
    };
    for (const Case &c : cases) {
        Run run;
        run.start();
        run.sandbox.written = to_bytes(as_bytes("oh\n"));
        c.end(run);
        const auto status = run.status(bob);
        if (!status.reason || *status.reason != c.reason)
            print_error("%s\n", status.reason.value_or("none").c_str());
        assert_true(status.state == RunState::failed && status.reason == c.reason && !status.outputs);
        // to those who get no result, and to whoever reads the log, no more than that there is none
        const std::string told{c.by_program ? "the program gave no result" : c.reason};
        assert_true(run.events().back() == Event{event::RunFailed{told}});
        assert_true(run.status(alice).reason == told && !run.status(alice).wait_status);
        assert_true(run.sandbox.cleans == 1 && run.store.items.empty()); // nothing is kept
        assert_true(!run.status(carol).outputs);
    }
    Run never;
    never.agree();
    never.put_all();
    never.sandbox.start_error = Error{Errc::system, "sandbox.clone", 12};
    never.computation.turn();
    assert_true(never.status(alice).reason == "the program could not be started: sandbox.clone failed in the "
                                              "operating system (12)");
}

// ---- result ---------------------------------------------------------------------------------------------------

static void a_result_is_for_consumers_only(void **) {
    Run run;
    run.give_result();
    assert_true(run.store.items.empty()); // inputs are wiped as soon as the program has ended
    const Bytes join = to_bytes(as_bytes("id,age,pay\n1,30,5\n"));
    const std::vector<response::OutputFile> files = {{.name = "Join.csv", .size = join.size(), .sha256 = sha256(join)},
                                                     {.name = "empty", .size = 0, .sha256 = sha256({})}};
    const auto status = run.status(carol);
    assert_true(status.state == RunState::result && status.outputs == files && status.wait_status == 0);
    assert_true(!run.status(alice).outputs && run.status(alice).state == RunState::result);
    assert_true(run.get("output/Join.csv", carol) == join && run.get("output/empty", bob).empty());
    assert_true(run.get("log", bob) == to_bytes(as_bytes("joined 1 row\n")));
    const Response middle = run.ask(request::Get{"output/Join.csv", 3}, carol);
    assert_true(equal(std::get<response::Data>(middle).data, ByteView{join}.subspan(3)) &&
                std::get<response::Data>(middle).total == join.size());
    assert_true(run.failure(request::Get{"output/Join.csv", join.size() + 1}, carol) == PeerErrc::wrong_offset);
    assert_true(run.failure(request::Get{"output/other", 0}, carol) == PeerErrc::unknown_item);
    for (const char *name : {"output/Join.csv", "log", "receipt"})
        for (const PublicKey &key : {alice, dave}) {
            assert_true(run.failure(request::Get{name, 0}, key) == PeerErrc::wrong_role);
            assert_true(run.events().back() == violation(ViolationRule::wrong_role, name));
        }
}

static void a_large_result_is_hashed_in_turns_and_given_in_pieces(void **) {
    Run run;
    run.start();
    Bytes big(hashed_per_turn * 2 + 5);
    for (std::size_t i = 0; i < big.size(); ++i)
        big[i] = static_cast<std::byte>(i % 251);
    run.sandbox.files = {{"a", big}, {"b", Bytes(1)}};
    run.sandbox.truncated = true;
    run.sandbox.written = Bytes(3, std::byte{'x'});
    run.end(FakeSandbox::ended(0));
    unsigned turns = 0;
    for (; run.computation.state() == RunState::running; ++turns) {
        assert_true(run.computation.deadline_ms() == 0 && run.computation.fds() == (std::array{-1, -1}));
        run.computation.turn();
    }
    assert_int_equal(turns, 3);
    assert_true(run.status(bob).outputs->at(0).sha256 == sha256(big));
    assert_true(as_text(run.get("log", bob)) == "xxx\n[truncated]\n");
    Bytes got;
    while (got.size() < big.size()) {
        const Response response = run.ask(request::Get{"output/a", got.size()}, bob);
        const auto &data = std::get<response::Data>(response);
        assert_true(data.total == big.size() && !data.data.empty() && data.data.size() <= max_data_size);
        got.insert(got.end(), data.data.begin(), data.data.end());
    }
    assert_true(got == big);
    const Response end = run.ask(request::Get{"output/a", big.size()}, bob);
    assert_true(std::get<response::Data>(end).data.empty());
}

static void the_result_goes_when_every_consumer_has_it(void **) {
    Run run;
    run.give_result();
    assert_true(run.failure(request::Confirm{sha256({})}, carol) == PeerErrc::wrong_state); // no receipt yet
    const Bytes receipt = run.get("receipt", carol);
    assert_true(!run.failure(request::Confirm{sha256(receipt)}, carol));
    assert_true(!run.failure(request::Confirm{sha256(receipt)}, carol)); // again: an answer was lost
    assert_true(run.computation.state() == RunState::result && run.sandbox.cleans == 0);
    assert_true(run.get("receipt", bob) == receipt); // the same for everybody
    assert_true(!run.failure(request::Confirm{sha256(receipt)}, bob));
    assert_true(run.computation.state() == RunState::done && run.sandbox.cleans == 1);
    assert_true(run.events().back() == Event{event::ResultTaken{}});
    assert_true(!run.status(bob).outputs);
}

// ---- receipt --------------------------------------------------------------------------------------------------

static void a_receipt_says_what_ran_on_what_and_gave_what(void **) {
    Run run;
    run.give_result();
    run.source.error = Error{Errc::timed_out, "receive"};
    assert_true(run.failure(request::Get{"receipt", 0}, carol) == PeerErrc::not_available);
    run.source.error.reset();
    const Bytes bytes = run.get("receipt", carol);
    const auto receipt = parse_receipt(bytes);
    assert_true(receipt.has_value());
    const ReceiptBody &body = receipt->body;
    assert_true(body.manifest == manifest_digest(the_manifest) && body.program == sha256(program));
    assert_true(body.datasets == (std::vector<ReceiptDataset>{{.name = "left", .sha256 = sha256(left_csv)},
                                                              {.name = "right", .sha256 = sha256(right_csv)}}));
    assert_true(body.output == output_digest(*run.status(bob).outputs) && body.wait_status == 0);
    assert_true(body.log == sha256(as_bytes("joined 1 row\n")) && body.runtime_log == run.log.head());
    const auto evidence = parse_evidence(receipt->evidence);
    const auto claims = parse_claims(evidence->claims);
    assert_true(claims->key == identity().public_key() && !claims->exporter);
    assert_true(claims->nonce == to_bytes(sha256(receipt->body_bytes)));
    const auto report = parse_snp_report(evidence->report);
    assert_true(report->report_data == report_data_for(evidence->claims));
    assert_true(evidence->runtime_log == run.log.log());
    const auto events = run.events();
    assert_true(std::ranges::contains(events, Event{event::Result{0}}));
}

static void a_receipt_with_any_bit_changed_is_refused(void **) {
    Run run;
    run.give_result();
    const Bytes bytes = run.get("receipt", carol);
    assert_true(parse_receipt(bytes).has_value());
    std::size_t accepted = 0;
    for (std::size_t at = 0; at < bytes.size(); at += at < 512 || at + 128 > bytes.size() ? 1 : 17) {
        Bytes changed = bytes;
        changed[at] ^= std::byte{0x10};
        accepted += parse_receipt(changed) ? 1 : 0;
    }
    assert_int_equal(accepted, 0);
    for (std::size_t size = 0; size < bytes.size(); size += 101)
        assert_false(parse_receipt(ByteView{bytes}.first(size)).has_value());
}

// Signed well by the right key, and still not one receipt.
static void a_receipt_whose_parts_do_not_belong_together_is_refused(void **) {
    Run run;
    run.give_result();
    const auto real = parse_receipt(run.get("receipt", carol));
    assert_true(real.has_value());
    const auto random = [](void *, unsigned char *out, std::size_t size) {
        std::fill_n(out, size, static_cast<unsigned char>(7));
        return 0;
    };
    const auto evidence_of = [&](auto change) {
        auto evidence = parse_evidence(real->evidence);
        auto claims = parse_claims(evidence->claims);
        change(*claims);
        evidence->claims = encode_claims(*claims);
        return encode_evidence(*evidence);
    };
    const auto refusal = [&](ByteView body, ByteView evidence) {
        const auto made = make_receipt(body, evidence, identity().key(), random, nullptr);
        const auto parsed = parse_receipt(*made);
        return parsed ? std::string_view{} : parsed.error().where;
    };
    assert_true(refusal(real->body_bytes, real->evidence).empty());
    ReceiptBody other = real->body;
    other.output = filled<32>(0xee);
    assert_true(refusal(encode_receipt_body(other), real->evidence) == "receipt.nonce");
    assert_true(refusal(real->body_bytes, evidence_of([](Claims &c) { c.exporter = filled<32>(1); })) ==
                "receipt.exporter");
    assert_true(refusal(real->body_bytes, evidence_of([](Claims &c) { c.manifest = filled<32>(1); })) ==
                "receipt.manifest");
    assert_true(refusal(real->body_bytes, evidence_of([](Claims &c) { c.manifest.reset(); })) == "receipt.manifest");
    assert_true(refusal(real->body_bytes, evidence_of([](Claims &c) { c.runtime_log = filled<48>(1); })) ==
                "receipt.runtime_log");
    // a key of somebody else in the claims: it did not sign
    assert_false(refusal(real->body_bytes, evidence_of([](Claims &c) { c.key = alice; })).empty());
}

static void a_receipt_body_is_written_and_read_as_typed(void **) {
    const ReceiptBody body{
        .manifest = filled<32>(0xa1),
        .program = filled<32>(0xa2),
        .datasets = {{.name = "left", .sha256 = filled<32>(0xa3)}, {.name = "right", .sha256 = filled<32>(0xa4)}},
        .output = filled<32>(0xa5),
        .log = filled<32>(0xa6),
        .wait_status = 0,
        .runtime_log = filled<48>(0xa7)};
    const auto digest = [](const char *digits) { return "5820" + repeat(digits, 32); };
    const std::string head = "a8 01 01 02" + digest("a1") + "03" + digest("a2") + "04",
                      left = "82 64 6c656674" + digest("a3"), right = "82 65 7269676874" + digest("a4"),
                      tail = "05" + digest("a5") + "06" + digest("a6") + "07 00 08 5830" + repeat("a7", 48);
    const Bytes typed = bytes_of(head + "82" + left + right + tail);
    assert_true(encode_receipt_body(body) == typed);
    const auto read = parse_receipt_body(typed);
    assert_true(read && *read == body);
    assert_int_equal(accepted_truncations(typed, parse_receipt_body), 0);
    const auto refused = [&](const std::string &text, Errc code) {
        return refused_with(parse_receipt_body(bytes_of(text)), code);
    };
    assert_true(refused(head + "82" + right + left + tail, Errc::malformed)); // out of order
    assert_true(refused(head + "82" + left + left + tail, Errc::malformed));
    assert_true(refused(head + "81 82 61 2e" + digest("a3") + tail, Errc::out_of_range)); // "."
    assert_true(refused("a8 01 02" + (head + "80" + tail).substr(8), Errc::unsupported));
    assert_true(parse_receipt_body(bytes_of(head + "80" + tail)).has_value());
}

static void the_output_digest_is_of_what_is_typed(void **) {
    const std::vector<response::OutputFile> files = {{.name = "a", .size = 1, .sha256 = filled<32>(0xaa)},
                                                     {.name = "B", .size = 256, .sha256 = filled<32>(0xbb)}};
    assert_true(output_digest(files) ==
                sha256(bytes_of("82 83 6161 01 5820" + repeat("aa", 32) + "83 6142 190100 5820" + repeat("bb", 32))));
    assert_true(output_digest({}) == sha256(bytes_of("80")));
}

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(every_event_has_its_answer_in_every_state),
        cmocka_unit_test(host_data_lets_in_one_manifest_only),
        cmocka_unit_test(without_host_data_the_first_manifest_holds_for_the_boot),
        cmocka_unit_test(a_manifest_that_cannot_be_kept_is_refused),
        cmocka_unit_test(an_input_comes_in_pieces_and_goes_on_where_it_was),
        cmocka_unit_test(a_first_piece_again_begins_anew),
        cmocka_unit_test(other_bytes_than_the_manifest_names_are_not_kept),
        cmocka_unit_test(more_than_the_manifest_allows_is_not_kept),
        cmocka_unit_test(nobody_acts_in_anothers_role),
        cmocka_unit_test(the_run_begins_when_the_last_input_is_complete),
        cmocka_unit_test(a_run_without_a_result_says_why),
        cmocka_unit_test(a_result_is_for_consumers_only),
        cmocka_unit_test(a_large_result_is_hashed_in_turns_and_given_in_pieces),
        cmocka_unit_test(the_result_goes_when_every_consumer_has_it),
        cmocka_unit_test(a_receipt_says_what_ran_on_what_and_gave_what),
        cmocka_unit_test(a_receipt_with_any_bit_changed_is_refused),
        cmocka_unit_test(a_receipt_whose_parts_do_not_belong_together_is_refused),
        cmocka_unit_test(a_receipt_body_is_written_and_read_as_typed),
        cmocka_unit_test(the_output_digest_is_of_what_is_typed),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
