#!/usr/bin/env python3
"""A key service on loopback for tests, that answers as AMD's does and misbehaves on request.

usage: fake_kds.py DIR [CERT KEY]

DIR/answers/NAME is what a path is answered with: NAME is vcek, chain or crl. DIR/script has a line "NAME BEHAVIOUR" for
each answer that is not a plain one; a line is used once. DIR/log gets a line for each request, DIR/port the port when
the service is ready. With CERT and KEY (PEM) it speaks TLS. Ends when its standard input does.
"""
import os
import ssl
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

folder = sys.argv[1]
lock = threading.Lock()
leaving = threading.Event()


def take_behaviour(name):
    """The first line of the script for this name, which is then gone."""
    path = os.path.join(folder, "script")
    with lock:
        try:
            with open(path, encoding="ascii") as file:
                lines = file.read().splitlines()
        except FileNotFoundError:
            return "ok"
        for index, line in enumerate(lines):
            if line.split(" ", 1)[0] == name:
                del lines[index]
                with open(path + ".new", "w", encoding="ascii") as file:
                    file.write("".join(entry + "\n" for entry in lines))
                os.rename(path + ".new", path)
                return line.split(" ", 1)[1]
    return "ok"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format, *args):  # to a file, not to standard error
        pass

    def answer(self, status, body=b"", headers=()):
        self.send_response(status)
        for key, value in headers:
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        path = self.path.split("?")[0]
        name = {"cert_chain": "chain", "crl": "crl"}.get(path.rsplit("/", 1)[1], "vcek")
        behaviour = take_behaviour(name)
        with lock, open(os.path.join(folder, "log"), "a", encoding="ascii") as log:
            log.write("%s %s %s\n" % (behaviour, self.path, self.headers.get("Range", "-")))
        with open(os.path.join(folder, "answers", name), "rb") as file:
            body = file.read()
        tags = [("ETag", '"1"'), ("Accept-Ranges", "bytes")]
        kind, _, argument = behaviour.partition(":")
        if kind == "ok":
            wanted = self.headers.get("Range", "")
            if wanted.startswith("bytes=") and self.headers.get("If-Range") == '"1"':
                start = int(wanted[len("bytes="):].split("-")[0])
                span = "bytes %d-%d/%d" % (start, len(body) - 1, len(body))
                self.answer(206, body[start:], tags + [("Content-Range", span)])
            else:
                self.answer(200, body, tags)
        elif kind == "429":
            self.answer(429, b"", [("Retry-After", argument)] if argument else [])
        elif kind.isdigit():
            self.answer(int(kind), b"no")
        elif kind == "html":
            self.answer(200, b"<!DOCTYPE html>\n<html><body>Please log in</body></html>", [("Content-Type", "text/html")])
        elif kind == "file":
            with open(argument, "rb") as file:
                self.answer(200, file.read())
        elif kind == "redirect":
            self.answer(302, b"", [("Location", argument)])
        elif kind == "oversize":  # says so
            self.answer(200, body + bytes(1 << 20))
        elif kind == "endless":  # does not say so
            self.send_response(200)
            self.send_header("Connection", "close")
            self.end_headers()
            self.close_connection = True
            try:
                while not leaving.is_set():
                    self.wfile.write(bytes(4096))
            except OSError:
                pass
        elif kind in ("truncate", "truncate-untagged"):
            self.send_response(200)
            for key, value in tags if kind == "truncate" else []:
                self.send_header(key, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[:len(body) // 2])
            self.close_connection = True
        elif kind == "slow":  # begins, and never ends by itself
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[:1])
            self.wfile.flush()
            leaving.wait(60)
            self.close_connection = True
        else:  # "close": no answer at all
            self.close_connection = True


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
server.daemon_threads = True
server.handle_error = lambda *_: None  # a client that leaves is no event
if len(sys.argv) > 2:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[2], sys.argv[3])
    server.socket = context.wrap_socket(server.socket, server_side=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
with open(os.path.join(folder, "port.new"), "w", encoding="ascii") as port_file:
    port_file.write(str(server.server_address[1]))
os.rename(os.path.join(folder, "port.new"), os.path.join(folder, "port"))
sys.stdin.read()
leaving.set()
