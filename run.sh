#!/usr/bin/env bash
# Train CSENet. Nothing here needs editing: settings come as environment variables, anything else as options of train.py.
#
#   ./run.sh --demo                                   a parser from nothing in some minutes, on drawn people
#   DATA_DIR=/data/LIP ./run.sh                       the published training, on all GPUs of this machine
#   DATA_DIR=/data/LIP GPUS=2 ./run.sh --amp off      two GPUs, and an option for train.py
#   DATA_DIR=/data/LIP NNODES=2 NODE_RANK=0 RENDEZVOUS=host0:29500 ./run.sh       one of two machines
#
# DATA_DIR    the dataset's folder (default data/LIP)
# GPUS        processes on this machine (default: its GPUs; one on a machine without)
# BATCH_SIZE  images per process (default: 16 / processes, so that a step has 16 images whatever their number)
# NNODES, NODE_RANK, RENDEZVOUS    number of machines, which one this is, host:port of the first
# PYTHON      the Python to use, or to make .venv with if it lacks something (default: the first on the PATH)
#
# An interrupted run goes on where it was: type the same line again.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$here/utils/launch/environment.sh"
usage_if_asked "$0" "$@"
# On a CPU a training step then needs a ninth less memory: glibc would use the gaps before large, aligned maps for small
# things, and no map of that size would fit there again.
export GLIBC_TUNABLES=${GLIBC_TUNABLES:-glibc.malloc.tcache_count=0:glibc.malloc.mxfast=0}
if [[ "${1:-}" == --demo ]]; then
    shift
    exec "$here/utils/launch/demo.sh" "$@"
fi

check_settings
DATA_DIR=${DATA_DIR:-$here/data/LIP}
if [[ ! -d $DATA_DIR ]]; then
    cat >&2 <<TEXT
There is no dataset in $DATA_DIR.

To train on LIP, download from its authors' page (Look into Person, http://sysu-hcp.net/lip/) the single-person
images and labels, and unpack them so that you have
    LIP/train_images  LIP/train_segmentations  LIP/train_id.txt
    LIP/val_images    LIP/val_segmentations    LIP/val_id.txt
then type
    DATA_DIR=/path/to/LIP ./run.sh
For the published result also put the ImageNet backbone at dataset/resnet101-imagenet.pth (or into snapshots/).

To see a parser learn now, without any data, type
    ./run.sh --demo
TEXT
    exit 2
fi

prepare_environment
options=(--data-dir "$DATA_DIR" --resume auto)
if [[ " $* " != *" --restore-from"* ]]; then
    # The first is where the authors of the published code say to put it.
    for backbone in "$here"/{dataset,snapshots}/resnet101-imagenet.pth; do
        [[ ! -f $backbone ]] || break
    done
    if [[ -f $backbone ]]; then
        options+=(--restore-from "$backbone")
    else
        echo "There is no resnet101-imagenet.pth in $here/dataset or $here/snapshots: training starts from random" \
            "weights and will not reach the published result. README.md says where to download it." >&2
    fi
fi
[[ " $* " == *" --snapshot-dir"* ]] || options+=(--snapshot-dir "$here/snapshots")
[[ -z ${BATCH_SIZE:-} ]] || options+=(--batch-size "$BATCH_SIZE")
launch "$here/train.py" "${options[@]}" "$@"
