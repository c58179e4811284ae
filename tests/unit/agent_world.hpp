// The agent's service in a faked world, and two peers of it.
#pragma once

#include "tests/unit/agent_fakes.hpp"

namespace cvmin::test {

using namespace agent;

struct World {
    FakeSource source;
    FakePages pages;
    SecretStore secrets{pages};
    PublicKey key{filled<48>(0x11), filled<48>(0x22)};
    FakeClock clock;
    FakeTpm tpm;
    FakeLogs logs;
    agent::RuntimeLog log;
    Service service{{.source = source, .secrets = secrets, .log = log, .logs = &logs},
                    key,
                    {.start = 10, .listening = 20, .ready = 30}};
    FakeChannel channel;
    Peer peer{.channel = channel, .session = 1};
    Peer other{.channel = channel, .session = 2};

    explicit World(bool with_tpm = true, RuntimeLogWriter writer = RuntimeLogWriter{})
        : log(clock, with_tpm ? &tpm : nullptr, std::move(writer)) {
        log.record(event::Boot{.agent = "cvmin-agent",
                               .debug_image = false,
                               .report_source = "fake",
                               .tpm = with_tpm ? PartState::ready : PartState::absent,
                               .ima = PartState::absent});
    }
    std::vector<Event> events() const { // what the log holds after its boot record
        const auto parsed = parse_runtime_log(log.log());
        std::vector<Event> events;
        if (!parsed || parsed->head != log.head())
            abort();
        for (const RuntimeRecord &record : std::span{parsed->records}.subspan(1))
            events.push_back(record.event);
        return events;
    }

    Response ask(const Request &request, Peer &from) { return service.handle(encode_request(request), from).response; }
    std::optional<PeerErrc> failure(const Request &request, Peer &from) {
        const Response response = ask(request, from);
        const auto *failed = std::get_if<response::Failure>(&response);
        return failed == nullptr ? std::nullopt : std::optional{failed->code};
    }
    void attest(Peer &from) { ask(request::Attest{to_bytes(filled<32>(0xaa))}, from); }
    static request::PutSecret put(std::string name, std::string_view value = "s3cret") {
        return {std::move(name), Secret{to_bytes(as_bytes(value))}};
    }
};

} // namespace cvmin::test
