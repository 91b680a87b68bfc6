from __future__ import annotations

import pytest

from mao.errors import BadSetting
from mao.node_address import NodeAddress


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("unix:/home/ada/mao/socket", "unix:/home/ada/mao/socket"),
        ("unix:///home/ada/mao/socket", "unix:/home/ada/mao/socket"),
        ("http://127.0.0.1:8080/", "http://127.0.0.1:8080"),
        ("127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("[::1]:8080", "http://[::1]:8080"),
        ("localhost", "http://localhost"),
        ("https://mao.example.org", "https://mao.example.org"),
    ],
)
def test_a_node_has_an_address(text: str, url: str) -> None:
    assert NodeAddress(text).url == url


def test_a_token_goes_only_where_nobody_can_read_it_on_its_way() -> None:
    for url in ("https://mao.example.org", "http://127.0.0.1:1", "http://localhost:1", "http://[::1]:1"):
        assert NodeAddress(url, "mao_x").headers == {"Authorization": "Bearer mao_x"}
    assert NodeAddress("unix:/x/socket", "mao_x").headers == {}
    for url in ("http://mao.example.org", "10.0.0.1:8080", "http://localhost.example.org"):
        with pytest.raises(BadSetting, match="Nothing was sent"):
            NodeAddress(url, "mao_x")
