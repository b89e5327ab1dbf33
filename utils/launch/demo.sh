#!/usr/bin/env bash
# `./run.sh --demo`: draw people, train on them, evaluate, and leave pictures to look at; options go to train.py.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
source "$here/utils/launch/environment.sh"
prepare_environment
cd "$here"
demo=snapshots/demo
start=$SECONDS

# Saves a third of the time on processors that compute in bfloat16; others would only emulate it.
amp=off
grep -qsE 'avx512_bf16|amx_bf16' /proc/cpuinfo && amp=bf16

echo "1/3 Drawing people with their labels ..."
"$python" -m dataset.people --output "$demo/data" --train 800 --val 40

echo "2/3 Training on them from random weights ..."
"$python" train.py --data-dir "$demo/data" --snapshot-dir "$demo" --resume auto --input-size 97,65 --depth 50 \
    --epochs 1 --batch-size 4 --learning-rate 0.02 --no-random-scale --no-random-rotation --no-random-colour --no-mixup \
    --amp $amp "$@"

echo "3/3 Evaluating at three scales with mirror ..."
"$python" evaluate_multiscale.py --data-dir "$demo/data" --checkpoint "$demo/DEMO_epoch_Best.pth" \
    --report "$demo/report.json" --examples "$demo/examples.png" --confusion-picture "$demo/confusion.png"

cat <<TEXT

The demonstration took $((SECONDS - start)) seconds. To look at, in $demo:
    examples.png           photographs, labels and predictions
    confusion.png          which classes it takes for which
    report.json, log.jsonl the figures
    tensorboard --logdir $demo
TEXT
