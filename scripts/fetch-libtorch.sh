#!/usr/bin/env bash
# libtorch 2.11.0 into .libtorch/, out of the PyPI wheels. Idempotent.
#   no NVIDIA GPU: only the CPU libraries and the headers (500 MB)
#   NVIDIA GPU:    the whole torch package with CUDA 13 (4.7 GB)
# SWEEP_LIBTORCH=lean|full overrides the choice.
set -euo pipefail
cd "$(dirname "$0")/.."
VERSION=2.11.0
DEST=.libtorch
if [ -z "${SWEEP_LIBTORCH:-}" ]; then
  if [ -e /proc/driver/nvidia/version ] || [ -e /dev/nvidia0 ]; then SWEEP_LIBTORCH=full; else SWEEP_LIBTORCH=lean; fi
fi
STAMP="$DEST/.complete-$VERSION-$SWEEP_LIBTORCH"
[ -f "$STAMP" ] && exit 0
command -v python3 >/dev/null || { echo "fetch-libtorch: python3 with pip is needed to read the wheels" >&2; exit 1; }
echo "fetching libtorch $VERSION ($SWEEP_LIBTORCH) into $DEST" >&2
rm -rf "$DEST" "$DEST.tmp"
mkdir -p "$DEST.tmp"

if [ "$SWEEP_LIBTORCH" = full ]; then
  python3 -m pip install -q --disable-pip-version-check --target "$DEST.tmp" "torch==$VERSION"
  echo "$VERSION" > "$DEST.tmp/torch/build-version"
  mv "$DEST.tmp" "$DEST"
  touch "$STAMP"
  exit 0
fi

# The C++ files in the wheel do not depend on the Python version; cp311 is only a name here.
python3 -m pip download -q --no-cache-dir --disable-pip-version-check --no-deps --only-binary=:all: \
  --implementation cp --python-version 3.11 --abi cp311 --abi none \
  --platform manylinux_2_28_x86_64 --platform manylinux_2_27_x86_64 --platform manylinux_2_25_x86_64 \
  --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 \
  -d "$DEST.tmp/wheels" "torch==$VERSION" nvidia-cuda-runtime==13.0.96 nvidia-cuda-cupti==13.0.85
python3 - "$DEST.tmp" "$VERSION" <<'PY'
import glob, re, sys, zipfile

dest, version = sys.argv[1:]
keep = re.compile(
    r"^(torch/lib/(libtorch_cpu|libc10)\.so$"
    r"|torch/lib/libgomp[^/]*\.so[^/]*$"
    r"|torch/include/"
    r"|nvidia/cu13/lib/(libcudart\.so\.13|libcupti\.so\.13)$)"
)
for wheel in glob.glob(dest + "/wheels/*.whl"):
    with zipfile.ZipFile(wheel) as z:
        for entry in z.infolist():
            if keep.match(entry.filename) and not entry.is_dir():
                z.extract(entry, dest)
# torch-sys links with -ltorch, but the real libtorch.so needs libtorch_cuda.so: a linker script stands in.
open(dest + "/torch/lib/libtorch.so", "w").write("/* GNU ld script */\nINPUT ( -ltorch_cpu -lc10 )\n")
open(dest + "/torch/build-version", "w").write(version + "\n")
PY
rm -rf "$DEST.tmp/wheels"
mv "$DEST.tmp" "$DEST"
touch "$STAMP"
