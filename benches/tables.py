"""Tables of ten million rows: `takt drift report` in constant memory, `takt data validate` beside reading the file.

    python -m venv tables && tables/bin/pip install numpy pyarrow
    tables/bin/python benches/tables.py TAKT [MILLIONS]

TAKT is built with the feature `tables`. Two Parquet files of MILLIONS (10) million rows and ten columns of doubles are
compared with each other, and a tenth of each beside that: memory must not grow with rows. One is held against twelve
rules, in turn with PyArrow reading it in batches. Prints wall and processor seconds, the most resident memory, and how much
of it, looked at every 10 ms, is not pages of mapped files.
"""

import json
import sys
import tempfile

from processes import measure, write_apart

NAMES = [f"x{i}" for i in range(10)]
GROUP = 1 << 17

READ = """
import sys
import pyarrow.parquet as parquet
rows = sum(batch.num_rows for batch in parquet.ParquetFile(sys.argv[1]).iter_batches(batch_size=1 << 16))
print(rows)
"""


def write(path, rows, shift, seed):
    import numpy as np
    import pyarrow as arrow
    import pyarrow.parquet as parquet

    rng = np.random.default_rng(seed)
    schema = arrow.schema([(name, arrow.float64()) for name in NAMES])
    with parquet.ParquetWriter(path, schema) as writer:
        for begin in range(0, rows, GROUP):
            count = min(GROUP, rows - begin)
            columns = [rng.normal(shift * (i % 3), 1, count).round(4) for i in range(10)]
            writer.write_table(arrow.table(columns, schema=schema))


def suite(rows):
    rules = [("table_row_count_to_be_between", f"min_value = {rows}\nmax_value = {rows}")]
    rules += [("column_values_to_not_be_null", f'column = "{name}"') for name in NAMES[:4]]
    rules += [("column_values_to_be_between", f'column = "{name}"\nmin_value = -9\nmax_value = 9') for name in NAMES[4:8]]
    rules += [("column_mean_to_be_between", 'column = "x8"\nmin_value = -1\nmax_value = 1')]
    rules += [("column_stdev_to_be_between", 'column = "x9"\nmin_value = 0.9\nmax_value = 1.1')]
    rules += [("column_pair_values_a_to_be_greater_than_b", 'column_A = "x0"\ncolumn_B = "x1"\nmostly = 0.1')]
    assert len(rules) == 12
    return "".join(f'[[rule]]\nexpect = "{name}"\n{keys}\n' for name, keys in rules)


def show(what, command):
    text, (wall, cpu, memory, own) = measure(command, every=0.01)
    print(f"{what:34}{wall:10.2f}{cpu:10.2f}{memory:10.1f}{own:10.1f}", flush=True)
    return text


def main():
    takt, rows = sys.argv[1], int(float(sys.argv[2]) * 1e6) if len(sys.argv) > 2 else 10_000_000
    with tempfile.TemporaryDirectory() as folder:
        small, large, rules = [], [], f"{folder}/suite.toml"
        for files, count in ((small, rows // 10), (large, rows)):
            for shift, seed in ((0.0, 1), (0.02, 2)):
                files.append(f"{folder}/{count}-{seed}.parquet")
                write_apart(files[-1], count, shift, seed)
        with open(rules, "w") as file:
            file.write(suite(rows))
        print(f"{'':34}{'wall s':>10}{'CPU s':>10}{'MB':>10}{'MB own':>10}")
        for (reference, current), count in ((small, rows // 10), (large, rows)):
            settings = f"{folder}/settings.toml"
            with open(settings, "w") as file:
                file.write("exact_rows = 0\n")
            sides = ["--reference", reference, "--current", current, "--settings", settings, "--json"]
            report = json.loads(show(f"drift report, {count:,} rows", [takt, "drift", "report", *sides]))
            assert not any(column["exact"] for column in report["columns"]) and report["verdict"] == "ok", report["verdict"]
        for _ in range(3):
            show("data validate, twelve rules", [takt, "data", "validate", rules, "--data", large[0], "--json"])
            show("PyArrow reads the same file", [sys.executable, "-c", READ, large[0]])


if __name__ == "__main__":
    if sys.argv[1] == "--write":
        write(sys.argv[2], int(sys.argv[3]), float(sys.argv[4]), int(sys.argv[5]))
    else:
        main()
