#!/usr/bin/env -S python3 -S -E
"""A trainer of a few milliseconds a step that speaks the worker's protocol. What it does is said by the run's mode
(`crash`, `garbage`, `flood`, `hang`, `fail`, `child`, else it trains `max_steps` steps) and, before any run, by the
device (`broken`: dies before it is ready)."""
import json
import os
import sys
import threading
import time

device = sys.argv[sys.argv.index("--device") + 1]
threads = int(sys.argv[sys.argv.index("--threads") + 1])


def say(**message):
    (kind, body), = message.items()
    sys.stdout.write(json.dumps({kind: body}) + "\n")
    sys.stdout.flush()


def log(text):
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def made():
    return dict(commit="", version="fake", libtorch="none", device=device, device_name="fake", threads=threads,
                started="2026-01-01T00:00:00Z", seconds=dict(train=0.1), peak_memory_mib=1.0, attempt=1)


def train(job):
    name, mode, of = job["id"], job["run"]["mode"], job["run"]["recipe"]["max_steps"]
    if mode == "fail":
        return say(failed=dict(id=name, failure=dict(diverged=dict(step=3)), made=made()))
    if mode == "child" and os.fork() == 0:
        time.sleep(600)
    say(phase=dict(id=name, name="train"))
    for step in range(1, of + 1):
        if pause.is_set():
            pause.clear()
            return say(paused=dict(id=name, step=step))
        if step == of // 2 + 1:
            if mode in ("crash", "child"):
                log("the weights are on fire")
                os._exit(3)
            if mode == "garbage":
                sys.stdout.buffer.write(b'hello\n{"done": 7}\n\xff\xfe\n\n[[[[\n')
                sys.stdout.flush()
            if mode == "flood":
                for n in range(100_000):
                    sys.stderr.write(f"warning {n} of a talkative library\n")
            if mode == "hang":
                time.sleep(600)
        time.sleep(0.003)
        say(step=dict(id=name, step=step, of=of, loss=1 / step, examples_per_second=100.0))
    # So that a test can tell whether a run was done twice.
    os.makedirs(job["folder"], exist_ok=True)
    with open(os.path.join(job["folder"], "trained"), "a") as file:
        file.write("once\n")
    score = dict(accuracy=job["run"]["seed"] / 1000)
    say(done=dict(id=name, made=made(), outcome=dict(
        metric="accuracy", dev=score, epochs=[], collapsed=False, steps=of, train_examples=8, dev_examples=4,
        mask=None)))


pause, wake, jobs = threading.Event(), threading.Semaphore(0), []


def listen():
    for line in sys.stdin:
        order = json.loads(line)
        if order == "pause":
            pause.set()
        else:
            jobs.append(order["train"])
            wake.release()
    os._exit(0)


if device == "broken":
    log("no such device")
    sys.exit(1)
log(f"process {os.getpid()}")
say(ready=dict(device=device, device_name="fake", libtorch="none", threads=threads))
threading.Thread(target=listen, daemon=True).start()
while True:
    wake.acquire()
    train(jobs.pop(0))
