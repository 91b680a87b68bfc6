from __future__ import annotations

import subprocess
import sys

import pytest

from cli.place import ENVIRONMENT, alone


@pytest.mark.parametrize("flag", ["-h", "--help"])
@pytest.mark.parametrize("path", [(), ("tool",), ("tool", "run"), ("definition", "check")], ids=" ".join)
def test_help_is_given_at_every_depth(path: tuple[str, ...], flag: str) -> None:
    done = alone(*path, flag)
    assert done.returncode == 0
    assert done.stdout.startswith(f"Usage: {' '.join(('mao', *path))} ")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("tol",), "There is no command 'tol'; did you mean 'tool'?"),
        (("tool", "instal"), "There is no command 'instal'; did you mean 'install'?"),
        (("xyzzy",), "There is no command 'xyzzy'."),
    ],
)
def test_a_command_that_is_not_there_is_told_with_the_nearest(args: tuple[str, ...], words: str) -> None:
    done = alone(*args)
    assert done.returncode == 2
    assert done.stderr.endswith(f"Error: {words}\n")


def test_only_what_is_used_is_imported() -> None:
    program = (
        "import sys\nfrom mao.cli import main\ntry: main(['--version'])\nexcept SystemExit: pass\n"
        "print(*sorted(name for name in sys.modules if name.startswith('mao')))"
    )
    done = subprocess.run([sys.executable, "-c", program], env=ENVIRONMENT, capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[1] == "mao mao.cli mao.cli.lazy mao.denials mao.errors mao.kinds mao.outages"
