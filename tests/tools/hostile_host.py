#!/usr/bin/env python3
"""A host between a party and its CVM: it sees TLS records and may do with them what it likes.

  hostile_host.py relay HOST:PORT FILE   passes connections on; what the party sent is kept in FILE. A file FILE.do, if it is there when a
                                         connection begins, says what is done to one of its records: drop, double, swap, flip, cut
  hostile_host.py replay HOST:PORT FILE  sends what was kept, in one go; prints how many application records came back
"""
import os
import socket
import sys
import threading

APPLICATION_DATA = 23
LARGE = 10000  # a record of an upload; what comes before it is smaller
SECOND = 2  # which of those something is done to


def address_of(text):
    host, port = text.rsplit(":", 1)
    return host, int(port)


def whole(sock, size):
    data = b""
    while len(data) < size:
        piece = sock.recv(size - len(data))
        if not piece:
            raise EOFError
        data += piece
    return data


def records(sock):
    while True:
        head = whole(sock, 5)
        yield head + whole(sock, int.from_bytes(head[3:], "big"))


def pass_on(party, agent, kept, action):
    large, held = 0, b""
    try:
        for record in records(party):
            kept.write(record)
            kept.flush()
            large += record[0] == APPLICATION_DATA and len(record) > LARGE
            if large == SECOND and action:
                done, action = action, None
                if done == "drop":
                    continue
                if done == "cut":
                    agent.sendall(record[: len(record) // 2])
                    break
                if done == "swap":
                    held = record
                    continue
                if done == "double":
                    record += record
                if done == "flip":
                    record = record[:-1] + bytes([record[-1] ^ 1])
            agent.sendall(record + held)
            held = b""
    except (EOFError, OSError):
        pass
    for end in (party, agent):
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def pass_back(agent, party):
    try:
        while piece := agent.recv(1 << 16):
            party.sendall(piece)
        party.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass


def relay(target, path):
    server = socket.create_server(("127.0.0.1", 0))
    print("127.0.0.1:%d" % server.getsockname()[1], flush=True)
    with open(path, "ab") as kept:
        while True:
            party, _ = server.accept()
            action = None
            if os.path.exists(path + ".do"):
                with open(path + ".do") as file:
                    action = file.read().strip()
            agent = socket.create_connection(address_of(target))
            threading.Thread(target=pass_on, args=(party, agent, kept, action), daemon=True).start()
            threading.Thread(target=pass_back, args=(agent, party), daemon=True).start()


def replay(target, path):
    with open(path, "rb") as file:
        data = file.read()
    with socket.create_connection(address_of(target)) as sock:
        sock.settimeout(20)  # beyond the agent's time for a handshake
        try:
            sock.sendall(data)
        except OSError:
            pass  # it has closed already
        answer = b""
        try:
            while piece := sock.recv(1 << 16):
                answer += piece
        except ConnectionError:
            pass
    # before it has seen that the other end does not know this connection's keys the agent sends its part of a handshake
    kinds = []
    while len(answer) >= 5:
        kinds.append(answer[0])
        answer = answer[5 + int.from_bytes(answer[3:5], "big") :]
    print(len(data), "bytes sent,", len(kinds), "records came back,", "handshake" if 22 in kinds else "no handshake")


{"relay": relay, "replay": replay}[sys.argv[1]](sys.argv[2], sys.argv[3])
