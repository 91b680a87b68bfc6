from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from mao.run import Publication, PublicationState, PublishedFile, Run, RunState
from mao.values import new_id, now
from serving import Serving, serving
from support import bare, commit, tool_files
from web.page.looking import look

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from web.page.looking import Seen

HOSTILE = ['<script>alert("x")</script>', '"><img src=x onerror=alert(1)>', "\u202egnp.exe\x1b[31m", "w" * 3000]
DATA = "git@github.invalid:group/data.git"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    work = tmp_path_factory.mktemp("runs")
    scripts = {"Write": 'echo x > "$MAO_DATA_DIR/x.txt"', "Wait": 'until test -e "$1"; do sleep 0.02; done'}
    commit(work / "probe", tool_files(bare(work / "data.git"), scripts=scripts, arguments={"Wait": 1}))
    with serving(work / "home") as node:
        node.install(work / "probe")
        yield node


def kept(node: Serving, state: RunState = RunState.SUCCEEDED, **more: object) -> Run:
    """A run that is in the node's store, and has ended."""
    fields: dict[str, object] = {
        "id": new_id(),
        "tool": "other",
        "tool_commit": "a" * 40,
        "command": "Measure",
        "arguments": {},
        "dataset": "other-data",
        "node": "alpha",
        "publish": True,
        "fresh": True,
        "state": state,
        "created_at": now(),
    }
    run = Run.model_validate(fields | more)
    node.node.store.save(run)
    return run


def shown(page: Seen) -> list[str]:
    """The ids of the runs in the table."""
    return [each.attributes["id"].removeprefix("run-") for each in page.all("tr") if "id" in each.attributes]


def test_the_runs_of_a_node_are_shown_the_newest_first_in_pages(node: Serving) -> None:
    every = sorted([kept(node, tool="paged", dataset="Paged-data").id for _ in range(60)], reverse=True)

    first = look(node, "/view/runs?tool=Paged")
    second = look(node, first.links["Older ones"])

    assert (shown(first), shown(second)) == (every[:50], every[50:])
    assert "Older ones" not in second.links
    assert shown(look(node, second.links["Newest ones"])) == every[:50]
    assert shown(look(node, "/view/runs"))[:50] == every[:50]


def test_runs_are_chosen_by_tool_state_and_dataset(node: Serving) -> None:
    good = kept(node, tool="chosen").id
    bad = kept(node, RunState.FAILED, tool="chosen", dataset="apart", exit_code=3).id

    assert shown(look(node, "/view/runs?tool=chosen&state=&dataset=")) == [bad, good]
    assert shown(look(node, "/view/runs?tool=+Chosen+&state=failed")) == [bad]
    assert shown(look(node, "/view/runs?dataset=APART")) == [bad]
    none = look(node, "/view/runs?tool=chosen&state=lost")
    assert "No run of this node is like that." in none.words
    assert none.all("input", name="tool")[0].attributes["value"] == "chosen"
    assert [each.text for each in none.all("option", selected="")] == ["lost"]
    assert "probe" in [each.text for each in none.all("option")]
    assert look(node, "/view/runs?state=asleep").status == 422
    assert look(node, "/view/runs?page_token=%3F").status == 422


def test_where_nothing_was_run_it_is_said_what_to_do(tmp_path: Path) -> None:
    with serving(tmp_path / "home") as fresh:
        page = look(fresh, "/view/runs")
    assert "Nothing has been run on this node yet." in page.words
    assert page.links["Choose a tool"] == "/view/tools"


def test_all_that_is_known_of_a_run_is_shown(node: Serving) -> None:
    run = node.ended(node.run("Write", publish=True))

    page = look(node, f"/view/runs/{run['id']}")

    assert page.all("h1")[0].text == "probe: Write"
    assert f"mao run show {run['id']}" in page.words
    for words in (
        "succeeded",
        "Exit code 0",
        "published on main",
        "1 file added or changed",
        "x.txt",
        "Processor time",
    ):
        assert words in page.words, words
    assert page.links["probe"] == "/view/tools/probe"
    assert page.links["Write"] == "/view/tools/probe#Write"
    assert page.links["probe-data"] == "/view/datasets/probe-data"
    assert page.buttons == ["Run again"]
    assert run["publication"]["commit"][:12] in page.words


def test_a_schedules_run_says_so_and_commits_have_links(node: Serving) -> None:
    publication = Publication(dataset="other-data", remote=DATA, state=PublicationState.PUBLISHED, commit="b" * 40)
    run = kept(
        node,
        schedule="s-1",
        slot=now(),
        attempt=2,
        asked_by="beta",
        publication=publication,
        log_dropped=5000,
        log_bytes=9,
    )

    page = look(node, f"/view/runs/{run.id}")

    assert page.links["its schedule"] == "/view/schedules/s-1"
    assert "attempt 2" in page.words
    assert "asked by a user of node beta" in page.words
    assert "9 bytes, 5.0 kB more were dropped" in page.words
    assert page.links["b" * 12] == f"https://github.invalid/group/data/commit/{'b' * 40}"


@pytest.mark.parametrize("state", [PublicationState.WAITING, PublicationState.BLOCKED])
def test_data_that_is_not_published_has_its_cause_and_what_to_do(node: Serving, state: PublicationState) -> None:
    publication = Publication(
        dataset="other-data",
        remote=DATA,
        state=state,
        attempts=3,
        cause="file-too-large",
        message="remote: error: <b>too large</b>",
        next_try_at=now() + timedelta(hours=1),
        left_out=("pipe: a FIFO",),
    )
    run = kept(node, RunState.UNPUBLISHED, reason="of its size", publication=publication)

    page = look(node, f"/view/runs/{run.id}")

    for words in ("unpublished: of its size", "file-too-large", "<b>too large</b>", "Tried 3 times", "pipe: a FIFO"):
        assert words in page.words, words
    assert "A file is larger than the host takes" in page.words
    assert "Publish" in page.buttons


def test_a_secret_is_published_by_administrators_alone(node: Serving) -> None:
    publication = Publication(dataset="other-data", remote=DATA, state=PublicationState.BLOCKED, cause="secret-in-data")
    run = kept(node, RunState.UNPUBLISHED, publication=publication)
    path = f"/view/runs/{run.id}"

    assert "Publish despite the secret" in look(node, path).buttons
    assert look(node, path, token=node.token("run")).buttons == ["Run again"]


def test_files_are_cut_where_there_are_too_many(node: Serving) -> None:
    files = tuple(PublishedFile(path=f"f{i}", size=1) for i in range(250))
    publication = Publication(dataset="other-data", remote=DATA, state=PublicationState.PUBLISHED, files=files)

    page = look(node, f"/view/runs/{kept(node, publication=publication).id}")

    assert "250 files added or changed, 250 bytes" in page.words
    assert len(page.all("td", class_="path")) == 200
    assert "50 more:" in page.words


def test_buttons_are_for_who_may_press_them(node: Serving, tmp_path: Path) -> None:
    run = node.run("Wait", str(tmp_path / "gate"))
    path = f"/view/runs/{run['id']}"

    assert look(node, path).buttons == ["Cancel", "Run again"]
    assert look(node, path, token=node.token("run", "probe")).buttons == ["Cancel", "Run again"]
    for token in (node.token("read"), node.token("run", "other")):
        assert look(node, path, token=token).buttons == []
    (tmp_path / "gate").touch()
    node.ended(run)
    assert look(node, path).buttons == ["Run again"]


def test_a_run_can_be_run_again_with_the_same_arguments_by_name(node: Serving) -> None:
    run = kept(node, arguments={"A": "x", "Key": "@keyring:k", "Empty": ""}, publish=False)

    page = look(node, f"/view/runs/{run.id}")

    fields = [each.attributes for each in page.all("input", name="arguments")]
    assert [(each["data-key"], each["value"]) for each in fields] == [("A", "x"), ("Key", "@keyring:k"), ("Empty", "")]
    assert all("data-empty" in each for each in fields)
    assert "checked" not in page.all("input", name="publish")[0].attributes
    unkept = kept(node, arguments={"Key": None})
    assert "Run again" not in look(node, f"/view/runs/{unkept.id}").buttons


def test_what_comes_from_others_is_text(node: Serving) -> None:
    files = tuple(PublishedFile(path=text, size=1) for text in HOSTILE)
    publication = Publication(
        dataset="other-data",
        remote="javascript:alert(1)//github.com/a/b",
        commit="c" * 40,
        files=files,
        left_out=tuple(HOSTILE),
        state=PublicationState.BLOCKED,
        message=HOSTILE[0],
        cause=HOSTILE[1],
    )
    arguments: dict[str, str | None] = {f"A{i}": text for i, text in enumerate(HOSTILE)}
    run = kept(
        node, RunState.FAILED, command=HOSTILE[1], reason=HOSTILE[0], arguments=arguments, publication=publication
    )

    for path in (f"/view/runs/{run.id}", "/view/runs", "/view/runs?tool=%22%3E%3Cimg%3E&dataset=%3Cscript%3E"):
        page = look(node, path)
        assert page.status == 200
        assert page.all("img") == []
        assert all("src" in each.attributes for each in page.all("script"))
        assert not any(name.startswith("on") or name == "style" for each in page.elements for name in each.attributes)
        assert "javascript:" not in "".join(page.links.values())
    assert re.search("<script>alert", look(node, f"/view/runs/{run.id}").words)


def test_there_is_no_page_of_a_run_that_is_not_there(node: Serving) -> None:
    assert look(node, "/view/runs/nothing").status == 404
