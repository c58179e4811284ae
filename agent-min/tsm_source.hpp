// Reports from the kernel: configfs-tsm (Linux Documentation/ABI/testing/configfs-tsm), of the guest and of a service
// of the SVSM that it runs under.
#pragma once

#include "agent-min/report_source.hpp"
#include "common/evidence.hpp"

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

// The SVSM's vTPM, as COCONUT-SVSM names it.
inline constexpr std::string_view svsm_vtpm_guid = "c476f1eb-0123-45a5-9641-b4e7dde5bfe3";
static_assert(svsm_vtpm_guid.size() == svsm_guid_size);

class TsmSource final : public ReportSource {
  public:
    explicit TsmSource(TsmTree &tree) : tree_(tree) {}

    // Whether the kernel has a provider for reports. Only a clear no (no configfs-tsm, or no provider behind it) counts
    // as one: a platform that has a provider and fails must not fall back to emulated reports.
    bool provider_present();

    std::string_view name() const override { return "sev_guest"; }
    // unsupported: the provider is not sev_guest; busy: other writers at every attempt; mismatch; system (errno).
    Result<PlatformReport> report(const ByteArray<64> &report_data) override;

    // What the SVSM says of its vTPM, for this nonce. missing: the kernel offers no services (no SVSM, or before 6.11),
    // or the service has no manifest; mismatch: a report that does not carry nonce and manifest; the others as of
    // report().
    Result<SvsmEvidence> svsm(const ByteArray<64> &nonce);

  private:
    template <class T>
    Result<T> attempts(Result<T> (TsmSource::*once)(const ByteArray<64> &), const ByteArray<64> &data);
    Result<void> open_entry();
    Result<void> check_provider();
    Result<PlatformReport> attempt(const ByteArray<64> &report_data);
    Result<SvsmEvidence> attempt_svsm(const ByteArray<64> &nonce);
    TsmTree &tree_;
};

} // namespace cvmin::agent
