set -eu
printf '%s 3.13\n%s 3.14\n' "$1" "$1" > "$MAO_DATA_DIR/tags-$(date -u +%F).txt"
