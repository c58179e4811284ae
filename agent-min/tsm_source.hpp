// Reports from the kernel: configfs-tsm (Linux Documentation/ABI/testing/configfs-tsm-report).
#pragma once

#include "agent-min/report_source.hpp"

#include <optional>
#include <string>

namespace cvmin::agent {

// File operations below /sys/kernel/config/tsm/report; errors are `system` with errno as detail.
class TsmTree {
  public:
    virtual Result<void> make(const char *entry) = 0;
    virtual void remove(const char *entry) = 0;
    // too_large: more than `limit` bytes.
    virtual Result<Bytes> read(const char *entry, const char *attribute, std::size_t limit) = 0;
    virtual Result<void> write(const char *entry, const char *attribute, ByteView bytes) = 0;

  protected:
    ~TsmTree() = default;
};

class ConfigfsTree final : public TsmTree {
  public:
    explicit ConfigfsTree(std::string root = "/sys/kernel/config/tsm/report") : root_(std::move(root)) {}
    Result<void> make(const char *entry) override;
    void remove(const char *entry) override;
    Result<Bytes> read(const char *entry, const char *attribute, std::size_t limit) override;
    Result<void> write(const char *entry, const char *attribute, ByteView bytes) override;

  private:
    std::string path(const char *entry, const char *attribute = nullptr) const;
    std::string root_;
};

inline constexpr int max_tsm_attempts = 5; // nobody else writes here in a CVM: contention ends at once or is a fault

class TsmSource final : public ReportSource {
  public:
    explicit TsmSource(TsmTree &tree) : tree_(tree) {}

    // Whether the kernel has a provider for reports. Only a clear no (no configfs-tsm, or no provider behind it) counts
    // as one: a platform that has a provider and fails must not fall back to emulated reports.
    bool provider_present();

    std::string_view name() const override { return "sev_guest"; }
    // unsupported: the provider is not sev_guest; busy: other writers at every attempt; mismatch; system (errno).
    Result<PlatformReport> report(const ByteArray<64> &report_data) override;

  private:
    Result<PlatformReport> attempt(const ByteArray<64> &report_data);
    TsmTree &tree_;
};

} // namespace cvmin::agent
