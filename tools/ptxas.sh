#!/usr/bin/env bash
# NVIDIA's assembler into target/ptxas, from PyPI; tests then assemble every generated kernel.
#
#   tools/ptxas.sh
#
# It is not part of this project and is never committed: its licence is NVIDIA's.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
version=13.0.88
to=${CARGO_TARGET_DIR:-$root/target}/ptxas

if [ -x "$to/ptxas" ] && "$to/ptxas" --version | grep -q "V$version"; then
  exit 0
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m pip download --quiet --disable-pip-version-check --no-deps --dest "$work" \
  --only-binary :all: "nvidia-cuda-nvcc==$version"
python3 -m zipfile -e "$work"/*.whl "$work"
mkdir -p "$to"
cp "$work/nvidia/cu13/bin/ptxas" "$to/ptxas"
chmod +x "$to/ptxas"
"$to/ptxas" --version | tail -n 2
