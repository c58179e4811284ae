# What the VM tests of hostile parties and hosts share: keys, a program that leaves marks, a party's commands. Sourced after lib.sh, in $work;
# as() uses $trusted and m.json, and the CVM `guest`.
# shellcheck shell=bash disable=SC2034,SC2154 # variables are the caller's, and for it
make_parties() {
    local party
    for party in "$@"; do "$CVMIN" keygen --out "$party.pem" >/dev/null 2>&1; done
}
# What must not be seen by anybody whom it is not for, nor lie anywhere on the host.
marks='PROGRAM-OF-CAROL-8a0f|DATA-OF-ALICE-3b1e|DATA-OF-MALLORY-77c0|RESULT-OF-THE-RUN-5c44|LOG-OF-THE-RUN-91d2'
# marked_program FILE: takes 48 MiB and 6 s, and writes a mark to its log and one to its output. Its argument is its exit status
marked_program() {
    cat >"$1.c" <<'C'
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
const char name[] = "PROGRAM-OF-CAROL-8a0f";
int main(int argc, char **argv) {
    char line[64] = "";
    FILE *in = fopen("/in/alice", "r"), *out = fopen("/out/secret", "w");
    char *much = malloc(48u << 20);
    if (!in || !out || !much || !fgets(line, sizeof line, in)) return 2;
    memset(much, name[0], 48u << 20);
    struct timespec pause = {.tv_sec = 6};
    nanosleep(&pause, 0);
    printf("LOG-OF-THE-RUN-91d2 %s", line);
    fprintf(out, "RESULT-OF-THE-RUN-5c44 %c%s", much[47u << 20], line);
    return fclose(out) != 0 || argc > 1 ? atoi(argv[1]) : 0;
}
C
    gcc -O1 -static -s "$1.c" -o "$1"
}
# the_parties LINES: alice brings data and gets the result, mallory brings data of so many lines and gets nothing, carol brings the program; eve is
# nobody. their_manifest FILE ARGS...: of their computation
the_parties() {
    make_parties alice mallory carol eve
    marked_program program
    (echo "DATA-OF-ALICE-3b1e" && seq 100000) >alice.csv
    (echo "DATA-OF-MALLORY-77c0" && seq "$1") >mallory.csv
}
their_manifest() {
    "$CVMIN" manifest new --algorithm program@carol --dataset alice=alice.csv@alice --dataset mallory=mallory.csv@mallory \
        --party alice=alice.pem.pub.pem --party mallory=mallory.pem.pub.pem --party carol=carol.pem.pub.pem --consumer alice \
        --memory 64M --output-limit 1M --out "$@" >/dev/null
}
# as PARTY COMMAND ARGS...: of the computation that was agreed; what came of it in $code and under the name $last
as() {
    local party=$1 subcommand=$2
    shift 2
    run "$party-$subcommand" "$subcommand" guest --party-key "$party.pem" --manifest "${manifest_file:-m.json}" "${trusted[@]}" "$@"
    last=$party-$subcommand
}
says() { grep -qF -- "$1" "$work/$last.out" || complain "$last: no \"$1\" in: $(cat "$work/$last.out")"; }
# no_marks WHAT FILE...: none of them is there
no_marks() {
    local what=$1 found
    shift
    if found=$(grep -raoE "$marks" "$@" | sort | uniq -c); then complain "$what: $found"; fi
}
