"""The examples' programs as black boxes; run by programs.sh in an empty directory. Every expected number comes from the code here."""
import collections
import csv
import io
import os
import random
import shutil
import statistics
import subprocess
import sys
import unittest

PROGRAMS = os.environ["CVMIN_EXAMPLES"]
EXAMPLES = os.environ["CVMIN_SRC"] + "/examples"
REFUSED, USAGE, BAD_INPUT, SYSTEM = 1, 2, 3, 4


class Program(unittest.TestCase):
    program = None

    def setUp(self):
        for folder in ("in", "out"):
            shutil.rmtree(folder, ignore_errors=True)
            os.mkdir(folder)

    def put(self, name, content):
        if isinstance(content, list):
            text = io.StringIO()
            csv.writer(text).writerows(content)
            content = text.getvalue()
        with open("in/" + name, "w", newline="", encoding="utf-8") as out:
            out.write(content)

    def run_program(self, *args):
        done = subprocess.run(
            [PROGRAMS + "/" + self.program, "--in", "in", "--out", "out", *args], capture_output=True, text=True, timeout=60, check=False
        )
        return done.returncode, done.stderr.strip()

    def refuses(self, code, message, *args):
        self.assertEqual(self.run_program(*args), (code, message))
        self.assertEqual(os.listdir("out"), [], "something was written all the same")


class JoinedStatistics(Program):
    program = "cvmin-example-join"
    keys = ("--key", "id", "--left", "l.csv", "--right", "r.csv")
    all = keys + ("--group", "g", "--value", "v", "--range", "0:1000")

    def result(self, *args):
        self.assertEqual(self.run_program(*args), (0, ""))
        self.assertEqual(os.listdir("out"), ["statistics.csv"])
        with open("out/statistics.csv", newline="", encoding="utf-8") as file:
            rows = list(csv.reader(file))
        os.unlink("out/statistics.csv")
        return rows[0], {(row[0], row[1]): row[2:] for row in rows[1:]}

    def sides(self, groups, value=lambda group, i: i):
        """groups: name -> rows that are in both files."""
        left, right = [["id", "g"]], [["id", "v"]]
        for name, count in groups.items():
            for i in range(count):
                left.append(["%s-%d" % (name, i), name])
                right.append(["%s-%d" % (name, i), value(name, i)])
        self.put("l.csv", left)
        self.put("r.csv", right)

    def expect(self, text, values):
        count, mean, deviation = text
        self.assertEqual(int(count), len(values))
        self.assertAlmostEqual(float(mean), statistics.fmean(values), delta=0.00005001)
        self.assertAlmostEqual(float(deviation), statistics.stdev(values), delta=0.00005001)

    def test_numbers_of_the_example_are_those_of_python(self):
        for side in ("hospital", "clinic"):
            subprocess.run([sys.executable, EXAMPLES + "/joined-statistics/data.py", side, "in/%s.csv" % side], check=True)
        with open("in/hospital.csv", newline="", encoding="utf-8") as hospital, open("in/clinic.csv", newline="", encoding="utf-8") as clinic:
            left, right = ({row["patient"]: row for row in csv.DictReader(file)} for file in (hospital, clinic))
        both = left.keys() & right.keys()
        groups = collections.defaultdict(list)
        for key in both:
            groups[left[key]["treatment"]].append(int(right[key]["days"]))
        small = {name for name, values in groups.items() if len(values) < 10}
        self.assertTrue(small and len(groups) - len(small) >= 3, "the data shows nothing")
        other = [value for name in small for value in groups[name]]
        if 0 < len(other) < 10:
            smallest = min((name for name in groups if name not in small), key=lambda name: len(groups[name]))
            small.add(smallest)
            other += groups[smallest]
        header, rows = self.result(
            *"--key patient --left hospital.csv --group treatment --right clinic.csv --value days --range 0:365 --minimum 10".split()
        )
        self.assertEqual(header, ["kind", "group", "count", "mean", "deviation"])
        self.assertEqual(set(rows), {("all", ""), ("other", "")} | {("group", name) for name in groups if name not in small})
        self.expect(rows["all", ""], [int(right[key]["days"]) for key in both])
        self.expect(rows["other", ""], other)
        for name in groups.keys() - small:
            self.expect(rows["group", name], groups[name])
        # and only how many there are
        header, rows = self.result("--key", "patient", "--left", "hospital.csv", "--right", "clinic.csv")
        self.assertEqual((header, rows), (["kind", "group", "count"], {("all", ""): [str(len(both))]}))

    def test_numbers_of_random_tables_are_those_of_python(self):
        source = random.Random(7)
        for _ in range(20):
            groups = {name: source.randrange(0, 40) for name in ("a", "b,c", "ä", "d d", "e")}
            values = {}
            value = lambda group, i: values.setdefault((group, i), round(source.uniform(-1e6, 1e6), source.randrange(0, 6)))
            self.sides(groups, value)
            minimum = source.randrange(5, 20)
            _, rows = self.result(*self.keys, "--group", "g", "--value", "v", "--range", "-1e6:1e6", "--minimum", str(minimum))
            shown = {name for kind, name in rows if kind == "group"}
            hidden = [v for (group, _), v in values.items() if group not in shown]
            self.assertEqual(("other", "") in rows, bool(hidden))
            for name in shown:
                self.assertGreaterEqual(groups[name], minimum)
                self.expect(rows["group", name], [v for (group, _), v in values.items() if group == name])
            if hidden:
                self.assertGreaterEqual(len(hidden), minimum)
                self.expect(rows["other", ""], hidden)
            self.expect(rows["all", ""], list(values.values()))

    def test_order_of_rows_changes_nothing(self):
        self.sides({"a": 30, "b": 12, "c": 3}, lambda group, i: i * 0.1)
        first = self.result(*self.all)
        for name in ("l.csv", "r.csv"):
            with open("in/" + name, newline="", encoding="utf-8") as file:
                rows = list(csv.reader(file))
            self.put(name, rows[:1] + rows[:0:-1])
        self.assertEqual(self.result(*self.all), first)

    def test_a_rest_that_is_too_small_takes_the_smallest_group_along(self):
        self.sides({"big": 50, "middle": 20, "ten": 10, "nine": 9})
        _, rows = self.result(*self.all)
        self.assertEqual({name for kind, name in rows if kind == "group"}, {"big", "middle"})
        self.assertEqual(rows["other", ""][0], "19")
        self.sides({"big": 50, "middle": 20, "five": 5, "six": 6})  # 11 together: large enough
        _, rows = self.result(*self.all)
        self.assertEqual({name for kind, name in rows if kind == "group"}, {"big", "middle"})
        self.sides({"big": 50, "one": 1})  # then there is no group at all
        _, rows = self.result(*self.all)
        self.assertEqual({key: value[0] for key, value in rows.items()}, {("all", ""): "51", ("other", ""): "51"})

    def test_a_group_of_equal_values_is_not_shown(self):
        self.sides({"big": 50, "same": 20}, lambda group, i: 7 if group == "same" else i)
        _, rows = self.result(*self.all)  # nor as the rest: 20 rows that all have 7
        self.assertEqual(set(rows), {("all", ""), ("other", "")})
        header, rows = self.result(*self.keys, "--group", "g")  # where there is no value it tells nothing
        self.assertEqual((header[-1], rows["group", "same"]), ("count", ["20"]))

    def test_too_little_in_common_is_refused_and_not_counted(self):
        wanted = "nothing is said about the rows that are in both files: there are too few; wanted 10 or more, of different values"
        for count in (0, 1, 9):
            self.sides({"a": count})
            self.refuses(REFUSED, wanted, *self.all)
            self.refuses(REFUSED, wanted, *self.keys)
        self.sides({"a": 10})
        self.result(*self.all)
        self.refuses(REFUSED, wanted.replace("10", "11"), *self.all, "--minimum", "11")
        self.sides({"a": 40}, lambda group, i: 3)
        self.refuses(REFUSED, wanted.replace("there are too few", "all have the same value"), *self.all)

    def test_wrong_columns_and_rows_are_named_by_place_and_not_by_content(self):
        self.sides({"a": 20})
        self.refuses(BAD_INPUT, 'l.csv: line 1: none of the 2 columns is "nr"', "--key", "nr", *self.all[2:])
        self.put("r.csv", "id,v,v\n1,2,3\n")
        self.refuses(BAD_INPUT, 'r.csv: line 1: more than one column is "v"', *self.all)
        for rows, message in (
            ("a-0,1\n,2\n", "line 3: id is empty"),
            ("a-0,1\na-1,2\na-0,3\n", "line 4: id is that of line 2, too"),
            ("secret,secret\n", "line 2: v is no number within --range"),
            ("secret,-0.5\n", "line 2: v is no number within --range"),
            ("secret,1000.001\n", "line 2: v is no number within --range"),
            ("secret,1,2\n", "line 2: 3 fields; wanted 2, as in the first line"),
            ('secret,"1\n', "line 2: a quoted field does not end"),
        ):
            self.put("r.csv", "id,v\n" + rows)
            self.refuses(BAD_INPUT, "r.csv: " + message, *self.all)
        self.sides({"a": 20})
        for group in ("", "x" * 65, 'say "secret"', "a\nb"):
            self.put("l.csv", [["id", "g"], ["a-0", group]])
            self.refuses(
                BAD_INPUT, "l.csv: line 2: g is no name of a group; wanted 1 to 64 bytes without quotation marks", *self.all
            )
        self.put("l.csv", "")
        self.refuses(BAD_INPUT, "l.csv: the file is empty; wanted a first line with the names of columns", *self.all)
        os.unlink("in/l.csv")
        self.refuses(SYSTEM, "l.csv: No such file or directory", *self.all)

    def test_wrong_options_are_named(self):
        self.sides({"a": 20})
        self.refuses(USAGE, "--minimum: wanted a whole number from 5 to 1000000", *self.keys, "--minimum", "4")
        self.refuses(USAGE, "--minimum: wanted a whole number from 5 to 1000000", *self.keys, "--minimum", "5.5")
        self.refuses(USAGE, "--minimum: found x, wanted a number", *self.keys, "--minimum", "x")
        self.refuses(USAGE, "--value and --range LOW:HIGH are wanted both or neither", *self.keys, "--value", "v")
        self.refuses(USAGE, "--value and --range LOW:HIGH are wanted both or neither", *self.keys, "--range", "0:1")
        for text in ("1:1", "2:1", "1", "a:b"):
            self.refuses(USAGE, "--range: found %s, wanted LOW:HIGH, two numbers" % text, *self.keys, "--value", "v", "--range", text)
        self.refuses(USAGE, "--key: wanted, and not there", *self.keys[2:])
        self.refuses(USAGE, "--key: given 2 times; wanted once", *self.keys, "--key", "id")
        self.refuses(USAGE, "--group: wanted a value", *self.keys, "--group")
        code, message = self.run_program("--nothing", "1")
        self.assertEqual((code, message.split(";")[0]), (USAGE, 'no option "--nothing"'))


unittest.main()
