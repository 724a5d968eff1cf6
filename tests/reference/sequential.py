"""Makes sequential.json: levels of group-sequential looks and paired t tests for src/stats/sequential.rs.

    pip install scipy && python sequential.py > sequential.json

The bounds solve the spending equations by Gauss-Legendre quadrature and Brent's method; each is held against the
probability of the same rectangle by scipy.stats.multivariate_normal (Genz's algorithm), which knows of no looks.
Spending functions as in Lan and DeMets (Biometrika 70, 1983), each side of a two-sided test with half of alpha.
"""

import json
import pathlib

import numpy as np
from scipy import stats
from scipy.optimize import brentq

NODES, WEIGHTS = np.polynomial.legendre.leggauss(400)


def spent(spending, alpha, t):
    if spending == "pocock":
        return alpha * np.log(1 + (np.e - 1) * t)
    return 2 * (2 - 2 * stats.norm.cdf(stats.norm.ppf(1 - alpha / 4) / np.sqrt(t)))


def levels(spending, alpha, information, of):
    times = np.array(information) / of
    bounds, before, places, mass = [], 0.0, np.zeros(1), np.ones(1)
    for k, t in enumerate(times):
        sd = np.sqrt(t - (times[k - 1] if k else 0))
        due = alpha if t >= 1 else spent(spending, alpha, t)

        def out(c):
            b = c * np.sqrt(t)
            return (mass * (stats.norm.sf((b - places) / sd) + stats.norm.sf((b + places) / sd))).sum()

        bounds.append(brentq(lambda c: out(c) - (due - before), 0.5, 12, xtol=1e-13))
        before = due
        end = bounds[-1] * np.sqrt(t)
        here = NODES * end
        density = (mass * stats.norm.pdf((here[:, None] - places) / sd) / sd).sum(axis=1)
        places, mass = here, WEIGHTS * end * density
    bounds = np.array(bounds)
    inside = rectangle(times, bounds)
    assert abs(1 - inside - before) < 2e-5, (spending, alpha, information, 1 - inside, before)
    return dict(spending=spending, alpha=alpha, information=information, of=of, levels=(2 * stats.norm.sf(bounds)).tolist())


def rectangle(times, bounds):
    """The chance that normal statistics at these times all lie within their bounds."""
    low, high = np.minimum.outer(times, times), np.maximum.outer(times, times)
    law = stats.multivariate_normal(np.zeros(len(times)), np.sqrt(low / high), maxpts=2_000_000, abseps=1e-7, seed=1)
    return law.cdf(bounds, lower_limit=-bounds)


# Published constants of the same recursion, Jennison and Turnbull (2000), tables 2.1 and 2.3, and of Lan-DeMets bounds as
# the programs of the field print them (five looks, two-sided 0.05).
fifths = np.arange(1, 6) / 5
assert abs(1 - rectangle(fifths, np.full(5, 2.413)) - 0.05) < 1e-4
assert abs(1 - rectangle(fifths, 2.040 / np.sqrt(fifths)) - 0.05) < 1e-4
printed = stats.norm.isf(np.array(levels("obrien-fleming", 0.05, [1, 2, 3, 4, 5], 5)["levels"]) / 2)
assert np.allclose(printed, [4.8769, 3.3569, 2.6803, 2.2898, 2.0310], atol=2e-4), printed
printed = stats.norm.isf(np.array(levels("pocock", 0.05, [1, 2, 3, 4, 5], 5)["levels"]) / 2)
assert np.allclose(printed, [2.4380, 2.4268, 2.4101, 2.3966, 2.3859], atol=2e-4), printed

paired = json.loads((pathlib.Path(__file__).parent / "stats.json").read_text())["paired"]
out = dict(
    looks=[levels(spending, alpha, information, of) for spending in ["obrien-fleming", "pocock"] for alpha, information, of in [
        (0.05, [1, 2, 3, 4, 5], 5), (0.05, [5, 10, 15, 20], 20), (0.05, [10, 20], 20), (0.01, [5, 6, 7, 8], 8),
        (0.05 / 6, [5, 10, 15, 20, 25], 25), (0.05, [4, 9, 17], 20), (0.1, [3, 30], 30),
    ]],
    student=[float(stats.ttest_1samp(case["differences"], 0).pvalue) for case in paired],
)
print(json.dumps(out, indent=1))
