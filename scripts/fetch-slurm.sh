#!/usr/bin/env bash
# Slurm for the tests of clusters, where it can be had without asking: as root on a Debian. Else those tests skip, and say so.
set -euo pipefail
missing=
for program in slurmctld slurmd munged sbatch; do
  command -v "$program" >/dev/null || missing=$program
done
[ -n "$missing" ] || exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
  echo "no Slurm: its packages need root and apt; the tests that need it skip"
  exit 0
fi
packages=(slurmctld slurmd slurm-client munge)
log=$(mktemp)
if (apt-get install -y --no-install-recommends "${packages[@]}" || { apt-get update && apt-get install -y \
  --no-install-recommends "${packages[@]}"; }) >"$log" 2>&1; then
  echo "Slurm: $(slurmctld -V)"
else
  echo "no Slurm: its packages cannot be installed here ($(tail -1 "$log")); the tests that need it skip"
fi
