// The TPM code against a TPM that answers from a script: a session with swtpm, played back as it was and spoilt at
// every place in every way. What it does with a TPM that works is shown by tests/agent/swtpm.sh.
#include "tests/unit/scripted_tpm.hpp"

#include <fcntl.h>
#include <sys/socket.h>

using namespace cvmin;
using namespace cvmin::agent;
using namespace cvmin::test;

namespace {

std::vector<ScriptedAnswer> session() {
    return parse_script(data("swtpm/p384.bin"));
}
// Plays the session with answer `index` replaced; what came of it.
Played play_spoilt(std::size_t index, const std::function<Bytes(Bytes)> &spoil, FakeClock &clock, std::size_t &after) {
    auto script = session();
    script[index].bytes = spoil(std::move(script[index].bytes));
    ScriptedDevice device{std::move(script), clock};
    Played played = play(device, clock);
    const std::size_t sent = device.sent;
    if (played.tpm) { // is it asked again?
        (void)played.tpm->extend({}, {});
        (void)played.tpm->quote(session_few_pcrs, {});
        (void)played.tpm->activate(Bytes(52), Bytes(256));
    }
    played.tpm.reset();
    after = device.sent - sent;
    return played;
}
Bytes with_size(Bytes answer) { // its size field is right again
    store_be(MutableBytes{answer}.subspan(2, 4), answer.size());
    return answer;
}
Bytes error_answer(std::uint32_t code) {
    Bytes answer(10);
    store_be(MutableBytes{answer}.first(2), 0x8001);
    store_be(MutableBytes{answer}.subspan(6, 4), code);
    return with_size(answer);
}

} // namespace

static void the_session_plays_as_it_was(void **) {
    for (const std::size_t piece : {max_tpm_message_size, std::size_t{1}, std::size_t{7}}) {
        FakeClock clock;
        ScriptedDevice device{session(), clock};
        device.piece = piece;
        Played played = play(device, clock);
        assert_int_equal(played.steps, session_steps);
        assert_false(device.off_script);
        assert_true(played.tpm->ak() == sha256(played.quote->ak_public));
        assert_int_equal(played.quote->pcr_values.values.size(), 24);
        assert_true(!played.quote->ek_certificate.empty());
        assert_int_equal(played.credential.size(), 32);
        played.tpm.reset();
        assert_false(device.off_script);
        assert_int_equal(device.played(), session().size()); // flushes what it made, and no more
    }
}

// With an RSA key the credential is opened under a policy session, whose nonces are new each time.
static void an_answer_of_an_earlier_session_is_no_answer(void **) {
    FakeClock clock;
    ScriptedDevice device{parse_script(data("swtpm/rsa.bin")), clock};
    const Played played = play(device, clock);
    assert_int_equal(played.steps, session_steps - 1);
    assert_false(device.off_script);
    assert_true(played.error == Error(Errc::tpm, "tpm.activate", TSS2_ESYS_RC_RSP_AUTH_FAILED));
    assert_true(played.tpm->fault().has_value() && !played.tpm->ak());
}

static void a_tpm_that_answers_in_a_wrong_form_is_gone(void **) {
    struct Spoil {
        const char *name;
        std::function<Bytes(Bytes)> how;
    };
    const Spoil spoils[] = {
        {"empty", [](Bytes) { return Bytes{}; }},
        {"cut in the header", [](Bytes b) { return Bytes(b.begin(), b.begin() + 9); }},
        {"cut by one byte", [](Bytes b) { return Bytes(b.begin(), b.end() - 1); }},
        {"one byte more",
         [](Bytes b) {
             b.push_back({});
             return b;
         }},
        {"size field too small",
         [](Bytes b) {
             store_be(MutableBytes{b}.subspan(2, 4), b.size() - 1);
             return b;
         }},
        {"size field of 0",
         [](Bytes b) {
             store_be(MutableBytes{b}.subspan(2, 4), 0);
             return b;
         }},
        {"size field huge",
         [](Bytes b) {
             store_be(MutableBytes{b}.subspan(2, 4), 0xffffffff);
             return b;
         }},
        {"longer than any answer",
         [](Bytes b) {
             b.resize(max_tpm_message_size + 1);
             return with_size(b);
         }},
        {"tag of TPM 1.2",
         [](Bytes b) {
             store_be(MutableBytes{b}.first(2), 0x00c4);
             return b;
         }},
        {"the other tag",
         [](Bytes b) {
             b[1] ^= std::byte{3};
             return b;
         }},
        {"an error with a body",
         [](Bytes b) {
             store_be(MutableBytes{b}.subspan(6, 4), 0x101);
             b.resize(11);
             return with_size(b);
         }},
    };
    const std::size_t flushes = 1; // at the end: what is answered to those is of no consequence
    for (std::size_t i = 0; i + flushes < session().size(); ++i) {
        for (const Spoil &spoil : spoils) {
            FakeClock clock;
            std::size_t after = 0;
            const Played played = play_spoilt(i, spoil.how, clock, after);
            if (played.steps == session_steps || after != 0 || played.longest_ms > 3000) {
                print_error("answer %zu, %s: %zu steps, asked %zu times again, %zu ms\n", i, spoil.name, played.steps,
                            after, static_cast<std::size_t>(played.longest_ms));
                assert_true(false);
            }
        }
    }
}

static void a_tpm_that_answers_with_an_error_is_gone(void **) {
    // failure, lockout, out of sessions, out of objects, a bad parameter, command not known, a NV index that is locked
    for (const std::uint32_t code : {0x101U, 0x921U, 0x903U, 0x902U, 0x1d5U, 0x143U, 0x148U}) {
        for (std::size_t i = 0; i + 1 < session().size(); ++i) {
            const std::uint32_t command = session()[i].code;
            if (command == TPM2_CC_ActivateCredential)
                continue; // a peer's wrong blob must not take the TPM away
            FakeClock clock;
            std::size_t after = 0;
            const Played played = play_spoilt(i, [&](Bytes) { return error_answer(code); }, clock, after);
            assert_true(played.steps < session_steps);
            assert_int_equal(after, 0);
            if (played.error != Error(Errc::tpm, played.error->where, code))
                print_error("answer %zu: %s\n", i, to_string(*played.error).c_str());
            assert_true(played.error == Error(Errc::tpm, played.error->where, code));
        }
    }
}

static void a_tpm_that_is_busy_is_asked_again_but_not_for_ever(void **) {
    for (const std::uint32_t code : {0x922U, 0x908U, 0x90aU}) { // retry, yielded, testing
        auto script = session();
        script.insert(script.begin() + 1, {script[1].code, error_answer(code)});
        FakeClock clock;
        ScriptedDevice device{script, clock};
        assert_int_equal(play(device, clock).steps, session_steps);
        for (int i = 0; i < 20; ++i)
            script.insert(script.begin() + 1, {script[1].code, error_answer(code)});
        ScriptedDevice busy{script, clock};
        assert_int_equal(play(busy, clock).steps, 0);
        assert_true(busy.sent < 10);
    }
}

static void a_blob_that_the_tpm_does_not_take_leaves_it_working(void **) {
    for (const std::uint32_t code : {0x1dfU, 0x2d5U, 0x101U, 0x921U}) { // integrity, size, failure of RSA, lockout
        auto script = session();
        const auto at = std::ranges::find(script, std::uint32_t{TPM2_CC_ActivateCredential}, &ScriptedAnswer::code);
        at->bytes = error_answer(code);
        // it then shows by a PCR whether it works
        const Bytes value =
            bytes_of("8001 0000003e 00000000 00000016 00000001 000b 03 010000 00000001 0020" + repeat("00", 32));
        auto broken = script;
        script.insert(at + 1, {TPM2_CC_PCR_Read, value});
        FakeClock clock;
        ScriptedDevice works{script, clock};
        Played played = play(works, clock);
        assert_int_equal(played.steps, session_steps - 1);
        assert_true(played.error == Error(Errc::refused, "tpm.activate", code));
        assert_true(played.tpm->ak().has_value());
        played.tpm.reset();
        assert_false(works.off_script);

        broken.insert(broken.end() - 1, {TPM2_CC_PCR_Read, error_answer(0x101)});
        ScriptedDevice fails{broken, clock};
        played = play(fails, clock);
        assert_true(played.error == Error(Errc::tpm, "tpm.pcr_read", 0x101));
        assert_true(played.tpm->fault().has_value() && !played.tpm->ak());
    }
}

static void a_slow_tpm_costs_its_budget_once(void **) {
    for (const std::uint64_t delay :
         {std::uint64_t{100}, std::uint64_t{700}, std::uint64_t{1999}, std::uint64_t{5000}}) {
        FakeClock clock;
        ScriptedDevice device{session(), clock};
        device.delay_ms = delay;
        Played played = play(device, clock);
        assert_true(played.longest_ms <= 3000);
        if (delay > 100) {
            assert_true(played.steps < session_steps);
            assert_true(played.error->code == Errc::timed_out);
            const std::uint64_t before = clock.us;
            const std::size_t sent = device.sent;
            if (played.tpm)
                assert_false(played.tpm->quote(session_pcrs, {}).has_value());
            played.tpm.reset();
            assert_true(clock.us == before && device.sent == sent);
        }
    }
}

static void a_silent_tpm_is_gone_wherever_it_falls_silent(void **) {
    for (std::size_t i = 0; i + 1 < session().size(); ++i) {
        auto script = session();
        script.resize(i);
        FakeClock clock;
        ScriptedDevice device{script, clock};
        device.strict = false;
        device.silent = i == 0;
        const Played played = play(device, clock);
        assert_true(played.steps < session_steps && played.longest_ms <= 3000);
        if (played.error->code != Errc::unreachable && played.error->code != Errc::timed_out)
            print_error("answer %zu: %s\n", i, to_string(*played.error).c_str());
        assert_true(played.error->code == Errc::unreachable || played.error->code == Errc::timed_out);
    }
}

static void a_device_that_takes_no_command_is_no_tpm(void **) {
    FakeClock clock;
    ScriptedDevice device{session(), clock};
    device.send_error = Error{Errc::system, "tpm.send", EIO};
    assert_true(play(device, clock).error == Error(Errc::system, "tpm.send", EIO));
}

// The answer to the first command of this kind that was not put off.
static Bytes &answer_to(std::vector<ScriptedAnswer> &script, std::uint32_t code) {
    return std::ranges::find_if(script, [&](const auto &a) { return a.code == code && a.bytes.size() > 10; })->bytes;
}
// With that answer changed at an offset.
static Played with_changed_byte(std::uint32_t code, std::ptrdiff_t offset, std::uint8_t value) {
    auto script = session();
    answer_to(script, code)[static_cast<std::size_t>(offset)] ^= static_cast<std::byte>(value);
    FakeClock clock;
    ScriptedDevice device{script, clock};
    device.strict = false;
    Played played = play(device, clock);
    played.tpm.reset(); // before its device goes
    return played;
}

static void a_quote_that_is_not_what_was_asked_for_is_none(void **) {
    // TPMS_ATTEST begins behind header (10), parameter size (4) and its own size (2)
    const std::ptrdiff_t attest = 16;
    assert_true(with_changed_byte(TPM2_CC_Quote, attest, 1).error->where == "tpm.quote");     // magic
    assert_true(with_changed_byte(TPM2_CC_Quote, attest + 5, 1).error->where == "tpm.quote"); // type
    auto script = session();
    const Bytes &answer = answer_to(script, TPM2_CC_Quote);
    const Bytes extra(32, std::byte{0xc5});
    const auto found = std::ranges::search(answer, extra);
    assert_true(!found.empty());
    const Played changed = with_changed_byte(TPM2_CC_Quote, found.begin() - answer.begin() + 31, 1);
    assert_true(changed.error == Error(Errc::mismatch, "tpm.quote") && changed.steps == 2);
    // the PCR digest is another: values and quote do not belong together, at no attempt
    const Bytes selection = bytes_of("00000001 000b 03 ffffff 0020");
    const auto selected = std::ranges::search(answer, selection);
    assert_true(!selected.empty());
    assert_int_equal(with_changed_byte(TPM2_CC_Quote, selected.end() - answer.begin(), 1).steps, 2);
    assert_int_equal(with_changed_byte(TPM2_CC_Quote, selected.begin() - answer.begin() + 7, 1).steps, 2); // PCRs
}

static void a_key_that_is_not_by_the_template_is_none(void **) {
    // CreatePrimary: header, handle (4), parameter size (4), size (2), type (2), nameAlg (2), attributes (4)
    for (const std::ptrdiff_t offset : {std::ptrdiff_t{21}, std::ptrdiff_t{24}, std::ptrdiff_t{26}, std::ptrdiff_t{27}})
        assert_int_equal(with_changed_byte(TPM2_CC_CreatePrimary, offset, 4).steps, 0);
}

static void values_of_other_pcrs_are_none(void **) {
    // PCR_Read: header, counter (4), count (4), hash (2), size of selection (1), selection (3), count of digests (4)
    for (const std::ptrdiff_t offset :
         {std::ptrdiff_t{17}, std::ptrdiff_t{19}, std::ptrdiff_t{21}, std::ptrdiff_t{27}, std::ptrdiff_t{29}})
        assert_int_equal(with_changed_byte(TPM2_CC_PCR_Read, offset, 1).steps, 2);
}

static void a_bank_that_is_not_there_is_not_asked_for(void **) {
    FakeClock clock;
    ScriptedDevice device{session(), clock};
    Played played = play(device, clock);
    const std::size_t sent = device.sent;
    for (const request::PcrSelection &wanted :
         {request::PcrSelection{TpmAlg::sha1, 1}, {TpmAlg::sha512, 1}, {TpmAlg::sha256, 0}}) {
        const auto quote = played.tpm->quote(wanted, {});
        assert_true(!quote && quote.error().code == Errc::usage);
    }
    assert_true(device.sent == sent && played.tpm->ak().has_value());
}

static void a_tpm_without_a_bank_for_the_log_is_none(void **) {
    auto script = session();
    // GetCapability: header, more (1), capability (4), count (4), then 6 bytes a bank: leave none of SHA-256 and
    // SHA-384
    Bytes &banks = script[0].bytes;
    for (std::size_t at = 19; at + 6 <= banks.size(); at += 6)
        banks[at + 1] = std::byte{0x04};
    FakeClock clock;
    ScriptedDevice device{script, clock};
    const auto tpm = EsysTpm::open(device, clock);
    assert_true(!tpm && tpm.error().code == Errc::unsupported);
}

static void oversized_blobs_do_not_reach_the_tpm(void **) {
    FakeClock clock;
    ScriptedDevice device{session(), clock};
    Played played = play(device, clock);
    const std::size_t sent = device.sent;
    for (const auto &[id, secret] : {std::pair{Bytes(4000), Bytes(1)}, {Bytes(1), Bytes(4000)}})
        assert_true(played.tpm->activate(id, secret).error().code == Errc::refused);
    assert_true(device.sent == sent && played.tpm->ak().has_value());
}

// ---- the descriptor -------------------------------------------------------------------------------------------

static void a_descriptor_gives_what_comes_until_the_deadline(void **) {
    int ends[2];
    assert_int_equal(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
    Fd far{ends[1]};
    BootClock clock;
    auto opened = FdTpmDevice::open(Fd{ends[0]}, clock);
    assert_true(opened.has_value());
    FdTpmDevice &device = *opened;
    const Bytes command = bytes_of("8001 0000000c 0000017b 0008");
    assert_true(device.send(command).has_value());
    ByteArray<64> room{};
    assert_int_equal(::read(far.get(), room.data(), room.size()), 12);
    const std::uint64_t before = clock.now_ms();
    const auto nothing = device.receive(room, before + 30);
    assert_true(!nothing && nothing.error().code == Errc::timed_out);
    assert_true(clock.now_ms() >= before + 30 && clock.now_ms() < before + 1000);
    assert_int_equal(::write(far.get(), command.data(), 5), 5);
    assert_true(device.receive(room, clock.now_ms() + 1000) == std::size_t{5});
    far.reset();
    const auto gone = device.receive(room, clock.now_ms() + 1000);
    assert_true(!gone && gone.error().code == Errc::unreachable);
    // a deadline that has passed does not wait at all
    assert_true(device.receive(room, 0).error().code == Errc::timed_out);
}

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(the_session_plays_as_it_was),
        cmocka_unit_test(an_answer_of_an_earlier_session_is_no_answer),
        cmocka_unit_test(a_tpm_that_answers_in_a_wrong_form_is_gone),
        cmocka_unit_test(a_tpm_that_answers_with_an_error_is_gone),
        cmocka_unit_test(a_tpm_that_is_busy_is_asked_again_but_not_for_ever),
        cmocka_unit_test(a_blob_that_the_tpm_does_not_take_leaves_it_working),
        cmocka_unit_test(a_slow_tpm_costs_its_budget_once),
        cmocka_unit_test(a_silent_tpm_is_gone_wherever_it_falls_silent),
        cmocka_unit_test(a_device_that_takes_no_command_is_no_tpm),
        cmocka_unit_test(a_quote_that_is_not_what_was_asked_for_is_none),
        cmocka_unit_test(a_key_that_is_not_by_the_template_is_none),
        cmocka_unit_test(values_of_other_pcrs_are_none),
        cmocka_unit_test(a_bank_that_is_not_there_is_not_asked_for),
        cmocka_unit_test(a_tpm_without_a_bank_for_the_log_is_none),
        cmocka_unit_test(oversized_blobs_do_not_reach_the_tpm),
        cmocka_unit_test(a_descriptor_gives_what_comes_until_the_deadline),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
