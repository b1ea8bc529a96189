#!/usr/bin/env bash
# Trains on all hosts of a TPU pod slice; run it on a machine where gcloud is set up.
# Required: TPU (its name), ZONE, CONFIG (a file of the checkout), WORKDIR and DATA_DIR (on a disk
# shared by all hosts). Optional: REPOSITORY (path of the checkout on the hosts).
# Further arguments go to `hparse train`, e.g. --config.optimizer.base_lr=0.01
# To resume a run, start the same command again.
set -euo pipefail
: "${TPU:?}" "${ZONE:?}" "${CONFIG:?}" "${WORKDIR:?}" "${DATA_DIR:?}"
printf -v COMMAND '%q ' .venv/bin/hparse train --distributed --config="$CONFIG" \
    --workdir="$WORKDIR" --config.data_dir="$DATA_DIR" "$@"
gcloud compute tpus tpu-vm ssh "$TPU" --zone="$ZONE" --worker=all \
    --command="cd ${REPOSITORY:-hparse_jax} && { [ -d .venv ] || python3 -m venv .venv; } \
        && .venv/bin/pip install --quiet -e '.[tpu]' && $COMMAND"
