"""sweep beside the Trainer of transformers on this machine: same model, data, batch, steps and threads, in turn.

    python3 benches/peer.py [--data DIR] [--pairs 3] [--steps 30] [--only speed,bf16,start,warm,prepare,sweep]

`make bench-peer` sets the Trainer's virtual environment up (.peer, 5 GB) and calls this. Needs the release build, the
demo's model and real GLUE files (--data or SWEEP_DATA); without those it says so and ends. Two hours by default.

Every figure is a ratio: how many times sweep is faster than the Trainer, or how much of its memory it takes. Pairs are
measured in turn, so that a busy minute hits both.
"""

import argparse
import datetime
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

from bars import HERE, SWEEP, Table

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
[run]
scores = "end"
"""


class Ours:
    """A sweep that is trained anew, with its records."""

    def __init__(self, data, tasks, modes=("vanilla",), rates=(0.3,), fidelity="paper", first=1, seeds=1, slots=1, **train):
        quoted = lambda names: ", ".join(f'"{name}"' for name in names)
        keys = "\n".join(f"{key} = {value}" for key, value in train.items())
        of_mode = [f"[mode.{mode}]\np = {list(rates)}" for mode in modes if mode != "vanilla"]
        of_mode += [f'fidelity = "{fidelity}"'] if modes[-1] == "child-d" else []
        text = FILE.format(
            tasks=quoted(tasks), modes=quoted(modes), rates="\n".join(of_mode), first=first, last=first + seeds - 1,
            train=keys,
        )
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder) / "peer.toml"
            file.write_text(text)
            command = [SWEEP, "run", file, "--results", folder, "--data", data, "--devices", "cpu"]
            command += ["--slots-per-device", str(slots)] if slots else []
            start, began = time.perf_counter(), time.time()
            done = subprocess.run([str(part) for part in command], cwd=HERE, capture_output=True, text=True)
            self.wall = time.perf_counter() - start
            if done.returncode:
                sys.exit(done.stderr)
            paths = pathlib.Path(folder).glob("runs/*/record.json")
            events = (json.loads(line.split(" ", 1)[1]) for line in (pathlib.Path(folder) / "peer/events.jsonl").open())
            ends = [datetime.datetime.fromisoformat(e["time"]).timestamp() for e in events if "ended" in e["what"]]
            # When the first run to end was there, since the command.
            self.first_end = ends[0] - began
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


def peer(data, task, program="trainer", **options):
    command = [PEER, HERE / f"benches/peer/{program}.py", "--model", MODEL, "--data", data, "--task", task]
    for name, value in ({"threads": THREADS} | options).items():
        command += [f"--{name.replace('_', '-')}", value]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def speed(a, table):
    """Training, and the memory of the whole run. Scores are printed: after as many steps they must be alike."""
    for task, bars in SPEED.items():
        found = {"max_length": [], "longest": []}
        memory, scores, of_floor = [], [], []
        for pair in range(1, a.pairs + 1):
            own = Ours(a.data, [task], first=pair, max_steps=a.steps)
            floor = peer(a.data, task, program="floor")
            of_floor.append(own.examples_per_second() / floor["examples_per_second"])
            for padding, of_padding in found.items():
                other = peer(a.data, task, seed=pair, padding=padding, max_steps=a.steps)
                of_padding.append(own.examples_per_second() / other["examples_per_second"])
                scores.append((own.score(), other["score"]))
                table.note(f"{task} {padding} {own.examples_per_second():.1f} and {other['examples_per_second']:.1f} examples/s")
                memory.append(own.memory() / other["memory_mib"])
        for (padding, of_padding), bar in zip(found.items(), bars):
            table.at_least(f"{task}: training, Trainer pads to {padding.replace('_', ' ')}", bar, of_padding)
        table.at_most(f"{task}: peak memory", 0.7, memory)
        table.note(
            f"{task}: {statistics.median(of_floor):.0%} of the floor, which is {floor['examples_per_second']:.0f} examples/s. "
            f"A step: products {floor['products_ms']:.0f} ms ({floor['gflop']:.2f} GFLOP an example at {floor['gflops']:.0f} "
            f"GFLOP/s), update {floor['update_ms']:.0f} ms ({floor['megabytes']:.0f} MB at {floor['gigabytes_per_second']:.0f} GB/s)"
        )
        table.note(f"{task}: score after {a.steps} steps {scores_in_words(scores)}")


def bf16(a, table):
    """Training in bf16 by both programs, with the scores beside those in fp32, where the processor computes in it."""
    flags = pathlib.Path("/proc/cpuinfo").read_text().split()
    if not {"avx512_bf16", "amx_bf16"} & set(flags):
        return table.skip("training in bf16", "this processor has no instructions for it")
    for task in ("cola", "rte"):
        found, scores = [], []
        for pair in range(1, a.pairs + 1):
            own, exact = (Ours(a.data, [task], first=pair, max_steps=a.steps, precision=f'"{kind}"') for kind in ("bf16", "fp32"))
            other = peer(a.data, task, seed=pair, padding="longest", precision="bf16", max_steps=a.steps)
            found.append(own.examples_per_second() / other["examples_per_second"])
            scores.append((own.score(), exact.score()))
        table.at_least(f"{task} in bf16: training, Trainer pads to longest", SPEED[task][1], found)
        table.note(f"{task}: score in bf16 and in fp32 {scores_in_words(scores)}")


def scores_in_words(scores):
    # A metric is undefined where all predictions are one class, as after few steps.
    means = [statistics.mean(0.0 if score is None else score for score in column) for column in zip(*scores)]
    return " and ".join(f"{mean:.3f}" for mean in means)


def forget_files():
    """Lets the system read every file from the disk again, where it lets us; tells whether."""
    os.sync()
    try:
        pathlib.Path("/proc/sys/vm/drop_caches").write_text("3")
        return True
    except OSError:
        return False


def start(a, table):
    """From the command to the end of the first training step."""
    for is_cold in (True, False):
        found = []
        for pair in range(1, a.pairs + 1):
            if is_cold and not forget_files():
                table.skip("from the command to the first step, cold", "only root can make the system forget its files")
                break
            ours = Ours(a.data, ["cola"], first=pair, max_steps=1, dev_size=2)
            # Of one step there is nothing between it and the end but the evaluation.
            own = ours.first_end - sum(ours.seconds("evaluate"))
            if is_cold:
                forget_files()
            other = peer(a.data, "cola", seed=pair, max_steps=1)["first_step"]
            found.append(other / own)
            table.note(f"start {'cold' if is_cold else 'warm'}: {own:.2f} s and {other:.2f} s")
        if found:
            table.at_least(f"from the command to the first step, {'cold' if is_cold else 'files in memory'}", 8, found)


def warm(a, table):
    """What a further run of a sweep costs besides its steps and its evaluation."""
    found = []
    for _ in range(a.pairs):
        few, many = (Ours(a.data, ["cola"], seeds=seeds, max_steps=1, dev_size=2) for seeds in (1, 41))
        own_work = sum(many.seconds("train", "evaluate")) - sum(few.seconds("train", "evaluate"))
        found.append((many.wall - few.wall - own_work) / 40 * 1e3)
    table.at_most("a further run besides its steps, ms", 50, found)


def prepare(a, table):
    """Fisher information and masks of three p: once here, once for each p by the authors' program.

    The bar is on what the authors compute, squared gradients of batches; those of examples, the paper's, are told beside.
    """
    rates = (0.2, 0.3, 0.4)
    for task in ("cola", "rte"):
        found, by_examples = [], []
        for pair in range(1, a.pairs + 1):
            few = {"first": pair, "max_steps": 1, "dev_size": 2, "train_size": 500}
            own, exact = (
                sum(Ours(a.data, [task], ["child-d"], rates, fidelity, **few).seconds("prepare"))
                for fidelity in ("code", "paper")
            )
            other = peer(a.data, task, mode="child-d", seed=pair, padding="longest", train_size=500, max_steps=1)
            by_p = other["prepare"] * len(rates)
            found.append(by_p / own)
            by_examples.append(by_p / exact)
            table.note(f"{task}: child-d's masks of three p {own:.2f} s, by examples {exact:.2f} s, and {by_p:.2f} s")
        table.at_least(f"{task}: child-d's Fisher information and masks of three p", 5, found)
        table.note(f"{task}: by gradients of examples {statistics.median(by_examples):.1f}")


def small_sweep(a, table):
    """42 runs of 500 examples. The Trainer's runs of one task and mode take as long as each other: one of each is timed."""
    modes, rates = ("vanilla", "child-f", "child-d"), (0.2, 0.3, 0.4)
    own = Ours(a.data, ["cola", "rte"], modes, rates, seeds=3, slots=None, train_size=500)
    table.note(f"the sweep of 42 runs: {own.wall:.0f} s")
    total, scores = 0.0, []
    for task in ("cola", "rte"):
        of_task = [record for record in own.records if record["run"]["task"]["name"] == task]
        for mode in modes:
            other = peer(a.data, task, mode=mode, padding="longest", train_size=500)
            of_mode = [record for record in of_task if record["run"]["mode"] == mode]
            total += other["total"] * len(of_mode)
            dones = [record["end"]["done"] for record in of_mode]
            both = [(done["dev"][done["metric"]], other["score"]) for done in dones]
            scores.append(f"{task} {mode} {scores_in_words(both)}")
    table.note(f"the sweep of 42 runs: {own.wall:.0f} s and {total:.0f} s")
    table.note("scores: " + ", ".join(scores))
    table.at_least("a sweep of 42 runs, Trainer pads to longest", 6, [total / own.wall])


PARTS = {"speed": speed, "bf16": bf16, "start": start, "warm": warm, "prepare": prepare, "sweep": small_sweep}


def measure(table, data=os.environ.get("SWEEP_DATA"), pairs=3, steps=30, only=",".join(PARTS)):
    if not data or not (pathlib.Path(data) / "CoLA/train.tsv").exists():
        return table.skip("beside the Trainer", "no GLUE files: name their folder with --data or SWEEP_DATA")
    if not PEER.exists():
        return table.skip("beside the Trainer", "no .peer: `make bench-peer` makes it")
    settings = argparse.Namespace(data=pathlib.Path(data).resolve(), pairs=pairs, steps=steps)
    for name in only.split(","):
        PARTS[name](settings, table)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", default=os.environ.get("SWEEP_DATA"))
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--only", default=",".join(PARTS))
    a = parser.parse_args()
    found = Table()
    measure(found, a.data, a.pairs, a.steps, a.only)
    found.exit()
