"""One table for all that is measured against a bar: what, bar, measured, their ratio."""

import pathlib
import statistics
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent.parent
SWEEP = HERE / "target/release/sweep"
MEMORY_BAR = 300.0  # MiB


def measured(command, times=1):
    """Of one call of a program, the best of several: wall seconds; and peak memory in MiB, the worst of them."""
    # A child of its own, so that its peak memory is not that of an earlier one.
    code = (
        "import resource, subprocess, sys, time\n"
        "start = time.perf_counter()\n"
        "subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)\n"
        "print(time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    found = []
    for _ in range(times):
        call = [sys.executable, "-c", code] + [str(part) for part in command]
        wall, peak = subprocess.run(call, cwd=HERE, check=True, stdout=subprocess.PIPE).stdout.split()
        found.append((float(wall), int(peak) / 1024))
    return min(wall for wall, _ in found), max(peak for _, peak in found)


class Bars:
    def __init__(self):
        self.met = True
        print(f"{'what':44} {'bar':>10} {'measured':>12} {'of bar':>7}")

    def add(self, what, bar, value, unit):
        """A figure that must not be above its bar."""
        fine = value <= bar
        self.met &= fine
        shown = (lambda x: f"{x * 1e3:.0f} ms") if unit == "s" and bar < 1 else (lambda x: f"{x:.4g} {unit}")
        print(f"{what:44} {shown(bar):>10} {shown(value):>12} {value / bar:6.0%}  {'ok' if fine else 'MISSED'}", flush=True)

    def call(self, what, bar, command, times=1, memory=MEMORY_BAR):
        """Time and memory of a call."""
        wall, peak = measured(command, times)
        self.add(what, bar, wall, "s")
        if memory is not None:
            self.add("  its memory", memory, peak, "MiB")

    def exit(self):
        sys.exit(0 if self.met else 1)


class Ratios:
    """Figures beside another program's, each with its spread over the pairs measured."""

    def __init__(self):
        self.met = True
        print(f"{'what':58} {'bar':>8} {'measured':>9}  spread")

    def at_least(self, what, bar, found):
        self._add(what, f"≥ {bar:g}", found, statistics.median(found) >= bar)

    def at_most(self, what, bar, found):
        self._add(what, f"≤ {bar:g}", found, statistics.median(found) <= bar)

    def _add(self, what, bar, found, fine):
        self.met &= fine
        spread = f"{min(found):.2f}–{max(found):.2f}"
        print(f"{what:58} {bar:>8} {statistics.median(found):9.2f}  {spread:13} {'ok' if fine else 'MISSED'}", flush=True)

    def note(self, text):
        """A figure behind a ratio."""
        print(f"  {text}", flush=True)

    def exit(self):
        sys.exit(0 if self.met else 1)
