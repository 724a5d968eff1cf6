"""How fast the coordinator answers and what a run costs it, each figure beside its bar; `make bench` runs it.

    python3 benches/coordinator.py [runs of each command, default 5]

Needs the release build and the demo's model and data. Sweeps of 10,000 and 100,000 runs are trained by a trainer that
has every result at once, or their records are made up.
"""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

from bars import HERE, SWEEP, Table
from records import record_of

# 2 tasks × (1 + 8 + 8 settings) × 6 learning rates × seeds = 204 runs a seed.
GRID = """
[grid]
task  = ["tweets-rating", "products-polarity"]
model = ["all-MiniLM-L6-v2"]
mode  = ["vanilla", "child-f", "child-d"]
p     = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]
lr    = [1e-5, 2e-5, 3e-5, 4e-5, 5e-5, 6e-5]
seed  = { from = 1, to = %d }
"""
RUNS_A_SEED = 204


class Place:
    """A folder with a sweep file, results, and both programs, of which the trainer is the instant one."""

    def __init__(self, folder, seeds):
        self.runs, self.folder = seeds * RUNS_A_SEED, pathlib.Path(folder)
        self.folder.mkdir()
        self.file, self.results, self.sweep = (self.folder / name for name in ("big.toml", "results", "sweep"))
        self.file.write_text(GRID % seeds)
        os.symlink(HERE / "benches/instant_trainer.py", self.folder / "sweep-worker")
        try:
            os.link(SWEEP, self.sweep)
        except OSError:
            shutil.copy(SWEEP, self.sweep)
        os.environ["SWEEP_BENCH"] = str(self.folder)

    def command(self, *words):
        common = ["--results", self.results]
        run = ["--devices", "cpu", "--slots-per-device", "1"] if words[0] == "run" else []
        return [str(part) for part in [self.sweep, words[0], self.file, *words[1:], *common, *run]]

    def make_records(self):
        """A record for every run of the plan, as if all were done; the coordinator then writes what else there is."""
        plan = json.loads(subprocess.run(self.command("plan", "--json"), cwd=HERE, check=True, stdout=-1).stdout)
        for line in plan:
            folder = self.results / "runs" / line["id"]
            folder.mkdir(parents=True)
            (folder / "record.json").write_text(json.dumps(record_of(line["id"], line["run"], failing=0), indent=2) + "\n")
        self.run()

    def run(self, *words):
        """Wall and CPU seconds of a call of `run`, its trainer's CPU not counted."""
        for old in [self.folder / "first", *self.folder.glob("cpu.*")]:
            old.unlink(missing_ok=True)
        start, before = time.perf_counter(), os.times()
        subprocess.run(self.command("run", *words), cwd=HERE, check=True, stdout=-1, stderr=-1)
        wall, after = time.perf_counter() - start, os.times()
        cpu = after.children_user + after.children_system - before.children_user - before.children_system
        return wall, cpu - sum(float(file.read_text()) for file in self.folder.glob("cpu.*"))

    def forget_half(self):
        for folder in sorted((self.results / "runs").iterdir())[::2]:
            shutil.rmtree(folder)

    def to_first_run(self):
        """Seconds from the call until a trainer is told the first run. The call is ended then."""
        (self.folder / "first").unlink(missing_ok=True)
        start = time.time()
        call = subprocess.Popen(self.command("run"), cwd=HERE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while not (self.folder / "first").exists() or not (self.folder / "first").read_text():
            if call.poll() is not None:
                raise SystemExit("the sweep ended before a run started")
            time.sleep(0.005)
        call.kill()
        call.wait()
        return float((self.folder / "first").read_text()) - start

    def syncs(self, runs):
        """Synced appends to the event log, and lines that they added, of so many runs; None without strace."""
        if shutil.which("strace") is None:
            return None
        trace = self.folder / "trace"
        call = ["strace", "-f", "-y", "-e", "trace=fdatasync,write", "-o", trace] + self.command("run", "--limit", str(runs))
        subprocess.run([str(part) for part in call], cwd=HERE, check=True, stdout=-1, stderr=-1)
        text = trace.read_text(errors="replace")
        log = r"\(\d+<[^>]*events\.jsonl>"
        return len(re.findall("fdatasync" + log, text)), len(re.findall("write" + log, text))


def measure(table, times=5):
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        report = ["report", "quickstart", "--out", folder / "report"]
        table.call("sweep --help", 0.020, [SWEEP, "--help"], times, memory=None)
        table.call("sweep status", 0.100, [SWEEP, "status"], times, memory=None)
        table.call("sweep report, quickstart", 1.0, [SWEEP, *report], times, memory=None)

        small = Place(folder / "small", 49)
        table.call("sweep plan, 9,996 runs", 0.300, small.command("plan"), times)
        wall, cpu = small.run()
        table.add("sweep run, 9,996 runs: CPU a run", 2.0, cpu / small.runs * 1e3, "ms")
        table.add("  wall a run, disk and trainer included", 5.0, wall / small.runs * 1e3, "ms")
        table.call("sweep run, all 9,996 done before", 1.0, small.command("run"), times)
        small.forget_half()
        table.add("sweep run, half done, to the first start", 1.0, min(small.to_first_run() for _ in range(times)), "s")
        found = small.syncs(100)
        if found is not None:
            syncs, lines = found
            table.add("synced appends for an event", 1.0, syncs / lines, "")

        large = Place(folder / "large", 490)
        table.call("sweep plan, 99,960 runs", 3.0, large.command("plan"))
        large.make_records()
        table.call("sweep plan, 99,960 records", 6.0, large.command("plan"))
        table.call("sweep run, all 99,960 done before", 10.0, large.command("run"))
        table.call("sweep status, 99,960 records", 1.0, [SWEEP, "status", "--results", large.results])


if __name__ == "__main__":
    found = Table()
    measure(found, int(sys.argv[1]) if len(sys.argv) > 1 else 5)
    found.exit()
