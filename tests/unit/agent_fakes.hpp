// The agent's world, faked: report source, TLS channel, clock, memory.
#pragma once

#include "agent-min/clock.hpp"
#include "agent-min/computation.hpp"
#include "agent-min/measured.hpp"
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
    ByteArray<32> host_data{};
    ByteArray<64> last{};
    std::string_view name() const override { return "fake"; }
    Result<agent::PlatformReport> report(const ByteArray<64> &report_data) override {
        last = report_data;
        if (error)
            return std::unexpected(*error);
        Bytes report = report_with(report_data);
        report_field::host_data::put(report, host_data);
        return agent::PlatformReport{std::move(report), certificates};
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

// A TPM that works until `fail_with` is set; PCR 15 is replayed here, in both banks.
class FakeTpm final : public agent::Tpm {
  public:
    std::optional<Error> fail_with;   // of every command
    std::optional<Error> refuse_with; // of quote and activate only
    Sha256Digest pcr256{};
    Sha384Digest pcr384{};
    unsigned extends = 0, quotes = 0;
    Sha256Digest qualifying_data{};
    Bytes credential = bytes_of("c0ffee");
    std::optional<Sha256Digest> ak() const override {
        return fail_with ? std::nullopt : std::optional{filled<32>(0xa1)};
    }
    Result<void> extend(const Sha256Digest &digest256, const Sha384Digest &digest384) override {
        ++extends;
        if (fail_with)
            return std::unexpected(*fail_with);
        const auto extended = [](const auto &pcr, const auto &digest) {
            Bytes both = to_bytes(pcr);
            both.insert(both.end(), digest.begin(), digest.end());
            return both;
        };
        pcr256 = sha256(extended(pcr256, digest256));
        pcr384 = sha384(extended(pcr384, digest384));
        return {};
    }
    Result<TpmEvidence> quote(const request::PcrSelection &pcrs, const Sha256Digest &data) override {
        ++quotes;
        qualifying_data = data;
        if (fail_with || refuse_with)
            return std::unexpected(refuse_with ? *refuse_with : *fail_with);
        return TpmEvidence{
            .attest = to_bytes(data),
            .signature = bytes_of("51"),
            .ak_public = bytes_of("a1"),
            .ek_public = bytes_of("e1"),
            .ek_certificate = {},
            .pcr_values = {.bank = pcrs.bank,
                           .values = {{15, pcrs.bank == TpmAlg::sha256 ? to_bytes(pcr256) : to_bytes(pcr384)}}}};
    }
    Result<Bytes> activate(ByteView, ByteView) override {
        if (fail_with || refuse_with)
            return std::unexpected(refuse_with ? *refuse_with : *fail_with);
        return credential;
    }
};

class FakeLogs final : public agent::BootLogs {
  public:
    ByteArray<64> report_data{};
    Bytes event_log() override { return bytes_of("e0"); }
    Bytes ima_log() override { return bytes_of("10"); }
    std::optional<SvsmEvidence> svsm(const ByteArray<64> &data) override {
        report_data = data;
        return SvsmEvidence{
            .report = report_with(data), .manifest = bytes_of("5a"), .service_guid = std::string(svsm_guid_size, 'a')};
    }
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

class FakeStore final : public agent::Store {
  public:
    std::uint64_t room = std::uint64_t{64} << 20;
    std::optional<Error> fail_with; // of append and open
    std::vector<Bytes> items;
    std::vector<bool> sealed;
    unsigned wipes = 0;
    std::uint64_t capacity() const override { return room; }
    Result<void> open(const Manifest &manifest) override {
        if (fail_with)
            return std::unexpected(*fail_with);
        items.resize(1 + manifest.datasets.size());
        sealed.resize(items.size());
        return {};
    }
    Result<void> append(std::size_t item, ByteView piece) override {
        if (fail_with)
            return std::unexpected(*fail_with);
        if (sealed.at(item))
            abort();
        items.at(item).insert(items.at(item).end(), piece.begin(), piece.end());
        return {};
    }
    Result<void> seal(std::size_t item) override {
        sealed.at(item) = true;
        return {};
    }
    void drop(std::size_t item) override { items.at(item).clear(); }
    void wipe() override {
        ++wipes;
        items.clear();
    }
    int program() const override { return 77; }
    const char *inputs() const override { return "/fake/in"; }
};

class FakeSandbox final : public agent::Sandbox {
  public:
    std::optional<agent::SandboxJob> job;
    std::optional<Error> start_error, tick_error, outputs_error, read_error;
    std::optional<agent::SandboxExit> exit; // what the next tick tells
    std::vector<std::pair<std::string, Bytes>> files;
    Bytes written;
    bool truncated = false;
    unsigned cleans = 0;
    static agent::SandboxExit ended(int wait_status, agent::Ended why = agent::Ended::by_itself) {
        return {.wait_status = wait_status, .ended = why, .cpu_us = 0, .memory_peak = 0};
    }
    Result<void> start(const agent::SandboxJob &wanted) override {
        job = wanted;
        return start_error ? Result<void>{std::unexpected(*start_error)} : Result<void>{};
    }
    int exit_fd() const override { return 5; }
    int log_fd() const override { return 6; }
    std::optional<std::uint64_t> deadline_ms() const override { return 1234; }
    Result<std::optional<agent::SandboxExit>> tick() override {
        if (tick_error)
            return std::unexpected(*tick_error);
        return std::exchange(exit, std::nullopt);
    }
    ByteView log() const override { return written; }
    bool log_truncated() const override { return truncated; }
    Result<std::vector<agent::OutputFile>> outputs() override {
        if (outputs_error)
            return std::unexpected(*outputs_error);
        std::vector<agent::OutputFile> found;
        for (const auto &[name, bytes] : files)
            found.push_back({.name = name, .size = bytes.size()});
        return found;
    }
    Result<void> read_output(const std::string &name, std::uint64_t offset, std::span<std::byte> into) override {
        if (read_error)
            return std::unexpected(*read_error);
        const auto file = std::ranges::find(files, name, &std::pair<std::string, Bytes>::first);
        if (file == files.end() || offset + into.size() > file->second.size())
            return fail(Errc::truncated, "fake");
        std::ranges::copy(ByteView{file->second}.subspan(offset, into.size()), into.begin());
        return {};
    }
    void kill() override {}
    Result<void> clean() override {
        ++cleans;
        files.clear();
        written.clear();
        return {};
    }
};

} // namespace cvmin::test
