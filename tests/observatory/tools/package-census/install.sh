echo "looking for what the census needs"
echo "awk: $(command -v awk)"
printf '\033[32mready\033[0m\n'
