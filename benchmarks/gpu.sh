#!/usr/bin/env bash
# All timings of models on a GPU, JSON into a folder: benchmarks/gpu.sh OUT [--mace PYTHON] [--nequip PYTHON]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
out=$1
shift
mkdir -p "$out"
for tf32 in 0 1; do
    export TORCH_ALLOW_TF32_CUBLAS_OVERRIDE=$tf32
    python benchmarks/training_step.py --device cuda --million --atoms 128,512,2048,8192 --json "$out/training_$tf32.json" "$@"
    python benchmarks/inference.py --device cuda --boxes 1000,5000,10000,50000 --json "$out/inference_$tf32.json" "$@"
    python benchmarks/peak.py --device cuda --json "$out/peak_$tf32.json"
done
