"""What a method costs beside plain fine-tuning, each figure beside its bar; `make bench` runs it.

    python3 benches/methods.py [seeds, default 3]

Trains 256 tweets for one epoch with the demo's model, by every method, one run at a time on one core: on shared cores
two threads of libtorch wait for each other now and then, and the times say little. Needs the release build and the
demo's model and data. Times are those that the records hold: training, and what is done once before it.
"""

import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

from bars import HERE, SWEEP, Table

# What may be at most how many times vanilla's training: a method's training, or its preparation.
BARS = {("child-f", "train"): 1.25, ("child-d", "prepare"): 3.0}

FILE = """
name = "cost"
[grid]
task  = "tweets-rating"
model = "all-MiniLM-L6-v2"
mode  = [{modes}]
seed  = {{ from = 1, to = {seeds} }}
[train]
epochs     = 1
train_size = 256
dev_size   = 50
max_length = 64
"""


def measure(table, seeds=3):
    listed = subprocess.run([SWEEP, "methods", "--markdown"], check=True, capture_output=True, text=True).stdout
    modes = [line.split("`")[1] for line in listed.splitlines()[2:]]
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "cost.toml"
        file.write_text(FILE.format(modes=", ".join(f'"{mode}"' for mode in modes), seeds=seeds))
        command = [SWEEP, "run", file, "--results", folder, "--devices", "cpu", "--slots-per-device", "1"]
        one_core = lambda: os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        subprocess.run([str(part) for part in command], cwd=HERE, check=True, preexec_fn=one_core, **quiet)
        records = [json.loads(path.read_text()) for path in pathlib.Path(folder).glob("runs/*/record.json")]

    def seconds(mode, phase):
        found = [r["made"]["seconds"].get(phase, 0.0) for r in records if r["run"]["mode"] == mode]
        return statistics.median(found)

    whole = seconds("vanilla", "train")
    table.note(f"vanilla: {whole:.2f} s for 16 steps of 16 tweets, median of {seeds} seeds; in times of that:")
    for mode in modes:
        training, before = (seconds(mode, phase) / whole for phase in ("train", "prepare"))
        table.note(f"{mode:14} training {training:6.2f}, before it {before:6.2f}")
    for (mode, phase), bar in BARS.items():
        what = {"train": "training", "prepare": "preparation"}[phase]
        table.at_most(f"{mode}: {what}, in times of vanilla's training", bar, [seconds(mode, phase) / whole])


if __name__ == "__main__":
    found = Table()
    measure(found, int(sys.argv[1]) if len(sys.argv) > 1 else 3)
    found.exit()
