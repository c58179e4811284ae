#!/usr/bin/env bash
# The layer rule of ARCHITECTURE.md, checked over #include lines: who may include what. Prints each breach.
set -euo pipefail
cd "$(dirname "$0")/.."

# folder: folders it may include from (itself always)
declare -A allowed=(
    [common]=""
    [agent-min]="common"
    [host-tools/base]="common"
    [host-tools/measured]="common host-tools/base"
    [host-tools/appraise]="common host-tools/base host-tools/measured host-tools/tpm"
    [host-tools/computation]="common host-tools/base host-tools/signing"
    [host-tools/corim]="common host-tools/base host-tools/measure"
    [host-tools/collateral]="common host-tools/base host-tools/appraise"
    [host-tools/publish]="common host-tools/base host-tools/corim host-tools/measure host-tools/signing image"
    [host-tools/relay]="common host-tools/base host-tools/session"
    [host-tools/result]="common host-tools/base host-tools/appraise host-tools/present"
    [host-tools/session]="common host-tools/base"
    [host-tools/present]="common host-tools/base host-tools/appraise host-tools/measured"
    [host-tools/signing]="common host-tools/base"
    [host-tools/tpm]="common host-tools/base"
    [host-tools/verifier]="common host-tools/base host-tools/appraise host-tools/present"
    [host-tools/verifier_client]="common host-tools/base host-tools/appraise host-tools/collateral"
    [library]="common host-tools/appraise"
    [image]="common host-tools/base host-tools/corim host-tools/measure host-tools/measured"
    [host-tools/measure]="common host-tools/base image"
    [qemu]="common host-tools/base host-tools/session host-tools/measure host-tools/signing image"
)
# headers that only host code may use: the agent and common do no such I/O and use none of these parts of C++
banned='^#include <(iostream|fstream|sstream|ostream|istream|regex|thread|mutex|locale|filesystem|future|nlohmann/.*|CLI/.*)>'

status=0
folder_of() { # the longest known folder that the path lies in
    local path=$1 best="" folder
    for folder in "${!allowed[@]}"; do
        [[ $path == "$folder"/* && ${#folder} -gt ${#best} ]] && best=$folder
    done
    printf '%s' "$best"
}
count=0
while read -r file; do
    from=$(folder_of "$file")
    [ -n "$from" ] || continue
    count=$((count + 1))
    while read -r included; do
        [[ $included == */* ]] || continue # generated, in the folder's own build directory
        to=$(folder_of "$included")
        [ -n "$to" ] || to=$(dirname "$included")
        [ "$to" = "$from" ] && continue
        if ! [[ " ${allowed[$from]} " == *" $to "* ]]; then
            echo "layers: $file includes \"$included\": $from may use only: ${allowed[$from]:-itself}"
            status=1
        fi
    done < <(sed -n 's/^#include "\([^"]*\)".*/\1/p' "$file")
    if [[ $from == common || $from == agent-min ]] && grep -nE "$banned" "$file"; then
        echo "layers: $file includes a header that $from must not use"
        status=1
    fi
done < <(git ls-files -- 'common/*.[ch]pp' 'agent-min/*.[ch]pp' 'host-tools/*.[ch]pp' 'image/*.[ch]pp' 'library/*.[ch]pp' 'qemu/*.[ch]pp')
[ $count -gt 20 ] || { echo "layers: only $count files were seen"; status=1; }

# A type of one name in two files of one namespace is two types for the compiler and one for the linker, which takes the
# members of either: programs crash that no compiler complained of. Types of an unnamed namespace are the file's own.
twice=$(git ls-files -- '*.[ch]pp' ':!examples' ':!tests/install' ':!tests/tools' | xargs awk '
    FNR == 1 { delete inside; depth = 0 }
    /^(inline )?namespace [a-z_:]* ?\{$/ { inside[depth++] = $(NF - 1) == "namespace" ? "of " FILENAME " " : $(NF - 1) }
    /^} \/\/ namespace/ && depth > 0 { --depth }
    /^(struct|class|enum class|enum struct|union) +[A-Za-z_]+( |$)/ && !/;$/ {
        name = ""
        for (i = 0; i < depth; ++i) name = name inside[i] "::"
        print name ($1 == "enum" ? $3 : $2) "\t" FILENAME
    }' | sort -u | awk -F '\t' '{ files[$1] = files[$1] " " $2; ++n[$1] } END { for (k in n) if (n[k] > 1) print k ":" files[k] }')
if [ -n "$twice" ]; then
    echo "layers: one name for several types: $twice"
    status=1
fi
exit $status
