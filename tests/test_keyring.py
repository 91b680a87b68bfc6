from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mao.errors import BadName, BadSecret, SecretNotFound
from mao.keyring import Keyring

if TYPE_CHECKING:
    from pathlib import Path


def test_a_secret_is_in_a_file_that_only_its_owner_can_read(tmp_path: Path) -> None:
    keyring = Keyring(tmp_path / "keyring")
    assert keyring.secrets() == []
    kept = keyring.set("Station.key", "s3cr3t-v4lue\n", ["probe"])

    (file,) = (tmp_path / "keyring").iterdir()
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert keyring.find("station.KEY") == (kept, "s3cr3t-v4lue")
    assert (kept.name, kept.tools, keyring.secrets()) == ("Station.key", ("probe",), [kept])
    assert "s3cr3t" not in repr(kept)


def test_a_secret_is_replaced_and_removed_with_what_a_kill_has_left(tmp_path: Path) -> None:
    keyring = Keyring(tmp_path)
    keyring.set("one", "the first value")
    keyring.set("One", "the second value")
    (tmp_path / "one.json.part").write_text("the half of a third")
    assert [secret.name for secret in keyring.secrets()] == ["One"]
    assert keyring.find("one")[1] == "the second value"

    keyring.remove("one")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(SecretNotFound):
        keyring.remove("one")


def test_what_cannot_be_kept_changes_nothing_and_is_not_repeated(tmp_path: Path) -> None:
    keyring = Keyring(tmp_path)
    keyring.set("one", "the first value")
    for value in ("hunter2", "hunter2\0hunter2"):
        with pytest.raises(BadSecret) as caught:
            keyring.set("one", value)
        assert "hunter2" not in caught.value.detail
    for name, tools in (("../one", []), ("one", ["a/b"])):
        with pytest.raises(BadName):
            keyring.set(name, "another value", tools)
    with pytest.raises(SecretNotFound):
        keyring.find("../one")
    assert keyring.find("one")[1] == "the first value"
