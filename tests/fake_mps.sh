#!/bin/sh
# Stands in for nvidia-cuda-mps-control: a daemon that only sleeps, and orders to it on standard input. It fails to start
# where a file `broken` lies in its folder of pipes.
pipe="${CUDA_MPS_PIPE_DIRECTORY:-/nonexistent}"
if [ "$1" = -d ]; then
    if [ -e "$pipe/broken" ]; then
        echo "no GPU to serve" >&2
        exit 1
    fi
    sleep 600 >/dev/null 2>&1 &
    echo $! >"$pipe/control.pid"
    echo "daemon ${CUDA_VISIBLE_DEVICES-sees all}" >>"$pipe/history"
    exit 0
fi
read -r order
kill -0 "$(cat "$pipe/control.pid" 2>/dev/null || echo none)" 2>/dev/null || exit 1
if [ "$order" = quit ]; then
    kill "$(cat "$pipe/control.pid")"
    rm "$pipe/control.pid"
    echo quit >>"$pipe/history"
fi
