"""How fast the coordinator answers, each figure beside its bar; `make bench` runs it.

    python3 benches/coordinator.py [runs of each command, default 5]

Needs the release build and the demo's model and data.
"""

import pathlib
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent.parent
SWEEP = HERE / "target/release/sweep"

# 2 tasks × (1 + 8 + 8 settings) × 6 learning rates × 49 seeds = 9,996 runs.
BIG = """
[grid]
task  = ["tweets-rating", "products-polarity"]
model = ["all-MiniLM-L6-v2"]
mode  = ["vanilla", "child-f", "child-d"]
p     = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]
lr    = [1e-5, 2e-5, 3e-5, 4e-5, 5e-5, 6e-5]
seed  = { from = 1, to = 49 }
"""


def best(command, times):
    """Wall seconds of the fastest call, and the slowest."""
    took = []
    for _ in range(times):
        start = time.perf_counter()
        subprocess.run(command, cwd=HERE, check=True, stdout=subprocess.DEVNULL)
        took.append(time.perf_counter() - start)
    return min(took), max(took)


def main():
    times = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    with tempfile.TemporaryDirectory() as folder:
        big = pathlib.Path(folder) / "big.toml"
        big.write_text(BIG)
        rows = [
            ("sweep --help", 0.020, [SWEEP, "--help"]),
            ("sweep plan, 9,996 runs", 0.300, [SWEEP, "plan", big, "--results", folder]),
            ("sweep status", 0.100, [SWEEP, "status"]),
            ("sweep report, quickstart", 1.000, [SWEEP, "report", "quickstart", "--out", folder + "/report"]),
        ]
        print(f"{'what':28} {'bar':>8} {'best':>8} {'worst':>8}")
        met = True
        for what, bar, command in rows:
            low, high = best([str(part) for part in command], times)
            print(f"{what:28} {bar * 1e3:6.0f}ms {low * 1e3:6.0f}ms {high * 1e3:6.0f}ms  {'ok' if low <= bar else 'MISSED'}")
            met &= low <= bar
        return 0 if met else 1


sys.exit(main())
