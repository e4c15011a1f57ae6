"""Asks Great Expectations what it makes of suite.toml and data.csv, for pipeline/tables/tests/great_expectations.rs.

By hand, when a rule is added or its meaning changes:

    pip install great_expectations==1.24.1 pandas==3.1.1
    python tests/reference/great_expectations/ask.py

Writes data.csv, the same each time, and results.json: what each rule found, without what changes from run to run.
"""

import csv
import json
import random
import tomllib
import warnings
from pathlib import Path

import great_expectations as gx
import pandas as pd

FOLDER = Path(__file__).parent
# Our names of types; pandas has its own.
TYPES = {"integer": "int64", "float": "float64", "int64": "int64", "string": "str"}


def write_data(path):
    rng = random.Random(7)
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow("part station label width light score code time before after split".split())
        for row in range(60):
            missing = rng.random() < 0.15
            light = round(rng.gauss(100, 15), 3)
            before = rng.randrange(20)
            writer.writerow(
                [
                    1000 + row,
                    "" if row % 11 == 5 else f"S{row % 4 + 1}",
                    rng.choice(["ok", "ok", "ok", "dent", "scratch"]),
                    rng.choice([64, 64, 64, 128, 256]),
                    "" if missing else light,
                    round(rng.random(), 2),
                    "" if row % 13 == 3 else rng.choice(["AB-12", "CD-345", "ef-6", "GH-78", "AB-12"]),
                    f"2026-01-05T{6 + row // 20:02}:{(row * 3 + (5 if row == 40 else 0)) % 60:02}:00Z",
                    "" if row in (8, 9) else before,
                    "" if row in (9, 10) else before + rng.randrange(-1, 6),
                    "train" if row < 40 else "test",
                ]
            )


def ask(batch, rule):
    rule = dict(rule)
    name = "".join(word.capitalize() for word in f"expect_{rule.pop('expect')}".split("_"))
    rule.pop("severity", None)
    if "type_" in rule:
        rule["type_"] = TYPES[rule["type_"]]
    found = batch.validate(getattr(gx.expectations, name)(**rule)).to_json_dict()
    assert not found["exception_info"]["raised_exception"], found
    result = found["result"]
    # Ours have fewer examples' companions; both list the same rows.
    for key in ("partial_unexpected_counts",):
        result.pop(key, None)
    return {"expect": name, "success": bool(found["success"]), "result": result}


def main():
    warnings.filterwarnings("ignore")
    write_data(FOLDER / "data.csv")
    data = pd.read_csv(FOLDER / "data.csv")
    rules = tomllib.loads((FOLDER / "suite.toml").read_text())["rule"]
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    asset = context.data_sources.add_pandas("pandas").add_dataframe_asset("data")
    batch = asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": data})
    results = [ask(batch, rule) for rule in rules]
    lines = ",\n".join(json.dumps(result, default=float) for result in results)
    (FOLDER / "results.json").write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main()
