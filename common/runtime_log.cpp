#include "common/runtime_log.hpp"

#include "common/cbor.hpp"

namespace cvmin {

namespace {

// TCG Canonical Event Log Format 1.1, 5.2: keys of a record and of a digest.
namespace key {
constexpr std::int64_t recnum = 0;
constexpr std::int64_t pcr = 1;
constexpr std::int64_t digests = 3;
constexpr std::int64_t content_type = 9;
constexpr std::int64_t content = 10;
constexpr std::int64_t hash_alg = 0;
constexpr std::int64_t digest = 1;
} // namespace key

constexpr std::array<std::string_view, std::variant_size_v<Event>> kind_names{
    "boot",     "session-opened",     "manifest",       "secret-received",  "start",
    "result",   "violation",          "log-full",       "sessions-dropped", "stop",
    "tpm-lost", "violations-dropped", "input-received", "run-failed",       "result-taken",
};
constexpr std::uint64_t kind_boot = 0;
constexpr std::uint64_t kind_log_full = 7;
static_assert(std::is_same_v<std::variant_alternative_t<kind_boot, Event>, event::Boot>);
static_assert(std::is_same_v<std::variant_alternative_t<kind_log_full, Event>, event::LogFull>);

template <class... F> struct Overloaded : F... {
    using F::operator()...;
};

// Our content: { 0: kind, 1: time, 2..: what this kind has }
Bytes encode_content(std::uint64_t time_us, const Event &event) {
    cbor::Encoder out(max_runtime_content_size);
    const auto open = [&](std::size_t members) {
        out.open_map(2 + members);
        out.integer(0);
        out.unsigned_integer(event.index());
        out.integer(1);
        out.unsigned_integer(time_us);
    };
    const auto number = [&](std::int64_t at, std::uint64_t value) {
        out.integer(at);
        out.unsigned_integer(value);
    };
    const auto text = [&](std::int64_t at, std::string_view value) {
        out.integer(at);
        out.text(value);
    };
    const auto bytes = [&](std::int64_t at, ByteView value) {
        out.integer(at);
        out.bytes(value);
    };
    std::visit(Overloaded{
                   [&](const event::Boot &boot) {
                       open(5);
                       text(2, boot.agent);
                       number(3, boot.debug_image ? 1 : 0);
                       text(4, boot.report_source);
                       number(5, static_cast<std::uint64_t>(boot.tpm));
                       number(6, static_cast<std::uint64_t>(boot.ima));
                   },
                   [&](const event::SessionOpened &opened) {
                       open(2);
                       number(2, opened.session);
                       bytes(3, opened.nonce);
                   },
                   [&](const event::Manifest &manifest) {
                       open(1);
                       bytes(2, manifest.digest);
                   },
                   [&](const event::SecretReceived &secret) {
                       open(3);
                       number(2, secret.session);
                       text(3, secret.name);
                       bytes(4, secret.commitment);
                   },
                   [&](const event::Start &start) {
                       open(1);
                       bytes(2, start.program);
                   },
                   [&](const event::Result &result) {
                       open(1);
                       number(2, result.status);
                   },
                   [&](const event::Violation &violation) {
                       open(3);
                       number(2, violation.session);
                       number(3, static_cast<std::uint64_t>(violation.rule));
                       text(4, violation.name);
                   },
                   [&](const event::LogFull &) { open(0); },
                   [&](const event::SessionsDropped &) { open(0); },
                   [&](const event::Stop &stop) {
                       open(1);
                       number(2, stop.session);
                   },
                   [&](const event::TpmLost &lost) {
                       open(1);
                       text(2, lost.reason);
                   },
                   [&](const event::ViolationsDropped &) { open(0); },
                   [&](const event::InputReceived &input) {
                       open(2);
                       number(2, input.session);
                       text(3, input.item);
                   },
                   [&](const event::RunFailed &failed) {
                       open(1);
                       text(2, failed.reason);
                   },
                   [&](const event::ResultTaken &) { open(0); },
               },
               event);
    out.close();
    return out.finish();
}

PartState part_state(cbor::Decoder &in) {
    return static_cast<PartState>(in.unsigned_integer(static_cast<std::uint64_t>(PartState::failed)));
}

std::string name_of(cbor::Decoder &in, std::size_t max, bool (*valid)(std::string_view)) {
    const std::string_view name = in.text(1, max);
    if (in.ok() && !valid(name))
        in.refuse(Errc::out_of_range);
    return std::string{name};
}
std::string secret_name(cbor::Decoder &in) {
    return name_of(in, max_secret_name_size, valid_secret_name);
}
bool valid_violation_name(std::string_view name) {
    return valid_secret_name(name) || valid_item(name) || valid_get_name(name);
}

// By kind number, in the order of Event; each reads the members from 2 on.
using ReadEvent = Event (*)(cbor::Decoder &);
constexpr std::array<ReadEvent, std::variant_size_v<Event>> readers{
    [](cbor::Decoder &in) -> Event {
        event::Boot boot;
        in.member(2, "runtime_log.boot.agent");
        boot.agent = in.text(1, max_agent_name_size);
        in.member(3, "runtime_log.boot.debug_image");
        boot.debug_image = in.unsigned_integer(1) == 1;
        in.member(4, "runtime_log.boot.report_source");
        boot.report_source = in.text(1, max_report_source_size);
        in.member(5, "runtime_log.boot.tpm");
        boot.tpm = part_state(in);
        in.member(6, "runtime_log.boot.ima");
        boot.ima = part_state(in);
        return boot;
    },
    [](cbor::Decoder &in) -> Event {
        event::SessionOpened opened;
        in.member(2, "runtime_log.session_opened.session");
        opened.session = in.unsigned_integer();
        in.member(3, "runtime_log.session_opened.nonce");
        opened.nonce = in.array<32>();
        return opened;
    },
    [](cbor::Decoder &in) -> Event {
        in.member(2, "runtime_log.manifest.digest");
        return event::Manifest{in.array<32>()};
    },
    [](cbor::Decoder &in) -> Event {
        event::SecretReceived secret;
        in.member(2, "runtime_log.secret_received.session");
        secret.session = in.unsigned_integer();
        in.member(3, "runtime_log.secret_received.name");
        secret.name = secret_name(in);
        in.member(4, "runtime_log.secret_received.commitment");
        secret.commitment = in.array<32>();
        return secret;
    },
    [](cbor::Decoder &in) -> Event {
        in.member(2, "runtime_log.start.program");
        return event::Start{in.array<32>()};
    },
    [](cbor::Decoder &in) -> Event {
        in.member(2, "runtime_log.result.status");
        return event::Result{in.unsigned_integer()};
    },
    [](cbor::Decoder &in) -> Event {
        event::Violation violation;
        in.member(2, "runtime_log.violation.session");
        violation.session = in.unsigned_integer();
        in.member(3, "runtime_log.violation.rule");
        switch (in.unsigned_integer()) {
#define X(name, number, text)                                                                                          \
    case number:                                                                                                       \
        violation.rule = ViolationRule::name;                                                                          \
        break;
            CVMIN_VIOLATION_TABLE(X)
#undef X
        default:
            in.refuse(Errc::unsupported);
        }
        in.member(4, "runtime_log.violation.name");
        violation.name = name_of(in, max_get_name_size, valid_violation_name);
        return violation;
    },
    [](cbor::Decoder &) -> Event { return event::LogFull{}; },
    [](cbor::Decoder &) -> Event { return event::SessionsDropped{}; },
    [](cbor::Decoder &in) -> Event {
        in.member(2, "runtime_log.stop.session");
        return event::Stop{in.unsigned_integer()};
    },
    [](cbor::Decoder &in) -> Event {
        in.member(2, "runtime_log.tpm_lost.reason");
        return event::TpmLost{std::string{in.text(1, max_event_text_size)}};
    },
    [](cbor::Decoder &) -> Event { return event::ViolationsDropped{}; },
    [](cbor::Decoder &in) -> Event {
        event::InputReceived input;
        in.member(2, "runtime_log.input_received.session");
        input.session = in.unsigned_integer();
        in.member(3, "runtime_log.input_received.item");
        input.item = name_of(in, max_item_name_size, valid_item);
        return input;
    },
    [](cbor::Decoder &in) -> Event {
        in.member(2, "runtime_log.run_failed.reason");
        return event::RunFailed{std::string{in.text(1, max_event_text_size)}};
    },
    [](cbor::Decoder &) -> Event { return event::ResultTaken{}; },
};

Result<void> read_content(ByteView bytes, RuntimeRecord &record) {
    cbor::Decoder in(bytes, max_runtime_content_size, "runtime_log.content");
    in.open_map();
    in.member(0, "runtime_log.kind");
    const std::uint64_t kind = in.unsigned_integer();
    if (kind >= readers.size())
        in.refuse(Errc::unsupported);
    in.member(1, "runtime_log.time");
    record.time_us = in.unsigned_integer();
    if (in.ok())
        record.event = readers[kind](in);
    in.close();
    return in.finish();
}

void put_digest(cbor::Encoder &out, TpmAlg alg, ByteView digest) {
    out.open_map(2);
    out.integer(key::hash_alg);
    out.unsigned_integer(static_cast<std::uint16_t>(alg));
    out.integer(key::digest);
    out.bytes(digest);
    out.close();
}

template <std::size_t N> ByteArray<N> take_digest(cbor::Decoder &in, TpmAlg alg) {
    in.open_map();
    in.member(key::hash_alg, "runtime_log.hash_alg");
    in.expect_integer(static_cast<std::uint16_t>(alg), Errc::unsupported);
    in.member(key::digest, "runtime_log.digest");
    const auto digest = in.array<N>();
    in.close();
    return digest;
}

// All but the content, which comes last and goes in as it is.
Bytes encode_record(std::uint64_t number, const RecordDigests &digests, ByteView content) {
    // The record with its content as a number, which is then replaced: one byte.
    cbor::Encoder out(max_runtime_record_size);
    out.open_map(5);
    out.integer(key::recnum);
    out.unsigned_integer(number);
    out.integer(key::pcr);
    out.unsigned_integer(runtime_log_pcr);
    out.integer(key::digests);
    out.open_array(2);
    put_digest(out, TpmAlg::sha256, digests.sha256);
    put_digest(out, TpmAlg::sha384, digests.sha384);
    out.close();
    out.integer(key::content_type);
    out.unsigned_integer(runtime_content_type);
    out.integer(key::content);
    out.unsigned_integer(0);
    out.close();
    Bytes record = out.finish();
    record.pop_back();
    record.insert(record.end(), content.begin(), content.end());
    return record;
}

Bytes array_head(std::size_t count) { // RFC 8949, 3: major type 4; count is at most max_runtime_records
    static_assert(max_runtime_records <= 0xffff);
    if (count < 24)
        return {static_cast<std::byte>(0x80 + count)};
    if (count < 256)
        return {std::byte{0x98}, static_cast<std::byte>(count)};
    return {std::byte{0x99}, static_cast<std::byte>(count >> 8), static_cast<std::byte>(count & 0xff)};
}
constexpr std::size_t max_array_head_size = 3;

template <std::size_t N> Bytes joined(const ByteArray<N> &first, ByteView second) {
    Bytes both = to_bytes(first);
    both.insert(both.end(), second.begin(), second.end());
    return both;
}

Result<void> append_record(RuntimeLog &log, ByteView bytes) {
    const std::uint64_t place = log.records.size();
    if (place == max_runtime_records)
        return fail(Errc::too_large, "runtime_log", place);
    if (place > 0 && std::holds_alternative<event::LogFull>(log.records.back().event))
        return fail(Errc::malformed, "runtime_log.log_full", place);
    RuntimeRecord record;
    cbor::Decoder in(bytes, max_runtime_record_size, "runtime_log.record");
    in.open_map();
    in.member(key::recnum, "runtime_log.recnum");
    record.number = in.unsigned_integer();
    in.member(key::pcr, "runtime_log.pcr");
    in.expect_integer(runtime_log_pcr, Errc::unsupported);
    in.member(key::digests, "runtime_log.digests");
    in.open_array(2);
    record.digests.sha256 = take_digest<32>(in, TpmAlg::sha256);
    record.digests.sha384 = take_digest<48>(in, TpmAlg::sha384);
    in.close();
    in.member(key::content_type, "runtime_log.content_type");
    in.expect_integer(runtime_content_type, Errc::unsupported);
    in.member(key::content, "runtime_log.content");
    const ByteView content = in.raw();
    in.close();
    CVMIN_CHECK(in.finish());
    if (record.number != place)
        return fail(Errc::mismatch, "runtime_log.recnum", place);
    if (record.digests.sha256 != sha256(content))
        return fail(Errc::mismatch, "runtime_log.sha256", place);
    if (record.digests.sha384 != sha384(content))
        return fail(Errc::mismatch, "runtime_log.sha384", place);
    CVMIN_CHECK(read_content(content, record));
    if ((place == 0) != std::holds_alternative<event::Boot>(record.event))
        return fail(Errc::malformed, "runtime_log.boot", place);
    log.head = sha384(joined(log.head, record.digests.sha384));
    log.pcr256 = sha256(joined(log.pcr256, record.digests.sha256));
    log.records.push_back(std::move(record));
    return {};
}

} // namespace

std::string_view name(ViolationRule rule) {
    switch (rule) {
#define X(name, number, text)                                                                                          \
    case ViolationRule::name:                                                                                          \
        return #name;
        CVMIN_VIOLATION_TABLE(X)
#undef X
    }
    return "unknown";
}

std::string_view message(ViolationRule rule) {
    switch (rule) {
#define X(name, number, text)                                                                                          \
    case ViolationRule::name:                                                                                          \
        return text;
        CVMIN_VIOLATION_TABLE(X)
#undef X
    }
    return "unknown";
}

std::string_view kind_name(const Event &event) {
    return kind_names[event.index()];
}

Sha256Digest secret_context(std::string_view name) {
    std::string text = "cvmin runtime log secret ";
    text += name;
    return sha256(as_bytes(text));
}

Sha256Digest secret_commitment(const ByteArray<32> &exporter, ByteView value) {
    Sha256Stream stream; // no copy of the secret
    stream.update(exporter);
    stream.update(value);
    return stream.finish();
}

RuntimeLogWriter::RuntimeLogWriter(std::size_t max_size, std::size_t max_records)
    : max_size_(std::min(max_size, max_runtime_log_size)), max_records_(std::min(max_records, max_runtime_records)) {}

bool RuntimeLogWriter::fits(std::size_t size, std::size_t keep, std::size_t keep_records) const {
    return max_array_head_size + records_.size() + size + keep <= max_size_ &&
           offsets_.size() + 1 + keep_records <= max_records_;
}

bool RuntimeLogWriter::has_room(std::size_t keep, std::size_t keep_records) const {
    return fits(max_runtime_record_size, keep, keep_records);
}

std::optional<RecordDigests> RuntimeLogWriter::append(std::uint64_t time_us, const Event &event, std::size_t keep,
                                                      std::size_t keep_records) {
    const Bytes content = encode_content(time_us, event);
    const RecordDigests digests{sha256(content), sha384(content)};
    const Bytes record = encode_record(offsets_.size(), digests, content);
    if (!fits(record.size(), keep, keep_records))
        return std::nullopt;
    offsets_.push_back(static_cast<std::uint32_t>(records_.size()));
    records_.insert(records_.end(), record.begin(), record.end());
    head_ = sha384(joined(head_, digests.sha384));
    return digests;
}

Bytes RuntimeLogWriter::log() const {
    Bytes log = array_head(offsets_.size());
    log.insert(log.end(), records_.begin(), records_.end());
    return log;
}

ByteView RuntimeLogWriter::records_from(std::uint64_t number) const {
    if (number >= offsets_.size())
        return {};
    return ByteView{records_}.subspan(offsets_[number]);
}

Result<RuntimeLog> parse_runtime_log(ByteView bytes) {
    RuntimeLog log;
    cbor::Decoder in(bytes, max_runtime_log_size, "runtime_log");
    const std::size_t count = in.open_array();
    if (count > max_runtime_records)
        in.refuse(Errc::too_large);
    if (count == 0) // the boot record is always there
        in.refuse(Errc::malformed);
    while (in.more())
        CVMIN_CHECK(append_record(log, in.raw()));
    in.close();
    CVMIN_CHECK(in.finish());
    return log;
}

Result<void> append_records(RuntimeLog &log, ByteView records) {
    if (records.size() > max_runtime_log_size)
        return fail(Errc::too_large, "runtime_log", records.size());
    while (!records.empty()) {
        CVMIN_TRY(item, cbor::first_item(records, "runtime_log.record"));
        CVMIN_CHECK(append_record(log, item));
        records = records.subspan(item.size());
    }
    return {};
}

Bytes encode_runtime_log(const RuntimeLog &log) {
    Bytes bytes = array_head(log.records.size());
    for (const RuntimeRecord &record : log.records) {
        const Bytes encoded =
            encode_record(record.number, record.digests, encode_content(record.time_us, record.event));
        bytes.insert(bytes.end(), encoded.begin(), encoded.end());
    }
    return bytes;
}

} // namespace cvmin
