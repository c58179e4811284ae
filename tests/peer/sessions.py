"""Clients of a verifier for tests/peer/verifier.sh, which trust the proxy's certificate CERT and nothing else.

    sessions.py ready CERT                                       whether something answers
    sessions.py load CERT EVIDENCE NONCE PUBLIC PID              sessions by eight clients; under them PID is killed
    sessions.py slow CERT EVIDENCE NONCE PUBLIC HOST:PORT        sessions beside two hundred slow clients, of the proxy and of HOST:PORT

Every request must be answered, and every result be signed by PUBLIC, fresh, and for that nonce."""
import base64
import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time

command, certificate, *arguments = sys.argv[1:]
trust = ssl.create_default_context(cafile=certificate)
results, problems = [], []


def proxy():
    connection = http.client.HTTPSConnection("verifier.example", timeout=30, context=trust)
    connection._create_connection = lambda address, *rest: socket.create_connection(("127.0.0.1", 443), 30)
    return connection


def session(connection, evidence, nonce):
    """One session: the result, or what was answered instead."""
    connection.request("POST", "/challenge-response/v1/newSession?nonce=" + nonce)
    answer = connection.getresponse()
    body = answer.read()
    if answer.status != 201:
        raise RuntimeError("newSession: %d %r" % (answer.status, body[:300]))
    connection.request("POST", "/challenge-response/v1/" + answer.getheader("Location"), evidence,
                       {"Content-Type": "application/cmw+cbor"})
    answer = connection.getresponse()
    body = answer.read()
    if answer.status != 200:
        raise RuntimeError("evidence: %d %r" % (answer.status, body[:300]))
    said = json.loads(body)
    if said["status"] != "complete":
        raise RuntimeError("evidence: " + said["status"])
    return said["result"]


def decoded(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def der(number):
    number = number.lstrip(b"\0") or b"\0"
    number = b"\0" + number if number[0] & 0x80 else number
    return bytes([2, len(number)]) + number


def check(result, nonce, public):
    """Signature by OpenSSL; nonce and time by what the claims say."""
    signed, signature = result.rsplit(".", 1)
    raw = decoded(signature)
    assert len(raw) == 96
    parts = der(raw[:48]) + der(raw[48:])
    with tempfile.NamedTemporaryFile() as file:
        file.write(bytes([0x30, len(parts)]) + parts)
        file.flush()
        ran = subprocess.run(["openssl", "dgst", "-sha384", "-verify", public, "-signature", file.name], input=signed.encode(),
                             capture_output=True)
    if ran.returncode:
        raise RuntimeError("a result's signature: %s" % ran.stdout)
    claims = json.loads(decoded(signed.split(".")[1]))
    if claims["eat_nonce"].rstrip("=") != nonce:
        raise RuntimeError("a result for another nonce: %s" % claims)
    if not claims["iat"] <= time.time() + 1 or not claims["exp"] > time.time():
        raise RuntimeError("a result of another time: %s" % claims)


def check_all(nonce, public):
    for result in dict.fromkeys(results):
        check(result, nonce, public)
    changed = results[0][:-8] + ("A" * 8 if results[0][-8:] != "A" * 8 else "B" * 8)
    try:
        check(changed, nonce, public)
    except RuntimeError:
        return
    raise RuntimeError("a changed signature is taken: nothing was checked")


def load(evidence, nonce, public, pid):
    evidence = open(evidence, "rb").read()
    before, after, clients = 100, 100, 8
    lock, busy, killed, at_kill = threading.Lock(), [0], threading.Event(), [0]

    def client():
        connection = proxy()
        while len(results) < before + after and not problems:
            try:
                with lock:
                    busy[0] += 1
                result = session(connection, evidence, nonce)
            except Exception as problem:  # lost: there is no second try
                problems.append(repr(problem))
                return
            finally:
                with lock:
                    busy[0] -= 1
            with lock:
                results.append(result)
                if len(results) == before:
                    at_kill[0] = busy[0]
                    os.kill(int(pid), signal.SIGKILL)
                    killed.set()

    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if problems or not killed.is_set() or len(results) < before + after:
        sys.exit("sessions.py: after %d results: %s" % (len(results), problems))
    if at_kill[0] < 2:
        sys.exit("sessions.py: %d requests were open when the replica was killed" % at_kill[0])
    check_all(nonce, public)


def slow(evidence, nonce, public, where):
    """No clock: the slow ones have begun before, and are not done after, all others were answered."""
    evidence = open(evidence, "rb").read()
    host, port = where.split(":")
    connection = proxy()
    connection.request("POST", "/challenge-response/v1/newSession?nonce=" + nonce)
    answer = connection.getresponse()
    answer.read()
    head = ("POST /challenge-response/v1/%s HTTP/1.1\r\nHost: verifier.example\r\nContent-Type: application/cmw+cbor\r\n"
            "Content-Length: %d\r\n\r\n" % (answer.getheader("Location"), len(evidence))).encode()
    waiting = []
    for i in range(200):
        if i % 2:
            s = socket.create_connection((host, int(port)))
        else:
            s = trust.wrap_socket(socket.create_connection(("127.0.0.1", 443)), server_hostname="verifier.example")
        s.sendall(head + evidence[:1 + i])
        waiting.append((s, evidence[1 + i:]))
    direct = http.client.HTTPConnection(host, int(port), timeout=30)
    for _ in range(10):
        results.append(session(connection, evidence, nonce))
        results.append(session(direct, evidence, nonce))
    for i, (s, rest) in enumerate(waiting):
        s.sendall(rest[:1])  # all of them are still being served
    for s, rest in waiting[:20]:  # and when the last byte comes, are answered
        s.sendall(rest[1:])
        if not s.recv(4096).startswith(b"HTTP/1.1 200"):
            sys.exit("sessions.py: a slow client got no result")
    check_all(nonce, public)


if command == "ready":
    connection = proxy()
    connection.request("GET", "/.well-known/jwks.json")
    sys.exit(0 if connection.getresponse().status == 200 else 1)
elif command == "load":
    load(*arguments)
else:
    slow(*arguments)
