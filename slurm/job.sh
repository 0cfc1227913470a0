# shellcheck shell=bash
# One life of a run as a Slurm job: begins the run, asks it to stop in time, and requeues the job.
# The *.sbatch scripts source this file; the job.sbatch of a run contains its text. $here is the
# folder of env.sh.

set -euo pipefail
shopt -s inherit_errexit

words=("$@")
PACOS_RUN=() PACOS_SRUN=()
# shellcheck source=slurm/env.sh
source "${PACOS_ENV:-$here/env.sh}"
export PATH=${PACOS_VENV:-${here%/*}/.venv}/bin:$PATH
# Without it, a folder called sft in the submission directory would hide the package of that name.
export PYTHONSAFEPATH=1
# Since Slurm 22.05 srun no longer inherits --cpus-per-task from its job.
export SRUN_CPUS_PER_TASK=${SLURM_CPUS_PER_TASK:-1}

# shellcheck disable=SC2034
run='' ranks='' grace='' PACOS_CONFIG=''

# begin STAGE --config FILE | KEY=VALUE…: opens the run of a frozen config, or freezes a config from
# overrides. Sets the four variables above and the environment of the ranks.
begin() {
    local settings hosts
    settings=$(alone python -m launch.on_node begin "$@")
    eval "$settings"
    hosts=$(scontrol show hostnames "$SLURM_JOB_NODELIST")
    MASTER_ADDR=${hosts%%$'\n'*}
    export MASTER_ADDR=${MASTER_ADDR:?Slurm names no host of this job}
    # Below the range of ephemeral ports (32768 and up), and different for jobs that share a node.
    export MASTER_PORT=$((10000 + SLURM_JOB_ID % 20000))
    export TORCH_NCCL_ASYNC_ERROR_HANDLING=1 PYTHONFAULTHANDLER=1
    # By default torchrun kills ranks that still save after 30 s, and USR1 kills torchrun itself.
    export PET_SHUTDOWN_TIMEOUT=$grace
    export PET_SIGNALS_TO_HANDLE=SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1
}

# live COMMAND…: runs one life. A signal becomes the STOP file, which the ranks of all nodes see at
# their next step. The end that the run records for this life decides what comes after it.
live() {
    local asked='' code=0 said=$run/.srun-$SLURM_JOB_ID decision next exclude
    trap 'asked=again' USR1 # from Slurm: the time limit is near, or the job is preempted
    trap 'asked=end' TERM   # from scancel
    rm -f "$run/STOP" # a leftover of an earlier life
    "$@" 2> >(tee "$said" >&2) &
    local step=$!
    while kill -0 "$step" 2>/dev/null; do
        # Repeated, because the run removes a stale STOP file when its life begins.
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

# live_as_ranks PROGRAM: runs one life with one launcher per node; the first node to fail ends it.
# shellcheck disable=SC2329 # unused in the job of a stage without ranks
live_as_ranks() {
    # Single quotes: each node expands SLURM_NODEID to its own number.
    # shellcheck disable=SC2016
    live srun --ntasks-per-node=1 --kill-on-bad-exit=1 --wait=60 "${PACOS_SRUN[@]}" \
        bash -c 'exec "$@" --machine_rank "$SLURM_NODEID" -m "$0" --config "$PACOS_CONFIG"' "$1" \
        "${PACOS_RUN[@]}" python -m sft.engine.launcher --use_deepspeed --deepspeed_multinode_launcher standard \
        --num_machines "$SLURM_JOB_NUM_NODES" --num_processes "$ranks" \
        --main_process_ip "$MASTER_ADDR" --main_process_port "$MASTER_PORT" \
        --rdzv_backend static --max_restarts 0 --mixed_precision no --dynamo_backend no
}

# again NODES: runs this job again, excluding NODES. This is the only place that restarts a run:
# torchrun, srun and sbatch are all told not to.
again() {
    local id=${SLURM_ARRAY_JOB_ID:+${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID}
    if [[ -z $1 ]] && scontrol requeue "${id:-$SLURM_JOB_ID}"; then
        sleep 600 # Slurm kills this script when it requeues the job
        exit 85
    fi
    # A requeue cannot exclude nodes, and some sites do not allow it: submit a new job instead.
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
    # Written to another name and renamed, so that no reader sees half of it.
    echo "${id%%;*}${SLURM_ARRAY_TASK_ID:+_$SLURM_ARRAY_TASK_ID}" >"$run/.job.id"
    mv "$run/.job.id" "$run/job.id"
    exit 85
}

# hand_over ID: makes jobs that wait for the success of this job wait for job ID instead.
hand_over() {
    local job waits
    squeue --me --noheader --format='%i %E' | while read -r job waits; do
        [[ ${waits%%(*} != "afterok:$SLURM_JOB_ID" ]] ||
            scontrol update "jobid=$job" "dependency=afterok:$1"
    done
}

# submit ARGUMENT…: calls sbatch without the variables of this job, which would override the options
# of the next one.
submit() (
    conf=${SLURM_CONF:-}
    unset "${!SLURM_@}" "${!PMI@}" "${!SRUN_@}"
    [[ -z $conf ]] || export SLURM_CONF=$conf
    exec sbatch --parsable "$@"
)

# alone COMMAND…: runs a pacos program on this node only, in the container if there is one.
alone() {
    if ((${#PACOS_SRUN[@]})); then
        srun --nodes=1 --ntasks=1 "${PACOS_SRUN[@]}" "${PACOS_RUN[@]}" "$@"
    else
        "${PACOS_RUN[@]}" "$@"
    fi
}
