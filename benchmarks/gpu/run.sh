#!/usr/bin/env bash
# GPU measurements on a machine without network, from wheels copied along with the repository.
#
#   benchmarks/gpu/run.sh collect [PYTHON_VERSION]   with a network: fills benchmarks/gpu/wheels
#   benchmarks/gpu/run.sh [OPTION…]                  on the GPU machine; options of benchmarks.gpu.measure
#
# torch, and whatever else the machine's Python has already, is used as it is; `collect` fetches the
# rest for Python PYTHON_VERSION (3.11) on x86-64 Linux.
set -euo pipefail
cd "$(dirname "$0")/../.."
wheels=benchmarks/gpu/wheels
site=${TMPDIR:-/tmp}/pacos-gpu-site

if [ "${1:-}" = collect ]; then
  version=${2:-3.11}
  mkdir -p "$wheels"
  # DeepSpeed is published as source only; its ops are compiled on the GPU machine when first used.
  DS_BUILD_OPS=0 .venv/bin/python -m pip wheel -q -c constraints.txt --no-deps --no-build-isolation \
    -w "$wheels" deepspeed antlr4-python3-runtime
  .venv/bin/python -m pip download -q -c constraints.txt --no-deps --only-binary=:all: \
    --python-version "$version" --implementation cp \
    --platform manylinux_2_28_x86_64 --platform manylinux2014_x86_64 \
    -d "$wheels" transformers huggingface_hub tokenizers hydra-core omegaconf hjson msgpack \
    py-cpuinfo safetensors datasets dill multiprocess xxhash liger-kernel
  exit
fi

if compgen -G "$wheels/*.whl" >/dev/null; then
  python3 -m pip install -q --no-index --no-deps --no-compile --upgrade --target "$site" "$wheels"/*.whl
  export PYTHONPATH="$site:${PYTHONPATH:-}"
fi
export PYTHONPATH="$PWD:${PYTHONPATH:-}" HF_HUB_OFFLINE=1
exec python3 -m benchmarks.gpu.measure "$@"
