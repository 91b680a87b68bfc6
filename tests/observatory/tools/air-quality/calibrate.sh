set -eu
for hour in $(seq 1 600); do
  printf '\033[2m%s\033[0m reference %02d.%d  station %02d.%d  \033[32mwithin %s\033[0m\n' \
    "$(date -u +%T)" $((11 + hour % 7)) $((hour % 10)) $((11 + hour % 6)) $((hour * 3 % 10)) "$1"
  sleep 2
done
