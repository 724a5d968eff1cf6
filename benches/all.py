"""Every bar of the project in one table: what, bar, measured, their ratio; `make bench` runs it.

    python3 benches/all.py [--pairs 3] [--only coordinator,cluster,records,draws,methods,peer]

Needs the release build and the demo's model and data; the figures beside the Trainer need .peer (`make bench-peer`) and
GLUE files (SWEEP_DATA), and are told as skipped without. Those take two hours by three pairs, all others half an hour.
"""

import argparse
import re
import subprocess

import cluster
import coordinator
import methods
import peer
import records
from bars import HERE, Table


def draws(table):
    """What choosing and drawing a child network costs: the lines of `cargo bench --bench methods`."""
    said = subprocess.run(["cargo", "bench", "--bench", "methods"], cwd=HERE, capture_output=True, text=True).stdout
    for what, bar, best in re.findall(r"^(.{44}) +([\d.]+)s +([\d.]+)s", said, re.MULTILINE):
        table.add(what.strip(), float(bar), float(best), "s")
    for peak, bar in re.findall(r"^peak memory of this program: (\d+) MiB, bar ([\d,]+)", said, re.MULTILINE):
        table.add("memory of choosing in bert-large", float(bar.replace(",", "")), float(peak), "MiB")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--only", default="coordinator,cluster,records,draws,methods,peer")
    a = parser.parse_args()
    parts = {
        "coordinator": coordinator.measure, "cluster": cluster.measure, "records": records.measure, "draws": draws, "methods": methods.measure,
        "peer": lambda table: peer.measure(table, pairs=a.pairs),
    }
    table = Table()
    for name in a.only.split(","):
        parts[name](table)
    table.exit()


if __name__ == "__main__":
    main()
