# licences.py SBOM: each licence of the document is an expression over SPDX's own list of licences.
import json
import sys

from license_expression import get_spdx_licensing

licensing = get_spdx_licensing()
document = json.load(open(sys.argv[1]))
seen = set()
for item in document["packages"] + document["files"]:
    for member in ("licenseConcluded", "licenseDeclared"):
        text = item.get(member, "NOASSERTION")
        if text == "NOASSERTION" or text in seen:
            continue
        seen.add(text)
        errors = licensing.validate(text).errors
        if errors:
            sys.exit(f"licences: {item['SPDXID']}: {text}: {errors}")
if len(seen) < 5:
    sys.exit(f"licences: only {seen} were seen")
print(len(seen), "expressions")
