#!/usr/bin/env -S python3 -S -E
"""A trainer that has every result at once, so that what a sweep of it costs is the coordinator's share.

Speaks the worker's protocol. SWEEP_BENCH names a folder for what it noticed: `first`, when the first run came, and
`cpu.<pid>`, its own seconds of CPU. SWEEP_BENCH_SECONDS lets a run take so long after all.
"""
import json
import os
import sys
import time

if "--probe" in sys.argv:
    print(json.dumps(dict(libtorch="none", devices=[dict(name="cpu", hardware="none", memory=None)])))
    sys.exit(0)
device = sys.argv[sys.argv.index("--device") + 1]
threads = int(sys.argv[sys.argv.index("--threads") + 1])
notes = os.environ["SWEEP_BENCH"]
made = dict(commit="", version="0.1.0", libtorch="none", device=device, device_name="none", threads=threads,
            started="2026-01-01T00:00:00Z", seconds=dict(load=0.1, prepare=0.5, train=20.0, evaluate=2.0),
            peak_memory_mib=800.0, attempt=1)
scores = [dict(accuracy=0.5 + 0.1 * epoch) for epoch in range(3)]
outcome = dict(metric="accuracy", dev=scores[-1], collapsed=False, steps=300, train_examples=1600, dev_examples=800,
               mask=None, epochs=[dict(epoch=e + 1, step=100 * (e + 1), loss=0.5, dev=s) for e, s in enumerate(scores)])


def say(**message):
    (kind, body), = message.items()
    sys.stdout.write(json.dumps({kind: body}) + "\n")
    sys.stdout.flush()


say(ready=dict(device=device, device_name="none", libtorch="none", threads=threads))
for line in sys.stdin:
    order = json.loads(line)
    if order == "pause":
        continue
    if not os.path.exists(f"{notes}/first"):
        with open(f"{notes}/first", "w") as file:
            file.write(str(time.time()))
    job = order["train"]
    time.sleep(float(os.environ.get("SWEEP_BENCH_SECONDS", "0")))
    for name in ("prepare", "train", "evaluate"):
        say(phase=dict(id=job["id"], name=name))
    say(done=dict(id=job["id"], outcome=outcome, made=dict(made, attempt=job["attempt"])))
with open(f"{notes}/cpu.{os.getpid()}", "w") as file:
    file.write(str(time.process_time()))
