"""Reports and evidence as bytes, for whoever needs some that are not in the corpus: signed with the key beside this file, whose
VCEK certificates.sh made. Signatures have the nonces of RFC 6979, so the same content is the same bytes.

Deliberately shares no code with cvmin: offsets are typed from AMD 56860, CBOR and ECDSA are written out here."""
import hashlib
import hmac
import os

HERE = os.path.dirname(os.path.abspath(__file__))

# ---- ECDSA on P-384 (FIPS 186-5), nonces of RFC 6979 --------------------------------------------------------------------

P = 2**384 - 2**128 - 2**96 + 2**32 - 1
N = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973
G = (
    0xAA87CA22BE8B05378EB1C71EF320AD746E1D3B628BA79B9859F741E082542A385502F25DBF55296C3A545E3872760AB7,
    0x3617DE4A96262C6F5D9E98BF9292DC29F8F41DBD289A147CE9DA3113B5F0B8C00A60B1CE1D7E819D7A431D7C90EA0E5F,
)


def add(a, b, p=P):
    """On any curve over p with a = -3, which all of NIST's are."""
    if a is None or b is None:
        return b if a is None else a
    if a[0] == b[0]:
        if (a[1] + b[1]) % p == 0:
            return None
        slope = (3 * a[0] * a[0] - 3) * pow(2 * a[1], -1, p) % p
    else:
        slope = (b[1] - a[1]) * pow(b[0] - a[0], -1, p) % p
    x = (slope * slope - a[0] - b[0]) % p
    return x, (slope * (a[0] - x) - a[1]) % p


def multiply(k, point=G, p=P):
    out = None
    while k:
        if k & 1:
            out = add(out, point, p)
        point, k = add(point, point, p), k >> 1
    return out


def private_key():
    """d of a SEC1 ECPrivateKey in DER: SEQUENCE, version 1, OCTET STRING of 48 bytes."""
    der = open(os.path.join(HERE, "certificates", "vek-key.der"), "rb").read()
    at = der.index(b"\x02\x01\x01\x04\x30") + 5
    return int.from_bytes(der[at : at + 48], "big")


D = private_key()


def sign(message):
    digest = hashlib.sha384(message).digest()
    e = int.from_bytes(digest, "big")
    seed = D.to_bytes(48, "big") + (e % N).to_bytes(48, "big")
    key, value = bytes(48), b"\x01" * 48
    for byte in (b"\x00", b"\x01"):
        key = hmac.digest(key, value + byte + seed, "sha384")
        value = hmac.digest(key, value, "sha384")
    while True:
        value = hmac.digest(key, value, "sha384")
        k = int.from_bytes(value, "big")
        if 0 < k < N:
            r = multiply(k)[0] % N
            s = pow(k, -1, N) * (e + r * D) % N
            if r and s:
                return r, s
        key = hmac.digest(key, value + b"\x00", "sha384")
        value = hmac.digest(key, value, "sha384")


# ---- the report: AMD 56860, table ATTESTATION_REPORT --------------------------------------------------------------------

FIELDS = {  # name: offset, size
    "version": (0x000, 4), "guest_svn": (0x004, 4), "policy": (0x008, 8), "family_id": (0x010, 16),
    "image_id": (0x020, 16), "vmpl": (0x030, 4), "signature_algo": (0x034, 4), "current_tcb": (0x038, 8),
    "platform_info": (0x040, 8), "key_info": (0x048, 4), "reserved_04c": (0x04C, 4), "report_data": (0x050, 64),
    "measurement": (0x090, 48), "host_data": (0x0C0, 32), "id_key_digest": (0x0E0, 48),
    "author_key_digest": (0x110, 48), "report_id": (0x140, 32), "report_id_ma": (0x160, 32),
    "reported_tcb": (0x180, 8), "cpuid_family": (0x188, 1), "cpuid_model": (0x189, 1), "cpuid_stepping": (0x18A, 1),
    "reserved_18b": (0x18B, 21), "chip_id": (0x1A0, 64), "committed_tcb": (0x1E0, 8), "current_build": (0x1E8, 1),
    "current_minor": (0x1E9, 1), "current_major": (0x1EA, 1), "reserved_1eb": (0x1EB, 1),
    "committed_build": (0x1EC, 1), "committed_minor": (0x1ED, 1), "committed_major": (0x1EE, 1),
    "reserved_1ef": (0x1EF, 1), "launch_tcb": (0x1F0, 8), "launch_mit_vector": (0x1F8, 8),
    "current_mit_vector": (0x200, 8), "reserved_208": (0x208, 152), "signature_r": (0x2A0, 72),
    "signature_s": (0x2E8, 72), "reserved_330": (0x330, 368),
}  # fmt: skip
SIGNED = 0x2A0
COMPONENTS = {  # byte of a TCB_VERSION
    "Milan": {"boot_loader": 0, "tee": 1, "snp": 6, "microcode": 7},
    "Genoa": {"boot_loader": 0, "tee": 1, "snp": 6, "microcode": 7},
    "Turin": {"fmc": 0, "boot_loader": 1, "tee": 2, "snp": 3, "microcode": 7},
}
LEVELS = {
    "Milan": {"boot_loader": 4, "tee": 2, "snp": 24, "microcode": 219},
    "Genoa": {"boot_loader": 10, "tee": 3, "snp": 25, "microcode": 84},
    "Turin": {"fmc": 3, "boot_loader": 1, "tee": 2, "snp": 4, "microcode": 71},
}
CPUID = {"Milan": (0x19, 0x01, 1), "Genoa": (0x19, 0x11, 1), "Turin": (0x1A, 0x02, 1)}
KINDS = ("reported", "committed", "launch", "current")
CHIP = bytes(range(1, 65))
REPORT_DATA = bytes(range(0x40, 0x80))
MEASUREMENT = b"\xaa" * 48


def tcb(product, **changes):
    raw = bytearray(8)
    for component, level in {**LEVELS[product], **changes}.items():
        raw[COMPONENTS[product][component]] = level
    return bytes(raw)


def number(raw, name):
    at, size = FIELDS[name]
    return int.from_bytes(raw[at : at + size], "little")


def put(raw, name, value):
    at, size = FIELDS[name]
    raw[at : at + size] = value.to_bytes(size, "little") if isinstance(value, int) else value.ljust(size, b"\0")
    assert len(raw) == 1184


def base_report(product):
    raw = bytearray(1184)
    for name, value in {
        "version": 5, "guest_svn": 7, "policy": 0x30000, "family_id": b"\xf1" * 16, "image_id": b"\x1d" * 16,
        "signature_algo": 1, "platform_info": 0x25, "key_info": 1, "report_data": REPORT_DATA,
        "measurement": MEASUREMENT, "host_data": b"\x0d" * 32, "id_key_digest": b"\x1c" * 48,
        "author_key_digest": b"\xac" * 48, "report_id": b"\x2e" * 32, "report_id_ma": b"\xff" * 32,
        "chip_id": CHIP if product != "Turin" else CHIP[:8], "launch_mit_vector": 3, "current_mit_vector": 3,
    }.items():  # fmt: skip
        put(raw, name, value)
    for kind in KINDS:
        put(raw, kind + "_tcb", tcb(product))
    for name, value in zip(("family", "model", "stepping"), CPUID[product]):
        put(raw, "cpuid_" + name, value)
    for which in ("current", "committed"):
        for part, value in (("major", 1), ("minor", 55), ("build", 43)):
            put(raw, f"{which}_{part}", value)
    return raw


def signed(raw):
    r, s = sign(bytes(raw[:SIGNED]))
    put(raw, "signature_r", r)
    put(raw, "signature_s", s)
    return raw


# ---- evidence: protocol.cddl, RFC 8949 ----------------------------------------------------------------------------------


def head(major, value):
    for size, info in ((0, None), (1, 24), (2, 25), (4, 26)):
        if size == 0 and value < 24:
            return bytes([major << 5 | value])
        if size and value < 256**size:
            return bytes([major << 5 | info]) + value.to_bytes(size, "big")
    raise ValueError(value)


def cbor(value):
    if value is None:
        return b"\xf6"
    if isinstance(value, int):
        return head(0, value) if value >= 0 else head(1, -1 - value)
    if isinstance(value, str):
        return head(3, len(value.encode())) + value.encode()
    if isinstance(value, bytes):
        return head(2, len(value)) + value
    if isinstance(value, list):
        return head(4, len(value)) + b"".join(map(cbor, value))
    return head(5, len(value)) + b"".join(k + v for k, v in sorted((cbor(k), cbor(v)) for k, v in value.items()))


NONCE, EXPORTER, KEY = b"\x5a" * 32, b"\x33" * 32, (b"\x11" * 48, b"\x22" * 48)


def claims(**changes):
    values = {"nonce": NONCE, "exporter": EXPORTER, "manifest": None, "runtime": None, "ak": None, **changes}
    return cbor({
        8: {1: {1: 2, -1: 2, -2: KEY[0], -3: KEY[1]}}, 10: values["nonce"], 265: "tag:cvmin,2026:1",
        -70001: values["exporter"], -70002: values["runtime"], -70003: values["manifest"], -70004: values["ak"],
    })  # fmt: skip


def table(vek, ask):
    entries = [("63da758d-e664-4564-adc5-f4b93be8accd", vek), ("4ab7b379-bbac-4fe4-a02f-05aef327c782", ask)]
    at, out, body = 24 * (len(entries) + 1), b"", b""
    for name, data in entries:
        out += bytes.fromhex(name.replace("-", "")) + (at + len(body)).to_bytes(4, "little") + len(data).to_bytes(4, "little")
        body += data
    return out + bytes(24) + body


def evidence(report, claim_bytes, certificates):
    return cbor({
        "__cmwc_t": "tag:cvmin,2026:evidence",
        "claims": ["application/eat-ucs+cbor", claim_bytes, 4],
        "snp-report": ["application/vnd.amd.sev-snp.attestation-report", bytes(report), 4],
        "certificates": ["application/vnd.amd.ghcb.guid-table", certificates, 4],
    })  # fmt: skip
