from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from serving import Serving


def test_entries_come_by_caller_and_time_newest_first_and_a_foreign_token_of_a_page_is_refused(served: Serving) -> None:
    for name in ("one", "two"):
        served.request("DELETE", f"/api/v1/datasets/{name}")

    paths = [entry["path"] for entry in served.api("GET", "/audit")["items"]]
    assert paths == ["/api/v1/datasets/two", "/api/v1/datasets/one"]
    assert len(served.api("GET", "/audit?caller=owner&since=2026-01-01")["items"]) == 2
    assert served.api("GET", "/audit?until=2026-01-01")["items"] == []
    assert served.api("GET", "/audit?caller=token:other")["items"] == []
    assert served.request("GET", "/api/v1/audit?since=yesterday").status == 422
    assert served.request("GET", "/api/v1/audit?page_token=YQ==").json["code"] == "bad-page"
