from __future__ import annotations

import subprocess
import sys

from cli.place import ENVIRONMENT, Place


def test_looking_imports_nothing_heavy(place: Place) -> None:
    program = (
        "import sys\nfrom mao.cli import main\ntry: main(['tool', 'list'])\nexcept SystemExit: pass\n"
        "print(*sorted({'pydantic', 'ssl', 'asyncio', 'urllib.request', 'fastapi', 'tomllib', 'difflib'}"
        " & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=place.node.environment(), capture_output=True, text=True, check=True
    )
    assert (done.stderr, "probe" in done.stdout) == ("\n", True)


def test_who_imports_ssl_afterwards_gets_it() -> None:
    program = "import mao.cli.asking, ssl; print(ssl.create_default_context().verify_mode.name)"
    done = subprocess.run([sys.executable, "-c", program], env=ENVIRONMENT, capture_output=True, text=True, check=True)
    assert done.stdout == "CERT_REQUIRED\n"
