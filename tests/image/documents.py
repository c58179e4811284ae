# documents.py SBOM STATEMENT IMAGE SOURCE COMMIT: both documents held against the files, the locks, the installed packages and
# the rules of SPDX 2.3, read by other code than wrote them.
import hashlib
import json
import re
import subprocess
import sys

sbom_path, statement_path, image, source, commit = sys.argv[1:6]
sbom, statement = json.load(open(sbom_path)), json.load(open(statement_path))
manifest = json.load(open(f"{image}/image.json"))
failures = []


def check(holds, text):
    if not holds:
        failures.append(text)


def digest(path, algorithm):
    return hashlib.new(algorithm, open(path, "rb").read()).hexdigest()


locked = {}
for lock in ("sources.lock", "debs.lock"):
    for line in open(f"{source}/toolchain/{lock}"):
        if not line.startswith("#"):
            sha, size, path, package, version, architecture = line.split()
            locked[sha] = (path.rsplit("/", 1)[1], package, version, architecture)
check(len(locked) > 300, "the locks are too short")
names = ["image.json"] + [file["path"] for file in manifest["files"].values()]

# ---- SPDX 2.3: what must be there, in which form (clauses 6 to 11 of the specification) --------------------------------
check(sbom["spdxVersion"] == "SPDX-2.3" and sbom["dataLicense"] == "CC0-1.0" and sbom["SPDXID"] == "SPDXRef-DOCUMENT", "head")
check(re.fullmatch(r"[a-z][a-z0-9+.-]*:[^#\s]+", sbom["documentNamespace"]), "documentNamespace is no absolute URI")
check(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", sbom["creationInfo"]["created"]), "created")
check(all(re.match("(Tool|Person|Organization): .", c) for c in sbom["creationInfo"]["creators"]), "creators")
known = {
    "document": "spdxVersion dataLicense SPDXID name documentNamespace creationInfo documentDescribes packages files relationships",
    "package": "SPDXID name versionInfo packageFileName supplier downloadLocation filesAnalyzed packageVerificationCode checksums "
    "sourceInfo licenseConcluded licenseDeclared copyrightText comment externalRefs primaryPackagePurpose",
    "file": "SPDXID fileName fileTypes checksums licenseConcluded licenseInfoInFiles copyrightText comment",
    "relationship": "spdxElementId relationshipType relatedSpdxElement comment",
}
for kind, items in (("document", [sbom]), ("package", sbom["packages"]), ("file", sbom["files"]), ("relationship", sbom["relationships"])):
    for item in items:
        check(set(item) <= set(known[kind].split()), f"{kind}: unknown member in {item.get('SPDXID', item)}")
ids = [item["SPDXID"] for item in [sbom] + sbom["packages"] + sbom["files"]]
check(len(ids) == len(set(ids)), "an SPDXID twice")
check(all(re.fullmatch(r"SPDXRef-[A-Za-z0-9.-]+", one) for one in ids), "an SPDXID with another character")
purposes = "APPLICATION FRAMEWORK LIBRARY CONTAINER OPERATING-SYSTEM DEVICE FIRMWARE SOURCE ARCHIVE FILE INSTALL OTHER".split()
for item in sbom["packages"]:
    id = item["SPDXID"]
    check(item["name"] and item["downloadLocation"] and item["primaryPackagePurpose"] in purposes, id)
    check(item["filesAnalyzed"] == ("packageVerificationCode" in item), f"{id}: verification code")
    for ref in item.get("externalRefs", []):
        if ref["referenceType"] == "purl":
            check(ref["referenceCategory"] == "PACKAGE-MANAGER" and re.fullmatch(
                r"pkg:deb/debian/([a-z0-9.-]|%2B)+@([A-Za-z0-9.:~-]|%2B)+\?arch=[a-z0-9]+", ref["referenceLocator"]), f"{id}: purl")
        else:
            check((ref["referenceCategory"], ref["referenceLocator"]) == ("PERSISTENT-ID", f"swh:1:rev:{commit}"), f"{id}: swh")
for item in sbom["files"]:
    check(item["fileName"].startswith("./") and item["fileTypes"], item["SPDXID"])
for item in sbom["packages"] + sbom["files"]:
    for sum in item.get("checksums", []):
        check(re.fullmatch("[0-9a-f]{%d}" % {"SHA1": 40, "SHA256": 64}[sum["algorithm"]], sum["checksumValue"]), item["SPDXID"])
types = "DESCRIBES CONTAINS GENERATED_FROM STATIC_LINK BUILD_TOOL_OF DEV_TOOL_OF".split()
for one in sbom["relationships"]:
    check(one["relationshipType"] in types and one["spdxElementId"] in ids and one["relatedSpdxElement"] in ids, f"relationship {one}")

# ---- against the files -------------------------------------------------------------------------------------------------
found = {f["fileName"][2:]: {s["algorithm"]: s["checksumValue"] for s in f["checksums"]} for f in sbom["files"]}
check(set(found) == set(names), f"files: {sorted(found)}")
for name, sums in found.items():
    check(sums == {"SHA1": digest(f"{image}/{name}", "sha1"), "SHA256": digest(f"{image}/{name}", "sha256")}, f"checksum of {name}")
whole = [p for p in sbom["packages"] if p["filesAnalyzed"]]
code = hashlib.sha1("".join(sorted(s["SHA1"] for s in found.values())).encode()).hexdigest()
check(len(whole) == 1 and whole[0]["packageVerificationCode"]["packageVerificationCodeValue"] == code, "verification code")
check(sbom["documentDescribes"] == [whole[0]["SPDXID"]], "what is described")

# ---- against the locks, the installed packages, and the licences -------------------------------------------------------
packages = {p["checksums"][0]["checksumValue"]: p for p in sbom["packages"] if "checksums" in p}
check(set(packages) == set(locked), "packages are not the lines of the locks")
for sha, (file, package, version, architecture) in locked.items():
    item = packages.get(sha, {})
    check((item.get("packageFileName"), item.get("name"), item.get("versionInfo")) == (file, package, version), f"package {package}")
related = {(r["spdxElementId"], r["relationshipType"], r["relatedSpdxElement"]) for r in sbom["relationships"]}
# dpkg of the root that this runs in: what is installed here is what the image was built with
installed = subprocess.run(["dpkg-query", "-W", "-f", "${Package} ${Version}\n"], capture_output=True, text=True, check=True).stdout
tools = {(p["name"], p["versionInfo"]) for p in packages.values() if (p["SPDXID"], "BUILD_TOOL_OF", whole[0]["SPDXID"]) in related}
check(tools == {tuple(line.split()) for line in installed.splitlines()}, "build tools are not dpkg's list")
licences = {}
for line in open(f"{source}/toolchain/licences"):
    if line.strip() and not line.startswith("#"):
        name, part, licence = line.split(maxsplit=2)
        licences[name] = (part, licence.strip())
ends = {"kernel": "SPDXRef-File-kernel", "agent": "SPDXRef-File-agent", "firmware": "SPDXRef-File-firmware"}
for item in packages.values():
    part, licence = licences.get(item["name"], ("tool", "NOASSERTION"))
    check(item["licenseDeclared"] == licence, f"licence of {item['name']}")
    if part in ends:
        check({(ends[part], type, item["SPDXID"]) for type in ("STATIC_LINK", "GENERATED_FROM")} & related, f"{item['name']} is in the {part}")
    else:
        check(not any(r[0] in ends.values() and r[2] == item["SPDXID"] for r in related), f"{item['name']} is not in the image")
for item in sbom["files"] + whole:
    check(item["licenseConcluded"] != "NOASSERTION", f"no licence of {item['SPDXID']}")

# ---- the statement -----------------------------------------------------------------------------------------------------
subjects = {s["name"]: s["digest"] for s in statement["subject"]}
check(len(subjects) == len(statement["subject"]), "a subject twice")
wanted = {name: {"sha256": digest(f"{image}/{name}", "sha256")} for name in names}
for model in json.load(open(f"{image}/reference-values.json"))["cpu_models"]:
    for i, one in enumerate(model["launch_digests"], 1):
        wanted[f"launch-digest:{model['signature']}:{i}"] = {"sha384": one}
check(len(wanted) > 1000 and subjects == wanted, "subjects are not the files and the launches of reference-values.json")
definition = statement["predicate"]["buildDefinition"]
dependencies = {(d["name"], *d["digest"].items()) for d in definition["resolvedDependencies"]}
check(("cvmin", ("gitCommit", commit)) in dependencies, "commit")
for sha, (file, *_) in locked.items():
    check((file, ("sha256", sha)) in dependencies, f"dependency {file}")
for one in manifest["inputs"]:
    check((one["name"], ("sha256", one["sha256"])) in dependencies, f"dependency {one['name']}")
check(len(dependencies) == 1 + len(locked) + len([i for i in manifest["inputs"] if i["kind"] != "source"]), "number of dependencies")
check(definition["externalParameters"]["debug"] == manifest["debug"], "debug")

for failure in failures[:20]:
    print("documents.py:", failure, file=sys.stderr)
sys.exit(1 if failures else 0)
