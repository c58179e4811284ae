// Fetching from AMD's key service without a network, and the signed bundle: addresses against those of real reports,
// waiting with a clock of our own, a service that lies, a cache that was changed, a bundle in which one thing is wrong.
#include "tests/unit/cmocka.hpp"

#include "common/cbor_stream.hpp"
#include "common/cose.hpp"
#include "host-tools/appraise/verdict.hpp"
#include "host-tools/base/json.hpp"
#include "host-tools/base/mbed.hpp"
#include "host-tools/base/os.hpp"
#include "host-tools/collateral/bundle.hpp"
#include "host-tools/collateral/collateral.hpp"

#include <filesystem>
#include <map>

#include <unistd.h>

using namespace cvmin;
using std::chrono::milliseconds;
using std::chrono::seconds;
using test::data;

static std::time_t test_time() {
    return parse_time("2026-06-01T12:00:00Z").value();
}

// ---- names in the service -------------------------------------------------------------------------------------------

static void vcek_path_is_the_documented_one_of_every_real_report(void **) {
    const Json index = parse_json(data("reports.json"), "reports.json").value();
    std::size_t count = 0;
    for (const Json &entry : index["reports"]) {
        if (!entry.contains("kds_url") || entry["kds_url"].is_null() || entry["vek"].is_null())
            continue;
        const std::string dir = entry["dir"].get<std::string>() + "/";
        const auto raw = data(dir + entry["report"].get<std::string>());
        const auto report = parse_snp_report(raw).value();
        const auto product = product_by_name(entry["product_line"].get<std::string>());
        const auto id = vcek_id(report, report.version < 3 ? product : std::nullopt);
        assert_true(id.has_value() && id->product == product);
        assert_true(std::string{amd_kds} + vcek_path(*id) == entry["kds_url"].get<std::string>());
        ++count;
    }
    assert_int_equal(count, 10);
}

static void paths_of_chains_and_lists_are_the_documented_ones(void **) {
    assert_true(cert_chain_path(VekKind::vcek, Product::milan) == "/vcek/v1/Milan/cert_chain");
    assert_true(cert_chain_path(VekKind::vlek, Product::genoa) == "/vlek/v1/Genoa/cert_chain");
    assert_true(crl_path(VekKind::vcek, Product::turin) == "/vcek/v1/Turin/crl");
    assert_true(crl_path(VekKind::vlek, Product::milan) == "/vlek/v1/Milan/crl");
    const auto id = vcek_id(Product::turin, Bytes(8, std::byte{0xab}), Tcb{.level = {1, 2, 3, 4, 255}});
    assert_true(vcek_path(*id) ==
                "/vcek/v1/Turin/abababababababab?fmcSPL=01&blSPL=02&teeSPL=03&snpSPL=04&ucodeSPL=255");
}

static void vcek_id_refuses_what_has_no_certificate(void **) {
    const Bytes chip(64, std::byte{1});
    const auto code = [](Product product, ByteView chip_id) { return vcek_id(product, chip_id, {}).error().code; };
    assert_true(code(Product::milan, Bytes(64)) == Errc::unsupported); // masked
    assert_true(code(Product::milan, ByteView{chip}.first(8)) == Errc::out_of_range);
    assert_true(code(Product::milan, ByteView{chip}.first(63)) == Errc::out_of_range);
    assert_true(code(Product::turin, chip) == Errc::unsupported); // 64 bytes, but Turin's has 8
    assert_true(code(Product::turin, {}) == Errc::out_of_range);

    SnpReport report{};
    report.chip_id.fill(std::byte{1});
    report.version = 2;
    assert_true(vcek_id(report, std::nullopt).error().code == Errc::missing);
    assert_true(vcek_id(report, Product::milan).has_value());
    report.reported_tcb = 0xff00; // TEE on Milan, boot loader on Turin
    assert_true(vcek_id(report, Product::milan)->tcb[TcbComponent::tee] == 0xff);
    report.reported_tcb = 0xff0000; // reserved on Milan
    assert_true(vcek_id(report, Product::milan).error().code == Errc::unsupported);
    report.version = 3;
    report.reported_tcb = 0;
    report.cpuid_family = 0x19;
    report.cpuid_model = 0x11;
    assert_true(vcek_id(report, std::nullopt)->product == Product::genoa);
    assert_true(vcek_id(report, Product::milan).error().code == Errc::mismatch);
    report.cpuid_family = 0x1b;
    assert_true(vcek_id(report, std::nullopt).error().code == Errc::unsupported);
}

static void parse_tcb_wants_every_component_once(void **) {
    const Tcb milan = parse_tcb(Product::milan, "boot_loader=4,tee=0,snp=24,microcode=219").value();
    assert_true(milan == (Tcb{.level = {0, 4, 0, 24, 219}}));
    assert_true(parse_tcb(Product::milan, "microcode=219,snp=24,tee=0,boot_loader=4").value() == milan);
    assert_true(parse_tcb(Product::milan, "0xdb18000000000004").value() == milan);
    assert_true(parse_tcb(Product::turin, "fmc=1,boot_loader=2,tee=3,snp=4,microcode=5").value() ==
                (Tcb{.level = {1, 2, 3, 4, 5}}));
    for (const char *const text :
         {"", "boot_loader=4,tee=0,snp=24", "boot_loader=4,tee=0,snp=24,microcode=219,tee=0",
          "fmc=0,boot_loader=4,tee=0,snp=24,microcode=219", "boot_loader=4,tee=0,snp=24,microcode=256",
          "boot_loader=4,tee=0,snp=24,microcode=-1",
          "boot_loader=4,tee=0,snp=24,microcode=", "boot_loader=4,tee=0,snp=24,microcode",
          "boot_loader=4,tee=0,snp=24,microcode=2 ", "boot_loader=4,,tee=0,snp=24,microcode=2", "0xdb18000000000104ff",
          "0xdb1800000000", "0xdb18000000010004", "0xdb180000000000zz"})
        assert_false(parse_tcb(Product::milan, text).has_value());
}

static void parse_service_address_takes_https_or_this_machine(void **) {
    const std::pair<const char *, const char *> good[] = {
        {"https://kdsintf.amd.com", "https://kdsintf.amd.com"},
        {"https://kdsintf.amd.com/", "https://kdsintf.amd.com"},
        {"https://mirror.example:8443/kds/", "https://mirror.example:8443/kds"},
        {"http://localhost:8080", "http://localhost:8080"},
        {"http://127.0.0.1:8080/", "http://127.0.0.1:8080"},
        {"http://[::1]:8080", "http://[::1]:8080"},
    };
    for (const auto &[text, wanted] : good) {
        const auto address = parse_service_address(text);
        assert_true(address && *address == wanted);
    }
    for (const char *const text :
         {"", "kdsintf.amd.com", "http://kdsintf.amd.com", "http://127.0.0.1.example", "http://127.evil",
          "http://localhost.example", "ftp://localhost", "file:///etc/passwd", "https://user:secret@localhost",
          "https://localhost/?a=b", "https://localhost/#a", "http://10.0.0.1", "https://", "gopher://127.0.0.1"})
        assert_true(!parse_service_address(text) && parse_service_address(text).error().code == Errc::usage);
}

static void resolve_on_origin_stays_on_the_server(void **) {
    const std::string base = "https://h.example/a/b?c=d";
    const std::pair<const char *, const char *> good[] = {
        {"e/f", "https://h.example/a/e/f"},         {"/e", "https://h.example/e"},
        {"../../../e", "https://h.example/e"},      {"?g", "https://h.example/a/b?g"},
        {"e\r\nf", "https://h.example/a/e%0d%0af"}, {"https://h.example:443/e", "https://h.example:443/e"},
        {"//H.EXAMPLE/e", "https://H.EXAMPLE/e"},
    };
    for (const auto &[reference, wanted] : good) {
        const auto url = resolve_on_origin(base, reference);
        if (!url || *url != wanted)
            print_error("%s: %s\n", reference, url ? url->c_str() : url.error().text.c_str());
        assert_true(url && *url == wanted);
    }
    const std::tuple<const char *, const char *, Errc> wrong[] = {
        {base.c_str(), "http://h.example/a", Errc::mismatch},
        {base.c_str(), "https://h.example:444/a", Errc::mismatch},
        {base.c_str(), "//other.example", Errc::mismatch},
        {base.c_str(), "https://h.example.other/a", Errc::mismatch},
        {base.c_str(), "ftp://h.example", Errc::mismatch},
        {base.c_str(), "", Errc::malformed},
        {base.c_str(), "https://user@h.example/a", Errc::malformed},
        {base.c_str(), "https://", Errc::malformed},
        {base.c_str(), "https://h.example:0x1/a", Errc::malformed},
        {"", "e", Errc::malformed},
    };
    for (const auto &[from, reference, code] : wrong) {
        const auto url = resolve_on_origin(from, reference);
        if (url || url.error().code != code)
            print_error("%s: %s\n", reference, url ? url->c_str() : url.error().text.c_str());
        assert_true(!url && url.error().code == code);
    }
}

// ---- waiting --------------------------------------------------------------------------------------------------------

namespace {

struct FakePacing final : Pacing {
    std::chrono::steady_clock::time_point at{};
    std::vector<milliseconds> waits;
    double chance = 0.5;
    bool interrupt = false;
    std::chrono::steady_clock::time_point now() override { return at; }
    bool wait(milliseconds time) override {
        waits.push_back(time);
        at += time;
        return !interrupt;
    }
    double random() override { return chance; }
};

struct ScriptedClient final : HttpClient { // answers one after the other, the last one for ever
    std::vector<HttpAnswer> answers;
    std::vector<HttpRequest> asked;
    HttpAnswer send(const HttpRequest &request) override {
        asked.push_back(request);
        return answers[std::min(asked.size(), answers.size()) - 1];
    }
};

HttpAnswer status(long code, std::string_view body = {}) {
    HttpAnswer answer;
    answer.kind = HttpAnswer::Kind::answered;
    answer.status = code;
    answer.complete = true;
    answer.body = to_bytes(as_bytes(body));
    return answer;
}
HttpAnswer retry_after(long code, seconds time) {
    HttpAnswer answer = status(code);
    answer.retry_after = time;
    return answer;
}
HttpAnswer failure(HttpAnswer::Kind kind) {
    HttpAnswer answer;
    answer.kind = kind;
    answer.text = "a test";
    return answer;
}
HttpAnswer broken(std::string_view body, std::string etag) { // ended early
    HttpAnswer answer = status(200, body);
    answer.kind = HttpAnswer::Kind::unreachable;
    answer.complete = false;
    answer.etag = std::move(etag);
    return answer;
}
HttpAnswer rest(std::string_view body) {
    HttpAnswer answer = status(206, body);
    answer.resumed = true;
    return answer;
}

struct Run {
    FakePacing pacing;
    ScriptedClient client;
    std::vector<std::string> notes;
    Explained<Bytes> go(std::vector<HttpAnswer> answers, unsigned retries = 3, seconds limit = seconds{600}) {
        client.answers = std::move(answers);
        return fetch(client, pacing,
                     {.url = "https://kds.example/x",
                      .what = "the VCEK",
                      .limit = 10,
                      .retries = retries,
                      .deadline = pacing.at + limit,
                      .not_found = "none of that chip"},
                     [this](std::string_view text) { notes.emplace_back(text); });
    }
};

} // namespace

static void backoff_doubles_up_to_its_limit(void **) {
    milliseconds longest = retry_first_wait;
    for (unsigned retry = 0; retry < 100; ++retry) {
        assert_true(backoff(retry, 0.0) == longest / 2);
        assert_true(backoff(retry, 0.999999) <= longest && backoff(retry, 0.999999) >= longest * 99 / 100);
        longest = std::min(longest * 2, retry_longest_wait);
    }
    assert_true(backoff(4, 0.5) == milliseconds{12'000});
    assert_true(backoff(5, 0.5) == milliseconds{22'500});
}

static void fetch_repeats_what_passes(void **) {
    Run run;
    const auto body = run.go({status(500), failure(HttpAnswer::Kind::unreachable), failure(HttpAnswer::Kind::timed_out),
                              status(200, "0123456789")});
    assert_true(body && as_text(*body) == "0123456789");
    assert_true(run.pacing.waits == (std::vector{milliseconds{750}, milliseconds{1500}, milliseconds{3000}}));
    assert_int_equal(run.notes.size(), 3);
    assert_true(run.notes[0].contains("HTTP 500") && run.notes[0].contains("again in 0.7 s"));
}

static void fetch_gives_up(void **) {
    const struct {
        HttpAnswer answer;
        unsigned attempts;
        Errc code;
        const char *text;
    } cases[] = {
        {status(404), 1, Errc::refused, "none of that chip (HTTP 404)"},
        {status(400), 1, Errc::refused, "HTTP 400"},
        {status(204), 1, Errc::refused, "HTTP 204"},
        {status(206, "012"), 1, Errc::refused, "HTTP 206"}, // nobody asked for a part
        {status(429), 4, Errc::refused, "limits how often it answers (HTTP 429); given up after 4 attempts"},
        {status(503), 4, Errc::unreachable, "HTTP 503"},
        {failure(HttpAnswer::Kind::unreachable), 4, Errc::unreachable, "a test"},
        {failure(HttpAnswer::Kind::timed_out), 4, Errc::timed_out, "no answer in time"},
        {failure(HttpAnswer::Kind::too_large), 1, Errc::too_large, "more than 10 bytes"},
        {failure(HttpAnswer::Kind::refused), 1, Errc::refused, "a test"},
        {failure(HttpAnswer::Kind::failed), 1, Errc::system, "a test"},
        {failure(HttpAnswer::Kind::interrupted), 1, Errc::busy, "interrupted"},
    };
    for (const auto &[answer, attempts, code, text] : cases) {
        Run run;
        const auto body = run.go({answer});
        if (body || run.client.asked.size() != attempts || !body.error().text.contains(text))
            print_error("%s: %zu attempts, %s\n", text, run.client.asked.size(),
                        body ? "-" : body.error().text.c_str());
        assert_true(!body && body.error().code == code && body.error().text.contains(text));
        assert_int_equal(run.client.asked.size(), attempts);
    }
}

static void fetch_does_what_retry_after_says_within_limits(void **) {
    {
        Run run;
        assert_true(run.go({retry_after(429, seconds{7}), retry_after(503, seconds{1}), status(200)}).has_value());
        assert_true(run.pacing.waits == (std::vector{milliseconds{7000}, milliseconds{1500}})); // never less than ours
    }
    {
        Run run;
        const auto body = run.go({retry_after(429, retry_after_limit + seconds{1}), status(200)});
        assert_true(!body && body.error().code == Errc::refused && run.pacing.waits.empty());
        assert_true(body.error().text.contains("asks to wait 121 s; that is too long"));
    }
    {
        Run run; // it would end after the deadline: said at once, and not waited for
        const auto body = run.go({retry_after(429, seconds{100}), status(200)}, 3, seconds{60});
        assert_true(!body && run.pacing.waits.empty() && body.error().text.contains("no time is left"));
    }
    {
        Run run;
        run.pacing.interrupt = true;
        assert_true(run.go({status(500), status(200)}).error().code == Errc::busy);
    }
    Run run; // what is left of the whole time bounds each attempt
    assert_true(run.go({status(500), status(200)}, 3, seconds{3}).has_value());
    assert_true(run.client.asked[0].timeout == seconds{3} && run.client.asked[1].timeout == milliseconds{2250});
    assert_true(Run{}.go({status(200)}, 3, seconds{0}).error().code == Errc::timed_out);
}

static void fetch_goes_on_where_an_answer_ended(void **) {
    HttpAnswer part = broken("45", "\"a\""); // the rest, which ends early as well
    part.status = 206;
    part.resumed = true;
    {
        Run run;
        const auto body =
            run.go({broken("0123", "\"a\""), failure(HttpAnswer::Kind::unreachable), part, rest("6789")}, 4);
        assert_true(body && as_text(*body) == "0123456789");
        assert_int_equal(run.client.asked[2].from, 4);
        assert_int_equal(run.client.asked[2].limit, 6);
        assert_int_equal(run.client.asked[3].from, 6);
        assert_true(run.client.asked[2].etag == "\"a\"" && run.client.asked[0].from == 0);
    }
    {
        Run run; // the service has a new version: all of it
        const auto body = run.go({broken("0123", "\"a\""), status(200, "abcdef")});
        assert_true(body && as_text(*body) == "abcdef");
    }
    {
        Run run; // no entity tag: from the beginning
        const auto body = run.go({broken("0123", ""), status(200, "012345")});
        assert_true(body && as_text(*body) == "012345" && run.client.asked[1].from == 0);
    }
    {
        Run run; // a range that it does not have, or another than was asked for
        const auto body = run.go({broken("0123", "\"a\""), status(416), status(200, "012345")});
        assert_true(body && as_text(*body) == "012345" && run.client.asked[2].from == 0);
    }
    Run run; // full, and yet it should go on
    const auto body = run.go({broken("0123456789", "\"a\""), rest("")});
    assert_true(!body && body.error().code == Errc::too_large);
}

// ---- a service and a cache
// -------------------------------------------------------------------------------------------

namespace {

std::string pem(ByteView der, const char *label = "CERTIFICATE") {
    return std::string{"-----BEGIN "} + label + "-----\n" + base64(der) + "\n-----END " + label + "-----\n";
}

struct FakeKds final : HttpClient {
    std::map<std::string, Bytes> answers; // by path
    std::vector<std::string> asked;
    bool down = false;
    HttpAnswer send(const HttpRequest &request) override {
        const std::string path = request.url.substr(std::string_view{"https://kds.example"}.size());
        asked.push_back(path);
        if (down)
            return failure(HttpAnswer::Kind::unreachable);
        const auto found = answers.find(path);
        return found == answers.end() ? status(404) : status(200, as_text(found->second));
    }
};

struct Scratch {
    std::filesystem::path path;
    Scratch() {
        char name[] = "/tmp/cvmin-test-XXXXXX";
        if (::mkdtemp(name) == nullptr)
            abort();
        path = name;
    }
    ~Scratch() { std::filesystem::remove_all(path); }
    Scratch(const Scratch &) = delete;
    Scratch &operator=(const Scratch &) = delete;
};

std::shared_ptr<const X509Certificate> amd(Product product, std::string_view role) {
    for (const AmdCertificate &carried : amd_certificates())
        if (carried.product == product && carried.role == role)
            return carried.certificate;
    abort();
}

// The service has what one test wants to fetch: the test chain, unless it puts other things there.
struct World {
    Scratch scratch;
    FakeKds kds;
    FakePacing pacing;
    std::vector<std::string> notes;
    CollateralRequest request;
    std::string vcek, chain, crl; // paths
    std::string authorities;      // what is served as the chain
    bool offline = false, refresh = false;

    World() {
        Bytes chip(64);
        for (std::size_t i = 0; i < chip.size(); ++i)
            chip[i] = static_cast<std::byte>(i + 1);
        request.product = Product::genoa;
        request.vcek = vcek_id(Product::genoa, chip, Tcb{.level = {0, 10, 0, 25, 84}}).value();
        request.emulated_ark = data("appraise/ark.der");
        request.now = test_time();
        serve(data("appraise/vcek-genoa.der"), pem(data("appraise/ask.der")) + pem(data("appraise/ark.der")));
        kds.answers[crl] = data("appraise/crl-empty.der");
    }
    // a real report with AMD's own chain, and no list: none is public
    void use_real(const std::string &dir, Product product, bool version_2 = false) {
        request.report = data(dir + "/report.bin");
        const SnpReport report = parse_snp_report(request.report).value();
        request.product = product;
        request.vcek = vcek_id(report, version_2 ? std::optional{product} : std::nullopt).value();
        request.emulated_ark.reset();
        request.crl = false;
        serve(data(dir + "/vcek.der"), pem(amd(product, "ASK")->der()) + pem(amd(product, "ARK")->der()));
    }
    void serve(Bytes certificate, std::string chain_text) {
        authorities = std::move(chain_text);
        vcek = vcek_path(*request.vcek);
        chain = cert_chain_path(request.kind, request.product);
        crl = crl_path(request.kind, request.product);
        kds.answers[vcek] = std::move(certificate);
        kds.answers[chain] = to_bytes(as_bytes(authorities));
    }
    KdsCache cache() const { return KdsCache{scratch.path / "kds", "https://kds.example"}; }
    Explained<Collateral> go() {
        KdsCache store = cache();
        CollateralAccess access{.address = "https://kds.example",
                                .http = kds,
                                .pacing = pacing,
                                .cache = store,
                                .note = [this](std::string_view text) { notes.emplace_back(text); },
                                .deadline = pacing.at + seconds{600},
                                .retries = 0,
                                .offline = offline,
                                .refresh = refresh};
        kds.asked.clear();
        return fetch_collateral(request, access);
    }
    bool noted(std::string_view text) const {
        return std::ranges::any_of(notes, [&](const std::string &line) { return line.contains(text); });
    }
};

} // namespace

static void fetch_collateral_takes_real_chains(void **) {
    const struct {
        const char *dir;
        Product product;
        bool version_2;
    } cases[] = {{"go-sev-guest/milan-v2-gcp-debug", Product::milan, true},
                 {"oak/milan-v3-oc-release", Product::milan, false},
                 {"oak/genoa-v5-oc-mitvector", Product::genoa, false},
                 {"oak/turin-v5-oc", Product::turin, false}};
    for (const auto &[dir, product, version_2] : cases) {
        World world;
        world.use_real(dir, product, version_2);
        const auto got = world.go();
        if (!got)
            print_error("%s: %s\n", dir, got.error().text.c_str());
        assert_true(got && !got->chain.emulated && got->chain.product == product && got->vek && !got->crl);
        assert_int_equal(world.kds.asked.size(), 2);
    }
}

static void fetch_collateral_checks_the_list_too(void **) {
    World world;
    const auto got = world.go();
    assert_true(got && got->chain.emulated && got->crl && got->crl->entries() == 0);
    assert_true(world.kds.asked == (std::vector{world.chain, world.vcek, world.crl}));
    // of a VLEK AMD publishes chain and list only
    World vlek;
    vlek.request.kind = VekKind::vlek;
    vlek.request.vcek.reset();
    vlek.kds.answers["/vlek/v1/Genoa/cert_chain"] = vlek.kds.answers[vlek.chain];
    vlek.kds.answers["/vlek/v1/Genoa/crl"] = vlek.kds.answers[vlek.crl];
    const auto authorities = vlek.go();
    assert_true(authorities && !authorities->vek && authorities->crl);
}

static void fetch_collateral_believes_no_answer(void **) {
    using Change = std::function<void(World &)>;
    const std::pair<const char *, Change> cases[] = {
        {"the VCEK of chip 0102030405060708: the service has none for this chip at this TCB (boot_loader 10",
         [](World &w) { w.kds.answers.erase(w.vcek); }},
        {"the service does not know Genoa", [](World &w) { w.kds.answers.erase(w.chain); }},
        {"the revocation list of Genoa: the service does not know", [](World &w) { w.kds.answers.erase(w.crl); }},
        {"is a web page", [](World &w) { w.kds.answers[w.vcek] = to_bytes(as_bytes("\n<!DOCTYPE html><html>")); }},
        {"is a web page", [](World &w) { w.kds.answers[w.chain] = to_bytes(as_bytes("<html>Log in</html>")); }},
        {"is a web page", [](World &w) { w.kds.answers[w.crl] = to_bytes(as_bytes("<html>Log in</html>")); }},
        {"is not well-formed", [](World &w) { w.kds.answers[w.vcek] = Bytes(900, std::byte{0x30}); }},
        {"is not well-formed", [](World &w) { w.kds.answers[w.vcek].clear(); }},
        {"is not well-formed", [](World &w) { w.kds.answers[w.vcek].resize(700); }},
        // a certificate of another chip, another TCB, another product, another root, the intermediate
        {"found HWID",
         [](World &w) {
             w.request.vcek->hwid[0] = std::byte{9};
             w.serve(data("appraise/vcek-genoa.der"), w.authorities);
         }},
        {"wanted boot_loader 11",
         [](World &w) {
             w.request.vcek->tcb[TcbComponent::boot_loader] = 11;
             w.serve(data("appraise/vcek-genoa.der"), w.authorities);
         }},
        {"found a VCEK of Milan-B0", [](World &w) { w.kds.answers[w.vcek] = data("appraise/vcek-milan.der"); }},
        {"found a VLEK of Milan", [](World &w) { w.kds.answers[w.vcek] = data("appraise/vlek-milan.der"); }},
        {"found HWID d2421d97", [](World &w) { w.kds.answers[w.vcek] = data("oak/genoa-v5-oc-mitvector/vcek.der"); }},
        {"is a certificate authority", [](World &w) { w.kds.answers[w.vcek] = data("appraise/vcek-ca.der"); }},
        {"is valid from", [](World &w) { w.kds.answers[w.vcek] = data("appraise/vcek-expired.der"); }},
        {"SEV-VCEK does not verify", [](World &w) { w.kds.answers[w.vcek].back() ^= std::byte{1}; }},
        {"does not verify", [](World &w) { w.request.report = data("oak/genoa-v5-oc-mitvector/report.bin"); }},
        // chains
        {"two certificates in PEM", [](World &w) { w.kds.answers[w.chain] = data("appraise/ask.der"); }},
        {"two certificates in PEM",
         [](World &w) { w.kds.answers[w.chain] = to_bytes(as_bytes(pem(data("appraise/ask.der")))); }},
        {"chain is larger",
         [](World &w) {
             w.kds.answers[w.chain] = to_bytes(as_bytes(pem(data("appraise/ask.der")) + pem(data("appraise/ark.der")) +
                                                        pem(data("appraise/ark.der"))));
         }},
        {"SPKI",
         [](World &w) {
             w.kds.answers[w.chain] =
                 to_bytes(as_bytes(pem(data("appraise/ask.der")) + pem(data("appraise/ark-same-name.der"))));
         }},
        {"names another issuer",
         [](World &w) {
             w.kds.answers[w.chain] =
                 to_bytes(as_bytes(pem(data("appraise/forged-ask-milan.der")) + pem(data("appraise/ark.der"))));
         }},
        {"no certificate authority",
         [](World &w) {
             w.kds.answers[w.chain] =
                 to_bytes(as_bytes(pem(data("appraise/ask-not-ca.der")) + pem(data("appraise/ark.der"))));
         }},
        // lists
        {"signature of the CRL", [](World &w) { w.kds.answers[w.crl] = data("appraise/crl-other-key.der"); }},
        {"another issuer", [](World &w) { w.kds.answers[w.crl] = data("appraise/usage-crl.der"); }},
        {"the CRL is valid from", [](World &w) { w.kds.answers[w.crl] = data("appraise/crl-old.der"); }},
        {"SEV-Test EMULATED (serial 7e0001) is revoked",
         [](World &w) { w.kds.answers[w.crl] = data("appraise/crl-revokes-ask.der"); }},
        {"is not well-formed", [](World &w) { w.kds.answers[w.crl] = data("appraise/ark.der"); }},
        // an emulated chain for whoever named no root
        {"has no name of AMD's intermediates", [](World &w) { w.request.emulated_ark.reset(); }},
    };
    for (const auto &[text, change] : cases) {
        World world;
        change(world);
        const auto got = world.go();
        if (got || !got.error().text.contains(text))
            print_error("wanted '%s': %s\n", text, got ? "accepted" : got.error().text.c_str());
        assert_true(!got && got.error().text.contains(text));
    }
    // AMD's real things under the wrong name: the chain of another product, ASVK for ASK
    World other;
    other.use_real("oak/genoa-v5-oc-mitvector", Product::genoa);
    other.serve(data("oak/genoa-v5-oc-mitvector/vcek.der"),
                pem(amd(Product::milan, "ASK")->der()) + pem(amd(Product::milan, "ARK")->der()));
    assert_true(other.go().error().text.contains("SEV-Milan has no name of AMD's intermediates"));
    other.serve(data("oak/genoa-v5-oc-mitvector/vcek.der"),
                pem(amd(Product::genoa, "ASVK")->der()) + pem(amd(Product::genoa, "ARK")->der()));
    assert_true(other.go().error().text.contains("wanted the ASK of VCEKs"));
    other.serve(data("oak/genoa-v5-oc-mitvector/vcek.der"),
                pem(amd(Product::genoa, "ASK")->der()) + pem(data("appraise/forged-ark-milan.der")));
    assert_true(other.go().error().text.contains("wanted AMD's pinned ARK"));
}

static void the_cache_saves_questions_and_is_not_believed(void **) {
    World world;
    world.request.now = std::time(nullptr) + 60; // after the files' own times, on a slow machine too
    assert_true(world.go().has_value());
    assert_true(world.go().has_value() && world.kds.asked.empty());
    world.kds.down = true;
    world.offline = true;
    const auto offline = world.go();
    assert_true(offline && world.kds.asked.empty() && offline->items.size() == 3 && offline->items[0].cached);
    // changed on disk: asked for again
    world.offline = false;
    world.kds.down = false;
    for (const std::string &path : {world.vcek, world.chain, world.crl}) {
        const auto file = world.cache().file_of(path);
        Bytes bytes = read_file(file, 1u << 20).value();
        bytes[bytes.size() / 2] ^= std::byte{1};
        assert_true(write_file(file, bytes).has_value());
        assert_true(world.go().has_value() && world.kds.asked == std::vector{path});
        assert_true(read_file(file, 1u << 20).value() == world.kds.answers[path]);
        // and with nobody to ask it is refused
        assert_true(write_file(file, bytes).has_value());
        world.offline = true;
        assert_false(world.go().has_value());
        world.offline = false;
        assert_true(write_file(file, Bytes(1u << 20)).has_value()); // larger than it may be: as if it were not there
        assert_true(world.go().has_value());
    }
    world.refresh = true;
    assert_true(world.go().has_value() && world.kds.asked.size() == 3);
}

static void an_old_list_is_asked_for_again_and_used_while_nobody_answers(void **) {
    World world;
    world.request.now = std::time(nullptr);
    assert_true(world.go().has_value());
    world.request.now += crl_cache_age - 60;
    assert_true(world.go().has_value() && world.kds.asked.empty());
    world.request.now += 120;
    assert_true(world.go().has_value() && world.kds.asked == std::vector{world.crl});
    world.kds.down = true;
    const auto got = world.go();
    assert_true(got && got->items[2].cached && world.noted("still current"));
    // a list that revokes is kept as well as a clean one, so that going offline does not bring the clean one back
    world.kds.down = false;
    world.kds.answers[world.crl] = data("appraise/crl-revokes-ask.der");
    assert_true(world.go().error().text.contains("is revoked"));
    world.offline = true;
    assert_true(world.go().error().text.contains("is revoked"));
}

static void offline_says_what_is_not_in_the_cache(void **) {
    World world;
    world.offline = true;
    const auto got = world.go();
    assert_true(!got && got.error().code == Errc::unreachable);
    assert_true(got.error().text == "the chain of Genoa: is not in the cache, and --offline asks nobody");
    assert_true(world.kds.asked.empty());
}

static void a_cached_chain_that_does_not_fit_is_asked_for_again(void **) {
    World world; // cached under the test root; AMD has renewed its intermediate since, so to speak
    assert_true(
        world.cache()
            .write(world.chain, as_bytes(pem(data("appraise/ask-other-name.der")) + pem(data("appraise/ark.der"))))
            .has_value());
    const auto got = world.go();
    assert_true(got && world.noted("once more without the cache"));
}

static void the_cache_keeps_to_itself(void **) {
    Scratch scratch;
    const KdsCache cache{scratch.path / "kds", "https://a.example"};
    assert_false(cache.read("/vcek/v1/Milan/crl", 100).has_value());
    assert_true(cache.write("/vcek/v1/Milan/crl", as_bytes("list")).has_value());
    assert_true(as_text(cache.read("/vcek/v1/Milan/crl", 100)->bytes) == "list");
    assert_false(cache.read("/vcek/v1/Milan/crl", 3).has_value());
    assert_false(cache.read("/vlek/v1/Milan/crl", 100).has_value());
    assert_false((KdsCache{scratch.path / "kds", "https://b.example"}.read("/vcek/v1/Milan/crl", 100).has_value()));
    // names stay in the directory, and long ones apart
    for (const std::string &path :
         {std::string{"/../../etc/passwd"}, "/" + std::string(400, 'a'), std::string{"/a\0b", 4}})
        assert_true(cache.file_of(path).parent_path() == scratch.path / "kds" &&
                    cache.file_of(path).filename().string().size() < 200);
    assert_true(cache.file_of("/" + std::string(300, 'a') + "b") != cache.file_of("/" + std::string(300, 'a') + "c"));
    // a directory that others may write to, or a link, is nobody's cache
    std::filesystem::permissions(scratch.path / "kds", std::filesystem::perms::others_write,
                                 std::filesystem::perm_options::add);
    assert_false(cache.read("/vcek/v1/Milan/crl", 100).has_value());
    assert_false(cache.write("/vcek/v1/Milan/crl", as_bytes("list")).has_value());
    std::filesystem::create_symlink(scratch.path / "kds", scratch.path / "link");
    assert_false((KdsCache{scratch.path / "link", "https://a.example"}.write("/x", as_bytes("list"))).has_value());
}

// ---- bundles --------------------------------------------------------------------------------------------------------

static void read_key(P384PrivateKey &key) {
    if (!key.parse(data("appraise/vek-key.der"), system_random, nullptr, "test"))
        abort();
}

static Bundle good_bundle() {
    Bundle bundle;
    bundle.created = static_cast<std::uint64_t>(test_time()) - 100;
    bundle.expires = static_cast<std::uint64_t>(test_time()) + 100;
    bundle.veks = {data("appraise/vcek-genoa.der"), data("appraise/vlek-milan.der")};
    bundle.intermediates = {data("appraise/ask.der")};
    bundle.crls = {data("appraise/crl-empty.der")};
    bundle.minimum_tcb[0][0] = Tcb{.level = {0, 4, 0, 24, 219}};
    bundle.minimum_tcb[1][2] = Tcb{.level = {0, 10, 0, 25, 84}};
    bundle.minimum_tcb[1][3] = Tcb{};
    bundle.minimum_tcb[2][1] = Tcb{.level = {1, 2, 3, 4, 5}};
    return bundle;
}

static void a_bundle_comes_back_as_it_was(void **) {
    P384PrivateKey key;
    read_key(key);
    const Bundle bundle = good_bundle();
    const Bytes file = sign_bundle(bundle, key, system_random, nullptr).value();
    const auto back = open_bundle(file, key.public_key().value(), test_time());
    assert_true(back && back->created == bundle.created && back->expires == bundle.expires);
    assert_true(back->veks == bundle.veks && back->intermediates == bundle.intermediates && back->crls == bundle.crls);
    assert_true(back->minimum_tcb == bundle.minimum_tcb);
    assert_true(encode_bundle(*back) == encode_bundle(bundle));
    const Endorsements used = endorsements_of(*back, "a file").value();
    assert_true(used.veks.size() == 2 && used.intermediates.size() == 1 && used.crls.size() == 1 && !used.crl);
    assert_true(used.minimum_tcb == bundle.minimum_tcb && used.source == "a file");
    assert_true(read_bundle(file).has_value());
    Bundle empty; // lists may be empty
    empty.expires = 1;
    assert_true(parse_bundle(encode_bundle(empty)).has_value());
}

static void open_bundle_refuses_by_name(void **) {
    P384PrivateKey key;
    read_key(key);
    const PublicKey pub = key.public_key().value();
    const Bytes file = sign_bundle(good_bundle(), key, system_random, nullptr).value();
    const auto text = [](const Explained<Bundle> &opened) { return opened ? std::string{} : opened.error().text; };
    // its end, to the second
    const std::time_t end = test_time() + 100;
    assert_true(open_bundle(file, pub, end - 1).has_value());
    assert_true(
        text(open_bundle(file, pub, end)).starts_with("collateral.expiry: the file ended at 2026-06-01T12:01:40Z"));
    assert_true(exit_code(open_bundle(file, pub, end).error().code) == 3);
    // another key
    const auto vcek = X509Certificate::parse(data("oak/genoa-v5-oc-mitvector/vcek.der"), "test").value();
    const PublicKey other = parse_vek_cert(vcek).value().key;
    assert_true(text(open_bundle(file, other, test_time())).starts_with("collateral.signature: "));
    // the same contents under another kind of content: a signature of this key over something else
    cbor::Writer header;
    header.map(2);
    header.integer(cose::label::alg);
    header.integer(cose::es384);
    header.integer(cose::label::content_type);
    header.text("application/rim+cbor");
    const Bytes foreign =
        cose::make_sign1(header.finish(), encode_bundle(good_bundle()), key, system_random, nullptr).value();
    assert_true(text(open_bundle(foreign, pub, test_time())).starts_with("collateral.format: "));
    // any byte changed, any length
    std::size_t by_signature = 0;
    for (std::size_t at = 0; at < file.size(); at += at < 100 || at + 150 > file.size() ? 1 : 61) {
        Bytes changed = file;
        changed[at] ^= std::byte{1};
        const std::string refused = text(open_bundle(changed, pub, test_time()));
        if (!refused.starts_with("collateral."))
            print_error("byte %zu: '%s'\n", at, refused.c_str());
        assert_true(refused.starts_with("collateral.signature: ") || refused.starts_with("collateral.format: "));
        by_signature += refused.starts_with("collateral.signature: ") ? 1 : 0;
    }
    assert_true(by_signature > 100);
    for (std::size_t size = 0; size < file.size(); size += 97)
        assert_true(text(open_bundle(ByteView{file}.first(size), pub, test_time())).starts_with("collateral.format: "));
    Bytes longer = file;
    longer.push_back(std::byte{0});
    assert_true(text(open_bundle(longer, pub, test_time())).starts_with("collateral.format: "));
    assert_true(text(open_bundle(Bytes(max_bundle_size + 2000), pub, test_time())).starts_with("collateral.format: "));
}

// The payload, member by member, so that one of them can be wrong.
namespace {
struct Payload {
    std::function<void(cbor::Writer &)> crls = [](cbor::Writer &w) { w.array(0); };
    std::function<void(cbor::Writer &)> type = [](cbor::Writer &w) { w.text(bundle_type); };
    std::function<void(cbor::Writer &)> veks = [](cbor::Writer &w) { w.array(0); };
    std::function<void(cbor::Writer &)> created = [](cbor::Writer &w) { w.unsigned_integer(5); };
    std::function<void(cbor::Writer &)> expires = [](cbor::Writer &w) { w.unsigned_integer(6); };
    std::function<void(cbor::Writer &)> minimum = [](cbor::Writer &w) { w.map(0); };
    std::function<void(cbor::Writer &)> intermediates = [](cbor::Writer &w) { w.array(0); };
    const char *keys[7] = {"crls", "type", "veks", "created", "expires", "minimum-tcb", "intermediates"};
    std::size_t members = 7;

    Bytes bytes() const {
        const std::function<void(cbor::Writer &)> *all[7] = {&crls,    &type,    &veks,         &created,
                                                             &expires, &minimum, &intermediates};
        cbor::Writer w;
        w.map(members);
        for (std::size_t i = 0; i < members; ++i) {
            w.text(keys[i]);
            (*all[i])(w);
        }
        return w.finish();
    }
};
} // namespace

static void parse_bundle_refuses_each_wrong_member(void **) {
    assert_true(parse_bundle(Payload{}.bytes()).has_value());
    const auto list = [](std::vector<Bytes> entries) {
        return [entries](cbor::Writer &w) {
            w.array(entries.size());
            for (const Bytes &entry : entries)
                w.bytes(entry);
        };
    };
    const auto tcb = [](const char *product, const char *kind, std::uint64_t value) {
        return [=](cbor::Writer &w) {
            w.map(1);
            w.text(product);
            w.map(1);
            w.text(kind);
            w.unsigned_integer(value);
        };
    };
    const Bytes vcek = data("appraise/vcek-genoa.der");
    const Bytes crl = data("appraise/crl-empty.der");
    const Bytes crl_pem = to_bytes(as_bytes(pem(crl, "X509 CRL")));
    const Bytes vcek_pem = to_bytes(as_bytes(pem(vcek)));
    std::vector<Bytes> many(max_bundle_crls + 1, crl);
    using Change = std::function<void(Payload &)>;
    const std::tuple<const char *, Errc, Change> cases[] = {
        {"collateral.type", Errc::unsupported,
         [](Payload &p) { p.type = [](cbor::Writer &w) { w.text("tag:cvmin,2026:1"); }; }},
        {"collateral.type", Errc::malformed,
         [](Payload &p) { p.type = [](cbor::Writer &w) { w.unsigned_integer(1); }; }},
        {"collateral.created", Errc::malformed, [](Payload &p) { p.created = [](cbor::Writer &w) { w.integer(-1); }; }},
        {"collateral.created", Errc::out_of_range,
         [](Payload &p) { p.created = [](cbor::Writer &w) { w.unsigned_integer(max_bundle_time + 1); }; }},
        {"collateral.expires", Errc::out_of_range,
         [](Payload &p) { p.expires = [](cbor::Writer &w) { w.unsigned_integer(5); }; }},
        {"collateral.expires", Errc::out_of_range,
         [](Payload &p) { p.expires = [](cbor::Writer &w) { w.unsigned_integer(UINT64_MAX); }; }},
        {"collateral.veks", Errc::malformed, [&](Payload &p) { p.veks = list({vcek, vcek}); }},
        {"collateral.veks", Errc::malformed, [&](Payload &p) { p.veks = list({vcek_pem}); }},
        {"collateral.veks", Errc::malformed, [&](Payload &p) { p.veks = list({crl}); }},
        {"collateral.veks", Errc::out_of_range, [&](Payload &p) { p.veks = list({Bytes{}}); }},
        {"collateral.veks", Errc::out_of_range, [&](Payload &p) { p.veks = list({Bytes(max_certificate_size + 1)}); }},
        {"collateral.veks", Errc::malformed, [](Payload &p) { p.veks = [](cbor::Writer &w) { w.map(0); }; }},
        {"collateral.intermediates", Errc::malformed, [&](Payload &p) { p.intermediates = list({Bytes(20)}); }},
        {"collateral.intermediates", Errc::out_of_range,
         [&](Payload &p) { p.intermediates = list(std::vector<Bytes>(max_bundle_intermediates + 1, vcek)); }},
        {"collateral.crls", Errc::malformed, [&](Payload &p) { p.crls = list({vcek}); }},
        {"collateral.crls", Errc::malformed, [&](Payload &p) { p.crls = list({crl_pem}); }},
        {"collateral.crls", Errc::out_of_range, [&](Payload &p) { p.crls = list(many); }},
        {"collateral.minimum-tcb", Errc::unsupported, [&](Payload &p) { p.minimum = tcb("Rome", "launch", 0); }},
        {"collateral.minimum-tcb", Errc::unsupported, [&](Payload &p) { p.minimum = tcb("Milan", "latest", 0); }},
        {"collateral.minimum-tcb", Errc::unsupported, [&](Payload &p) { p.minimum = tcb("Milan", "launch", 0x10000); }},
        {"collateral.minimum-tcb", Errc::malformed,
         [](Payload &p) { p.minimum = [](cbor::Writer &w) { w.array(0); }; }},
        {"collateral", Errc::malformed, [](Payload &p) { p.members = 6; }},
        {"collateral", Errc::malformed, [](Payload &p) { p.keys[2] = "vekt"; }},
        {"collateral", Errc::malformed, [](Payload &p) { p.keys[6] = "intermediatez"; }},
    };
    for (const auto &[where, code, change] : cases) {
        Payload payload;
        change(payload);
        const auto parsed = parse_bundle(payload.bytes());
        if (parsed || parsed.error().code != code || parsed.error().where != where)
            print_error("%s: %s\n", where, parsed ? "accepted" : to_string(parsed.error()).c_str());
        assert_true(!parsed && parsed.error().code == code && parsed.error().where == where);
    }
    Bytes padded = Payload{}.bytes(); // the same map, one length written longer
    padded[0] = std::byte{0xb8};
    padded.insert(padded.begin() + 1, std::byte{7});
    assert_false(parse_bundle(padded).has_value());
}

static void parse_minimum_tcb_names_the_wrong_member(void **) {
    const auto read = [](std::string_view text) { return parse_minimum_tcb(as_bytes(text)); };
    const auto good =
        read(R"({"comment": "x", "Milan": {"reported": {"boot_loader": 4, "tee": 0, "snp": 24, "microcode": 219},
        "launch": "skip"}, "Turin": {"current": {"fmc": 1, "boot_loader": 2, "tee": 3, "snp": 4, "microcode": 5}}})");
    assert_true(good && (*good)[0][0] == (Tcb{.level = {0, 4, 0, 24, 219}}) && !(*good)[0][2] && !(*good)[1][0]);
    assert_true((*good)[2][3] == (Tcb{.level = {1, 2, 3, 4, 5}}));
    const std::pair<const char *, const char *> bad[] = {
        {"{", "minimum TCB"},
        {"[]", "the file"},
        {"{}", "the file"},
        {R"({"Rome": {}})", "Rome is no known product"},
        {R"({"Milan": []})", "Milan is no object"},
        {R"({"Milan": {"newest": "skip"}})", "Milan.newest"},
        {R"({"Milan": {"launch": 5}})", "Milan.launch"},
        {R"({"Milan": {"launch": {"boot_loader": 4, "tee": 0, "snp": 24}}})", "Milan.launch.microcode is missing"},
        {R"({"Milan": {"launch": {"boot_loader": 4, "tee": 0, "snp": 24, "microcode": 256}}})",
         "Milan.launch.microcode"},
        {R"({"Milan": {"launch": {"boot_loader": 4, "tee": 0, "snp": -1, "microcode": 6}}})", "Milan.launch.snp"},
        {R"({"Milan": {"launch": {"fmc": 0, "boot_loader": 4, "tee": 0, "snp": 1, "microcode": 6}}})",
         "Milan.launch has a member"},
    };
    for (const auto &[text, wanted] : bad)
        assert_true(!read(text) && read(text).error().text.contains(wanted));
}

static Explained<Bundle> bundle_of(
    std::vector<Bytes> files, bool emulated = true,
    std::function<void(std::string_view)> note = [](std::string_view) {}) {
    BundleMaker maker(test_time(), emulated ? std::optional{data("appraise/ark.der")} : std::nullopt);
    for (const Bytes &file : files)
        CVMIN_CHECK(maker.add(file, "a file"));
    return maker.finish(static_cast<std::uint64_t>(parse_time("2027-01-01T00:00:00Z").value()), {}, note);
}

using Files = std::vector<Bytes>;

static void a_bundle_is_made_of_what_verifies(void **) {
    const Bytes ark = data("appraise/ark.der"), ask = data("appraise/ask.der"), vcek = data("appraise/vcek-genoa.der");
    const Bytes crl = data("appraise/crl-empty.der");
    const Bytes in_one = to_bytes(as_bytes(pem(ask) + pem(ark) + "\n" + pem(crl, "X509 CRL") + pem(vcek)));
    for (const Files &files :
         std::initializer_list<Files>{Files{vcek, ask, ark, crl}, Files{crl, ark, ask, vcek, vcek}, Files{in_one}}) {
        const auto bundle = bundle_of(files);
        assert_true(bundle && bundle->veks == Files{vcek} && bundle->intermediates == Files{ask});
        assert_true(bundle->crls == Files{crl}); // and no root
    }
    // the newest list of one root, and a note about a list that ends before the bundle
    const auto newest = bundle_of({ask, crl, data("appraise/crl-other-serial.der")});
    assert_true(newest && newest->crls == Files{data("appraise/crl-other-serial.der")});
    // AMD's own: the carried intermediates suffice
    const auto real = bundle_of({data("oak/genoa-v5-oc-mitvector/vcek.der"), data("oak/turin-v5-oc/vcek.der")}, false);
    assert_true(real && real->veks.size() == 2 && real->intermediates.empty());
    const Bytes asvk = to_bytes(amd(Product::turin, "ASVK")->der());
    assert_true(bundle_of({asvk}, false)->intermediates == Files{asvk});

    const std::tuple<const char *, bool, Files> refused[] = {
        {"no certificate and no list to bundle", true, {}},
        {"no certificate and no list to bundle", true, {ark}},
        {"neither a certificate nor a revocation list", true, {Bytes(50, std::byte{7})}},
        {"which is no certificate and no list", true, {to_bytes(as_bytes(pem(vcek, "PRIVATE KEY")))}},
        {"wanted an ASK issued by ARK-Test", true, {vcek}}, // its intermediate is missing
        {"the root ARK-Test EMULATED", true, {data("appraise/ark-same-name.der")}},
        {"the root ARK-Milan", false, {data("appraise/forged-ark-milan.der")}},
        {"no name of AMD's intermediates", false, {ask}},
        {"signature of SEV-Milan does not verify", false, {data("appraise/forged-ask-milan.der")}},
        {"signature of SEV-VCEK does not verify", false, {data("appraise/forged-vcek-milan.der")}},
        {"is valid from", true, {ask, data("appraise/vcek-expired.der")}},
        {"a list of ARK-Test EMULATED", false, {crl}},
        {"the CRL is valid from", true, {data("appraise/crl-old.der")}},
        {"signature of the CRL", true, {data("appraise/crl-other-key.der")}},
        {"is revoked since", true, {ask, vcek, data("appraise/crl-revokes-ask.der")}},
        {"vek_cert", true, {ask, data("appraise/vcek-both.der")}},
    };
    for (const auto &[text, emulated, files] : refused) {
        const auto bundle = bundle_of(files, emulated);
        if (bundle || !bundle.error().text.contains(text))
            print_error("wanted '%s': %s\n", text, bundle ? "made" : bundle.error().text.c_str());
        assert_true(!bundle && bundle.error().text.contains(text));
    }
}

static void split_pem_takes_blocks_and_nothing_between(void **) {
    const std::string one = pem(as_bytes("abc"));
    assert_int_equal(split_pem(as_bytes(one + "\n\n" + one), 2, "t")->size(), 2);
    assert_true(split_pem(as_bytes(one + one), 1, "t").error().code == Errc::too_large);
    for (const std::string &text : {one + "x", one.substr(0, one.size() - 10), std::string{"-----BEGIN "},
                                    std::string{"-----BEGIN A-----\n!\n-----END A-----\n"},
                                    std::string{"-----BEGIN A-----\nYWJj\n-----END B-----\n"}})
        assert_true(split_pem(as_bytes(text), 9, "t").error().code == Errc::malformed);
    assert_true(split_pem({}, 9, "t")->front().label.empty());
}

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(vcek_path_is_the_documented_one_of_every_real_report),
        cmocka_unit_test(paths_of_chains_and_lists_are_the_documented_ones),
        cmocka_unit_test(vcek_id_refuses_what_has_no_certificate),
        cmocka_unit_test(parse_tcb_wants_every_component_once),
        cmocka_unit_test(parse_service_address_takes_https_or_this_machine),
        cmocka_unit_test(resolve_on_origin_stays_on_the_server),
        cmocka_unit_test(backoff_doubles_up_to_its_limit),
        cmocka_unit_test(fetch_repeats_what_passes),
        cmocka_unit_test(fetch_gives_up),
        cmocka_unit_test(fetch_does_what_retry_after_says_within_limits),
        cmocka_unit_test(fetch_goes_on_where_an_answer_ended),
        cmocka_unit_test(fetch_collateral_takes_real_chains),
        cmocka_unit_test(fetch_collateral_checks_the_list_too),
        cmocka_unit_test(fetch_collateral_believes_no_answer),
        cmocka_unit_test(the_cache_saves_questions_and_is_not_believed),
        cmocka_unit_test(an_old_list_is_asked_for_again_and_used_while_nobody_answers),
        cmocka_unit_test(offline_says_what_is_not_in_the_cache),
        cmocka_unit_test(a_cached_chain_that_does_not_fit_is_asked_for_again),
        cmocka_unit_test(the_cache_keeps_to_itself),
        cmocka_unit_test(a_bundle_comes_back_as_it_was),
        cmocka_unit_test(open_bundle_refuses_by_name),
        cmocka_unit_test(parse_bundle_refuses_each_wrong_member),
        cmocka_unit_test(parse_minimum_tcb_names_the_wrong_member),
        cmocka_unit_test(a_bundle_is_made_of_what_verifies),
        cmocka_unit_test(split_pem_takes_blocks_and_nothing_between),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
