#!/usr/bin/env python3
"""Makes the negative corpus: reports, evidence and index.json, out of the certificates and the key beside it
(certificates.sh makes those). Always the same bytes: signatures have the nonces of RFC 6979.

Deliberately shares no code with cvmin: parts.py has the formats, typed from their specifications, and what an entry expects
is what docs/appraisal.md says and not what cvmin answered.

    make.py            writes the files anew
    make.py --check    compares them with what would be written
"""
import copy
import hashlib
import json
import os
import sys

sys.dont_write_bytecode = True
from parts import (
    CHIP, CPUID, EXPORTER, FIELDS, HERE, KEY, KINDS, LEVELS, MEASUREMENT, N, NONCE, REPORT_DATA, base_report, cbor, claims,
    evidence, head, multiply, number, put, sign, signed, table, tcb,
)  # fmt: skip

# ---- what an entry says -------------------------------------------------------------------------------------------------

TIME = "2026-06-01T12:00:00Z"
EMULATED = "../../../policies/emulated.json"

BY_TCB = ["snp.tcb.certificate"] + [f"snp.tcb.minimum.{kind}" for kind in KINDS]
BY_VEK = BY_TCB + ["snp.advisories", "snp.chip_id", "snp.chip_id.allowed", "snp.csp_id"]
NO_VEK = ["snp.signature", "snp.product"] + BY_VEK  # the certificate says nothing that can be read
NO_CERTIFICATE = ["snp.revocation", "snp.signing_key"] + NO_VEK
MINIMA = [f"snp.tcb.minimum.{kind}" for kind in KINDS]
GUEST = "debug migration_agent smt single_socket cxl aes_256_xts rapl_disabled ciphertext_hiding page_swap_disabled abi"
PLATFORM = "smt tsme ecc rapl_disabled ciphertext_hiding alias_check_complete tio"
NO_REPORT = (
    ["snp.version", "snp.chain", "binding.report_data", "snp.mitigation.launch", "snp.mitigation.current",
     "snp.provisional_firmware", "snp.measurement", "snp.host_data", "snp.report_id", "snp.report_id_ma", "snp.vmpl",
     "snp.unknown_bits", "snp.family_id", "snp.image_id", "snp.guest_svn", "snp.id_key_digest", "snp.author_key_digest"]
    + NO_CERTIFICATE
    + [f"snp.policy.{bit}" for bit in GUEST.split()]
    + [f"snp.platform_info.{bit}" for bit in PLATFORM.split()]
)  # fmt: skip

files, entries = {}, []


def merged(*patches):
    out = {}
    for patch in patches:
        for key, value in patch.items():
            out[key] = merged(out.get(key) or {}, value) if isinstance(value, dict) else copy.deepcopy(value)
    return out


def only(product):
    """Changes that make policies/emulated.json one for this product."""
    if product == "Genoa":
        return {}
    levels = {kind: dict(LEVELS[product]) for kind in KINDS}
    return {"product": [product], "minimum_tcb": {"Genoa": None, product: levels}}


def entry(name, what, expected, changes=None, not_made=(), **members):
    """Writes it down. `changes`: of the policy, as a JSON merge patch (RFC 7396)."""
    given = {
        "policy": EMULATED, "trust_emulated": "certificates/ark.der", "ask": "certificates/ask.der", "time": TIME,
        "measurement": [MEASUREMENT.hex()],
    }  # fmt: skip
    given.update(members)
    genuine = given.pop("genuine")
    assert name not in [e["name"] for e in entries], name
    entries.append({
        "name": name, "what": what, **{key: value for key, value in given.items() if value is not None},
        "policy_changes": changes or {}, "accepted": not expected, "genuine": genuine,
        "failed": sorted(expected), "not_made": sorted(not_made),
    })  # fmt: skip


NOT_GENUINE = {
    "snp.format", "snp.chain", "snp.revocation", "snp.signature", "snp.tcb.certificate", "snp.chip_id", "snp.product",
    "snp.signing_key",
}  # fmt: skip


def report(name, what, expected, fields=None, after=None, product="Genoa", **members):
    """A report that is signed with these fields, and changed by `after` when it has been."""
    raw = base_report(product)
    for field, value in (fields or {}).items():
        put(raw, field, value(number(raw, field)) if callable(value) else value)
    raw = signed(raw)
    if after:
        raw = after(raw)
    data = bytes(raw)
    path = next((path for path, old in files.items() if old == data and path.startswith("reports/")), None)
    if path is None:
        path = f"reports/{name}.bin"
        files[path] = data
    members.setdefault("vek", f"certificates/vcek-{product.lower()}.der")
    members.setdefault("report_data", REPORT_DATA.hex())
    members.setdefault("genuine", "no" if NOT_GENUINE & set(expected) else "emulated")
    members["changes"] = merged(only(product), members.get("changes") or {})
    entry(name, what, expected, report=path, **members)


def at(offset, value):
    def change(raw):
        raw[offset] = value if value is not None else 0
        return raw
    return change


def flip(offset, bit=0):
    def change(raw):
        raw[offset] ^= 1 << bit
        return raw
    return change


def put_after(**values):
    def change(raw):
        for name, value in values.items():
            put(raw, name, value)
        return raw
    return change


def bit(n):
    return lambda value: value | 1 << n


def without(n):
    return lambda value: value & ~(1 << n)


def file_of(path):
    return open(os.path.join(HERE, path), "rb").read()


# ---- what is accepted: every other entry differs from one of these by what it is named after ----------------------------

report("good-genoa", "accepted: Genoa, version 5", [])
report("good-milan", "accepted: Milan, version 5", [], product="Milan")
report("good-turin", "accepted: Turin, with an FMC level and 8 bytes of HWID", [], product="Turin")
NO_MITIGATIONS = {"launch_mit_vector": 0, "current_mit_vector": 0}
V2 = {"version": 2, "cpuid_family": 0, "cpuid_model": 0, "cpuid_stepping": 0, **NO_MITIGATIONS}
report("good-version-2", "accepted: version 2, without CPUID bytes", [], V2, changes={"report_versions": [2]})
report("good-version-3", "accepted: version 3, without mitigation vectors", [], {"version": 3, **NO_MITIGATIONS},
       changes={"report_versions": [3]})
VLEK = {"key_info": 1 | 1 << 2, "chip_id": b""}
VLEK_POLICY = {"signing_key": ["vlek"], "csp_id": ["CN=cloud.example"], "masked_chip_id": True}
report("good-vlek", "accepted: Milan, VLEK of a named provider, no CHIP_ID", [], VLEK, product="Milan",
       vek="certificates/vlek-milan.der", changes=VLEK_POLICY)
report("good-crl", "accepted: with a revocation list that does not name the chain", [], crl="certificates/crl-good.der",
       changes={"revocation": "required"})

# ---- one bit of each field, after signing -------------------------------------------------------------------------------

FLIPS = {  # field: bit, checks beside snp.signature, changes of the policy, checks that cannot be made
    "version": (31, ["snp.version"]), "policy": (0, []), "vmpl": (0, ["snp.vmpl"]), "platform_info": (1, []),
    "key_info": (0, []), "current_tcb": (57, []), "reported_tcb": (57, ["snp.tcb.certificate"]),
    "committed_tcb": (57, []), "launch_tcb": (57, []), "reserved_04c": (0, ["snp.unknown_bits"]),
    "reserved_18b": (0, ["snp.unknown_bits"]), "reserved_1eb": (0, ["snp.unknown_bits"]),
    "reserved_1ef": (0, ["snp.unknown_bits"]), "reserved_208": (1215, ["snp.unknown_bits"]),
    "report_data": (511, ["binding.report_data"]), "measurement": (383, ["snp.measurement"]),
    "chip_id": (511, ["snp.chip_id"]), "cpuid_family": (1, ["snp.product"]), "cpuid_model": (4, ["snp.product"]),
}  # fmt: skip
for field, (offset, size) in FIELDS.items():
    if field in ("signature_algo", "reserved_330"):
        continue  # below: not a report that can be read; not covered by the signature
    index, also = FLIPS.get(field, (0, []))
    report(f"flip-{field.replace('_', '-')}", f"bit {index} of {field} flipped after signing",
           ["snp.signature", *also], after=flip(offset + index // 8, index % 8))
report("flip-signature-algo", "bit 1 of signature_algo flipped after signing", ["snp.format"],
       after=flip(0x34, 1), not_made=NO_REPORT)
report("flip-reserved-330", "bit 0 of reserved_330 set: outside of what is signed", ["snp.unknown_bits"],
       after=flip(0x330))
report("flip-reserved-330-last", "the last bit of the report set: outside of what is signed", ["snp.unknown_bits"],
       after=flip(0x49F, 7))

# ---- form ---------------------------------------------------------------------------------------------------------------

report("all-zero", "1184 zero bytes", ["snp.format"], after=lambda raw: bytes(1184), not_made=NO_REPORT)
report("all-ones", "1184 bytes 0xff", ["snp.format"], after=lambda raw: b"\xff" * 1184, not_made=NO_REPORT)
report("empty", "no bytes", ["snp.format"], after=lambda raw: b"", not_made=NO_REPORT)
report("truncated", "the last byte is missing", ["snp.format"], after=lambda raw: raw[:-1], not_made=NO_REPORT)
report("truncated-signature", "cut off behind r and s", ["snp.format"], after=lambda raw: raw[:0x330],
       not_made=NO_REPORT)
report("trailing", "one zero byte behind the report", ["snp.format"], after=lambda raw: raw + b"\0", not_made=NO_REPORT)
report("twice", "the report twice in a row", ["snp.format"], after=lambda raw: raw + raw, not_made=NO_REPORT)
report("shifted", "behind the 32 bytes that SNP_GUEST_REQUEST puts before a report", ["snp.format"],
       after=lambda raw: (b"\0\0\0\0\xa0\x04\0\0").ljust(32, b"\0") + raw, not_made=NO_REPORT)
report("algorithm-0", "signature algorithm 0, signed", ["snp.format"], {"signature_algo": 0}, not_made=NO_REPORT)
report("algorithm-2", "signature algorithm 2, signed", ["snp.format"], {"signature_algo": 2}, not_made=NO_REPORT)

# ---- versions -----------------------------------------------------------------------------------------------------------

for version in (0, 1, 6, 0xFFFFFFFF):
    known = version >= 3  # of smaller ones the CPUID bytes and mitigation vectors are no fields
    report(f"version-{version}", f"version {version}, which nobody has described", ["snp.version"],
           {"version": version, **({} if known else {**V2, "version": version})})
report("version-2-not-taken", "version 2, where the policy takes 5", ["snp.version"], V2)
report("version-4-not-taken", "version 4, where the policy takes 5", ["snp.version"], {"version": 4, **NO_MITIGATIONS})
report("version-2-with-cpuid", "version 2 with the CPUID bytes of version 3", ["snp.unknown_bits"],
       {"version": 2, **NO_MITIGATIONS}, changes={"report_versions": [2]})
report("version-2-as-3", "version 2 that claims to be 3: no CPUID bytes", ["snp.product"], {**V2, "version": 3},
       changes={"report_versions": [3]})
report("version-2-as-5", "version 2 that claims to be 5: no CPUID bytes", ["snp.product"], {**V2, "version": 5})
report("version-5-as-3", "version 5 that claims to be 3: mitigation vectors are there", ["snp.unknown_bits"],
       {"version": 3}, changes={"report_versions": [3]})
report("version-5-as-2", "version 5 that claims to be 2: CPUID bytes and mitigation vectors are there",
       ["snp.unknown_bits"], {"version": 2}, changes={"report_versions": [2]})
report("version-3-page-swap", "version 3 with the page swap bit of version 5", ["snp.unknown_bits"],
       {"version": 3, "policy": bit(25), **NO_MITIGATIONS}, changes={"report_versions": [3]})
report("version-3-without-mitigations", "version 3, where the policy demands a mitigation", ["snp.mitigation.launch"],
       {"version": 3, **NO_MITIGATIONS},
       changes={"report_versions": [3], "mitigation_vector": {"launch": "0x0000000000000001"}})

# ---- signature ----------------------------------------------------------------------------------------------------------

for part, offset in (("r", 0x2A0), ("s", 0x2E8)):
    name, field = part.upper(), f"signature_{part}"
    report(f"{part}-zero", f"{name} is 0", ["snp.signature"], after=put_after(**{field: 0}))
    report(f"{part}-one", f"{name} is 1", ["snp.signature"], after=put_after(**{field: 1}))
    report(f"{part}-order", f"{name} is n", ["snp.signature"], after=put_after(**{field: N}))
    report(f"{part}-order-minus-1", f"{name} is n - 1", ["snp.signature"], after=put_after(**{field: N - 1}))
    report(f"{part}-all-ones", f"48 bytes of {name} are 0xff", ["snp.signature"],
           after=put_after(**{field: 2**384 - 1}))
    report(f"{part}-byte-48", f"byte 48 of {name} is set: another encoding", ["snp.signature"], after=at(offset + 48, 1))
    report(f"{part}-byte-71", f"byte 71 of {name} is set: another encoding", ["snp.signature"],
           after=at(offset + 71, 0x80))
    report(f"{part}-plus-order", f"{name} + n: the same signature for whoever reduces it", ["snp.signature"],
           after=lambda raw, field=field: put_after(**{field: number(raw, field) + N})(raw))
    report(f"{part}-big-endian", f"{name} with its 48 bytes in the other order", ["snp.signature"],
           after=lambda raw, o=offset: raw[:o] + raw[o : o + 48][::-1] + raw[o + 48 :])
report("signature-swapped", "R and S changed places", ["snp.signature"],
       after=lambda raw: put_after(signature_r=number(raw, "signature_s"), signature_s=number(raw, "signature_r"))(raw))
report("signature-zero", "R and S are 0", ["snp.signature"], after=put_after(signature_r=0, signature_s=0))
report("signature-over-all", "signed over the whole report", ["snp.signature"],
       after=lambda raw: put_after(**dict(zip(("signature_r", "signature_s"), sign(bytes(raw)))))(raw))
report("signature-over-header", "signed over the fields of version 2 only", ["snp.signature"],
       after=lambda raw: put_after(**dict(zip(("signature_r", "signature_s"), sign(bytes(raw[:0x1F8])))))(raw))

# ---- certificate --------------------------------------------------------------------------------------------------------

report("no-certificate", "no certificate at all", ["snp.chain"], vek=None, not_made=NO_CERTIFICATE)
for name, what in {
    "expired": "ended before the time of the appraisal", "not-yet-valid": "begins after it",
    "by-other-ask": "signed by another key under the ASK's name", "pkcs1": "signed with PKCS#1 v1.5",
    "salt-32": "signed with a salt of 32 bytes", "sha256": "signed with SHA-256",
    "authority": "says that it is an authority itself",
}.items():  # fmt: skip
    report(f"vcek-{name}", f"VCEK that {what}" if not what.startswith(("signed",)) else f"VCEK {what}",
           ["snp.chain"], vek=f"certificates/vcek-{name}.der")
report("vcek-swapped", "VCEK of another chip: other key, other HWID", ["snp.signature"],
       vek="certificates/vcek-other-key.der")
report("vcek-other-chip", "VCEK with the HWID of another chip", ["snp.chip_id"], vek="certificates/vcek-other-chip.der")
for name, what in {
    "p256": "for a P-256 key", "and-vlek": "with HWID and CSP_ID", "unknown-product": "of a Venice",
    "product-in-another-case": "of a genoa", "structure-2": "of structure version 2", "no-snp-level": "without SNP SPL",
    "no-product": "without a product", "no-chip": "without HWID", "level-281": "with an SPL of 281",
    "level-negative": "with a negative SPL", "no-extensions": "without AMD's extensions",
    "genoa-short-chip": "of a Genoa with a HWID of 8 bytes",
}.items():  # fmt: skip
    report(f"vcek-{name}", f"VCEK {what}", ["snp.signing_key"], vek=f"certificates/vcek-{name}.der", not_made=NO_VEK)
for name, what in {"long-chip": "with a HWID of 64 bytes", "no-fmc": "without FMC SPL"}.items():
    report(f"vcek-turin-{name}", f"VCEK of a Turin {what}", ["snp.signing_key"], product="Turin",
           vek=f"certificates/vcek-turin-{name}.der", not_made=NO_VEK)
report("vcek-is-ask", "the ASK in the place of the VCEK", ["snp.chain", "snp.signing_key"], vek="certificates/ask.der",
       not_made=NO_VEK)
report("vcek-for-vlek", "signed with a VCEK, but the report says VLEK", ["snp.signing_key"],
       {"key_info": 1 | 1 << 2})
report("vlek-for-vcek", "signed with a VLEK, but the report says VCEK", ["snp.signing_key"], {"chip_id": b""},
       product="Milan", vek="certificates/vlek-milan.der", changes=VLEK_POLICY)
report("vlek-not-taken", "VLEK, where the policy takes VCEKs", ["snp.signing_key"], VLEK, product="Milan",
       vek="certificates/vlek-milan.der", changes={**VLEK_POLICY, "signing_key": ["vcek"]}, genuine="emulated")
report("vlek-of-another-provider", "VLEK of another provider", ["snp.csp_id"], VLEK, product="Milan",
       vek="certificates/vlek-milan.der", changes={**VLEK_POLICY, "csp_id": ["CN=other.example"]})
report("vcek-with-provider-demanded", "VCEK, where the policy demands a provider", ["snp.csp_id"],
       changes={"csp_id": ["CN=cloud.example"]})
for value, what in ((7, "none"), (2, "2, which is no key"), (6, "6, which is no key")):
    report(f"signing-key-{value}", f"SIGNING_KEY says {what}", ["snp.signing_key"], {"key_info": 1 | value << 2})
report("masked-key", "MASK_CHIP_KEY is set: no VCEK signs", ["snp.signing_key"], {"key_info": 1 | 2})

# ---- chain and roots ----------------------------------------------------------------------------------------------------

report("emulated-root-untrusted", "a good report whose root nobody named", ["snp.chain"], trust_emulated=None)
report("root-same-name", "another root of the same name is trusted", ["snp.chain"],
       trust_emulated="certificates/ark-same-name.der")
report("root-given-is-another", "the given root is not the one of the chain", ["snp.chain"],
       ark="certificates/ark-same-name.der")
report("root-is-given-only", "a root that is given is not thereby trusted", ["snp.chain"], trust_emulated=None,
       ark="certificates/ark.der")
report("ask-missing", "no intermediate", ["snp.chain"], ask=None)
report("ask-expired", "the ASK ended before the time of the appraisal", ["snp.chain"],
       ask="certificates/ask-expired.der")
report("ask-not-authority", "the ASK is no authority", ["snp.chain"], ask="certificates/ask-not-authority.der")
report("ask-by-other-root", "the ASK is signed by another root of the same name", ["snp.chain"],
       ask="certificates/ask-by-other-root.der")
report("ask-same-name", "another ASK of the same name, with a key that signed nothing", ["snp.chain"],
       ask="certificates/ask-same-name.der")
report("ask-is-ark", "the root in the place of the ASK", ["snp.chain"], ask="certificates/ark.der")
report("before-validity", "the whole chain begins after the time of the appraisal", ["snp.chain"],
       time="2024-12-31T23:59:59Z")
report("after-validity", "the whole chain ended before the time of the appraisal", ["snp.chain"],
       time="2045-01-01T00:00:01Z")
MILAN_REAL = {"product": ["Milan"], "minimum_tcb": only("Milan")["minimum_tcb"]}
for name, what, kind in (
    ("vcek-milan", "a whole chain under AMD's names", "vcek"), ("vlek-milan", "the same with a VLEK", "vlek"),
    ("vlek-under-ask", "a VLEK under the ASK's name", "vlek"), ("vcek-under-asvk", "a VCEK under the ASVK's name", "vcek"),
):  # fmt: skip
    vlek = kind == "vlek"
    given = "asvk" if name in ("vlek-milan", "vcek-under-asvk") else "ask"
    # the name of AMD's other intermediate stands above it: that the kinds differ is seen too, once the chain holds
    report(f"forged-{name}", f"forged: {what}, untrusted root", ["snp.chain"], VLEK if vlek else {}, product="Milan",
           vek=f"certificates/forged-{name}.der", ask=f"certificates/forged-{given}-milan.der",
           ark="certificates/forged-ark-milan.der", trust_emulated=None, changes=VLEK_POLICY if vlek else {})

# ---- revocation ---------------------------------------------------------------------------------------------------------

REQUIRED = {"revocation": "required"}
report("crl-missing", "no revocation list, where the policy demands one", ["snp.revocation"], changes=REQUIRED)
for name, what in {
    "revokes-ask": "names the ASK", "revokes-ark": "names the ARK", "outdated": "has ended",
    "not-yet-valid": "has not begun", "other-key": "is signed by another key", "other-issuer": "is another root's",
}.items():  # fmt: skip
    report(f"crl-{name}", f"the revocation list {what}", ["snp.revocation"], crl=f"certificates/crl-{name}.der",
           changes=REQUIRED)
report("crl-too-old", "the revocation list is older than the policy allows", ["snp.revocation"],
       crl="certificates/crl-good.der", changes={"revocation": {"maximum_age_days": 30}})
report("crl-revokes-ask-unasked", "the relying party's own list counts without the policy, too", ["snp.revocation"],
       crl="certificates/crl-revokes-ask.der")

# ---- product ------------------------------------------------------------------------------------------------------------

report("product-not-taken", "Genoa, where the policy takes Milan", ["snp.product"], changes=only("Milan"),
       not_made=MINIMA, genuine="emulated")
report("product-milan-cpuid", "CPUID of a Milan with the VCEK of a Genoa", ["snp.product"], {"cpuid_model": 0x01})
report("product-turin-cpuid", "CPUID of a Turin with the VCEK of a Genoa", ["snp.product"],
       {"cpuid_family": 0x1A, "cpuid_model": 0x02})
report("product-unknown-cpuid", "CPUID of no known product", ["snp.product"], {"cpuid_family": 0x1B})
report("product-venice-cpuid", "CPUID of a product without published roots", ["snp.product"],
       {"cpuid_family": 0x1A, "cpuid_model": 0x50})
report("product-between", "CPUID between Genoa's ranges", ["snp.product"], {"cpuid_model": 0x20})
report("product-behind", "CPUID just behind Genoa's last range", ["snp.product"], {"cpuid_model": 0xB0})

# ---- TCB ----------------------------------------------------------------------------------------------------------------

for product in ("Milan", "Genoa", "Turin"):
    for component, level in LEVELS[product].items():
        for kind in KINDS:
            floors = {"minimum_tcb": {product: {kind: dict(LEVELS[product])}}}
            check = f"snp.tcb.minimum.{kind}"
            name = f"{kind}-tcb-{component.replace('_', '-')}-{product.lower()}"
            if kind == "reported":  # the certificate's levels are the reported ones: the demand is what differs
                floors["minimum_tcb"][product][kind][component] = level + 1
                report(name, f"REPORTED_TCB has {component} {level}, wanted {level + 1}", [check], product=product,
                       changes=floors)
                report(f"certificate-{name}", f"REPORTED_TCB has {component} {level + 1}, the certificate {level}",
                       ["snp.tcb.certificate"], {"reported_tcb": tcb(product, **{component: level + 1})},
                       product=product)
                if level > 0:
                    floors = {"minimum_tcb": {product: {kind: {**LEVELS[product], component: level - 1}}}}
                    report(f"certificate-above-{name}", f"REPORTED_TCB has {component} {level - 1}, the certificate {level}",
                           ["snp.tcb.certificate"], {"reported_tcb": tcb(product, **{component: level - 1})},
                           product=product, changes=floors)
            else:
                report(name, f"{kind.upper()}_TCB has {component} {level - 1}, wanted {level}", [check],
                       {f"{kind}_tcb": tcb(product, **{component: level - 1})}, product=product, changes=floors)
report("launch-tcb-higher-elsewhere", "LAUNCH_TCB is a larger number with one component below its minimum",
       ["snp.tcb.minimum.launch"], {"launch_tcb": tcb("Genoa", microcode=255, boot_loader=9)})
report("turin-layout-for-genoa", "TCBs of a Genoa in the layout of a Turin",
       ["snp.tcb.certificate", "snp.unknown_bits", *MINIMA],
       {f"{kind}_tcb": bytes([0, 10, 3, 25, 0, 0, 0, 84]) for kind in KINDS})
report("provisional-build", "committed firmware is older than the current one", ["snp.provisional_firmware"],
       {"committed_build": 42}, changes={"provisional_firmware": False})
report("provisional-tcb", "CURRENT_TCB is above COMMITTED_TCB", ["snp.provisional_firmware"],
       {"current_tcb": tcb("Genoa", microcode=85)}, changes={"provisional_firmware": False})
report("mitigation-launch", "a launch mitigation is missing, though the vector is the larger number",
       ["snp.mitigation.launch"], {"launch_mit_vector": 0xFFFFFFFFFFFFFFFB},
       changes={"mitigation_vector": {"launch": "0x0000000000000004"}})
report("mitigation-current", "a current mitigation is missing", ["snp.mitigation.current"],
       changes={"mitigation_vector": {"current": "0x0000000000000005"}})
report("advisory-page-swap", "AMD-SB-3021 is required, and pages may be swapped", ["snp.advisories"],
       changes={"require": ["AMD-SB-3021"]})

# ---- chip ---------------------------------------------------------------------------------------------------------------

report("chip-id-last-byte", "CHIP_ID differs from the VCEK's HWID in its last byte", ["snp.chip_id"],
       {"chip_id": CHIP[:-1] + b"\x41"})
report("chip-id-masked", "CHIP_ID is zero, where the policy does not allow it", ["snp.chip_id"], {"chip_id": b""},
       genuine="emulated")
report("chip-id-turin-tail", "a Turin's CHIP_ID with bytes behind the eight of its HWID", ["snp.chip_id"],
       {"chip_id": CHIP}, product="Turin")
report("chip-id-prefix", "a Genoa's CHIP_ID with eight bytes only", ["snp.chip_id"], {"chip_id": CHIP[:8]})
report("chip-id-not-listed", "a chip that the policy does not list", ["snp.chip_id.allowed"],
       changes={"chip_id": ["01" * 64]})

# ---- guest --------------------------------------------------------------------------------------------------------------

report("report-data", "REPORT_DATA of another question", ["binding.report_data"], {"report_data": b"\x41" * 64})
report("report-data-zero", "REPORT_DATA is zero", ["binding.report_data"], {"report_data": b""})
report("report-data-prefix", "only the first half of REPORT_DATA is as wanted", ["binding.report_data"],
       {"report_data": REPORT_DATA[:32]})
report("measurement", "another launch digest", ["snp.measurement"], {"measurement": b"\xab" * 48})
report("measurement-zero", "launch digest of zeros", ["snp.measurement"], {"measurement": b""})
report("host-data", "another HOST_DATA", ["snp.host_data"], changes={"host_data": "0e" * 32})
report("report-id", "another guest of the same image", ["snp.report_id"], changes={"report_id": "2f" * 32})
report("report-id-ma", "a migration agent is bound to the guest", ["snp.report_id_ma"], {"report_id_ma": b"\x3a" * 32},
       changes={"report_id_ma": "none"})
report("vmpl-1", "asked for by VMPL 1", ["snp.vmpl"], {"vmpl": 1})
report("vmpl-0-wanted-2", "asked for by VMPL 0, where the policy wants 2", ["snp.vmpl"], changes={"vmpl": 2})
report("vmpl-host", "asked for by the host (0xffffffff)", ["snp.vmpl"], {"vmpl": 0xFFFFFFFF})
report("vmpl-4", "a VMPL that is none", ["snp.vmpl"], {"vmpl": 4})
report("vmpl-host-any", "asked for by the host, where the policy takes any level of a guest's", ["snp.vmpl"],
       {"vmpl": 0xFFFFFFFF}, changes={"vmpl": "skip"})
report("measurement-not-in-policy", "a launch digest that the caller wants and the policy does not list",
       ["snp.measurement"], changes={"measurement": ["ab" * 48]})
report("measurement-skipped-elsewhere", "a wanted launch digest counts, though the policy skips it", ["snp.measurement"],
       {"measurement": b"\xab" * 48}, changes={"measurement": "skip"})
report("measurement-unsaid", "nobody says which launch digest is wanted", ["snp.measurement"], measurement=[])
report("report-data-of-policy", "REPORT_DATA of another question than the policy's", ["binding.report_data"],
       changes={"report_data": "41" * 64})
report("report-data-skipped-elsewhere", "wanted REPORT_DATA counts, though the policy skips it", ["binding.report_data"],
       {"report_data": b"\x41" * 64}, changes={"report_data": "skip"})
report("good-skipped", "accepted: launch digest, REPORT_DATA and level are skipped by the policy", [],
       {"measurement": b"\xab" * 48, "report_data": b"\x41" * 64, "vmpl": 3}, measurement=[], report_data=None,
       changes={"measurement": "skip", "report_data": "skip", "vmpl": "skip"})
report("vmpl-256", "VMPL 256, of which a byte is 0", ["snp.vmpl"], {"vmpl": 256})
report("debug", "the host may read the guest's memory", ["snp.policy.debug"], {"policy": bit(19)})
report("migration-agent", "an agent may move the guest away", ["snp.policy.migration_agent"], {"policy": bit(18)})
report("cxl", "memory outside of the package", ["snp.policy.cxl"], {"policy": bit(21)})
for member, value, what in (
    ("smt", False, "SMT is allowed"), ("single_socket", True, "may run on two sockets"),
    ("aes_256_xts", True, "AES-256-XTS is not required"), ("rapl_disabled", True, "RAPL may be on"),
    ("ciphertext_hiding", True, "ciphertext hiding is not required"), ("page_swap_disabled", True, "pages may be swapped"),
):  # fmt: skip
    report(f"guest-{member.replace('_', '-')}", f"guest policy: {what}", [f"snp.policy.{member}"],
           changes={"guest_policy": {member: value}})
report("guest-abi", "guest policy: ABI 0.0 will do, wanted 1.55", ["snp.policy.abi"],
       changes={"guest_policy": {"abi_minimum": {"major": 1, "minor": 55}}})
report("guest-abi-minor", "guest policy: ABI 0.255 will do, wanted 1.0", ["snp.policy.abi"],
       {"policy": lambda value: value | 0xFF}, changes={"guest_policy": {"abi_minimum": {"major": 1, "minor": 0}}})
report("platform-ecc", "the platform has no ECC", ["snp.platform_info.ecc"], {"platform_info": without(2)})
report("platform-alias-check", "the platform's alias check is not complete",
       ["snp.platform_info.alias_check_complete"], {"platform_info": without(5)})
for member, value in (("smt", False), ("tsme", True), ("rapl_disabled", True), ("ciphertext_hiding", True), ("tio", True)):
    report(f"platform-{member.replace('_', '-')}", f"platform: {member} is not {json.dumps(value)}",
           [f"snp.platform_info.{member}"], changes={"platform_info": {member: value}})
for field, index in (("policy", 26), ("policy", 63), ("platform_info", 6), ("platform_info", 63), ("key_info", 5),
                     ("reserved_04c", 31), ("reserved_18b", 167), ("reserved_1eb", 7), ("reserved_1ef", 7),
                     ("reserved_208", 0), ("current_tcb", 16), ("launch_tcb", 47)):
    report(f"unknown-{field.replace('_', '-')}-{index}", f"bit {index} of {field} is set, which nobody has described",
           ["snp.unknown_bits"], {field: bit(index)})
report("policy-bit-17", "guest policy bit 17 is 0, and must be 1", ["snp.unknown_bits"], {"policy": without(17)})
ID = {"id_key_digest": "1c" * 48}
report("id-key", "another ID key", ["snp.id_key_digest"], changes={"id_key_digest": "1b" * 48})
report("author-key", "another author key", ["snp.author_key_digest"], changes={"author_key_digest": "ad" * 48})
report("author-key-not-enabled", "the author key's digest without AUTHOR_KEY_EN", ["snp.author_key_digest"],
       {"key_info": 0}, changes={"author_key_digest": "ac" * 48})
report("family-id", "another FAMILY_ID", ["snp.family_id"], changes={**ID, "family_id": "f2" * 16})
report("image-id", "another IMAGE_ID", ["snp.image_id"], changes={**ID, "image_id": "1e" * 16})
report("guest-svn", "an older GUEST_SVN", ["snp.guest_svn"], changes={**ID, "guest_svn_minimum": 8})

# ---- evidence: a report with claims and a connection --------------------------------------------------------------------


def stored(name, what, expected, claim_bytes=None, change=None, not_made=(), changes=None, **wanted):
    claim_bytes = claims() if claim_bytes is None else claim_bytes
    raw = base_report("Genoa")
    put(raw, "report_data", hashlib.sha512(claim_bytes).digest())
    data = evidence(signed(raw), claim_bytes, table(file_of("certificates/vcek-genoa.der"), file_of("certificates/ask.der")))
    if change:
        data = change(data)
    path = next((path for path, old in files.items() if old == data and path.startswith("evidence/")), None)
    if path is None:
        path = f"evidence/{name}.cbor"
        files[path] = data
    genuine = "no" if expected == ["evidence.format"] else "emulated"
    entry(name, what, expected, evidence=path, ask=None, changes=changes, not_made=not_made, genuine=genuine,
          **{"nonce": NONCE.hex(), "exporter": EXPORTER.hex(), "key": (KEY[0] + KEY[1]).hex(), **wanted})


CONNECTION = ["binding.report_data", "binding.nonce", "binding.exporter", "binding.key"]
CLAIMS = ["claims.runtime_log", "claims.manifest", "claims.ak"] + [
    "tpm." + check for check in "quote ak signature extra_data pcr_digest clock ek credential svsm event_log boot_events pcrs".split()
] + ["runtime_log.replay", "runtime_log.events", "ima.replay", "ima.boot_aggregate", "ima.allowed"]
NO_EVIDENCE = ["claims.format", "snp.format", *CONNECTION, *CLAIMS, *NO_REPORT]
NO_EVIDENCE = sorted(set(NO_EVIDENCE))
stored("good-evidence", "accepted: evidence of one connection", [])
stored("evidence-trailing", "one byte behind the evidence", ["evidence.format"], change=lambda data: data + b"\0",
       not_made=NO_EVIDENCE)
stored("evidence-truncated", "the last byte of the evidence is missing", ["evidence.format"],
       change=lambda data: data[:-1], not_made=NO_EVIDENCE)
stored("evidence-other-type", "another program's evidence", ["evidence.format"],
       change=lambda data: data.replace(b"tag:cvmin,2026:evidence", b"tag:cvmin,2027:evidence"), not_made=NO_EVIDENCE)
stored("claims-trailing", "a byte behind the claims, which REPORT_DATA covers", ["claims.format"], claims() + b"\0",
       not_made=CONNECTION + CLAIMS)
stored("claims-other-profile", "claims of another profile, which REPORT_DATA covers", ["claims.format"],
       claims().replace(b"tag:cvmin,2026:1", b"tag:cvmin,2026:2"), not_made=CONNECTION + CLAIMS)
stored("claims-changed", "claims that REPORT_DATA does not cover", ["binding.report_data"],
       change=lambda data: data.replace(EXPORTER, b"\x34" * 32), exporter=(b"\x34" * 32).hex())
stored("evidence-measurement-skipped", "evidence of an agent under a policy that skips the launch digest",
       ["snp.measurement"], changes={"measurement": "skip"}, measurement=[])
stored("nonce", "evidence for another nonce", ["binding.nonce"], nonce=(b"\x5b" * 32).hex())
stored("nonce-prefix", "a nonce that begins as the wanted one", ["binding.nonce"], nonce=(b"\x5a" * 33).hex())
stored("exporter", "evidence of another connection", ["binding.exporter"], exporter=(b"\x34" * 32).hex())
stored("exporter-null", "evidence of no connection", ["binding.exporter"], claims(exporter=None))
stored("key", "evidence of an agent with another key", ["binding.key"], key=(KEY[0] + b"\x23" * 48).hex())
stored("manifest-missing", "no manifest, where the policy demands one", ["claims.manifest"],
       changes={"manifest": "77" * 32})
stored("manifest", "another manifest", ["claims.manifest"], claims(manifest=b"\x78" * 32), changes={"manifest": "77" * 32})

# ---- measured boot: a software TPM, the logs of a boot, an SVSM -----------------------------------------------------------
# TCG "TPM 2.0 Library" 1.59 Part 2, "PC Client Platform Firmware Profile" 1.06, Linux's IMA, TCG CEL 1.1.

P256 = 2**256 - 2**224 + 2**192 + 2**96 - 1
N256 = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
G256 = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)


def sha256(data):
    return hashlib.sha256(data).digest()


def multiply_256(k, point=G256):
    return multiply(k, point, P256)


def sign_256(scalar, message):
    """ECDSA on P-256 with SHA-256; the nonce is a hash of key and message: always the same bytes."""
    e = int.from_bytes(sha256(message), "big")
    k = int.from_bytes(hashlib.sha512(scalar.to_bytes(32, "big") + message).digest(), "big") % (N256 - 1) + 1
    r = multiply_256(k)[0] % N256
    return r, pow(k, -1, N256) * (e + r * scalar) % N256


def be(value, size):
    return value.to_bytes(size, "big")


def le(value, size):
    return value.to_bytes(size, "little")


def sized(data):
    return be(len(data), 2) + data


def scalar(name):
    return int.from_bytes(sha256(b"cvmin negative corpus " + name), "big") % (N256 - 1) + 1


FIXED = 0x00000072  # fixedTPM, fixedParent, sensitiveDataOrigin, userWithAuth
RESTRICTED, DECRYPT, SIGN = 0x10000, 0x20000, 0x40000


def ak_public(attributes, secret):
    x, y = multiply_256(secret)
    return (be(0x23, 2) + be(0x0B, 2) + be(attributes, 4) + sized(b"") + be(0x10, 2) + be(0x18, 2) + be(0x0B, 2)
            + be(3, 2) + be(0x10, 2) + sized(be(x, 32)) + sized(be(y, 32)))  # fmt: skip


def ek_public():
    """Template L-1 of TCG's EK Credential Profile, with the modulus of ek-certificates.sh's key."""
    spki = file_of("certificates/ek-public.der")
    modulus = spki[spki.index(b"\x02\x82\x01\x01\x00") + 5 :][:256]
    policy = bytes.fromhex("837197674484b3f81a90cc8d46a5d724fd52d76e06520b64f2a1da1b331469aa")
    return (be(1, 2) + be(0x0B, 2) + be(0x000300B2, 4) + sized(policy) + be(6, 2) + be(128, 2) + be(0x43, 2)
            + be(0x10, 2) + be(2048, 2) + be(0, 4) + sized(modulus))  # fmt: skip


def qualified_name(public):
    name = be(0x0B, 2) + sha256(public)
    return be(0x0B, 2) + sha256(be(0x4000000B, 4) + name)


def attest_bytes(a):
    bitmap = b"".join(bytes([a["mask"] >> 8 * i & 0xFF]) for i in range(3))
    selection = be(1, 4) + be(a["bank"], 2) + bytes([3]) + bitmap
    return (be(a["magic"], 4) + be(a["type"], 2) + sized(a["signer"]) + sized(a["extra"]) + be(a["clock"], 8)
            + be(a["reset"], 4) + be(a["restart"], 4) + bytes([a["safe"]]) + be(0x20260101, 8) + selection
            + sized(a["digest"]))  # fmt: skip


def extend(value, digest):
    return sha256(value + digest)


def spec_id(banks):
    algorithms = b"".join(le(alg, 2) + le(size, 2) for alg, size in banks)
    data = b"Spec ID Event03\0" + le(0, 4) + bytes([0, 2, 0, 2]) + le(len(banks), 4) + algorithms + b"\0"
    return le(0, 4) + le(3, 4) + bytes(20) + le(len(data), 4) + data


SEPARATOR, ACTION, TAG, APPLICATION = 4, 0x80000007, 6, 0x80000003
KERNEL, INITRD, OPTIONS = sha256(b"kernel"), sha256(b"initramfs"), sha256(b"load options")
BOOT = b"Calling EFI Application from Boot Option"


def boot_events():
    """(PCR, type, SHA-256 digest, data)"""
    out = [(0, 8, sha256(b"version"), b"version")]
    out += [(pcr, SEPARATOR, sha256(bytes(4)), bytes(4)) for pcr in (0, 1, 2, 3, 4, 5, 6, 7)]
    return out + [(4, ACTION, sha256(BOOT), BOOT), (4, APPLICATION, KERNEL, b"device path"),
                  (9, TAG, OPTIONS, b"LOADED_IMAGE::LoadOptions"), (9, TAG, INITRD, b"Linux initrd")]  # fmt: skip


def event_log(events, banks=((0x0B, 32),)):
    out = spec_id(banks)
    for pcr, kind, digest, data in events:
        digests = b"".join(le(alg, 2) + digest.ljust(size, b"\0") for alg, size in banks)
        out += le(pcr, 4) + le(kind, 4) + le(len(banks), 4) + digests + le(len(data), 4) + data
    return out


def ima_entry(digest, path):
    data = b"".join(le(len(field), 4) + field for field in (b"sha256:\0" + digest, path.encode() + b"\0"))
    entry = le(10, 4) + hashlib.sha1(data).digest() + le(6, 4) + b"ima-ng" + le(len(data), 4) + data
    return entry, sha256(data)


def runtime_records():
    """Contents: kind 0 is boot, 1 session-opened (docs/runtime-log.md)."""
    return [
        {0: 0, 1: 900, 2: "cvmin-agent 0.1.0", 3: 0, 4: "sev_guest", 5: 1, 6: 1},
        {0: 1, 1: 5000, 2: 1, 3: sha256(NONCE)},
    ]


def runtime_log(contents):
    out, head, mirror = [], bytes(48), bytes(32)
    for n, content in enumerate(contents):
        raw = cbor(content)
        d256, d384 = sha256(raw), hashlib.sha384(raw).digest()
        out.append({0: n, 1: 15, 3: [{0: 11, 1: d256}, {0: 12, 1: d384}], 9: 70001, 10: content})
        head, mirror = hashlib.sha384(head + d384).digest(), extend(mirror, d256)
    return cbor(out), head, mirror


VTPM = "../../../policies/emulated-vtpm.json"
TOOL = (sha256(b"tool"), "/bin/tool")
ALLOW_TOOL = {"ima": {"allowed": [{"sha256": TOOL[0].hex(), "path": TOOL[1]}]}}
NO_QUOTE = ["tpm.event_log", "tpm.boot_events", "ima.replay", "ima.boot_aggregate", "ima.allowed"]
NO_IMA = ["ima.boot_aggregate", "ima.allowed"]


def machine(records=None, events=None, files_run=(), attributes=FIXED | RESTRICTED | SIGN, claim=None, quote=None,
            values=None, sign_with=b"AK", parts=None, ek_certificate=None, claimed=None, aggregate=None, svsm=False,
            svsm_report=None, fields=None):  # fmt: skip
    """The evidence of a CVM that was booted with a vTPM. Each argument changes one stage, before all later ones."""
    log, head, mirror = runtime_log(runtime_records() if records is None else records)
    events = boot_events() if events is None else events
    pcrs = {n: bytes(32) for n in range(16)}
    for pcr, _, digest, _ in events:
        pcrs[pcr] = extend(pcrs[pcr], digest)
    pcrs[15] = mirror
    listed = b""
    first = sha256(b"".join(pcrs[n] for n in range(10))) if aggregate is None else aggregate
    for digest, path in [(first, "boot_aggregate"), *files_run]:
        entry, extended = ima_entry(digest, path)
        listed += entry
        pcrs[10] = extend(pcrs[10], extended)
    public = ak_public(attributes, scalar(b"AK"))
    named = {"runtime": head, "ak": sha256(public), **(claim or {})}
    claim_bytes = claims(**named)
    a = {"magic": 0xFF544347, "type": 0x8018, "signer": qualified_name(public), "extra": sha256(claim_bytes),
         "clock": 60000, "reset": 5, "restart": 2, "safe": 1, "bank": 0x0B, "mask": 0xFFFF,
         "digest": sha256(b"".join(pcrs[n] for n in range(16))), **(quote or {})}  # fmt: skip
    shown = {**pcrs, **(values or {})}
    if a["digest"] is None:  # the quote is about the changed values
        a["digest"] = sha256(b"".join(shown[n] for n in range(16) if shown[n] is not None))
    attest = attest_bytes(a)
    r, s = sign_256(scalar(sign_with), attest)
    tpm = {1: attest, 2: be(0x18, 2) + be(0x0B, 2) + sized(be(r, 32)) + sized(be(s, 32)), 3: public, 4: ek_public(),
           5: {0x0B: {n: value for n, value in shown.items() if value is not None}}}  # fmt: skip
    if ek_certificate:
        tpm[6] = file_of(f"certificates/{ek_certificate}.der")
    raw = base_report("Genoa")
    if svsm:
        put(raw, "vmpl", 2)
    for field, value in (fields or {}).items():
        put(raw, field, value)
    put(raw, "report_data", hashlib.sha512(claim_bytes).digest())
    members = {
        "claims": ["application/eat-ucs+cbor", claim_bytes, 4],
        "snp-report": ["application/vnd.amd.sev-snp.attestation-report", bytes(signed(raw)), 4],
        "certificates": ["application/vnd.amd.ghcb.guid-table",
                         table(file_of("certificates/vcek-genoa.der"), file_of("certificates/ask.der")), 4],
        "event-log": ["application/vnd.tcg.crypto-agile-log", event_log(events), 4],
        "ima-log": ["application/vnd.linux.ima-measurements", listed, 4],
        "runtime-log": ["application/vnd.tcg.cel+cbor", log, 4],
    }  # fmt: skip
    if svsm:
        other = base_report("Genoa")
        manifest = ek_public()
        put(other, "report_data", hashlib.sha512(hashlib.sha512(claim_bytes).digest() + manifest).digest())
        service = "c476f1eb-0123-45a5-9641-b4e7dde5bfe3"
        given = {"report": other, "manifest": manifest, "service": service}
        if svsm_report:
            svsm_report(given)
        members["svsm"] = ["application/vnd.cvmin.svsm-vtpm+cbor",
                           cbor({1: bytes(signed(given["report"])), 2: given["manifest"], 3: given["service"]}), 4]
    if parts:
        parts(members, tpm)
    if tpm:
        members["tpm"] = ["application/vnd.cvmin.tpm-quote+cbor", cbor(tpm), 4]
    return cbor({"__cmwc_t": "tag:cvmin,2026:evidence", **members})


def booted(name, what, expected, not_made=(), changes=None, activation="answered", members=None, **how):
    data = machine(**how)
    path = next((path for path, old in files.items() if old == data and path.startswith("evidence/")), None)
    if path is None:
        path = f"evidence/{name}.cbor"
        files[path] = data
    entry(name, what, expected, changes=changes, not_made=not_made, genuine="emulated", **{
        "evidence": path, "ask": None, "policy": VTPM, "nonce": NONCE.hex(), "exporter": EXPORTER.hex(),
        "key": (KEY[0] + KEY[1]).hex(), "activation": activation,
        "boot_files": {"kernel": KERNEL.hex(), "initrd": INITRD.hex(), "load_options": OPTIONS.hex()}, **(members or {}),
    })  # fmt: skip


def without_part(name):
    def change(members, tpm):
        if name == "tpm":
            tpm.clear()
        else:
            members.pop(name, None)
    return change


def changed_part(name, change):
    def apply(members, _):
        members[name][1] = change(members[name][1])
    return apply


def in_tpm(member, change):
    def apply(_, tpm):
        tpm[member] = change(tpm[member])
    return apply


def flipped_byte(offset):
    def change(data):
        changed = bytearray(data)
        changed[offset] ^= 1
        return bytes(changed)
    return change


booted("good-vtpm", "accepted: a quote, the logs of the boot and the agent's", [])
booted("good-vtpm-file", "accepted: a file was executed that the policy lists", [], files_run=[TOOL], changes=ALLOW_TOOL)
booted("good-vtpm-later", "accepted: a later quote of the same boot of the TPM", [],
       members={"earlier_quote": {"clock": 50000, "reset": 5, "restart": 2}})
booted("vtpm-missing", "no vTPM, where the policy demands one", ["tpm.quote"], parts=without_part("tpm"),
       not_made=["tpm.ak", "tpm.signature", "tpm.extra_data", "tpm.pcr_digest", "tpm.clock", "tpm.credential", *NO_QUOTE])
booted("quote-magic", "signed by the AK, but not as data that a TPM made", ["tpm.quote"], quote={"magic": 0xFF544348},
       not_made=NO_QUOTE)
booted("quote-type", "the AK's certification of another key in the place of a quote", ["tpm.quote", "tpm.pcr_digest"],
       quote={"type": 0x8017}, not_made=NO_QUOTE)
booted("quote-fewer-pcrs", "a quote that leaves out PCR 4", ["tpm.quote", "tpm.pcr_digest"], quote={"mask": 0xFFEF},
       values={4: None}, not_made=NO_QUOTE)
booted("quote-other-pcrs", "a quote of another selection than was asked for, over the values of it", ["tpm.quote"],
       quote={"mask": 0xFF00FF}, not_made=NO_QUOTE)
booted("quote-other-bank", "a quote of the SHA-1 bank", ["tpm.quote"], quote={"bank": 4}, not_made=NO_QUOTE)
booted("quote-few-asked", "a quote of what the caller asked for, which is less than the policy looks at", ["tpm.quote"],
       quote={"mask": 0x1FF, "digest": None}, values={n: None for n in range(9, 16)}, members={"pcrs": {"sha256": 0x1FF}},
       not_made=NO_QUOTE)
booted("good-quote-few-asked", "accepted: the same, where the policy looks at one PCR of it", [],
       quote={"mask": 0x1FF, "digest": None}, values={n: None for n in range(9, 16)}, members={"pcrs": {"sha256": 0x1FF}},
       changes={"event_log": "skip", "boot_events": "skip", "ima": "skip", "pcrs": {"5": extend(bytes(32), sha256(bytes(4))).hex()}})
booted("quote-not-safe", "a quote whose clock may have gone back", ["tpm.quote"], quote={"safe": 0}, not_made=NO_QUOTE)
booted("quote-extra-data", "a quote for another question", ["tpm.extra_data"], quote={"extra": b"\x42" * 32},
       not_made=NO_QUOTE)
booted("quote-extra-data-prefix", "the first half of the right question", ["tpm.extra_data"],
       quote={"extra": sha256(claims(runtime=runtime_log(runtime_records())[1],
                                     ak=sha256(ak_public(FIXED | RESTRICTED | SIGN, scalar(b"AK")))))[:16]},
       not_made=NO_QUOTE)  # fmt: skip
booted("quote-signature", "one bit of the quote's signature flipped", ["tpm.signature"], not_made=NO_QUOTE,
       parts=in_tpm(2, flipped_byte(20)))
booted("quote-other-key", "a quote signed with another key", ["tpm.signature"], sign_with=b"another", not_made=NO_QUOTE)
booted("quote-changed", "the reset count of a signed quote changed", ["tpm.signature"], not_made=NO_QUOTE,
       parts=in_tpm(1, lambda data: data.replace(be(60000, 8) + be(5, 4), be(60000, 8) + be(4, 4))))
booted("quote-truncated", "a quote without its last byte", ["tpm.quote"], parts=in_tpm(1, lambda data: data[:-1]),
       not_made=["tpm.signature", "tpm.extra_data", "tpm.pcr_digest", "tpm.clock", *NO_QUOTE])
booted("ak-not-restricted", "a key that signs whatever its user wants", ["tpm.ak"], attributes=FIXED | SIGN,
       not_made=NO_QUOTE)
booted("ak-can-leave", "a key that was made outside of the TPM", ["tpm.ak"], attributes=FIXED & ~0x20 | RESTRICTED | SIGN,
       not_made=NO_QUOTE)
booted("ak-decrypts", "a key that also decrypts", ["tpm.ak"], attributes=FIXED | RESTRICTED | SIGN | DECRYPT,
       not_made=NO_QUOTE)
booted("ak-not-in-claims", "claims that name no AK", ["tpm.ak"], claim={"ak": None}, not_made=NO_QUOTE)
booted("ak-other-in-claims", "claims that name another AK", ["tpm.ak"], claim={"ak": b"\x99" * 32}, not_made=NO_QUOTE)
booted("ak-other-hierarchy", "a key of another hierarchy's", ["tpm.ak"], quote={"signer": be(0x0B, 2) + b"\x55" * 32},
       not_made=NO_QUOTE)
booted("pcr-value", "a PCR value that the quote is not about", ["tpm.pcr_digest"], values={4: b"\x44" * 32},
       not_made=NO_QUOTE)
booted("pcr-missing", "values without one of the quoted PCRs", ["tpm.pcr_digest"], values={7: None}, not_made=NO_QUOTE)
booted("pcr-other-bank", "values that are said to be of another bank", ["tpm.pcr_digest"], not_made=NO_QUOTE,
       parts=in_tpm(5, lambda values: {13: {n: value + bytes(32) for n, value in values[0x0B].items()}}))
for name, what, earlier in (
    ("reset", "the TPM was reset since the last quote", {"clock": 50000, "reset": 4, "restart": 2}),
    ("reset-back", "a quote from before the TPM was reset", {"clock": 50000, "reset": 6, "restart": 2}),
    ("restart", "the TPM was restarted since the last quote", {"clock": 50000, "reset": 5, "restart": 1}),
    ("clock-back", "a quote from before the last one", {"clock": 70000, "reset": 5, "restart": 2}),
):  # fmt: skip
    booted(f"quote-{name}", what, ["tpm.clock"], members={"earlier_quote": earlier})
booted("credential-refused", "the TPM did not give the credential back", ["tpm.credential"], activation="refused")
booted("credential-other-keys", "the credential was for another EK than the evidence has", ["tpm.credential"],
       activation="other-keys")
EK_POLICY, EK_ROOT = {"vtpm": {"ek_certificate": "required"}}, {"ek_root": "certificates/ek-root.der"}
booted("good-ek-certificate", "accepted: an endorsement key with a certificate of a named authority", [], changes=EK_POLICY,
       ek_certificate="ek-certificate", members=EK_ROOT)
booted("ek-certificate-missing", "no certificate, where the policy demands one", ["tpm.ek"], changes=EK_POLICY, members=EK_ROOT)
booted("ek-root-missing", "no authority is named", ["tpm.ek"], changes=EK_POLICY, ek_certificate="ek-certificate")
for name, what in {
    "forged": "signed by another key under the root's name", "expired": "ended before the time of the appraisal",
    "other-key": "of another key", "usage": "for another use",
}.items():  # fmt: skip
    booted(f"ek-certificate-{name}", f"a certificate {what}", ["tpm.ek"], changes=EK_POLICY, members=EK_ROOT,
           ek_certificate=f"ek-certificate-{name}")
booted("event-log-missing", "no event log", ["tpm.event_log"], parts=without_part("event-log"), not_made=["tpm.boot_events"])
booted("event-log-changed", "an event log with another kernel than was measured", ["tpm.event_log"],
       parts=changed_part("event-log", lambda log: log.replace(KERNEL, sha256(b"other"))), not_made=["tpm.boot_events"])
booted("event-log-short", "an event log without its last event", ["tpm.event_log"], not_made=["tpm.boot_events"],
       parts=changed_part("event-log", lambda _: event_log(boot_events()[:-1])))
booted("event-log-order", "an event log with two events in the other order", ["tpm.event_log"], not_made=["tpm.boot_events"],
       parts=changed_part("event-log", lambda _: event_log(boot_events()[:-2] + boot_events()[:-3:-1])))
booted("event-log-truncated", "an event log that is cut off", ["tpm.event_log"], not_made=["tpm.boot_events"],
       parts=changed_part("event-log", lambda log: log[:-1]))
booted("event-log-count", "an event log with an absurd count of digests", ["tpm.event_log"], not_made=["tpm.boot_events"],
       parts=changed_part("event-log", lambda log: log.replace(le(8, 4) + le(1, 4), le(8, 4) + le(0xFFFFFFFF, 4), 1)))
booted("event-log-bank", "an event log without the quoted bank", ["tpm.event_log"], not_made=["tpm.boot_events"],
       parts=changed_part("event-log", lambda _: event_log(boot_events(), ((0x0C, 48),))))
booted("boot-other-kernel", "another kernel was booted, and everything says so", ["tpm.boot_events"],
       events=[(p, t, sha256(b"other") if d == KERNEL else d, x) for p, t, d, x in boot_events()])
booted("boot-other-command-line", "another command line", ["tpm.boot_events"],
       events=[(p, t, sha256(b"other") if d == OPTIONS else d, x) for p, t, d, x in boot_events()])
booted("boot-other-initramfs", "another initramfs", ["tpm.boot_events"],
       events=[(p, t, sha256(b"other") if d == INITRD else d, x) for p, t, d, x in boot_events()])
booted("boot-one-more", "one more application was started", ["tpm.boot_events"],
       events=[*boot_events(), (4, APPLICATION, sha256(b"loader"), b"device path")])
booted("boot-image-unknown", "no image is named that could be compared", ["tpm.boot_events"], members={"boot_files": None})
PCR4 = extend(extend(extend(bytes(32), sha256(bytes(4))), sha256(BOOT)), KERNEL)
booted("good-pcr-by-value", "accepted: PCR 4 has one of the values of the policy", [],
       changes={"pcrs": {"4": ["44" * 32, PCR4.hex()]}})
booted("pcr-by-value", "PCR 4 has another value than the policy's", ["tpm.pcrs"], changes={"pcrs": {"4": "44" * 32}})
VIOLATION = {0: 6, 1: 6000, 2: 2, 3: 1, 4: "key"}
booted("runtime-log-missing", "no runtime log", ["runtime_log.replay"], parts=without_part("runtime-log"),
       not_made=["runtime_log.events"])
booted("runtime-log-short", "a runtime log without its last record", ["runtime_log.replay"], not_made=["runtime_log.events"],
       records=[*runtime_records(), VIOLATION],
       parts=changed_part("runtime-log", lambda _: runtime_log(runtime_records())[0]))
booted("runtime-log-truncated", "a runtime log that is cut off", ["runtime_log.replay"], not_made=["runtime_log.events"],
       parts=changed_part("runtime-log", lambda log: log[:-1]))
booted("runtime-log-changed", "a time in the runtime log changed, and not its digest", ["runtime_log.replay"],
       not_made=["runtime_log.events"],
       parts=changed_part("runtime-log", lambda log: log.replace(cbor(5000), cbor(5001))))
booted("runtime-log-rewritten", "another runtime log, whole in itself", ["runtime_log.replay"], not_made=["runtime_log.events"],
       records=[*runtime_records(), {0: 9, 1: 7000, 2: 1}],
       parts=changed_part("runtime-log", lambda _: runtime_log([*runtime_records(), {0: 9, 1: 7001, 2: 1}])[0]))
booted("runtime-log-not-in-pcr", "PCR 15 does not have what the agent's log says", ["runtime_log.replay"],
       quote={"digest": None}, values={15: b"\x15" * 32})
booted("runtime-log-null", "claims without a head of the log", ["claims.runtime_log"], claim={"runtime": None},
       not_made=["runtime_log.replay", "runtime_log.events"])
booted("runtime-violation", "a violation is recorded, and the policy refuses it", ["runtime_log.events"],
       records=[*runtime_records(), VIOLATION], changes={"runtime_log": {"refuse": ["violation"]}})
booted("good-runtime-violation", "accepted: a violation is recorded, and the policy does not mind", [],
       records=[*runtime_records(), VIOLATION])
booted("runtime-debug-image", "the agent says that its image is a debug image", ["runtime_log.events"],
       records=[{**runtime_records()[0], 3: 1}, runtime_records()[1]])
booted("runtime-no-ima", "the agent says that IMA's policy is not there", ["runtime_log.events"],
       records=[{**runtime_records()[0], 6: 2}, runtime_records()[1]])
booted("runtime-tpm-lost", "the TPM stopped working", ["runtime_log.events"],
       records=[*runtime_records(), {0: 10, 1: 6000, 2: "timed out"}])
booted("runtime-other-session", "the log does not have our question", ["runtime_log.events"],
       records=[runtime_records()[0], {0: 1, 1: 5000, 2: 1, 3: sha256(b"another")}])
booted("ima-missing", "no measurement list", ["ima.replay"], parts=without_part("ima-log"), not_made=NO_IMA)
booted("ima-truncated", "a measurement list that is cut off", ["ima.replay"], not_made=NO_IMA,
       parts=changed_part("ima-log", lambda log: log[:-1]))
booted("ima-short", "a measurement list from which an executed file was taken", ["ima.replay"], not_made=NO_IMA,
       files_run=[TOOL], parts=changed_part("ima-log", lambda log: log[: -len(ima_entry(*TOOL)[0])]))
booted("ima-changed", "a measurement list with another file than was executed", ["ima.replay"], not_made=NO_IMA,
       files_run=[(sha256(b"stranger"), "/bin/stranger")], changes=ALLOW_TOOL,
       parts=changed_part("ima-log", lambda log: log[: -len(ima_entry(b"", "/bin/stranger")[0]) - 32] + ima_entry(*TOOL)[0]))
booted("ima-path-changed", "a measurement list with another path, and not its digest", ["ima.replay"], not_made=NO_IMA,
       files_run=[TOOL], changes=ALLOW_TOOL, parts=changed_part("ima-log", lambda log: log.replace(b"/bin/tool", b"/bin/topl")))
booted("ima-aggregate", "a measurement list of another boot", ["ima.boot_aggregate"], aggregate=b"\xba" * 32)
booted("ima-stranger", "a file was executed that the policy does not list", ["ima.allowed"], files_run=[TOOL])
booted("ima-stranger-path", "a listed file was executed from another place", ["ima.allowed"],
       files_run=[(TOOL[0], "/tmp/tool")], changes=ALLOW_TOOL)
booted("ima-stranger-digest", "another file was executed from a listed place", ["ima.allowed"],
       files_run=[(sha256(b"stranger"), TOOL[1])], changes=ALLOW_TOOL)
booted("ak-not-pinned", "another boot's AK than the policy names", ["claims.ak"], changes={"ak": "99" * 32})

# ---- the SVSM's vTPM: a second report, at VMPL 0, names the EK ----------------------------------------------------------

SVSM = {"vtpm": {"svsm": "required"}, "vmpl": 2}


def svsm_field(field, value):
    def change(given):
        put(given["report"], field, value)
    return change


booted("good-svsm", "accepted: the vTPM of an SVSM", [], changes=SVSM, svsm=True)
booted("svsm-missing", "a TPM of the host's, where the policy demands the SVSM's", ["tpm.svsm"], changes=SVSM,
       fields={"vmpl": 2})
booted("svsm-other-ek", "the SVSM's report names another EK", ["tpm.svsm"], changes=SVSM, svsm=True,
       parts=in_tpm(4, flipped_byte(-1)))
booted("svsm-manifest", "the manifest is not the one that the report is over", ["tpm.svsm"], changes=SVSM, svsm=True,
       svsm_report=lambda given: given.update(manifest=flipped_byte(-1)(given["manifest"])))
booted("svsm-nonce", "an SVSM's report of another time", ["tpm.svsm"], changes=SVSM, svsm=True,
       svsm_report=svsm_field("report_data", hashlib.sha512(bytes(64) + ek_public()).digest()))
booted("svsm-vmpl", "asked for by the guest's own level, and not by the SVSM", ["tpm.svsm"], changes=SVSM, svsm=True,
       svsm_report=svsm_field("vmpl", 2))
booted("svsm-own-vmpl", "our own report is of VMPL 0, where anybody could have asked for the SVSM's", ["tpm.svsm"],
       changes={**SVSM, "vmpl": 0}, svsm=True, fields={"vmpl": 0})
booted("svsm-other-guest", "an SVSM's report of another guest", ["tpm.svsm"], changes=SVSM, svsm=True,
       svsm_report=svsm_field("report_id", b"\x77" * 32))
booted("svsm-other-measurement", "an SVSM's report with another launch digest", ["tpm.svsm"], changes=SVSM, svsm=True,
       svsm_report=svsm_field("measurement", b"\xab" * 48))
booted("svsm-service", "an attestation of another service", ["tpm.svsm"], changes=SVSM, svsm=True,
       svsm_report=lambda given: given.update(service="63849ebb-3d92-4670-a1ff-58f9c94b87bb"))
booted("svsm-signature", "one bit of the SVSM's report flipped", ["tpm.svsm"], changes=SVSM, svsm=True,
       parts=changed_part("svsm", lambda data: data.replace(b"\x2e" * 32, b"\x2e" * 31 + b"\x2f")))


# ---- real reports of real hardware --------------------------------------------------------------------------------------


def real(name, what, expected, folder, policy, vek="vcek.der", changes=None, report=None, **members):
    raw = file_of(f"../{folder}/report.bin") if report is None else report
    path = f"../{folder}/report.bin"
    if report is not None:
        path = f"reports/{name}.bin"
        files[path] = raw
    members.setdefault("vek", f"../{folder}/{vek}")
    members.setdefault("genuine", "no" if NOT_GENUINE & set(expected) else "amd")
    entry(name, what, expected, report=path, policy=f"../../../policies/{policy}.json", changes=changes,
          **{"trust_emulated": None, "ask": None, "time": "2025-10-01T00:00:00Z", "report_data": raw[0x50:0x90].hex(),
             "measurement": [raw[0x90:0xC0].hex()], **members})


ROOTS = "../../../host-tools/appraise/roots"
MILAN, GENOA, TURIN = "oak/milan-v3-oc-release", "oak/genoa-v5-oc-mitvector", "oak/turin-v5-oc"
AWS = "trustee/milan-v3-vlek-aws-vmpl1"
skip_tcb = {kind: "skip" for kind in KINDS}
AWS_POLICY = {
    "signing_key": ["vlek"], "vmpl": 1, "csp_id": ["CN=cc-us-east-2.amazonaws.com"], "masked_chip_id": True, "require": "skip",
    "minimum_tcb": {"Milan": skip_tcb}, "provisional_firmware": "skip",
    "platform_info": {"ecc": "skip", "alias_check_complete": "skip"},
}  # fmt: skip
real("real-milan", "accepted: a real Milan", [], MILAN, "milan")
real("real-genoa", "accepted: a real Genoa", [], GENOA, "genoa")
real("real-turin", "accepted: a real Turin", [], TURIN, "turin")
for folder, policy in ((MILAN, "milan"), (GENOA, "genoa"), (TURIN, "turin")):
    raw = bytearray(file_of(f"../{folder}/report.bin"))
    raw[0x2A0] ^= 1
    real(f"real-{policy}-signature", f"a real {policy.title()}, one bit of its signature flipped", ["snp.signature"],
         folder, policy, report=bytes(raw))
real("real-swapped-vcek", "a real Milan with the VCEK of another real Milan",
     ["snp.signature", "snp.tcb.certificate", "snp.chip_id"], MILAN, "milan", vek="../../trustee/milan-v2-azure-policy1f/vcek.der")
real("real-vlek", "accepted: a real VLEK, at VMPL 1", [], AWS, "milan", vek="vlek.der", changes=AWS_POLICY)
real("real-vlek-under-ask", "a real VLEK with AMD's ASK instead of its ASVK", ["snp.chain"], AWS, "milan",
     vek="vlek.der", changes=AWS_POLICY, ask=f"{ROOTS}/ask_milan.der")
real("real-vcek-under-asvk", "a real VCEK with AMD's ASVK instead of its ASK", ["snp.chain"], MILAN, "milan",
     ask=f"{ROOTS}/asvk_milan.der")
real("real-other-product-ask", "a real Milan's VCEK with AMD's ASK for Genoa", ["snp.chain"], MILAN, "milan",
     ask=f"{ROOTS}/ask_genoa.der")
real("real-foreign-root", "a real Milan with a root that is not AMD's", ["snp.chain"], MILAN, "milan",
     ark="certificates/forged-ark-milan.der")
real("real-vmpl-1", "a real report of VMPL 1, where the policy wants 0", ["snp.vmpl"], AWS, "milan", vek="vlek.der",
     changes={**AWS_POLICY, "vmpl": 0})
real("real-as-turin", "a real Milan under a policy for Turin", ["snp.product", "snp.version"], MILAN, "turin",
     not_made=MINIMA, changes={"report_versions": [5]}, genuine="amd")

LENIENT = {
    "report_versions": [2], "masked_chip_id": True, "require": "skip", "report_id_ma": "skip",
    "guest_policy": {"debug": "skip"}, "platform_info": {"ecc": "skip", "alias_check_complete": "skip"},
}  # fmt: skip
for product, folder, also, missing in (
    ("Milan", "forged-chain-Milan-B1", [], ()), ("Turin", "forged-chain-Turin-B0", ["snp.signing_key"], NO_VEK),
):  # fmt: skip
    real(f"foreign-{folder}", "another project's forged chain under AMD's names", ["snp.chain", *also],
         f"negative/{folder}", product.lower(), changes={**LENIENT, "minimum_tcb": {product: skip_tcb}},
         ask=f"{folder}/ask.der", ark=f"{folder}/ark.der", not_made=missing)


def main():
    index = {
        "schema": 1,
        "description": "Ways in which an SEV-SNP report can be wrong, one per entry, and some that are right. See "
                       "docs/negative-corpus.md. Made by make.py.",
        "entries": entries,
    }
    files["index.json"] = (json.dumps(index, indent=1) + "\n").encode()
    stale = []
    for folder in ("reports", "evidence"):
        os.makedirs(os.path.join(HERE, folder), exist_ok=True)
        for name in os.listdir(os.path.join(HERE, folder)):
            if f"{folder}/{name}" not in files:
                stale.append(f"{folder}/{name}")
    if sys.argv[1:] == ["--check"]:
        for path, data in files.items():
            full = os.path.join(HERE, path)
            if not os.path.exists(full) or open(full, "rb").read() != data:
                stale.append(path)
        for path in stale:
            print(f"{path} is not what make.py makes", file=sys.stderr)
        print(f"{len(entries)} entries, {len(files)} files")
        return 1 if stale else 0
    for path in stale:
        os.remove(os.path.join(HERE, path))
    for path, data in files.items():
        open(os.path.join(HERE, path), "wb").write(data)
    print(f"{len(entries)} entries, {len(files)} files, {len(files['index.json'])} bytes of index")
    return 0


if __name__ == "__main__":
    sys.exit(main())
