#!/usr/bin/env bash
# Trains on all GPUs of one machine, or of several machines without a scheduler.
# Required: CONFIG, WORKDIR, DATA_DIR. Optional: GPUS=0,1 to use these GPUs only.
# Several machines: start it on each with the same NODES and COORDINATOR=HOST:PORT (a free port on
# machine 0), and with NODE=0, 1, ...; WORKDIR and DATA_DIR must be on a shared disk.
# Further arguments go to `hparse train`. To resume a run, start the same command again.
set -euo pipefail
: "${CONFIG:?}" "${WORKDIR:?}" "${DATA_DIR:?}"
cd "$(dirname "$0")/../.."
if [ -n "${GPUS:-}" ]; then export CUDA_VISIBLE_DEVICES="$GPUS"; fi
processes=()
if [ -n "${COORDINATOR:-}" ]; then
    processes=(--coordinator="$COORDINATOR" --num_processes="${NODES:?}" --process_id="${NODE:?}")
fi
exec .venv/bin/hparse train --config="$CONFIG" --workdir="$WORKDIR" \
    --config.data_dir="$DATA_DIR" "${processes[@]}" "$@"
