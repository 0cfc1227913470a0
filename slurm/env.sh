# shellcheck shell=bash disable=SC2034
# The one file that a site edits: the setup that a job needs before Python starts. Jobs read it when
# they begin. To use another file, set PACOS_ENV to its path at submission.

# module load cuda gcc python/3.11
# export NCCL_SOCKET_IFNAME=ib0
# export HF_HOME=/shared/huggingface HF_HUB_OFFLINE=1

# The environment that `make setup` created, on a file system that every node sees. By default it is
# the one that submitted the job; for scripts submitted by hand, the .venv beside slurm/.
# PACOS_VENV=/shared/pacos/.venv

# Or a container with pacos installed. With Apptainer: the command that wraps every program.
# PACOS_RUN=(apptainer exec --nv --bind /shared /shared/pacos.sif)
# With pyxis: options for srun.
# PACOS_SRUN=(--container-image=/shared/pacos.sqsh --container-mounts=/shared:/shared)
