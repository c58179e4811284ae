#!/usr/bin/env python3
"""check_dom.py DOM VERDICT.json: the DOM that a browser made of a verdict's page says what the JSON verdict says."""
import html.parser
import json
import sys

dom = open(sys.argv[1], encoding="utf-8").read()
verdict = json.load(open(sys.argv[2], encoding="utf-8"))
problems = []


class Reader(html.parser.HTMLParser):
    """Text by id, rows of the table of checks, and whatever could load or run something."""

    def __init__(self):
        super().__init__()
        self.ids, self.rows, self.text, self.title = {}, [], "", ""
        self.open, self.cell, self.in_style, self.in_title = [], None, False, False
        self.active = []

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if tag in ("script", "iframe", "object", "embed", "link", "img", "form", "base") or any(
            name.startswith("on") or name in ("src", "srcset", "action") for name in attrs
        ):
            self.active.append(tag)
        self.in_style = tag == "style" or self.in_style
        self.in_title = tag == "title"
        if "id" in attrs:
            self.ids[attrs["id"]] = ""
            self.open.append([attrs["id"], tag, 0])
        for entry in self.open:
            entry[2] += entry[1] == tag
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th") and self.rows:
            self.rows[-1].append("")
            self.cell = True

    def handle_endtag(self, tag):
        if tag == "style":
            self.in_style = False
        self.in_title = False
        for entry in self.open:
            entry[2] -= entry[1] == tag
        self.open = [entry for entry in self.open if entry[2] > 0]
        if tag in ("td", "th"):
            self.cell = None

    def handle_data(self, data):
        if self.in_style:
            if "url(" in data or "@import" in data:
                self.active.append("style")
            return
        if self.in_title:
            self.title += data
        self.text += data
        for name, _, _ in self.open:
            self.ids[name] += data
        if self.cell and self.rows:
            self.rows[-1][-1] += data


reader = Reader()
reader.feed(dom)


def expect(holds, text):
    if not holds:
        problems.append(text)


word = "ACCEPTED" if verdict["accepted"] else "REFUSED"
expect(reader.ids.get("verdict") == word, f"the verdict is {reader.ids.get('verdict')!r}, not {word}")
expect(reader.title.startswith(word), f"the title is {reader.title!r}")
expect(("emulated" in reader.ids) == verdict["emulated"], "EMULATED is not where it belongs")
expect(("why" in reader.ids) == (not verdict["accepted"]), "reasons are not where they belong")
expect(not reader.active, f"something that loads or runs: {reader.active}")
for part in ("chain", "tcb", "policy", "platform", "measurement", "binding", "checks"):
    expect(part in reader.ids, f"no part {part}")
rows = {row[1]: row for row in reader.rows if len(row) == 5}
for check in verdict["checks"]:
    row = rows.get(check["check"])
    expect(row is not None, f"no row for {check['check']}")
    if row:
        expect(row[0] == check["outcome"].replace("_", " "), f"{check['check']}: outcome {row[0]!r}")
        expect(row[2] == check["found"] or not check["found"], f"{check['check']}: found {row[2]!r}")
        same = check["outcome"] == "passed" and check["found"] == check["wanted"]
        expect(row[3] == ("the same" if same else check["wanted"] or "-"), f"{check['check']}: wanted {row[3]!r}")
        expect(row[4] == check["anchor"], f"{check['check']}: anchor {row[4]!r}")
    if check["outcome"] == "failed":
        expect(check["check"] in reader.ids.get("why", ""), f"{check['check']} is not among the reasons")
for answer in ("genuine", "acceptable"):
    if answer in verdict:
        text = {True: "yes", False: "no"}.get(verdict[answer], verdict[answer])
        expect(reader.ids.get(answer) == text, f"{answer} is {reader.ids.get(answer)!r}, not {text!r}")
for advisory in verdict.get("advisories", []):
    shown = advisory["id"] in reader.ids.get("advisories", "")
    expect(shown == (advisory["state"] != "met"), f"{advisory['id']}: {advisory['state']}")
if verdict["report"]:
    expect(verdict["report"]["measurement"] in reader.ids["measurement"], "the launch digest is not shown")
for problem in problems:
    print("check_dom.py:", problem, file=sys.stderr)
sys.exit(1 if problems else 0)
