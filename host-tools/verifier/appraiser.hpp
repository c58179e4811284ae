// What the verifier service judges by: policy, reference values, endorsements, as one immutable snapshot that a request
// holds on to while a newer one is put in its place. Judges nothing itself: appraise() does. Reads no file: the loader
// is the caller's.
#pragma once

#include "host-tools/appraise/appraise.hpp"
#include "host-tools/base/explained.hpp"
#include "host-tools/verifier/presented.hpp"

#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

namespace cvmin {

struct ReferenceSnapshot {
    Expectations wanted; // all but what one request says: nonce, time, launch digests
    // Which launches a report may be of: as want_launches() of the commands. Empty: the policy or a signer says.
    std::function<void(Expectations &wanted, ByteView report)> launches;
    // Nothing is judged by it after this time: signed reference values and collateral have an end. nullopt: none has.
    std::optional<std::time_t> ends;
    std::string source;                       // for the log: "signed.corim, signed by ACME"
    std::vector<std::filesystem::path> files; // of which a change means: read again
};
using ReferenceLoader = std::function<Explained<ReferenceSnapshot>(std::time_t now)>;

struct Judged {
    Appraisal appraisal;
    Expectations expectations;
};
// Binding is to the nonce: of our agents' evidence by its claims, whose key the result then names; of another report by
// REPORT_DATA, which must be the nonce and zeros. Whose connection it is, only the relying party can see.
Judged judge_presented(const ReferenceSnapshot &references, const Presented &presented, ByteView nonce,
                       std::time_t now);

// The snapshot in force. All members may be called by several threads.
class Appraiser {
  public:
    explicit Appraiser(ReferenceLoader loader) : loader_(std::move(loader)) {}

    // Reads everything again. What was there stays when it fails.
    Explained<void> load(std::time_t now);
    // Whether a file was replaced or written to since the last load, by its time, size and inode.
    bool changed() const;
    // nullptr: never loaded, or what is there has ended.
    std::shared_ptr<const ReferenceSnapshot> current(std::time_t now) const;

  private:
    struct Stamp {
        std::filesystem::path path;
        std::int64_t seconds = 0, nanoseconds = 0;
        std::uint64_t size = 0, inode = 0;
        friend bool operator==(const Stamp &, const Stamp &) = default;
    };
    static std::vector<Stamp> stamps_of(const std::vector<std::filesystem::path> &files);

    ReferenceLoader loader_;
    mutable std::mutex mutex_;
    std::shared_ptr<const ReferenceSnapshot> current_;
    std::vector<Stamp> stamps_; // as the last load, good or not, found them
};

} // namespace cvmin
