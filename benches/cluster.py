"""What a run costs on a cluster besides its training: 40 runs of a trainer of 0.1 s, through pilots on two cores.

    python3 benches/cluster.py

Needs the release build and Slurm's packages (scripts/fetch-slurm.sh), as root; without those it says so and ends.
"""

import os
import pathlib
import shutil
import subprocess
import tempfile
import time

from bars import HERE, SWEEP, Table

RUNS, SECONDS = 40, 0.1
FILE = """
name = "pilots"
[grid]
task  = ["pairs"]
model = ["{parity}/tiny-bert"]
mode  = ["vanilla"]
seed  = {{ from = 1, to = {runs} }}
[task.pairs]
train  = "{parity}/train.tsv"
dev    = "{parity}/dev.tsv"
text   = ["first", "second"]
label  = "label"
labels = ["no", "yes"]
metric = "accuracy"
[train]
max_length = 32
[run]
executor = "slurm"
devices  = ["cpu"]
[run.slurm]
cpus        = 1
concurrency = 2
environment = ["SWEEP_BENCH", "SWEEP_BENCH_SECONDS"]
"""


def measure(table):
    what = f"{RUNS} runs of {SECONDS} s through pilots of Slurm"
    programs = ("slurmctld", "slurmd", "munged", "sbatch")
    if not all(shutil.which(program) for program in programs) or os.geteuid() != 0:
        return table.skip(what, "Slurm's packages and root are needed: scripts/fetch-slurm.sh")
    with tempfile.TemporaryDirectory(prefix="sl") as folder:
        folder = pathlib.Path(folder)
        (folder / "bin").mkdir()
        (folder / "notes").mkdir()
        shutil.copy(SWEEP, folder / "bin/sweep")
        shutil.copy(HERE / "benches/instant_trainer.py", folder / "bin/sweep-worker")
        (folder / "pilots.toml").write_text(FILE.format(parity=HERE / "tests/parity", runs=RUNS))
        state = folder / "slurm"
        environment = os.environ | {
            "SLURM_CONF": str(state / "slurm.conf"), "SWEEP_BENCH": str(folder / "notes"),
            "SWEEP_BENCH_SECONDS": str(SECONDS), "NODES": "1", "PORT": "27800", "XDG_RUNTIME_DIR": str(folder),
        }
        up = subprocess.run([HERE / "tests/slurm/up.sh", state], env=environment, capture_output=True, text=True)
        if up.returncode:
            return table.skip(what, f"Slurm does not start: {up.stderr.strip()}")
        try:
            start = time.perf_counter()
            command = [folder / "bin/sweep", "run", "pilots.toml", "--results", folder / "results"]
            done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
            wall = time.perf_counter() - start
        finally:
            subprocess.run([HERE / "tests/slurm/down.sh", state], env=environment)
        if done.returncode or f"{RUNS} done" not in done.stdout:
            raise SystemExit(done.stderr + done.stdout)
    table.add(what, 12, wall, "s")


if __name__ == "__main__":
    found = Table()
    measure(found)
    found.exit()
