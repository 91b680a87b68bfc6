from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cli.place import Place, alone

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("url", ["https://127.0.0.1:x", "127.0.0.1:x", "http://a/b", "ftp://a", "unix:"])
def test_the_address_of_a_node_has_to_be_one(url: str) -> None:
    done = alone("tool", "list", "--node-url", url)
    assert done.returncode == 2
    assert "is not the address of a node" in done.stderr


def test_another_node_can_be_asked(place: Place) -> None:
    assert "probe" in alone("tool", "list", "--node-url", place.node.url).stdout
    assert "probe" in alone("tool", "list", MAO_URL=place.node.url).stdout


def test_over_the_network_a_token_is_sent(place: Place, tmp_path: Path) -> None:
    url, token = f"http://127.0.0.1:{place.node.port}", place.node.token("read")
    (tmp_path / "token").write_text(f"{token}\n")
    assert "probe" in alone("tool", "list", MAO_URL=url, MAO_TOKEN=token).stdout
    assert "probe" in alone("tool", "list", MAO_URL=url, MAO_TOKEN_FILE=str(tmp_path / "token")).stdout
    refused = alone("tool", "withdraw", "probe", MAO_URL=url, MAO_TOKEN=token)
    assert (refused.returncode, "needs the right 'admin'" in refused.stderr) == (7, True)
    unknown = alone("tool", "list", MAO_URL=url)
    assert (unknown.returncode, "'mao token create'" in unknown.stderr) == (7, True)
    assert alone("tool", "list", MAO_URL=url, MAO_TOKEN_FILE="/nothing").returncode == 2  # noqa: S106  # a file
    aloud = alone("tool", "list", MAO_URL="http://mao.example.org", MAO_TOKEN=token)
    assert (aloud.returncode, "Nothing was sent" in aloud.stderr) == (2, True)


def test_a_setting_that_is_wrong_ends_with_2() -> None:
    done = alone("tool", "list", MAO_SERVER__LISTEN="everywhere")
    assert done.returncode == 2
    assert "MAO_SERVER__LISTEN" in done.stderr


def completed(place: Place, words: str) -> list[str]:
    given = {"_MAO_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1)}
    return [line.partition(",")[2] for line in place.mao("", **given).stdout.splitlines()]


def test_words_and_names_are_completed(place: Place) -> None:
    assert completed(place, "mao tool inst") == ["install", "installed"]
    assert completed(place, "mao tool help pr") == ["probe"]
    assert completed(place, "mao dataset clone pro") == ["probe-data"]
