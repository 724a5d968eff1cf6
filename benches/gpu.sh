#!/usr/bin/env bash
# Measures the trainer on a machine with a GPU, beside the Trainer of transformers, in one call:
#
#     strip -o sweep-worker target/release/sweep-worker     # 17 MB: all that has to travel, with this folder
#     bash benches/gpu.sh ./sweep-worker [--only speed,slots,fused,sweep] [--seconds 3]
#
# The other machine needs Python with torch (of the version that the worker was built against, with CUDA), transformers and
# accelerate; no cargo, no network. With `--device cpu --quick` the same goes through on any machine in seconds, without
# torch, which shows that it works and nothing about speed.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
worker=${1:?"usage: gpu.sh WORKER [options]"}
shift
# torch finds its own libraries; the worker, linked against the same, has to be told.
libraries=$(python3 - <<'END'
import glob, importlib.util, os
found = importlib.util.find_spec("torch")
if found:
    root = os.path.dirname(found.origin)
    print(":".join([f"{root}/lib"] + sorted(glob.glob(f"{root}/../nvidia/*/lib"))))
END
)
export LD_LIBRARY_PATH="${libraries:+$libraries:}${LD_LIBRARY_PATH:-}"
exec python3 "$here/gpu/measure.py" --worker "$worker" "$@"
