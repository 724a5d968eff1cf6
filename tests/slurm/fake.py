#!/usr/bin/env -S python3 -S -E
"""sbatch, squeue, sacct, scancel, scontrol and sinfo of a cluster that a test invents, by the name that it is called under.

FAKE_SLURM names its folder. Jobs are processes of this machine. What a call does besides is said by files there:

  next-<command>  one line a call, taken from the top: `silent` (it does not answer, and did nothing), `silent-after` (it
                  did what was asked, and does not answer), `refuse`, `too-much`, `invalid` (no such job), `empty` (no job is known), `odd` (every
                  job is in a state that nobody knows); anything else is a call like any other
  hold            no job begins while it is there
  accounting      sacct works
  calls           every call, one a line

`fake.py end <job>_<task> STATE` ends a job as a node or the controller would: by SIGKILL, in that state. After `forget`
squeue knows it no more.
"""
import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import time

FOLDER = os.environ["FAKE_SLURM"]
NAME = os.path.basename(sys.argv[0])


class Jobs:
    """The jobs, while this is held."""

    def __enter__(self):
        self.lock = open(f"{FOLDER}/lock", "w")
        fcntl.flock(self.lock, fcntl.LOCK_EX)
        path = f"{FOLDER}/jobs.json"
        self.all = json.load(open(path)) if os.path.exists(path) else []
        return self.all

    def __exit__(self, *_):
        with open(f"{FOLDER}/jobs.new", "w") as file:
            json.dump(self.all, file)
        os.replace(f"{FOLDER}/jobs.new", f"{FOLDER}/jobs.json")
        self.lock.close()


def has(name):
    return os.path.exists(f"{FOLDER}/{name}")


def behaviour():
    """What this call is to do, by the file for its command."""
    path = f"{FOLDER}/next-{NAME}"
    with Jobs():
        with open(f"{FOLDER}/calls", "a") as file:
            file.write(" ".join([NAME] + sys.argv[1:]) + "\n")
        if not os.path.exists(path):
            return ""
        first, *rest = open(path).read().splitlines() or [""]
        with open(path, "w") as file:
            file.write("".join(line + "\n" for line in rest))
        return first


def fail(text):
    sys.stderr.write(f"{NAME}: error: {text}\n")
    sys.exit(1)


def answer_as(kind):
    if kind in ("silent", "silent-after"):
        fail("Batch job submission failed: Socket timed out on send/recv operation")
    if kind == "refuse":
        fail("invalid partition specified: gpuu")
    if kind == "invalid":
        fail("Kill job error on job id 7: Invalid job id specified")
    if kind == "too-much":
        fail("Batch job submission failed: Job violates accounting/QOS policy (job submit limit, user's size limits)")


def is_mine(job, names):
    return not names or job["name"] in names


def begin(job):
    """A process that runs a task as a node would, and outlives the command."""
    subprocess.Popen([sys.executable, "-S", "-E", os.path.abspath(__file__), "run", f"{job['job']}_{job['task']}"],
                     start_new_session=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def sbatch():
    kind, arguments = behaviour(), sys.argv[1:]
    if kind != "silent-after":
        answer_as(kind)
    if "--test-only" in arguments:
        sys.stderr.write("sbatch: Job 9 to start at 2030-01-01T00:00:00 using 1 processors on nodes n1 in partition main\n")
        return
    script = arguments[-1]
    options = dict(re.findall(r"^#SBATCH --([a-z-]+)=(.*)$", open(script).read(), re.M))
    last = int(re.match(r"0-(\d+)", options["array"]).group(1))
    with Jobs() as jobs:
        number = max([job["job"] for job in jobs], default=100) + 1
        made = [dict(job=number, task=task, name=options["job-name"], script=script, state="PENDING", life=0, node="",
                     log=options["output"].strip('"').replace("%a", str(task)), exclude=options.get("exclude", ""))
                for task in range(last + 1)]
        jobs += made
    for job in made:
        begin(job)
    answer_as(kind)
    print(number)


def find(jobs, text):
    number, task = text.split("_")
    return next(job for job in jobs if (job["job"], job["task"]) == (int(number), int(task)))


def run(text):
    while has("hold"):
        time.sleep(0.05)
    with Jobs() as jobs:
        job = find(jobs, text)
        if job["state"] != "PENDING":
            return
        excluded = job["exclude"].split(",")
        job["node"] = next(node for node in ("n1", "n2", "n3") if node not in excluded)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("SLURM_")}
        environment |= dict(SLURM_ARRAY_JOB_ID=str(job["job"]), SLURM_ARRAY_TASK_ID=str(job["task"]), SLURM_JOB_ID=str(job["job"]))
        child = subprocess.Popen(["bash", job["script"]], env=environment, stdin=subprocess.DEVNULL,
                                 stdout=open(job["log"], "a"), stderr=subprocess.STDOUT, start_new_session=True)
        life = job["life"]
        job.update(state="RUNNING", pid=child.pid)
    code = child.wait()
    with Jobs() as jobs:
        job = find(jobs, text)
        if job["life"] == life and job["state"] == "RUNNING":
            job["state"] = "FAILED" if code else "COMPLETED"


def end(text, state):
    with Jobs() as jobs:
        job = find(jobs, text)
        job["forgotten"] = state.startswith("forget ")
        job["state"] = state.removeprefix("forget ")
        # The trainer is in a group of its own and goes with the coordinator.
        os.killpg(job["pid"], signal.SIGKILL)


def option(name):
    return next((text.split("=", 1)[1] for text in sys.argv if text.startswith(f"--{name}=")), "")


def squeue():
    kind = behaviour()
    answer_as(kind)
    names = option("name").split(",")
    with Jobs() as jobs:
        known = [job for job in jobs if is_mine(job, names) and kind != "empty" and not job.get("forgotten")]
        for job in known:
            state = "ODD" if kind == "odd" else job["state"]
            print(f"{job['job']}|{job['task']}|{state}|None|{job['node']}|{job['name']}")


def sacct():
    kind = behaviour()
    answer_as(kind)
    if not has("accounting"):
        fail("Slurm accounting storage is disabled")
    names = option("name").split(",")
    with Jobs() as jobs:
        for job in jobs:
            if is_mine(job, names):
                print(f"{job['job']}_{job['task']}|{job['state']}|{job['node'] or 'None assigned'}|{job['name']}")


def scancel():
    answer_as(behaviour())
    with Jobs() as jobs:
        for text in sys.argv[1:]:
            for job in jobs:
                if text in (f"{job['job']}_{job['task']}", str(job["job"])) and job["state"] in ("PENDING", "RUNNING"):
                    if job["state"] == "RUNNING":
                        os.killpg(job["pid"], signal.SIGTERM)
                    job["state"] = "CANCELLED"


def sinfo():
    answer_as(behaviour())


def scontrol():
    kind = behaviour()
    answer_as(kind)
    if sys.argv[1] == "show":
        storage = "accounting_storage/slurmdbd" if has("accounting") else "accounting_storage/none"
        print(f"Configuration data as of now\nAccountingStorageType   = {storage}\nClusterName             = invented\n"
              f"MaxArraySize            = 11\nSLURM_VERSION           = 22.05.8")
        return
    if sys.argv[1] == "update":
        return
    with Jobs() as jobs:
        job = find(jobs, sys.argv[2])
        pid = job["pid"]
        job.update(state="PENDING", life=job["life"] + 1)
    begin(job)
    os.killpg(pid, signal.SIGTERM)


if sys.argv[1:2] == ["run"]:
    run(sys.argv[2])
elif sys.argv[1:2] == ["end"]:
    end(sys.argv[2], sys.argv[3])
else:
    {"sbatch": sbatch, "squeue": squeue, "sacct": sacct, "scancel": scancel, "scontrol": scontrol, "sinfo": sinfo}[NAME]()
