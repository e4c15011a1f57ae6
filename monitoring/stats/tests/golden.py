#!/usr/bin/env python3
"""Asks scipy, numpy and Evidently for the values that golden.rs compares, and writes golden.json beside itself.

    pip install scipy==1.17.1 evidently==0.7.23 "pandas<3"
    PYTHONHASHSEED=0 python golden.py

Samples are rounded, so that the file holds them exactly. Evidently adds up categories in the order of a set; the seed makes
the last digit of such a sum the same each time.
"""

import json
import pathlib
import warnings

import evidently
import numpy as np
import pandas as pd
import scipy
from evidently.legacy.calculations.stattests.psi import _psi
from evidently.legacy.core import ColumnType
from scipy import stats
from scipy.spatial.distance import jensenshannon

warnings.filterwarnings("ignore")
rng = np.random.default_rng(20_260_301)


def rounded(values, digits=3):
    return [round(float(v), digits) for v in values]


def samples():
    """Pairs of samples: sizes alike and unlike, coprime and not, ties, atoms, heavy tails, constants."""
    i = np.arange(100)
    return {
        "five_and_six": ([0.1, 0.4, 0.7, 1, 1.3], [0.2, 0.9, 1.1, 1.6, 1.8, 2]),
        "ties": ([1, 1, 2, 2, 3, 3, 4], [1, 2, 2, 3, 4, 4, 5, 5]),
        "powers": (list(i / 100), list((i / 100) ** 0.8 + 0.05)),
        "normal_60_45": (rounded(rng.normal(size=60)), rounded(rng.normal(0.4, 1, 45))),
        "normal_64_64": (rounded(rng.normal(size=64)), rounded(rng.normal(0.2, 1.3, 64))),
        "cauchy_97_31": (rounded(rng.standard_cauchy(97)), rounded(rng.standard_cauchy(31) + 2)),
        "atom_80_50": (
            rounded(np.where(rng.random(80) < 0.5, 0, rng.exponential(size=80)), 2),
            rounded(np.where(rng.random(50) < 0.3, 0, rng.exponential(size=50)), 2),
        ),
        "whole_numbers_150_200": (rounded(rng.poisson(3, 150), 0), rounded(rng.poisson(3.4, 200), 0)),
        "many_whole_numbers_150_200": (rounded(rng.poisson(80, 150), 0), rounded(rng.poisson(85, 200), 0)),
        "constants": ([2.5] * 30, [2.5] * 20),
        "apart": (rounded(rng.random(40)), rounded(rng.random(25) + 2)),
        "one_against_seven": ([0.5], rounded(rng.random(7))),
    }


def distances():
    rows = []
    for name, (a, b) in samples().items():
        exact = stats.ks_2samp(a, b, method="exact")
        rows.append({
            "name": name,
            "a": a,
            "b": b,
            "ks": exact.statistic,
            "ks_p_exact": exact.pvalue,
            "ks_p_asymptotic": stats.ks_2samp(a, b, method="asymp").pvalue,
            "wasserstein": stats.wasserstein_distance(a, b),
            "psi_sturges_union": _psi(pd.Series(a, dtype=float), pd.Series(b, dtype=float), ColumnType.Numerical, 0.1)[0],
            "psi_reference_deciles": psi_reference_quantile(a, b, 10),
        })
    return rows


def psi_reference_quantile(reference, current, bins):
    """None where quantiles coincide: what becomes of their bins is our own definition."""
    edges = np.quantile(reference, np.arange(1, bins) / bins)
    if len(np.unique(edges)) < len(edges):
        return None
    shares = [np.bincount(np.searchsorted(edges, side, side="right"), minlength=bins) / len(side) for side in (reference, current)]
    r, c = (np.where(side == 0, 1e-4, side) for side in shares)
    return float(np.sum((r - c) * np.log(r / c)))


def ks_exact():
    """Of distances that sizes of samples allow, p from about 1 to far out."""
    rows = []
    for n, m in [(10, 10), (50, 50), (100, 37), (300, 200), (1000, 999), (2000, 1500), (5000, 5000), (10_000, 700)]:
        lcm = int(np.lcm(n, m))
        for scaled in [0.3, 0.6, 0.9, 1.2, 1.6, 2.2, 4.0, 8.0]:
            h = round(scaled * np.sqrt((n + m) / (n * m)) * lcm)
            if 0 < h <= lcm:
                success, d, p = stats._stats_py._attempt_exact_2kssamp(n, m, int(np.gcd(n, m)), h / lcm, "two-sided")
                assert success
                rows.append({"n": n, "m": m, "d": d, "p": float(p)})
    return rows


def kolmogorov():
    rows = []
    for n in [1, 2, 5, 20, 77, 140, 141, 500, 3_333, 50_000, 100_000, 500_000]:
        for scaled in [0.2, 0.35, 0.5, 0.7, 0.86, 0.9, 1.0, 1.3, 1.49, 1.7, 2.1, 3.0, 5.0, 12.0]:
            d = scaled / np.sqrt(n)
            if d < 1.05:
                rows.append({"n": n, "d": d, "p": float(stats.kstwo.sf(d, n))})
        rows += [{"n": n, "d": t / n, "p": float(stats.kstwo.sf(t / n, n))} for t in [0.4, 0.7, 1.0] if t < n]
    return rows


def categories():
    rows = []
    for reference, current in [
        ({"a": 50, "b": 30, "c": 20}, {"a": 40, "b": 30, "c": 25, "d": 5}),
        ({"a": 1, "b": 99_999}, {"b": 500, "c": 500}),
        ({"good": 970, "scratch": 20, "dent": 10}, {"good": 900, "scratch": 70, "dent": 30}),
    ]:
        keys = sorted(reference | current)
        r, c = ([side.get(key, 0) for key in keys] for side in (reference, current))
        series = [pd.Series([k for k, n in side.items() for _ in range(n)], dtype="category") for side in (reference, current)]
        chi = stats.chi2_contingency([r, c], correction=False)
        rows.append({
            "reference": r,
            "current": c,
            "psi_evidently": _psi(*series, ColumnType.Categorical, 0.1)[0],
            "chi_square": chi.statistic,
            "degrees": chi.dof,
            "p": chi.pvalue,
            "jensen_shannon": jensenshannon(r, c),
        })
    return rows


def noncentral():
    rows = []
    for degrees in [1, 2, 9, 30, 999]:
        for noncentrality in [0, 0.3, 12, 150, 1_364.5, 75_000, 1e6]:
            law = stats.ncx2(degrees, noncentrality) if noncentrality else stats.chi2(degrees)
            for p in [0.001, 0.01, 0.3, 0.9, 0.99, 0.9999]:
                x = float(law.ppf(p))
                rows.append({"degrees": degrees, "noncentrality": noncentrality, "p": p, "x": x, "cdf": float(law.cdf(x))})
    return rows


def rates():
    """By quantiles of the beta distribution; binomtest's proportion_ci solves for them to eight digits only."""

    def lower(hits, trials, error):
        return stats.beta.ppf(error, hits, trials - hits + 1) if hits else 0.0

    def upper(hits, trials, error):
        return stats.beta.isf(error, hits + 1, trials - hits) if hits < trials else 1.0

    rows = []
    for hits, trials in [(0, 300), (1, 300), (3, 1_000), (37, 10_000), (5_000, 10_000), (999, 1_000), (4, 2_000_000), (900_000, 3_000_000)]:
        for error in [0.1, 0.01, 0.0001]:
            rows.append({
                "hits": hits,
                "trials": trials,
                "error": error,
                "interval": [lower(hits, trials, error / 2), upper(hits, trials, error / 2)],
                "lower": lower(hits, trials, error),
                "upper": upper(hits, trials, error),
            })
    return rows


def falls():
    """Two rates against the dispersion of old ones, by the formulas of a quasi-binomial test."""
    rows = []
    for periods, before, after in [
        ([], (1_200, 20_000), (1_050, 20_000)),
        ([(600, 6_000), (700, 6_000), (520, 6_000), (640, 6_000)], (600, 6_000), (500, 5_000)),
        ([(600, 6_000), (700, 6_000), (520, 6_000), (640, 6_000)], (640, 6_000), (300, 6_000)),
        ([(100, 1_000), (101, 1_000), (99, 1_000)], (100, 1_000), (60, 1_000)),
    ]:
        factor, degrees = 1.0, np.inf
        if periods:
            k, n = np.array(periods, float).T
            p = k.sum() / n.sum()
            degrees = len(periods) - 1
            factor = max(1.0, float(((k - n * p) ** 2 / (n * p * (1 - p))).sum()) / degrees)
        (k1, n1), (k2, n2) = before, after
        p = (k1 + k2) / (n1 + n2)
        t = (k2 / n2 - k1 / n1) / np.sqrt(factor * p * (1 - p) * (1 / n1 + 1 / n2))
        law = stats.norm if np.isinf(degrees) else stats.t(degrees)
        rows.append({"periods": periods, "before": before, "after": after, "factor": factor, "statistic": t, "p_fall": float(law.cdf(t))})
    return rows


def quantiles():
    values = sorted(rounded(rng.normal(size=37)))
    qs = [0, 0.1, 0.25, 1 / 3, 0.5, 0.77, 0.99, 1]
    return {"sorted": values, "q": qs, "values": list(np.quantile(values, qs))}


def plain(value):
    """numpy's numbers as Python's."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    return value.item() if isinstance(value, np.generic) else value


golden = {
    "made_with": f"scipy {scipy.__version__}, numpy {np.__version__}, evidently {evidently.__version__}",
    "distances": distances(),
    "ks_exact": ks_exact(),
    "kolmogorov": kolmogorov(),
    "categories": categories(),
    "noncentral": noncentral(),
    "rates": rates(),
    "falls": falls(),
    "quantiles": quantiles(),
}
lines = []
for key, value in plain(golden).items():
    if isinstance(value, list):
        rows = ",\n".join("  " + json.dumps(row) for row in value)
        lines.append(f"{json.dumps(key)}: [\n{rows}\n]")
    else:
        lines.append(f"{json.dumps(key)}: {json.dumps(value)}")
pathlib.Path(__file__).with_name("golden.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")
