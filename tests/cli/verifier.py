"""cvmin verifier serve over its sockets: the API with evidence that is accepted and refused, each limit, reload, replicas,
a stop in the middle of a request. What the answers must be, request by request, is test_verifier's."""

import base64
import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time

sys.dont_write_bytecode = True
from verifier_server import (
    base64url, check, common, cvmin, data, good_evidence, good_nonce, new_session, patience, payload, policy, policy_file, problem,
    refuses, run, server, session_key, source, work, write,
)

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


def malformed():
    """What is no request never reaches us: libmicrohttpd answers it, and ends the connection, or does only that. It repeats nothing of it."""
    marker = b"<script>alert(1)</script>"
    with server(*common) as one:
        session = one.session().encode()
        for what in (marker + b"\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\nHost: a\r\n\r\n", b"GET /healthz HTTP/1.1\r\n\r\n",
                     b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500) + b"\r\n\r\n",
                     b"GET /healthz HTTP/1.1\r\nHost: a\r\n" + marker + b"\r\n\r\n",
                     b"GET /healthz HTTP/1.1\r\nHost: a\r\nA : " + marker + b"\r\n\r\n",
                     b"GET /healthz HTTP/1.1\r\nHost: a\r\nA: b\r\n folded\r\n\r\n",
                     b"GET /healthz HTTP/1.1\r\nHost: a\r\nA: b\0c\r\n\r\n",
                     b"POST " + session + b" HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
                     b"POST " + new_session.encode() + b" HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
                     b"POST " + session + b" HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\nab",
                     b"POST " + session + b" HTTP/1.1\r\nHost: a\r\nContent-Type: application/cmw+cbor\r\n"
                     b"Transfer-Encoding: chunked\r\n\r\nzz\r\n" + marker):
            text = one.raw(what.replace(b"Host: a\r\n", b"Host: a\r\nConnection: close\r\n"))
            statuses = re.findall(rb"HTTP/1\.1 (\d{3}) ", text)  # none: the connection ends without a word
            check(not text or (len(statuses) == 1 and statuses[0] in (b"400", b"413", b"501", b"505") and
                               b"Connection: close" in text and marker not in text), f"{what[:60]}: {text[:300]}")
        # two lengths that differ: whoever is before us may have believed the other one
        smuggled = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
        text = one.raw(b"POST /challenge-response/v1/newSession HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n"
                       b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n%s" % (5 + len(smuggled), smuggled))
        check(len(re.findall(rb"HTTP/1\.1 \d{3} ", text)) == 1 and b"Connection: close" in text, f"a request in the body of another: {text}")
        check(one.judge()["accepted"], "after all of that")


def body_of(size):
    return (b"POST " + new_session.encode() + b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % size +
            bytes(size))


def wait_bytes(one, wanted):
    until = time.monotonic() + 5 * patience
    while one.metric("cvmin_body_bytes") != wanted and time.monotonic() < until:
        time.sleep(0.05)
    check(one.metric("cvmin_body_bytes") == wanted, f"bodies: {one.metric('cvmin_body_bytes')} bytes of {wanted}")


def hold_bodies(one, count, source=None):
    """So many requests whose bodies, of 512 KiB, are there but for a byte: for a small body there is no more room."""
    held = [one.socket(source) for _ in range(count)]
    for each in held:
        each.sendall(body_of(512 << 10)[:-1])
    wait_bytes(one, count * ((512 << 10) - 1))
    text = one.raw(body_of(count + 1), source=source)
    check(b" 503 " in text and b"problem:overloaded" in text and b"Retry-After: 1" in text, f"a body without room: {text}")
    return held


def end_bodies(held):
    """All that had room are answered, up to the last byte of it."""
    for each in held:
        each.sendall(b"\0")
    answers = [each.makefile("rb").readline() for each in held]
    check(all(answer.startswith(b"HTTP/1.1 201 ") for answer in answers), f"bodies that had room are lost: {set(answers)}")
    for each in held:
        each.close()


def bodies():
    """The memory for bodies: 64 MiB for all, and for one client a quarter of it where clients can be told apart."""
    with server(*common, "--request-timeout", "600") as one:
        held = hold_bodies(one, 128)
        check(one.ask("GET", "/healthz").status == 200, "requests without a body, when there is no room for any")
        end_bodies(held)
        check(b" 201 " in one.raw(body_of(512 << 10)), "room is not given back")
        held = hold_bodies(one, 128)
        for each in held:
            each.close()  # who goes away gives it back as well
        wait_bytes(one, 0)
        check(b" 201 " in one.raw(body_of(512 << 10)), "room of those who went away is not given back")
    with server(*common, "--request-timeout", "600", "--rate", "0", listen="0.0.0.0:0") as one:
        one.at("127.0.0.1")
        held = hold_bodies(one, 32, "127.0.0.1")
        check(b" 201 " in one.raw(body_of(512 << 10), source="127.0.0.2"), "one client has the room of all")
        end_bodies(held)
    with server(*common, "--request-timeout", "600", "--rate", "0", "--connections-per-address", "0", listen="0.0.0.0:0") as one:
        end_bodies(hold_bodies(one.at("127.0.0.1"), 128))  # a proxy's


def ipv6():
    if not os.path.exists("/proc/net/if_inet6"):
        print("ipv6: this kernel has none")
        return
    with server(*common, listen="[::1]:0") as one:
        check(one.address.startswith("[::1]:") and one.judge()["accepted"], "over IPv6")
        check(one.ask("GET", "/").status == 200 and not any(line["event"] == "plain_http" for line in one.log()),
              "[::1] is not taken for this machine")
        check(any(line.get("peer") == "::1" for line in one.log()), "the peer of a request")
    subscriber, second, other = "2001:db8:1::1", "2001:db8:1::2", "2001:db8:2::1"
    with server(*common, "--rate", "1", "--burst", "10", listen="[::]:0") as one:
        port = one.address.rsplit(":", 1)[1]
        one.at(f"[{subscriber}]")
        begun = time.monotonic()
        answers = [one.ask("GET", "/healthz", source=source).status for _ in range(20) for source in (subscriber, second)]
        most = 10 + 1 + time.monotonic() - begun
        check(answers[:10] == [200] * 10 and answers.count(200) <= most and set(answers) == {200, 429},
              f"two addresses of one subscriber: {answers}")
        check([one.ask("GET", "/healthz", source=other).status for _ in range(10)] == [200] * 10, "another subscriber")
        one.address = f"127.0.0.1:{port}"  # the same socket: these are ::ffff:127.0.0.1 and ::ffff:127.0.0.2
        for source in ("127.0.0.1", "127.0.0.2"):
            check([one.ask("GET", "/healthz", source=source).status for _ in range(10)] == [200] * 10, f"IPv4: {source}")
        problem(one.ask("GET", "/", source="127.0.0.3"), 404, "not-found")  # others can connect: no page
    with server(*common, "--connections-per-address", "4", "--rate", "0", listen="[::]:0") as one:
        one.at(f"[{subscriber}]")

        def served(source):
            connection = one.socket(source)
            with contextlib.suppress(OSError):
                connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
                if connection.recv(4096).startswith(b"HTTP/1.1 200"):
                    return connection
            return None

        held = [served(source) for source in (subscriber, second) * 2]
        check(all(held), "connections below the limit")
        # each thread may let one more in at the same moment, but these come one after another
        check(not served(subscriber) and not served(second), "a fifth connection of one subscriber is served")
        check(served(other), "another subscriber's connection is not served")
        held.pop().close()
        until = time.monotonic() + patience
        while not (again := served(subscriber)) and time.monotonic() < until:
            time.sleep(0.02)
        check(again, "a connection that ended is still counted")


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


def draining():
    """What a load balancer needs: told to go elsewhere, and served until it does."""
    with server(*common, "--drain", "300") as one:
        session = one.session(f"?nonce={base64url(good_nonce)}")
        one.process.send_signal(signal.SIGTERM)
        one.wait_log(lambda line: line["event"] == "stopping")
        problem(one.ask("GET", "/readyz"), 503, "not-ready")
        check(one.ask("GET", "/healthz").status == 200, "not alive while draining")
        answer = one.submit(session)  # over a new connection
        check(answer.status == 200 and answer.getheader("Connection") == "close", f"evidence while draining: {answer.headers}")
        one.process.send_signal(signal.SIGHUP)  # no second signal to stop
        time.sleep(0.5)
        check(one.ask("POST", new_session).status == 201, "SIGHUP ends the draining")
        check(one.stop() == 0, "a second signal to stop")
    with server(*common, "--drain", "1") as one:
        begun = time.monotonic()
        check(one.stop() == 0 and time.monotonic() - begun >= 1, "draining ends too soon")
    with server(*common) as one:  # nor does it cut off an open request
        open_one = one.socket()
        open_one.sendall(body_of(100)[:-1])
        until = time.monotonic() + patience
        while one.metric("cvmin_requests_in_flight") < 2 and time.monotonic() < until:
            time.sleep(0.02)
        one.process.send_signal(signal.SIGTERM)
        one.wait_log(lambda line: line["event"] == "stopping")
        one.process.send_signal(signal.SIGHUP)
        time.sleep(0.2)
        open_one.sendall(b"\0")
        check(open_one.makefile("rb").readline().startswith(b"HTTP/1.1 201 "), "SIGHUP ends open requests")
        check(one.process.wait(patience) == 0, "exit code after SIGHUP")


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
        one.at("127.0.0.1")
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


new_key = write(f"{work}/new-key", os.urandom(64), 0o600)
run(answers_and_forms, limits, malformed, bodies, ipv6, reload, references, stopping, draining, replicas, sockets, keys_and_usage)
