#!/usr/bin/env bash
# A definition names a script, not its options; so the census's second command has a script of its own.
set -eu

exec python3 "$(dirname -- "$0")/census.py" --verify
