#!/usr/bin/env bash
# benchmarks/gpu.sh [options of gpu_rows.py]: all figures of a GPU, in one call, as a Markdown table for benchmarks/README.md.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
exec "${PYTHON:-python}" benchmarks/gpu_rows.py "$@"
