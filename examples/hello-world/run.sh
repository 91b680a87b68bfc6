#!/usr/bin/env bash
# Prints a message and keeps it in a new file: hello_world/<date>T<time>Z-<run>.txt
set -eu

if [ "$#" -ne 1 ]; then
    echo 'usage: run.sh MESSAGE' >&2
    exit 2
fi
# Started by hand, without MAO, it writes where the definition says.
data=${MAO_DATA_DIR:-$(cd -- "$(dirname -- "$0")" && pwd)/hello_world}
file=$data/$(date -u +%Y-%m-%dT%H%M%SZ)-${MAO_RUN_ID:-$$}.txt

mkdir -p -- "$data"
set -C   # a file that is there already is never overwritten
printf '%s\n' "$1" >"$file"
printf '%s\n' "$1"
