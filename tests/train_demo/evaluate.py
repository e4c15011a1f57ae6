"""Figures of a classifier that judges parts, and the decision that validation suggests."""

import numpy as np

from images import LABELS

GOOD = [LABELS.index("ok")]
# Shares of defects and of good parts that may fall on the wrong side outside the uncertain band, on validation.
ESCAPES, FALSE_REJECTS = 0.02, 0.01
# A defect class below this score is no finding.
THRESHOLD = 0.5


def scores(logits):
    """Softmax, in double precision."""
    powers = np.exp(logits.astype(np.float64) - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def choose_band(logits, labels):
    """Defect scores that call for a person: chosen on validation, two decimals; None where no band is needed."""
    defect_scores = 1 - scores(logits)[:, GOOD].sum(1)
    good = np.isin(labels, GOOD)
    low = np.floor(100 * np.quantile(defect_scores[~good], ESCAPES)) / 100
    high = np.ceil(100 * np.quantile(defect_scores[good], 1 - FALSE_REJECTS)) / 100
    low, high = max(0.02, min(low, 0.5)), min(0.98, max(high, 0.5))
    return {"low": float(low), "high": float(high)} if low < high else None


def verdicts(logits, band):
    """`good`, `defect` or `uncertain` for every row, by the rules of takt-artifact's `judge`."""
    rows = scores(logits)
    classes, best = logits.argmax(1), rows.max(1)
    defect_scores = 1 - rows[:, GOOD].sum(1)
    good = np.isin(classes, GOOD)
    uncertain = ~good & (best < THRESHOLD)
    if band:
        uncertain |= (band["low"] <= defect_scores) & (defect_scores < band["high"])
    return np.where(uncertain, "uncertain", np.where(good, "good", "defect"))


def wilson(hits, total):
    """Wilson's 95 % interval of a share."""
    z = 1.96
    share, scale = hits / total, 1 + z * z / total
    middle = (share + z * z / (2 * total)) / scale
    half = z / scale * np.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    return [rounded(middle - half), rounded(middle + half)]


def rounded(x):
    return round(float(x), 4)


def evaluate(logits, labels, band):
    """Figures of one split, ready for JSON."""
    predicted = logits.argmax(1)
    confusion = np.zeros((len(LABELS), len(LABELS)), int)
    np.add.at(confusion, (labels, predicted), 1)
    recall = confusion.diagonal() / confusion.sum(1)
    precision = confusion.diagonal() / np.maximum(confusion.sum(0), 1)
    hits, total = int(confusion.diagonal().sum()), len(labels)
    given, good = verdicts(logits, band), np.isin(labels, GOOD)
    return {
        "images": total,
        "accuracy": rounded(hits / total),
        "accuracy_95": wilson(hits, total),
        "balanced_accuracy": rounded(recall.mean()),
        "recall": dict(zip(LABELS, map(rounded, recall))),
        "precision": dict(zip(LABELS, map(rounded, precision))),
        "confusion": confusion.tolist(),
        "escape_rate": rounded((given[~good] == "good").mean()),
        "false_reject_rate": rounded((given[good] == "defect").mean()),
        "uncertain_rate": rounded((given == "uncertain").mean()),
    }
