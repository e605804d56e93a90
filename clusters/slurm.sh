#!/bin/bash
# A search as a Slurm job. From the project folder, on storage that all nodes share and with its .venv (`make setup`):
#
#   sbatch clusters/slurm.sh tunet --preset standard --name big
#   sbatch clusters/slurm.sh tunet --name big --resume        when the time was not enough
#
#SBATCH --job-name=gapsearch
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=4
#SBATCH --time=08:00:00
# Whole nodes: `ray symmetric-run` ends with `ray stop`, which would end every Ray of yours on a node.
#SBATCH --exclusive
set -euo pipefail

# `ray symmetric-run` calls `ray` and `python` by name.
export PATH="$PWD/.venv/bin:$PATH"
export RAY_AUTH_MODE=token RAY_USAGE_STATS_ENABLED=0 RAY_SYMMETRIC_RUN_CLUSTER_WAIT_TIMEOUT=300
(umask 077 && test -s ~/.ray/auth_token || ray get-auth-token --generate > /dev/null)

address="$(scontrol show hostnames "$SLURM_JOB_NODELIST" | sed -n 1p):6379"

# Each node gets all of its cores, for one task. The search runs on the first node, beside the trials.
srun --cpus-per-task="$SLURM_CPUS_ON_NODE" \
    ray symmetric-run --address="$address" --min-nodes="$SLURM_JOB_NUM_NODES" --num-cpus="$SLURM_CPUS_ON_NODE" \
    -- env RAY_ADDRESS="$address" python -m search.run "$@"
