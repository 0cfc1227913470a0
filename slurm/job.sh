# shellcheck shell=bash
# One life of a run as a Slurm job: how it is asked to stop, and what follows its end. The *.sbatch
# scripts read this file; a run's own job.sbatch holds its text. $here is the folder of env.sh.

set -euo pipefail
shopt -s inherit_errexit

words=("$@")
PACOS_RUN=() PACOS_SRUN=()
# shellcheck source=slurm/env.sh
source "${PACOS_ENV:-$here/env.sh}"
export PATH=${PACOS_VENV:-${here%/*}/.venv}/bin:$PATH
# A folder called sft where the job was submitted is not the package.
export PYTHONSAFEPATH=1
# Since Slurm 22.05 srun does not take this from its job.
export SRUN_CPUS_PER_TASK=${SLURM_CPUS_PER_TASK:-1}

# shellcheck disable=SC2034
run='' ranks='' grace='' PACOS_CONFIG=''

# begin STAGE WORDS…: takes up the run of a frozen config, or freezes one of KEY=VALUE words. Sets the
# four above and the environment of the ranks.
begin() {
    local settings hosts
    settings=$(alone python -m launch.on_node begin "$@")
    eval "$settings"
    hosts=$(scontrol show hostnames "$SLURM_JOB_NODELIST")
    MASTER_ADDR=${hosts%%$'\n'*}
    export MASTER_ADDR=${MASTER_ADDR:?Slurm names no host of this job}
    # Below the ports that a system gives out by itself, and another one for each job of a node.
    export MASTER_PORT=$((10000 + SLURM_JOB_ID % 20000))
    export TORCH_NCCL_ASYNC_ERROR_HANDLING=1 PYTHONFAULTHANDLER=1
    # torchrun kills ranks that are still saving after 30 s, and dies at the first USR1.
    export PET_SHUTDOWN_TIMEOUT=$grace
    export PET_SIGNALS_TO_HANDLE=SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1
}

# live COMMAND…: the life itself. A signal becomes the STOP file, which the ranks of all nodes see at
# their next step; how the run says that this life ended decides what comes after it.
live() {
    local asked='' code=0 said=$run/.srun-$SLURM_JOB_ID decision next exclude
    trap 'asked=again' USR1 # Slurm: the time ends, or another job is to have the nodes
    trap 'asked=end' TERM   # scancel
    rm -f "$run/STOP" # it was for the life before
    "$@" 2> >(tee "$said" >&2) &
    local step=$!
    while kill -0 "$step" 2>/dev/null; do
        # Again and again: the beginning of the run's life removes an old file.
        [[ -z $asked ]] || touch "$run/STOP"
        sleep 1
    done
    wait "$step" || code=$?
    decision=$(alone python -m launch.on_node end "$run" "$code" "$said" "$asked")
    rm -f "$said"
    eval "$decision"
    [[ $next == again ]] || exit "$code"
    again "$exclude"
}

# live_as_ranks PROGRAM: the same, one launcher a node; the first node that fails ends the job.
# shellcheck disable=SC2329 # the job of a stage without ranks has it too
live_as_ranks() {
    # Single quotes: each node takes its own rank.
    # shellcheck disable=SC2016
    live srun --ntasks-per-node=1 --kill-on-bad-exit=1 --wait=60 "${PACOS_SRUN[@]}" \
        bash -c 'exec "$@" --machine_rank "$SLURM_NODEID" -m "$0" --config "$PACOS_CONFIG"' "$1" \
        "${PACOS_RUN[@]}" python -m sft.engine.launcher --use_deepspeed --deepspeed_multinode_launcher standard \
        --num_machines "$SLURM_JOB_NUM_NODES" --num_processes "$ranks" \
        --main_process_ip "$MASTER_ADDR" --main_process_port "$MASTER_PORT" \
        --rdzv_backend static --max_restarts 0 --mixed_precision no --dynamo_backend no
}

# again NODES: this job once more, without those nodes. Nothing else starts a run again: not torchrun,
# not srun, not sbatch.
again() {
    local id=${SLURM_ARRAY_JOB_ID:+${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID}
    if [[ -z $1 ]] && scontrol requeue "${id:-$SLURM_JOB_ID}"; then
        sleep 600 # Slurm ends this script
        exit 85
    fi
    # Slurm requeues with the nodes that it likes, or at this site not at all: a job of its own.
    local facts script limit options
    facts=$(scontrol show job --oneliner "$SLURM_JOB_ID")
    script=$(sed -n 's/.* Command=\(.*\.sbatch\).*/\1/p' <<<"$facts")
    limit=$(sed -n 's/.* TimeLimit=\([^ ]*\).*/\1/p' <<<"$facts")
    options=("--dependency=afterany:$SLURM_JOB_ID" "--nodes=$SLURM_JOB_NUM_NODES"
        "--partition=$SLURM_JOB_PARTITION" "--time=$limit" ${1:+"--exclude=$1"}
        ${SLURM_ARRAY_TASK_ID:+"--array=$SLURM_ARRAY_TASK_ID"}
        ${SLURM_JOB_ACCOUNT:+"--account=$SLURM_JOB_ACCOUNT"} ${SLURM_JOB_QOS:+"--qos=$SLURM_JOB_QOS"}
        ${SLURM_GPUS_ON_NODE:+"--gpus-per-node=$SLURM_GPUS_ON_NODE"})
    id=$(submit "${options[@]}" "$script" "${words[@]}")
    hand_over "${id%%;*}"
    # Renamed, so that nobody reads half of it.
    echo "${id%%;*}${SLURM_ARRAY_TASK_ID:+_$SLURM_ARRAY_TASK_ID}" >"$run/.job.id"
    mv "$run/.job.id" "$run/job.id"
    exit 85
}

# hand_over ID: jobs that wait for this one's success wait for that of its successor.
hand_over() {
    local job waits
    squeue --me --noheader --format='%i %E' | while read -r job waits; do
        [[ ${waits%%(*} != "afterok:$SLURM_JOB_ID" ]] ||
            scontrol update "jobid=$job" "dependency=afterok:$1"
    done
}

# What Slurm gave this job would become the options of the next, and contradict them.
submit() (
    conf=${SLURM_CONF:-}
    unset "${!SLURM_@}" "${!PMI@}" "${!SRUN_@}"
    [[ -z $conf ]] || export SLURM_CONF=$conf
    exec sbatch --parsable "$@"
)

# A program of pacos on this node.
alone() {
    if ((${#PACOS_SRUN[@]})); then
        srun --nodes=1 --ntasks=1 "${PACOS_SRUN[@]}" "${PACOS_RUN[@]}" "$@"
    else
        "${PACOS_RUN[@]}" "$@"
    fi
}
