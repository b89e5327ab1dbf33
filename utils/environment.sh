# Sourced by the run scripts: one function that makes sure of a Python environment with what they need.

# prepare_environment REQUIREMENTS...
# Keeps the active virtual environment if it satisfies the files; else uses .venv, making and filling it if needed.
prepare_environment() {
    local files=() file
    for file in "$@"; do files+=(-r "$file"); done
    if [[ -n "${VIRTUAL_ENV:-}${CONDA_PREFIX:-}" ]] && satisfied python "$@"; then
        return
    fi
    if [[ ! -x .venv/bin/python ]]; then
        local python
        python=$(find_python)
        echo "Making a virtual environment in .venv with $("$python" --version) ..."
        "$python" -m venv .venv || {
            rm -rf .venv
            echo "Could not make a virtual environment. On Debian and Ubuntu: apt-get install python3-venv" >&2
            exit 1
        }
    fi
    source .venv/bin/activate
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
