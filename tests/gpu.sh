#!/usr/bin/env bash
# Checks of a device with nothing but the program: kernels, training beside the CPU, resume, speed.
#
#   tests/gpu.sh [--llmc PATH] [--device cuda] [--steps 20] [--python python3]
#
# Needs the release binary and the example's text, no Rust. Prints one table at the end; exits with 1
# if a check failed. `--device emulated` is a dry run where there is no GPU. On a GPU it also runs
# compute-sanitizer, if there is one, and GPT-2 124M, whole and by product and attention, beside
# PyTorch, if the Python has it.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
llmc=${LLMC:-$root/target/release/llmc} device=cuda steps=20 python=python3

while [ $# -gt 0 ]; do
  [ $# -ge 2 ] || { echo "error: $1 needs a value" >&2; exit 2; }
  case $1 in
    --llmc) llmc=$2 ;;
    --device) device=$2 ;;
    --steps) steps=$2 ;;
    --python) python=$2 ;;
    *) echo "error: no option $1" >&2; exit 2 ;;
  esac
  shift 2
done
[ -x "$llmc" ] || { echo "error: no program at $llmc; --llmc names it" >&2; exit 2; }

llmc=$(realpath "$llmc")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
# The last evaluation takes all of the validation text.
head -c 4000 "$root/examples/data/shakespeare.txt" > text.txt
cat > toy.lt << 'SPEC'
model gpt(layers: 1, width: 16, heads: 2)
data  text("text.txt", tokenizer: bytes)

train {
  batch   2
  context 8
  lr      1e-3
  steps   20
  eval    every 10 batches 1
  checkpoint every 2
}
SPEC

table="" failed=0
# check NAME COMMAND...: runs it, and keeps how it ended for the table.
check() {
  local name=$1 result=ok
  shift
  "$@" > log 2>&1 || { result=FAILED failed=1; tail -n 5 log >&2; }
  table+="| $name | $result |"$'\n'
}

# train PRECISION DEVICE FOLDER
train() {
  "$llmc" train toy.lt --set "train.precision=$1" --set "train.steps=$steps" \
    --device "$2" --out "$3"
}

# losses FOLDER: a loss a line.
losses() { sed 's/.*"loss": *\([-0-9.e]*\).*/\1/' "$1/metrics.jsonl"; }

# near PRECISION TOLERANCE: the losses of both devices, relatively.
near() {
  train "$1" cpu "cpu-$1" && train "$1" "$device" "device-$1" &&
    paste <(losses "cpu-$1") <(losses "device-$1") | awk -v most="$2" '
      { d = $1 - $2; if (d < 0) d = -d; if (d > most * $1) { print NR ": " $1 " " $2; bad = 1 } }
      END { exit bad || NR == 0 }'
}

# same: two runs of the device are one run.
same() {
  train bf16 "$device" one && train bf16 "$device" two && cmp <(losses one) <(losses two)
}

# resumes: half a run, and the rest of it after a kill, are a whole one.
resumes() {
  train fp32 "$device" whole
  "$llmc" train toy.lt --set train.precision=fp32 --set "train.steps=$steps" \
    --device "$device" --out half &
  local pid=$!
  until [ -d half/step-2 ] || ! kill -0 $pid 2> /dev/null; do sleep 0.01; done
  kill -KILL $pid 2> /dev/null || true
  wait $pid || true
  train fp32 "$device" half && cmp <(losses whole) <(losses half)
}

check "kernels agree with the interpreter" "$llmc" verify toy.lt
check "fp32 is within 1e-5 of the CPU" near fp32 1e-5
check "fp16 is within 5e-3 of the CPU" near fp16 5e-3
check "bf16 is within 2e-2 of the CPU" near bf16 2e-2
check "two runs have one log" same
check "a killed run goes on to the same end" resumes
# speed NAME COMMAND...: tokens/s of a bench, ours or a peer's, for the table.
speed() {
  local name=$1 found=none
  shift
  "$@" > json 2> log && found=$(sed 's/.*"tokens_per_s": *\([0-9.]*\).*/\1/' json) ||
    { tail -n 5 log >&2; failed=1; }
  table+="| tokens/s, $name | $found |"$'\n'
}

# has_torch DEVICE: whether the Python has PyTorch, for a GPU if that is asked for.
has_torch() {
  "$python" -c "import torch; assert '$1' == 'cpu' or torch.cuda.is_available()" 2> /dev/null
}

# calls: NAME MS of each product and attention in a table of `bench`, equal sizes together.
# Behind the sizes a name may tell of its tile or of tensor cores, and long names are cut off.
calls() {
  awk '$NF ~ /_(product|attention)/ {
         name = $NF; gsub(/^k_[0-9a-f]*_|_t.*/, "", name); ms[name] += $1; n[name] += $3
       }
       END { for (name in ms) if (n[name]) printf "%s %.4f\n", name, ms[name] / n[name] }' |
    LC_ALL=C sort
}

# beside DEVICE BENCH...: ms a call, ours and that of PyTorch's library on a device, for the table.
beside() {
  local where=$1 name ours theirs
  shift
  "$@" | calls > ours || { failed=1; return; }
  : > theirs
  if has_torch "$where"; then
    "$python" "$root/benches/library.py" --device "$where" $(cut -d' ' -f1 ours) > theirs ||
      failed=1
  fi
  while read -r name ours theirs; do
    table+="| ms a call, $name: ours, PyTorch's | $ours, $theirs |"$'\n'
  done < <(LC_ALL=C join -a 1 -e none -o 0,1.2,2.2 ours theirs)
}

speed "toy" "$llmc" bench toy.lt --json --steps 3 --warm-up 1 --device "$device"
if [ "$device" = cuda ]; then
  "$llmc" doctor
  if command -v compute-sanitizer > /dev/null; then
    for tool in memcheck racecheck initcheck synccheck; do
      check "compute-sanitizer $tool" compute-sanitizer --tool "$tool" --error-exitcode 9 \
        "$llmc" train toy.lt --set train.steps=2 --device cuda --out "sanitized-$tool"
    done
  fi
  sed "s|../examples|$root/examples|" "$root/benches/gpt2.lt" > gpt2.lt
  gpt2=(gpt2.lt --device cuda --set train.batch=8 --set train.micro_batch=8)
  speed "GPT-2 124M bf16, 8 x 1024" "$llmc" bench "${gpt2[@]}" --json
  if has_torch cuda; then
    for peer in torch torch-compile; do
      speed "the same, $peer" "$python" "$root/benches/peer.py" "$peer" G \
        --device cuda --precision bf16
    done
  fi
  beside cuda "$llmc" bench "${gpt2[@]}"
else
  beside cpu "$llmc" bench toy.lt --set train.precision=bf16 --steps 1 --warm-up 0 \
    --device "$device"
fi

echo "| check, on $device | result |"
echo "|---|---|"
printf '%s' "$table"
exit "$failed"
