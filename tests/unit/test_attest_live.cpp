// The relying party's side of a quote: what is asked for over a connection, whether a credential comes back, and how a
// later quote follows an earlier one. The peer is a small TLS server with an EK of its own, which can lie.
#include "agent-min/frame.hpp"
#include "agent-min/tls.hpp"
#include "common/snp_report.hpp"
#include "host-tools/attest_live.hpp"
#include "host-tools/tpm/openssl.hpp"
#include "host-tools/tpm_options.hpp"
#include "tests/unit/wire.hpp"

#include <openssl/core_names.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include <sys/socket.h>
#include <unistd.h>

#include "cmocka.hpp"

using namespace cvmin;
using namespace cvmin::test;
using namespace std::chrono_literals;

namespace {

enum class Mood {
    honest,
    other_value,
    part_of_it,
    refuses,
    answers_something_else,
    hangs_up,
    no_tpm,
    no_key,
    wakes,
    never_safe
};

// ---- a TPM of software
// ------------------------------------------------------------------------------------------------

openssl::Key ek_key() {
    const Bytes pem = data("tpm/credential_rsa.key");
    const openssl::Owner<BIO, BIO_free> in{BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()))};
    return openssl::Key{PEM_read_bio_PrivateKey(in.get(), nullptr, nullptr, nullptr)};
}
Bytes ek_public() { // the template of an EK, with our modulus
    Bytes out = data("tpm/swtpm_rsa.tpmt");
    BIGNUM *n = nullptr;
    EVP_PKEY_get_bn_param(ek_key().get(), OSSL_PKEY_PARAM_RSA_N, &n);
    BN_bn2binpad(n, u8(MutableBytes{out}.last(256)), 256);
    BN_free(n);
    return out;
}
Bytes ak_public() { // any key will do: only its name is looked at
    return data("tpm/swtpm_ecc256.tpmt");
}

Bytes quote(std::uint32_t resets, std::uint64_t clock, bool safe = true) {
    Bytes out;
    const auto put = [&](std::size_t size, std::uint64_t value) {
        out.resize(out.size() + size);
        store_be(MutableBytes{out}.last(size), value);
    };
    put(4, tpm_generated_value);
    put(2, tpm_st_attest_quote);
    put(2, 0); // qualified signer
    put(2, 0); // extra data
    put(8, clock);
    put(4, resets);
    put(4, 3); // restarts
    put(1, safe ? 1 : 0);
    put(8, 0); // firmware
    put(4, 1); // one bank
    put(2, 0x000b);
    put(1, 3);
    put(3, 0x0f0000);
    put(2, 0); // digest
    return out;
}

Bytes activate(const request::Activate &activate) {
    const openssl::Key key = ek_key();
    const openssl::KeyContext context{EVP_PKEY_CTX_new(key.get(), nullptr)};
    Bytes seed(256);
    std::size_t size = seed.size();
    EVP_PKEY_decrypt_init(context.get());
    EVP_PKEY_CTX_set_rsa_padding(context.get(), RSA_PKCS1_OAEP_PADDING);
    EVP_PKEY_CTX_set_rsa_oaep_md(context.get(), EVP_sha256());
    EVP_PKEY_CTX_set0_rsa_oaep_label(context.get(), OPENSSL_strdup("IDENTITY"), 9);
    if (EVP_PKEY_decrypt(context.get(), u8(MutableBytes{seed}), &size, u8(activate.encrypted_secret),
                         activate.encrypted_secret.size()) != 1)
        ::_exit(10);
    seed.resize(size);
    const Secret storage = tpm_kdfa(TpmAlg::sha256, seed, "STORAGE", tpm_name(ak_public()).value(), {}, 128).value();
    const ByteView encrypted = ByteView{activate.id_object}.subspan(2 + 32);
    const openssl::CipherContext cipher{EVP_CIPHER_CTX_new()};
    const ByteArray<16> zero{};
    Bytes plain(encrypted.size());
    int length = 0;
    EVP_DecryptInit_ex(cipher.get(), EVP_aes_128_cfb128(), nullptr, u8(storage.view()), u8(ByteView{zero}));
    EVP_DecryptUpdate(cipher.get(), u8(MutableBytes{plain}), &length, u8(encrypted),
                      static_cast<int>(encrypted.size()));
    return Bytes(plain.begin() + 2, plain.end());
}

// ---- the peer
// -----------------------------------------------------------------------------------------------------------

Response answer(const Request &request, Mood mood, std::uint32_t count) {
    if (const auto *attest = std::get_if<request::Attest>(&request)) {
        Evidence evidence;
        evidence.report = Bytes(snp_report_size); // nobody looks at it here
        evidence.claims = bytes_of("02");
        if (attest->pcrs && mood != Mood::no_tpm)
            evidence.tpm = TpmEvidence{
                .attest = quote(7, 1000 * count, mood != Mood::never_safe && (mood != Mood::wakes || count > 2)),
                .signature = bytes_of("51"),
                .ak_public = ak_public(),
                .ek_public = mood == Mood::no_key ? bytes_of("e1") : ek_public(),
                .ek_certificate = {},
                .pcr_values = {.bank = attest->pcrs->bank, .values = {{0, Bytes(32)}}}};
        return response::Evidence{encode_evidence(evidence)};
    }
    if (const auto *wanted = std::get_if<request::Activate>(&request)) {
        Bytes credential = activate(*wanted);
        switch (mood) {
        case Mood::other_value:
            credential.back() ^= std::byte{1};
            break;
        case Mood::part_of_it:
            credential.pop_back();
            break;
        case Mood::refuses:
            return response::Failure{PeerErrc::tpm_refused, "no"};
        case Mood::answers_something_else:
            return response::Stopping{};
        case Mood::hangs_up:
            ::_exit(0);
        default:
            break;
        }
        return response::Activated{std::move(credential)};
    }
    return response::Failure{PeerErrc::bad_request, "what"};
}

[[noreturn]] void serve(int socket, Mood mood) {
    auto identity = agent::TlsIdentity::make();
    if (!identity)
        ::_exit(1);
    agent::FdTransport transport{agent::Fd{socket}};
    auto tls = agent::TlsStream::accept(**identity, transport);
    if (!tls)
        ::_exit(2);
    const auto done = [](const agent::Progress &progress) {
        if (progress.io == agent::Io::closed)
            ::_exit(0);
        return progress.io == agent::Io::done;
    };
    while (!done((*tls)->handshake())) {}
    for (std::uint32_t count = 1;; ++count) {
        agent::FrameReader frame(max_request_size);
        for (bool whole = false; !whole;) {
            const agent::Progress got = (*tls)->read(frame.room());
            if (done(got))
                whole = frame.filled(got.bytes).value_or(false);
        }
        const auto request = parse_request(frame.message());
        if (!request)
            ::_exit(3);
        const Bytes message = encode_response(answer(*request, mood, count));
        Bytes bytes = to_bytes(frame_header(message.size()));
        bytes.insert(bytes.end(), message.begin(), message.end());
        for (ByteView rest = bytes; !rest.empty();) {
            const agent::Progress sent = (*tls)->write(rest);
            if (done(sent))
                rest = rest.subspan(sent.bytes);
        }
    }
}

Deadline soon() {
    return std::chrono::steady_clock::now() + 10s;
}

Session session_with(Mood mood) {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
        abort();
    if (::fork() == 0) {
        ::close(ends[0]);
        serve(ends[1], mood);
    }
    ::close(ends[1]);
    auto session = Session::open(UniqueFd{ends[0]}, soon());
    if (!session)
        abort();
    return std::move(*session);
}

const LiveOptions with_quote{.pcrs = every_pcr, .activate = true};

Result<LiveAttestation> attest(Mood mood, const LiveOptions &options = with_quote) {
    return attest_live(session_with(mood), soon(), options);
}

// ---- tests
// ----------------------------------------------------------------------------------------------------------------

void a_credential_comes_back_for_the_keys_of_the_quote(void **) {
    const auto live = attest(Mood::honest);
    const bool answered = live && live->activation && live->activation->answered &&
                          live->activation->ek_public == sha256(ek_public()) &&
                          live->activation->ak_public == sha256(ak_public());
    const bool epoch =
        live &&
        live->epoch ==
            TpmEpoch{.ak_public = sha256(ak_public()), .clock = 1000, .reset_count = 7, .restart_count = 3} &&
        !live->earlier && live->pcrs == every_pcr;
    assert_true(answered);
    assert_true(epoch);
}

// what the verdict will say of it
std::string found(Mood mood) {
    const auto live = attest(mood);
    if (!live)
        return "error: " + std::string{live.error().where};
    return !live->activation ? "no activation"
                             : (live->activation->answered ? "answered: " : "") + live->activation->found;
}

void what_comes_instead_of_a_credential_is_a_fact_and_no_error(void **) {
    assert_true(found(Mood::other_value) == "another value than the credential");
    assert_true(found(Mood::part_of_it) == "another value than the credential");
    assert_true(found(Mood::refuses) == "no credential: the agent answered tpm_refused");
    assert_true(found(Mood::no_key).starts_with("no credential can be made for these keys: "));
    assert_true(found(Mood::no_tpm) == "no activation");
}

void a_peer_that_does_not_keep_to_the_protocol_is_an_error(void **) {
    assert_true(found(Mood::answers_something_else) == "error: agent.activate");
    assert_true(found(Mood::hangs_up) == "error: session.read");
}

void no_quote_is_asked_for_unless_it_is_wanted(void **) {
    const auto live = attest(Mood::honest, {});
    const auto parsed = live ? parse_evidence(live->evidence) : Result<Evidence>{};
    const bool none = live && !live->pcrs && !live->activation && !live->epoch && parsed && !parsed->tpm;
    const auto passive = attest(Mood::honest, {.pcrs = every_pcr});
    const bool only_quote = passive && passive->epoch && !passive->activation;
    assert_true(none);
    assert_true(only_quote);
}

void a_quote_with_an_unsafe_clock_is_asked_for_again_and_not_for_ever(void **) {
    const auto taken = [](Mood mood, const LiveOptions &options) { // how many quotes it took
        const auto live = attest(mood, options);
        return live && live->epoch ? live->epoch->clock / 1000 : 0;
    };
    const LiveOptions quick{.pcrs = every_pcr, .clock_wait = 1ms};
    const std::uint64_t wakes = taken(Mood::wakes, quick), never = taken(Mood::never_safe, quick);
    const std::uint64_t too_late = taken(Mood::wakes, {.pcrs = every_pcr, .clock_wait = 1h});
    assert_int_equal(wakes, 3);
    assert_int_equal(never, 1 + max_clock_waits); // appraisal refuses it
    assert_int_equal(too_late, 1);
}

void a_session_remembers_its_last_quote(void **) {
    auto one = attest(Mood::honest);
    auto two = one ? attest_again(std::move(*one), soon(), with_quote) : std::move(one);
    const bool second = two && two->earlier && two->earlier->clock == 1000 && two->epoch->clock == 3000; // 2: activate
    auto none = two ? attest_again(std::move(*two), soon(), {}) : std::move(two);
    const bool third = none && !none->epoch && none->earlier && none->earlier->clock == 3000;
    auto four = none ? attest_again(std::move(*none), soon(), with_quote) : std::move(none);
    const bool fourth = four && four->earlier && four->earlier->clock == 3000 && four->epoch->clock > 3000;
    assert_true(second);
    assert_true(third);
    assert_true(fourth);
}

void a_quote_follows_another_of_the_same_boot_only(void **) {
    const TpmEpoch before{.ak_public = filled<32>(1), .clock = 5000, .reset_count = 4, .restart_count = 2};
    const auto changed = [&](auto change) {
        TpmEpoch now = before;
        change(now);
        return epoch_problem(before, now).value_or("none");
    };
    assert_true(changed([](TpmEpoch &) {}) == "none");
    assert_true(changed([](TpmEpoch &now) { now.clock = 5001; }) == "none");
    assert_true(changed([](TpmEpoch &now) { now.clock = 4999; }) == "clock 4999 ms, and 5000 ms before");
    assert_true(changed([](TpmEpoch &now) { now.reset_count = 5; }) == "reset count 5, and 4 before");
    assert_true(changed([](TpmEpoch &now) { now.reset_count = 3; }) == "reset count 3, and 4 before");
    assert_true(changed([](TpmEpoch &now) { now.restart_count = 3; }) == "restart count 3, and 2 before");
    assert_true(changed([](TpmEpoch &now) { now.ak_public[0] = std::byte{2}; }) ==
                "another attestation key than before");
}

// ---- options
// ------------------------------------------------------------------------------------------------------------

void pcrs_are_read_and_written(void **) {
    const auto is = [](const char *text, TpmAlg bank, std::uint32_t mask, const char *written) {
        const auto read = parse_pcrs(text);
        return read && *read && (*read)->bank == bank && (*read)->mask == mask && pcrs_text(**read) == written;
    };
    assert_true(is("sha256:0,4,8-9", TpmAlg::sha256, 0x311, "sha256:0,4,8,9"));
    assert_true(is("0-23", TpmAlg::sha256, 0xffffff, "sha256:0-23"));
    assert_true(is("sha384:all", TpmAlg::sha384, 0xffffff, "sha384:0-23"));
    assert_true(is("sha1:23,1,2,3", TpmAlg::sha1, 0x80000e, "sha1:1-3,23"));
    const auto none = parse_pcrs("none");
    const bool nothing = none && !*none;
    assert_true(nothing);
    for (const char *text : {"", ":", "sha256:", "sha256", "md5:0", "24", "0,24", "9-8", "1-", "-1", "1,,2", "1,", ",1",
                             "0x1", "+1", " 1", "sha256:0:1", "1-2-3"}) {
        const bool refused = !parse_pcrs(text);
        if (!refused)
            print_error("%s\n", text);
        assert_true(refused);
    }
}

void the_policy_says_what_is_asked_for_unless_the_caller_does(void **) {
    Policy policy;
    const auto asked = [&](std::optional<std::string> text) {
        const auto pcrs = wanted_pcrs(TpmArgs{.pcrs = std::move(text), .after = std::nullopt, .ek_roots = {}}, policy);
        return pcrs ? *pcrs ? pcrs_text(**pcrs) : "none" : "refused";
    };
    const bool skipped = asked(std::nullopt) == "none" && asked("sha256:7") == "sha256:7" && asked("7,") == "refused";
    policy.vtpm = VtpmDemands{};
    const bool demanded =
        asked(std::nullopt) == "sha256:0-15" && asked("sha384:all") == "sha384:0-23" && asked("none") == "none";
    assert_true(skipped);
    assert_true(demanded);
}

void an_epoch_survives_its_file(void **) {
    const TpmEpoch epoch{
        .ak_public = filled<32>(0xa5), .clock = UINT64_MAX, .reset_count = UINT32_MAX, .restart_count = 0};
    const bool same = parse_epoch(epoch_json(epoch)) == epoch;
    Json large = epoch_json(epoch);
    large["reset_count"] = std::uint64_t{1} << 32;
    Json short_ak = epoch_json(epoch);
    short_ak["ak"] = "a5";
    Json no_clock = epoch_json(epoch);
    no_clock.erase("clock");
    const bool refused = !parse_epoch(large) && !parse_epoch(short_ak) && !parse_epoch(no_clock);
    assert_true(same);
    assert_true(refused);
}

void what_became_of_a_credential_survives_its_file(void **) {
    for (const bool answered : {false, true}) {
        const TpmActivation there{
            .ek_public = filled<32>(0xa5), .ak_public = filled<32>(0x5a), .answered = answered, .found = "as live"};
        const auto back = parse_activation(activation_json(there));
        const bool same = back && back->ek_public == there.ek_public && back->ak_public == there.ak_public &&
                          back->answered == answered && back->found.contains("when the evidence was taken");
        assert_true(same);
        for (const char *const member : {"ek", "ak", "answered"}) {
            Json json = activation_json(there);
            json[member] = "yes";
            const bool wrong = !parse_activation(json);
            json.erase(member);
            const bool missing = !parse_activation(json);
            assert_true(wrong);
            assert_true(missing);
        }
    }
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(a_credential_comes_back_for_the_keys_of_the_quote),
        cmocka_unit_test(what_comes_instead_of_a_credential_is_a_fact_and_no_error),
        cmocka_unit_test(a_peer_that_does_not_keep_to_the_protocol_is_an_error),
        cmocka_unit_test(no_quote_is_asked_for_unless_it_is_wanted),
        cmocka_unit_test(a_quote_with_an_unsafe_clock_is_asked_for_again_and_not_for_ever),
        cmocka_unit_test(a_session_remembers_its_last_quote),
        cmocka_unit_test(a_quote_follows_another_of_the_same_boot_only),
        cmocka_unit_test(pcrs_are_read_and_written),
        cmocka_unit_test(the_policy_says_what_is_asked_for_unless_the_caller_does),
        cmocka_unit_test(an_epoch_survives_its_file),
        cmocka_unit_test(what_became_of_a_credential_survives_its_file),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
