"""The node's own keyring: a file for each secret, which only the node's user can read."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from mao.errors import BadName, BadSecret, SecretNotFound
from mao.names import name_fault
from mao.secret import Secret, text_of
from mao.values import now
from mao.workspace import write_durably

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class Keyring:
    """The secrets in `directory`, by names that do not depend on case."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def secrets(self) -> list[Secret]:
        """All of them, by name, without their values."""
        found = (_read(path) for path in sorted(self._directory.glob("*.json")))
        return [secret for secret, _ in filter(None, found)]

    def find(self, name: str) -> tuple[Secret, str]:
        """A secret, and its value.

        Raises:
            SecretNotFound
        """
        found = None if name_fault(name) else _read(self._path(name))
        if found is None:
            raise SecretNotFound(f"The keyring has no secret '{name}'. 'mao secret list' shows those there are.")
        return found

    def set(self, name: str, value: str, tools: Sequence[str] = ()) -> Secret:
        """Keep `value` under `name`, in place of what was there. Runs that are started from now on get it.

        Raises:
            BadName, BadSecret, DiskFull: what was there is there still.
        """
        for what, given in (("secret", name), *(("tool", tool) for tool in tools)):
            if fault := name_fault(given):
                raise BadName(f"The name of the {what} {fault}. Nothing was changed.")
        try:
            text = text_of(value.encode())
        except ValueError as error:
            raise BadSecret(f"What was given for '{name}' {error}. Nothing was changed.") from None
        secret = Secret(name=name, tools=tuple(tools), set_at=now())
        self._directory.mkdir(mode=0o700, exist_ok=True)
        content = secret.model_dump(mode="json") | {"value": text}
        write_durably(self._path(name), json.dumps(content).encode(), mode=0o600)
        return secret

    def remove(self, name: str) -> None:
        """Take a secret out; runs that were started with it keep it.

        Raises:
            SecretNotFound
        """
        self.find(name)
        path = self._path(name)
        path.with_name(f"{path.name}.part").unlink(missing_ok=True)  # of a change that was killed
        path.unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        return self._directory / f"{name.lower()}.json"


def _read(path: Path) -> tuple[Secret, str] | None:
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    value: str = content.pop("value")
    return Secret.model_validate(content), value
