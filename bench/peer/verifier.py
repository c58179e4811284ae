"""verifier.py URL PID EVIDENCE NONCE VALUES FLOOR: what bench/verifier.sh says, of the service at URL that is process PID. All in turns,
so that each meets the same machine; ratios are of what was measured in the same turn."""
import base64
import http.client
import json
import os
import selectors
import socket
import statistics
import subprocess
import sys
import threading
import time

url, pid, evidence, nonce, values, floor_program = sys.argv[1:]
host, port = url.removeprefix("http://").split(":")
port = int(port)
source = os.environ["CVMIN_SRC"]
rounds = int(os.environ.get("CVMIN_BENCH_ROUNDS", "5"))
seconds = float(os.environ.get("CVMIN_BENCH_SECONDS", "4"))
requests_of_memory = int(os.environ.get("CVMIN_BENCH_REQUESTS", "100000"))
connections = 16
new_session = "/challenge-response/v1/newSession?nonce=" + nonce
cmw = {"Content-Type": "application/cmw+cbor"}


def wrk(mode, file, path, for_seconds=None):
    command = [source + "/toolchain/enter.sh", os.environ["CVMIN_PEER"], "wrk", "-t1", "-c%d" % connections, "--timeout", "20s",
               "-d%ds" % (for_seconds or seconds), "-s", source + "/bench/peer/verifier.lua", url, "--", mode, file, path]
    ran = subprocess.run(command, capture_output=True, text=True)
    lines = [line for line in ran.stdout.splitlines() if line.startswith("{")]
    if ran.returncode or not lines:
        sys.exit("bench verifier: wrk: " + ran.stdout + ran.stderr)
    said = json.loads(lines[-1])
    if said["errors"]:
        sys.exit("bench verifier: %d of %d requests failed (%s %s)" % (said["errors"], said["requests"], mode, path))
    return said


def ask(method, path, body=None, headers={}):
    connection = http.client.HTTPConnection(host, port, timeout=20)
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer, content


def session():
    answer, _ = ask("POST", new_session)
    assert answer.status == 201, answer.status
    return "/challenge-response/v1/" + answer.getheader("Location")


def memory():
    fields = dict(line.split(":", 1) for line in open("/proc/%s/status" % pid))
    return tuple(int(fields[name].split()[0]) for name in ("VmRSS", "VmHWM"))


def cpu():
    fields = open("/proc/%s/stat" % pid).read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def counter(name):
    _, text = ask("GET", "/metrics")
    return sum(float(line.rsplit(" ", 1)[1]) for line in text.decode().splitlines() if line.startswith(name))


# ---- is it real work: the evidence is appraised, and accepted but for being emulated ---------------------------------
answer, content = ask("POST", session(), open(evidence, "rb").read(), cmw)
assert answer.status == 200, (answer.status, content)
payload = json.loads(content)["result"].split(".")[1]
claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
assert claims["eat_nonce"].rstrip("=") == nonce and "sev-snp" in claims["submods"], claims
appraised_before = counter("cvmin_appraisals_total")

# ---- requests per second ---------------------------------------------------------------------------------------------
floors = {}
for line in subprocess.run([floor_program, values + "/policy.json", values + "/ark.der", values + "/signing-key.pem", evidence, nonce,
                            str(10 * rounds)], check=True, capture_output=True, text=True).stdout.splitlines():
    name, least, median = line.split("\t")
    floors[name] = (float(least), float(median))
seen = {"health": [], "evidence": [], "session": []}
cpu_of = {name: 0.0 for name in seen}
for turn in range(rounds):
    for name, arguments in (("health", ("static", "-", "/healthz")), ("evidence", ("static", evidence, session())),
                            ("session", ("session", evidence, new_session))):
        before = cpu()
        seen[name].append(wrk(*arguments))
        cpu_of[name] += cpu() - before
assert counter("cvmin_appraisals_total") - appraised_before >= sum(run["requests"] for run in seen["evidence"])
print("Over HTTP, %d connections, server and wrk share %d cores, %d turns of %.0f s" % (connections, os.cpu_count(), rounds, seconds))
print("%-46s %10s %10s %10s %10s %12s" % ("", "per s", "(best)", "p50 ms", "p99 ms", "CPU us each"))
rate = {}
for name, text in (("health", "GET /healthz: HTTP alone"), ("evidence", "evidence to an open session: 200, a result"),
                   ("session", "newSession, then evidence: each is a request")):
    rates = [run["requests"] / run["seconds"] for run in seen[name]]
    rate[name] = statistics.median(rates)
    print("%-46s %10.0f %10.0f %10.2f %10.2f %12.0f" % (
        text, rate[name], max(rates), statistics.median(run["p50_us"] for run in seen[name]) / 1e3,
        statistics.median(run["p99_us"] for run in seen[name]) / 1e3,
        1e6 * cpu_of[name] / sum(run["requests"] for run in seen[name])))
print("%-46s %10s %10s %10s" % ("In one process, one thread, CPU time", "least us", "median us", "per s"))
for name, (least, median) in floors.items():
    print("%-46s %10.0f %10.0f %10.0f" % (name, least, median, 1e6 / least))
whole = floors["request with evidence, without HTTP"][0]
each = 1e6 * cpu_of["evidence"] / sum(run["requests"] for run in seen["evidence"])
print("%-46s %10.2f" % ("CPU of a request over HTTP / without", each / whole))
print("%-46s %10.2f" % ("per second / what the cores could do without", rate["evidence"] / (1e6 / whole * os.cpu_count())))

# ---- slow clients ----------------------------------------------------------------------------------------------------
class Tricklers(threading.Thread):
    """So many clients that send a request with a body byte by byte, two bytes a second each, and begin anew when they are shut."""

    def __init__(self, number, path):
        super().__init__(daemon=True)
        self.number, self.begun, self.ending = number, 0, False
        self.head = ("POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/cmw+cbor\r\nContent-Length: 4000\r\n\r\n" % path).encode()

    def open(self):
        s = socket.create_connection((host, port))
        s.setblocking(False)
        s.send(self.head)
        self.begun += 1
        return s

    def run(self):
        clients = [self.open() for _ in range(self.number)]
        while not self.ending:
            began = time.monotonic()
            for i, s in enumerate(clients):
                try:
                    s.send(b"x")
                    if s.recv(4096) is not None:
                        raise ConnectionError
                except BlockingIOError:
                    pass
                except OSError:
                    s.close()
                    clients[i] = self.open()
            time.sleep(max(0.0, 0.5 - (time.monotonic() - began)))
        for s in clients:
            s.close()


slow = {False: [], True: []}
for turn in range(rounds):
    for with_them in (False, True):
        tricklers = Tricklers(200, session()) if with_them else None
        if tricklers:
            tricklers.start()
            while tricklers.begun < 200:
                time.sleep(0.05)
        slow[with_them].append(wrk("static", evidence, session()))
        if tricklers:
            tricklers.ending = True
            tricklers.join()
p99 = {with_them: statistics.median(run["p99_us"] for run in runs) for with_them, runs in slow.items()}
per_second = {with_them: statistics.median(run["requests"] / run["seconds"] for run in runs) for with_them, runs in slow.items()}
print("p99 of others without / with 200 slow clients  %10.2f ms %7.2f ms, ratio %.2f; per second %.0f / %.0f" % (
    p99[False] / 1e3, p99[True] / 1e3, p99[True] / p99[False], per_second[False], per_second[True]))

# ---- silent connections ----------------------------------------------------------------------------------------------
def idle_cpu(time_s):
    before = cpu()
    time.sleep(time_s)
    return (cpu() - before) / time_s


rss_before, load_before = memory()[0], idle_cpu(5)
silent = []
for _ in range(1000):
    s = socket.create_connection((host, port))
    s.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n") # each has been of use once
    silent.append(s)
for s in silent:
    if not s.recv(4096).startswith(b"HTTP/1.1 200"):
        sys.exit("bench verifier: a connection of a thousand was not served")
rss_with, load_with = memory()[0], idle_cpu(5)
with_silent = wrk("static", evidence, session())
for s in silent:
    s.close()
print("1,000 silent connections: %d KiB more (%.1f each), %.2f %% of a core beside %.2f %%; evidence %.0f per s, p99 %.2f ms" % (
    rss_with - rss_before, (rss_with - rss_before) / 1000, 100 * load_with, 100 * load_before,
    with_silent["requests"] / with_silent["seconds"], with_silent["p99_us"] / 1e3))

# ---- memory ----------------------------------------------------------------------------------------------------------
total, marks = 0, []
for goal in (requests_of_memory // 10, requests_of_memory):
    while total < goal:
        total += wrk("session", evidence, new_session, 10)["requests"]
    marks.append((total, *memory()))
print("memory after %s requests: RSS %s KiB, peak %s KiB" % tuple(
    " / ".join("{:,}".format(mark[i]) for mark in marks) for i in range(3)))
grown = marks[1][1] - marks[0][1]
print("grown by %d KiB over %d requests: %.3f bytes each" % (grown, marks[1][0] - marks[0][0], 1024 * grown / (marks[1][0] - marks[0][0])))
