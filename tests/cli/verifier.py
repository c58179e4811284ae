"""cvmin verifier serve over its sockets: the API with evidence that is accepted and refused, each limit, reload, replicas,
a stop in the middle of a request. What the answers must be, request by request, is test_verifier's."""

import base64
import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time

cvmin, source = os.environ["CVMIN"], os.environ["CVMIN_SRC"]
data = f"{source}/tests/data"
session_type = "application/vnd.veraison.challenge-response-session+json"
new_session = "/challenge-response/v1/newSession"
patience = 20  # seconds for what should take none, on a busy machine
failed = 0


def check(holds, what):
    global failed
    if not holds:
        failed += 1
        print(f"verifier.py: {what}", file=sys.stderr)


def write(path, content, mode=0o644):
    """Whole at once and under a new inode, as editors and orchestrators do it."""
    temporary = f"{path}.new"
    with open(temporary, "wb") as out:
        out.write(content if isinstance(content, bytes) else json.dumps(content).encode())
    os.chmod(temporary, mode)
    os.rename(temporary, path)
    return path


def base64url(raw):
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def payload(jwt):
    part = jwt.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=patience)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(patience)
        self.sock.connect(self.path)


class Server:
    def __init__(self, *options, listen="127.0.0.1:0", environment=None):
        self.log_path = tempfile.NamedTemporaryFile(dir=work, delete=False, suffix=".log").name
        with open(self.log_path, "w") as log:
            self.process = subprocess.Popen(
                [cvmin, "verifier", "serve", "--listen", listen, *options],
                stderr=log, env={**os.environ, **(environment or {})})
        listening = self.wait_log(lambda line: line["event"] == "listening")
        self.address = listening["address"]

    def log(self):
        with open(self.log_path) as log:
            return [json.loads(line) for line in log if line.endswith("\n")]

    def wait_log(self, wanted, count=1):
        """The count-th line of this kind."""
        until = time.monotonic() + patience
        while time.monotonic() < until and self.process.poll() is None:
            with contextlib.suppress(json.JSONDecodeError):
                found = [line for line in self.log() if wanted(line)]
                if len(found) >= count:
                    return found[count - 1]
            time.sleep(0.02)
        with open(self.log_path) as log:
            raise SystemExit(f"verifier.py: the server did not say what it should: {log.read()}")

    def connect(self):
        if self.address.startswith("unix:"):
            return UnixConnection(self.address[5:])
        return http.client.HTTPConnection(self.address, timeout=patience)

    def socket(self):
        host, port = self.address.rsplit(":", 1)
        return socket.create_connection((host, int(port)), patience)

    def ask(self, method, path, body=None, headers=None, connection=None):
        connection = connection or self.connect()
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        answer.content = answer.read()
        return answer

    def session(self, query=""):
        answer = self.ask("POST", new_session + query)
        check(answer.status == 201, f"a new session: {answer.status} {answer.content}")
        return "/challenge-response/v1/" + answer.getheader("Location")

    def submit(self, session, body=None, media_type="application/cmw+cbor"):
        return self.ask("POST", session, good_evidence if body is None else body, {"Content-Type": media_type})

    def judge(self, **how):
        """The verifier's claims about good_evidence."""
        answer = self.submit(self.session(f"?nonce={base64url(good_nonce)}"), **how)
        check(answer.status == 200, f"evidence: {answer.status} {answer.content}")
        part = payload(json.loads(answer.content)["result"])["submods"]["sev-snp"]
        return part.get("ear_verifier_claims") or part["ear.veraison.policy-claims"]

    def metric(self, name):
        text = self.ask("GET", "/metrics").content.decode()
        return next(float(line.split()[-1]) for line in text.splitlines() if line.startswith(name + " "))

    def stop(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        return self.process.wait(patience)


@contextlib.contextmanager
def server(*options, **more):
    running = Server(*options, **more)
    try:
        yield running
    finally:
        if running.process.poll() is None:
            running.process.kill()
            running.process.wait()


def refuses(code, text, *options):
    done = subprocess.run([cvmin, "verifier", "serve", *options], capture_output=True, text=True, timeout=patience)
    check(done.returncode == code and text in done.stderr and done.stdout == "" and
          done.stderr.count("cvmin verifier") == 1,
          f"{options}: exit {done.returncode}, wanted {code} with '{text}': {done.stderr}")


def problem(answer, status, kind):
    check(answer.status == status and answer.getheader("Content-Type") == "application/problem+json" and
          json.loads(answer.content)["type"].endswith(":" + kind), f"wanted {status} {kind}: {answer.status} {answer.content}")


def answers_and_forms():
    with server(*common) as one:
        for path in ("/healthz", "/readyz", "/.well-known/veraison/verification", "/.well-known/jwks.json", "/"):
            check(one.ask("GET", path).status == 200, path)
        verdict = one.judge()
        check(verdict["accepted"] and verdict["emulated"], f"good evidence is refused: {verdict}")
        refused = one.submit(one.session())
        claims = payload(json.loads(refused.content)["result"])["submods"]["sev-snp"]
        check("binding.nonce" in claims["ear_verifier_claims"]["failed"], f"another nonce: {claims}")
        # one connection for many requests, and a body in pieces of unknown number
        kept = one.connect()
        for _ in range(3):
            check(one.ask("GET", "/healthz", connection=kept).status == 200, "a kept connection")
        kept.request("POST", one.session(f"?nonce={base64url(good_nonce)}"), iter([good_evidence[:7], good_evidence[7:]]),
                     {"Content-Type": "application/cmw+cbor"}, encode_chunked=True)
        check(json.loads(kept.getresponse().read())["status"] == "complete", "a chunked body")
        check(one.stop() == 0, "a stop gives another exit code than 0")
        events = [line["event"] for line in one.log()]
        check("stopping" in events and events[-1] == "stopped", f"the log ends so: {events}")
        text = open(one.log_path).read()
        check("session/AQ" not in text, "a token is in the log")
    with server(*common, "--ear-profile", "veraison") as one:
        check(one.judge()["accepted"], "the older profile")
    with server(*common, "--own-nonces") as one:
        problem(one.ask("POST", f"{new_session}?nonce={base64url(good_nonce)}"), 400, "nonce")
        one.session("?nonceSize=64")


def limits():
    with server(*common, "--request-timeout", "1", "--idle-timeout", "2") as one:
        session = one.session()
        problem(one.submit(session, media_type="text/plain"), 415, "media-type")
        problem(one.submit(session, body=bytes(2 << 20)), 413, "too-large")
        problem(one.submit(session + "A"), 404, "session-unknown")
        problem(one.ask("PUT", "/metrics"), 405, "method")
        problem(one.ask("GET", "/" + "a" * 4000), 414, "target")
        check(one.ask("GET", "/healthz", headers={"X-Long": "a" * 60000}).status == 431, "a header that is too long")
        # chunked, so that its length is not known before
        endless = one.connect()
        endless.request("POST", session, iter([bytes(1 << 16)] * 16), {"Content-Type": "application/cmw+cbor"},
                        encode_chunked=True)
        answer = endless.getresponse()
        answer.content = answer.read()
        problem(answer, 413, "too-large")
        # byte by byte: the body, the headers, the request line
        slow_body, slow_header, silent = one.socket(), one.socket(), one.socket()
        slow_body.sendall(f"POST {session} HTTP/1.1\r\nHost: a\r\nContent-Type: application/cmw+cbor\r\n"
                          "Content-Length: 1000\r\n\r\n".encode())
        slow_header.sendall(b"GET /healthz HTTP/1.1\r\nHost: ")
        begun = time.monotonic()
        while time.monotonic() - begun < 0.9:
            slow_body.sendall(b"a")
            slow_header.sendall(b"a")
            check(one.ask("GET", "/healthz").status == 200, "others wait for a slow client")
            time.sleep(0.05)
        for name, slow in (("body", slow_body), ("header", slow_header)):
            check(slow.makefile("rb").readline().startswith(b"HTTP/1.1 408 "), f"a slow {name} is not told 408")
        check(silent.recv(1) == b"", "a silent connection is kept")
        check(time.monotonic() - begun < 10, "slow clients were kept for long")
        check(one.metric("cvmin_timed_out_total") == 2, "timeouts are not counted")
    with server(*common, "--rate", "5", "--burst", "10") as one:
        answers = [one.ask("GET", "/healthz") for _ in range(40)]
        statuses = [answer.status for answer in answers]
        check(statuses[:10] == [200] * 10 and 429 in statuses and set(statuses) == {200, 429}, f"rate: {statuses}")
        late = next(answer for answer in answers if answer.status == 429)
        problem(late, 429, "rate")
        check(int(late.getheader("Retry-After")) >= 1, "Retry-After")
    with server(*common, "--connections", "8", "--threads", "1", "--connections-per-address", "4") as one:
        held = [one.socket() for _ in range(4)]
        for each in held:
            each.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
            check(each.recv(4096).startswith(b"HTTP/1.1 200"), "a connection below the limit")
        fifth = one.socket()
        with contextlib.suppress(OSError):
            fifth.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
            check(fifth.recv(4096) == b"", "a fifth connection of one address is served")


def reload():
    with server(*common) as one:
        def loads(line):
            return line["event"] == "reload"
        check(one.judge()["accepted"], "before any reload")
        changed = {**policy, "measurement": ["bb" * 48]}
        write(policy_file, changed)  # seen by itself
        check(one.wait_log(loads)["ok"], "a changed policy is not read")
        check(one.judge()["failed"] == ["snp.measurement"], "the changed policy is not used")
        write(policy_file, b"{")
        line = one.wait_log(loads, 2)
        check(not line["ok"] and policy_file in line["reason"], f"a broken policy: {line}")
        check(one.judge()["failed"] == ["snp.measurement"], "a broken policy is not kept out")
        check(one.ask("GET", "/readyz").status == 200, "not ready after a reload that failed")
        check(one.metric("cvmin_reload_failures_total") == 1, "the failure is not counted")
        write(policy_file, policy)
        one.process.send_signal(signal.SIGHUP)
        check(one.wait_log(loads, 3)["ok"] and one.judge()["accepted"], "SIGHUP")


def references():
    """Launches of a CoRIM, whose first has the digest and guest policy of the evidence."""
    made = f"{source}/tests/corpus/fuzz_corim/ours"
    caller = ("--policy", write(f"{work}/caller.json", {**policy, "measurement": "caller"}), *common[2:])
    with server(*caller, "--reference", made) as one:
        check(one.judge()["accepted"], "a launch of the CoRIM")
    signed = f"{work}/signed.corim"

    def sign(key):
        subprocess.run([cvmin, "corim", "sign", made, "--key", f"{work}/{key}.pem", "--out", f"{signed}.new", "--signer", key],
                       check=True, stdout=subprocess.DEVNULL)
        os.rename(f"{signed}.new", signed)

    for key in ("alice", "bob"):
        subprocess.run([cvmin, "keygen", "--out", f"{work}/{key}.pem"], check=True, stdout=subprocess.DEVNULL)
    sign("alice")
    refuses(2, "give its signer's --reference-key", *caller, "--reference", signed)
    refuses(3, "signed.corim", *caller, "--reference", signed, "--reference-key", f"{work}/bob.pem.pub.pem")
    refuses(3, "ours", *caller, "--reference", made, "--reference-key", f"{work}/alice.pem.pub.pem")
    with server(*caller, "--reference", signed, "--reference-key", f"{work}/alice.pem.pub.pem") as one:
        check("signed by alice" in one.log()[0]["in_force"] and one.judge()["accepted"], "a signed CoRIM")
        sign("bob")  # whoever can write the file cannot choose what is good
        check(not one.wait_log(lambda line: line["event"] == "reload")["ok"], "another signer's CoRIM is read")
        check(one.judge()["accepted"], "what was in force is gone")
    with server(*caller, "--reference", signed, "--reference-key", f"{work}/alice.pem.pub.pem", "--reference-key",
                f"{work}/bob.pem.pub.pem") as one:
        check(one.judge()["accepted"], "the second of two keys")


def stopping():
    with server(*common) as one:
        session = one.session(f"?nonce={base64url(good_nonce)}")
        open_one = one.socket()
        open_one.sendall(f"POST {session} HTTP/1.1\r\nHost: a\r\nContent-Type: application/cmw+cbor\r\n"
                         f"Content-Length: {len(good_evidence)}\r\n\r\n".encode() + good_evidence[:100])
        idle = one.socket()
        until = time.monotonic() + patience
        while one.metric("cvmin_requests_in_flight") < 2 and time.monotonic() < until:
            time.sleep(0.02)  # this question for the metrics is one of the two
        one.process.send_signal(signal.SIGTERM)
        one.wait_log(lambda line: line["event"] == "stopping")
        until = time.monotonic() + patience
        while time.monotonic() < until:
            try:
                one.socket().close()
            except ConnectionRefusedError:
                break
            time.sleep(0.02)
        else:
            check(False, "connections are taken while it stops")
        check(one.process.poll() is None, "it stops while a request is open")
        open_one.sendall(good_evidence[100:])
        text = b""
        while piece := open_one.recv(65536):
            text += piece
        check(text.startswith(b"HTTP/1.1 200 ") and b'"result"' in text, f"the open request is lost: {text[:200]}")
        check(b"Connection: close" in text, "the last answer does not close")
        check(one.process.wait(patience) == 0, "exit code of a graceful stop")
        idle.close()
    with server(*common, "--stop-timeout", "0") as one:  # nobody is waited for
        stuck = one.socket()
        stuck.sendall(b"POST /challenge-response/v1/newSession HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n")
        check(one.stop(signal.SIGINT) == 0, "a stop that does not wait")


def replicas():
    with server(*common, "--session-key", session_key) as one, \
         server(*common, "--session-key", new_key, "--session-key", session_key) as two, server(*common) as stranger:
        session = one.session(f"?nonce={base64url(good_nonce)}")
        answer = two.submit(session)
        claims = payload(json.loads(answer.content)["result"])
        check(claims["submods"]["sev-snp"]["ear_verifier_claims"]["accepted"], "a session of another replica")
        problem(stranger.submit(session), 404, "session-unknown")
        problem(one.submit(two.session()), 404, "session-unknown")  # made with the new key, which it has not yet
        one.process.kill()
        check(two.submit(session).status == 200, "a session whose replica died")
        check(any(line["event"] == "session_key" for line in stranger.log()), "a key of its own is not mentioned")
        check(not any(line["event"] == "session_key" for line in two.log()), "a shared key is complained of")


def sockets():
    path = f"{work}/v.sock"
    with server(*common, listen=f"unix:{path}") as one:
        check(os.stat(path).st_mode & 0o777 == 0o660, "mode of the socket")
        check(one.judge()["accepted"], "over a Unix socket")
        check(one.ask("GET", "/").status == 200, "no page on a Unix socket")
        refuses(4, "another process listens there", *common, "--listen", f"unix:{path}")
        one.process.kill()
        one.process.wait()
    with server(*common, listen=f"unix:{path}") as one:  # what a killed one left is taken over
        check(one.stop() == 0 and not os.path.exists(path), "the socket stays")
    refuses(2, "no socket", *common, "--listen", f"unix:{policy_file}")
    refuses(2, "a path has", *common, "--listen", "unix:" + "a" * 200)
    with server(*common) as one:
        refuses(4, "in use", *common, "--listen", one.address)
    with server(*common, listen="0.0.0.0:0") as one:
        one.address = "127.0.0.1:" + one.address.rsplit(":", 1)[1]
        check(any(line["event"] == "plain_http" for line in one.log()), "no warning that others can connect")
        problem(one.ask("GET", "/"), 404, "not-found")  # the page is for this machine
    # a service manager's socket and its notifications
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.bind(f"{work}/notify")
    manager.settimeout(patience)
    passed = socket.create_server(("127.0.0.1", 0))
    script = f'exec 3<&{passed.fileno()}; export LISTEN_PID=$$ LISTEN_FDS=1; exec "$@"'
    log_path = f"{work}/passed.log"
    with open(log_path, "w") as log:
        process = subprocess.Popen(["bash", "-c", script, "bash", cvmin, "verifier", "serve", *common, "--listen", "systemd"],
                                   pass_fds=[passed.fileno()], stderr=log,
                                   env={**os.environ, "NOTIFY_SOCKET": f"{work}/notify"})
    check(manager.recv(100) == b"READY=1", "READY")
    connection = http.client.HTTPConnection(*passed.getsockname(), timeout=patience)
    connection.request("GET", "/readyz")
    check(connection.getresponse().status == 200, "a passed socket")
    process.send_signal(signal.SIGHUP)
    check(manager.recv(100).startswith(b"RELOADING=1\nMONOTONIC_USEC="), "RELOADING")
    check(manager.recv(100) == b"READY=1", "READY after a reload")
    process.send_signal(signal.SIGTERM)
    check(manager.recv(100) == b"STOPPING=1" and process.wait(patience) == 0, "STOPPING")
    refuses(2, "LISTEN_FDS=1", *common, "--listen", "systemd")


def keys_and_usage():
    key = open(f"{work}/v.pem", "rb").read()
    for mode in (0o644, 0o660, 0o604):
        write(f"{work}/open.pem", key, mode)
        refuses(2, f"mode {mode:04o} found, wanted 0600", *common[:4], "--signing-key", f"{work}/open.pem")
    write(f"{work}/group.pem", key, 0o640)
    with server(*common[:4], "--signing-key", f"{work}/group.pem", "--old-key", f"{data}/cose/public.pem") as one:
        keys = json.loads(one.ask("GET", "/.well-known/jwks.json").content)["keys"]
        check(len({key["kid"] for key in keys}) == 2, "the older key is not published")
    write(f"{work}/short", bytes(31), 0o600)
    refuses(2, "wanted 32 to 64 bytes", *common, "--session-key", f"{work}/short")
    write(f"{work}/long", bytes(65), 0o600)
    refuses(2, "wanted 32 to 64 bytes", *common, "--session-key", f"{work}/long")
    write(f"{work}/session-open", bytes(32), 0o644)
    refuses(2, "mode 0644 found", *common, "--session-key", f"{work}/session-open")
    refuses(4, "nothing", *common[:4], "--signing-key", f"{work}/nothing")
    write(f"{work}/caller.json", {**policy, "measurement": "caller"})
    refuses(2, "wanted one of: --reference", "--policy", f"{work}/caller.json", *common[2:])
    refuses(2, "--reference-key goes with --reference", *common, "--reference-key", f"{data}/cose/public.pem")
    refuses(2, "no port", *common, "--listen", "localhost")
    refuses(3, "v.pem", *common, "--reference", f"{work}/v.pem")


with tempfile.TemporaryDirectory() as work:
    with open(f"{data}/negative/evidence/good-evidence.cbor", "rb") as evidence:
        good_evidence = evidence.read()
    good_nonce = bytes([0x5a]) * 32
    with open(f"{source}/policies/emulated.json") as shipped:
        policy = {**json.load(shipped), "measurement": ["aa" * 48]}
    policy_file = write(f"{work}/policy.json", policy)
    session_key = write(f"{work}/session-key", os.urandom(32), 0o600)
    new_key = write(f"{work}/new-key", os.urandom(64), 0o600)
    subprocess.run([cvmin, "keygen", "--out", f"{work}/v.pem"], check=True, stdout=subprocess.DEVNULL)
    common = ("--policy", policy_file, "--trust-emulated", f"{data}/negative/certificates/ark.der", "--signing-key",
              f"{work}/v.pem")
    for test in (answers_and_forms, limits, reload, references, stopping, replicas, sockets, keys_and_usage):
        begun = time.monotonic()
        test()
        print(f"{test.__name__}: {time.monotonic() - begun:.1f} s")
sys.exit(1 if failed else 0)
