#!/usr/bin/env -S python3 -S -E
"""A trainer on the made-up cards of fake_nvml.c. A run takes SWEEP_FAKE_SECONDS, and SWEEP_FAKE_MIB of its card, which the
process gives back when it ends. What it sees of the cards and of MPS stands in the record's `libtorch`."""
import fcntl
import json
import os
import sys
import threading
import time

SECONDS = float(os.environ.get("SWEEP_FAKE_SECONDS", "0.02"))
MIB = int(os.environ.get("SWEEP_FAKE_MIB", "300"))
CARD = os.environ.get("CUDA_VISIBLE_DEVICES", "all")
MPS = os.environ.get("CUDA_MPS_PIPE_DIRECTORY", "none")


def option(name, standard=None):
    return sys.argv[sys.argv.index(name) + 1] if name in sys.argv else standard


def say(**message):
    (kind, body), = message.items()
    sys.stdout.write(json.dumps({kind: body}) + "\n")
    sys.stdout.flush()


def card_memory(mib):
    """Adds this process to its card, or takes it off."""
    cards = os.environ["SWEEP_FAKE_CARDS"]
    with open(f"{cards}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lines = []
        for line in open(cards).read().splitlines():
            index, uuid, used, *rest = line.split()
            if uuid == CARD:
                used = int(used) + mib
                own = f"{os.getpid()}:{MIB}"
                rest = rest + [own] if mib > 0 else [word for word in rest if word != own]
            lines.append(" ".join([index, uuid, str(used), *rest]))
        # In one piece, so that a reader sees all cards as they were or as they are.
        beside = f"{cards}.new"
        with open(beside, "w") as new:
            new.write("\n".join(lines) + "\n")
        os.rename(beside, cards)


if "--probe" in sys.argv:
    names = ["cpu"] + (["cuda:0"] if os.environ.get("SWEEP_FAKE_CUDA", "yes") == "yes" else [])
    print(json.dumps(dict(libtorch="fake", devices=[dict(name=n, hardware="fake", memory=None) for n in names])))
    sys.exit()

device, threads = option("--device"), int(option("--threads"))
made = dict(commit="", version="fake", libtorch=f"sees {CARD}, mps {MPS}", device=option("--label", device),
            device_name=option("--hardware", "fake"), threads=threads, started="2026-01-01T00:00:00Z",
            seconds=dict(train=0.1), peak_memory_mib=1.0, attempt=1)
holds, stop = False, threading.Event()


def train(job):
    global holds
    if device != "cpu" and not holds:
        card_memory(MIB)
        holds = True
    say(phase=dict(id=job["id"], name="train"))
    if stop.wait(SECONDS):
        return say(paused=dict(id=job["id"], step=1))
    say(done=dict(id=job["id"], made=made, outcome=dict(
        metric="accuracy", dev=dict(accuracy=0.5), epochs=[], collapsed=False, steps=1, train_examples=8,
        dev_examples=4, mask=None)))


def listen():
    for line in sys.stdin:
        order = json.loads(line)
        if order == "pause":
            stop.set()
        elif "measure" in order:
            # One thread each is the faster split.
            speed = 60 if threads == 1 else 70
            seconds = order["measure"]["seconds"]
            say(measured=dict(examples=int(speed * seconds), seconds=max(seconds, 0.001), peak_memory_mib=1.0))
        else:
            threading.Thread(target=train, args=(order["train"],), daemon=True).start()
    if holds:
        card_memory(-MIB)
    os._exit(0)


say(ready=dict(device=made["device"], device_name=made["device_name"], libtorch="none", threads=threads))
listen()
