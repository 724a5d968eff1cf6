"""What `benches/gpu.sh` measures. Prints a table for each part, as it goes."""

import argparse
import contextlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import inputs
from worker import Worker

TRAINER = pathlib.Path(__file__).resolve().parent.parent / "peer/trainer.py"


class Bench:
    def __init__(self, a, folder):
        self.a, self.folder, self.models = a, folder, {}

    def job(self, shape, length, batch, precision, rows=2048, seed=1, **recipe):
        if shape not in self.models:
            self.models[shape] = inputs.model(self.folder, shape)
        data = self.folder / f"{shape}-{length}.tsv"
        if not data.exists():
            inputs.texts(self.folder, shape, length, rows)
        return inputs.job(self.folder, self.models[shape], data, length, batch, precision, seed, **recipe)

    def worker(self, environment=None, threads=None):
        return Worker(self.a.worker, self.a.device, threads or self.a.threads, environment)

    def rate(self, worker, job):
        worker.measure(job, 0.5)
        return worker.measure(job, self.a.seconds)

    def trainer_options(self, shape, length, batch, precision, steps, skip):
        settings = dict(model=shape, length=length, batch_size=batch, precision=precision, device="cuda")
        settings |= dict(max_steps=steps, skip_steps=skip)
        return " ".join(f"--{name.replace('_', '-')} {value}" for name, value in settings.items())

    def trainers(self):
        """A program that has read transformers once, and trains a run for each line of options; None where there is none."""
        if self.a.no_trainer:
            return None
        command = [sys.executable, str(TRAINER), "--model", "base", "--many"]
        pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, bufsize=1)
        return subprocess.Popen(command, **pipes)

    def trainer(self, program, *settings, steps=60, skip=10):
        """The Trainer's examples per second, its first steps left out."""
        if program is None:
            return None
        program.stdin.write(self.trainer_options(*settings, steps, skip) + "\n")
        for line in program.stdout:
            # The Trainer prints dictionaries of its own, in Python's quotes.
            if line.startswith('{"'):
                return json.loads(line)
        print("  the Trainer ended", flush=True)
        return None


def speed(bench):
    """One run alone, and the Trainer."""
    a = bench.a
    print(f"{'shape':6} {'batch':>5} {'length':>6} {'precision':9} {'examples/s':>10} {'Trainer':>8} {'ratio':>6}")
    trainers = bench.trainers()
    for shape in a.shapes:
        worker = bench.worker()
        for precision in a.precisions:
            for batch in a.batches:
                for length in a.lengths:
                    own = bench.rate(worker, bench.job(shape, length, batch, precision))
                    other = bench.trainer(trainers, shape, length, batch, precision)
                    beside = f"{other['examples_per_second']:8.0f} {own / other['examples_per_second']:6.2f}" if other else ""
                    print(f"{shape:6} {batch:5} {length:6} {precision:9} {own:10.0f} {beside}", flush=True)
        worker.end()
    if trainers:
        trainers.stdin.close()
        trainers.wait()
    print("bar: 1.5 times the Trainer's bf16 at batch 16", flush=True)


@contextlib.contextmanager
def service():
    """NVIDIA's multi-process service in a folder of its own; gives the environment of its clients, or None."""
    folder = tempfile.mkdtemp()
    environment = os.environ | {"CUDA_MPS_PIPE_DIRECTORY": folder, "CUDA_MPS_LOG_DIRECTORY": folder}
    try:
        subprocess.run(["nvidia-cuda-mps-control", "-d"], env=environment, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"  no multi-process service: {error}", flush=True)
        yield None
        return
    try:
        yield environment
    finally:
        subprocess.run(["nvidia-cuda-mps-control"], input="quit\n", env=environment, text=True, capture_output=True)


def slots(bench):
    """So many processes on the device at the same time."""
    a = bench.a
    job = bench.job(a.shapes[0], a.lengths[-2 % len(a.lengths)], a.batches[0], a.precisions[-1])

    def together(count, environment):
        workers = [bench.worker(environment, max(1, a.threads // count)) for _ in range(count)]
        # Loaded and warm before the clock starts.
        for worker in workers:
            worker.order(measure=dict(job=job, seconds=0.5))
        for worker in workers:
            worker.measured()
        for worker in workers:
            worker.order(measure=dict(job=job, seconds=a.seconds))
        rate = sum(worker.measured() for worker in workers)
        for worker in workers:
            worker.end()
        return rate

    print(f"{'slots':>5} {'service':7} {'examples/s':>10} {'of one':>7}")
    first = None
    for count in a.slots:
        rate = together(count, None)
        first = first or rate
        print(f"{count:5} {'':7} {rate:10.0f} {rate / first:7.2f}", flush=True)
    if a.device == "cpu":
        return
    with service() as environment:
        for count in a.slots if environment else []:
            rate = together(count, environment)
            print(f"{count:5} {'MPS':7} {rate:10.0f} {rate / first:7.2f}", flush=True)


def fused(bench):
    """R runs side by side in one program."""
    a = bench.a
    print(f"{'R':>5} {'examples/s':>10} {'of one':>7} {'memory':>9}")
    first, worker = None, bench.worker()
    for runs in a.runs:
        jobs = lambda steps: [
            bench.job(a.shapes[0], a.lengths[-2 % len(a.lengths)], a.batches[0], a.precisions[-1], seed=seed, max_steps=steps)
            for seed in range(1, runs + 1)
        ]
        # The first run of a kind loads the device's programs and takes its memory.
        worker.train(jobs(3))
        # Two lengths, so that what is not a step cancels out.
        few, many = (sum(made["seconds"]["train"] for made in worker.train(jobs(steps))) for steps in (5, 5 + a.steps))
        rate = a.steps * a.batches[0] * runs / (many - few)
        first = first or rate
        print(f"{runs:5} {rate:10.0f} {rate / first:7.2f} {memory():>9}", flush=True)
    worker.end()


def memory():
    try:
        query = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader"]
        return subprocess.run(query, capture_output=True, text=True, check=True).stdout.splitlines()[0].strip()
    except (OSError, subprocess.CalledProcessError, IndexError):
        return ""


def sweep(bench):
    """Sixteen seeds of a small task from the first process to the last result, and Trainer runs one after the other."""
    a = bench.a
    shape, length, batch, precision = a.shapes[0], a.lengths[-2 % len(a.lengths)], a.batches[0], a.precisions[-1]
    steps = a.sweep_steps
    job = lambda seed: bench.job(shape, length, batch, precision, seed=seed, max_steps=steps)
    count = a.runs[-1]
    job(1)  # the model lies there before the clock starts
    print(f"{count} runs of {steps} steps: {shape}, {length} tokens, batch {batch}, {precision}")
    found = {}
    for runs in a.runs:
        began = time.perf_counter()
        worker = bench.worker()
        for first in range(1, count + 1, runs):
            worker.train([job(seed) for seed in range(first, min(first + runs, count + 1))])
        worker.end()
        found[runs] = count / (time.perf_counter() - began) * 3600
        print(f"  {runs:2} side by side: {found[runs]:7.0f} runs/h", flush=True)
    if not a.no_trainer:
        began = time.perf_counter()
        options = bench.trainer_options(shape, length, batch, precision, steps, 0).split()
        subprocess.run([sys.executable, str(TRAINER), *options], capture_output=True, check=True)
        rate = 3600 / (time.perf_counter() - began)
        print(f"  the Trainer, one after the other: {rate:.0f} runs/h; {max(found.values()) / rate:.2f} times (bar 4)")


def main():
    parts = {"speed": speed, "slots": slots, "fused": fused, "sweep": sweep}
    parser = argparse.ArgumentParser()
    parser.add_argument("--worker", required=True)
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--threads", type=int, default=min(8, os.cpu_count() or 1))
    parser.add_argument("--only", default=",".join(parts))
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    parser.add_argument("--no-trainer", action="store_true")
    parser.add_argument("--quick", action="store_true", help="a tiny model: shows that it works, and no speed")
    a = parser.parse_args()
    a.worker = str(pathlib.Path(a.worker).resolve())
    a.shapes, a.batches, a.lengths = ["base", "large"], [16, 32], [32, 64, 128]
    a.precisions, a.slots, a.runs, a.steps, a.sweep_steps = ["fp32", "tf32", "bf16"], [1, 2, 4, 8], [1, 2, 4, 8, 16], 60, 96
    if a.quick:
        a.shapes, a.batches, a.lengths, a.precisions = ["tiny"], [4, 8], [8, 16], ["fp32", "bf16"]
        a.slots, a.runs, a.steps, a.sweep_steps, a.seconds, a.no_trainer = [1, 2], [1, 2, 4], 20, 4, 0.3, True
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(a, pathlib.Path(folder))
        for name in a.only.split(","):
            print(f"\n# {name}: {parts[name].__doc__.splitlines()[0]}", flush=True)
            parts[name](bench)


if __name__ == "__main__":
    main()
