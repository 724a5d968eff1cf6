"""sweep beside the Trainer of transformers on this machine: same model, data, batch, steps and threads, in turn.

    python3 benches/peer.py [--data DIR] [--pairs 3] [--steps 30] [--only speed,start,warm,sweep]

`make bench-peer` sets the Trainer's virtual environment up (.peer, 5 GB) and calls this. Needs the release build, the
demo's model and real GLUE files (--data or SWEEP_DATA); without those it says so and ends. Two hours by default.

Every figure is a ratio: how many times sweep is faster than the Trainer, or how much of its memory it takes. Pairs are
measured in turn, so that a busy minute hits both.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

from bars import HERE, SWEEP, Ratios

PEER = HERE / ".peer/bin/python"
MODEL = HERE / "models/all-MiniLM-L6-v2"
THREADS = 2
# Least ratio of training examples per second: beside padding to 128 tokens, and beside padding to the longest.
SPEED = {"cola": (8, 2), "sst2": (8, 2), "rte": (2, 1.5), "mrpc": (3, 1.5), "stsb": (3, 1.5)}

FILE = """
name = "peer"
[grid]
task  = [{tasks}]
model = "all-MiniLM-L6-v2"
mode  = [{modes}]
seed  = {{ from = {first}, to = {last} }}
{rates}
[train]
lr     = 4e-5
epochs = 3
{train}
"""


class Ours:
    """A sweep that is trained anew, with its records."""

    def __init__(self, data, tasks, modes=("vanilla",), rates=(0.3,), first=1, seeds=1, slots=1, **train):
        quoted = lambda names: ", ".join(f'"{name}"' for name in names)
        keys = "\n".join(f"{key} = {value}" for key, value in train.items())
        of_mode = [f"[mode.{mode}]\np = {list(rates)}" for mode in modes if mode != "vanilla"]
        text = FILE.format(
            tasks=quoted(tasks), modes=quoted(modes), rates="\n".join(of_mode), first=first, last=first + seeds - 1,
            train=keys,
        )
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder) / "peer.toml"
            file.write_text(text)
            command = [SWEEP, "run", file, "--results", folder, "--data", data, "--devices", "cpu"]
            command += ["--slots-per-device", str(slots)] if slots else []
            start = time.perf_counter()
            done = subprocess.run([str(part) for part in command], cwd=HERE, capture_output=True, text=True)
            self.wall = time.perf_counter() - start
            if done.returncode:
                sys.exit(done.stderr)
            paths = pathlib.Path(folder).glob("runs/*/record.json")
            self.records = sorted((json.loads(path.read_text()) for path in paths), key=lambda r: r["made"]["started"])

    def seconds(self, *phases):
        return [sum(record["made"]["seconds"].get(phase, 0.0) for phase in phases) for record in self.records]

    def examples_per_second(self):
        [record], [seconds] = self.records, self.seconds("train")
        return record["end"]["done"]["steps"] * 16 / seconds

    def score(self):
        done = self.records[0]["end"]["done"]
        return done["dev"][done["metric"]]

    def memory(self):
        return max(record["made"]["peak_memory_mib"] for record in self.records)


def peer(data, task, **options):
    command = [PEER, HERE / "benches/peer/trainer.py", "--model", MODEL, "--data", data, "--task", task]
    for name, value in ({"threads": THREADS} | options).items():
        command += [f"--{name.replace('_', '-')}", value]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def speed(a, ratios):
    """Training, and the memory of the whole run. Scores are printed: after as many steps they must be alike."""
    for task, bars in SPEED.items():
        found = {"max_length": [], "longest": []}
        memory, scores = [], []
        for pair in range(1, a.pairs + 1):
            own = Ours(a.data, [task], first=pair, max_steps=a.steps)
            for padding, of_padding in found.items():
                other = peer(a.data, task, seed=pair, padding=padding, max_steps=a.steps)
                of_padding.append(own.examples_per_second() / other["examples_per_second"])
                scores.append((own.score(), other["score"]))
                ratios.note(f"{task} {padding} {own.examples_per_second():.1f} and {other['examples_per_second']:.1f} examples/s")
                memory.append(own.memory() / other["memory_mib"])
        for (padding, of_padding), bar in zip(found.items(), bars):
            ratios.at_least(f"{task}: training, Trainer pads to {padding.replace('_', ' ')}", bar, of_padding)
        ratios.at_most(f"{task}: peak memory", 0.7, memory)
        ratios.note(f"{task}: score after {a.steps} steps {scores_in_words(scores)}")


def scores_in_words(scores):
    # A metric is undefined where all predictions are one class, as after few steps.
    means = [statistics.mean(0.0 if score is None else score for score in column) for column in zip(*scores)]
    return " and ".join(f"{mean:.3f}" for mean in means)


def start(a, ratios):
    """From the command to the end of the first training step; ours even to the end of a run of one step."""
    found = []
    for pair in range(1, a.pairs + 1):
        own = Ours(a.data, ["cola"], first=pair, max_steps=1, dev_size=2)
        found.append(peer(a.data, "cola", seed=pair, max_steps=1)["first_step"] / own.wall)
        ratios.note(f"start: {own.wall:.2f} s and {found[-1] * own.wall:.2f} s")
    ratios.at_least("from the command to the first step", 8, found)


def warm(a, ratios):
    """What a further run of a sweep costs besides its steps and its evaluation."""
    found = []
    for _ in range(a.pairs):
        few, many = (Ours(a.data, ["cola"], seeds=seeds, max_steps=1, dev_size=2) for seeds in (1, 41))
        own_work = sum(many.seconds("train", "evaluate")) - sum(few.seconds("train", "evaluate"))
        found.append((many.wall - few.wall - own_work) / 40 * 1e3)
    ratios.at_most("a further run besides its steps, ms", 50, found)


def small_sweep(a, ratios):
    """42 runs of 500 examples. The Trainer's runs of one task and mode take as long as each other: one of each is timed."""
    modes, rates = ("vanilla", "child-f", "child-d"), (0.2, 0.3, 0.4)
    own = Ours(a.data, ["cola", "rte"], modes, rates, seeds=3, slots=None, train_size=500)
    total, prepared, scores = 0.0, [], []
    for task in ("cola", "rte"):
        of_task = [record for record in own.records if record["run"]["task"]["name"] == task]
        for mode in modes:
            other = peer(a.data, task, mode=mode, padding="longest", train_size=500)
            of_mode = [record for record in of_task if record["run"]["mode"] == mode]
            total += other["total"] * len(of_mode)
            dones = [record["end"]["done"] for record in of_mode]
            mean = statistics.mean(done["dev"][done["metric"]] for done in dones)
            scores.append(f"{task} {mode} {mean:.3f} and {other['score']:.3f}")
            if mode == "child-d":
                ours = [record["made"]["seconds"]["prepare"] for record in of_mode]
                prepared.append(other["prepare"] * len(of_mode) / sum(ours))
                ratios.note(f"{task}: child-d prepares in {max(ours):.2f} s, then {min(ours):.2f} s; Trainer {other['prepare']:.2f} s")
    ratios.note(f"the sweep of 42 runs: {own.wall:.0f} s and {total:.0f} s")
    ratios.note("scores: " + ", ".join(scores))
    ratios.at_least("a sweep of 42 runs, Trainer pads to longest", 6, [total / own.wall])
    ratios.at_least("child-d: Fisher information and mask", 5, prepared)


def main():
    parts = {"speed": speed, "start": start, "warm": warm, "sweep": small_sweep}
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", default=os.environ.get("SWEEP_DATA"))
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--only", default=",".join(parts))
    a = parser.parse_args()
    if not a.data or not (pathlib.Path(a.data) / "CoLA/train.tsv").exists():
        print("skipped: no GLUE files; name their folder with --data or SWEEP_DATA")
        return
    if not PEER.exists():
        print("skipped: no .peer; `make bench-peer` makes it")
        return
    a.data = pathlib.Path(a.data).resolve()
    ratios = Ratios()
    for name in a.only.split(","):
        parts[name](a, ratios)
    ratios.exit()


if __name__ == "__main__":
    main()
