#!/usr/bin/env bash
# How long `llmc check` takes, from the start of the process to its end.
#
#   benches/check.sh [--rounds 20]
#
# Specs: the largest program, the longest text, and the data that takes the most work.
# Each is checked where its data is missing (which is an error, the last that is found), with its
# data but no cache of it, and with a cache. Prints a Markdown table and writes it into
# docs/benchmarks.md. $LLMC is our program, built if not given.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
rounds=20

while [ $# -gt 0 ]; do
  [ $# -ge 2 ] || { echo "error: $1 needs a value" >&2; exit 2; }
  case $1 in
    --rounds) rounds=$2 ;;
    *) echo "error: no option $1" >&2; exit 2 ;;
  esac
  shift 2
done

if [ -z "${LLMC:-}" ]; then
  cargo build --release --quiet --manifest-path "$root/Cargo.toml" --bin llmc
  LLMC=${CARGO_TARGET_DIR:-$root/target}/release/llmc
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/bare" "$work/cache"

# The medians of wall and processor milliseconds: CACHE EXIT-CODE SPEC.
medians() {
  local round code TIMEFORMAT='%R %U %S'
  : > "$work/times"
  for round in $(seq "$rounds"); do
    code=0
    { time LLMC_CACHE=$1 "$LLMC" check "$3" > "$work/said" 2>&1 || code=$?; } 2>> "$work/times"
    [ "$code" = "$2" ] || { cat "$work/said" >&2; echo "error: $3 ended with $code" >&2; exit 1; }
  done
  local column all=()
  for column in '$1' '$2 + $3'; do
    all+=("$(awk "{ print 1000 * ($column) }" "$work/times" | sort -n | sed -n "$(((rounds + 1) / 2))p")")
  done
  printf '%.0f ms (%.0f) |' "${all[@]}"
}

table=$work/table
{
  echo "| spec | without data | with data | with data in the cache |"
  echo "|---|--:|--:|--:|"
} > "$table"
for spec in benches/gpt2.lt examples/shakespeare.lt examples/classics_bpe.lt; do
  cp "$root/$spec" "$work/bare/"
  LLMC_CACHE=$work/cache "$LLMC" check "$root/$spec" > "$work/said" 2>&1
  {
    printf '| `%s` | ' "$spec"
    medians off 2 "$work/bare/$(basename "$spec")"
    printf ' '
    medians off 0 "$root/$spec"
    printf ' '
    medians "$work/cache" 0 "$root/$spec"
    echo
  } | tee -a "$table" >&2
done

cpu=$(sed -n 's/^model name[^:]*: *//p' /proc/cpuinfo 2> /dev/null | head -n 1)
{
  echo
  echo "$(date -u +%Y-%m-%d), ${cpu:-unknown processor}, median of $rounds runs; processor time in parentheses."
} >> "$table"
cat "$table"

docs=$root/docs/benchmarks.md
awk -v table="$table" '
  /^<!-- check -->$/ { print; while ((getline line < table) > 0) print line; inside = 1; next }
  /^<!-- end of check -->$/ { inside = 0 }
  !inside { print }' "$docs" > "$docs.new"
mv "$docs.new" "$docs"
