# shellcheck shell=bash disable=SC2034
# The one file that a site edits: what a job needs before Python starts. Jobs read it when they
# begin. A file elsewhere is read instead where PACOS_ENV names it at submission.

# module load cuda gcc python/3.11
# export NCCL_SOCKET_IFNAME=ib0
# export HF_HOME=/shared/huggingface HF_HUB_OFFLINE=1

# The environment that `make setup` made, on a file system that every node sees. Unless it is set
# here, it is the one that submitted the job; for scripts submitted by hand, the .venv beside slurm/.
# PACOS_VENV=/shared/pacos/.venv

# Or a container that pacos is installed in. Apptainer: the words before every program.
# PACOS_RUN=(apptainer exec --nv --bind /shared /shared/pacos.sif)
# Or pyxis: options of srun.
# PACOS_SRUN=(--container-image=/shared/pacos.sqsh --container-mounts=/shared:/shared)
