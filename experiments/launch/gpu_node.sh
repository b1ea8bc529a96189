#!/usr/bin/env bash
# Trains on all GPUs of this machine, or of several machines without a scheduler.
# Needs: CONFIG, WORKDIR, DATA_DIR. GPUS=0,1 takes only these.
# Several machines: start it on each with the same COORDINATOR=HOST:PORT (a free port of machine
# 0) and NODES, and with NODE = 0, 1, ...; WORKDIR and DATA_DIR must be shared.
# Further arguments go to `hparse train`. Started again it goes on.
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
