"""The trainer process, driven by its own protocol: JSON orders in, JSON messages out."""

import json
import subprocess
import sys
import tempfile


class Worker:
    """A process on a device; `environment` for the multi-process service."""

    def __init__(self, program, device, threads, environment=None):
        self.words = tempfile.TemporaryFile("w+")
        command = [program, "--device", device, "--threads", str(threads)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.words, text=True, bufsize=1,
            env=environment,
        )
        self.hear("ready")

    def order(self, **order):
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()

    def hear(self, *kinds):
        """The next message of one of these kinds."""
        for line in self.process.stdout:
            [(kind, body)] = json.loads(line).items()
            if kind in kinds:
                return kind, body
            if kind in ("refused", "failed"):
                sys.exit(f"the trainer says: {body}")
        code = self.process.wait()
        self.words.seek(0)
        sys.exit(f"the trainer ended with {code}: {self.words.read()[-2000:]}")

    def measure(self, job, seconds):
        """Examples a second of plain training; the first call of a kind loads and warms up."""
        self.order(measure=dict(job=job, seconds=seconds))
        return self.measured()

    def measured(self):
        _, body = self.hear("measured")
        return body["examples"] / body["seconds"]

    def train(self, jobs):
        """Trains runs, one alone or several side by side. Gives their records' provenance."""
        self.order(**(dict(train=jobs[0]) if len(jobs) == 1 else dict(fuse=jobs)))
        return [self.hear("done")[1]["made"] for _ in jobs]

    def end(self):
        self.process.stdin.close()
        self.process.wait()
