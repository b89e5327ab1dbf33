#!/usr/bin/env bash
# Trains on two machines with four GPUs each through Slurm. From the project's folder, which all machines see:
#
#   DATA_DIR=/data/LIP sbatch docs/slurm.sh                 the published training; options of train.py may follow
#   DATA_DIR=/data/LIP sbatch --nodes=4 docs/slurm.sh       on four machines
#
# Make the environment before (see docs/machines.md): machines that start together should not all install one. Three
# minutes before the time is over the run saves and leaves; the same line continues it.
#SBATCH --job-name=csenet
#SBATCH --output=%x-%j.log
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=32
#SBATCH --time=24:00:00
#SBATCH --signal=TERM@180
set -euo pipefail
cd "$SLURM_SUBMIT_DIR"

first=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | sed -n 1p)
export NNODES=$SLURM_JOB_NUM_NODES RENDEZVOUS=$first:$((20000 + SLURM_JOB_ID % 10000))

# One task a machine; its torchrun, which run.sh starts, makes one process for each GPU.
srun --kill-on-bad-exit=1 bash -c 'NODE_RANK=$SLURM_NODEID exec ./run.sh "$@"' run.sh "$@"
