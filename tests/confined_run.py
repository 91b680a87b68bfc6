"""Runs one job by an executor in a process of its own, which may be another user's; says how it ended, as JSON.

Only what comes with Python is loaded: the other user may have no other Python than the system's.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mao.executor import Confinement, Job, Limits, Running
from mao.executors.process import ProcessExecutor
from mao.executors.sandbox import SandboxExecutor


def main() -> None:
    wanted: dict[str, Any] = json.loads(sys.argv[1])
    folder = Path(wanted["folder"])
    folder.mkdir(parents=True)
    executor = SandboxExecutor(folder / "devices") if wanted["executor"] == "sandbox" else ProcessExecutor()
    confinement = Confinement(
        read=tuple(map(Path, wanted["read"])),
        write=tuple(map(Path, wanted["write"])),
        network=wanted.get("network", True),
        limits=Limits(**wanted.get("limits", {})),
    )
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", **wanted.get("environment", {})}
    job = Job(folder, tuple(wanted["argv"]), Path("/"), environment, 60.0, 10_000_000, 1.0, confinement=confinement)
    handle = executor.start(job)
    while isinstance(end := executor.poll(handle), Running):
        time.sleep(0.005)
    executor.close()
    log = (folder / "log").read_text()
    print(json.dumps({**asdict(end), "log": log, "executor": executor.describe()}))  # noqa: T201


main()
