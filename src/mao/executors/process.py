"""Runs jobs as processes of this machine that may touch all that its user may; only the limits are kept."""

from __future__ import annotations

from mao.executors.supervised import SupervisedExecutor


class ProcessExecutor(SupervisedExecutor):
    """Satisfies `mao.executor.Executor`."""

    confines = False

    def describe(self) -> str:
        return f"no sandbox; {self.limits()}"
