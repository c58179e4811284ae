"""Takes evidence apart for tests/vm/measured_boot.sh, with code of its own: a CBOR reader, IMA's list and its replay, the
chain of the runtime log.

    evidence.py split EVIDENCE DIRECTORY   one file for each member and each part of the quote; values.json: what they say
"""
import hashlib
import json
import pathlib
import sys


def read(data, at=0):
    kind, extra = data[at] >> 5, data[at] & 31
    at += 1
    if extra >= 24:
        size = 1 << (extra - 24)
        extra = int.from_bytes(data[at:at + size], "big")
        at += size
    if kind == 0:
        return extra, at
    if kind == 1:
        return -1 - extra, at
    if kind in (2, 3):
        value = data[at:at + extra]
        assert len(value) == extra
        return (value if kind == 2 else value.decode()), at + extra
    if kind == 4:
        out = []
        for _ in range(extra):
            value, at = read(data, at)
            out.append(value)
        return out, at
    if kind == 5:
        out = {}
        for _ in range(extra):
            key, at = read(data, at)
            out[key], at = read(data, at)
        return out, at
    return {20: False, 21: True, 22: None}[extra], at


def whole(data):
    value, end = read(data)
    assert end == len(data)
    return value


def extend(pcr, digest, algorithm):
    return hashlib.new(algorithm, pcr + digest).digest()


def ima_entries(data):
    """Template ima-ng: PCR, digest of the template in SHA-1, name, then digest and path of the file with their sizes."""
    at = 0
    while at < len(data):
        pcr = int.from_bytes(data[at:at + 4], "little")
        at += 24
        size = int.from_bytes(data[at:at + 4], "little")
        assert data[at + 4:at + 4 + size] == b"ima-ng"
        at += 4 + size
        size = int.from_bytes(data[at:at + 4], "little")
        template = data[at + 4:at + 4 + size]
        assert len(template) == size
        at += 4 + size
        size = int.from_bytes(template[:4], "little")
        algorithm, digest = template[4:4 + size].split(b":\0", 1)
        rest = template[4 + size:]
        path = rest[4:].rstrip(b"\0").decode()
        yield pcr, algorithm.decode(), digest, path, template


def main():
    evidence = whole(pathlib.Path(sys.argv[2]).read_bytes())
    out = pathlib.Path(sys.argv[3])
    out.mkdir(parents=True, exist_ok=True)
    members = {name: value[1] for name, value in evidence.items() if isinstance(value, list)}
    for name, data in members.items():
        (out / name).write_bytes(data)
    values = {"members": sorted(members), "qualifying": hashlib.sha256(members["claims"]).hexdigest()}
    claims = whole(members["claims"])
    values["ak_claim"] = claims[-70004].hex() if claims[-70004] else None
    values["log_head_claim"] = claims[-70002].hex()
    if "tpm" in members:
        quote = whole(members["tpm"])
        names = {1: "attest", 2: "signature", 3: "ak", 4: "ek", 6: "ek_certificate"}
        for number, name in names.items():
            (out / name).write_bytes(quote[number])
        values["ak"] = hashlib.sha256(quote[3]).hexdigest()
        bank, pcrs = next(iter(quote[5].items()))
        values["bank"] = bank
        values["pcrs"] = {str(index): digest.hex() for index, digest in pcrs.items()}
    if "ima-log" in members:
        pcr, values["ima"] = bytes(32), []
        for index, algorithm, digest, path, template in ima_entries(members["ima-log"]):
            assert index == 10
            pcr = extend(pcr, hashlib.sha256(template).digest(), "sha256")
            values["ima"].append({"path": path, "algorithm": algorithm, "digest": digest.hex()})
        values["ima_pcr"] = pcr.hex()
    head, mirror = bytes(48), bytes(32)
    for record in whole(members["runtime-log"]):
        content = record[10]
        digests = {entry[0]: entry[1] for entry in record[3]}
        head, mirror = extend(head, digests[12], "sha384"), extend(mirror, digests[11], "sha256")
    values["log_head"], values["log_pcr"] = head.hex(), mirror.hex()
    (out / "values.json").write_text(json.dumps(values, indent=1))


main()
