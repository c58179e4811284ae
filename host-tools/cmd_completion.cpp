// cvmin completion: a completion script for bash. It asks cvmin itself for options and names, so it never grows stale.
#include "host-tools/cli.hpp"

#include <cstdio>

namespace cvmin {

static constexpr char script[] = R"bash(_cvmin() {
    local cvmin=${COMP_WORDS[0]} command=${COMP_WORDS[1]:-} current=${COMP_WORDS[COMP_CWORD]}
    if [ "$COMP_CWORD" -eq 1 ]; then
        mapfile -t COMPREPLY < <(compgen -W "%s" -- "$current")
        return
    fi
    local -A subcommands=([certs]="fetch bundle show" [image]="list inspect hardening diff" [manifest]="new check digest sign"
        [passport]="obtain put show" [policy]="init check explain" [receipt]=verify [verifier]=serve)
    if [ -n "${subcommands[$command]:-}" ] && [ "$COMP_CWORD" -eq 2 ]; then
        mapfile -t COMPREPLY < <(compgen -W "${subcommands[$command]}" -- "$current")
        return
    fi
    if [ "$command" = release ] && [ "$COMP_CWORD" -eq 2 ] && [[ $current != -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W check -- "$current"; compgen -d -- "$current")
        return
    fi
    if [ "$command" = show ] && [ "$COMP_CWORD" -eq 2 ] && [[ $current != -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$("$cvmin" show --help 2>/dev/null | sed -n '/^Kinds:/,/^$/s/^  *\([a-z-]*\) .*/\1/p')" -- "$current")
        return
    fi
    local help=("$command")
    [ -z "${subcommands[$command]:-}" ] || help=("$command" "${COMP_WORDS[2]}")
    [ "$command" != release ] || [ "${COMP_WORDS[2]}" != check ] || help=(release check)
    if [[ $current == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$("$cvmin" "${help[@]}" --help 2>/dev/null | grep -oE -- '--[a-z][a-z-]+')" -- "$current")
        return
    fi
    case $command in
    attest | console | describe | events | passport | relay | result | send | status | stop | upload)
        mapfile -t COMPREPLY < <(compgen -W "$("$cvmin" list --names 2>/dev/null)" -- "$current")
        [ ${#COMPREPLY[@]} -eq 0 ] || return
        ;;
    esac
    mapfile -t COMPREPLY < <(compgen -f -- "$current")
}
complete -o filenames -F _cvmin cvmin
)bash";

int cmd_completion(int argc, char **argv) {
    CLI::App app{"Print a completion script for bash. To use it: source <(cvmin completion bash)"};
    std::string shell;
    app.add_option("shell", shell, "bash")->required()->check(CLI::IsMember({"bash"}));
    if (auto code = parse_options(app, argc, argv))
        return *code;
    std::string names;
    for (const Command &command : commands()) {
        names += command.name;
        names += ' ';
    }
    const std::string_view text{script};
    const std::size_t hole = text.find("%s");
    std::printf("%.*s%s%s", static_cast<int>(hole), script, names.c_str(), script + hole + 2);
    return Exit::ok;
}

} // namespace cvmin
