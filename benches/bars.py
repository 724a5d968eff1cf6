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


class Table:
    """Figures beside their bars: each told as it is found, and all once more at the end."""

    def __init__(self):
        self.rows, self.met = [], True

    def add(self, what, bar, value, unit):
        """A figure that must not be above its bar."""
        shown = (lambda x: f"{x * 1e3:.0f} ms") if unit == "s" and bar < 1 else (lambda x: f"{x:.4g} {unit}".strip())
        self._row(what, f"≤ {shown(bar)}", shown(value), value / bar, value <= bar)

    def call(self, what, bar, command, times=1, memory=MEMORY_BAR):
        """Time and memory of a call."""
        wall, peak = measured(command, times)
        self.add(what, bar, wall, "s")
        if memory is not None:
            self.add("  its memory", memory, peak, "MiB")

    def at_least(self, what, bar, found):
        """How many times another program is outdone: the median of pairs measured in turn, and their spread."""
        middle = statistics.median(found)
        self._row(what, f"≥ {bar:g}", f"{middle:.2f}", middle / bar, middle >= bar, found)

    def at_most(self, what, bar, found):
        middle = statistics.median(found)
        self._row(what, f"≤ {bar:g}", f"{middle:.2f}", middle / bar, middle <= bar, found)

    def skip(self, what, why):
        print(f"{what}: skipped, {why}", flush=True)
        self.rows.append((what, "", "skipped", "", why))

    def note(self, text):
        """A figure behind a row."""
        print(f"  {text}", flush=True)

    def _row(self, what, bar, value, ratio, fine, found=()):
        self.met &= fine
        spread = f", {min(found):.2f} to {max(found):.2f}" if len(found) > 1 else ""
        row = (what, bar, value, f"{ratio:.2f}", ("ok" if fine else "MISSED") + spread)
        self.rows.append(row)
        print(line(row), flush=True)

    def exit(self):
        print()
        print(line(("what", "bar", "measured", "ratio", "")))
        print("-" * 100)
        for row in self.rows:
            print(line(row))
        sys.exit(0 if self.met else 1)


def line(row):
    what, bar, value, ratio, end = row
    return f"{what:58} {bar:>11} {value:>12} {ratio:>6}  {end}".rstrip()
