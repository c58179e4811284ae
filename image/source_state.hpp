// Which source an image comes from: the commit of a work tree, whether anything in the tree is not of that commit, and
// whether an image's recorded inputs are a tree's. Asks git. image.json has nothing of this: an image is a function of
// its inputs, and the same content under another commit gives the same bytes.
#pragma once

#include "host-tools/base/explained.hpp"
#include "image/child.hpp"
#include "image/image_manifest.hpp"

namespace cvmin {

inline constexpr std::size_t max_changed_files_shown = 5;

struct SourceState {
    std::string commit;               // of HEAD, 40 or 64 lower-case hexadecimal digits
    std::int64_t time = 0;            // its committer's, seconds since 1970
    std::vector<std::string> changed; // "M image/cmdline", as git status says; what git ignores is not among them
    bool dirty() const { return !changed.empty(); }
};
// missing: `tree` is not the top of a git work tree, or git is not there; system: git failed.
Explained<SourceState> read_source_state(const std::filesystem::path &tree, const Interrupts &interrupts);
// The first changed files, in a line.
std::string changed_text(const SourceState &state);

// Writes the files of the commit at these paths of `tree` below `into`, a directory, as `git archive` has them: also
// when git was told not to look at a changed or ignored file. system: git or tar failed.
Explained<void> export_commit(const std::filesystem::path &tree, const std::string &commit,
                              const std::vector<std::string> &paths, const std::filesystem::path &into,
                              const Interrupts &interrupts);

// What a tree has otherwise than the image was built from, one line each. `ours`: recipe_inputs() of the tree.
std::vector<std::string> other_inputs(const ImageManifest &recorded, const Json &ours);

} // namespace cvmin
