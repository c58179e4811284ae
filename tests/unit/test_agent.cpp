// The agent's logic with a faked world: requests and their errors, frames in any pieces, report sources, secrets.
#include "agent-min/emulator_source.hpp"
#include "agent-min/frame.hpp"
#include "agent-min/mounts.hpp"
#include "agent-min/transport.hpp"
#include "agent-min/tsm_source.hpp"
#include "common/evidence.hpp"
#include "tests/unit/agent_world.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <map>
#include <string>

#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace cvmin;
using namespace cvmin::agent;
using namespace cvmin::test;

// ---- service --------------------------------------------------------------------------------------------------

static void hello_says_who_it_is_and_when_it_started(void **) {
    World world;
    const auto response = world.ask(request::Hello{}, world.peer);
    const auto &hello = std::get<response::Hello>(response);
    assert_int_equal(hello.version, protocol_version);
    assert_true(hello.agent == "cvmin-agent " CVMIN_VERSION);
    assert_true(hello.report_source == "fake");
    assert_true(hello.start_us == 10 && hello.listening_us == 20 && hello.ready_us == 30);
}

static void evidence_binds_nonce_key_and_exporter_through_report_data(void **) {
    World world;
    const Bytes nonce = to_bytes(filled<48>(0xab));
    const auto response = world.ask(request::Attest{nonce}, world.peer);
    const auto evidence = parse_evidence(std::get<response::Evidence>(response).evidence);
    assert_true(evidence.has_value());
    const auto claims = parse_claims(evidence->claims);
    assert_true(claims && claims->nonce == nonce && claims->key == world.key);
    assert_true(claims->exporter == sha256(nonce)); // what the channel gave for this nonce
    assert_true(!claims->manifest && claims->ak == filled<32>(0xa1));
    const auto report = parse_snp_report(evidence->report);
    assert_true(report && report->report_data == sha512(evidence->claims));
    assert_true(evidence->certificates == bytes_of("c0ffee"));
}

static void attest_without_a_report_is_not_available_and_opens_nothing(void **) {
    World world;
    world.source.error = Error{Errc::timed_out, "receive"};
    assert_true(world.failure(request::Attest{Bytes(32)}, world.peer) == PeerErrc::not_available);
    assert_true(world.failure(World::put("k"), world.peer) == PeerErrc::not_attested);
}

static void attest_without_an_exporter_is_internal_and_asks_for_no_report(void **) {
    World world;
    world.channel.broken = true;
    assert_true(world.failure(request::Attest{Bytes(32)}, world.peer) == PeerErrc::internal);
    assert_true(all_zero(world.source.last));
}

static void secrets_are_taken_only_on_a_connection_that_has_taken_evidence(void **) {
    World world;
    assert_true(world.failure(World::put("k"), world.peer) == PeerErrc::not_attested);
    assert_true(world.failure(request::SecretDigest{"k"}, world.peer) == PeerErrc::not_attested);
    assert_int_equal(world.secrets.size(), 0);
    world.attest(world.other); // another connection's evidence is not this one's
    assert_true(world.failure(World::put("k"), world.peer) == PeerErrc::not_attested);
    world.attest(world.peer);
    const auto stored = world.ask(World::put("k"), world.peer);
    assert_true(std::get<response::Stored>(stored).digest == sha256(as_bytes("s3cret")));
    const auto digest = world.ask(request::SecretDigest{"k"}, world.peer);
    assert_true(std::get<response::Stored>(digest).digest == sha256(as_bytes("s3cret")));
}

static void digests_are_told_only_to_the_connection_that_put_them(void **) {
    World world;
    world.attest(world.peer);
    world.attest(world.other);
    world.ask(World::put("k"), world.peer);
    assert_true(world.failure(request::SecretDigest{"k"}, world.other) == PeerErrc::unknown_name);
    assert_true(world.failure(request::SecretDigest{"never"}, world.peer) == PeerErrc::unknown_name);
}

static void a_secret_cannot_be_replaced_by_anybody(void **) {
    World world;
    world.attest(world.peer);
    world.attest(world.other);
    world.ask(World::put("k", "first"), world.peer);
    assert_true(world.failure(World::put("k", "second"), world.peer) == PeerErrc::exists);
    assert_true(world.failure(World::put("k", "second"), world.other) == PeerErrc::exists);
    const auto digest = world.ask(request::SecretDigest{"k"}, world.peer);
    assert_true(std::get<response::Stored>(digest).digest == sha256(as_bytes("first")));
}

static void the_same_secret_again_is_stored_for_whoever_puts_it(void **) {
    World world;
    world.attest(world.peer);
    world.ask(World::put("k"), world.peer);
    world.ask(World::put("l", "another"), world.peer);
    assert_true(world.failure(World::put("k"), world.other) == PeerErrc::not_attested);
    world.attest(world.other);
    for (Peer *from : {&world.other, &world.other, &world.peer}) {
        const auto again = world.ask(World::put("k"), *from);
        assert_true(std::get<response::Stored>(again).digest == sha256(as_bytes("s3cret")));
        const auto digest = world.ask(request::SecretDigest{"k"}, *from);
        assert_true(std::get<response::Stored>(digest).digest == sha256(as_bytes("s3cret")));
    }
    assert_true(world.failure(request::SecretDigest{"l"}, world.other) == PeerErrc::unknown_name);
    assert_int_equal(world.secrets.size(), 2);
    assert_int_equal(world.pages.taken, 2);
    // the start of it, more than it, and one letter off are not it
    for (const std::string_view wrong : {"s3cre", "s3cret!", "s3creu"}) {
        Peer stranger{.channel = world.channel};
        world.attest(stranger);
        assert_true(world.failure(World::put("k", wrong), stranger) == PeerErrc::exists);
        assert_true(world.failure(request::SecretDigest{"k"}, stranger) == PeerErrc::unknown_name);
    }
}

static void a_full_store_still_knows_what_it_holds(void **) {
    World world;
    world.attest(world.peer);
    for (std::size_t i = 0; i < max_secrets; ++i)
        world.ask(World::put("k" + std::to_string(i)), world.peer);
    world.attest(world.other);
    assert_true(world.failure(World::put("k" + std::to_string(max_secrets - 1)), world.other) == std::nullopt);
    assert_true(world.failure(World::put("one-more"), world.other) == PeerErrc::full);
}

static void a_connection_that_guesses_is_closed_after_three(void **) {
    World world;
    world.attest(world.peer);
    world.ask(World::put("k"), world.peer);
    world.attest(world.other);
    for (unsigned i = 1; i <= 3; ++i) {
        const Bytes guess = encode_request(World::put("k", "guess" + std::to_string(i)));
        const Reply reply = world.service.handle(guess, world.other);
        assert_true(std::get<response::Failure>(reply.response).code == PeerErrc::exists);
        assert_true(reply.close == (i == 3) && !reply.stop);
    }
    const Reply right = world.service.handle(encode_request(World::put("k")), world.peer);
    assert_true(std::holds_alternative<response::Stored>(right.response) && !right.close);
}

static void a_name_that_was_guessed_at_too_often_tells_nobody_any_more(void **) {
    World world;
    world.attest(world.peer);
    world.ask(World::put("k"), world.peer);
    world.ask(World::put("l"), world.peer);
    for (unsigned i = 0; i < 16; ++i) {
        Peer guesser{.channel = world.channel}; // a new connection each time
        world.attest(guesser);
        assert_true(world.failure(World::put("k"), guesser) == std::nullopt); // still told
        assert_true(world.failure(World::put("k", std::to_string(i)), guesser) == PeerErrc::exists);
        assert_true(world.failure(World::put("l"), guesser) == std::nullopt); // not counted
    }
    world.attest(world.other);
    assert_true(world.failure(World::put("k"), world.other) == PeerErrc::exists);
    assert_true(world.failure(World::put("l"), world.other) == std::nullopt);
    const auto digest = world.ask(request::SecretDigest{"k"}, world.peer); // who put it keeps it
    assert_true(std::get<response::Stored>(digest).digest == sha256(as_bytes("s3cret")));
}

static void a_passport_is_taken_only_on_a_connection_that_has_taken_evidence(void **) {
    World world;
    assert_true(world.failure(request::PassportPut{bytes_of("a1")}, world.peer) == PeerErrc::not_attested);
    assert_true(world.failure(request::PassportGet{}, world.peer) == PeerErrc::not_available); // it was not kept
    world.attest(world.other); // another connection's evidence is not this one's
    assert_true(world.failure(request::PassportPut{bytes_of("a1")}, world.peer) == PeerErrc::not_attested);
    world.attest(world.peer);
    const auto stored = world.ask(request::PassportPut{bytes_of("a1")}, world.peer);
    assert_true(std::get<response::Stored>(stored).digest == sha256(bytes_of("a1")));
}

static void the_newest_passport_is_given_to_anybody_as_it_was_put(void **) {
    World world;
    world.attest(world.peer);
    world.attest(world.other);
    const Bytes largest(max_passport_size, std::byte{0xff}); // nobody reads it here
    for (const auto &[from, result] :
         {std::pair{&world.peer, bytes_of("00")}, {&world.other, largest}, {&world.peer, bytes_of("a1b2")}}) {
        const auto stored = world.ask(request::PassportPut{result}, *from);
        assert_true(std::get<response::Stored>(stored).digest == sha256(result));
        for (int i = 0; i < 2; ++i) { // it stays
            Peer stranger{.channel = world.channel};
            const auto got = world.ask(request::PassportGet{}, stranger);
            assert_true(std::get<response::Passport>(got).result == result);
        }
    }
}

static void a_passport_that_is_too_large_ends_the_connection_and_replaces_nothing(void **) {
    World world;
    world.attest(world.peer);
    world.ask(request::PassportPut{bytes_of("a1")}, world.peer);
    for (const std::size_t size : {std::size_t{0}, max_passport_size + 1}) {
        const Reply reply = world.service.handle(encode_request(request::PassportPut{Bytes(size)}), world.peer);
        assert_true(std::get<response::Failure>(reply.response).code == PeerErrc::bad_request && reply.close);
    }
    const auto got = world.ask(request::PassportGet{}, world.other);
    assert_true(std::get<response::Passport>(got).result == bytes_of("a1"));
}

static void having_the_passport_counts_like_having_evidence(void **) {
    World world;
    assert_true(world.failure(request::PassportGet{}, world.other) == PeerErrc::not_available);
    assert_true(world.failure(World::put("k"), world.other) == PeerErrc::not_attested); // there was none to look at
    world.attest(world.peer);
    world.ask(request::PassportPut{bytes_of("a1")}, world.peer);
    assert_true(world.failure(World::put("k"), world.other) == PeerErrc::not_attested); // nor has it looked now
    world.ask(request::PassportGet{}, world.other);
    const auto stored = world.ask(World::put("k"), world.other);
    assert_true(std::get<response::Stored>(stored).digest == sha256(as_bytes("s3cret")));
    assert_true(world.failure(request::PassportPut{bytes_of("a2")}, world.other) == std::nullopt);
    Peer stranger{.channel = world.channel};
    assert_true(world.failure(request::SecretDigest{"k"}, stranger) == PeerErrc::not_attested);
}

static void the_store_is_full_after_max_secrets(void **) {
    World world;
    world.attest(world.peer);
    for (std::size_t i = 0; i < max_secrets; ++i)
        assert_true(world.failure(World::put("k" + std::to_string(i)), world.peer) == std::nullopt);
    assert_true(world.failure(World::put("one-more"), world.peer) == PeerErrc::full);
    assert_int_equal(world.secrets.size(), max_secrets);
}

static void a_secret_without_locked_memory_is_refused_as_internal(void **) {
    World world;
    world.attest(world.peer);
    world.pages.empty = true;
    assert_true(world.failure(World::put("k"), world.peer) == PeerErrc::internal);
    assert_int_equal(world.secrets.size(), 0);
}

static void wiped_secrets_are_zero_before_their_pages_go_back(void **) {
    World world;
    world.attest(world.peer);
    world.ask(World::put("a"), world.peer);
    world.ask(World::put("b"), world.peer);
    assert_int_equal(world.pages.taken, 2);
    world.secrets.wipe();
    assert_int_equal(world.pages.taken, 0);
    assert_true(world.pages.given_back_wiped);
    assert_true(world.failure(request::SecretDigest{"a"}, world.peer) == PeerErrc::unknown_name);
}

static void locked_pages_hold_what_is_put(void **) {
    LockedPages pages;
    SecretStore store{pages};
    SecretStore::Holdings holdings;
    const auto put = store.put("k", Secret{Bytes(max_secret_size, std::byte{7})}, holdings);
    assert_true(put && *put == sha256(Bytes(max_secret_size, std::byte{7})));
    assert_true(store.digest("k", holdings) == put);
}

static void malformed_requests_are_answered_and_end_the_connection(void **) {
    World world;
    const Bytes unknown = bytes_of("a1 00 6a 6765742d736563726574"); // {0: "get-secret"}
    for (const Bytes &bad : {Bytes{}, bytes_of("ff"), unknown, Bytes(5000)}) {
        const Reply reply = world.service.handle(bad, world.peer);
        assert_true(std::get<response::Failure>(reply.response).code == PeerErrc::bad_request);
        assert_true(reply.close && !reply.stop);
        assert_true(parse_response(encode_response(reply.response)).has_value());
    }
}

static void stop_answers_first(void **) {
    World world;
    const Reply reply = world.service.handle(encode_request(request::Stop{}), world.peer);
    assert_true(std::holds_alternative<response::Stopping>(reply.response));
    assert_true(reply.stop && reply.close);
}

// ---- frames ---------------------------------------------------------------------------------------------------

// Feeds `stream` in pieces of `piece` bytes; the messages that came out, or nothing after a refusal.
static std::optional<std::vector<Bytes>> feed(ByteView stream, std::size_t piece, std::size_t limit) {
    FrameReader frame(limit);
    std::vector<Bytes> messages;
    while (!stream.empty()) {
        ByteView part = stream.first(std::min(piece, stream.size()));
        stream = stream.subspan(part.size());
        while (!part.empty()) {
            const MutableBytes room = frame.room();
            const std::size_t count = std::min(room.size(), part.size());
            std::ranges::copy(part.first(count), room.begin());
            part = part.subspan(count);
            const auto whole = frame.filled(count);
            if (!whole)
                return std::nullopt;
            if (*whole) {
                messages.push_back(to_bytes(frame.message()));
                frame.reset();
            }
        }
    }
    return messages;
}

static void frames_come_whole_out_of_every_split(void **) {
    const Bytes stream = bytes_of("00000003 010203 00000001 ff 0000000c 0102030405060708090a0b0c");
    const std::vector<Bytes> wanted{bytes_of("010203"), bytes_of("ff"), bytes_of("0102030405060708090a0b0c")};
    for (std::size_t piece = 1; piece <= stream.size(); ++piece)
        assert_true(feed(stream, piece, 100) == wanted);
}

static void frames_of_length_zero_or_above_the_limit_are_refused(void **) {
    assert_true(feed(bytes_of("00000000"), 1, 100) == std::nullopt);
    assert_true(feed(bytes_of("00000065"), 4, 100) == std::nullopt);
    assert_true(feed(bytes_of("ffffffff"), 4, max_request_size) == std::nullopt);
    const auto at_limit = feed(bytes_of("00000064" + repeat("aa", 100)), 7, 100);
    assert_true(at_limit && at_limit->size() == 1);
}

// ---- transport ------------------------------------------------------------------------------------------------

namespace {
class EndlessTransport final : public Transport { // a peer that always has something
  public:
    Progress send(ByteView bytes) override { return {Io::done, bytes.size()}; }
    Progress receive(MutableBytes out) override { return {Io::done, out.size()}; }
};
} // namespace

static void a_turn_ends_after_so_many_reads_or_bytes(void **) {
    EndlessTransport endless;
    TurnTransport transport{endless};
    Bytes out(20'000);
    auto turn = [&](std::size_t piece) { // reads and bytes until it has enough
        std::pair<int, std::size_t> got{};
        transport.renew();
        for (;;) {
            const Progress progress = transport.receive(MutableBytes{out}.first(piece));
            if (progress.io == Io::want_read || got.first > 100'000)
                return got;
            ++got.first;
            got.second += progress.bytes;
        }
    };
    for (int again = 0; again < 2; ++again) {
        assert_true(turn(1) == std::pair(256, std::size_t{256}));
        assert_true(turn(20'000) == std::pair(4, std::size_t{65'536})); // the last one short
    }
    assert_true(transport.receive(out).io == Io::want_read);
    assert_true(transport.send(out).io == Io::done); // replies are not held back
}

// ---- configfs-tsm ---------------------------------------------------------------------------------------------

namespace {

// A directory tree that behaves as the kernel's: generation counts writes, outblob follows inblob.
class FakeTree final : public TsmTree {
  public:
    FakeTree() {
        char name[] = "/tmp/cvmin-tsm-XXXXXX";
        if (::mkdtemp(name) == nullptr)
            abort();
        root_ = name;
        files_ = std::make_unique<ConfigfsTree>(root_);
    }
    FakeTree(const FakeTree &) = delete;
    FakeTree &operator=(const FakeTree &) = delete;
    ~FakeTree() {
        remove("cvmin");
        ::rmdir(root_.c_str());
    }

    int make_errno = 0; // what mkdir answers, 0: it works
    std::string provider = "sev_guest\n";
    std::string floor = "0\n"; // empty: no such attribute
    std::string aux = "table"; // empty: no such attribute
    int races = 0;             // so many reads of outblob are followed by somebody's write
    int busy_reads = 0;        // so many reads of outblob answer busy_errno
    int busy_errno = EBUSY;
    bool stale = false;          // outblob answers another request's data
    std::string generation_text; // not empty: what generation says instead
    int made = 0, removed = 0, attempts = 0;

    Result<void> make(const char *entry) override {
        if (make_errno != 0)
            return cvmin::fail(Errc::system, "tsm.entry", static_cast<std::uint64_t>(make_errno));
        CVMIN_CHECK(files_->make(entry));
        ++made;
        set("provider", provider);
        set("generation", "0\n");
        set("inblob", "");
        set("privlevel", "");
        if (!floor.empty())
            set("privlevel_floor", floor);
        if (!aux.empty())
            set("auxblob", aux);
        generation_ = 0;
        return {};
    }
    void remove(const char *entry) override {
        for (const char *file :
             {"provider", "generation", "inblob", "privlevel", "privlevel_floor", "auxblob", "outblob"})
            ::unlink((root_ + "/cvmin/" + file).c_str());
        files_->remove(entry);
        ++removed;
    }
    Result<Bytes> read(const char *entry, const char *attribute, std::size_t limit) override {
        const std::string_view name = attribute;
        if (name == "outblob") {
            ++attempts;
            if (busy_reads > 0) {
                --busy_reads;
                return cvmin::fail(Errc::system, "tsm.read", static_cast<std::uint64_t>(busy_errno));
            }
            const auto in = files_->read(entry, "inblob", 64);
            auto data = exactly<64>(*in, "inblob");
            if (stale)
                (*data)[0] ^= std::byte{1};
            set("outblob", as_text(report_with(*data)));
            if (races > 0) {
                --races;
                bump();
            }
        }
        if (name == "generation" && !generation_text.empty())
            return to_bytes(as_bytes(generation_text));
        return files_->read(entry, attribute, limit);
    }
    Result<void> write(const char *entry, const char *attribute, ByteView bytes) override {
        CVMIN_CHECK(files_->write(entry, attribute, bytes));
        written[attribute] = std::string{as_text(bytes)};
        bump();
        return {};
    }
    bool entry_is_there() const {
        struct stat info{};
        return ::stat((root_ + "/cvmin").c_str(), &info) == 0;
    }
    std::map<std::string, std::string> written;

  private:
    void bump() { set("generation", std::to_string(++generation_) + "\n"); }
    void set(const char *attribute, std::string_view text) {
        std::ofstream{root_ + "/cvmin/" + attribute, std::ios::binary | std::ios::trunc} << text;
    }
    std::string root_;
    std::unique_ptr<ConfigfsTree> files_;
    unsigned generation_ = 0;
};

Errc tsm_refusal(FakeTree &tree) {
    TsmSource source{tree};
    const auto report = source.report(filled<64>(0x5d));
    return report ? Errc::usage : report.error().code;
}

} // namespace

static void tsm_gives_report_and_certificates_and_cleans_up(void **) {
    FakeTree tree;
    TsmSource source{tree};
    assert_true(source.provider_present());
    const auto report = source.report(filled<64>(0x5d));
    assert_true(report && equal(report->report, report_with(filled<64>(0x5d))));
    assert_true(as_text(report->certificates) == "table");
    assert_true(tree.written["privlevel"] == "0");
    assert_true(tree.written["inblob"] == std::string(64, '\x5d'));
    assert_false(tree.entry_is_there());
}

static void tsm_asks_for_the_lowest_privilege_level_it_may(void **) {
    FakeTree tree;
    tree.floor = "2\n";
    assert_true(tsm_refusal(tree) == Errc::usage);
    assert_true(tree.written["privlevel"] == "2");
    FakeTree old;
    old.floor = ""; // kernels without the attribute
    assert_true(tsm_refusal(old) == Errc::usage);
    assert_int_equal(old.written.count("privlevel"), 0);
}

static void tsm_without_certificates_gives_none(void **) {
    FakeTree tree;
    tree.aux = "";
    TsmSource source{tree};
    const auto report = source.report(filled<64>(1));
    assert_true(report && report->certificates.empty());
}

static void tsm_tries_again_after_a_race_and_not_for_ever(void **) {
    FakeTree tree;
    tree.races = 2;
    assert_true(tsm_refusal(tree) == Errc::usage);
    assert_int_equal(tree.attempts, 3);
    FakeTree endless;
    endless.races = 1000;
    assert_true(tsm_refusal(endless) == Errc::busy);
    assert_int_equal(endless.attempts, max_tsm_attempts);
    assert_false(endless.entry_is_there());
}

static void tsm_tries_again_when_another_writer_is_at_work(void **) {
    for (const int error : {EBUSY, EWOULDBLOCK, EINTR}) {
        FakeTree tree;
        tree.busy_reads = max_tsm_attempts - 1;
        tree.busy_errno = error;
        assert_true(tsm_refusal(tree) == Errc::usage);
        FakeTree endless;
        endless.busy_reads = 1000;
        endless.busy_errno = error;
        assert_true(tsm_refusal(endless) == Errc::busy);
    }
    FakeTree broken;
    broken.busy_reads = 1;
    broken.busy_errno = EIO; // not contention: at once
    assert_true(tsm_refusal(broken) == Errc::system);
    assert_int_equal(broken.attempts, 1);
}

static void tsm_hands_on_no_report_but_its_own(void **) {
    FakeTree stale;
    stale.stale = true;
    assert_true(tsm_refusal(stale) == Errc::mismatch);
    FakeTree other;
    other.provider = "tdx_guest\n";
    assert_true(tsm_refusal(other) == Errc::unsupported);
    FakeTree odd;
    odd.generation_text = "1x\n";
    assert_true(tsm_refusal(odd) == Errc::malformed);
    FakeTree large;
    large.aux = std::string((64u << 10) + 1, 'x');
    assert_true(tsm_refusal(large) == Errc::too_large);
}

static void only_a_clear_no_counts_as_no_provider(void **) {
    for (const int error : {ENOENT, ENXIO}) {
        FakeTree tree;
        tree.make_errno = error;
        assert_false(TsmSource{tree}.provider_present());
    }
    for (const int error : {EBUSY, EACCES, EEXIST, ENOMEM}) {
        FakeTree tree;
        tree.make_errno = error;
        assert_true(TsmSource{tree}.provider_present());
    }
    ConfigfsTree nothing{"/nonexistent"};
    assert_false(TsmSource{nothing}.provider_present());
}

static void tsm_removes_what_was_left_over(void **) {
    FakeTree tree;
    const auto made = tree.make("cvmin"); // as if an earlier attempt had been killed
    assert_true(made.has_value());
    assert_true(tsm_refusal(tree) == Errc::usage);
}

// ---- emulated AMD-SP ------------------------------------------------------------------------------------------

namespace {

// Answers with what was prepared, over a socket pair; the clock makes a silent one time out at once.
class FakeLink final : public EmulatorLink {
  public:
    std::vector<Bytes> answers; // one per connection: raw bytes; empty: closes
    std::vector<Bytes> asked;
    bool silent = false;

    Result<Fd> connect(std::uint64_t) override {
        int ends[2];
        if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) != 0)
            return os_error("socketpair");
        peers_.emplace_back(ends[1]);
        if (!answers.empty()) {
            const Bytes answer = answers.front();
            answers.erase(answers.begin());
            if (::send(ends[1], answer.data(), answer.size(), 0) < 0)
                return os_error("send");
            ::shutdown(ends[1], SHUT_WR);
        } else if (!silent) {
            ::shutdown(ends[1], SHUT_WR);
        }
        return Fd{ends[0]};
    }
    Bytes request(std::size_t index) { // what came over connection `index`
        Bytes bytes(4096);
        const ssize_t got = ::recv(peers_.at(index).get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
        bytes.resize(static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
        return bytes;
    }

  private:
    std::vector<Fd> peers_;
};

Bytes framed(const Bytes &message) {
    Bytes frame = to_bytes(frame_header(message.size()));
    frame.insert(frame.end(), message.begin(), message.end());
    return frame;
}
Bytes answer(std::uint64_t sequence, const ByteArray<64> &data, SpStatus status = SpStatus::ok) {
    SpResponse response;
    response.sequence = sequence;
    response.status = status;
    if (status == SpStatus::ok) {
        response.report = report_with(data);
        response.certificates = bytes_of("c0de");
    }
    return framed(encode_sp_response(response));
}

} // namespace

static void the_emulator_is_asked_in_sequence(void **) {
    FakeLink link;
    FakeClock clock;
    EmulatorSource source{link, clock};
    const auto data = filled<64>(0x77);
    link.answers = {answer(2, data), answer(4, data)};
    const auto first = source.report(data);
    const auto second = source.report(data);
    assert_true(first && second && equal(first->report, report_with(data)) && first->certificates == bytes_of("c0de"));
    assert_true(link.request(0) == framed(encode_sp_request({.sequence = 1, .report_data = data, .vmpl = 0})));
    assert_true(link.request(1) == framed(encode_sp_request({.sequence = 3, .report_data = data, .vmpl = 0})));
}

static void a_silent_emulator_costs_its_timeout_and_no_more(void **) {
    FakeLink link;
    link.silent = true;
    FakeClock clock;
    clock.step_us = 300'000;
    const std::uint64_t before = clock.us;
    EmulatorSource source{link, clock};
    const auto report = source.report(filled<64>(1));
    assert_true(refused_with(report, Errc::timed_out));
    assert_true(clock.us - before <= (emulator_timeout_ms + 1000) * 1000);
}

static void wrong_answers_of_the_emulator_are_refused(void **) {
    const auto data = filled<64>(0x77);
    auto code = [&](Bytes raw) {
        FakeLink link;
        FakeClock clock;
        EmulatorSource source{link, clock};
        if (!raw.empty())
            link.answers = {std::move(raw)};
        const auto report = source.report(data);
        return report ? Errc::usage : report.error().code;
    };
    assert_true(code(answer(2, data)) == Errc::usage); // accepted
    assert_true(code({}) == Errc::unreachable);
    assert_true(code(answer(4, data)) == Errc::mismatch);
    assert_true(code(answer(1, data)) == Errc::mismatch);
    assert_true(code(answer(2, filled<64>(0x78))) == Errc::mismatch); // another request's report
    assert_true(code(answer(2, data, SpStatus::invalid_parameter)) == Errc::refused);
    assert_true(code(bytes_of("ffffffff")) == Errc::too_large);
    assert_true(code(bytes_of("00000000")) == Errc::truncated);
    Bytes cut = answer(2, data);
    cut.pop_back();
    assert_true(code(cut) == Errc::unreachable);
}

static void a_lost_answer_does_not_put_the_sequence_out_of_step(void **) {
    const auto data = filled<64>(0x77);
    FakeClock clock;
    { // the lost request was not counted: the same number again
        FakeLink link;
        EmulatorSource source{link, clock};
        assert_true(refused_with(source.report(data), Errc::unreachable));
        link.answers = {answer(2, data)};
        assert_true(source.report(data).has_value());
    }
    { // it was counted: the emulator refuses the same number and takes the next
        FakeLink link;
        EmulatorSource source{link, clock};
        assert_true(refused_with(source.report(data), Errc::unreachable));
        link.answers = {answer(2, data, SpStatus::bad_sequence), answer(4, data)};
        assert_true(source.report(data).has_value());
        link.answers = {answer(6, data)};
        assert_true(source.report(data).has_value());
    }
    { // out of order without a loss: refused, and not guessed at
        FakeLink link;
        EmulatorSource source{link, clock};
        link.answers = {answer(2, data, SpStatus::bad_sequence), answer(4, data)};
        assert_true(refused_with(source.report(data), Errc::refused));
    }
}

// ---- mounts ---------------------------------------------------------------------------------------------------

static void every_mount_forbids_set_uid_and_execution(void **) {
    for (const Mount &mount : mounts) {
        assert_true((mount.flags & MS_NOSUID) != 0 && (mount.flags & MS_NOEXEC) != 0);
        assert_true((mount.flags & MS_NODEV) != 0 || std::string_view{mount.type} == "devtmpfs");
    }
}

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(hello_says_who_it_is_and_when_it_started),
        cmocka_unit_test(evidence_binds_nonce_key_and_exporter_through_report_data),
        cmocka_unit_test(attest_without_a_report_is_not_available_and_opens_nothing),
        cmocka_unit_test(attest_without_an_exporter_is_internal_and_asks_for_no_report),
        cmocka_unit_test(secrets_are_taken_only_on_a_connection_that_has_taken_evidence),
        cmocka_unit_test(digests_are_told_only_to_the_connection_that_put_them),
        cmocka_unit_test(a_secret_cannot_be_replaced_by_anybody),
        cmocka_unit_test(the_same_secret_again_is_stored_for_whoever_puts_it),
        cmocka_unit_test(a_full_store_still_knows_what_it_holds),
        cmocka_unit_test(a_connection_that_guesses_is_closed_after_three),
        cmocka_unit_test(a_name_that_was_guessed_at_too_often_tells_nobody_any_more),
        cmocka_unit_test(a_passport_is_taken_only_on_a_connection_that_has_taken_evidence),
        cmocka_unit_test(the_newest_passport_is_given_to_anybody_as_it_was_put),
        cmocka_unit_test(a_passport_that_is_too_large_ends_the_connection_and_replaces_nothing),
        cmocka_unit_test(having_the_passport_counts_like_having_evidence),
        cmocka_unit_test(the_store_is_full_after_max_secrets),
        cmocka_unit_test(a_secret_without_locked_memory_is_refused_as_internal),
        cmocka_unit_test(wiped_secrets_are_zero_before_their_pages_go_back),
        cmocka_unit_test(locked_pages_hold_what_is_put),
        cmocka_unit_test(malformed_requests_are_answered_and_end_the_connection),
        cmocka_unit_test(stop_answers_first),
        cmocka_unit_test(frames_come_whole_out_of_every_split),
        cmocka_unit_test(frames_of_length_zero_or_above_the_limit_are_refused),
        cmocka_unit_test(a_turn_ends_after_so_many_reads_or_bytes),
        cmocka_unit_test(tsm_gives_report_and_certificates_and_cleans_up),
        cmocka_unit_test(tsm_asks_for_the_lowest_privilege_level_it_may),
        cmocka_unit_test(tsm_without_certificates_gives_none),
        cmocka_unit_test(tsm_tries_again_after_a_race_and_not_for_ever),
        cmocka_unit_test(tsm_tries_again_when_another_writer_is_at_work),
        cmocka_unit_test(tsm_hands_on_no_report_but_its_own),
        cmocka_unit_test(only_a_clear_no_counts_as_no_provider),
        cmocka_unit_test(tsm_removes_what_was_left_over),
        cmocka_unit_test(the_emulator_is_asked_in_sequence),
        cmocka_unit_test(a_silent_emulator_costs_its_timeout_and_no_more),
        cmocka_unit_test(wrong_answers_of_the_emulator_are_refused),
        cmocka_unit_test(a_lost_answer_does_not_put_the_sequence_out_of_step),
        cmocka_unit_test(every_mount_forbids_set_uid_and_execution),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
