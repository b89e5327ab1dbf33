#!/usr/bin/env bash
# Evaluate at one scale with mirror. Settings as in run.sh (DATA_DIR, GPUS, NNODES, NODE_RANK, RENDEZVOUS), and
# CHECKPOINT, the weights (default snapshots/LIP_epoch_Best.pth); anything else goes to evaluate.py.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$here/utils/launch/environment.sh"
usage_if_asked "$0" "$@"
run_evaluation "$here/evaluate.py" "$@"
