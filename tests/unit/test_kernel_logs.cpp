// Event log, measurement list, IMA's policy and the SVSM's word, out of a tree that behaves as the kernel's.
#include "agent-min/kernel_logs.hpp"
#include "tests/unit/agent_fakes.hpp"

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include <sys/stat.h>

using namespace cvmin;
using namespace cvmin::agent;
using namespace cvmin::test;

namespace {

// A securityfs in a directory of its own.
class FakeSecurityfs {
  public:
    FakeSecurityfs() {
        char name[] = "/tmp/cvmin-securityfs-XXXXXX";
        if (::mkdtemp(name) == nullptr)
            abort();
        root_ = name;
        std::filesystem::create_directories(root_ + "/ima");
        std::filesystem::create_directories(root_ + "/tpm0");
    }
    FakeSecurityfs(const FakeSecurityfs &) = delete;
    FakeSecurityfs &operator=(const FakeSecurityfs &) = delete;
    ~FakeSecurityfs() { std::filesystem::remove_all(root_); }
    void set(const std::string &file, std::string_view text) {
        std::ofstream{root_ + '/' + file, std::ios::binary | std::ios::trunc} << text;
    }
    std::string get(const std::string &file) const {
        std::ifstream in{root_ + '/' + file, std::ios::binary};
        return {std::istreambuf_iterator<char>(in), {}};
    }
    const std::string &root() const { return root_; }

  private:
    std::string root_;
};

} // namespace

static void logs_are_read_whole(void **) {
    FakeSecurityfs files;
    KernelLogs logs{nullptr, files.root()};
    assert_true(logs.event_log().empty() && logs.ima_log().empty()); // not there
    const std::string list(10'000, 'l');
    files.set("ima/binary_runtime_measurements", list);
    files.set("tpm0/binary_bios_measurements", "event log");
    assert_true(as_text(logs.event_log()) == "event log");
    assert_true(as_text(logs.ima_log()) == list);
}

static void a_log_above_its_limit_is_none(void **) {
    FakeSecurityfs files;
    KernelLogs logs{nullptr, files.root()};
    files.set("ima/binary_runtime_measurements", std::string(max_ima_log_size, 'l'));
    files.set("tpm0/binary_bios_measurements", std::string(max_event_log_size, 'l'));
    assert_int_equal(logs.ima_log().size(), max_ima_log_size);
    assert_int_equal(logs.event_log().size(), max_event_log_size);
    files.set("ima/binary_runtime_measurements", std::string(max_ima_log_size + 1, 'l'));
    files.set("tpm0/binary_bios_measurements", std::string(max_event_log_size + 1, 'l'));
    assert_true(logs.ima_log().empty() && logs.event_log().empty());
}

static void the_policy_measures_all_that_is_executed(void **) {
    FakeSecurityfs files;
    files.set("ima/policy", "");
    KernelLogs logs{nullptr, files.root()};
    assert_true(logs.load_ima_policy().has_value());
    assert_true(files.get("ima/policy") == "measure func=BPRM_CHECK\nmeasure func=MMAP_CHECK mask=MAY_EXEC\n");
}

static void without_ima_there_is_no_policy(void **) {
    FakeSecurityfs files;
    KernelLogs logs{nullptr, files.root()};
    assert_true(logs.load_ima_policy().error() == Error(Errc::system, "ima.policy", ENOENT));
}

static void rules_of_others_are_noticed(void **) {
    // what the kernel shows afterwards, when somebody was there before us or it did not take ours
    for (const std::string_view before :
         {"measure func=BPRM_CHECK\nmeasure func=MMAP_CHECK mask=MAY_EXEC\ndont_measure uid=0\n",
          "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxdont_measure\n"}) {
        FakeSecurityfs files;
        files.set("ima/policy", before); // our lines overwrite the first; more is left
        KernelLogs logs{nullptr, files.root()};
        assert_true(logs.load_ima_policy().error() == Error(Errc::mismatch, "ima.policy"));
    }
}

// ---- SVSM -----------------------------------------------------------------------------------------------------

namespace {

// configfs-tsm under an SVSM, by Documentation/ABI/testing/configfs-tsm and drivers/virt/coco/tsm.c: every write of an
// attribute counts; blobs are made anew after a write; service attributes exist only where an SVSM is.
class FakeServiceTree final : public TsmTree {
  public:
    bool svsm = true;
    std::string provider = "sev_guest\n";
    Bytes manifest = bytes_of("0023000b");
    bool stale = false;    // a report over another manifest
    int races = 0;         // so many reports are followed by somebody's write
    int outblob_errno = 0; // EINVAL: the SVSM refuses
    std::map<std::string, Bytes> written;
    std::string order;
    bool there = false;

    Result<void> make(const char *) override {
        if (there)
            return cvmin::fail(Errc::system, "tsm.entry", EEXIST);
        there = true;
        written.clear();
        order.clear();
        generation_ = 0;
        return {};
    }
    void remove(const char *) override { there = false; }
    Result<Bytes> read(const char *, const char *attribute, std::size_t limit) override {
        const std::string_view name = attribute;
        Bytes bytes;
        if (name == "provider")
            bytes = to_bytes(as_bytes(provider));
        else if (name == "generation")
            bytes = to_bytes(as_bytes(std::to_string(generation_) + "\n"));
        else if (name == "privlevel_floor" && !svsm)
            bytes = to_bytes(as_bytes("0\n"));
        else if (name == "privlevel_floor")
            bytes = to_bytes(as_bytes("2\n"));
        else if (name == "manifestblob" && svsm)
            bytes = as_text(written["service_provider"]) == "svsm" ? manifest : Bytes{};
        else if (name == "outblob") {
            if (outblob_errno != 0)
                return cvmin::fail(Errc::system, "tsm.read", static_cast<std::uint64_t>(outblob_errno));
            bytes = report();
            if (races > 0) {
                --races;
                ++generation_;
            }
        } else {
            return cvmin::fail(Errc::system, "tsm.read", ENOENT);
        }
        if (bytes.size() > limit)
            return cvmin::fail(Errc::too_large, "tsm.read", bytes.size());
        return bytes;
    }
    Result<void> write(const char *, const char *attribute, ByteView bytes) override {
        const std::string name = attribute;
        if (name.starts_with("service_") && !svsm)
            return cvmin::fail(Errc::system, "tsm.write", ENOENT);
        if (name == "service_guid" && bytes.size() != 36)
            return cvmin::fail(Errc::system, "tsm.write", EINVAL);
        if (name == "inblob" && bytes.size() > 64)
            return cvmin::fail(Errc::system, "tsm.write", EINVAL);
        ++generation_;
        written[name] = to_bytes(bytes);
        order += name + ' ';
        return {};
    }

  private:
    Bytes report() {
        Bytes bound = written["inblob"];
        if (as_text(written["service_provider"]) == "svsm")
            bound.insert(bound.end(), manifest.begin(), manifest.end());
        if (stale)
            bound.push_back(std::byte{1});
        return report_with(as_text(written["service_provider"]) == "svsm" ? sha512(bound)
                                                                          : *exactly<64>(written["inblob"], "inblob"));
    }
    unsigned generation_ = 0;
};

Errc svsm_refusal(FakeServiceTree &tree) {
    TsmSource source{tree};
    const auto evidence = source.svsm(filled<64>(0x5d));
    return evidence ? Errc::usage : evidence.error().code;
}

} // namespace

static void the_svsm_is_asked_for_its_vtpm(void **) {
    FakeServiceTree tree;
    TsmSource source{tree};
    KernelLogs logs{&source, "/nonexistent"};
    const auto evidence = logs.svsm(filled<64>(0x5d));
    assert_true(evidence && evidence->manifest == tree.manifest);
    assert_true(evidence->service_guid == "c476f1eb-0123-45a5-9641-b4e7dde5bfe3");
    const auto report = parse_snp_report(evidence->report);
    Bytes bound(64, std::byte{0x5d});
    bound.insert(bound.end(), tree.manifest.begin(), tree.manifest.end());
    assert_true(report && report->report_data == sha512(bound));
    assert_true(tree.order == "service_provider service_guid inblob ");
    assert_true(as_text(tree.written["service_guid"]) == evidence->service_guid);
    assert_false(tree.there);
    // and the guest's own report is still one that names no service
    assert_true(source.report(filled<64>(0x5d)).has_value());
    assert_true(tree.order == "privlevel inblob ");
}

static void without_an_svsm_there_is_no_word_of_it(void **) {
    FakeServiceTree tree;
    tree.svsm = false;
    assert_true(svsm_refusal(tree) == Errc::missing);
    assert_false(tree.there);
    TsmSource source{tree};
    assert_false(KernelLogs(&source, "/nonexistent").svsm(filled<64>(1)).has_value());
    assert_false(KernelLogs(nullptr, "/nonexistent").svsm(filled<64>(1)).has_value());
}

static void an_svsm_that_says_something_else_is_not_handed_on(void **) {
    FakeServiceTree stale;
    stale.stale = true;
    assert_true(svsm_refusal(stale) == Errc::mismatch);
    FakeServiceTree empty;
    empty.manifest.clear();
    assert_true(svsm_refusal(empty) == Errc::missing);
    FakeServiceTree large;
    large.manifest.resize(max_svsm_manifest_size + 1);
    assert_true(svsm_refusal(large) == Errc::too_large);
    FakeServiceTree refusing;
    refusing.outblob_errno = EINVAL;
    assert_true(svsm_refusal(refusing) == Errc::system);
    FakeServiceTree other;
    other.provider = "tdx_guest\n";
    assert_true(svsm_refusal(other) == Errc::unsupported);
    for (const FakeServiceTree *tree : {&stale, &empty, &large, &refusing, &other})
        assert_false(tree->there);
}

static void a_race_for_the_svsm_is_tried_again(void **) {
    FakeServiceTree tree;
    tree.races = 2;
    assert_true(svsm_refusal(tree) == Errc::usage);
    tree.races = 1000;
    assert_true(svsm_refusal(tree) == Errc::busy);
}

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(logs_are_read_whole),
        cmocka_unit_test(a_log_above_its_limit_is_none),
        cmocka_unit_test(the_policy_measures_all_that_is_executed),
        cmocka_unit_test(without_ima_there_is_no_policy),
        cmocka_unit_test(rules_of_others_are_noticed),
        cmocka_unit_test(the_svsm_is_asked_for_its_vtpm),
        cmocka_unit_test(without_an_svsm_there_is_no_word_of_it),
        cmocka_unit_test(an_svsm_that_says_something_else_is_not_handed_on),
        cmocka_unit_test(a_race_for_the_svsm_is_tried_again),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
