"""`python async_launcher.py` serves a node on 127.0.0.1:8080, as it always has; it is `mao serve`."""

import sys

from mao.cli import main

if __name__ == "__main__":
    main(["serve", *sys.argv[1:]])
