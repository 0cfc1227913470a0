# shellcheck shell=bash
# The one file that a site edits: what a job needs before Python starts.

# module load cuda gcc python/3.11
# export NCCL_SOCKET_IFNAME=ib0
# export HF_HOME=/shared/huggingface

# The environment that `make setup` made, on a file system that every node sees.
PACOS_VENV=${PACOS_VENV:-$HOME/pacos/.venv}
export PACOS_VENV
