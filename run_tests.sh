#!/usr/bin/env bash
# Style checks and tests. On a fresh machine with Python >= 3.10 it first makes .venv and installs what is missing;
# an active virtual environment that already satisfies the requirements is used as it is.
#
#   ./run_tests.sh                  everything
#   ./run_tests.sh tests/utils -x   style checks, then pytest with these arguments
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$here"
source utils/environment.sh
prepare_environment requirements.txt requirements-dev.txt requirements-export.txt requirements-app.txt

ruff check .
ruff format --check .
mypy .
exec python -m pytest "$@"
