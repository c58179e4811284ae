#include "common/protocol.hpp"

#include "common/cbor.hpp"
#include "common/cert_table.hpp"
#include "common/claims.hpp"
#include "common/evidence.hpp"
#include "common/snp_report.hpp"

namespace cvmin {

namespace {

// Key 0 says what a message is and comes first in canonical order; the others are its members, numbered from 1.
constexpr std::int64_t kind_key = 0;

namespace kind {
constexpr std::string_view hello = "hello"; // request and response
constexpr std::string_view attest = "attest";
constexpr std::string_view put_secret = "put-secret";
constexpr std::string_view secret_digest = "secret-digest";
constexpr std::string_view stop = "stop";
constexpr std::string_view evidence = "evidence";
constexpr std::string_view stored = "stored";
constexpr std::string_view stopping = "stopping";
constexpr std::string_view failure = "failure";
constexpr std::string_view activate = "activate";
constexpr std::string_view activated = "activated";
constexpr std::string_view events = "events"; // request and response
constexpr std::string_view manifest = "manifest";
constexpr std::string_view put = "put";
constexpr std::string_view put_end = "put-end";
constexpr std::string_view put_ok = "put-ok";
constexpr std::string_view status = "status"; // request and response
constexpr std::string_view get = "get";
constexpr std::string_view data = "data";
constexpr std::string_view confirm = "confirm";
constexpr std::string_view passport_put = "passport-put";
constexpr std::string_view passport_get = "passport-get";
constexpr std::string_view passport = "passport";
constexpr std::size_t max_size = 32;
} // namespace kind

// The request with the largest frame is a full secret under a full name; the largest response is full evidence.
constexpr std::size_t max_overhead = 64; // map, keys, lengths, kind
static_assert(max_secret_size + max_secret_name_size + max_overhead <= max_request_size);
static_assert(max_put_size + max_item_name_size + max_overhead <= max_request_size);
static_assert(max_passport_size + max_overhead <= max_request_size);
static_assert(max_data_size + max_overhead <= max_response_size);
static_assert(max_evidence_size + max_overhead <= max_response_size);
static_assert(max_events_chunk_size >= max_runtime_log_size && max_pcr_mask == (1u << pcr_count) - 1);
static_assert(max_sp_response_size == sp_response_head_size + snp_report_size + max_cert_table_size);

void open(cbor::Encoder &out, std::string_view kind, std::size_t members) {
    out.open_map(1 + members);
    out.integer(kind_key);
    out.text(kind);
}

template <class... F> struct Overloaded : F... {
    using F::operator()...;
};

std::string_view open(cbor::Decoder &in, std::string_view where) {
    in.open_map();
    in.member(kind_key, where);
    return in.text(1, kind::max_size);
}

// A text that must be valid in the sense of `valid`.
std::string name_of(cbor::Decoder &in, std::size_t max, bool (*valid)(std::string_view)) {
    const std::string_view name = in.text(1, max);
    if (in.ok() && !valid(name))
        in.refuse(Errc::out_of_range);
    return std::string{name};
}
std::string secret_name(cbor::Decoder &in) {
    in.member(1, "request.name");
    return name_of(in, max_secret_name_size, valid_secret_name);
}
std::string item(cbor::Decoder &in) {
    in.member(1, "request.item");
    return name_of(in, max_item_name_size, valid_item);
}

void put_items(cbor::Encoder &out, const std::vector<response::ItemStatus> &items) {
    out.open_array(items.size());
    for (const response::ItemStatus &item : items) {
        out.open_array(3);
        out.text(item.item);
        out.unsigned_integer(item.received);
        out.unsigned_integer(item.complete ? 1 : 0);
        out.close();
    }
    out.close();
}
std::vector<response::ItemStatus> take_items(cbor::Decoder &in) {
    std::vector<response::ItemStatus> items;
    if (in.open_array() > 1 + max_datasets)
        in.refuse(Errc::out_of_range);
    while (in.more()) {
        in.open_array(3);
        response::ItemStatus item;
        item.item = name_of(in, max_item_name_size, valid_item);
        item.received = in.unsigned_integer();
        item.complete = in.unsigned_integer(1) == 1;
        in.close();
        items.push_back(std::move(item));
    }
    in.close();
    return items;
}

void put_outputs(cbor::Encoder &out, const std::vector<response::OutputFile> &outputs) {
    out.open_array(outputs.size());
    for (const response::OutputFile &output : outputs) {
        out.open_array(3);
        out.text(output.name);
        out.unsigned_integer(output.size);
        out.bytes(output.sha256);
        out.close();
    }
    out.close();
}
std::vector<response::OutputFile> take_outputs(cbor::Decoder &in) {
    std::vector<response::OutputFile> outputs;
    if (in.open_array() > max_outputs)
        in.refuse(Errc::out_of_range);
    while (in.more()) {
        in.open_array(3);
        response::OutputFile output;
        output.name = name_of(in, max_output_name_size, valid_output_name);
        output.size = in.unsigned_integer();
        output.sha256 = in.array<32>();
        in.close();
        outputs.push_back(std::move(output));
    }
    in.close();
    return outputs;
}

std::size_t large_part(const Request &request) {
    if (const auto *secret = std::get_if<request::PutSecret>(&request))
        return secret->value.view().size();
    if (const auto *put = std::get_if<request::Put>(&request))
        return put->data.size();
    if (const auto *manifest = std::get_if<request::Manifest>(&request))
        return manifest->manifest.size();
    if (const auto *passport = std::get_if<request::PassportPut>(&request))
        return passport->result.size();
    return 0;
}
std::size_t large_part(const Response &response) {
    if (const auto *evidence = std::get_if<response::Evidence>(&response))
        return evidence->evidence.size();
    if (const auto *events = std::get_if<response::EventsChunk>(&response))
        return events->records.size();
    if (const auto *data = std::get_if<response::Data>(&response))
        return data->data.size();
    if (const auto *passport = std::get_if<response::Passport>(&response))
        return passport->result.size();
    return 0;
}

} // namespace

bool valid_secret_name(std::string_view name) {
    return !name.empty() && name.size() <= max_secret_name_size && std::ranges::all_of(name, [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
    });
}

bool valid_item(std::string_view item) {
    return item == algorithm_item ||
           (item.starts_with(data_item_prefix) && is_manifest_name(item.substr(data_item_prefix.size())));
}

bool valid_output_name(std::string_view name) {
    return !name.empty() && name.size() <= max_output_name_size && name != "." && name != ".." &&
           std::ranges::all_of(name, [](char c) {
               return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' ||
                      c == '_' || c == '-';
           });
}

bool valid_get_name(std::string_view name) {
    return name == log_name || name == receipt_name ||
           (name.starts_with(output_prefix) && valid_output_name(name.substr(output_prefix.size())));
}

std::string_view name(RunState state) {
    static constexpr std::array<std::string_view, max_run_state + 1> names{
        "waiting-manifest", "waiting-inputs", "running", "result", "done", "failed", "stopped"};
    return names[static_cast<std::size_t>(state)];
}

std::string_view name(PeerErrc code) {
    switch (code) {
#define X(name, number, text)                                                                                          \
    case PeerErrc::name:                                                                                               \
        return #name;
        CVMIN_PEER_ERROR_TABLE(X)
#undef X
    }
    return "unknown";
}

std::string_view message(PeerErrc code) {
    switch (code) {
#define X(name, number, text)                                                                                          \
    case PeerErrc::name:                                                                                               \
        return text;
        CVMIN_PEER_ERROR_TABLE(X)
#undef X
    }
    return "unknown";
}

static std::optional<PeerErrc> peer_error(std::uint64_t number) {
    switch (number) {
#define X(name, value, text)                                                                                           \
    case value:                                                                                                        \
        return PeerErrc::name;
        CVMIN_PEER_ERROR_TABLE(X)
#undef X
    default:
        return std::nullopt;
    }
}

Bytes encode_request(const Request &request) {
    cbor::Encoder out(large_part(request) + 1024); // no reallocation leaves a copy behind
    std::visit(Overloaded{
                   [&](const request::Hello &) { open(out, kind::hello, 0); },
                   [&](const request::Attest &attest) {
                       open(out, kind::attest, attest.pcrs ? 3 : 1);
                       out.integer(1);
                       out.bytes(attest.nonce);
                       if (attest.pcrs) {
                           out.integer(2);
                           out.unsigned_integer(static_cast<std::uint16_t>(attest.pcrs->bank));
                           out.integer(3);
                           out.unsigned_integer(attest.pcrs->mask);
                       }
                   },
                   [&](const request::PutSecret &secret) {
                       open(out, kind::put_secret, 2);
                       out.integer(1);
                       out.text(secret.name);
                       out.integer(2);
                       out.bytes(secret.value.view());
                   },
                   [&](const request::SecretDigest &digest) {
                       open(out, kind::secret_digest, 1);
                       out.integer(1);
                       out.text(digest.name);
                   },
                   [&](const request::Stop &) { open(out, kind::stop, 0); },
                   [&](const request::Activate &activate) {
                       open(out, kind::activate, 2);
                       out.integer(1);
                       out.bytes(activate.id_object);
                       out.integer(2);
                       out.bytes(activate.encrypted_secret);
                   },
                   [&](const request::Events &events) {
                       open(out, kind::events, 1);
                       out.integer(1);
                       out.unsigned_integer(events.from);
                   },
                   [&](const request::Manifest &manifest) {
                       open(out, kind::manifest, 1);
                       out.integer(1);
                       out.bytes(manifest.manifest);
                   },
                   [&](const request::Put &put) {
                       open(out, kind::put, 3);
                       out.integer(1);
                       out.text(put.item);
                       out.integer(2);
                       out.unsigned_integer(put.offset);
                       out.integer(3);
                       out.bytes(put.data);
                   },
                   [&](const request::PutEnd &end) {
                       open(out, kind::put_end, 2);
                       out.integer(1);
                       out.text(end.item);
                       out.integer(2);
                       out.unsigned_integer(end.size);
                   },
                   [&](const request::Status &) { open(out, kind::status, 0); },
                   [&](const request::Get &get) {
                       open(out, kind::get, 2);
                       out.integer(1);
                       out.text(get.name);
                       out.integer(2);
                       out.unsigned_integer(get.offset);
                   },
                   [&](const request::Confirm &confirm) {
                       open(out, kind::confirm, 1);
                       out.integer(1);
                       out.bytes(confirm.receipt);
                   },
                   [&](const request::PassportPut &put) {
                       open(out, kind::passport_put, 1);
                       out.integer(1);
                       out.bytes(put.result);
                   },
                   [&](const request::PassportGet &) { open(out, kind::passport_get, 0); },
               },
               request);
    out.close();
    return out.finish();
}

Bytes encode_response(const Response &response) {
    cbor::Encoder out(large_part(response) + 512);
    std::visit(Overloaded{
                   [&](const response::Hello &hello) {
                       open(out, kind::hello, 6);
                       out.integer(1);
                       out.unsigned_integer(hello.version);
                       out.integer(2);
                       out.text(hello.agent);
                       out.integer(3);
                       out.unsigned_integer(hello.start_us);
                       out.integer(4);
                       out.unsigned_integer(hello.listening_us);
                       out.integer(5);
                       out.unsigned_integer(hello.ready_us);
                       out.integer(6);
                       out.text(hello.report_source);
                   },
                   [&](const response::Evidence &evidence) {
                       open(out, kind::evidence, 1);
                       out.integer(1);
                       out.bytes(evidence.evidence);
                   },
                   [&](const response::Stored &stored) {
                       open(out, kind::stored, 1);
                       out.integer(1);
                       out.bytes(stored.digest);
                   },
                   [&](const response::Stopping &) { open(out, kind::stopping, 0); },
                   [&](const response::Failure &failure) {
                       open(out, kind::failure, 2);
                       out.integer(1);
                       out.unsigned_integer(static_cast<std::uint64_t>(failure.code));
                       out.integer(2);
                       out.text(failure.text);
                   },
                   [&](const response::Activated &activated) {
                       open(out, kind::activated, 1);
                       out.integer(1);
                       out.bytes(activated.credential);
                   },
                   [&](const response::EventsChunk &events) {
                       open(out, kind::events, 2);
                       out.integer(1);
                       out.bytes(events.records);
                       out.integer(2);
                       out.unsigned_integer(events.total);
                   },
                   [&](const response::PutOk &ok) {
                       open(out, kind::put_ok, 1);
                       out.integer(1);
                       out.unsigned_integer(ok.received);
                   },
                   [&](const response::Status &status) {
                       open(out, kind::status, 5);
                       out.integer(1);
                       out.unsigned_integer(static_cast<std::uint64_t>(status.state));
                       out.integer(2);
                       put_items(out, status.items);
                       out.integer(3);
                       if (status.reason)
                           out.text(*status.reason);
                       else
                           out.null();
                       out.integer(4);
                       if (status.wait_status)
                           out.unsigned_integer(*status.wait_status);
                       else
                           out.null();
                       out.integer(5);
                       if (status.outputs)
                           put_outputs(out, *status.outputs);
                       else
                           out.null();
                   },
                   [&](const response::Data &data) {
                       open(out, kind::data, 2);
                       out.integer(1);
                       out.bytes(data.data);
                       out.integer(2);
                       out.unsigned_integer(data.total);
                   },
                   [&](const response::Passport &passport) {
                       open(out, kind::passport, 1);
                       out.integer(1);
                       out.bytes(passport.result);
                   },
               },
               response);
    out.close();
    return out.finish();
}

Result<Request> parse_request(ByteView bytes) {
    cbor::Decoder in(bytes, max_request_size, "request");
    Request request = request::Hello{};
    const std::string_view kind = open(in, "request.kind");
    if (kind == kind::hello) {
        // nothing more
    } else if (kind == kind::attest) {
        in.member(1, "request.nonce");
        request::Attest attest{to_bytes(in.bytes(min_nonce_size, max_nonce_size))};
        if (in.optional_member(2, "request.pcr_bank")) {
            const auto bank = tpm_hash_alg(in.unsigned_integer());
            if (!bank)
                in.refuse(Errc::unsupported);
            in.member(3, "request.pcrs");
            const std::uint64_t mask = in.unsigned_integer(max_pcr_mask);
            if (mask == 0)
                in.refuse(Errc::out_of_range);
            attest.pcrs = request::PcrSelection{bank.value_or(TpmAlg::sha256), static_cast<std::uint32_t>(mask)};
        }
        request = std::move(attest);
    } else if (kind == kind::put_secret) {
        std::string name = secret_name(in);
        in.member(2, "request.value");
        request = request::PutSecret{std::move(name), Secret{to_bytes(in.bytes(1, max_secret_size))}};
    } else if (kind == kind::secret_digest) {
        request = request::SecretDigest{secret_name(in)};
    } else if (kind == kind::stop) {
        request = request::Stop{};
    } else if (kind == kind::activate) {
        request::Activate activate;
        in.member(1, "request.id_object");
        activate.id_object = to_bytes(in.bytes(1, max_id_object_size));
        in.member(2, "request.encrypted_secret");
        activate.encrypted_secret = to_bytes(in.bytes(1, max_encrypted_secret_size));
        request = std::move(activate);
    } else if (kind == kind::events) {
        in.member(1, "request.from");
        request = request::Events{in.unsigned_integer()};
    } else if (kind == kind::manifest) {
        in.member(1, "request.manifest");
        request = request::Manifest{to_bytes(in.bytes(1, max_manifest_size))};
    } else if (kind == kind::put) {
        request::Put put;
        put.item = item(in);
        in.member(2, "request.offset");
        put.offset = in.unsigned_integer();
        in.member(3, "request.data");
        put.data = in.bytes(1, max_put_size);
        request = std::move(put);
    } else if (kind == kind::put_end) {
        request::PutEnd end;
        end.item = item(in);
        in.member(2, "request.size");
        end.size = in.unsigned_integer();
        request = std::move(end);
    } else if (kind == kind::status) {
        request = request::Status{};
    } else if (kind == kind::get) {
        request::Get get;
        in.member(1, "request.name");
        get.name = name_of(in, max_get_name_size, valid_get_name);
        in.member(2, "request.offset");
        get.offset = in.unsigned_integer();
        request = std::move(get);
    } else if (kind == kind::confirm) {
        in.member(1, "request.receipt");
        request = request::Confirm{in.array<32>()};
    } else if (kind == kind::passport_put) {
        in.member(1, "request.result");
        request = request::PassportPut{to_bytes(in.bytes(1, max_passport_size))};
    } else if (kind == kind::passport_get) {
        request = request::PassportGet{};
    } else {
        in.refuse(Errc::unsupported);
    }
    in.close();
    CVMIN_CHECK(in.finish());
    return request;
}

Result<Response> parse_response(ByteView bytes) {
    cbor::Decoder in(bytes, max_response_size, "response");
    Response response = response::Stopping{};
    const std::string_view kind = open(in, "response.kind");
    if (kind == kind::hello) {
        response::Hello hello;
        in.member(1, "response.version");
        hello.version = in.unsigned_integer();
        if (in.ok() && hello.version != protocol_version)
            in.refuse(Errc::unsupported);
        in.member(2, "response.agent");
        hello.agent = in.text(1, max_agent_name_size);
        in.member(3, "response.start_us");
        hello.start_us = in.unsigned_integer();
        in.member(4, "response.listening_us");
        hello.listening_us = in.unsigned_integer();
        in.member(5, "response.ready_us");
        hello.ready_us = in.unsigned_integer();
        in.member(6, "response.report_source");
        hello.report_source = in.text(1, max_report_source_size);
        response = std::move(hello);
    } else if (kind == kind::evidence) {
        in.member(1, "response.evidence");
        response = response::Evidence{to_bytes(in.bytes(1, max_evidence_size))};
    } else if (kind == kind::stored) {
        in.member(1, "response.digest");
        response = response::Stored{in.array<32>()};
    } else if (kind == kind::activated) {
        in.member(1, "response.credential");
        response = response::Activated{to_bytes(in.bytes(1, max_credential_size))};
    } else if (kind == kind::events) {
        response::EventsChunk events;
        in.member(1, "response.records");
        events.records = to_bytes(in.bytes(0, max_events_chunk_size));
        in.member(2, "response.total");
        events.total = in.unsigned_integer();
        response = std::move(events);
    } else if (kind == kind::put_ok) {
        in.member(1, "response.received");
        response = response::PutOk{in.unsigned_integer()};
    } else if (kind == kind::status) {
        response::Status status;
        in.member(1, "response.state");
        status.state = static_cast<RunState>(in.unsigned_integer(max_run_state));
        in.member(2, "response.items");
        status.items = take_items(in);
        in.member(3, "response.reason");
        if (!in.null())
            status.reason = std::string{in.text(1, max_reason_size)};
        in.member(4, "response.wait_status");
        if (!in.null())
            status.wait_status = in.unsigned_integer();
        in.member(5, "response.outputs");
        if (!in.null())
            status.outputs = take_outputs(in);
        response = std::move(status);
    } else if (kind == kind::data) {
        response::Data data;
        in.member(1, "response.data");
        data.data = to_bytes(in.bytes(0, max_data_size));
        in.member(2, "response.total");
        data.total = in.unsigned_integer();
        response = std::move(data);
    } else if (kind == kind::passport) {
        in.member(1, "response.result");
        response = response::Passport{to_bytes(in.bytes(1, max_passport_size))};
    } else if (kind == kind::stopping) {
        // nothing more
    } else if (kind == kind::failure) {
        in.member(1, "response.code");
        const auto code = peer_error(in.unsigned_integer());
        if (!code)
            in.refuse(Errc::out_of_range);
        in.member(2, "response.text");
        response = response::Failure{code.value_or(PeerErrc::internal), std::string{in.text(0, max_error_text_size)}};
    } else {
        in.refuse(Errc::unsupported);
    }
    in.close();
    CVMIN_CHECK(in.finish());
    return response;
}

ByteArray<frame_header_size> frame_header(std::size_t size) {
    ByteArray<frame_header_size> header;
    store_be(header, size);
    return header;
}

// ---- emulated AMD-SP ------------------------------------------------------------------------------------------

namespace {

// 56860, guest message header: the members that matter without encryption, then the message's own.
namespace sp_head {
using sequence = Field<0, 8>;
using type = Field<8, 1>;
using version = Field<9, 1>;
using reserved = Field<10, 6>;
} // namespace sp_head
namespace sp_request_field { // MSG_REPORT_REQ
using report_data = Field<16, 64>;
using vmpl = Field<80, 4>;
using reserved = Field<84, 28>; // KEY_SEL (0: VCEK or VLEK as the host installed) and reserved
static_assert(fields_tile<sp_request_size, sp_head::sequence, sp_head::type, sp_head::version, sp_head::reserved,
                          report_data, vmpl, reserved>());
} // namespace sp_request_field
namespace sp_response_field { // MSG_REPORT_RSP
using status = Field<16, 4>;
using report_size = Field<20, 4>;
using reserved = Field<24, 24>;
static_assert(fields_tile<sp_response_head_size, sp_head::sequence, sp_head::type, sp_head::version, sp_head::reserved,
                          status, report_size, reserved>());
} // namespace sp_response_field

constexpr std::uint64_t msg_report_req = 5; // 56860, table of guest message types
constexpr std::uint64_t msg_report_rsp = 6;
constexpr std::uint64_t message_version = 1;

} // namespace

Bytes encode_sp_request(const SpRequest &request) {
    Bytes out(sp_request_size);
    sp_head::sequence::put_le(out, request.sequence);
    sp_head::type::put_le(out, msg_report_req);
    sp_head::version::put_le(out, message_version);
    sp_request_field::report_data::put(out, request.report_data);
    sp_request_field::vmpl::put_le(out, request.vmpl);
    return out;
}

Bytes encode_sp_response(const SpResponse &response) {
    Bytes out(sp_response_head_size);
    sp_head::sequence::put_le(out, response.sequence);
    sp_head::type::put_le(out, msg_report_rsp);
    sp_head::version::put_le(out, message_version);
    sp_response_field::status::put_le(out, static_cast<std::uint64_t>(response.status));
    sp_response_field::report_size::put_le(out, response.report.size());
    out.insert(out.end(), response.report.begin(), response.report.end());
    out.insert(out.end(), response.certificates.begin(), response.certificates.end());
    return out;
}

static Result<void> check_sp_head(ByteView bytes, std::uint64_t type, std::string_view where) {
    if (sp_head::type::le(bytes) != type || sp_head::version::le(bytes) != message_version)
        return fail(Errc::unsupported, where, sp_head::type::le(bytes));
    if (!all_zero(sp_head::reserved::view(bytes)))
        return fail(Errc::malformed, where, sp_head::reserved::offset);
    return {};
}

Result<SpRequest> parse_sp_request(ByteView bytes) {
    if (bytes.size() != sp_request_size)
        return fail(bytes.size() < sp_request_size ? Errc::truncated : Errc::trailing, "sp_request", bytes.size());
    CVMIN_CHECK(check_sp_head(bytes, msg_report_req, "sp_request.type"));
    if (!all_zero(sp_request_field::reserved::view(bytes)))
        return fail(Errc::malformed, "sp_request.reserved", sp_request_field::reserved::offset);
    return SpRequest{
        .sequence = sp_head::sequence::le(bytes),
        .report_data = sp_request_field::report_data::array(bytes),
        .vmpl = static_cast<std::uint32_t>(sp_request_field::vmpl::le(bytes)),
    };
}

Result<SpResponse> parse_sp_response(ByteView bytes) {
    if (bytes.size() < sp_response_head_size)
        return fail(Errc::truncated, "sp_response", bytes.size());
    const ByteView head = bytes.first(sp_response_head_size);
    ByteView rest = bytes.subspan(sp_response_head_size);
    CVMIN_CHECK(check_sp_head(head, msg_report_rsp, "sp_response.type"));
    if (!all_zero(sp_response_field::reserved::view(head)))
        return fail(Errc::malformed, "sp_response.reserved", sp_response_field::reserved::offset);

    SpResponse response;
    response.sequence = sp_head::sequence::le(head);
    const std::uint64_t status = sp_response_field::status::le(head);
    const std::uint64_t report_size = sp_response_field::report_size::le(head);
    if (status != static_cast<std::uint64_t>(SpStatus::ok)) {
        response.status = static_cast<SpStatus>(status);
        if (response.status != SpStatus::invalid_parameter && response.status != SpStatus::bad_sequence)
            return fail(Errc::unsupported, "sp_response.status", status);
        if (report_size != 0 || !rest.empty())
            return fail(Errc::trailing, "sp_response", sp_response_head_size);
        return response;
    }
    if (report_size != snp_report_size)
        return fail(Errc::out_of_range, "sp_response.report_size", report_size);
    if (rest.size() < snp_report_size)
        return fail(Errc::truncated, "sp_response", bytes.size());
    response.report = to_bytes(rest.first(snp_report_size));
    rest = rest.subspan(snp_report_size);
    if (rest.size() > max_cert_table_size)
        return fail(Errc::too_large, "sp_response.certificates", rest.size());
    response.certificates = to_bytes(rest);
    return response;
}

} // namespace cvmin
