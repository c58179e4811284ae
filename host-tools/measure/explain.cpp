#include "host-tools/measure/explain.hpp"

#include "host-tools/measure/boot_header.hpp"

#include <atomic>
#include <cstring>
#include <functional>
#include <mutex>
#include <set>
#include <system_error>
#include <thread>
#include <tuple>

namespace cvmin {

namespace {

using Clock = std::chrono::steady_clock;

constexpr unsigned max_changes = 2; // axes, the number of vCPUs not counted: more would fit anything to anything
constexpr unsigned max_vcpus_of_es_pairs = 64; // each vCPU of SEV-ES is a page to hash, forty times a link of SEV-SNP
constexpr std::uint64_t snp_active = 1;

// ---- values of the axes ---------------------------------------------------------------------------------------------

Difference difference(std::string what, std::string found, std::string described, const std::string &text = {}) {
    std::string sentence = text.empty() ? what + " " + found : text;
    if (text.empty() && !described.empty())
        sentence += " instead of " + described;
    return {std::move(what), std::move(found), std::move(described), std::move(sentence)};
}

struct FirmwareOption {
    std::optional<Difference> change;
    ByteView bytes;
    Ovmf ovmf{};
    LaunchDigest digest{}; // SEV-SNP
    Sha256Stream stream{}; // SEV and SEV-ES
};

struct HashesOption { // what is in the hashes page
    std::vector<Difference> changes;
    std::optional<KernelHashes> hashes;
};

struct VcpuOption {
    std::vector<Difference> changes;
    std::optional<Difference> open_signature;
    VcpuState state;
};

struct FeatureBit {
    unsigned bit;
    std::string_view name;
};
// 24593, SEV_FEATURES in the table of the SEV-ES save area.
constexpr FeatureBit feature_bits[] = {
    {0, "SNP"},
    {1, "vTOM"},
    {2, "reflect #VC"},
    {3, "restricted injection"},
    {4, "alternate injection"},
    {5, "debug swap"},
    {6, "prevent host IBS"},
    {7, "BTB isolation"},
    {8, "VMPL SSS"},
    {9, "secure TSC"},
    {10, "VMGEXIT parameter"},
    {12, "IBS virtualization"},
    {14, "VMSA register protection"},
    {15, "SMT protection"},
    {16, "secure AVIC"},
    {21, "IBPB on entry"},
};
// What host stacks are seen to set, beside each single bit.
constexpr std::uint64_t feature_sets[] = {0x1, 0x221, 0x10201, 0x10221};

std::vector<std::uint64_t> features_near(std::uint64_t described) {
    std::vector<std::uint64_t> all{described};
    const auto add = [&](std::uint64_t value) {
        if (std::ranges::find(all, value) == all.end())
            all.push_back(value);
    };
    for (std::uint64_t value : feature_sets)
        add(value);
    for (const FeatureBit &bit : feature_bits)
        add(snp_active | std::uint64_t{1} << bit.bit);
    for (const FeatureBit &bit : feature_bits)
        if (bit.bit != 0)
            add(described ^ std::uint64_t{1} << bit.bit);
    return all;
}

struct Signature {
    std::uint32_t value;
    std::string name; // as after -cpu
    bool of_chip;     // not of one of QEMU's models: what -cpu host gives on such a chip
};

// Chips that can run SNP guests, by family and model; steppings as they are sold.
struct Chip {
    unsigned family, model;
    std::string_view name;
};
constexpr Chip chips[] = {
    {25, 0x01, "Milan"}, {25, 0x11, "Genoa"},       {25, 0xa0, "Bergamo or Siena"},
    {26, 0x02, "Turin"}, {26, 0x11, "Turin Dense"},
};
constexpr unsigned chip_steppings = 3;

std::vector<Signature> known_signatures() {
    std::vector<Signature> all;
    const auto have = [&](std::uint32_t value) {
        return std::ranges::find(all, value, &Signature::value) != all.end();
    };
    for (const CpuModel &model : cpu_models())
        if (!have(model.signature))
            all.push_back({model.signature, std::string{model.name}, false});
    for (const Chip &chip : chips)
        for (unsigned stepping = 0; stepping < chip_steppings; ++stepping)
            if (const std::uint32_t value = cpu_signature(chip.family, chip.model, stepping); !have(value))
                all.push_back({value, "host on " + std::string{chip.name}, true});
    return all;
}

std::string signature_text(std::string_view name, std::uint32_t value) {
    return name.empty() ? hex_number(value) : std::string{name} + " (" + hex_number(value) + ")";
}

std::string fpu_text(FpuState fpu) {
    switch (fpu) {
    case FpuState::reset:
        return "MXCSR 0x1f80 and FCW 0x37f";
    case FpuState::zero:
        return "zero";
    case FpuState::mxcsr_only:
        break;
    }
    return "MXCSR 0x1f80 and FCW 0";
}

std::string_view fpu_reason(FpuState fpu) {
    switch (fpu) {
    case FpuState::reset:
        return "a KVM with KVM_SEV_INIT2, Linux 6.10 or later";
    case FpuState::zero:
        return "a KVM before KVM_SEV_INIT2, or QEMU's legacy-vm-type";
    case FpuState::mxcsr_only:
        break;
    }
    return "no host's: sev-snp-measure 0.0.13 in SVSM mode";
}

std::string features_reason(std::uint64_t features) {
    return features == 0x21 ? " (Linux 6.6 to 6.8 set debug swap unasked)" : "";
}

// ---- command lines ------------------------------------------------------------------------------------------------

struct CommandLineVariant {
    std::string hashed; // what is hashed, NUL included
    std::string found;
};

std::string_view trimmed(std::string_view text) {
    constexpr std::string_view blank = " \t\r\n";
    const std::size_t first = text.find_first_not_of(blank);
    if (first == std::string_view::npos)
        return {};
    return text.substr(first, text.find_last_not_of(blank) - first + 1);
}

std::string_view without_end(std::string_view text) {
    return text.substr(0, text.find_last_not_of(" \t\r\n") + 1);
}

std::vector<CommandLineVariant> command_lines_near(const std::string &line) {
    using namespace std::string_literals;
    const std::string nul(1, '\0');
    const std::string core{trimmed(line)};
    const std::string front{without_end(line)};
    return {
        {nul, "none"},
        {line + "\n" + nul, "with a line end after it"},
        {line + " " + nul, "with a blank after it"},
        {std::string{line.substr(0, line.find_last_not_of("\r\n") + 1)} + nul, "without the line end after it"},
        {front + nul, "without the blanks and line ends after it"},
        {core + nul, "without the blanks and line ends around it"},
        {" " + line + nul, "with a blank before it"},
        {line + "\r\n" + nul, "with CR and LF after it"},
        {line, "hashed without its trailing NUL"},
        {line + "\n", "hashed with a line end in place of its trailing NUL"},
        {front + "\n", "hashed with one line end in place of what follows it"},
        {line + nul + nul, "hashed with two trailing NULs"},
        {"", "hashed as nothing at all, not even a NUL"},
    };
}

// ---- kernels ------------------------------------------------------------------------------------------------------

struct KernelVariant {
    std::string found;
    Sha256Digest sha256;
};

constexpr std::uint64_t mib = 1u << 20;
// Memory below 4 GiB that QEMU lays out for usual values of -m; 2 GiB also for q35 with 2.75 GiB and more, 3 GiB for pc
// with 3.5 GiB and more.
constexpr std::uint64_t usual_memory[] = {2048 * mib, 3072 * mib, 1024 * mib, 512 * mib,
                                          256 * mib,  1536 * mib, 128 * mib};
// A kernel is hashed anew for each: so much in all keeps it well under a second.
constexpr std::uint64_t max_bytes_of_patched_kernels = 128 * mib;

std::uint64_t below_4g(std::uint64_t memory, std::uint64_t limit, std::uint64_t above_limit) {
    return memory >= limit ? above_limit : memory;
}

std::string size_text(std::uint64_t bytes) {
    return bytes % mib == 0 ? std::to_string(bytes / mib) + " MiB" : std::to_string(bytes) + " bytes";
}

// ---- threads --------------------------------------------------------------------------------------------------------

// Calls work(0) ... work(count - 1), each once, in that order of starting, on several threads.
void for_each_index(std::size_t count, unsigned threads, const std::function<void(std::size_t)> &work) {
    std::atomic<std::size_t> next{0};
    const auto run = [&] {
        for (std::size_t i = next++; i < count; i = next++)
            work(i);
    };
    if (threads == 0)
        threads = std::max(1u, std::thread::hardware_concurrency());
    constexpr unsigned most_threads = 16;
    std::vector<std::jthread> others;
    for (unsigned i = 1; i < std::min(threads, most_threads) && i < count; ++i) {
        try {
            others.emplace_back(run);
        } catch (const std::system_error &) { // no more threads: the ones that are there do it all
            break;
        }
    }
    run();
}

// ---- the search -----------------------------------------------------------------------------------------------------

// What was found is ordered by the number of differences, then by the order in which launches are listed.
struct Match {
    unsigned differences;
    std::size_t group, vcpu;
    int vcpus; // 0: before the VMSAs, for 32 bytes a SEV guest; firmware_alone
    auto order() const { return std::tuple{differences, group, vcpu, vcpus}; }
};
constexpr int firmware_alone = -1;

struct Group { // launches that have everything before the VMSAs in common
    std::size_t firmware, hashes;
    Vmm vmm;
    bool svsm;
    unsigned changes; // the VMM's not counted: it is one of the vCPUs'
};

class Search {
  public:
    Search(const LaunchDescription &described, const ExplainOptions &options)
        : described_(described), options_(options), end_(Clock::now() + options.time) {}

    Result<Explanation> snp(const Sha384Digest &digest);
    Result<Explanation> sev(const Sha256Digest &digest);

  private:
    Result<void> list_firmware(bool snp);
    Result<void> add_firmware(std::optional<Difference> change, ByteView bytes, bool snp);
    void list_hashes();
    void list_vcpus(bool snp);
    void list_groups(bool snp);
    std::vector<KernelVariant> patched_kernels() const;
    void search_snp(std::size_t index, const Sha384Digest &digest);
    void search_sev(std::size_t index, const Sha256Digest &digest);
    bool late() {
        if (Clock::now() < end_)
            return false;
        complete_ = false;
        return true;
    }
    unsigned with_count(unsigned changes, unsigned vcpus) const {
        return changes + (described_.vcpus && *described_.vcpus != vcpus ? 1u : 0u);
    }
    std::string described_model() const {
        if (!described_.signature)
            return {};
        return described_.vcpu_type.empty() ? hex_number(*described_.signature) : described_.vcpu_type;
    }
    void found(const Match &match);
    Explanation result(bool snp) const;

    const LaunchDescription &described_;
    const ExplainOptions &options_;
    Clock::time_point end_;
    std::vector<Bytes> joined_; // variable store and code
    std::vector<FirmwareOption> firmware_;
    std::vector<HashesOption> hashes_;
    std::vector<VcpuOption> vcpus_;
    std::vector<Group> groups_;
    std::atomic<std::uint64_t> candidates_{0};
    std::atomic<unsigned> best_differences_{~0u};
    std::atomic<bool> complete_{true};
    std::mutex mutex_;
    std::optional<Match> best_;
};

Result<void> Search::add_firmware(std::optional<Difference> change, ByteView bytes, bool snp) {
    for (const FirmwareOption &other : firmware_)
        if (equal(other.bytes, bytes))
            return {};
    const bool with_metadata = snp && !described_.svsm;
    CVMIN_TRY(ovmf, with_metadata ? parse_ovmf(bytes) : parse_ovmf_table(bytes));
    FirmwareOption option{std::move(change), bytes, std::move(ovmf)};
    if (snp)
        option.digest = measure_firmware(bytes);
    else
        option.stream.update(bytes);
    firmware_.push_back(std::move(option));
    return {};
}

Result<void> Search::list_firmware(bool snp) {
    const std::string &name = described_.firmware_name;
    CVMIN_CHECK(add_firmware(std::nullopt, described_.firmware, snp));
    const auto add_code_only = [&](const std::string &of, ByteView bytes) {
        if (const auto store = variable_store_size(bytes)) {
            // what is left need not be a firmware: then it is none that was launched
            const std::string found =
                of + " without its variable store (CODE only, " + size_text(bytes.size() - *store) + ")";
            (void)add_firmware(difference("firmware", found, name), bytes.subspan(*store), snp);
        }
    };
    add_code_only(name, described_.firmware);
    for (std::size_t i = 0; i < options_.also.size(); ++i) {
        const NamedFile &file = options_.also[i];
        if (!is_variable_store(file.bytes))
            continue;
        Bytes whole = file.bytes;
        whole.insert(whole.end(), described_.firmware.begin(), described_.firmware.end());
        if (whole.size() > max_firmware_size)
            continue;
        joined_.push_back(std::move(whole));
    }
    std::size_t joined = 0;
    for (std::size_t i = 0; i < options_.also.size(); ++i) {
        const NamedFile &file = options_.also[i];
        if (is_variable_store(file.bytes)) {
            if (joined < joined_.size())
                CVMIN_CHECK(add_firmware(difference("firmware", file.name + " and " + name + " in one file", name),
                                         joined_[joined++], snp));
            continue;
        }
        if (const auto added = add_firmware(difference("firmware", file.name, name), file.bytes, snp); !added)
            return fail(Errc::malformed, "explain.also", i);
        add_code_only(file.name, file.bytes);
    }
    return {};
}

std::vector<KernelVariant> Search::patched_kernels() const {
    const KernelInputs &kernel = *described_.kernel;
    struct Plan {
        std::string found;
        ByteArray<patched_header_size> header;
    };
    std::vector<Plan> plans;
    const auto plan = [&](std::string found, const OldQemuLaunch &launch) {
        const auto header = header_patched_by_qemu(kernel.kernel, launch);
        if (header && std::ranges::find(plans, *header, &Plan::header) == plans.end())
            plans.push_back({std::move(found), *header});
    };
    const std::string patched = "with its setup header as a QEMU writes it that takes the guest for an unencrypted one";
    if (kernel.initrd && options_.memory) {
        const std::uint64_t q35 = below_4g(*options_.memory, 2816 * mib, 2048 * mib);
        const std::uint64_t pc = below_4g(*options_.memory, 3584 * mib, 3072 * mib);
        plan(patched + " (q35, " + size_text(*options_.memory) + ")",
             {kernel.command_line, kernel.initrd->size(), q35});
        plan(patched + " (pc, " + size_text(*options_.memory) + ")", {kernel.command_line, kernel.initrd->size(), pc});
    } else if (kernel.initrd) {
        for (std::uint64_t memory : usual_memory)
            plan(patched + " (" + size_text(memory) + " below 4 GiB)",
                 {kernel.command_line, kernel.initrd->size(), memory});
    }
    plan(patched + " without an initrd", {kernel.command_line, std::nullopt, 0});

    const std::size_t affordable = max_bytes_of_patched_kernels / std::max<std::uint64_t>(1, kernel.kernel.size());
    if (plans.size() > affordable)
        plans.resize(affordable); // the likeliest come first
    std::vector<KernelVariant> variants(plans.size());
    for_each_index(plans.size(), options_.threads, [&](std::size_t i) {
        Sha256Stream stream;
        stream.update(plans[i].header);
        stream.update(kernel.kernel.subspan(patched_header_size));
        variants[i] = {plans[i].found, stream.finish()};
    });
    return variants;
}

void Search::list_hashes() {
    const auto add = [&](HashesOption option) {
        const auto same = [&](const HashesOption &other) {
            if (other.hashes.has_value() != option.hashes.has_value())
                return false;
            return !option.hashes ||
                   (other.hashes->kernel == option.hashes->kernel && other.hashes->initrd == option.hashes->initrd &&
                    other.hashes->cmdline == option.hashes->cmdline);
        };
        if (option.changes.size() <= max_changes && std::ranges::none_of(hashes_, same))
            hashes_.push_back(std::move(option));
    };
    if (!described_.kernel) {
        add({});
        return;
    }
    const KernelInputs &kernel = *described_.kernel;
    struct Part {
        std::optional<Difference> change;
        Sha256Digest sha256;
    };
    std::vector<Part> kernels{{std::nullopt, kernel.kernel_sha256}};
    for (KernelVariant &variant : patched_kernels())
        kernels.push_back(
            {difference("kernel", variant.found, "as its file", "kernel " + variant.found), variant.sha256});
    std::vector<Part> initrds{{std::nullopt, kernel.initrd_sha256}};
    if (kernel.initrd && !kernel.initrd->empty()) {
        const std::string described = "one of " + std::to_string(kernel.initrd->size()) + " bytes";
        initrds.push_back({difference("initrd", "none", described, "no initrd instead of " + described), sha256({})});
    }
    std::vector<Part> lines{{std::nullopt, kernel.hashes().cmdline}};
    for (CommandLineVariant &variant : command_lines_near(kernel.command_line))
        lines.push_back({difference("command_line", variant.found, kernel.command_line.empty() ? "none" : "as given",
                                    variant.found == "none" ? "no command line instead of the one given"
                                                            : "command line " + variant.found),
                         sha256(as_bytes(variant.hashed))});

    std::vector<HashesOption> all;
    for (const Part &of_kernel : kernels)
        for (const Part &of_initrd : initrds)
            for (const Part &of_line : lines) {
                HashesOption option;
                for (const Part *part : {&of_kernel, &of_initrd, &of_line})
                    if (part->change)
                        option.changes.push_back(*part->change);
                option.hashes = KernelHashes{of_kernel.sha256, of_initrd.sha256, of_line.sha256};
                all.push_back(std::move(option));
            }
    all.push_back(
        {{difference("hashes_page", "off", "on", "hashes page off (no kernel, or kernel-hashes=off) instead of on")},
         std::nullopt});
    std::ranges::stable_sort(all, {}, [](const HashesOption &option) { return option.changes.size(); });
    for (HashesOption &option : all)
        add(std::move(option));
}

void Search::list_vcpus(bool snp) {
    const std::uint64_t described_features = snp ? described_.guest_features : described_.guest_features & ~snp_active;
    std::vector<VcpuOption> all;
    const auto add_states = [&](const std::vector<Difference> &changes, const std::optional<Difference> &open,
                                VcpuState state) {
        for (std::uint64_t features : features_near(described_.guest_features)) {
            const std::uint64_t value = snp ? features : features & ~snp_active;
            VcpuOption option{changes, open, state};
            option.state.sev_features = value;
            if (value != described_features)
                option.changes.push_back(difference("guest_features", hex_number(value), hex_number(described_features),
                                                    "guest features " + guest_features_text(value) + " instead of " +
                                                        guest_features_text(described_features) +
                                                        features_reason(value)));
            if (option.changes.size() <= max_changes)
                all.push_back(std::move(option));
        }
    };
    const auto add_fpus = [&](const std::vector<Difference> &changes, const std::optional<Difference> &open,
                              VcpuState state) {
        for (FpuState fpu : {described_.fpu, FpuState::reset, FpuState::zero, FpuState::mxcsr_only}) {
            std::vector<Difference> with = changes;
            if (fpu != described_.fpu)
                with.push_back(difference("fpu_state", std::string{fpu_state_name(fpu)},
                                          std::string{fpu_state_name(described_.fpu)},
                                          "FPU state " + fpu_text(fpu) + " instead of " + fpu_text(described_.fpu) +
                                              " (" + std::string{fpu_reason(fpu)} + ")"));
            state.fpu = fpu;
            add_states(with, open, state);
        }
    };
    const std::vector<Vmm> vmms = snp && !described_.svsm
                                      ? std::vector{Vmm::qemu, Vmm::ec2, Vmm::gce, Vmm::ec2_legacy, Vmm::krun}
                                      : std::vector{Vmm::qemu};
    for (Vmm vmm : vmms) {
        std::vector<Difference> changes;
        if (vmm != described_.vmm)
            changes.push_back(difference("vmm", std::string{vmm_name(vmm)}, std::string{vmm_name(described_.vmm)},
                                         "VMM " + std::string{vmm_name(vmm)} + " instead of " +
                                             std::string{vmm_name(described_.vmm)}));
        VcpuState state{described_.signature.value_or(0), 1, vmm, described_.fpu};
        if (vmm != Vmm::qemu) { // neither signature nor FPU state is QEMU's to choose
            add_states(changes, std::nullopt, state);
            continue;
        }
        if (described_.signature)
            add_fpus(changes, std::nullopt, state);
        for (const Signature &signature : known_signatures()) {
            std::vector<Difference> with = changes;
            std::optional<Difference> open;
            if (described_.signature && signature.value == *described_.signature)
                continue;
            Difference model =
                difference("vcpu_type", signature.of_chip ? hex_number(signature.value) : signature.name,
                           described_model(), "CPU model " + signature_text(signature.name, signature.value));
            if (described_.signature)
                model.text += " instead of " + signature_text(described_.vcpu_type, *described_.signature);
            if (described_.signature || signature.of_chip)
                with.push_back(std::move(model));
            else
                open = std::move(model);
            state.signature = signature.value;
            add_fpus(with, open, state);
        }
    }
    std::ranges::stable_sort(all, {}, [](const VcpuOption &option) { return option.changes.size(); });
    std::set<std::tuple<Vmm, std::uint32_t, std::uint64_t, FpuState>> seen;
    for (VcpuOption &option : all)
        if (seen.emplace(option.state.vmm, option.state.signature, option.state.sev_features, option.state.fpu).second)
            vcpus_.push_back(std::move(option));
}

void Search::list_groups(bool snp) {
    std::vector<Vmm> vmms{described_.vmm};
    for (const VcpuOption &option : vcpus_)
        if (std::ranges::find(vmms, option.state.vmm) == vmms.end())
            vmms.push_back(option.state.vmm);
    for (std::size_t f = 0; f < firmware_.size(); ++f)
        for (std::size_t h = 0; h < hashes_.size(); ++h) {
            const auto changes = static_cast<unsigned>((firmware_[f].change ? 1 : 0) + hashes_[h].changes.size());
            for (Vmm vmm : vmms)
                if (changes + (vmm != described_.vmm ? 1 : 0) <= max_changes)
                    groups_.push_back({f, h, vmm, snp && described_.svsm.has_value(), changes});
        }
    std::ranges::stable_sort(
        groups_, {}, [&](const Group &group) { return group.changes + (group.vmm != described_.vmm ? 1u : 0u); });
}

void Search::found(const Match &match) {
    const std::lock_guard lock{mutex_};
    if (!best_ || match.order() < best_->order())
        best_ = match;
    best_differences_ = best_->differences;
}

void Search::search_snp(std::size_t index, const Sha384Digest &digest) {
    const Group &group = groups_[index];
    const FirmwareOption &firmware = firmware_[group.firmware];
    if (late() || group.changes > best_differences_)
        return;
    if (firmware.digest.value() == digest)
        found({group.changes + 1, index, 0, firmware_alone});

    LaunchDigest before;
    std::uint64_t svsm_entry = 0;
    if (group.svsm) {
        const auto launch = measure_svsm_before_vcpus(firmware.digest, firmware.bytes.size(), described_.svsm->image,
                                                      described_.svsm->vars_size);
        if (!launch)
            return; // nobody can have launched this
        before = launch->digest;
        svsm_entry = launch->entry;
    } else {
        const auto metadata = measure_metadata(firmware.digest, firmware.ovmf, hashes_[group.hashes].hashes, group.vmm);
        if (!metadata)
            return;
        before = *metadata;
    }
    candidates_ += 2;
    const unsigned of_vmm = group.vmm != described_.vmm ? 1 : 0;
    if (before.value() == digest)
        found({group.changes + of_vmm + 1, index, 0, 0});

    const unsigned most = group.svsm || firmware.ovmf.reset_eip != 0 ? max_vcpus : 1;
    for (std::size_t v = 0; v < vcpus_.size(); ++v) {
        const VcpuOption &option = vcpus_[v];
        const auto changes = static_cast<unsigned>(group.changes + option.changes.size());
        if (option.state.vmm != group.vmm || changes > max_changes || changes > best_differences_)
            continue;
        if (late())
            return;
        const Sha384Digest first = group.svsm ? sha384(svsm_vmsa_page(option.state, svsm_entry))
                                              : sha384(vmsa_page(option.state, bsp_reset_eip));
        const Sha384Digest others = group.svsm ? first : sha384(vmsa_page(option.state, firmware.ovmf.reset_eip));
        LaunchDigest running = before;
        for (unsigned n = 1; n <= most; ++n) {
            running.page_digest(PageType::vmsa, vmsa_gpa, n == 1 ? first : others);
            if (running.value() == digest)
                found({with_count(changes, n), index, v, static_cast<int>(n)});
        }
        candidates_ += most;
    }
}

// The firmware, its table of hashes, and for SEV-ES each VMSA, in one SHA-256.
void Search::search_sev(std::size_t index, const Sha256Digest &digest) {
    const Group &group = groups_[index];
    const FirmwareOption &firmware = firmware_[group.firmware];
    const auto &hashes = hashes_[group.hashes].hashes;
    if (late() || group.changes > best_differences_ || (hashes && !firmware.ovmf.hash_table))
        return;
    Sha256Stream before = firmware.stream;
    if (hashes)
        before.update(encode_hash_table(*hashes));
    ++candidates_;
    if (Sha256Stream{before}.finish() == digest)
        found({group.changes, index, 0, 0});

    for (std::size_t v = 0; v < vcpus_.size(); ++v) {
        const VcpuOption &option = vcpus_[v];
        const auto changes = static_cast<unsigned>(group.changes + option.changes.size());
        if (changes > max_changes || changes > best_differences_)
            continue;
        if (late())
            return;
        const unsigned most = firmware.ovmf.reset_eip == 0 ? 1 : changes < 2 ? max_vcpus : max_vcpus_of_es_pairs;
        const ByteArray<page_size> first = vmsa_page(option.state, bsp_reset_eip);
        const ByteArray<page_size> others = vmsa_page(option.state, firmware.ovmf.reset_eip);
        Sha256Stream running = before;
        for (unsigned n = 1; n <= most; ++n) {
            running.update(n == 1 ? first : others);
            if (Sha256Stream{running}.finish() == digest)
                found({with_count(changes, n), index, v, static_cast<int>(n)});
        }
        candidates_ += most;
    }
}

Explanation Search::result(bool snp) const {
    Explanation explanation;
    explanation.candidates = candidates_;
    explanation.complete = complete_ || best_;
    if (!best_)
        return explanation;
    const Group &group = groups_[best_->group];
    const auto describe_before = [&](bool with_metadata) {
        if (const auto &change = firmware_[group.firmware].change)
            explanation.differences.push_back(*change);
        if (with_metadata)
            for (const Difference &change : hashes_[group.hashes].changes)
                explanation.differences.push_back(change);
    };
    const std::string vcpus = described_.vcpus ? std::to_string(*described_.vcpus) : "";
    if (!snp)
        explanation.open.push_back(difference("mode", best_->vcpus == 0 ? "sev" : "seves", ""));
    if (!snp && best_->vcpus == 0) {
        describe_before(true);
    } else if (best_->vcpus == firmware_alone) {
        describe_before(false);
        explanation.differences.push_back(difference(
            "extent", "the firmware alone", "a whole launch",
            "the digest of the firmware alone (the \"OVMF hash\" of sev-snp-measure) instead of a whole launch"));
    } else if (best_->vcpus == 0) {
        describe_before(true);
        if (group.vmm != described_.vmm)
            explanation.differences.push_back(difference(
                "vmm", std::string{vmm_name(group.vmm)}, std::string{vmm_name(described_.vmm)},
                "VMM " + std::string{vmm_name(group.vmm)} + " instead of " + std::string{vmm_name(described_.vmm)}));
        explanation.differences.push_back(
            difference("extent", "everything before the VMSAs", "a whole launch",
                       "the digest before the VMSAs (no vCPU at all) instead of a whole launch"));
    } else {
        describe_before(true);
        const VcpuOption &option = vcpus_[best_->vcpu];
        for (const Difference &change : option.changes)
            explanation.differences.push_back(change);
        const std::string found = std::to_string(best_->vcpus);
        if (vcpus.empty())
            explanation.open.push_back(difference("vcpus", found, ""));
        else if (found != vcpus)
            explanation.differences.push_back(difference("vcpus", found, vcpus));
        if (option.open_signature)
            explanation.open.push_back(*option.open_signature);
    }
    explanation.kind = explanation.differences.empty() ? Explanation::Kind::as_described : Explanation::Kind::explained;
    return explanation;
}

Result<Explanation> Search::snp(const Sha384Digest &digest) {
    CVMIN_CHECK(list_firmware(true));
    if (described_.svsm)
        CVMIN_CHECK(measure_svsm_before_vcpus(firmware_[0].digest, firmware_[0].bytes.size(), described_.svsm->image,
                                              described_.svsm->vars_size));
    list_hashes();
    list_vcpus(true);
    list_groups(true);
    for_each_index(groups_.size(), options_.threads, [&](std::size_t i) { search_snp(i, digest); });
    return result(true);
}

Result<Explanation> Search::sev(const Sha256Digest &digest) {
    CVMIN_CHECK(list_firmware(false));
    list_hashes();
    list_vcpus(false);
    list_groups(false);
    for_each_index(groups_.size(), options_.threads, [&](std::size_t i) { search_sev(i, digest); });
    return result(false);
}

} // namespace

KernelHashes KernelInputs::hashes() const {
    return {kernel_sha256, initrd_sha256, kernel_hashes({}, {}, command_line).cmdline};
}

LaunchDescription describe_image(const ImageManifest &manifest, const ImageFiles &files) {
    LaunchDescription described;
    described.firmware_name = manifest.firmware.path;
    described.firmware = files.firmware;
    described.kernel =
        KernelInputs{files.kernel, files.initrd, manifest.command_line, manifest.kernel.sha256, manifest.initrd.sha256};
    described.guest_features = manifest.guest_features;
    return described;
}

Result<Explanation> explain_digest(const LaunchDescription &described, ByteView digest, const ExplainOptions &options) {
    if (digest.size() == sizeof(Sha384Digest) && all_zero(digest)) { // where every launch digest starts
        Explanation explanation;
        explanation.kind = Explanation::Kind::explained;
        explanation.differences.push_back(
            difference("extent", "nothing", "a whole launch",
                       "all zeros: nothing was measured, this is no SEV-SNP launch at all"));
        return explanation;
    }
    if (digest.size() == sizeof(Sha384Digest)) {
        CVMIN_TRY(exact, exactly<sizeof(Sha384Digest)>(digest, "explain.digest"));
        return Search{described, options}.snp(exact);
    }
    CVMIN_TRY(exact, exactly<sizeof(Sha256Digest)>(digest, "explain.digest"));
    return Search{described, options}.sev(exact);
}

std::vector<std::string> explanation_lines(const Explanation &explanation) {
    std::vector<std::string> lines;
    const auto list = [&](std::string_view indent, const std::vector<Difference> &differences) {
        for (const Difference &difference : differences)
            lines.push_back(std::string{indent} + difference.text);
    };
    switch (explanation.kind) {
    case Explanation::Kind::as_described:
        lines.emplace_back("the digest is that of the described launch");
        break;
    case Explanation::Kind::explained:
        lines.emplace_back(explanation.differences.size() == 1 ? "the digest matches with this difference:"
                                                               : "the digest matches with these differences:");
        list("  ", explanation.differences);
        break;
    case Explanation::Kind::nothing_near:
        lines.emplace_back("no launch near the described one has this digest");
        break;
    }
    if (!explanation.open.empty()) {
        lines.emplace_back("and with what was left open:");
        list("  ", explanation.open);
    }
    lines.push_back("(" + std::to_string(explanation.candidates) + " digests compared" +
                    (explanation.complete ? ")" : ", not all that are near: the time was over)"));
    return lines;
}

static Json differences_json(const std::vector<Difference> &differences) {
    Json json = Json::array();
    for (const Difference &difference : differences)
        json.push_back({{"what", difference.what},
                        {"found", difference.found},
                        {"described", difference.described.empty() ? Json(nullptr) : Json(difference.described)},
                        {"text", difference.text}});
    return json;
}

Json explanation_json(const Explanation &explanation) {
    const char *result = explanation.kind == Explanation::Kind::as_described ? "as_described"
                         : explanation.kind == Explanation::Kind::explained  ? "explained"
                                                                             : "nothing_near";
    return {{"result", result},
            {"differences", differences_json(explanation.differences)},
            {"open", differences_json(explanation.open)},
            {"candidates", explanation.candidates},
            {"complete", explanation.complete}};
}

std::string guest_features_text(std::uint64_t features) {
    std::string names;
    for (unsigned bit = 0; bit < 64; ++bit) {
        if ((features >> bit & 1) == 0)
            continue;
        const auto *known = std::ranges::find(feature_bits, bit, &FeatureBit::bit);
        if (!names.empty())
            names += ", ";
        names += known != std::end(feature_bits) ? std::string{known->name} : "bit " + std::to_string(bit);
    }
    return hex_number(features) + " (" + (names.empty() ? "none" : names) + ")";
}

std::string_view vmm_name(Vmm vmm) {
    switch (vmm) {
    case Vmm::qemu:
        return "QEMU";
    case Vmm::ec2:
        return "EC2";
    case Vmm::ec2_legacy:
        return "EC2-legacy";
    case Vmm::gce:
        return "GCE";
    case Vmm::krun:
        break;
    }
    return "krun";
}

std::string_view fpu_state_name(FpuState state) {
    switch (state) {
    case FpuState::reset:
        return "reset";
    case FpuState::zero:
        return "zero";
    case FpuState::mxcsr_only:
        break;
    }
    return "mxcsr-only";
}

std::string hex_number(std::uint64_t value) {
    ByteArray<8> bytes;
    store_be(bytes, value);
    std::string digits = hex(bytes);
    digits.erase(0, std::min(digits.find_first_not_of('0'), digits.size() - 1));
    return "0x" + digits;
}

} // namespace cvmin
