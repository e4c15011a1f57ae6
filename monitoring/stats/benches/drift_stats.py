"""The peers of drift_stats.rs: numpy and scipy on the samples in two files of little-endian f64.

Waits for a line, computes, answers with a line of JSON: milliseconds and values; so both sides can take turns.
"""

import json
import sys
import time

import numpy as np
import scipy
from scipy import stats

reference, current, shifted = (np.fromfile(path, dtype="<f8") for path in sys.argv[1:4])
deciles = np.quantile(reference, np.arange(1, 10) / 10)
edges = np.concatenate([[-np.inf], deciles, [np.inf]])
shares = np.histogram(reference, edges)[0] / len(reference)


def psi_with_edges():
    c = np.histogram(current, edges)[0] / len(current)
    return float(np.sum((shares - c) * np.log(shares / c)))


def psi():
    inner = np.quantile(reference, np.arange(1, 10) / 10)
    outer = np.concatenate([[-np.inf], inner, [np.inf]])
    r, c = (np.histogram(side, outer)[0] / len(side) for side in (reference, current))
    return float(np.sum((r - c) * np.log(r / c)))


def ks(other):
    found = stats.ks_2samp(reference, other, method="asymp")
    return [float(found.statistic), float(found.pvalue)]


tasks = {
    "histogram, 10 equal bins": lambda: float(np.histogram(current, bins=10)[0][0]),
    "PSI, reference known": psi_with_edges,
    "PSI from raw values": psi,
    "KS, same distribution": lambda: ks(current),
    "KS, shifted": lambda: ks(shifted),
    "Wasserstein": lambda: float(stats.wasserstein_distance(reference, current)),
}
print(json.dumps(f"numpy {np.__version__}, scipy {scipy.__version__}"), flush=True)
for line in sys.stdin:
    began = time.perf_counter()
    value = tasks[line.strip()]()
    print(json.dumps({"ms": (time.perf_counter() - began) * 1e3, "value": value}), flush=True)
