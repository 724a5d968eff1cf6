#!/usr/bin/env bash
# A whole Slurm on this machine, without systemd: munge, a controller and NODES nodes of two cores and two make-believe
# GPUs each. All that it writes lies in the folder that it is given, whose path must be absolute and short.
#
#   NODES=2 tests/slurm/up.sh /tmp/s && export SLURM_CONF=/tmp/s/slurm.conf
set -euo pipefail
at=${1:?the folder for its state, absolute}
nodes=${NODES:-2}
# Two of them may live side by side on other ports.
port=${PORT:-26817}
host=$(hostname -s)
memory=$(($(awk '/^MemTotal/ {print int($2 / 1024)}' /proc/meminfo) / 2 / nodes))
mkdir -p "$at"/{munge,state,log,run,dev}
# munged wants the folder of its socket to be open to all, and refuses one that others can write.
chmod 711 "$at" "$at/munge"

if [ ! -e "$at/munge/key" ]; then
  head -c 1024 /dev/urandom >"$at/munge/key"
  chmod 400 "$at/munge/key"
fi
# Slurm wants device files; those of /dev/null do nothing. Where none may be made, terminals have the right names.
gpus="$at/dev/nvidia[0-1]"
for gpu in 0 1; do
  [ -e "$at/dev/nvidia$gpu" ] || mknod "$at/dev/nvidia$gpu" c 1 3 2>/dev/null || gpus="/dev/tty[0-1]"
done
echo "Name=gpu File=$gpus" >"$at/gres.conf"

{
  cat <<CONF
ClusterName=onehost
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$port
SlurmUser=$(id -un)
SlurmdUser=$(id -un)
AuthType=auth/munge
CryptoType=crypto/munge
# A credential lives two minutes by default, and a job that is requeued waits for its end.
AuthInfo=socket=$at/munge/socket,cred_expire=5
StateSaveLocation=$at/state
SlurmdSpoolDir=$at/spool-%n
SlurmctldPidFile=$at/run/slurmctld.pid
SlurmdPidFile=$at/run/slurmd-%n.pid
SlurmctldLogFile=$at/log/slurmctld.log
SlurmdLogFile=$at/log/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,bf_interval=1
GresTypes=gpu
ReturnToService=2
SlurmctldTimeout=10
SlurmdTimeout=10
InactiveLimit=0
KillWait=10
MinJobAge=3600
MaxArraySize=1001
PropagateResourceLimits=NONE
CONF
  for node in $(seq "$nodes"); do
    echo "NodeName=n$node NodeHostname=$host NodeAddr=127.0.0.1 Port=$((port + 10 + node)) CPUs=2 RealMemory=$memory Gres=gpu:2 State=UNKNOWN"
  done
  echo "PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP"
} >"$at/slurm.conf"

export SLURM_CONF="$at/slurm.conf"
munged --force --key-file="$at/munge/key" --socket="$at/munge/socket" --pid-file="$at/munge/munged.pid" \
  --log-file="$at/munge/munged.log" --seed-file="$at/munge/seed" --num-threads=2
slurmctld -f "$SLURM_CONF"
for node in $(seq "$nodes"); do
  slurmd -f "$SLURM_CONF" -N "n$node"
done
for _ in $(seq 100); do
  # One line a node, all idle.
  states=$(sinfo -h -N -o %T 2>/dev/null || true)
  [ "$(grep -cx idle <<<"$states")" = "$nodes" ] && exit 0
  sleep 0.2
done
echo "the nodes did not come up: $states" >&2
exit 1
