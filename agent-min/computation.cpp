#include "agent-min/computation.hpp"

#include "agent-min/random.hpp"
#include "common/receipt.hpp"
#include "common/snp_report.hpp"

#include <sys/wait.h>

namespace cvmin::agent {

namespace {

Response failure(PeerErrc code, std::string_view text) {
    return response::Failure{code, std::string{text.substr(0, max_error_text_size)}};
}
Response failure(PeerErrc code) {
    return failure(code, message(code));
}
Response failure(PeerErrc code, const Error &error) {
    return failure(code, to_string(error));
}

std::string number(std::uint64_t value) {
    return std::to_string(value);
}

// Why there is no result, to others than consumers: in what way a program ends it can choose by what it has read.
constexpr std::string_view unsaid = "the program gave no result";

std::string mebibytes(std::uint64_t bytes) {
    return bytes % (1u << 20) == 0 ? number(bytes >> 20) + " MiB" : number(bytes) + " bytes";
}

// Why a run gives no result; empty: it gives one.
std::string reason_of(const SandboxExit &exit, const Limits &limits) {
    switch (exit.ended) {
    case Ended::wall_limit:
        return "the program ran longer than " + number(limits.wall_seconds) + " s";
    case Ended::cpu_limit:
        return "the program used more than " + number(limits.cpu_seconds) + " s of CPU time";
    case Ended::memory_limit:
        return "the program used more than " + mebibytes(limits.memory) + " of memory";
    case Ended::killed:
        return "the program was ended by the agent";
    case Ended::by_itself:
        break;
    }
    if (WIFSIGNALED(exit.wait_status))
        return "the program was ended by signal " + number(static_cast<unsigned>(WTERMSIG(exit.wait_status)));
    if (WEXITSTATUS(exit.wait_status) != 0)
        return "the program ended with exit status " + number(static_cast<unsigned>(WEXITSTATUS(exit.wait_status)));
    return {};
}

Bytes slice(ByteView bytes, std::uint64_t offset) { // offset is within bytes
    const ByteView rest = bytes.subspan(static_cast<std::size_t>(offset));
    return to_bytes(rest.first(std::min(rest.size(), max_data_size)));
}

} // namespace

RunState Computation::state() const {
    static constexpr RunState names[] = {RunState::waiting_manifest, RunState::waiting_inputs, RunState::running,
                                         RunState::running,          RunState::result,         RunState::done,
                                         RunState::failed,           RunState::stopped};
    static_assert(std::size(names) == std::variant_size_v<State>);
    return names[state_.index()];
}

std::optional<Sha256Digest> Computation::manifest_digest() const {
    return agreement_ == nullptr ? std::nullopt : std::optional{agreement_->digest};
}

// ---- who ------------------------------------------------------------------------------------------------------

std::optional<std::size_t> Computation::place_of(const std::optional<PublicKey> &key) const {
    const cvmin::Party *const party = key && agreement_ != nullptr ? find_party(agreement_->manifest, *key) : nullptr;
    return party == nullptr ? std::nullopt
                            : std::optional{static_cast<std::size_t>(party - agreement_->manifest.parties.data())};
}

// Empty: nobody's key.
std::string_view Computation::party_of(const Party &from) const {
    const auto place = place_of(from.key);
    return place ? std::string_view{agreement_->manifest.parties[*place].name} : std::string_view{};
}

// The place of an input that this party may bring, or the refusal.
std::expected<std::size_t, Response> Computation::own_input(const Party &from, std::string_view item) {
    if (is<run_state::WaitingManifest>() || is<run_state::Stopped>())
        return std::unexpected(failure(PeerErrc::wrong_state));
    const std::string_view party = party_of(from);
    if (party.empty())
        return std::unexpected(failure(PeerErrc::not_a_party));
    const auto &inputs = agreement_->inputs;
    const auto found = std::ranges::find(inputs, item, [](const Input &input) { return input.item.name; });
    if (found == inputs.end())
        return std::unexpected(failure(PeerErrc::unknown_item));
    if (found->item.party != party) {
        parts_.log.violation({.session = from.session, .rule = ViolationRule::wrong_role, .name = std::string{item}});
        return std::unexpected(failure(PeerErrc::wrong_role));
    }
    return static_cast<std::size_t>(found - inputs.begin());
}

// The place of this party among the consumers, or the refusal. `name`: of what it asks for.
std::expected<std::size_t, Response> Computation::consumer(const Party &from, std::string_view name) {
    if (is<run_state::WaitingManifest>() || is<run_state::Stopped>())
        return std::unexpected(failure(PeerErrc::wrong_state));
    const std::string_view party = party_of(from);
    if (party.empty())
        return std::unexpected(failure(PeerErrc::not_a_party));
    const auto &consumers = agreement_->manifest.consumers;
    const auto found = std::ranges::find(consumers, party);
    if (found == consumers.end()) {
        parts_.log.violation({.session = from.session, .rule = ViolationRule::wrong_role, .name = std::string{name}});
        return std::unexpected(failure(PeerErrc::wrong_role));
    }
    return static_cast<std::size_t>(found - consumers.begin());
}

// ---- manifest -------------------------------------------------------------------------------------------------

// Whether HOST_DATA lets this manifest in: it names it, or it is all zero and names none. Our own report says so; the
// errors of the report source.
Result<bool> Computation::launched_for(const Sha256Digest &digest) {
    if (!host_data_) {
        const Sha512Digest nothing_secret = sha512(as_bytes("cvmin: HOST_DATA of this CVM"));
        CVMIN_TRY(report, parts_.source.report(nothing_secret));
        CVMIN_TRY(parsed, parse_snp_report(report.report));
        host_data_ = parsed.host_data;
    }
    return all_zero(*host_data_) || equal(*host_data_, digest);
}

Response Computation::on(const request::Manifest &request, const Party &from) {
    const Sha256Digest digest = cvmin::manifest_digest(request.manifest);
    if (is<run_state::Stopped>())
        return failure(PeerErrc::wrong_state);
    if (agreement_ != nullptr) {
        if (agreement_->digest == digest) // an answer was lost, or another party is as careful
            return response::Stored{digest};
        parts_.log.violation({.session = from.session, .rule = ViolationRule::wrong_manifest, .name = "manifest"});
        return failure(PeerErrc::exists, "another manifest has been accepted in this boot");
    }
    auto manifest = parse_manifest(request.manifest);
    if (!manifest)
        return failure(PeerErrc::bad_manifest, manifest.error());
    if (parts_.sandbox == nullptr)
        return failure(PeerErrc::not_available, "this CVM cannot run an algorithm");
    const auto launched = launched_for(digest);
    if (!launched)
        return failure(PeerErrc::not_available, launched.error());
    if (!*launched) {
        parts_.log.violation({.session = from.session, .rule = ViolationRule::wrong_manifest, .name = "manifest"});
        return failure(PeerErrc::manifest_mismatch);
    }
    if (const std::uint64_t wanted = memory_bound(*manifest), there = parts_.store.capacity(); wanted > there)
        return failure(PeerErrc::full, "inputs and limits want " + number(wanted) + " bytes of memory, and " +
                                           number(there) + " are there");
    if (!parts_.log.has_room())
        return failure(PeerErrc::log_full);
    if (const auto opened = parts_.store.open(*manifest); !opened) {
        parts_.store.wipe();
        return failure(PeerErrc::internal, opened.error());
    }
    agreement_ = std::make_unique<Agreement>();
    agreement_->manifest = std::move(*manifest);
    agreement_->digest = digest;
    for (ManifestItem &item : items(agreement_->manifest))
        agreement_->inputs.push_back({.item = std::move(item), .received = 0, .complete = false, .stream = {}});
    parts_.log.record(event::Manifest{digest});
    state_ = run_state::WaitingInputs{};
    return response::Stored{digest};
}

// ---- inputs ---------------------------------------------------------------------------------------------------

void Computation::forget(Input &input, std::size_t place) {
    parts_.store.drop(place);
    input.received = 0;
    std::destroy_at(&input.stream); // wipes
    std::construct_at(&input.stream);
}

Response Computation::on(const request::Put &request, const Party &from) {
    const auto place = own_input(from, request.item);
    if (!place)
        return place.error();
    if (!is<run_state::WaitingInputs>())
        return failure(PeerErrc::wrong_state);
    Input &input = agreement_->inputs[*place];
    if (input.complete)
        return failure(PeerErrc::exists, "this input is complete");
    if (request.offset == 0 && input.received != 0)
        forget(input, *place);
    if (request.offset != input.received)
        return failure(PeerErrc::wrong_offset);
    const ByteView piece = request.data;
    if (piece.size() > input.item.size_limit - input.received) {
        forget(input, *place);
        return failure(PeerErrc::too_large);
    }
    if (const auto stored = parts_.store.append(*place, piece); !stored) {
        forget(input, *place);
        return failure(PeerErrc::full, stored.error());
    }
    input.stream.update(piece);
    input.received += piece.size();
    return response::PutOk{input.received};
}

Response Computation::on(const request::PutEnd &request, const Party &from) {
    const auto place = own_input(from, request.item);
    if (!place)
        return place.error();
    Input &input = agreement_->inputs[*place];
    if (input.complete) // an answer was lost
        return request.size == input.received ? Response{response::Stored{input.item.sha256}}
                                              : failure(PeerErrc::exists, "this input is complete");
    if (!is<run_state::WaitingInputs>())
        return failure(PeerErrc::wrong_state);
    if (request.size != input.received)
        return failure(PeerErrc::wrong_offset);
    if (!parts_.log.has_room())
        return failure(PeerErrc::log_full);
    Sha256Stream so_far = input.stream;
    if (so_far.finish() != input.item.sha256) {
        forget(input, *place);
        parts_.log.violation({.session = from.session, .rule = ViolationRule::digest_mismatch, .name = request.item});
        return failure(PeerErrc::digest_mismatch);
    }
    if (const auto sealed = parts_.store.seal(*place); !sealed) {
        forget(input, *place);
        return failure(PeerErrc::internal, sealed.error());
    }
    input.complete = true;
    parts_.log.record(event::InputReceived{.session = from.session, .item = request.item});
    return response::Stored{input.item.sha256};
}

bool Computation::inputs_complete() const {
    return std::ranges::all_of(agreement_->inputs, &Input::complete);
}

// ---- run ------------------------------------------------------------------------------------------------------

std::array<int, 2> Computation::fds() const {
    if (!is<run_state::Running>())
        return {-1, -1};
    return {parts_.sandbox->exit_fd(), parts_.sandbox->log_fd()};
}

std::optional<std::uint64_t> Computation::deadline_ms() const {
    if (is<run_state::Running>())
        return parts_.sandbox->deadline_ms();
    if (is<run_state::Hashing>() || (is<run_state::WaitingInputs>() && inputs_complete()))
        return 0; // there is work now
    return std::nullopt;
}

void Computation::turn() {
    if (is<run_state::WaitingInputs>() && inputs_complete())
        return start();
    if (is<run_state::Running>()) {
        const auto exit = parts_.sandbox->tick();
        if (!exit)
            return fail_run("the run could not be watched: " + to_string(exit.error()));
        if (*exit)
            ended(**exit);
    } else if (auto *hashing = std::get_if<run_state::Hashing>(&state_)) {
        hash_some(*hashing);
    }
}

void Computation::start() {
    if (!parts_.log.has_room())
        return fail_run("the runtime log has no room left");
    const Algorithm &algorithm = agreement_->manifest.algorithm;
    SandboxJob job{.program_fd = parts_.store.program(),
                   .argv = {std::string{algorithm_item}},
                   .env = algorithm.environment,
                   .inputs_dir = parts_.store.inputs(),
                   .limits = algorithm.limits};
    job.argv.insert(job.argv.end(), algorithm.arguments.begin(), algorithm.arguments.end());
    parts_.log.record(event::Start{algorithm.sha256});
    if (const auto started = parts_.sandbox->start(job); !started)
        return fail_run("the program could not be started: " + to_string(started.error()));
    state_ = run_state::Running{};
}

void Computation::ended(const SandboxExit &exit) {
    wait_status_ = static_cast<std::uint64_t>(static_cast<unsigned>(exit.wait_status));
    log_ = to_bytes(parts_.sandbox->log());
    if (parts_.sandbox->log_truncated()) {
        static constexpr std::string_view mark = "\n[truncated]\n";
        log_.insert(log_.end(), as_bytes(mark).begin(), as_bytes(mark).end());
    }
    if (std::string reason = reason_of(exit, agreement_->manifest.algorithm.limits); !reason.empty())
        return fail_run(std::move(reason), true);
    parts_.store.wipe(); // what the program has read is not needed any more
    auto outputs = parts_.sandbox->outputs();
    if (!outputs)
        return fail_run("the output is refused: " + to_string(outputs.error()), true);
    run_state::Hashing hashing;
    for (OutputFile &file : *outputs)
        hashing.files.push_back({.name = std::move(file.name), .size = file.size, .sha256 = {}});
    state_.emplace<run_state::Hashing>(std::move(hashing));
}

void Computation::hash_some(run_state::Hashing &state) {
    Bytes piece;
    for (std::uint64_t left = hashed_per_turn; left > 0 && state.file < state.files.size();) {
        response::OutputFile &file = state.files[state.file];
        piece.resize(static_cast<std::size_t>(std::min(file.size - state.offset, left)));
        if (const auto read = parts_.sandbox->read_output(file.name, state.offset, piece); !read)
            return fail_run("the output cannot be read: " + to_string(read.error()));
        state.stream.update(piece);
        state.offset += piece.size();
        left -= piece.size();
        if (state.offset == file.size) {
            file.sha256 = state.stream.finish();
            std::destroy_at(&state.stream);
            std::construct_at(&state.stream);
            state.offset = 0;
            ++state.file;
        }
    }
    if (state.file < state.files.size())
        return;
    if (!parts_.log.has_room())
        return fail_run("the runtime log has no room left");
    parts_.log.record(event::Result{wait_status_.value_or(0)});
    std::vector<response::OutputFile> files = std::move(state.files);
    state_ = run_state::Result{.files = std::move(files), .receipt = {}, .confirmed = {}};
}

void Computation::fail_run(std::string reason, bool by_program) {
    reason.resize(std::min(reason.size(), max_reason_size));
    parts_.log.record(event::RunFailed{by_program ? std::string{unsaid} : reason});
    // what cannot be given back is lost until the machine goes off; there is no second run in this boot
    [[maybe_unused]] const auto cleaned = parts_.sandbox->clean();
    parts_.store.wipe();
    state_ = run_state::Failed{std::move(reason), by_program};
}

void Computation::stop() {
    if (parts_.sandbox != nullptr) [[maybe_unused]]
        const auto cleaned = parts_.sandbox->clean();
    parts_.store.wipe();
    log_.clear();
    state_ = run_state::Stopped{};
}

// ---- result ---------------------------------------------------------------------------------------------------

Response Computation::on(const request::Status &, const Party &from) {
    response::Status status{.state = state()};
    if (agreement_ == nullptr)
        return status;
    const std::string_view party = party_of(from);
    if (party.empty())
        return failure(PeerErrc::not_a_party);
    for (const Input &input : agreement_->inputs)
        status.items.push_back({.item = input.item.name, .received = input.received, .complete = input.complete});
    const bool consumes = is_consumer(agreement_->manifest, party);
    if (const auto *failed = std::get_if<run_state::Failed>(&state_))
        status.reason = failed->by_program && !consumes ? std::string{unsaid} : failed->reason;
    if (!consumes)
        return status;
    status.wait_status = wait_status_;
    if (const auto *result = std::get_if<run_state::Result>(&state_))
        status.outputs = result->files;
    return status;
}

// The evidence comes first asked for: a platform that gives no report now may give one later.
Result<void> Computation::make_receipt(run_state::Result &state) {
    const Manifest &manifest = agreement_->manifest;
    ReceiptBody body{.manifest = agreement_->digest,
                     .program = manifest.algorithm.sha256,
                     .datasets = {},
                     .output = output_digest(state.files),
                     .log = sha256(log_),
                     .wait_status = wait_status_.value_or(0),
                     .runtime_log = parts_.log.head()};
    for (const Dataset &dataset : manifest.datasets)
        body.datasets.push_back({.name = dataset.name, .sha256 = dataset.sha256});
    const Bytes body_bytes = encode_receipt_body(body);
    Evidence evidence;
    evidence.claims = encode_claims({.nonce = to_bytes(sha256(body_bytes)),
                                     .key = parts_.key,
                                     .exporter = std::nullopt,
                                     .runtime_log = parts_.log.head(),
                                     .manifest = agreement_->digest,
                                     .ak = std::nullopt});
    CVMIN_TRY(report, parts_.source.report(report_data_for(evidence.claims)));
    evidence.report = std::move(report.report);
    evidence.certificates = std::move(report.certificates);
    evidence.runtime_log = parts_.log.log();
    CVMIN_TRY(receipt,
              cvmin::make_receipt(body_bytes, encode_evidence(evidence), parts_.signer, mbedtls_random, nullptr));
    state.receipt = std::move(receipt);
    return {};
}

Response Computation::on(const request::Get &request, const Party &from) {
    const auto place = consumer(from, request.name);
    if (!place)
        return place.error();
    auto *result = std::get_if<run_state::Result>(&state_);
    if (result == nullptr && !(is<run_state::Failed>() && request.name == log_name)) // which says what went wrong
        return failure(PeerErrc::wrong_state);
    if (request.name == receipt_name && result->receipt.empty())
        if (const auto made = make_receipt(*result); !made)
            return failure(PeerErrc::not_available, made.error());
    if (request.name == log_name || request.name == receipt_name) {
        const Bytes &whole = request.name == log_name ? log_ : result->receipt;
        if (request.offset > whole.size())
            return failure(PeerErrc::wrong_offset);
        return response::Data{.data = slice(whole, request.offset), .total = whole.size()};
    }
    const std::string_view name = std::string_view{request.name}.substr(output_prefix.size());
    const auto file = std::ranges::find(result->files, name, &response::OutputFile::name);
    if (file == result->files.end())
        return failure(PeerErrc::unknown_item);
    if (request.offset > file->size)
        return failure(PeerErrc::wrong_offset);
    response::Data data{
        .data = Bytes(static_cast<std::size_t>(std::min<std::uint64_t>(file->size - request.offset, max_data_size))),
        .total = file->size};
    if (const auto read = parts_.sandbox->read_output(file->name, request.offset, data.data); !read)
        return failure(PeerErrc::internal, read.error());
    return data;
}

Response Computation::on(const request::Confirm &request, const Party &from) {
    const auto place = consumer(from, receipt_name);
    if (!place)
        return place.error();
    if (const auto *done = std::get_if<run_state::Done>(&state_)) // an answer was lost
        return done->receipt == request.receipt ? Response{response::Stored{done->receipt}}
                                                : failure(PeerErrc::digest_mismatch, "not the receipt of this run");
    auto *result = std::get_if<run_state::Result>(&state_);
    if (result == nullptr || result->receipt.empty()) // nobody has seen one yet
        return failure(PeerErrc::wrong_state);
    if (sha256(result->receipt) != request.receipt)
        return failure(PeerErrc::digest_mismatch, "not the receipt of this run");
    result->confirmed.set(*place);
    if (result->confirmed.count() == agreement_->manifest.consumers.size()) {
        parts_.log.record(event::ResultTaken{});
        [[maybe_unused]] const auto cleaned = parts_.sandbox->clean();
        log_.clear();
        state_ = run_state::Done{request.receipt};
    }
    return response::Stored{request.receipt};
}

} // namespace cvmin::agent
