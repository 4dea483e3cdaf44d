#!/usr/bin/env bash
# Our training speed beside that of PyTorch and JAX, on this machine, in one go.
#
#   benches/peers.sh [--python PATH | --venv DIR] [--peers "torch torch-compile jax"]
#                    [--sizes "S T"] [--rounds 5] [--steps 20] [--threads 2]
#
# Every round runs each of them once, so that a machine that slows down slows all of them.
# --steps are those of S; T takes eight times as many, so that both run for about as long.
# Prints the medians as a Markdown table and writes it into docs/benchmarks.md.
# --python (or $PYTHON) is an interpreter that has the peers; --venv makes one with PyTorch in DIR.
# A peer that the interpreter lacks is named and left out. $LLMC is our program, built if not given.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
python=${PYTHON:-python3}
peers="torch torch-compile jax" sizes="S T" rounds=5 steps=20 threads=2

while [ $# -gt 0 ]; do
  [ $# -ge 2 ] || { echo "error: $1 needs a value" >&2; exit 2; }
  case $1 in
    --python) python=$2 ;;
    --venv)
      [ -x "$2/bin/python" ] || python3 -m venv "$2"
      "$2/bin/pip" install --quiet numpy torch --extra-index-url https://download.pytorch.org/whl/cpu
      python=$2/bin/python ;;
    --peers) peers=$2 ;;
    --sizes) sizes=$2 ;;
    --rounds) rounds=$2 ;;
    --steps) steps=$2 ;;
    --threads) threads=$2 ;;
    *) echo "error: no option $1" >&2; exit 2 ;;
  esac
  shift 2
done

if [ -z "${LLMC:-}" ]; then
  cargo build --release --quiet --manifest-path "$root/Cargo.toml" --bin llmc
  LLMC=${CARGO_TARGET_DIR:-$root/target}/release/llmc
fi

present="" skipped=""
for peer in $peers; do
  if "$python" -c "import numpy, ${peer%%-*}" 2> /dev/null; then
    present="$present $peer"
  else
    skipped="$skipped $peer"
  fi
done
for peer in $skipped; do echo "skipped: $peer, which $python does not have" >&2; done

results=$(mktemp)
table=$(mktemp)
trap 'rm -f "$results" "$table"' EXIT

# One run: its name, the size, and the values of the JSON object in their order.
once() {
  local name=$1 size=$2
  shift 2
  local json
  json=$("$@") || { echo "error: $name failed on $size" >&2; exit 1; }
  echo "$name $size $(tail -n 1 <<< "$json" | sed 's/"[a-z_]*": *//g; s/[{},]/ /g')" >> "$results"
}

for size in $sizes; do
  spec=$root/benches/$(tr 'A-Z' 'a-z' <<< "$size").lt
  n_steps=$steps
  [ "$size" = S ] || n_steps=$((8 * steps))
  for round in $(seq "$rounds"); do
    echo "size $size, round $round of $rounds" >&2
    once llmc "$size" "$LLMC" bench "$spec" --json --steps "$n_steps" --threads "$threads"
    for peer in $present; do
      once "$peer" "$size" "$python" "$root/benches/peer.py" "$peer" "$size" \
        --steps "$n_steps" --threads "$threads"
    done
  done
done

awk -v order="llmc $present" -v sizes="$sizes" '
  function median(who, size, column,    n, i, j, x, values) {
    n = split(all[who, size, column], values, " ")
    for (i = 2; i <= n; i++) {
      x = values[i] + 0
      for (j = i - 1; j > 0 && values[j] + 0 > x; j--) values[j + 1] = values[j]
      values[j + 1] = x
    }
    return n % 2 ? values[(n + 1) / 2] + 0 : (values[n / 2] + values[n / 2 + 1]) / 2
  }
  { for (c = 3; c <= 6; c++) all[$1, $2, c] = all[$1, $2, c] " " $c }
  END {
    print "| size | program | tokens/s | llmc against it | first step begins | first step after | peak memory |"
    print "|---|---|--:|--:|--:|--:|--:|"
    n = split(order, who, " ")
    m = split(sizes, size, " ")
    for (s = 1; s <= m; s++) for (w = 1; w <= n; w++) {
      speed = median(who[w], size[s], 3)
      ratio = w == 1 ? "" : sprintf("%.2fx", median("llmc", size[s], 3) / speed)
      printf "| %s | %s | %.0f | %s | %.2f s | %.2f s | %.0f MiB |\n", size[s], who[w], speed, ratio,
        median(who[w], size[s], 5), median(who[w], size[s], 4), median(who[w], size[s], 6)
    }
  }' "$results" > "$table"

cpu=$(sed -n 's/^model name[^:]*: *//p' /proc/cpuinfo 2> /dev/null | head -n 1)
{
  echo
  echo "$(date -u +%Y-%m-%d), ${cpu:-unknown processor}, $threads threads, median of $rounds rounds."
  for peer in $skipped; do echo "Not measured: $peer."; done
} >> "$table"
cat "$table"

docs=$root/docs/benchmarks.md
awk -v table="$table" '
  /^<!-- table -->$/ { print; while ((getline line < table) > 0) print line; inside = 1; next }
  /^<!-- end of table -->$/ { inside = 0 }
  !inside { print }' "$docs" > "$docs.new"
mv "$docs.new" "$docs"
