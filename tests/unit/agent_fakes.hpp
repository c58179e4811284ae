// The agent's world, faked: report source, TLS channel, clock, memory.
#pragma once

#include "agent-min/clock.hpp"
#include "agent-min/report_source.hpp"
#include "agent-min/secret_store.hpp"
#include "agent-min/service.hpp"
#include "common/snp_report.hpp"
#include "tests/unit/wire.hpp"

#include <cstdlib>

namespace cvmin::test {

// A well-formed report (version 2 layout, no signature) that carries the data.
inline Bytes report_with(const ByteArray<64> &report_data) {
    Bytes report(snp_report_size);
    report_field::version::put_le(report, 2);
    report_field::signature_algo::put_le(report, signature_algo_ecdsa_p384_sha384);
    report_field::report_data::put(report, report_data);
    return report;
}

class FakeSource final : public agent::ReportSource {
  public:
    std::optional<Error> error;
    Bytes certificates = bytes_of("c0ffee");
    ByteArray<64> last{};
    std::string_view name() const override { return "fake"; }
    Result<agent::PlatformReport> report(const ByteArray<64> &report_data) override {
        last = report_data;
        if (error)
            return std::unexpected(*error);
        return agent::PlatformReport{report_with(report_data), certificates};
    }
};

class FakeChannel final : public agent::Channel {
  public:
    bool broken = false;
    Result<ByteArray<exporter_size>> exporter(ByteView nonce) override {
        if (broken)
            return fail(Errc::crypto, "tls.exporter", 1);
        return sha256(nonce); // depends on the nonce, as the real one does
    }
};

class FakeClock final : public agent::Clock {
  public:
    std::uint64_t us = 1'000'000;
    std::uint64_t step_us = 0; // how much passes with every look
    std::uint64_t now_us() override { return us += step_us; }
};

class FakePages final : public agent::PageSource {
  public:
    bool empty = false;
    std::size_t taken = 0;
    bool given_back_wiped = true;
    std::byte *take(std::size_t size) override {
        if (empty)
            return nullptr;
        ++taken;
        return static_cast<std::byte *>(std::calloc(1, size));
    }
    void give_back(std::byte *pages, std::size_t size) override {
        --taken;
        given_back_wiped = given_back_wiped && all_zero(ByteView{pages, size});
        std::free(pages);
    }
};

} // namespace cvmin::test
