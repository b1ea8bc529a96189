#!/usr/bin/env bash
# Trains on every host of a TPU pod slice; run it where gcloud is set up.
# Needs: TPU (name), ZONE, CONFIG (file in the checkout), WORKDIR and DATA_DIR (on a disk that all
# hosts share). Optional: REPOSITORY (folder of the checkout on the hosts).
# Further arguments go to `hparse train`, e.g. --config.optimizer.base_lr=0.01
# A stopped run goes on when the same command is started again.
set -euo pipefail
: "${TPU:?}" "${ZONE:?}" "${CONFIG:?}" "${WORKDIR:?}" "${DATA_DIR:?}"
printf -v COMMAND '%q ' .venv/bin/hparse train --distributed --config="$CONFIG" \
    --workdir="$WORKDIR" --config.data_dir="$DATA_DIR" "$@"
gcloud compute tpus tpu-vm ssh "$TPU" --zone="$ZONE" --worker=all \
    --command="cd ${REPOSITORY:-hparse_jax} && { [ -d .venv ] || python3 -m venv .venv; } \
        && .venv/bin/pip install --quiet -e '.[tpu]' && $COMMAND"
