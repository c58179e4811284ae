// cvmin describe: one CVM, how it was launched, what it runs on. The digest that was measured and the one that was
// predicted are told apart: only evidence says what the platform vouches for.
#include "host-tools/cli.hpp"
#include "qemu/vm.hpp"

#include <cstdio>

namespace cvmin {

static void line(const char *label, const std::string &value) {
    std::printf("%-26s %s\n", label, value.c_str());
}

static std::string text_of(const Json &value) {
    return value.is_string() ? value.get<std::string>() : value.is_null() ? "-" : value.dump();
}

static void print_for_people(const VmInfo &vm) {
    const Json &d = vm.details;
    const Json launch = d.value("launch", Json::object());
    const bool emulated = vm.platform == Platform::emulated;
    line("name", vm.name);
    line("state", vm.running ? "running" : "starting");
    line("platform", emulated ? "EMULATED: no memory encryption, reports are signed by an emulated key" : "SEV-SNP");
    line("accelerator", d.value("accelerator", ""));
    line("image", vm.image_json.native() + (d.value("altered", false) ? " (ALTERED: an experiment)" : ""));
    line("vCPUs, model, memory",
         std::to_string(vm.vcpus) + " x " + vm.cpu_model + ", " + std::to_string(d.value("memory_mib", 0u)) + " MiB");
    const Json measured = launch.value("digest_measured", Json(nullptr));
    if (emulated)
        line("launch digest MEASURED", text_of(measured) + "  (by the emulated AMD-SP, from guest memory)");
    else
        line("launch digest measured", "by the AMD-SP: take evidence to see it (cvmin attest)");
    line("launch digest predicted", launch.value("digest_predicted", "") + "  (from image.json)");
    if (measured.is_string())
        line("", measured == launch.value("digest_predicted", Json(nullptr)) ? "the two are equal" : "THE TWO DIFFER");
    line("guest policy", launch.value("policy", ""));
    line("HOST_DATA", launch.value("host_data", ""));
    if (const Json manifest = launch.value("manifest", Json(nullptr)); manifest.is_string())
        line("manifest", manifest.get<std::string>() + "  (HOST_DATA is its digest)");
    if (const Json id = launch.value("id_block", Json(nullptr)); id.is_object()) {
        line("ID block: SVN", text_of(id.value("guest_svn", Json(nullptr))));
        line("ID block: family, image", id.value("family_id", "") + " " + id.value("image_id", ""));
        line("ID_KEY_DIGEST", text_of(id.value("id_key_digest", Json(nullptr))));
        line("AUTHOR_KEY_DIGEST", text_of(id.value("author_key_digest", Json(nullptr))));
    } else {
        line("ID block", "none");
    }
    line("hash page",
         launch.value("hash_page", "") +
             (launch.value("hash_page_fits", false) ? "" : " (does NOT fit kernel, initramfs and command line)"));
    if (emulated) {
        line("vsock socket", d.value("vsock_socket", ""));
        line("emulated ARK", d.value("emulated_ark", "") + "  (for --trust-emulated)");
    } else {
        line("vsock CID", std::to_string(d.value("vsock_cid", 0u)));
    }
    if (const Json listens_on = d.value("listens_on", Json(nullptr)); listens_on.is_string())
        line("listens on", text_of(listens_on) + "  (for --connect)");
    if (const Json vtpm = d.value("vtpm", Json(nullptr)); vtpm.is_object()) {
        line("vTPM",
             "swtpm, run by this host, pid " + std::to_string(vtpm.value("pid", 0)) +
                 (vtpm.value("kept_in", Json(nullptr)).is_string() ? ", kept in " + text_of(vtpm["kept_in"]) : ""));
        line("vTPM's CA", vtpm.value("ek_root", "") + "  (for --ek-root)");
    } else {
        line("vTPM", "none");
    }
    const Json agent = d.value("agent", Json(nullptr));
    if (agent.is_object())
        line("agent", agent.value("agent", "") + ", reports from " + agent.value("report_source", ""));
    const Json qemu = d.value("qemu", Json::object());
    line("QEMU", qemu.value("version", "") + ", pid " + std::to_string(qemu.value("pid", 0)));
    line("supervisor", "pid " + std::to_string(d.value("supervisor", Json::object()).value("pid", 0)));
    line("started", d.value("started", ""));
    line("console", d.value("console", ""));
    std::printf("times, ms since boot was asked for (guest_clock: since the kernel started)\n");
    const Json times = d.value("times", Json::object());
    for (const auto &[label, value] : times.items())
        std::printf("  %-32s %10.1f\n", label.c_str(), value.is_number() ? value.get<double>() : 0.0);
}

int cmd_describe(int argc, char **argv) {
    std::string vm_name;
    bool as_json = false;
    CLI::App app{"Show one CVM: how it was launched, what it runs on.", "cvmin describe"};
    app.add_option("name", vm_name, "name of the CVM")->required();
    app.add_flag("--json", as_json, "print JSON");
    app.footer("Example: cvmin describe vm1");
    if (const auto done = parse_options(app, argc, argv))
        return *done;
    const auto vm = find_vm(vm_name);
    if (!vm)
        return report_error("describe", vm.error());
    if (as_json)
        print_json(vm->details);
    else
        print_for_people(*vm);
    return Exit::ok;
}

} // namespace cvmin
