from __future__ import annotations

import pytest

from cli.place import Place, alone


@pytest.mark.parametrize("url", ["https://127.0.0.1:1", "127.0.0.1:x", "http://a/b", "ftp://a"])
def test_the_address_of_a_node_has_to_be_one(url: str) -> None:
    done = alone("tool", "list", "--node-url", url)
    assert done.returncode == 2
    assert "is not the address of a node" in done.stderr


def test_another_node_can_be_asked(place: Place) -> None:
    url = f"http://127.0.0.1:{place.node.port}"
    assert "probe" in alone("tool", "list", "--node-url", url).stdout
    assert "probe" in alone("tool", "list", MAO_URL=url).stdout


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
