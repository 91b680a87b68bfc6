"""`python -m mao` is `mao`."""

from mao.cli import main

main()
