"""The examples' programs as black boxes; run by programs.sh in an empty directory. Every expected number comes from the code here."""
import collections
import csv
import importlib.util
import io
import json
import math
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


def loans():
    """The generator of the training example."""
    spec = importlib.util.spec_from_file_location("loans", EXAMPLES + "/model-training/data.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


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


def solve(matrix, vector):
    """Gauss, with the largest pivot."""
    rows = [list(row) + [value] for row, value in zip(matrix, vector)]
    size = len(rows)
    for i in range(size):
        pivot = max(range(i, size), key=lambda k: abs(rows[k][i]))
        rows[i], rows[pivot] = rows[pivot], rows[i]
        for k in range(size):
            if k != i:
                factor = rows[k][i] / rows[i][i]
                rows[k] = [a - factor * b for a, b in zip(rows[k], rows[i])]
    return [rows[i][size] / rows[i][i] for i in range(size)]


def slope(rows, labels, penalty, weights):
    """Gradient and Hessian of the penalized mean loss, in the features' own units; the bias is weights[0]."""
    size = len(weights)
    variances = [0.0] + [statistics.pvariance(column) for column in zip(*rows)]
    gradient = [penalty * v * w for v, w in zip(variances, weights)]
    hessian = [[penalty * variances[i] if i == j else 0.0 for j in range(size)] for i in range(size)]
    for row, label in zip(rows, labels):
        x = (1.0, *row)
        p = 1 / (1 + math.exp(-sum(a * b for a, b in zip(weights, x))))
        for i in range(size):
            gradient[i] += (p - label) * x[i] / len(rows)
            for j in range(size):
                hessian[i][j] += p * (1 - p) * x[i] * x[j] / len(rows)
    return gradient, hessian


def train(rows, labels, penalty):
    weights = [0.0] * (len(rows[0]) + 1)
    for _ in range(25):
        weights = [w - s for w, s in zip(weights, solve(*reversed(slope(rows, labels, penalty, weights))))]
    return weights


class ModelTraining(Program):
    program = "cvmin-example-train"
    names = ("--label", "y", "--feature", "a", "--feature", "b")
    both = names + ("--data", "1.csv", "--data", "2.csv")

    def model(self, *args):
        self.assertEqual(self.run_program(*args), (0, ""))
        self.assertEqual(os.listdir("out"), ["model.json"])
        with open("out/model.json", encoding="utf-8") as file:
            text = file.read()
        os.unlink("out/model.json")
        return text, json.loads(text)

    def check(self, model, names, rows, labels, penalty):
        weights = [model["bias"]] + [model["weights"][name] for name in names]
        self.assertEqual(list(model["weights"]), list(names))
        for found, wanted in zip(weights, train(rows, labels, penalty)):
            self.assertAlmostEqual(found, wanted, delta=1e-6)
        for part in slope(rows, labels, penalty, weights)[0]:  # it is the minimum
            self.assertAlmostEqual(part, 0, delta=1e-9)
        right = sum((weights[0] + sum(map(float.__mul__, weights[1:], row)) >= 0) == label for row, label in zip(rows, labels))
        self.assertEqual((model["rows"], model["penalty"]), (len(rows), penalty))
        self.assertAlmostEqual(model["training_accuracy"], right / len(rows), delta=1e-12)

    def random_rows(self, seed, count, weights=(0.3, 1.5, -0.7)):
        source = random.Random(seed)
        rows = [[10 * source.random(), 1000 * source.random() - 4] for _ in range(count)]
        labels = [int(source.random() < 1 / (1 + math.exp(-weights[0] - weights[1] * (a - 5) - weights[2] * (b - 500) / 100))) for a, b in rows]
        return rows, labels

    def put_rows(self, name, rows, labels):
        self.put(name, [["b", "other", "y", "a"]] + [[b, "x", label, a] for (a, b), label in zip(rows, labels)])

    def test_the_examples_model_is_that_of_plain_python_and_as_good_as_the_truth(self):
        data = loans()
        rows = [row for bank in ("north", "south") for row in data.rows(bank)]
        for bank in ("north", "south"):
            subprocess.run([sys.executable, EXAMPLES + "/model-training/data.py", bank, "in/%s.csv" % bank], check=True)
        args = [word for name in data.FEATURES for word in ("--feature", name)]
        text, model = self.model("--label", data.LABEL, *args, "--data", "north.csv", "--data", "south.csv")
        self.check(model, data.FEATURES, [list(map(float, row[:-1])) for row in rows], [row[-1] for row in rows], 0.01)
        # 0.03 is two deviations of the accuracy on 2,000 rows, and what 410 rows can teach
        new = list(data.rows("new"))
        subprocess.run([sys.executable, EXAMPLES + "/model-training/data.py", "new", "in/new.csv"], check=True)
        share = lambda weights: sum((data.probability(row, weights) >= 0.5) == row[-1] for row in new) / len(new)
        found, best = share({"bias": model["bias"], **model["weights"]}), share(data.TRUTH)
        self.assertGreater(found, best - 0.03)
        with open("in/model.json", "w", encoding="utf-8") as file:
            file.write(text)
        said = subprocess.run(
            [sys.executable, EXAMPLES + "/model-training/evaluate.py", "in/model.json", "in/new.csv"], check=True, capture_output=True, text=True
        )
        self.assertEqual(said.stdout, "%.4f\n" % found)
        for bank in ("north", "south"):
            alone = self.model("--label", data.LABEL, *args, "--data", bank + ".csv")[1]
            self.assertLess(share({"bias": alone["bias"], **alone["weights"]}), found)

    def test_models_of_random_rows_are_those_of_plain_python(self):
        for seed, (first, second, penalty) in enumerate(((100, 100, 0.01), (101, 500, 1e-6), (300, 100, 3))):
            rows, labels = self.random_rows(seed, first + second)
            self.put_rows("1.csv", rows[:first], labels[:first])
            self.put_rows("2.csv", rows[first:], labels[first:])
            args = self.both + ("--penalty", str(penalty))
            text, model = self.model(*args)
            self.check(model, ("a", "b"), rows, labels, penalty)
            self.assertEqual(self.model(*args)[0], text)  # the same bytes

    def test_rows_that_a_line_divides_have_a_model_all_the_same(self):
        rows = [[float(i), float(i * i % 7)] for i in range(200)]
        labels = [int(i >= 100) for i in range(200)]
        self.put_rows("1.csv", rows[::2], labels[::2])
        self.put_rows("2.csv", rows[1::2], labels[1::2])
        for penalty in ("1e-6", "0.01", "1000"):
            model = self.model(*self.both, "--penalty", penalty)[1]
            weights = [model["bias"], model["weights"]["a"], model["weights"]["b"]]
            for part in slope(rows[::2] + rows[1::2], labels[::2] + labels[1::2], float(penalty), weights)[0]:
                self.assertAlmostEqual(part, 0, delta=1e-7)

    def test_too_little_and_too_uniform_is_refused(self):
        rows, labels = self.random_rows(5, 200)
        self.put_rows("1.csv", rows[:100], labels[:100])
        self.put_rows("2.csv", rows[:99], labels[:99])
        self.refuses(REFUSED, "2.csv: fewer than 100 rows", *self.both)
        self.put_rows("2.csv", rows[100:], labels[100:])
        self.model(*self.both)
        self.refuses(REFUSED, "1.csv: fewer than 101 rows", *self.both, "--minimum-rows", "101")
        self.put_rows("1.csv", rows[:100], [1] * 100)
        self.put_rows("2.csv", rows[100:], [1] * 100)
        self.refuses(REFUSED, "y: all rows have the same label", *self.both)
        for name in ("1.csv", "2.csv"):
            self.put_rows(name, [[0.1, b] for _, b in rows[:100]], labels[:100])
        self.refuses(REFUSED, "a: all rows have the same value, or it is too large", *self.both)
        wide = ["f%d" % i for i in range(20)]
        for name in ("1.csv", "2.csv"):
            self.put(name, [wide + ["y"]] + [[random.random() for _ in wide] + [label] for label in labels[:100]])
        args = [word for name in wide for word in ("--feature", name)]
        self.refuses(REFUSED, "wanted 210 rows for so many features, and there are fewer", *self.both[:2], *args, *self.both[6:])

    def test_wrong_columns_and_rows_are_named_by_place_and_not_by_content(self):
        rows, labels = self.random_rows(6, 200)
        self.put_rows("1.csv", rows[:100], labels[:100])
        self.put_rows("2.csv", rows[100:], labels[100:])
        self.refuses(BAD_INPUT, '1.csv: line 1: none of the 4 columns is "c"', *self.both, "--feature", "c")
        bad = [list(row) for row in rows[100:]]
        bad[41][1] = "secret"
        self.put_rows("2.csv", bad, labels[100:])
        self.refuses(BAD_INPUT, "2.csv: line 43: b is no number", *self.both)
        self.put_rows("2.csv", rows[100:], labels[100:199] + [2])
        self.refuses(BAD_INPUT, "2.csv: line 101: y is neither 0 nor 1", *self.both)

    def test_wrong_options_are_named(self):
        self.refuses(USAGE, "--feature: found 0, wanted 1 to 32", "--label", "y", "--data", "1.csv")
        self.refuses(USAGE, "--data: found 0, wanted 1 to 16", *self.names)
        self.refuses(USAGE, "--feature y: wanted once, and not as label", *self.both, "--feature", "y")
        self.refuses(USAGE, "--feature a: wanted once, and not as label", *self.both, "--feature", "a")
        self.refuses(USAGE, "--data 1.csv: wanted once", *self.both, "--data", "1.csv")
        self.refuses(USAGE, "--penalty: wanted 0.000001 to 1000", *self.both, "--penalty", "0")
        self.refuses(USAGE, "--minimum-rows: wanted a whole number from 50 to 10000000", *self.both, "--minimum-rows", "49")


unittest.main()
