#!/usr/bin/env bash
# Style checks and tests. On a fresh machine with Python >= 3.10 it first makes .venv and installs what is missing; a
# Python at hand that already has everything (of an active environment, say) is used as it is.
#
#   ./run_tests.sh                          everything
#   ./run_tests.sh tests/utils -x           style checks, then pytest with these arguments
#   ./run_tests.sh --oldest [...]           the quick tests alone, with the oldest supported releases, in .venv-oldest
#   PIP_CONSTRAINT=constraints.txt ./run_tests.sh       with the releases that are known to pass
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$here"
source utils/launch/environment.sh
usage_if_asked "$0" "$@"
if [[ "${1:-}" == --oldest ]]; then
    shift
    prepare_oldest_environment dev video
    selected=(-m "not newest_only and not slow")
else
    prepare_environment all
    "$python" -m ruff check .
    "$python" -m ruff format --check .
    "$python" -m mypy .
    selected=()
fi
if (($# == 0)); then
    # Everything: in several processes, each on one core. A few tests start faster without.
    export OMP_NUM_THREADS=1
    # Each file in one of them, as its tests share what takes seconds to make; files with slow tests first.
    set -- -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder
fi
exec "$python" -m pytest ${selected[@]+"${selected[@]}"} "$@"
