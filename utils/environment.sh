# Sourced by the run scripts, which set `here` to the project's folder: a Python environment with what they need, and
# one process per GPU.

# prepare_environment REQUIREMENTS...
# Keeps the active virtual environment if it satisfies the files; else uses .venv, making and filling it if needed.
prepare_environment() {
    local files=() file
    for file in "$@"; do files+=(-r "$file"); done
    if [[ -n "${VIRTUAL_ENV:-}${CONDA_PREFIX:-}" ]] && satisfied python "$@"; then
        return
    fi
    local venv=$here/.venv
    if [[ ! -x $venv/bin/python ]]; then
        local python
        python=$(find_python)
        echo "Making a virtual environment in $venv with $("$python" --version) ..."
        "$python" -m venv "$venv" || {
            rm -rf "$venv"
            echo "Could not make a virtual environment. On Debian and Ubuntu: apt-get install python3-venv" >&2
            exit 1
        }
    fi
    source "$venv/bin/activate"
    if ! satisfied python "$@"; then
        echo "Installing $* into ${VIRTUAL_ENV} (PyTorch is several GB: this takes some minutes) ..."
        python -m pip install --disable-pip-version-check "${files[@]}"
    fi
}

# The first Python >= 3.10 on the PATH; PYTHON=... chooses another one.
find_python() {
    local name
    for name in ${PYTHON:-python3 python3.13 python3.12 python3.11 python3.10 python}; do
        if command -v "$name" >/dev/null && "$name" -c 'import sys; sys.exit(sys.version_info < (3, 10))'; then
            command -v "$name"
            return
        fi
    done
    echo "CSENet needs Python 3.10 or newer; none found. Set PYTHON=/path/to/python3 to choose one." >&2
    return 1
}

# Whether a Python has every package of the requirement files, in a version that they allow.
satisfied() {
    "$1" - "${@:2}" <<'PYTHON'
import sys
from importlib.metadata import PackageNotFoundError, version

try:
    from packaging.requirements import Requirement
except ImportError:
    from pip._vendor.packaging.requirements import Requirement

if sys.version_info < (3, 10):
    sys.exit(1)
for path in sys.argv[1:]:
    for line in open(path, encoding="utf-8"):
        text = line.split("#")[0].strip()
        if not text:
            continue
        requirement = Requirement(text)
        try:
            installed = version(requirement.name)
        except PackageNotFoundError:
            # Either distribution of OpenCV will do where libGL exists.
            if requirement.name != "opencv-python-headless":
                sys.exit(1)
            try:
                installed = version("opencv-python")
            except PackageNotFoundError:
                sys.exit(1)
        if not requirement.specifier.contains(installed, prereleases=True):
            sys.exit(1)
PYTHON
}

# launch SCRIPT ARGUMENTS...
# Replaces the shell by the script: in this process if one is enough, else through torchrun, a process per GPU.
launch() {
    local nodes=${NNODES:-1} gpus=${GPUS:-}
    [[ -n $gpus ]] || gpus=$(python -c 'import torch; print(max(1, torch.cuda.device_count()))')
    if ((nodes == 1 && gpus == 1)); then
        exec python "$@"
    fi
    local where=(--standalone)
    if ((nodes > 1)); then
        : "${NODE_RANK:?set NODE_RANK to the number of this machine, 0 for the first}"
        : "${RENDEZVOUS:?set RENDEZVOUS to host:port of the first machine, such as host0:29500}"
        # Said outright who the host is: torchrun finds it by name, which fails where the name means another address.
        where=(--rdzv-backend c10d --rdzv-endpoint "$RENDEZVOUS" --rdzv-id csenet
            --rdzv-conf "is_host=$((NODE_RANK == 0))")
    fi
    # A new store after each restart: in the old one the dead processes' addresses would be found.
    export TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1
    exec python -m torch.distributed.run --nnodes "$nodes" --nproc-per-node "$gpus" --max-restarts "${MAX_RESTARTS:-3}" \
        "${where[@]}" "$@"
}

# run_evaluation SCRIPT ARGUMENTS...
run_evaluation() {
    local script=$1 checkpoint=${CHECKPOINT:-$here/snapshots/LIP_epoch_Best.pth} data=${DATA_DIR:-$here/data/LIP}
    shift
    if [[ ! -d $data ]]; then
        echo "There is no dataset in $data; set DATA_DIR to the dataset's folder (./run.sh tells how to get one)." >&2
        exit 2
    fi
    if [[ ! -f $checkpoint ]]; then
        echo "There are no weights in $checkpoint; train them with ./run.sh, or set CHECKPOINT to a file." >&2
        exit 2
    fi
    prepare_environment "$here/requirements.txt"
    launch "$script" --data-dir "$data" --checkpoint "$checkpoint" "$@"
}

# Prints the comment at the top of a script, for -h and --help.
usage_if_asked() {
    local script=$1 argument
    shift
    for argument in "$@"; do
        if [[ $argument == -h || $argument == --help ]]; then
            awk 'NR > 1 && /^#/ { sub(/^# ?/, ""); print; next } NR > 1 { exit }' "$script"
            exit 0
        fi
    done
}
