"""Makes stats.json: the statistics of src/stats/ by SciPy, statsmodels, deepsig, rliable and autorank.

    pip install scipy statsmodels deepsig rliable autorank "pandas<3" && python stats.py > stats.json

The expanded percentile interval is in no package; it is drawn here a million times from its definition (Hesterberg,
"What Teachers Should Know About the Bootstrap", The American Statistician 69, 2015, section 4.2). Hedges' factor is the
exact one, with gamma functions (Hedges, Journal of Educational Statistics 6, 1981).
"""

import contextlib
import json
import sys

import autorank
import numpy as np
import pandas as pd
from deepsig import aso
from rliable import library, metrics
from scipy import special, stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower

rng = np.random.default_rng(11)
compute_violation_ratio = sys.modules["deepsig.aso"].compute_violation_ratio


def interval(values):
    x = np.array(values)
    n = len(x)
    if n < 5:
        low, high = stats.t.interval(0.95, n - 1, loc=x.mean(), scale=stats.sem(x))
    else:
        tail = stats.norm.cdf(-np.sqrt(n / (n - 1)) * stats.t.ppf(0.975, n - 1))
        means = np.concatenate([x[rng.integers(0, n, (100_000, n))].mean(axis=1) for _ in range(10)])
        low, high = np.quantile(means, [tail, 1 - tail])
    return dict(values=values, low=float(low), high=float(high))


def paired(differences):
    d = np.array(differences)
    n, effect = len(d), d.mean() / d.std(ddof=1)
    flips = stats.permutation_test(
        (d,), np.mean, permutation_type="samples", n_resamples=np.inf if n <= 16 else 200_000, rng=3
    )
    nonzero = d[d != 0]
    ranks = stats.rankdata(np.abs(nonzero))
    if len(nonzero) <= 16:  # ties: SciPy has the exact distribution by enumeration only
        signed = stats.permutation_test(
            (np.sign(nonzero) * ranks,), np.sum, permutation_type="samples", n_resamples=np.inf, vectorized=False
        ).pvalue
    else:
        method = "exact" if len(nonzero) <= 50 and len(set(ranks)) == len(ranks) and len(nonzero) == n else "asymptotic"
        signed = stats.wilcoxon(nonzero, method=method, correction=False).pvalue
    nu = n - 1
    hedges = np.exp(special.gammaln(nu / 2) - special.gammaln((nu - 1) / 2)) / np.sqrt(nu / 2)
    return dict(
        differences=differences,
        permutation=float(flips.pvalue),
        wilcoxon=float(signed),
        effect=float(effect * hedges),
    )


def two_samples(x, y):
    a, b = np.array(x), np.array(y)
    epsilons = [aso(x, y, confidence_level=0.95, num_bootstrap_iterations=1000, show_progress=False, seed=s) for s in (1, 2)]
    return dict(
        x=x,
        y=y,
        improvement=float(stats.mannwhitneyu(a, b).statistic / (len(a) * len(b))),
        improvement_rliable=float(metrics.probability_of_improvement(a[:, None], b[:, None])),
        # deepsig integrates in steps of dt.
        violation=float(compute_violation_ratio(a, b, dt=1e-4)),
        epsilon=float(np.mean(epsilons)),
    )


def iqm(tasks):
    scores = np.array(tasks).T  # runs x tasks
    point, ends = library.get_interval_estimates(
        {"a": scores}, lambda s: np.array([metrics.aggregate_iqm(s)]), reps=20_000, random_state=np.random.RandomState(5)
    )
    return dict(tasks=tasks, iqm=float(point["a"][0]), low=float(ends["a"][0, 0]), high=float(ends["a"][1, 0]))


def ranked(rows):
    scores = np.array(rows)  # tasks x treatments
    n, k = scores.shape
    frame = pd.DataFrame(scores, columns=[f"m{i}" for i in range(k)])
    with contextlib.redirect_stdout(sys.stderr):  # autorank prints
        result = autorank.autorank(frame, approach="frequentist", force_mode="nonparametric", verbose=False)
    ranks = np.array([stats.rankdata(-row) for row in scores]).mean(axis=0)
    assert np.allclose(sorted(ranks), sorted(result.rankdf["meanrank"])), "autorank ranks otherwise"
    friedman = stats.friedmanchisquare(*scores.T)
    assert np.isclose(friedman.pvalue, result.pvalue)
    critical = stats.studentized_range.ppf(0.95, k, np.inf) / np.sqrt(2) * np.sqrt(k * (k + 1) / (6 * n))
    assert abs(critical - result.cd) < 2e-3 * result.cd, "autorank's critical difference"
    return dict(rows=rows, ranks=ranks.tolist(), statistic=float(friedman.statistic), p=float(friedman.pvalue), cd=float(critical))


def power(effect):
    needed = TTestPower().solve_power(effect_size=effect, alpha=0.05, power=0.8, alternative="two-sided")
    return dict(effect=effect, needed=float(np.squeeze(needed)))


def power_at(effect, n):
    t, nu = stats.t.ppf(0.975, n - 1), n - 1
    shift = effect * np.sqrt(n)
    return dict(effect=effect, n=n, power=float(stats.nct.sf(t, nu, shift) + stats.nct.cdf(-t, nu, shift)))


def normal(mean, sd, n, digits=4):
    return np.round(rng.normal(mean, sd, n), digits).tolist()


out = dict(
    interval=[interval(v) for v in [
        normal(0.6, 0.02, 3), normal(0.6, 0.02, 4), normal(0.6, 0.02, 5), normal(0.6, 0.05, 6), normal(0, 0.02, 7),
        normal(0, 1, 8), normal(0.6, 0.02, 10), np.round(rng.exponential(1, 20), 3).tolist(), normal(3, 1, 60),
    ]],
    paired=[paired(d) for d in [
        normal(0.02, 0.02, 3), normal(0.02, 0.02, 5), normal(0.01, 0.02, 10), normal(0.01, 0.02, 16),
        [0.01, -0.01, 0.02, 0.02, 0.0, 0.03, -0.02, 0.0], [0.0036, 0.0072, 0.0, 0.0036, 0.0108, -0.0036, 0.0036, 0.0144],
        normal(0.006, 0.02, 20, 8), normal(0.004, 0.02, 40, 8), normal(0.003, 0.02, 60, 8), np.round(rng.normal(0.5, 2, 70)).tolist(),
    ]],
    two_samples=[two_samples(x, y) for x, y in [
        (normal(0.62, 0.02, 10), normal(0.60, 0.02, 10)), (normal(0.60, 0.02, 10), normal(0.60, 0.02, 10)),
        (normal(0.60, 0.01, 5), normal(0.61, 0.03, 5)), (normal(0.60, 0.02, 8), normal(0.59, 0.02, 12)),
        (np.round(rng.normal(0.7, 0.02, 10), 2).tolist(), np.round(rng.normal(0.69, 0.02, 10), 2).tolist()),
    ]],
    holm=[dict(raw=raw, adjusted=multipletests(raw, method="holm")[1].tolist()) for raw in [
        [0.01, 0.04, 0.03, 0.005], [0.5], [0.2, 0.2, 0.9, 1.0], rng.random(12).tolist(),
    ]],
    iqm=[iqm([normal(m, 0.03, n) for m in means]) for means, n in [
        ([0.6, 0.7, 0.9, 0.85], 10), ([0.6, 0.62], 3), ([0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.3], 5),
    ]],
    ranks=[ranked(rows) for rows in [
        [normal(0.6 + 0.02 * t, 0.02, 4) for t in range(6)],
        [np.round(rng.normal([0.6, 0.62, 0.65, 0.7, 0.7], 0.01), 2).tolist() for _ in range(9)],
        [[0.5, 0.5, 0.6], [0.7, 0.7, 0.7], [0.4, 0.5, 0.5], [0.9, 0.8, 0.8], [0.1, 0.2, 0.3]],
    ]],
    power=[power(e) for e in [0.15, 0.3, 0.5, 0.8, 1.0, 1.5, 2.5]],
    power_at=[power_at(e, n) for e, n in [(0.5, 2), (0.0, 10), (0.3, 20), (1.2, 10), (2.0, 5), (0.1, 500)]],
)
print(json.dumps(out, indent=1))
