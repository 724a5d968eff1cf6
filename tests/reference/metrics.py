"""Makes metrics.json: scores by scikit-learn and SciPy, null where the metric is undefined.

    pip install scikit-learn scipy numpy && python metrics.py > metrics.json

scikit-learn gives 0 for an undefined Matthews correlation or F1; those cases are null here by their definition (an
empty row or column of the table of predictions and labels; class 1 neither predicted nor present).
"""

import json
import warnings

import numpy as np
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

warnings.filterwarnings("ignore")


def classes(name, predictions, labels):
    p, l = np.array(predictions), np.array(labels)
    scores = {"accuracy": accuracy_score(l, p)}
    defined = len(set(predictions)) > 1 and len(set(labels)) > 1
    scores["matthews"] = matthews_corrcoef(l, p) if defined else None
    if max(predictions + labels) <= 1:
        scores["f1"] = f1_score(l, p) if (p == 1).any() or (l == 1).any() else None
    return dict(name=name, predictions=predictions, labels=labels, scores=scores)


def values(name, predictions, labels):
    # As 32-bit numbers, which is what a model gives.
    p, l = np.array(predictions, np.float32), np.array(labels, np.float32)
    constant = len(set(p.tolist())) == 1 or len(set(l.tolist())) == 1
    pearson, spearman = pearsonr(p.astype(np.float64), l.astype(np.float64))[0], spearmanr(p, l)[0]
    scores = dict(pearson=None if constant else float(pearson), spearman=None if constant else float(spearman))
    return dict(name=name, predictions=p.tolist(), labels=l.tolist(), scores=scores)


rng = np.random.default_rng(7)
ints = lambda high, n: rng.integers(0, high, n).tolist()
cases = [
    classes("two classes", ints(2, 60), ints(2, 60)),
    classes("perfect", [0, 1, 1, 0], [0, 1, 1, 0]),
    classes("all wrong", [1, 0, 0, 1], [0, 1, 1, 0]),
    classes("imbalanced", [1] * 40 + [0] * 3, [1] * 38 + [0, 0, 0, 1, 0]),
    classes("predictions all 1", [1, 1, 1, 1], [0, 1, 1, 0]),
    classes("predictions all 0", [0, 0, 0, 0], [0, 1, 1, 0]),
    classes("labels all 1", [0, 1, 1, 0], [1, 1, 1, 1]),
    classes("labels all 0", [0, 1, 1, 0], [0, 0, 0, 0]),
    classes("only class 0", [0, 0, 0], [0, 0, 0]),
    classes("only class 1", [1, 1, 1], [1, 1, 1]),
    classes("one row", [1], [1]),
    classes("three classes", ints(3, 80), ints(3, 80)),
    classes("three classes, one never predicted", ints(2, 80), ints(3, 80)),
    classes("three classes, collapsed", [2] * 30, ints(3, 30)),
    values("no ties", rng.normal(size=50).tolist(), rng.normal(size=50).tolist()),
    values("ties on both sides", (rng.integers(0, 6, 70) / 2).tolist(), (rng.integers(0, 11, 70) / 2).tolist()),
    values("ties in labels, correlated", (np.arange(40) + rng.normal(size=40) * 6).tolist(), (np.arange(40) // 5).tolist()),
    values("two rows", [1.0, 2.0], [5.0, 3.0]),
    values("far from zero", (1000 + rng.normal(size=30) * 0.01).tolist(), rng.normal(size=30).tolist()),
    values("constant predictions", [0.1] * 7, [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 1.0]),
    values("constant labels", [0.0, 1.0, 2.0], [3.3, 3.3, 3.3]),
    values("negative", [3.0, 2.0, 1.0, 0.0], [0.0, 1.0, 2.5, 9.0]),
]
print("[" + ",\n".join(json.dumps(case) for case in cases) + "]")
