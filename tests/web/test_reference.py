from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from serving import Serving


def test_the_page_of_the_api_names_every_route_and_asks_no_other_host(served: Serving) -> None:
    page = served.request("GET", "/docs")
    described = served.request("GET", "/api/v1/openapi.json").json

    assert page.status == 200
    text = page.body.decode()
    for path, methods in described["paths"].items():
        for method in methods:
            assert f"{method.upper()} {path}" in text
    assert "<script" not in text
    assert "http://" not in text
    assert "https://" not in text
