from __future__ import annotations

import re
from typing import TYPE_CHECKING

from serving import Serving, serving
from support import bare, commit, eventually, free_port, tool_files
from web.page.reading import look, words
from web.test_alarm_routes import raised

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from etcd_cluster import EtcdCluster
    from support import ServedNode


def part(page: bytes, name: str) -> str:
    """The words of a section."""
    found = re.search(rf'<section aria-labelledby="{name}">(.*?)</section>', page.decode(), re.DOTALL)
    assert found is not None
    return words(found[1])


def test_an_empty_node_says_what_to_do_next(served: Serving) -> None:
    page = look(served, "/").body
    assert part(page, "now") == (
        "Running now Nothing runs. Choose a tool and run one of its commands, or have a schedule do it ."
    )
    assert part(page, "broke") == "Last failures No run of this node has failed."
    assert part(page, "data") == ("Datasets No dataset is registered. Register a tool : its dataset comes with it.")
    assert part(page, "nodes").startswith("Nodes Node Version Tools Up since alpha this one ")
    assert b'class="warning"' not in page


def test_what_runs_what_broke_and_how_old_the_data_is(served: Serving, tmp_path: Path) -> None:
    scripts = {"Write": 'echo x > "$MAO_DATA_DIR/x"', "Fail": "exit 3", "Sleep": "echo begun; sleep 60"}
    commit(tmp_path / "probe", tool_files(bare(tmp_path / "data.git"), scripts=scripts, arguments={"Write": 0}))
    served.install(tmp_path / "probe")
    served.ended(served.run("Write"))
    failed = served.ended(served.run("Fail"))
    sleeping = served.finished(served.run("Sleep"), "running")
    raised(served, "elsewhere")

    page = look(served, "/").body
    log = f"/api/v1/runs/{sleeping['id']}/log"
    stream = served.connection(20)
    stream.request("GET", log, headers={"Accept": "text/event-stream", "Accept-Encoding": "gzip"})
    followed = stream.getresponse()
    assert (followed.headers["Content-Encoding"], followed.headers["X-Accel-Buffering"]) == (None, "no")
    assert {followed.readline(), followed.readline()} == {b"id: 6\n", b"event: log\n"}, "it comes at once"
    followed.close()
    stream.close()

    assert f"{sleeping['id'][-12:]} probe Sleep running" in part(page, "now")
    assert re.search(f"{failed['id'][-12:]} probe failed .*3", part(page, "broke"))
    assert re.search(r"probe-data probe \d+ s ago", part(page, "data"))
    assert re.search(r"alpha this one \S+ 1 ", part(page, "nodes"))
    assert "1 thing waits for you" in words(page)
    served.api("POST", f"/runs/{sleeping['id']}/cancel")


def test_what_is_shown_while_the_registry_is_away_says_how_old_it_is(
    serve: Callable[..., ServedNode], own_etcd: Callable[..., EtcdCluster]
) -> None:
    etcd = own_etcd(size=1)
    node = serve(MAO_REGISTRY__URL=etcd.url)
    assert b'class="warning"' not in look(node, "/").body
    etcd.stop()

    away = eventually(lambda: b'class="warning"' in (page := look(node, "/").body) and page)

    assert "The registry has been out of reach for" in words(away)
    assert "alpha this one" in part(away, "nodes")


def test_what_a_node_does_itself_is_shown_before_it_has_reached_its_registry(tmp_path: Path) -> None:
    with serving(tmp_path / "home", registry__url=f"etcd://127.0.0.1:{free_port()}") as node:
        page, of_nodes, of_cluster = (look(node, path).body for path in ("/", "/view/nodes", "/view/nodes/cluster"))
    assert "The registry is away. This node has not reached it yet" in words(page)
    assert "The registry is away. This node has not reached it yet" in part(of_nodes, "nodes")
    assert "No run of this node has failed." in words(page)
    assert "This node has not reached the registry since it was started" in words(of_cluster)
    assert "Quorum fail the registry takes nothing Registry not reached yet" in words(of_cluster)
    assert part(page, "nodes") == "Nodes Which there are is not known."
