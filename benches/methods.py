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

HERE = pathlib.Path(__file__).resolve().parent.parent
SWEEP = HERE / "target/release/sweep"

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


def main():
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
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
    print(f"vanilla: {whole:.2f} s for 16 steps of 16 tweets, median of {seeds} seeds")
    print(f"{'mode':14} {'training':>9} {'before it':>9}   in times of vanilla's training")
    all_met = True
    for mode in modes:
        figures, missed = [], []
        for phase in ("train", "prepare"):
            figure, bar = seconds(mode, phase) / whole, BARS.get((mode, phase))
            figures.append(f"{figure:8.2f}x")
            if bar is not None:
                all_met &= figure <= bar
                missed.append(f"{phase} at most {bar}: {'ok' if figure <= bar else 'MISSED'}")
        print(f"{mode:14} {figures[0]} {figures[1]}   {'; '.join(missed)}".rstrip())
    return 0 if all_met else 1


sys.exit(main())
