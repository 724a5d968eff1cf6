"""What bf16, micro-batches and gradient checkpointing cost in time and memory, from records of real runs.

    python3 benches/passes.py MODEL [ROWS]    (a model folder; ROWS examples in a batch, 16)

Every text has 128 tokens. A run is two steps; its time is that of the phase `train`, its memory the worker's peak.
"""

import csv
import itertools
import os
import subprocess
import sys
import tempfile

PROJECT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
STEPS = 2


def main():
    model, rows = os.path.abspath(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 16
    with tempfile.TemporaryDirectory() as folder:
        for name, n in (("train", STEPS * rows), ("dev", 2)):
            with open(os.path.join(folder, name + ".tsv"), "w") as f:
                f.write("text\tlabel\n" + "".join(f"{'the ' * 200}\t{'yes' if i % 2 else 'no'}\n" for i in range(n)))
        with open(os.path.join(folder, "sweep.toml"), "w") as f:
            f.write(f"""name = "passes"
[grid]
task = "long"
model = "{model}"
mode = "vanilla"
precision = ["fp32", "bf16"]
gradient_checkpointing = [false, true]
micro_batch = [{max(rows // 4, 1)}, {rows}]
[task.long]
train = "train.tsv"
dev = "dev.tsv"
text = "text"
label = "label"
labels = ["no", "yes"]
metric = "accuracy"
[train]
batch_size = {rows}
max_length = 128
epochs = 1
""")
        sweep = os.path.join(PROJECT, "target", "release", "sweep")
        # A process keeps memory that a run before took, so each setting has its own.
        for precision, again, cut in itertools.product(("fp32", "bf16"), ("false", "true"), (max(rows // 4, 1), None)):
            only = f"precision={precision} and gradient_checkpointing={again}" + (f" and micro_batch={cut}" if cut else "")
            subprocess.run([sweep, "run", "sweep.toml", "--devices", "cpu", "--slots-per-device", "1", "--only", only], cwd=folder, check=True)
        with open(os.path.join(folder, "results", "passes", "runs.csv")) as f:
            runs = list(csv.DictReader(f))
    print(f"{'precision':10} {'checkpointing':14} {'micro-batch':12} {'s a step':>9} {'peak MiB':>9}")
    for run in runs:
        seconds = float(run["seconds_train"]) / STEPS
        cut = run["micro_batch"] or rows
        print(f"{run['precision']:10} {run['gradient_checkpointing']:14} {cut:<12} {seconds:9.2f} {float(run['peak_memory_mib']):9.0f}")


if __name__ == "__main__":
    main()
