"""`takt drift report` beside Evidently's whole process: the same two tables, in turn, and the same PSI.

    python -m venv evidently && evidently/bin/pip install 'evidently==0.7.23' 'pandas<3' pyarrow
    evidently/bin/python benches/drift.py TAKT [ROUNDS]

TAKT is built with the feature `tables`. Two Parquet files of 100,000 rows and ten columns (eight of numbers, two of
categories) are compared by PSI, with an HTML page, by either. Prints wall and processor seconds, the most resident
memory and, looked at every 5 ms, how much of it is not pages of mapped files (the program itself is one) as medians, and
the greatest difference of the two PSI.
"""

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from processes import measure, write_apart

ROWS = 100_000
NUMBERS = [f"x{i}" for i in range(8)]

THEIRS = """
import json, sys
import pandas as pd
from evidently import Dataset, Report
from evidently.presets import DataDriftPreset

reference, current, out = sys.argv[1:]
report = Report([DataDriftPreset(method="psi")])
found = report.run(Dataset.from_pandas(pd.read_parquet(current)), Dataset.from_pandas(pd.read_parquet(reference)))
found.save_html(out + ".html")
open(out, "w").write(found.json())
"""


def write(path, shift, seed):
    import numpy as np
    import pandas as pd

    rng = np.random.default_rng(seed)
    columns = {name: rng.normal(shift * (i % 3), 1 + 0.1 * i * shift, ROWS) for i, name in enumerate(NUMBERS)}
    columns["label"] = rng.choice(["ok", "dent", "scratch"], ROWS, p=[0.8 - shift / 10, 0.1 + shift / 10, 0.1])
    columns["station"] = rng.choice([f"S{i}" for i in range(6)], ROWS)
    pd.DataFrame(columns).to_parquet(path)


def their_psi(path):
    metrics = json.loads(Path(path).read_text())["metrics"]
    named = ((metric["config"]["column"], metric["value"]) for metric in metrics if "column" in metric["config"])
    return dict(named)


def our_psi(text):
    columns = json.loads(text)["columns"]
    return {column["column"]: column["psi"]["psi"] for column in columns}


def main():
    takt, rounds = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 5
    with tempfile.TemporaryDirectory() as folder:
        reference, current, out = (f"{folder}/{name}" for name in ("reference.parquet", "current.parquet", "out"))
        write_apart(reference, 0.0, 1)
        write_apart(current, 0.3, 2)
        sides = ["--reference", reference, "--current", current]
        ours = [takt, "drift", "report", *sides, "--binning", "sturges-union", "--json", "--html", f"{out}.html"]
        theirs = [sys.executable, "-c", THEIRS, reference, current, f"{out}.theirs"]
        found = {"takt": [], "evidently": []}
        for _ in range(rounds):
            text, taken = measure(ours, stderr=subprocess.DEVNULL)
            found["takt"].append(taken)
            found["evidently"].append(measure(theirs, stderr=subprocess.DEVNULL)[1])
        a, b = our_psi(text), their_psi(f"{out}.theirs")
    assert a.keys() == b.keys(), (a, b)
    medians = {name: [statistics.median(column) for column in zip(*runs)] for name, runs in found.items()}
    print(f"{'':12}{'wall s':>10}{'CPU s':>10}{'MB':>10}{'MB own':>10}")
    for name, (wall, cpu, memory, own) in medians.items():
        print(f"{name:12}{wall:10.3f}{cpu:10.3f}{memory:10.1f}{own:10.1f}")
    ratios = [theirs / ours for ours, theirs in zip(medians["takt"], medians["evidently"])]
    print(f"{'times':12}" + "".join(f"{ratio:10.1f}" for ratio in ratios))
    print(f"greatest difference of PSI, relative: {max(abs(a[name] / b[name] - 1) for name in a):.1e}")


if __name__ == "__main__":
    if sys.argv[1] == "--write":
        write(sys.argv[2], float(sys.argv[3]), int(sys.argv[4]))
    else:
        main()
