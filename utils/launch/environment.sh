# Sourced by the run scripts, which set `here` to the project's folder: a Python with what they need, and one process per
# GPU.

# prepare_environment EXTRA...
# Sets `python` to a Python that has what pyproject.toml asks for, these extras included. That is the Python at hand, an
# active environment's or the machine's own (in a container, say), if it has everything; else the one of .venv, which is
# made and filled if needed. A PyTorch of the machine's own that fits is used from there, not installed once more.
prepare_environment() {
    local own lacking
    own=$(find_python)
    lacking=$(missing "$own" "$@") || lacking=everything
    if [[ -z $lacking ]]; then
        python=$own
        return
    fi
    python=$here/.venv/bin/python
    if [[ -n ${VIRTUAL_ENV:-} && $VIRTUAL_ENV != "$here/.venv" ]]; then
        echo "The active environment $VIRTUAL_ENV lacks ${lacking//$'\n'/, }: $here/.venv is used instead."
    fi
    if [[ ! -x $python ]]; then
        # An environment on top of another environment's Python would not see its packages.
        if [[ $lacking != *torch* && $lacking != everything ]] &&
            "$own" -c 'import sys; sys.exit(sys.prefix != sys.base_prefix)'; then
            make_environment "$own" "$here/.venv" --system-site-packages
        else
            make_environment "$own" "$here/.venv"
        fi
    fi
    install_missing "$@"
}

# prepare_oldest_environment EXTRA...
# Sets `python` to the one of .venv-oldest, where all of it is in the oldest supported release.
prepare_oldest_environment() {
    python=$here/.venv-oldest/bin/python
    if [[ ! -x $python ]]; then
        local own
        own=$(PYTHON=${PYTHON:-python3.10 python3.11 python3.12} find_python)
        make_environment "$own" "$here/.venv-oldest"
    fi
    install_missing --oldest "$@" || {
        echo "The oldest supported releases could not be installed: nothing was tested with them." >&2
        exit 1
    }
}

# make_environment PYTHON FOLDER OPTIONS...
make_environment() {
    echo "Making a virtual environment in $2 with $("$1" --version) ..."
    "$1" -m venv "${@:3}" "$2" || {
        rm -rf "$2"
        echo "Could not make a virtual environment. On Debian and Ubuntu: apt-get install python3-venv" >&2
        exit 1
    }
}

# install_missing [--oldest] EXTRA...
install_missing() {
    local lacking line lines=()
    lacking=$(missing "$python" "$@") || return
    [[ -n $lacking ]] || return 0
    while IFS= read -r line; do lines+=("$line"); done <<<"$lacking"
    echo "Installing ${lines[*]} for $python (PyTorch is several GB: this takes some minutes) ..."
    "$python" -m pip install --disable-pip-version-check "${lines[@]}"
}

# missing PYTHON [--oldest] EXTRA...
# Prints what a Python lacks, one requirement a line. Fails where the Python cannot even tell.
missing() {
    "$1" "$here/utils/launch/requirements.py" "${@:2}"
}

# The first Python >= 3.10 on the PATH; PYTHON=... chooses another one.
find_python() {
    local name
    for name in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11 python3.10 python}; do
        if command -v "$name" >/dev/null && "$name" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
            command -v "$name"
            return
        fi
    done
    echo "CSENet needs Python 3.10 or newer; none found. Set PYTHON=/path/to/python3 to choose one." >&2
    return 1
}

# check_settings
# Ends the script with one sentence where a variable cannot be what it is, before anything is installed or started.
check_settings() {
    check_whole GPUS 1 64 "processes on this machine, one a GPU"
    check_whole NNODES 1 1024 "the number of machines"
    check_whole NODE_RANK 0 $((10#${NNODES:-1024} - 1)) "the number of this machine, 0 for the first"
    check_whole BATCH_SIZE 1 1024 "images per process"
    check_whole MAX_RESTARTS 0 1000 "how often a crashed run starts again"
    if [[ -n ${RENDEZVOUS:-} ]]; then
        local port=${RENDEZVOUS##*:}
        if [[ ! $RENDEZVOUS =~ ^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):[0-9]{1,5}$ ]] || ((10#$port < 1 || 10#$port > 65535)); then
            refuse "RENDEZVOUS=$(printf %q "$RENDEZVOUS") is not host:port of the first machine, such as host0:29500"
        fi
    fi
    if ((10#${NNODES:-1} > 1)); then
        [[ -n ${NODE_RANK:-} ]] || refuse "set NODE_RANK to the number of this machine, 0 for the first"
        [[ -n ${RENDEZVOUS:-} ]] || refuse "set RENDEZVOUS to host:port of the first machine, such as host0:29500"
    fi
}

# check_whole NAME LOWEST HIGHEST MEANING
check_whole() {
    local value=${!1:-}
    [[ -n $value ]] || return 0
    if [[ ! $value =~ ^[0-9]{1,9}$ ]] || ((10#$value < $2 || 10#$value > $3)); then
        refuse "$1=$(printf %q "$value") is not a whole number from $2 to $3: $4"
    fi
}

refuse() {
    echo "$1" >&2
    exit 2
}

# launch SCRIPT ARGUMENTS...
# Replaces the shell by the script: in this process if one is enough, else through torchrun, a process per GPU.
launch() {
    local nodes=$((10#${NNODES:-1})) gpus=${GPUS:-}
    [[ -n $gpus ]] || gpus=$("$python" -c 'import torch; print(max(1, torch.cuda.device_count()))')
    gpus=$((10#$gpus))
    if ((nodes == 1 && gpus == 1)); then
        exec "$python" "$@"
    fi
    local where=(--standalone)
    if ((nodes > 1)); then
        # Said outright who the host is: torchrun finds it by name, which fails where the name means another address.
        where=(--rdzv-backend c10d --rdzv-endpoint "$RENDEZVOUS" --rdzv-id csenet
            --rdzv-conf "is_host=$((10#$NODE_RANK == 0))")
    fi
    # A new store after each restart: in the old one the dead processes' addresses would be found.
    export TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1
    # The signals of schedulers, for versions that can pass them on to the processes.
    export PET_SIGNALS_TO_HANDLE=SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1,SIGUSR2,SIGXCPU
    exec "$python" "$here/utils/launch/processes.py" --nnodes "$nodes" --nproc-per-node "$gpus" --max-restarts "${MAX_RESTARTS:-3}" \
        "${where[@]}" "$@"
}

# run_evaluation SCRIPT ARGUMENTS...
run_evaluation() {
    local script=$1 checkpoint=${CHECKPOINT:-$here/snapshots/LIP_epoch_Best.pth} data=${DATA_DIR:-$here/data/LIP}
    shift
    check_settings
    [[ -d $data ]] ||
        refuse "There is no dataset in $data; set DATA_DIR to the dataset's folder (./run.sh tells how to get one)."
    [[ -f $checkpoint ]] ||
        refuse "There are no weights in $checkpoint; train them with ./run.sh, download the published ones (README.md says where), or set CHECKPOINT to a file."
    prepare_environment
    launch "$script" --data-dir "$data" --checkpoint "$checkpoint" "$@"
}

# usage_if_asked SCRIPT ARGUMENTS...
# Prints the comment at the top of a script, for -h and --help.
usage_if_asked() {
    if [[ " ${*:2} " == *" -h "* || " ${*:2} " == *" --help "* ]]; then
        awk 'NR > 1 && /^#/ { sub(/^# ?/, ""); print; next } NR > 1 { exit }' "$1"
        exit 0
    fi
}
