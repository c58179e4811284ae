"""What cvmin verifier serve judges by: an image, a release, a signer, collateral of one's own, revocation lists. Each accepts the
evidence that it should, refuses what is next to it by the name of a check, is read again when it changes, and counts no longer than it
says. Evidence is made by tests/data/negative/parts.py, for the digests that the image was built with."""

import datetime
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.environ["CVMIN_SRC"] + "/tests/data/negative")
import parts
from verifier_server import (
    base64url, check, common, cvmin, data, good_nonce, policy, problem, refuses, run, server, source, work, write,
)

certificates = f"{data}/negative/certificates"
image = os.environ.get("CVMIN_IMAGE", f"{source}/out")
image = os.path.dirname(image) if os.path.isfile(image) else image
with open(f"{image}/reference-values.json") as values:
    launched = bytes.fromhex(json.load(values)["cpu_models"][0]["launch_digests"][0])
report_type = "application/vnd.amd.sev-snp.attestation-report"
caller = write(f"{work}/caller.json", {**policy, "measurement": "caller"})
# "measurement" of the policy is then for the other options to say
by = ("--policy", caller, *common[2:])


def content(name):
    with open(f"{certificates}/{name}.der", "rb") as file:
        return file.read()


def report(report_data, **fields):
    raw = parts.base_report("Genoa")
    for name, value in {"report_data": report_data, **fields}.items():
        parts.put(raw, name, value)
    return bytes(parts.signed(raw))


def evidence(**fields):
    """Of an agent, for good_nonce."""
    claims = parts.claims()
    return parts.evidence(report(hashlib.sha512(claims).digest(), **fields), claims,
                          parts.table(content("vcek-genoa"), content("ask")))


def failed(one, body, **how):
    return one.judge(body=body, **how)["failed"]


def made(*command, **how):
    return subprocess.run([cvmin, *command], check=True, stdout=subprocess.PIPE, text=True, **how).stdout


def reloaded(one, count=1):
    return one.wait_log(lambda line: line["event"] == "reload", count)


def keys(*names):
    for name in names:
        if not os.path.exists(f"{work}/{name}.pem"):
            made("keygen", "--out", f"{work}/{name}.pem")
    return [f"{work}/{name}.pem.pub.pem" for name in names]


def of_an_image():
    ours, stranger = evidence(measurement=launched), evidence()
    copy = f"{work}/image"
    shutil.copytree(image, copy)
    os.chmod(copy, 0o755)
    description = f"{copy}/image.json"
    with server(*by, "--image", description) as one:
        check(description in one.log()[0]["in_force"], f"in force: {one.log()[0]}")
        check(one.judge(body=ours)["accepted"], "a launch of the image")
        check(failed(one, stranger) == ["snp.measurement"], "a launch of another image")
        check(failed(one, evidence(measurement=launched, policy=0xB0000)) != [], "a launch that can be debugged")
        with open(description, "rb") as file:
            good = file.read()
        with open(f"{copy}/cmdline", "ab") as file:
            file.write(b" more")
        write(description, good)  # seen, and with it that the command line is another one
        line = reloaded(one)
        check(not line["ok"] and "cmdline" in line["reason"], f"a changed image: {line}")
        check(one.judge(body=ours)["accepted"], "what was in force is gone")
        shutil.copy(f"{image}/cmdline", f"{copy}/cmdline")
        write(description, good)
        check(reloaded(one, 2)["ok"] and one.judge(body=ours)["accepted"], "the image again")
    refuses(3, "nothing.json", *by, "--image", f"{work}/nothing.json")
    # the same launches under a policy that names others: the image is what counts
    with server(*common, "--image", description) as one:
        check(failed(one, stranger) == ["snp.measurement"], "the policy's launch digest beside an image")
    # a debug image, whose results would release secrets to a console
    made("corim", "create", "--image", f"{debug_image()}/image.json", "--out", f"{work}/debug.corim")
    for option in (("--image", f"{debug_image()}/image.json"), ("--reference", f"{work}/debug.corim")):
        refuses(2, "DEBUG image: its console is on", *by, *option)
        with server(*by, *option, "--allow-debug") as one:
            check("DEBUG image" in one.log()[0]["in_force"], f"in force: {one.log()[0]}")
    refuses(2, "--allow-debug goes with", *common, "--allow-debug")


def debug_image():
    if not os.path.exists(f"{work}/debug"):
        made("build", "--debug", "--source", source, "--out", f"{work}/debug", env={**os.environ, "CVMIN_QUIET": "1"})
    return f"{work}/debug"


def of_a_release():
    tree = f"{work}/tree"
    for part in ("agent-min", "common", "image", "toolchain"):
        shutil.copytree(f"{source}/{part}", f"{tree}/{part}", symlinks=True)
    shutil.copy(f"{source}/CMakeLists.txt", tree)
    when = {"GIT_AUTHOR_DATE": "2026-01-31T12:00:00Z", "GIT_COMMITTER_DATE": "2026-01-31T12:00:00Z"}
    as_nobody = ("-c", "user.name=test", "-c", "user.email=test@example.invalid", "-c", "core.excludesFile=/dev/null")
    for command in (("init", "-q"), ("add", "-Af", "."), ("commit", "-qm", "source")):
        subprocess.run(["git", "-C", tree, *as_nobody, *command], check=True, env={**os.environ, **when})
    publisher, stranger, _ = keys("publisher", "stranger", "id")
    release = f"{work}/release"
    made("release", image, "--source", tree, "--key", f"{work}/publisher.pem", "--id-key", f"{work}/id.pem", "--svn", "3", "--out", release)
    ours = evidence(measurement=launched, guest_svn=3)
    refuses(2, "--release and --publisher go together", *by, "--release", release)
    refuses(2, "--release and --publisher go together", *by, "--publisher", publisher)
    refuses(3, "SHA256SUMS.sig", *by, "--release", release, "--publisher", stranger)
    refuses(2, "wanted one of: --reference", *by, "--release", release, "--publisher", publisher, "--image", f"{image}/image.json")
    with server(*by, "--release", release, "--publisher", publisher) as one:
        check("release of commit" in one.log()[0]["in_force"], f"in force: {one.log()[0]}")
        check(one.judge(body=ours)["accepted"], "a launch of the release")
        check(failed(one, evidence()) == ["snp.measurement"], "a launch of no release")
        with open(f"{release}/SHA256SUMS", "rb") as file:
            sums = file.read()
        with open(f"{release}/audit.json", "ab") as file:
            file.write(b"\n")
        write(f"{release}/SHA256SUMS", sums)
        line = reloaded(one)
        check(not line["ok"] and "audit.json" in line["reason"], f"a changed release: {line}")
        check(one.judge(body=ours)["accepted"], "what was in force is gone")
        check(one.metric("cvmin_reload_failures_total") == 1, "the failure is not counted")


def of_a_signer():
    """What the report says of its ID block, whose signature the AMD-SP checked at the launch. Whoever vouches stands in the place of a
    digest, so that snp.measurement fails with what is wrong."""
    id_key, author_key = ("1c" * 48, "ac" * 48)
    good = evidence()  # GUEST_SVN 7
    with server(*by, "--signer", id_key, "--minimum-svn", "7") as one:
        check("the pinned signer (SVN at least 7)" in one.log()[0]["in_force"], f"in force: {one.log()[0]}")
        check(one.judge(body=good)["accepted"], "what the signer signed")
        check(one.judge(body=evidence(measurement=launched))["accepted"], "another image of the same signer")
        check(failed(one, evidence(guest_svn=6)) == ["snp.measurement", "snp.guest_svn"], "an older version")
        check(failed(one, evidence(id_key_digest=b"\x1d" * 48)) == ["snp.measurement", "snp.id_key_digest"], "another signer")
        check(failed(one, evidence(id_key_digest=bytes(48))) == ["snp.measurement", "snp.id_key_digest"], "what nobody signed")
    with server(*by, "--signer", id_key, "--author", author_key, "--minimum-svn", "0") as one:
        check(one.judge(body=good)["accepted"], "signer and author")
        # bit 0 of byte 0x48 says that there is an author key
        check(failed(one, evidence(author_key_digest=b"\xad" * 48)) == ["snp.measurement", "snp.author_key_digest"], "another author")
        check("snp.author_key_digest" in failed(one, evidence(author_key_digest=bytes(48), key_info=0)), "no author")
    # by the key itself
    signer, = keys("signer")
    made("sign", "--digest", "aa" * 48, "--policy", "0x30000", "--id-key", f"{work}/signer.pem", "--svn", "7", "--out-dir", f"{work}/block")
    with open(f"{work}/block/id-blocks.json") as file:
        digest = bytes.fromhex(json.load(file)["id_key_digest"])
    with server(*by, "--signer", signer, "--minimum-svn", "7") as one:
        check(one.judge(body=evidence(id_key_digest=digest))["accepted"], "the signer by its key")
        check(failed(one, good) == ["snp.measurement", "snp.id_key_digest"], "another than the signer's key")
    refuses(2, "--signer needs --minimum-svn", *by, "--signer", signer)
    refuses(2, "the policy has no member", *by, "--signer", "policy")
    refuses(2, "zeros stand in every report", *by, "--signer", "00" * 48, "--minimum-svn", "0")
    named = {"id_key_digest": [id_key], "author_key_digest": "skip", "family_id": "skip", "image_id": "skip", "guest_svn_minimum": 7}
    by_policy = write(f"{work}/signer.json", {**policy, "measurement": "caller", "signer": named})
    with server("--policy", by_policy, *common[2:], "--signer", "policy") as one:
        check(one.judge(body=good)["accepted"], "the policy's signer")
        check(failed(one, evidence(guest_svn=6)) == ["snp.measurement", "snp.guest_svn"], "an older version under the policy's signer")


def after(seconds):
    then = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)
    return then.strftime("%Y-%m-%dT%H:%M:%SZ")


def bundle(out, *options, key="collector", expires="2040-01-01T00:00:00Z", crl="crl-good"):
    chosen = [option for name in ("vcek-genoa", "ask", crl) for option in ("--from", f"{certificates}/{name}.der")]
    made("certs", "bundle", *chosen, "--trust-emulated", f"{certificates}/ark.der", "--key", f"{work}/{key}.pem", "--expires", expires,
         "--out", f"{out}.new", *options)
    os.rename(f"{out}.new", out)


def of_collateral():
    """A bare report, whose certificates nobody sent."""
    collector, stranger = keys("collector", "stranger")
    path = f"{work}/fleet.collateral"
    bundle(path)
    bare = report(good_nonce)
    with server(*common) as one:
        check("snp.chain" in failed(one, bare, media_type=report_type), "a report without certificates")
    without = subprocess.run([cvmin, "verifier", "serve", *common, "--collateral", path], capture_output=True, text=True)
    check(without.returncode == 2 and "--collateral requires --collateral-key" in without.stderr, f"without a key: {without.stderr}")
    refuses(3, "collateral.signature", *common, "--collateral", path, "--collateral-key", stranger)
    with server(*common, "--collateral", path, "--collateral-key", collector) as one:
        check(one.judge(body=bare, media_type=report_type)["accepted"], "a certificate of the collateral")
        check(failed(one, report(bytes(32)), media_type=report_type) == ["binding.report_data"], "another nonce")
        # of somebody who can write the file, and has another key
        bundle(path, key="stranger")
        line = reloaded(one)
        check(not line["ok"] and "collateral.signature" in line["reason"], f"another signer's collateral: {line}")
        check(one.judge(body=bare, media_type=report_type)["accepted"], "what was in force is gone")
        # higher levels than the policy's: they count
        levels = {"Genoa": {"reported": {"boot_loader": 11, "tee": 0, "snp": 25, "microcode": 84}}}
        bundle(path, "--minimum-tcb", write(f"{work}/levels.json", levels))
        check(reloaded(one, 2)["ok"], "collateral with minimum TCBs")
        check(failed(one, bare, media_type=report_type) == ["snp.tcb.minimum.reported"], "below the collateral's minimum TCB")
        # and none of it any longer than it says
        bundle(path, expires=after(10))
        check(reloaded(one, 3)["ok"] and one.judge(body=bare, media_type=report_type)["accepted"], "collateral for some seconds")
        session = one.session(f"?nonce={base64url(good_nonce)}")
        one.wait_log(lambda line: line["event"] == "ended")
        problem(one.submit(session, bare, report_type), 503, "not-ready")
        problem(one.ask("GET", "/readyz"), 503, "not-ready")
        check(one.ask("GET", "/healthz").status == 200 and one.metric("cvmin_ready") == 0, "alive, and not ready")
        bundle(path)
        check(reloaded(one, 4)["ok"] and one.submit(session, bare, report_type).status == 200, "newer collateral")
        check(one.ask("GET", "/readyz").status == 200, "ready again")
    bundle(path, expires=after(1))
    time.sleep(1.5)
    refuses(3, "collateral.expiry", *common, "--collateral", path, "--collateral-key", collector)


def of_revocation_lists():
    good = evidence(measurement=parts.MEASUREMENT)
    path = f"{work}/list.crl"
    write(path, content("crl-good"))
    with server(*common, "--crl", path) as one:
        check(one.judge(body=good)["accepted"], "a list without our chain")
        count = 0
        for name in ("crl-revokes-ask", "crl-outdated", "crl-not-yet-valid", "crl-other-key", "crl-other-issuer"):
            count += 1
            write(path, content(name))
            check(reloaded(one, count)["ok"] and failed(one, good) == ["snp.revocation"], f"{name}: {one.judge(body=good)}")
        write(path, b"no list")
        line = reloaded(one, count + 1)
        check(not line["ok"] and path in line["reason"], f"no list: {line}")
        check(failed(one, good) == ["snp.revocation"], "what was in force is gone")
        os.remove(path)  # a list that is gone is not the end of revocation
        line = reloaded(one, count + 2)
        check(not line["ok"] and failed(one, good) == ["snp.revocation"], f"no file: {line}")
        write(path, content("crl-good"))
        check(reloaded(one, count + 3)["ok"] and one.judge(body=good)["accepted"], "a good list again")
    refuses(3, "index.json", *common, "--crl", f"{data}/negative/index.json")


run(of_an_image, of_a_release, of_a_signer, of_collateral, of_revocation_lists)
