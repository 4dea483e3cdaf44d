#!/usr/bin/env bash
# Memory and speed of training over contexts of 1Ki to 32Ki, 32Ki tokens a step each.
#
#   benches/context.sh [--contexts "1 4 16 32"] [--threads 2]
#
# Contexts are in Ki. Prints a Markdown table and writes it into docs/memory.md.
# $LLMC is our program, built if not given.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
contexts="1 4 16 32" threads=2

while [ $# -gt 0 ]; do
  [ $# -ge 2 ] || { echo "error: $1 needs a value" >&2; exit 2; }
  case $1 in
    --contexts) contexts=$2 ;;
    --threads) threads=$2 ;;
    *) echo "error: no option $1" >&2; exit 2 ;;
  esac
  shift 2
done

if [ -z "${LLMC:-}" ]; then
  cargo build --release --quiet --manifest-path "$root/Cargo.toml" --bin llmc
  LLMC=${CARGO_TARGET_DIR:-$root/target}/release/llmc
fi

table=$(mktemp)
trap 'rm -f "$table"' EXIT
{
  echo "| context | sequences | peak memory | against ${contexts%% *}Ki | tokens/s |"
  echo "|--:|--:|--:|--:|--:|"
} > "$table"
first=""
for context in $contexts; do
  batch=$((32 / context))
  json=$("$LLMC" bench "$root/benches/context.lt" --json --warm-up 0 --steps 1 \
    --threads "$threads" --set train.context="${context}Ki" --set train.batch="$batch" \
    --set train.micro_batch="$batch")
  peak=$(sed 's/.*"peak_rss_mb": *\([0-9]*\).*/\1/' <<< "$json")
  speed=$(sed 's/.*"tokens_per_s": *\([0-9.]*\).*/\1/' <<< "$json")
  first=${first:-$peak}
  share=$(awk -v a="$peak" -v b="$first" 'BEGIN { printf "%+.1f %%", (a / b - 1) * 100 }')
  echo "| ${context}Ki | $batch | $peak MiB | $share | $speed |" | tee -a "$table" >&2
done

cpu=$(sed -n 's/^model name[^:]*: *//p' /proc/cpuinfo 2> /dev/null | head -n 1)
{
  echo
  echo "$(date -u +%Y-%m-%d), ${cpu:-unknown processor}, $threads threads, the second step of each."
} >> "$table"
cat "$table"

docs=$root/docs/memory.md
awk -v table="$table" '
  /^<!-- table -->$/ { print; while ((getline line < table) > 0) print line; inside = 1; next }
  /^<!-- end of table -->$/ { inside = 0 }
  !inside { print }' "$docs" > "$docs.new"
mv "$docs.new" "$docs"
