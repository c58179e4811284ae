// Event logs: of real machines, against what go-tpm-tools expects and what an independent program replayed; of our own
// boot, against what the TPM said; and every way to be wrong.
#include "tests/unit/cmocka.hpp"

#include "common/hash.hpp"
#include "host-tools/base/json.hpp"
#include "host-tools/measured/boot_events.hpp"
#include "host-tools/measured/event_log.hpp"
#include "host-tools/measured/pe_image.hpp"

#include <map>

using namespace cvmin;

static Json json_file(const std::string &name) {
    return parse_json(test::data(name), "test").value();
}
static TpmDigest digest_of(const std::string &text) {
    return TpmDigest{parse_hex(text, "test").value()};
}

// ---- real logs ------------------------------------------------------------------------------------------------------

static bool same_pcrs(const ReplayedBank &bank, const Json &wanted) {
    std::size_t extended = 0;
    for (unsigned pcr = 0; pcr < pcr_count; ++pcr)
        extended += bank.pcrs[pcr].events != 0 ? 1 : 0;
    if (extended < wanted.size())
        return false;
    for (const auto &[pcr, value] : wanted.items())
        if (hex(bank.pcrs[static_cast<std::size_t>(std::stoi(pcr))].value.view()) != value.get<std::string>())
            return false;
    return !wanted.empty();
}

static void replay_gives_the_values_of_every_real_log(void **) {
    const Json index = json_file("go-tpm-tools/eventlogs.json");
    std::size_t logs = 0, banks = 0;
    for (const Json &each : index["logs"]) {
        const Bytes bytes = test::data("go-tpm-tools/" + each["file"].get<std::string>());
        const auto log = parse_event_log(bytes);
        bool good = log.has_value() && log->crypto_agile == (each["format"] == "crypto-agile") &&
                    log->banks.size() == each["banks_in_log"].size();
        // the index counts no header
        good = good && log->events.size() == each["events"].get<std::size_t>() + (log->crypto_agile ? 1 : 0);
        std::map<std::string, int> types;
        for (std::size_t i = log->crypto_agile ? 1 : 0; good && i < log->events.size(); ++i)
            ++types[std::string{name(log->events[i].type)}];
        good = good && types.size() == each["event_types"].size();
        for (const auto &[type, count] : each["event_types"].items())
            good = good && types[type] == count.get<int>();
        for (const char *const member : {"expected_pcrs", "replayed_pcrs"})
            for (const auto &[bank, pcrs] : each[member].items()) {
                const auto replayed = replay(*log, *tpm_hash_by_name(bank));
                good = good && replayed && same_pcrs(*replayed, pcrs);
                ++banks;
            }
        if (!good)
            print_error("%s\n", each["file"].get<std::string>().c_str());
        assert_true(good);
        ++logs;
    }
    assert_int_equal(logs, 10);
    assert_true(banks > 30);
}

static void loaded_images_of_real_logs_have_the_known_digests(void **) {
    const Json index = json_file("go-tpm-tools/eventlogs.json");
    std::size_t compared = 0;
    for (const Json &each : index["logs"]) {
        const Bytes bytes = test::data("go-tpm-tools/" + each["file"].get<std::string>());
        const EventLog log = parse_event_log(bytes).value();
        for (const auto &[bank, digests] : each["efi_app_digests"].items()) {
            const std::size_t number = log.bank(*tpm_hash_by_name(bank)).value();
            std::vector<std::string> found;
            for (const FirmwareEvent &event : log.events)
                if (event.type == EventType::efi_boot_services_application)
                    found.push_back(hex(log.digest(event, number)));
            const bool same = found == digests.get<std::vector<std::string>>();
            assert_true(same);
            compared += found.size();
        }
    }
    assert_true(compared > 40);
}

// What EDK II, coreboot's kin and two makers of PCs write: where the type says that the data are measured, they are.
static void data_of_real_logs_have_their_digests(void **) {
    const Json index = json_file("go-tpm-tools/eventlogs.json");
    std::size_t held = 0;
    for (const Json &each : index["logs"]) {
        const Bytes bytes = test::data("go-tpm-tools/" + each["file"].get<std::string>());
        const EventLog log = parse_event_log(bytes).value();
        for (const FirmwareEvent &event : log.events)
            for (std::size_t bank = 0; bank < log.banks.size(); ++bank) {
                const DataCheck check = check_event_data(log, event, bank);
                if (check == DataCheck::differs)
                    print_error("%s: event %u\n", each["file"].get<std::string>().c_str(), event.number);
                assert_true(check != DataCheck::differs);
                held += check == DataCheck::holds ? 1 : 0;
            }
    }
    assert_true(held > 500);
}

static std::map<unsigned, TpmDigest> pcrs_of(const Json &values) {
    std::map<unsigned, TpmDigest> out;
    for (const auto &[pcr, value] : values.items())
        out.emplace(static_cast<unsigned>(std::stoul(pcr)), digest_of(value.get<std::string>()));
    return out;
}

static void a_boot_of_ours_replays_to_what_the_tpm_said(void **) {
    for (const std::string folder : {"measured/boot-ng/", "measured/boot-sig/", "measured/boot-legacy/"}) {
        const Bytes bytes = test::data(folder + "eventlog.bin");
        const EventLog log = parse_event_log(bytes).value();
        const Json said = json_file(folder + "pcrs.json");
        for (const auto &[bank, values] : said.items()) {
            auto found = pcrs_of(values);
            found.erase(10); // IMA's, which has its own list
            const bool agree = compare_pcrs(log, *tpm_hash_by_name(bank), found).value().empty();
            assert_true(agree);
        }
        assert_int_equal(said.size(), 3);
    }
}

// ---- what parts them ------------------------------------------------------------------------------------------------

struct Given {
    Bytes bytes = test::data("measured/boot-ng/eventlog.bin");
    EventLog log = parse_event_log(bytes).value();
    std::map<unsigned, TpmDigest> pcrs = pcrs_of(json_file("measured/boot-ng/pcrs.json")["sha256"]);
    Given() { pcrs.erase(10); }
    Divergence only() const {
        auto found = compare_pcrs(log, TpmAlg::sha256, pcrs).value();
        return found.size() == 1 ? found[0] : Divergence{};
    }
    // PCR 4: events 14 (kernel), 18 (action), 23 (separator)
    TpmDigest made_of(std::initializer_list<std::uint32_t> numbers) const {
        TpmDigest value = TpmDigest::filled(32, std::byte{0});
        for (const std::uint32_t number : numbers)
            pcr_extend(TpmAlg::sha256, value, log.digest(log.events[number], 1));
        return value;
    }
};

static void compare_names_the_event_that_was_not_extended(void **) {
    Given given;
    given.pcrs[4] = given.made_of({14, 18});
    const Divergence cut = given.only();
    assert_true(cut.pcr == 4 && cut.agrees_until == 18 && cut.first_diverging() == 23 && !cut.never_extended);
    const std::string text = to_string(cut, given.log);
    assert_true(text.contains("not extended: event 23 (EV_SEPARATOR"));

    given.pcrs[4] = TpmDigest::filled(32, std::byte{0});
    const Divergence never = given.only();
    assert_true(never.never_extended && never.first_diverging() == 14);
    assert_true(to_string(never, given.log).contains("nothing was extended to it"));
}

static void compare_names_the_event_that_the_tpm_knows_nothing_of(void **) {
    Given given;
    given.pcrs[4] = given.made_of({14, 23});
    const Divergence missing = given.only();
    assert_true(missing.without == 18 && missing.first_diverging() == 18 && !missing.agrees_until);
    given.pcrs[4] = given.made_of({18, 23});
    assert_true(given.only().without == 14);
}

static void compare_names_the_event_whose_data_were_changed(void **) {
    Given given;
    // somebody rewrote an event of PCR 5 in place: the digest in each bank of its event is not that of its data
    const FirmwareEvent action = given.log.events[28];
    assert_true(action.pcr == 5 && action.type == EventType::efi_action);
    given.bytes[action.digest_at[1]] ^= std::byte{1};
    given.log = parse_event_log(given.bytes).value();
    const Divergence changed = given.only();
    assert_true(changed.pcr == 5 && changed.inconsistent == 28 && changed.first_diverging() == 28);
    assert_true(to_string(changed, given.log).contains("do not have its digest"));
}

static void compare_says_when_it_cannot_tell(void **) {
    Given given;
    given.pcrs[4] = TpmDigest::filled(32, std::byte{7});
    const Divergence other = given.only();
    assert_true(!other.first_diverging().has_value() && other.events == 3);
    assert_true(to_string(other, given.log).contains("cannot be told"));
    given.pcrs.erase(4);
    given.pcrs[8] = TpmDigest::filled(32, std::byte{7});
    assert_true(to_string(given.only(), given.log).contains("the log has no event of it"));
}

static void compare_refuses_what_is_no_value_of_a_bank(void **) {
    Given given;
    assert_true(compare_pcrs(given.log, TpmAlg::sha512, given.pcrs).error().code == Errc::unsupported);
    given.pcrs[24] = TpmDigest::filled(32, std::byte{0});
    assert_true(compare_pcrs(given.log, TpmAlg::sha256, given.pcrs).error().code == Errc::out_of_range);
    given.pcrs.erase(24);
    given.pcrs[3] = TpmDigest::filled(20, std::byte{0});
    assert_true(compare_pcrs(given.log, TpmAlg::sha256, given.pcrs).error().code == Errc::out_of_range);
}

// ---- logs made by hand ----------------------------------------------------------------------------------------------

struct Maker {
    Bytes out;
    void le(std::size_t size, std::uint64_t value) {
        for (std::size_t i = 0; i < size; ++i)
            out.push_back(static_cast<std::byte>(value >> 8 * i & 0xff));
    }
    void raw(std::string_view text) {
        for (const char c : text)
            out.push_back(static_cast<std::byte>(c));
    }
    void fill(std::size_t size, unsigned value) { out.insert(out.end(), size, static_cast<std::byte>(value)); }
    static std::string header_data(std::vector<std::pair<unsigned, unsigned>> banks,
                                   std::string_view tail = {"\0", 1}) {
        Maker maker;
        maker.raw({"Spec ID Event03\0", 16});
        maker.le(4, 0);
        maker.raw({"\0\2\0\2", 4});
        maker.le(4, banks.size());
        for (const auto &[alg, size] : banks) {
            maker.le(2, alg);
            maker.le(2, size);
        }
        maker.raw(tail);
        return std::string{as_text(maker.out)};
    }
    Maker &old_event(unsigned pcr, unsigned type, std::string_view data, unsigned digest = 0) {
        le(4, pcr);
        le(4, type);
        fill(20, digest);
        le(4, data.size());
        raw(data);
        return *this;
    }
    Maker &header(std::vector<std::pair<unsigned, unsigned>> banks) { return old_event(0, 3, header_data(banks)); }
    // digests: algorithm, size, byte
    Maker &event(unsigned pcr, unsigned type, std::vector<std::array<unsigned, 3>> digests, std::string_view data) {
        le(4, pcr);
        le(4, type);
        le(4, digests.size());
        for (const auto &[alg, size, value] : digests) {
            le(2, alg);
            fill(size, value);
        }
        le(4, data.size());
        raw(data);
        return *this;
    }
    Errc error() const { return parse_event_log(out).error().code; }
};

static void digests_of_an_event_come_in_any_order(void **) {
    Maker maker;
    maker.header({{4, 20}, {11, 32}, {0x12, 32}});
    maker.event(3, 4, {{0x12, 32, 3}, {11, 32, 2}, {4, 20, 1}}, "x");
    const auto log = parse_event_log(maker.out);
    assert_true(log.has_value() && log->events.size() == 2);
    assert_true(log->digest(log->events[1], 0)[0] == std::byte{1} &&
                log->digest(log->events[1], 1)[0] == std::byte{2} && log->digest(log->events[1], 2)[0] == std::byte{3});
    assert_int_equal(replay_all(*log).size(), 2); // SM3 cannot be computed here
    assert_true(replay(*log, static_cast<TpmAlg>(0x12)).error().code == Errc::unsupported);
}

static void an_event_of_no_action_is_not_extended(void **) {
    Maker maker;
    maker.header({{11, 32}});
    maker.event(0xffffffff, 3, {{11, 32, 9}}, "SP800-155 Event3");
    maker.event(0, 3, {{11, 32, 0}}, {"StartupLocality\0\3", 17});
    maker.event(6, 4, {{11, 32, 1}}, {"\0\0\0\0", 4});
    const auto log = parse_event_log(maker.out);
    assert_true(log.has_value() && log->startup_locality == 3);
    const ReplayedBank bank = replay(*log, TpmAlg::sha256).value();
    assert_true(bank.pcrs[0].events == 0 && bank.pcrs[0].value.view().back() == std::byte{3});
    assert_true(all_zero(bank.pcrs[0].value.view().first(31)) && bank.pcrs[6].events == 1);
    assert_true(bank.pcrs[17].value == TpmDigest::filled(32, std::byte{0xff}));
    assert_true(describe_event(*log, log->events[2]) == "StartupLocality 3");
}

static void parse_rejects_two_startup_localities(void **) {
    Maker maker;
    maker.header({{11, 32}});
    maker.event(0, 3, {{11, 32, 0}}, {"StartupLocality\0\3", 17});
    maker.event(0, 3, {{11, 32, 0}}, {"StartupLocality\0\3", 17});
    assert_true(parse_event_log(maker.out).has_value()); // the same twice says nothing else
    maker.event(0, 3, {{11, 32, 0}}, {"StartupLocality\0\4", 17});
    assert_true(maker.error() == Errc::malformed);
}

static void parse_rejects_every_cut(void **) {
    const Bytes bytes = test::data("measured/boot-ng/eventlog.bin");
    std::vector<std::size_t> ends{0};
    const EventLog log = parse_event_log(bytes).value();
    for (const FirmwareEvent &event : log.events)
        ends.push_back(event.data_at + event.data_size);
    for (std::size_t size = 0; size < bytes.size(); ++size) {
        const auto cut = parse_event_log(ByteView{bytes}.first(size));
        const bool at_an_end = std::ranges::find(ends, size) != ends.end() && size != 0;
        assert_true(cut.has_value() == at_an_end);
        assert_true(at_an_end || cut.error().code == (size == 0 ? Errc::missing : Errc::truncated));
    }
}

static void parse_rejects_wrong_headers(void **) {
    assert_true(Maker{}.header({}).error() == Errc::malformed);
    assert_true(Maker{}.header({{11, 20}}).error() == Errc::malformed);           // SHA-256 has 32
    assert_true(Maker{}.header({{0x99, 0}}).error() == Errc::malformed);          // no digest at all
    assert_true(Maker{}.header({{0x99, 65}}).error() == Errc::malformed);         // none is so long
    assert_true(Maker{}.header({{11, 32}, {11, 32}}).error() == Errc::malformed); // which of them?
    std::vector<std::pair<unsigned, unsigned>> many;
    for (unsigned i = 0; i <= max_event_banks; ++i)
        many.emplace_back(0x100 + i, 32);
    assert_true(Maker{}.header(many).error() == Errc::too_large);
    many.pop_back();
    assert_true(parse_event_log(Maker{}.header(many).out).has_value());
    // vendor's information that is longer or shorter than it says
    assert_true(Maker{}.old_event(0, 3, Maker::header_data({{11, 32}}, {"\2x", 2})).error() == Errc::truncated);
    assert_true(Maker{}.old_event(0, 3, Maker::header_data({{11, 32}}, {"\0x", 2})).error() == Errc::trailing);
    assert_true(parse_event_log(Maker{}.old_event(0, 3, Maker::header_data({{11, 32}}, {"\1x", 2})).out).has_value());
    assert_true(Maker{}.old_event(0, 3, {"Spec ID Event04\0", 16}).error() == Errc::unsupported);
    // a count that would take all memory
    Maker absurd;
    absurd.raw({"Spec ID Event03\0\0\0\0\0\0\2\0\2\xff\xff\xff\xff", 28});
    assert_true(Maker{}.old_event(0, 3, as_text(absurd.out)).error() == Errc::too_large);
}

static void parse_rejects_wrong_events(void **) {
    const auto with = [](unsigned pcr, std::vector<std::array<unsigned, 3>> digests) {
        Maker maker;
        maker.header({{4, 20}, {11, 32}});
        maker.event(pcr, 4, std::move(digests), "data");
        const auto log = parse_event_log(maker.out);
        return log ? std::optional<Errc>{} : log.error().code;
    };
    assert_false(with(3, {{4, 20, 1}, {11, 32, 1}}).has_value());
    assert_true(with(3, {{4, 20, 1}}) == Errc::malformed);                           // a bank is not there
    assert_true(with(3, {{4, 20, 1}, {4, 20, 1}}) == Errc::malformed);               // one twice
    assert_true(with(3, {{4, 20, 1}, {12, 48, 1}}) == Errc::malformed);              // one of no header's
    assert_true(with(3, {{4, 20, 1}, {11, 32, 1}, {11, 32, 1}}) == Errc::malformed); // one more
    assert_true(with(24, {{4, 20, 1}, {11, 32, 1}}) == Errc::malformed);             // no such PCR
    assert_true(with(0xffffffff, {{4, 20, 1}, {11, 32, 1}}) == Errc::malformed);
    Maker count;
    count.header({{11, 32}});
    count.le(4, 0);
    count.le(4, 4);
    count.le(4, 0xffffffff);
    assert_true(count.error() == Errc::malformed);
    Maker large;
    large.le(4, 0);
    large.le(4, 4);
    large.fill(20, 0);
    large.le(4, max_event_data_size + 1);
    assert_true(large.error() == Errc::too_large);
    Maker at_limit;
    at_limit.old_event(0, 4, std::string(max_event_data_size, 'x'));
    assert_true(parse_event_log(at_limit.out).has_value());
}

static void parse_rejects_more_events_than_its_limit(void **) {
    Maker one;
    one.old_event(1, 4, "");
    assert_int_equal(one.out.size(), 32);
    Bytes many;
    many.reserve(32 * (max_log_events + 1));
    for (std::size_t i = 0; i < max_log_events; ++i)
        many.insert(many.end(), one.out.begin(), one.out.end());
    assert_true(parse_event_log(many).has_value());
    many.insert(many.end(), one.out.begin(), one.out.end());
    assert_true(parse_event_log(many).error().code == Errc::too_large);
}

// ---- what was booted ------------------------------------------------------------------------------------------------

static BootDigests files_of(const std::string &folder, const char *bank) {
    const Json files = json_file(folder + "files.json")[bank];
    return {digest_of(files["kernel"].get<std::string>()), digest_of(files["initrd"].get<std::string>()),
            digest_of(files["load_options"].get<std::string>())};
}

static void boots_of_ours_measured_kernel_initramfs_and_command_line(void **) {
    for (const std::string folder : {"measured/boot-ng/", "measured/boot-sig/", "measured/boot-legacy/"}) {
        const Bytes bytes = test::data(folder + "eventlog.bin");
        const EventLog log = parse_event_log(bytes).value();
        for (const char *const bank : {"sha1", "sha256", "sha384"}) {
            const TpmAlg alg = *tpm_hash_by_name(bank);
            const BootDigests wanted = files_of(folder, bank);
            assert_true(check_boot_events(log, alg, wanted).value().holds);
            assert_true(load_options_digest(alg, as_text(test::data(folder + "cmdline"))) == wanted.load_options);
        }
    }
}

static void boot_events_name_what_differs(void **) {
    const Bytes bytes = test::data("measured/boot-ng/eventlog.bin");
    const EventLog log = parse_event_log(bytes).value();
    const BootDigests good = files_of("measured/boot-ng/", "sha256");
    const TpmDigest other = TpmDigest::filled(32, std::byte{5});
    BootDigests wanted = good;
    wanted.kernel = other;
    auto found = check_boot_events(log, TpmAlg::sha256, wanted).value();
    assert_true(!found.holds && found.found.contains("PCR 4: event 14 measures " + hex(good.kernel.view())));
    wanted = good;
    wanted.initrd = other;
    found = check_boot_events(log, TpmAlg::sha256, wanted).value();
    assert_true(!found.holds && found.found.contains("PCR 9: event 27") && found.found.contains("Linux initrd"));
    wanted = good;
    wanted.load_options = other;
    found = check_boot_events(log, TpmAlg::sha256, wanted).value();
    assert_true(!found.holds && found.found.contains("PCR 9: event 26") && found.found.contains("LoadOptions"));
    assert_true(check_boot_events(log, TpmAlg::sha512, good).error().code == Errc::unsupported);
    // of another command line
    assert_false(check_boot_events(log, TpmAlg::sha256, files_of("measured/boot-sig/", "sha256")).value().holds);
}

// A log whose writer calls another program an "action", loads the kernel twice, or leaves it out.
static void boot_events_believe_digests_and_not_types(void **) {
    const BootDigests good = files_of("measured/boot-ng/", "sha256");
    const auto add = [](Maker &maker, unsigned pcr, unsigned type, const TpmDigest &digest, std::string_view data) {
        maker.le(4, pcr);
        maker.le(4, type);
        maker.le(4, 1);
        maker.le(2, 11);
        maker.out.insert(maker.out.end(), digest.view().begin(), digest.view().end());
        maker.le(4, data.size());
        maker.raw(data);
    };
    const auto log_with = [&](auto &&more) {
        Maker maker;
        maker.header({{11, 32}});
        more(maker);
        add(maker, 9, 6, good.load_options, "o");
        add(maker, 9, 6, good.initrd, "i");
        return maker.out;
    };
    const auto holds = [&](const Bytes &bytes) {
        return check_boot_events(parse_event_log(bytes).value(), TpmAlg::sha256, good).value();
    };
    const Bytes plain = log_with([&](Maker &maker) { add(maker, 4, 0x80000003, good.kernel, "k"); });
    assert_true(holds(plain).holds);
    const Bytes hidden = log_with([&](Maker &maker) {
        add(maker, 4, 0x80000003, good.kernel, "k");
        add(maker, 4, 0x80000007, TpmDigest::filled(32, std::byte{6}), "Calling EFI Application from Boot Option");
    });
    assert_true(!holds(hidden).holds && holds(hidden).found.contains("event 2"));
    const Bytes twice = log_with([&](Maker &maker) {
        add(maker, 4, 0x80000003, good.kernel, "k");
        add(maker, 4, 0x80000003, good.kernel, "k");
    });
    assert_true(holds(twice).found == "PCR 4: the kernel was measured 2 times");
    const Bytes never = log_with([](Maker &) {});
    assert_true(holds(never).found == "PCR 4: the kernel was not measured");
}

// ---- PE images ------------------------------------------------------------------------------------------------------

// A PE32+ image with two sections in the wrong order, four bytes behind them and perhaps certificates.
static Bytes small_image(bool certificates) {
    Bytes out(0x400);
    const auto put = [&](std::size_t at, std::size_t size, std::uint64_t value) {
        store_le(MutableBytes{out}.subspan(at, size), value);
    };
    put(0, 2, 0x5a4d);
    put(0x3c, 4, 0x40);
    put(0x40, 4, 0x4550);
    put(0x46, 2, 2);    // sections
    put(0x54, 2, 0xa0); // size of the optional header: 112 and six directories
    put(0x58, 2, 0x20b);
    put(0x58 + 60, 4, 0x200); // size of the headers
    put(0x58 + 64, 4, 0x12345678);
    put(0x58 + 108, 4, 6);
    const std::size_t sections = 0x58 + 0xa0;
    put(sections + 16, 4, 0x100);
    put(sections + 20, 4, 0x300);
    put(sections + 40 + 16, 4, 0x100);
    put(sections + 40 + 20, 4, 0x200);
    std::fill(out.begin() + 0x200, out.begin() + 0x300, std::byte{0xaa});
    std::fill(out.begin() + 0x300, out.end(), std::byte{0xbb});
    out.insert(out.end(), 4, std::byte{0xcc});
    if (certificates) {
        put(0x58 + 112 + 32, 4, out.size());
        put(0x58 + 112 + 36, 4, 8);
        out.insert(out.end(), 8, std::byte{0xdd});
    }
    return out;
}

static void authenticode_leaves_out_checksum_and_certificates(void **) {
    const Bytes plain = small_image(false);
    Bytes covered(plain.begin(), plain.begin() + 0x58 + 64); // typed from the specification
    covered.insert(covered.end(), plain.begin() + 0x58 + 68, plain.begin() + 0x58 + 112 + 32);
    covered.insert(covered.end(), plain.begin() + 0x58 + 112 + 40, plain.end());
    const TpmDigest wanted{sha256(covered)};
    assert_true(authenticode_digest(plain, TpmAlg::sha256).value() == wanted);
    assert_true(authenticode_digest(plain, TpmAlg::sha384).value() == TpmDigest{sha384(covered)});
    Bytes other = small_image(true); // signed: the same digest
    assert_true(authenticode_digest(other, TpmAlg::sha256).value() == wanted);
    other[0x58 + 65] ^= std::byte{1};
    other.back() ^= std::byte{1};
    assert_true(authenticode_digest(other, TpmAlg::sha256).value() == wanted);
}

static void authenticode_covers_every_other_byte(void **) {
    const Bytes plain = small_image(false);
    const TpmDigest wanted = authenticode_digest(plain, TpmAlg::sha256).value();
    for (std::size_t at = 0; at < plain.size(); ++at) {
        Bytes changed = plain;
        changed[at] ^= std::byte{0x80};
        const auto digest = authenticode_digest(changed, TpmAlg::sha256);
        const bool left_out = (at >= 0x58 + 64 && at < 0x58 + 68) ||
                              (at >= 0x58 + 112 + 32 && at < 0x58 + 112 + 36); // an offset without a size
        assert_true(left_out ? digest.has_value() && *digest == wanted : !digest || *digest != wanted);
    }
}

static void authenticode_rejects_what_is_no_image(void **) {
    const Bytes plain = small_image(false);
    const auto with = [&](std::size_t at, std::size_t size, std::uint64_t value) {
        Bytes out = plain;
        store_le(MutableBytes{out}.subspan(at, size), value);
        return authenticode_digest(out, TpmAlg::sha256).error().code;
    };
    const std::size_t sections = 0x58 + 0xa0;
    assert_true(with(0, 2, 0) == Errc::malformed);
    assert_true(with(0x3c, 4, 0xffffffff) == Errc::truncated);
    assert_true(with(0x40, 4, 0) == Errc::malformed);
    assert_true(with(0x46, 2, 97) == Errc::too_large);
    assert_true(with(0x54, 2, 0xffff) == Errc::truncated);
    assert_true(with(0x54, 2, 60) == Errc::malformed);
    assert_true(with(0x58, 2, 0x107) == Errc::unsupported);
    assert_true(with(0x58 + 60, 4, 0x405) == Errc::truncated);
    assert_true(with(0x58 + 60, 4, 0x100) == Errc::malformed); // ends inside of the section table
    assert_true(with(0x58 + 108, 4, 7) == Errc::malformed);
    assert_true(with(sections + 20, 4, 0x2ff) == Errc::malformed);      // over the other section
    assert_true(with(sections + 20, 4, 0xffffffff) == Errc::malformed); // outside
    assert_true(with(sections + 40 + 20, 4, 0x1ff) == Errc::malformed); // over the headers
    assert_true(with(0x58 + 112 + 36, 4, 4) == Errc::malformed);        // certificates not at the end
    assert_true(authenticode_digest(ByteView{plain}.first(0x3f), TpmAlg::sha256).error().code == Errc::truncated);
    assert_true(authenticode_digest(plain, static_cast<TpmAlg>(0x12)).error().code == Errc::unsupported);
}

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(replay_gives_the_values_of_every_real_log),
        cmocka_unit_test(loaded_images_of_real_logs_have_the_known_digests),
        cmocka_unit_test(data_of_real_logs_have_their_digests),
        cmocka_unit_test(a_boot_of_ours_replays_to_what_the_tpm_said),
        cmocka_unit_test(compare_names_the_event_that_was_not_extended),
        cmocka_unit_test(compare_names_the_event_that_the_tpm_knows_nothing_of),
        cmocka_unit_test(compare_names_the_event_whose_data_were_changed),
        cmocka_unit_test(compare_says_when_it_cannot_tell),
        cmocka_unit_test(compare_refuses_what_is_no_value_of_a_bank),
        cmocka_unit_test(digests_of_an_event_come_in_any_order),
        cmocka_unit_test(an_event_of_no_action_is_not_extended),
        cmocka_unit_test(parse_rejects_two_startup_localities),
        cmocka_unit_test(parse_rejects_every_cut),
        cmocka_unit_test(parse_rejects_wrong_headers),
        cmocka_unit_test(parse_rejects_wrong_events),
        cmocka_unit_test(parse_rejects_more_events_than_its_limit),
        cmocka_unit_test(boots_of_ours_measured_kernel_initramfs_and_command_line),
        cmocka_unit_test(boot_events_name_what_differs),
        cmocka_unit_test(boot_events_believe_digests_and_not_types),
        cmocka_unit_test(authenticode_leaves_out_checksum_and_certificates),
        cmocka_unit_test(authenticode_covers_every_other_byte),
        cmocka_unit_test(authenticode_rejects_what_is_no_image),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
