"""What bwrap tells of the program that it has started, for the supervisor. Used in every one, so it imports little."""

# pathlib would cost every supervisor time and memory:
# ruff: noqa: PTH123
from __future__ import annotations

STATUS_FD = 100
"""Where bwrap writes its status: a number that nothing else has."""
MESSAGE = "bwrap: "
ROOM = 4096
BY_SIGNAL = 128
SIGNALS = 64


def fault(status: str, log: str) -> str | None:
    """Why the program could not be started, if it could not.

    Args:
        status: what bwrap has written to its status: an exit code only of a program that it has started.
        log: the path of the log, at whose end its message is.
    """
    if '"exit-code"' in status:
        return None
    with open(log, "rb") as file:
        file.seek(max(0, file.seek(0, 2) - ROOM))
        lines = file.read().decode(errors="replace").splitlines()
    said = next((line for line in reversed(lines) if line.startswith(MESSAGE)), f"{MESSAGE}it did not say why")
    what, _, why = said.removeprefix(MESSAGE).rpartition(": ")
    return f"{why}: {what[7:]!r}" if what.startswith("execvp ") else f"the sandbox: {said.removeprefix(MESSAGE)}"


def code_of(code: int) -> int:
    """The exit code, or -N for signal N: bwrap says 128 + N for a program that was ended by it, as shells do."""
    return BY_SIGNAL - code if BY_SIGNAL < code <= BY_SIGNAL + SIGNALS else code
