#!/usr/bin/env bash
#SBATCH --job-name=hparse
#SBATCH --ntasks-per-node=1
#SBATCH --signal=TERM@120
# Trains on the GPUs of one or more SLURM nodes, one process per node:
#   CONFIG=configs/lip.py WORKDIR=runs/lip DATA_DIR=/data \
#   sbatch --nodes=2 --gpus-per-node=4 --cpus-per-task=32 --time=24:00:00 experiments/launch/slurm.sh
# Further arguments go to `hparse train`. Two minutes before the time limit the run saves a
# checkpoint and exits with code 143; submit the same job again to resume it.
set -euo pipefail
: "${CONFIG:?}" "${WORKDIR:?}" "${DATA_DIR:?}"
cd "${SLURM_SUBMIT_DIR:-.}"
srun .venv/bin/hparse train --distributed --config="$CONFIG" --workdir="$WORKDIR" \
    --config.data_dir="$DATA_DIR" "$@"
