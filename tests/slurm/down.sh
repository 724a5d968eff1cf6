#!/usr/bin/env bash
# Cancels every job of the Slurm that up.sh started in this folder, and ends its daemons.
at=${1:?the folder of its state}
export SLURM_CONF="$at/slurm.conf"
timeout 10 scancel --user="$(id -un)" 2>/dev/null
for _ in $(seq 100); do
  [ -z "$(timeout 5 squeue -h 2>/dev/null)" ] && break
  sleep 0.2
done
for file in "$at"/run/slurmd-*.pid "$at"/run/slurmctld.pid "$at"/munge/munged.pid; do
  [ -s "$file" ] || continue
  pid=$(cat "$file")
  kill "$pid" 2>/dev/null
  for _ in $(seq 100); do
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.1
  done
  kill -9 "$pid" 2>/dev/null
done
exit 0
