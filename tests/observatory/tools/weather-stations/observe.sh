set -eu
number=0
for station in Ambleside Berwick Craster Dunbar Eyemouth Fife; do
  number=$((number + 1))
  printf '%-10s \033[3%dm%s\033[0m %d.%d C, wind %d m/s\n' "$station" $((number % 6 + 1)) ok $((4 + number)) $((number * 3 % 10)) $((number * 2))
  sleep "$1"
done
mkdir -p "$MAO_DATA_DIR/maps"
cp map.png "$MAO_DATA_DIR/maps/$(date -u +%Y%m%dT%H%M%S).png"
