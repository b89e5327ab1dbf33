#!/usr/bin/env bash
# Parse pictures and videos on all GPUs of this machine, or of several: each input is parsed once. The options are those
# of predict.py (python predict.py --help).
#
#   ./run_predict.sh --checkpoint snapshots/LIP_epoch_Best.pth --input photos --output results
#   GPUS=8 ./run_predict.sh --checkpoint ... --input photos clip.mp4 --output results --overlay
#   NNODES=2 NODE_RANK=0 RENDEZVOUS=host0:29500 ./run_predict.sh ...       one of two machines that share their disk
#
# GPUS        processes on this machine (default: its GPUs; one on a machine without)
# NNODES, NODE_RANK, RENDEZVOUS    number of machines, which one this is, host:port of the first
#
# An interrupted run goes on where it was: type the same line again, also with another number of processes.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$here/utils/launch/environment.sh"
usage_if_asked "$0" "$@"
check_settings
prepare_environment
# Status 1 says that some inputs could not be read: no reason to start again.
export MAX_RESTARTS=${MAX_RESTARTS:-0}
launch "$here/predict.py" "$@"
