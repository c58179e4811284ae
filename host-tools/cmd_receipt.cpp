// cvmin receipt: whether a result is what a manifest's program made of its inputs in a CVM that is to be trusted.
// Offline.
#include "host-tools/appraise/verdict.hpp"
#include "host-tools/cli.hpp"
#include "host-tools/party.hpp"
#include "host-tools/verdict_output.hpp"

#include <algorithm>
#include <cstdio>

#include <fcntl.h>
#include <unistd.h>

namespace cvmin {

namespace {

constexpr const char *command = "receipt verify";

struct Args {
    std::string receipt, output;
    JudgeArgs judge;
    OutputArgs verdict;
};

Explained<response::OutputFile> hashed(const std::filesystem::path &path) {
    response::OutputFile file{.name = path.filename().string(), .size = 0, .sha256 = {}};
    if (!valid_output_name(file.name))
        return explain(Errc::out_of_range, path.string() + ": no output has such a name");
    const UniqueFd fd{::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC)};
    if (!fd)
        return explain({Errc::system, "output", static_cast<std::uint64_t>(errno)}, path.string());
    CVMIN_TRY(found, hash_file(fd.get(), path.string()));
    file.size = found.size;
    file.sha256 = found.sha256;
    return file;
}

// The folder's files, all of them, as the receipt digests them.
Explained<Sha256Digest> folder_digest(const std::filesystem::path &folder) {
    std::vector<response::OutputFile> files;
    std::error_code error;
    for (std::filesystem::directory_iterator at{folder, error}, end; !error && at != end; at.increment(error)) {
        if (files.size() == max_outputs)
            return explain(Errc::too_large, folder.string() + ": more than " + std::to_string(max_outputs) + " files");
        CVMIN_TRY(file, hashed(at->path()));
        files.push_back(std::move(file));
    }
    if (error)
        return explain({Errc::system, "output", static_cast<std::uint64_t>(error.value())}, folder.string());
    std::ranges::sort(files, {}, &response::OutputFile::name);
    return output_digest(files);
}

void print_body(const ReceiptBody &body) {
    std::printf("manifest     %s\nprogram      %s\n", hex(body.manifest).c_str(), hex(body.program).c_str());
    for (const ReceiptDataset &dataset : body.datasets)
        std::printf("data/%-8s%s\n", dataset.name.c_str(), (" " + hex(dataset.sha256)).c_str());
    std::printf("output       %s\nlog          %s\nended with   %s\nruntime log  %s\n", hex(body.output).c_str(),
                hex(body.log).c_str(), exit_text(body.wait_status).c_str(), hex(body.runtime_log).c_str());
}

Json body_json(const ReceiptBody &body) {
    Json datasets = Json::object();
    for (const ReceiptDataset &dataset : body.datasets)
        datasets[dataset.name] = hex(dataset.sha256);
    return {{"manifest", hex(body.manifest)},      {"program", hex(body.program)}, {"datasets", std::move(datasets)},
            {"output", hex(body.output)},          {"log", hex(body.log)},         {"wait_status", body.wait_status},
            {"runtime_log", hex(body.runtime_log)}};
}

int refuse(const Failure &failure) {
    return failure.code == Errc::mismatch ? report_error(command, Exit::rejected, failure.text)
                                          : report_error(command, failure);
}

int verify(const Args &args) {
    const auto manifest = load_manifest(*args.judge.manifest);
    if (!manifest)
        return report_error(command, manifest.error());
    const auto bytes = read_file(args.receipt, max_receipt_size);
    if (!bytes)
        return report_error(command, bytes.error(), args.receipt);
    const auto receipt = parse_receipt(*bytes);
    if (!receipt)
        return refuse(explain(receipt.error(), args.receipt).error());
    if (const auto fits = check_receipt(receipt->body, *manifest); !fits)
        return refuse(fits.error());
    if (!args.output.empty()) {
        const auto digest = folder_digest(args.output);
        if (!digest)
            return report_error(command, digest.error());
        if (*digest != receipt->body.output)
            return report_error(command, Exit::rejected,
                                args.output + ": is not what the receipt is about: found " + hex(*digest) +
                                    ", wanted " + hex(receipt->body.output));
    }
    const auto judged = judge_receipt(args.judge, receipt->evidence, to_bytes(ByteView{sha256(receipt->body_bytes)}));
    if (!judged)
        return report_error(command, judged.error());
    if (const auto written = write_verdict_files(judged->appraisal, judged->expectations, args.verdict); !written)
        return report_error(command, written.error());
    const bool accepted = judged->appraisal.accepted.has_value();
    if (args.verdict.json) {
        print_json({{"schema", 1},
                    {"accepted", accepted},
                    {"receipt", body_json(receipt->body)},
                    {"verdict", verdict_json(judged->appraisal, judged->expectations)}});
    } else {
        if (accepted)
            print_body(receipt->body);
        std::fputs(verdict_table(judged->appraisal, judged->expectations).c_str(), stdout);
    }
    return accepted ? Exit::ok : Exit::rejected;
}

} // namespace

int cmd_receipt(int argc, char **argv) {
    Args args;
    CLI::App app{"Receipts of computations.", "cvmin receipt"};
    app.require_subcommand(1);
    CLI::App *subcommand = app.add_subcommand(
        "verify", "Say whether a result is what the manifest's program made of its inputs in a CVM that is accepted. "
                  "Needs no connection.");
    subcommand->add_option("receipt", args.receipt, "receipt.cbor, as cvmin result wrote it")->required();
    subcommand->add_option("--output", args.output, "directory with the output's files: they must be the receipt's");
    add_judge_options(*subcommand, args.judge);
    add_output_options(*subcommand, args.verdict);
    subcommand->footer("Example:\n"
                       "  cvmin receipt verify result/receipt.cbor --manifest sum.json --output result/output \\\n"
                       "      --image out/image.json --vcpus 1 --vcpu-type EPYC-v4 --policy policies/genoa.json\n\n"
                       "Exit codes: 0 accepted, 1 refused, 2 usage, 3 bad input, 4 system.");
    if (const auto done = parse_options(app, argc, argv))
        return *done;
    if (!args.judge.manifest)
        return report_error(command, Exit::usage, "--manifest is required: it says what was agreed");
    if (const auto problem = usage_problem(args.judge))
        return report_error(command, Exit::usage, *problem);
    if (const auto problem = usage_problem(args.verdict))
        return report_error(command, Exit::usage, *problem);
    if (const auto checked = check_output(args.verdict); !checked)
        return report_error(command, checked.error());
    return verify(args);
}

} // namespace cvmin
