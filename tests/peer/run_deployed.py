"""run_deployed.py pod|unit ROOT FILE USER GROUP: starts the service in ROOT as the pod (JSON of `manifests`) or the unit FILE says, as that user without
a capability, asks what probes ask, reloads it, ends it. Exit 1: it does not start, answer or end as deploy/ promises."""
import ctypes
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

kind, root, file, user, group = sys.argv[1:]
user, group = int(user), int(group)
environment, probes, notified = {}, {"readiness": "/readyz", "liveness": "/healthz"}, None
if kind == "pod":
    pod = json.load(open(file))
    # no command: the image's entrypoint
    entry = re.search(r"^ENTRYPOINT (.*)$", open(os.environ["CVMIN_SRC"] + "/deploy/container/Containerfile").read(), re.M)
    command = (pod["command"] or json.loads(entry[1])) + pod["args"]
    probes, port = pod["probes"], pod["ports"]["http"]
else:
    text = open(file).read().replace("\\\n", " ")
    command = shlex.split(re.search(r"^ExecStart=(.*)$", text, re.M)[1].replace("${CREDENTIALS_DIRECTORY}", "/run/credentials"))
    assert re.search(r"^Type=notify-reload$", text, re.M) and "--listen 127.0.0.1:8080" in " ".join(command)
    port = 8080
    notified = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    path = root + "/run/notify"
    notified.bind(path)
    os.chmod(path, 0o777)
    notified.settimeout(10)
    environment["NOTIFY_SOCKET"] = "/run/notify"


def confined():
    # its own mounts: /proc, which every container has
    os.unshare(os.CLONE_NEWNS)
    mount = ctypes.CDLL(None, use_errno=True).mount
    MS_BIND, MS_REC, MS_PRIVATE = 4096, 16384, 1 << 18
    if mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None) or mount(b"/proc", root.encode() + b"/proc", None, MS_BIND | MS_REC, None):
        raise OSError(ctypes.get_errno(), "mount")
    os.chroot(root)
    os.chdir("/")
    os.setgroups([]) if user else None
    os.setgid(group)
    os.setuid(user)
    ctypes.CDLL(None).prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS


def said(wanted):
    """What the service manager is told until it is this."""
    while True:
        text = notified.recv(4096).decode()
        if wanted in text.split("\n"):
            return


def get(path):
    try:
        with urllib.request.urlopen("http://127.0.0.1:%d%s" % (port, path), timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


service = subprocess.Popen(command, preexec_fn=confined, env=environment, stderr=subprocess.PIPE, text=True)
try:
    line = said_last = ""
    while '"event":"listening"' not in line:
        line = service.stderr.readline()
        if not line:
            sys.exit("the service does not start; exit %s; %s" % (service.wait(), said_last))
        said_last = line
    if notified:
        said("READY=1")
    # dumps nothing, its keys neither: the kernel shows such a process as root's
    assert os.stat("/proc/%d/environ" % service.pid).st_uid == 0
    for name, path in probes.items():
        status, _ = get(path)
        assert status == 200, (name, path, status)
    assert get("/")[0] == (404 if kind == "pod" else 200)
    status, keys = get("/.well-known/jwks.json")
    assert status == 200 and len(json.loads(keys)["keys"]) == 1, keys
    before = re.search(rb"^cvmin_reloads_total (\d+)$", get("/metrics")[1], re.M)[1]
    service.send_signal(signal.SIGHUP)
    if notified:
        said("READY=1")
    for _ in range(100):
        after = re.search(rb"^cvmin_reloads_total (\d+)$", get("/metrics")[1], re.M)[1]
        if after != before:
            break
        time.sleep(0.05)
    assert int(after) == int(before) + 1, (before, after)
    service.send_signal(signal.SIGTERM)
    if kind == "pod":  # ends, but still answers
        for _ in range(100):
            if get("/readyz")[0] == 503:
                break
            time.sleep(0.02)
        assert get("/readyz")[0] == 503 and get("/healthz")[0] == 200
        service.send_signal(signal.SIGTERM)  # a second one: at once
    if notified:
        said("STOPPING=1")
    assert service.wait(20) == 0, service.returncode
finally:
    service.kill()
