#!/usr/bin/env bash
# cvmin release and release check: two releases of one commit are the same bytes; openssl, sha256sum and tar see what VERIFY.md
# says; each file changed, removed or linked is refused by its name; what may not be released is refused, and leaves nothing.
# shellcheck source=tests/image/lib.sh
. "$CVMIN_SRC/tests/image/lib.sh"
export CVMIN_QUIET=1
export XDG_RUNTIME_DIR=$work/run XDG_STATE_HOME=$work/state
mkdir -p "$XDG_RUNTIME_DIR" "$XDG_STATE_HOME"
mnt=$work/full
on_exit() {
    tmpfs off 2>/dev/null || true
    "$CVMIN" stop --all >/dev/null 2>&1 || true
    rm -rf -- "$work"
}

# ---- a commit, an image of it, keys --------------------------------------------------------------------------------
image=$work/image
"$CVMIN" build --source "$CVMIN_SRC" --out "$image" >/dev/null || broken "no image"
tree=$work/tree
copy_source "$tree"
export GIT_AUTHOR_DATE=2026-01-31T12:00:00Z GIT_COMMITTER_DATE=2026-01-31T12:00:00Z
in_tree() { git -C "$tree" -c user.name=test -c user.email=test@example.invalid -c core.excludesFile=/dev/null "$@"; }
git init -q "$tree" && in_tree add -Af . && in_tree commit -qm source
commit=$(in_tree rev-parse HEAD)
for key in publisher id author stranger; do "$CVMIN" keygen --out "$work/$key.pem" >/dev/null; done
publisher=$work/publisher.pem.pub.pem
[ -f "$publisher" ] || broken "no public key"

release=("$CVMIN" release "$image" --source "$tree" --key "$work/publisher.pem" --id-key "$work/id.pem" --author-key "$work/author.pem"
    --svn 3 --family-id web --signer "ACME Images")
expect 0 "${release[@]}" --out "$work/a" --json
cp "$work/stdout" "$work/a.json"

# ---- the same bytes again, elsewhere, with another umask, locale and time zone --------------------------------------
mkdir "$work/else where"
(umask 077 && cd "$work/else where" && LC_ALL=C TZ=Asia/Tokyo TAR_OPTIONS=--owner=7 "${release[@]}" --out b >/dev/null) || broken "second release"
diff -r "$work/a" "$work/else where/b" >&2 || broken "two releases of one commit differ"
same "$work/a.tar" "$work/else where/b.tar"
[ "$(stat -c %a "$work/else where/b" "$work/else where/b/bzImage" "$work/else where/b/agent" | tr '\n' ' ')" = "755 644 755 " ] ||
    broken "modes follow the umask"

# ---- without cvmin: the commands of VERIFY.md -----------------------------------------------------------------------
cp "$publisher" "$work/publisher.pub.pem"
sed -n '/^## Without cvmin/,/^## Rebuild/s/^    //p' "$work/a/VERIFY.md" | sed "s,publisher.pub.pem,$work/publisher.pub.pem," >"$work/commands"
[ "$(wc -l <"$work/commands")" = 3 ] || broken "VERIFY.md has another number of commands"
(cd "$work/a" && bash -euo pipefail "$work/commands") >"$work/verified" 2>&1 || broken "VERIFY.md: $(cat "$work/verified")"
[ "$(cat "$work/verified")" = "Verified OK" ] || broken "VERIFY.md: $(cat "$work/verified")"
grep -q "$(openssl pkey -pubin -in "$publisher" -outform DER | sha256sum | cut -d' ' -f1)" "$work/a/VERIFY.md" || broken "VERIFY.md names another key"
tar -tvf "$work/a.tar" --full-time --numeric-owner >"$work/listing"
[ "$(awk '{ print $2, $4, $5 }' "$work/listing" | sort -u)" = "0/0 2026-01-31 12:00:00" ] || broken "owners or times in the archive: $(cat "$work/listing")"
mkdir "$work/unpacked" && tar -xf "$work/a.tar" -C "$work/unpacked"
diff -r "$work/a" "$work/unpacked/cvmin-"* >&2 || broken "the archive has something else than the directory"
python3 - "$work/a" "$work/a.json" "$commit" "$work/a.tar" <<'PY' || broken "what is in a release"
import hashlib, json, os, sys
at, said, commit = sys.argv[1], json.load(open(sys.argv[2])), sys.argv[3]
read = lambda name: open(os.path.join(at, name), "rb").read()
digest = lambda name: hashlib.sha256(read(name)).hexdigest()
names = set(os.listdir(at))
assert names >= {"bzImage", "initrd.zst", "cmdline", "OVMF.fd", "agent", "audit.json", "image.json", "reference-values.json",
                 "reference-values.corim", "reference-values.signed.corim", "id-blocks.json", "sbom.spdx.json",
                 "provenance.json", "provenance.dsse.json", "debs.lock", "sources.lock", "publisher.pem", "VERIFY.md",
                 "SHA256SUMS", "SHA256SUMS.sig", "SHA256SUMS.cose"}, names
assert said["schema"] == 1 and said["commit"] == commit and said["files"] == len(names), said
assert said["archive_sha256"] == hashlib.sha256(open(sys.argv[4], "rb").read()).hexdigest()
assert read("SHA256SUMS") in read("SHA256SUMS.cose")
statement = json.loads(read("provenance.json"))
subjects = {s["name"]: s["digest"] for s in statement["subject"]}
unlisted = {"SHA256SUMS", "SHA256SUMS.sig", "SHA256SUMS.cose", "provenance.json", "provenance.dsse.json"}
assert {n for n in subjects if "sha256" in subjects[n]} == names - unlisted
assert all(subjects[n]["sha256"] == digest(n) for n in names - unlisted)
values = json.loads(read("reference-values.json"))
launches = sum(len(m["launch_digests"]) for m in values["cpu_models"])
assert launches == said["launches"] == len([s for s in subjects.values() if "sha384" in s]), launches
assert commit in json.dumps(statement) and commit in read("VERIFY.md").decode()
blocks = json.loads(read("id-blocks.json"))
assert len(blocks["blocks"]) == said["id_blocks"] == 20 and blocks["author_key_digest"]
known = {d for m in values["cpu_models"] for d in m["launch_digests"]}
assert {b["launch_digest"] for b in blocks["blocks"]} <= known
PY

# ---- check ----------------------------------------------------------------------------------------------------------
check() { expect "$1" "$CVMIN" release check "$2" --publisher "${3:-$publisher}"; }
check 0 "$work/a"
grep -q "commit $commit: signed by this publisher" "$work/stdout" || broken "check says: $(cat "$work/stdout")"
check 0 "$work/unpacked/cvmin-"*
check 1 "$work/a" "$work/stranger.pem.pub.pem"
one_error "SHA256SUMS.sig: is not a signature of this publisher"
check 3 "$work/none"
check 3 "$work/a" "$work/none.pem"
check 3 "$work/a.tar"
expect 1 "$CVMIN" release check "$work/a" --publisher "$work/stranger.pem.pub.pem" --json
python3 -c 'import json, sys; j = json.load(open(sys.argv[1])); sys.exit(j["ok"] is not False or "SHA256SUMS.sig" not in j["refused"])' "$work/stdout" ||
    broken "JSON of a refusal"

# every file: one byte changed, removed, a link to the genuine bytes; then one more
cp -r "$work/a" "$work/changed"
count=0
for path in "$work/a"/*; do
    name=$(basename "$path")
    python3 -c 'import sys
data = bytearray(open(sys.argv[1], "rb").read()); data[len(data) // 2] ^= 1; open(sys.argv[1], "wb").write(data)' "$work/changed/$name"
    check 1 "$work/changed"
    # of a changed list the signature over it is what does not hold
    case $name in SHA256SUMS) one_error "SHA256SUMS" ;; *) one_error "/changed: $name: " ;; esac
    rm "$work/changed/$name"
    check 1 "$work/changed"
    one_error "/changed: $name: is missing"
    ln -s "$path" "$work/changed/$name"
    check 1 "$work/changed"
    one_error "/changed: $name: is a symbolic link"
    rm "$work/changed/$name"
    cp -p "$path" "$work/changed/$name"
    count=$((count + 1))
done
[ $count -ge 21 ] || broken "only $count files were changed"
check 0 "$work/changed"
for extra in more .hidden 'white space' SHA256SUMS.asc; do
    : >"$work/changed/$extra"
    check 1 "$work/changed"
    one_error "$extra: is not in SHA256SUMS"
    rm "$work/changed/$extra"
done
mkdir "$work/changed/folder"
check 1 "$work/changed"
one_error "folder: is not in SHA256SUMS"
rmdir "$work/changed/folder"
rm "$work/changed/cmdline" && mkfifo "$work/changed/cmdline" # nothing is waited for
check 1 "$work/changed"
one_error "cmdline: is not a file"
rm "$work/changed/cmdline" && cp "$work/a/cmdline" "$work/changed"

# ---- a publisher who signs what does not agree ---------------------------------------------------------------------
cat >"$work/resign.py" <<'PY'
# SHA256SUMS and both signatures, made anew by openssl: resign.py DIRECTORY KEY
import hashlib, os, subprocess, sys
at, key = sys.argv[1:]
path = lambda name: os.path.join(at, name)
names = sorted(n for n in os.listdir(at) if not n.startswith("SHA256SUMS"))
sums = "".join(f"{hashlib.sha256(open(path(n), 'rb').read()).hexdigest()}  {n}\n" for n in names).encode()
sign = lambda data: subprocess.run(["openssl", "dgst", "-sha384", "-sign", key], input=data, capture_output=True, check=True).stdout
def numbers(der): # SEQUENCE of two INTEGERs, each under 128 bytes
    at = 2
    out = b""
    for _ in range(2):
        size = der[at + 1]
        out += int.from_bytes(der[at + 2:at + 2 + size], "big").to_bytes(48, "big")
        at += 2 + size
    return out
def string(major, data):
    size = len(data)
    return (bytes([major | size]) if size < 24 else bytes([major | 24, size]) if size < 256 else
            bytes([major | 25]) + size.to_bytes(2, "big")) + data
protected = b"\xa2\x01\x38\x22\x03" + string(0x60, b"application/vnd.cvmin.sha256sums")
signature = numbers(sign(b"\x84" + string(0x60, b"Signature1") + string(0x40, protected) + b"\x40" + string(0x40, sums)))
open(path("SHA256SUMS"), "wb").write(sums)
open(path("SHA256SUMS.sig"), "wb").write(sign(sums))
open(path("SHA256SUMS.cose"), "wb").write(b"\xd2\x84" + string(0x40, protected) + b"\xa0" + string(0x40, sums) + string(0x40, signature))
PY
# wrong TEXT FILE COMMAND...: FILE of a copy goes through COMMAND; the list signed again is refused with TEXT
wrong() {
    local text=$1 file=$2
    shift 2
    "$@" <"$work/a/$file" >"$work/changed/$file"
    python3 "$work/resign.py" "$work/changed" "$work/publisher.pem"
    check 1 "$work/changed"
    one_error "/changed: $text"
    cp -p "$work/a/$file" "$work/changed/$file"
}
python3 "$work/resign.py" "$work/changed" "$work/publisher.pem"
check 0 "$work/changed" # openssl's signatures are as good, though not the same bytes
cmp -s "$work/a/SHA256SUMS.sig" "$work/changed/SHA256SUMS.sig" && broken "openssl signs by RFC 6979 as well: the comparison above says nothing"
same "$work/a/SHA256SUMS" "$work/changed/SHA256SUMS"
wrong "publisher.pem: is not the key" publisher.pem cat "$work/stranger.pem.pub.pem"
wrong "$work/changed/reference-values.json: is not the file that image.json records" reference-values.json sed 's/[0-9a-f]"/0"/'
wrong "provenance.json: sbom.spdx.json: found " sbom.spdx.json sed 's/"SPDX-2.3"/"SPDX-9.9"/'
wrong "provenance.json: sbom.spdx.json: found " sbom.spdx.json sed 's/3\.6\.6/3.6.7/'
wrong "provenance.json: " provenance.json sed "s/$(sha256sum <"$work/a/VERIFY.md" | cut -d' ' -f1)/$(sha256sum </dev/null | cut -d' ' -f1)/"
wrong "provenance.json: VERIFY.md: found " VERIFY.md sed '$ainstall this'
wrong "provenance.dsse.json: " provenance.dsse.json sed 's/"payload": *"..../&A/'
wrong "provenance.json: debs.lock: found " debs.lock sed '$d'
wrong "provenance.json: id-blocks.json: found " id-blocks.json sed 's/"guest_svn": 3/"guest_svn": 4/'
"$CVMIN" sign --digest "$(printf 'ab%.0s' $(seq 48))" --policy 0x30000 --id-key "$work/id.pem" --svn 3 --out-dir "$work/foreign" >/dev/null
wrong "provenance.json: id-blocks.json: found " id-blocks.json cat "$work/foreign/id-blocks.json"
"$CVMIN" corim sign "$work/a/reference-values.corim" --key "$work/stranger.pem" --out "$work/foreign.corim" >/dev/null
wrong "reference-values.signed.corim: " reference-values.signed.corim cat "$work/foreign.corim"
"$CVMIN" corim create --image "$work/a/image.json" --guest-svn 7 --key "$work/publisher.pem" --out "$work/other.corim" >/dev/null
wrong "reference-values.signed.corim: " reference-values.signed.corim cat "$work/other.corim"
: >"$work/changed/more" # listed and signed, but nothing says where it is from
python3 "$work/resign.py" "$work/changed" "$work/publisher.pem"
check 1 "$work/changed"
one_error "provenance.json: more: found "
rm "$work/changed/more" "$work/changed/sbom.spdx.json"
python3 "$work/resign.py" "$work/changed" "$work/publisher.pem"
check 1 "$work/changed"
one_error "sbom.spdx.json: is missing in SHA256SUMS"

# ---- what is not released -------------------------------------------------------------------------------------------
refuses() { # CODE TEXT ARGS...
    local code=$1 text=$2
    shift 2
    expect "$code" "$@" --out "$work/x"
    one_error "$text"
    [ -z "$(find "$work" -maxdepth 1 -name 'x*')" ] || broken "left behind: $(find "$work" -maxdepth 1 -name 'x*')"
}
plain=("$CVMIN" release "$image" --source "$tree" --key "$work/publisher.pem")
echo '# a comment' >>"$tree/image/cmdline"
refuses 3 "M image/cmdline" "${plain[@]}"
in_tree checkout -q image/cmdline
: >"$tree/common/new.cpp"
refuses 3 "?? common/new.cpp" "${plain[@]}"
# what git was told not to see is not in the commit either
echo '/common/new.cpp' >"$tree/.git/info/exclude"
expect 0 "${plain[@]}" --out "$work/y"
rm "$tree/common/new.cpp" "$work/y.tar" && rm -r "$work/y"
in_tree update-index --assume-unchanged image/cmdline && echo '# a comment' >>"$tree/image/cmdline"
expect 0 "${plain[@]}" --out "$work/y" # the image is the commit's, whatever lies in the tree
in_tree update-index --no-assume-unchanged image/cmdline && in_tree commit -qam other
refuses 3 "recipe image/cmdline: " "${plain[@]}"
mv "$tree/.git" "$work/git"
refuses 3 "is not the top of a git work tree" "${plain[@]}"
refuses 2 "all of a commit's id" "${plain[@]}" --commit "${commit:0:12}" --commit-time 2026-01-31T12:00:00Z
refuses 2 "go together" "${plain[@]}" --commit "$commit"
refuses 3 "recipe image/cmdline: " "${plain[@]}" --commit "$commit" --commit-time 2026-01-31T12:00:00Z
cp "$CVMIN_SRC/image/cmdline" "$tree/image/cmdline"
expect 0 "${release[@]}" --out "$work/c" --commit "$commit" --commit-time 2026-01-31T12:00:00Z
diff -r "$work/a" "$work/c" >&2 || broken "another release with --commit"
mv "$work/git" "$tree/.git" && in_tree reset -q --hard "$commit"
refuses 3 "none.pem" "${plain[@]/%publisher.pem/none.pem}"
refuses 2 "--id-key needs --svn" "${plain[@]}" --id-key "$work/id.pem"
refuses 2 "go with --id-key" "${plain[@]}" --svn 3
refuses 2 "--name" "${plain[@]}" --name ../up
refuses 2 "wanted: cvmin release IMAGE" "$CVMIN" release "$image"
expect 2 "${plain[@]}" --out "$work/a"
one_error "is there already"
"$CVMIN" build --debug --source "$CVMIN_SRC" --out "$work/debug" >/dev/null
refuses 2 "is a DEBUG image" "$CVMIN" release "$work/debug" --source "$tree" --key "$work/publisher.pem"
expect 0 "$CVMIN" release "$work/debug" --source "$tree" --key "$work/publisher.pem" --allow-debug --out "$work/debug-release"
check 0 "$work/debug-release"
grep -q "DEBUG image" "$work/stdout" || broken "a debug release does not say so"
# ID blocks that were made before, and those of another image
"$CVMIN" sign --image "$image/image.json" --id-key "$work/id.pem" --svn 3 --out-dir "$work/before" >/dev/null
expect 0 "${plain[@]}" --id-blocks "$work/before/id-blocks.json" --out "$work/with"
refuses 3 "id-blocks.json: has a block for" "${plain[@]}" --id-blocks "$work/foreign/id-blocks.json"

# a full disk, and an interrupt: nothing is left
mkdir "$mnt"
tmpfs 9m
expect 4 "${plain[@]}" --out "$mnt/x"
[ -z "$(ls -A "$mnt")" ] || broken "left on a full disk: $(ls -A "$mnt")"
tmpfs off

# ---- it is an image like another ------------------------------------------------------------------------------------
expect 0 "$CVMIN" image diff "$image" "$work/a"

# ---- evidence held against it: a CVM of its image, and one of the same image with another command line ---------------
echo secret >"$work/secret"
"$CVMIN" boot --image "$work/a/image.json" --name released >/dev/null || broken "the release does not boot"
"$CVMIN" boot --image "$work/a/image.json" --name altered --append "console=ttynull quiet" >/dev/null || broken "boot with another command line"
against=(--policy "$CVMIN_SRC/policies/emulated.json" --trust-emulated "$XDG_STATE_HOME/cvmin/emulated-sp/ark.der" --release "$work/a" --publisher)
expect 0 "$CVMIN" verify --vm released "${against[@]}" "$publisher"
expect 1 "$CVMIN" verify --vm altered "${against[@]}" "$publisher" --json
python3 -c 'import json, sys
failed = [c["check"] for c in json.load(open(sys.argv[1]))["checks"] if c["outcome"] == "failed"]
sys.exit(failed != ["snp.measurement"] and "refused by %s" % failed)' "$work/stdout" || broken "the altered CVM"
expect 3 "$CVMIN" verify --vm released "${against[@]}" "$work/stranger.pem.pub.pem"
expect 0 "$CVMIN" send released "${against[@]}" "$publisher" --secret-name key --file "$work/secret"
expect 1 "$CVMIN" send altered "${against[@]}" "$publisher" --secret-name key --file "$work/secret"

# ---- and its commit is what it is rebuilt from ------------------------------------------------------------------------
echo '# a comment' >>"$tree/image/cmdline"
expect 3 "$CVMIN" reproduce "$work/a" --source "$tree"
one_error "is not the work tree that the image was built from"
echo "releases agree"
