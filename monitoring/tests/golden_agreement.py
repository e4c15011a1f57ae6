"""Golden values for takt_monitoring::agreement, written to golden_agreement.json beside this file.

    pip install scikit-learn==1.9.1 statsmodels==0.15.0 krippendorff==0.9.0 crowd-kit==1.4.2
    python golden_agreement.py

The tests compare with the file and need none of this.
"""

import json
import pathlib

import krippendorff
import numpy as np
import pandas as pd
from crowdkit.aggregation import DawidSkene
from sklearn.metrics import cohen_kappa_score
from statsmodels.stats.inter_rater import aggregate_raters, fleiss_kappa

CLASSES = 4


def ratings(seed, items, annotators, error, missing):
    """One row per item, one number per annotator; -1 where it was not rated."""
    rng = np.random.default_rng(seed)
    truth = rng.choice(CLASSES, items, p=[0.5, 0.25, 0.15, 0.1])
    table = np.repeat(truth[:, None], annotators, axis=1)
    wrong = rng.random(table.shape) < error
    table[wrong] = rng.integers(0, CLASSES, wrong.sum())
    table[rng.random(table.shape) < missing] = -1
    return table


def dawid_skene(table):
    rows = [(i, a, c) for i, row in enumerate(table) for a, c in enumerate(row) if c >= 0]
    data = pd.DataFrame(rows, columns=["task", "worker", "label"])
    # All rounds: its own rule stops while probabilities still move.
    model = DawidSkene(n_iter=150, tol=-np.inf).fit(data)
    probabilities = model.probas_.sort_index()[sorted(model.probas_.columns)]
    return probabilities.to_numpy().tolist()


def complete(seed, items, annotators, error):
    table = ratings(seed, items, annotators, error, 0.0)
    a, b = table[:, 0], table[:, 1]
    kappa = lambda weights: cohen_kappa_score(a, b, labels=range(CLASSES), weights=weights)
    counts, _ = aggregate_raters(table, n_cat=CLASSES)
    return {
        "table": table.tolist(),
        "cohen": {"plain": kappa(None), "linear": kappa("linear"), "quadratic": kappa("quadratic")},
        "fleiss": fleiss_kappa(counts),
        "krippendorff": krippendorff.alpha(reliability_data=table.T, level_of_measurement="nominal"),
    }


def with_gaps(seed, items, annotators, error):
    table = ratings(seed, items, annotators, error, 0.3)
    table = table[(table >= 0).any(axis=1)]
    holes = np.where(table < 0, np.nan, table.astype(float))
    return {
        "table": table.tolist(),
        "krippendorff": krippendorff.alpha(reliability_data=holes.T, level_of_measurement="nominal"),
    }


def estimated(seed, items, annotators, error, missing):
    table = ratings(seed, items, annotators, error, missing)
    return {"table": table.tolist(), "items": dawid_skene(table)}


golden = {
    "complete": [complete(1, 60, 3, 0.1), complete(2, 40, 5, 0.4), complete(3, 25, 2, 0.9)],
    "with_gaps": [with_gaps(4, 60, 4, 0.15), with_gaps(5, 30, 3, 0.3)],
    # Reliable enough for the likelihood to have a clear maximum.
    "dawid_skene": [estimated(6, 120, 5, 0.2, 0.0), estimated(7, 150, 6, 0.25, 0.2)],
}
path = pathlib.Path(__file__).with_suffix(".json")
path.write_text(json.dumps(golden) + "\n")
