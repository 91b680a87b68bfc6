"""What it costs to run a tool in the sandbox: from the start of a job that does nothing to the record of its end.

    python benchmarks/confinement.py [--jobs N]

The floor is bwrap itself, called with the options that jobs get; the same is measured without a sandbox, in turns.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from mao.errors import Unavailable
from mao.executor import Confinement, Job, Limits, Running
from mao.executors.process import ProcessExecutor
from mao.executors.sandbox import SandboxExecutor

PATIENCE = 60.0
BETWEEN_LOOKS = 0.0005
LIMITS = Limits(memory=8_000_000_000, processes=4096, cpu_time=3600.0, disk=100_000_000_000, temporary=1_000_000_000)


def seconds_of(executor: ProcessExecutor | SandboxExecutor, job: Job) -> float:
    begun = time.perf_counter()
    handle = executor.start(job)
    while isinstance(executor.poll(handle), Running):
        time.sleep(BETWEEN_LOOKS)
    return time.perf_counter() - begun


def new_job(place: Path, number: str) -> Job:
    directory, data = place / number, place / number / "data"
    data.mkdir(parents=True)
    confinement = Confinement(write=(data,), limits=LIMITS)
    return Job(directory, ("true",), data, {"PATH": "/usr/bin:/bin"}, PATIENCE, 1000, confinement=confinement)


def floor(executor: SandboxExecutor, job: Job) -> float:
    argv = [word for word in executor.program(job) if word not in {"--json-status-fd", "100"}]
    begun = time.perf_counter()
    subprocess.run(argv, env=job.environment, check=True)
    return time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=100)
    jobs = parser.parse_args().jobs
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        try:
            sandbox = SandboxExecutor(place / "devices")
        except Unavailable as error:
            print(error.detail)
            sys.exit(0)
        process = ProcessExecutor()
        taken: dict[str, list[float]] = {"bwrap alone": [], "process": [], "sandbox": []}
        for number in range(jobs + 1):
            taken["bwrap alone"].append(floor(sandbox, new_job(place, f"{number} floor")))
            taken["process"].append(seconds_of(process, new_job(place, f"{number} process")))
            taken["sandbox"].append(seconds_of(sandbox, new_job(place, f"{number} sandbox")))
        for executor in (sandbox, process):
            executor.close()
        print(sandbox.describe())
        for name, all_of in taken.items():
            counted = sorted(all_of[1:])  # the first one starts what the others find
            print(f"{name:12} median {statistics.median(counted) * 1000:6.1f} ms, fastest {counted[0] * 1000:6.1f} ms")
        probe = time.perf_counter()
        SandboxExecutor(place / "devices").close()
        print(f"{'the choice':12} {(time.perf_counter() - probe) * 1000:.0f} ms at the start of a node")


main()
