#include "image/source_state.hpp"

#include "host-tools/base/text.hpp"
#include "image/build.hpp"
#include "image/lock.hpp"

#include <charconv>
#include <map>

namespace cvmin {

namespace fs = std::filesystem;

namespace {

// What the caller's environment or configuration says must not change the answer: another repository, a monitor that is
// asked in place of the disk, files that are kept out of sight. A work tree may be another user's: the root that we run
// in has one user.
std::vector<std::string> git(const fs::path &tree, const std::vector<std::string> &arguments) {
    std::vector<std::string> line{"env", "-u", "GIT_DIR", "-u", "GIT_WORK_TREE", "-u", "GIT_INDEX_FILE", "git"};
    for (const std::string &setting : {std::string{"core.fsmonitor=false"}, std::string{"core.quotePath=false"},
                                       std::string{"core.excludesFile=/dev/null"}, "safe.directory=" + tree.string()})
        line.insert(line.end(), {"-c", setting});
    line.insert(line.end(), {"--no-optional-locks", "-C", tree.string()});
    line.insert(line.end(), arguments.begin(), arguments.end());
    return line;
}

struct Answer {
    int status;
    std::string text;
};
Explained<Answer> ask(const std::vector<std::string> &line, const Interrupts &interrupts, const fs::path &log) {
    ChildOptions child;
    child.capture_output = true;
    child.log = log;
    child.environment = {{"LC_ALL", "C"}, {"GIT_CONFIG_GLOBAL", "/dev/null"}, {"TAR_OPTIONS", ""}};
    const auto finished = run_child(line, child, interrupts);
    if (!finished)
        return explain(finished.error(), line.front() == "env" ? "git" : line.front());
    return Answer{finished->status, finished->output};
}

std::vector<std::string> lines_of(std::string_view text) {
    std::vector<std::string> lines;
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t end = std::min(text.find('\n', at), text.size());
        lines.emplace_back(text.substr(at, end - at));
        at = end + 1;
    }
    return lines;
}

std::string first_digits(const std::string &sha256) {
    return sha256.substr(0, 16) + "...";
}

} // namespace

Explained<SourceState> read_source_state(const fs::path &tree, const Interrupts &interrupts) {
    static const fs::path quiet = "/dev/null";
    std::error_code error;
    const fs::path top = fs::canonical(tree, error);
    const auto found = ask(git(tree, {"rev-parse", "--show-toplevel"}), interrupts, quiet);
    if (!found)
        return std::unexpected(found.error());
    // a tree without a repository may lie in another one's, whose commit says nothing of it
    if (found->status != 0 || error || lines_of(found->text) != std::vector{top.string()})
        return explain(Errc::missing,
                       tree.string() + ": is not the top of a git work tree, so that no commit is known");
    const auto head = ask(git(tree, {"show", "--no-show-signature", "-s", "--format=%H%n%ct", "HEAD"}), interrupts, {});
    if (!head)
        return std::unexpected(head.error());
    SourceState state;
    const std::vector<std::string> words = lines_of(head->text);
    if (head->status != 0 || words.size() != 2 || !is_commit_id(words[0]) ||
        std::from_chars(words[1].data(), words[1].data() + words[1].size(), state.time).ec != std::errc{})
        return explain(Errc::system, tree.string() + ": git names no commit");
    state.commit = words[0];
    const auto status =
        ask(git(tree, {"status", "--porcelain", "--untracked-files=all", "--ignore-submodules=none"}), interrupts, {});
    if (!status)
        return std::unexpected(status.error());
    if (status->status != 0)
        return explain(Errc::system, tree.string() + ": git status failed");
    for (const std::string &line : lines_of(status->text))
        state.changed.push_back(printable_line(line));
    return state;
}

std::string changed_text(const SourceState &state) {
    std::string text;
    for (std::size_t i = 0; i < std::min(state.changed.size(), max_changed_files_shown); ++i)
        text += (i == 0 ? "" : ", ") + state.changed[i];
    if (state.changed.size() > max_changed_files_shown)
        text += ", and " + std::to_string(state.changed.size() - max_changed_files_shown) + " more";
    return text;
}

Explained<void> export_commit(const fs::path &tree, const std::string &commit, const std::vector<std::string> &paths,
                              const fs::path &into, const Interrupts &interrupts) {
    const fs::path archive = into / "commit.tar";
    std::vector<std::string> arguments{"archive", "--format=tar", "--output=" + archive.string(), commit, "--"};
    arguments.insert(arguments.end(), paths.begin(), paths.end());
    for (const std::vector<std::string> &line :
         {git(tree, arguments), {"tar", "-C", into.string(), "-xf", archive.string()}}) {
        const auto done = ask(line, interrupts, {});
        if (!done)
            return std::unexpected(done.error());
        if (done->status != 0)
            return explain(Errc::system, "the files of commit " + commit + " cannot be taken out of " + tree.string());
    }
    std::error_code ignored;
    fs::remove(archive, ignored);
    return {};
}

std::vector<std::string> other_inputs(const ImageManifest &recorded, const Json &ours) {
    std::vector<std::string> found;
    const auto key = [](const Json &input) {
        return printable_line(input["kind"].get<std::string>() + " " + input["name"].get<std::string>());
    };
    std::map<std::string, std::string> here;
    for (const Json &input : ours)
        here[key(input)] = input["sha256"].get<std::string>();
    if (recorded.version != CVMIN_VERSION)
        found.push_back("cvmin is " CVMIN_VERSION " here, the image was built by " + printable_line(recorded.version));
    for (const Json &input : recorded.inputs) {
        if (input["name"] == resolved_configuration_input) // follows from the others; compared with the outputs
            continue;
        const auto known = here.find(key(input));
        const std::string wanted = input["sha256"].get<std::string>();
        if (known == here.end())
            found.push_back(key(input) + ": this tree has none, the image was built with " + first_digits(wanted));
        else if (known->second != wanted)
            found.push_back(key(input) + ": " + first_digits(known->second) + " here, the image was built with " +
                            first_digits(wanted));
        if (known != here.end())
            here.erase(known);
    }
    for (const auto &[name, digest] : here)
        found.push_back(name + ": the image was built without it");
    return found;
}

} // namespace cvmin
