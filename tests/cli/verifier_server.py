"""What tests of cvmin verifier serve share: the service as a process, its client, and values under which it accepts good_evidence."""

import atexit
import base64
import contextlib
import http.client
import json
import os
import shutil
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
work = tempfile.mkdtemp()
atexit.register(shutil.rmtree, work)


def check(holds, what):
    global failed
    if not holds:
        failed += 1
        print(f"{os.path.basename(sys.argv[0])}: {what}", file=sys.stderr)


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
            raise SystemExit(f"the server did not say what it should: {log.read()}")

    def connect(self):
        if self.address.startswith("unix:"):
            return UnixConnection(self.address[5:])
        return http.client.HTTPConnection(self.address, timeout=patience)

    def at(self, host):
        """Through this address of a service that listens on all of them."""
        self.address = f"{host}:{self.address.rsplit(':', 1)[1]}"
        return self

    def socket(self, source=None):
        host, port = self.address.rsplit(":", 1)
        return socket.create_connection((host.strip("[]"), int(port)), patience, source and (source, 0))

    def ask(self, method, path, body=None, headers=None, connection=None, source=None):
        connection = connection or self.connect()
        if source:
            connection.source_address = (source, 0)
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
        """The verifier's claims about this body, or good_evidence."""
        answer = self.submit(self.session(f"?nonce={base64url(good_nonce)}"), **how)
        check(answer.status == 200, f"evidence: {answer.status} {answer.content}")
        part = payload(json.loads(answer.content)["result"])["submods"]["sev-snp"]
        return part.get("ear_verifier_claims") or part["ear.veraison.policy-claims"]

    def raw(self, *pieces, source=None):
        """All that is answered to these bytes until the end of the connection, of which the last piece is sent alone."""
        with self.socket(source) as connection:
            for piece in pieces:
                connection.sendall(piece)
            text = b""
            with contextlib.suppress(ConnectionResetError):
                while more := connection.recv(1 << 16):
                    text += more
            return text

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


with open(f"{data}/negative/evidence/good-evidence.cbor", "rb") as evidence:
    good_evidence = evidence.read()
good_nonce = bytes([0x5a]) * 32
with open(f"{source}/policies/emulated.json") as shipped:
    policy = {**json.load(shipped), "measurement": ["aa" * 48]}
policy_file = write(f"{work}/policy.json", policy)
session_key = write(f"{work}/session-key", os.urandom(32), 0o600)
subprocess.run([cvmin, "keygen", "--out", f"{work}/v.pem"], check=True, stdout=subprocess.DEVNULL)
common = ("--policy", policy_file, "--trust-emulated", f"{data}/negative/certificates/ark.der", "--signing-key", f"{work}/v.pem")


def run(*tests):
    for test in tests:
        begun = time.monotonic()
        test()
        print(f"{test.__name__}: {time.monotonic() - begun:.1f} s")
    sys.exit(1 if failed else 0)
