"""How fast records are asked, with 100,000 of them in the results folder; `make bench` runs it.

    python3 benches/records.py [records, default 100000] [folder that keeps them, default a temporary one]

Needs the release build and nothing else: the records are made up. Half a gigabyte of disk.
"""

import itertools
import json
import pathlib
import random
import sys
import tempfile

from bars import SWEEP, Table

TASKS = ["cola", "sst2", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte"]
MODELS = [f"model-{i}" for i in range(5)]
RATES = [0.05 * i for i in range(1, 13)]
LINES = [("vanilla", None)] + [(mode, round(p, 2)) for mode in ("child-f", "child-d") for p in RATES]
LEARNING_RATES = [i * 1e-5 for i in range(1, 11)]
SEEDS = range(1, 11)
MEMORY_BAR_MIB = 1024


def run_of(task, model, mode, p, lr, seed):
    recipe = dict(
        epochs=3, max_steps=None, train_size=None, dev_size=None, batch_size=16, max_length=128, lr=lr, warmup=0.1,
        weight_decay=0.01, beta1=0.9, beta2=0.999, eps=1e-8, max_grad_norm=1.0, dropout=None, shuffle=True,
    )
    numbers = {} if p is None else {"fidelity": "paper", "p": p}
    return {
        "task": {"name": task, "hash": f"{TASKS.index(task):064x}"},
        "model": {"name": model, "hash": f"{MODELS.index(model):020x}"},
        "mode": mode,
        "method": {"name": mode, "numbers": numbers},
        "recipe": recipe,
        "seed": seed,
    }


def record_of(name, run, draw=random.Random(2), failing=0.01):
    task = run["task"]["name"]
    level = 0.6 + (0.03 * TASKS.index(task) if task in TASKS else 0) + (0.01 if run["mode"] == "child-d" else 0)
    scores = [{"accuracy": min(1.0, level + 0.01 * epoch + draw.gauss(0, 0.01))} for epoch in range(3)]
    epochs = [{"epoch": e + 1, "step": 100 * (e + 1), "loss": 0.7 - 0.1 * e, "dev": s} for e, s in enumerate(scores)]
    p = run["method"]["numbers"].get("p")
    mask = {"key": name, "kept": int(p * 10646784), "of": 10646784} if run["mode"] == "child-d" else None
    done = {
        "metric": "accuracy", "dev": scores[-1], "epochs": epochs, "collapsed": False, "steps": 300,
        "train_examples": 1600, "dev_examples": 800, "mask": mask,
    }
    end = {"done": done} if draw.random() >= failing else {"failed": {"diverged": {"step": 7}}}
    made = {
        "commit": "0123456789ab", "version": "0.1.0", "libtorch": "2.11.0", "device": "cpu", "device_name": "made up",
        "threads": 1, "started": "2026-01-01T00:00:00Z",
        "seconds": {"evaluate": 2.5, "load": 0.1, "prepare": 1.5, "train": 20.25}, "peak_memory_mib": 800.0,
        "attempt": 1,
    }
    return {"format": 1, "id": name, "run": run, "end": end, "made": made}


def make(root, count):
    """A results folder with one sweep of so many records; left alone where it is there already."""
    manifest = root / "big/manifest.json"
    if manifest.exists():
        return
    draw = random.Random(1)
    grid = itertools.product(SEEDS, TASKS, MODELS, LINES, LEARNING_RATES)
    runs = []
    for number, (seed, task, model, (mode, p), lr) in enumerate(itertools.islice(grid, count)):
        name = f"{number * 0x9E3779B97F4A7C15 % 2**64:016x}{number:04x}"[:20]
        run = run_of(task, model, mode, p, lr, seed)
        folder = root / "runs" / name
        folder.mkdir(parents=True)
        (folder / "record.json").write_text(json.dumps(record_of(name, run, draw), indent=2) + "\n")
        runs.append([name, run])
    manifest.parent.mkdir(parents=True)
    whole = {"format": 1, "name": "big", "question": None, "tune": ["lr"], "select": "dev", "runs": runs}
    manifest.write_text(json.dumps(whole, indent=2) + "\n")


def measure(table, count=100_000, folder=None):
    with tempfile.TemporaryDirectory() as temporary:
        root = pathlib.Path(folder or temporary)
        make(root, count)
        by_mode = "SELECT mode, avg(score) AS score FROM runs GROUP BY mode"
        rows = [
            ("sweep table, first call", 10.0, ["table", "big"]),
            ("sweep table", 2.0, ["table", "big"]),
            ("sweep table big settings", 2.0, ["table", "big", "settings"]),
            ("sweep query, mean by mode", 3.0, ["query", by_mode]),
            ("sweep query, evals", 5.0, ["query", "SELECT way, count(*) AS n FROM evals GROUP BY way"]),
            ("sweep query, every run as CSV", 10.0, ["query", "SELECT * FROM runs", "--format", "csv"]),
            ("sweep compare, two modes", 10.0, ["compare", "big", "--modes", "vanilla,child-d"]),
        ]
        for what, bar, command in rows:
            table.call(what, bar, [SWEEP, *command, "--results", root], memory=MEMORY_BAR_MIB)


if __name__ == "__main__":
    found = Table()
    measure(found, int(sys.argv[1]) if len(sys.argv) > 1 else 100_000, sys.argv[2] if len(sys.argv) > 2 else None)
    found.exit()
