"""Tools: which there are, what each can do, and what one may have done with it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple
from urllib.parse import urlencode

from fastapi import Query, Request, Response  # FastAPI reads the annotations

from mao import finding
from mao.alarm import AlarmKind, alarm_key
from mao.approval import Approval
from mao.catalogue import TOOLS, Tool, tool_key
from mao.installation import Installation, Step
from mao.updating import refusal_of
from mao.web.page.frame import Viewed  # noqa: TC001  # FastAPI reads the annotations
from mao.web.page.output import Placed, of_installation
from mao.web.page.tool_forms import forms_of
from mao.web.routing import root

if TYPE_CHECKING:
    from mao.local_node import LocalNode
    from mao.registry import Entry

router = root()

_PAGE = 50
"""Tools on one page."""
_STEPS = (Step.CLONING, Step.INSTALLING, Step.DATASET, Step.SWITCHING)
_APPROVALS = 50


class _Row(NamedTuple):
    """What the list tells of a tool."""

    name: str
    description: str
    dataset: str
    commit: str
    installation: Installation | None
    nodes: int


@router.get("/view/tools", include_in_schema=False)
def list_tools(
    view: Viewed,
    search: Annotated[str, Query(max_length=200)] = "",
    after: Annotated[str, Query(max_length=200)] = "",
) -> Response:
    """The tools that are registered in the cluster, or those of them that are searched for."""
    node = view.node
    entries = finding.listed(node, TOOLS, after=after, limit=_PAGE + 1, search=search)
    rows = [_row(node, entry) for entry in entries[:_PAGE]]
    more = {"search": search, "after": entries[_PAGE - 1].key.removeprefix(TOOLS)} if len(entries) > _PAGE else None
    return view.page(
        "tools.html",
        live="tool installation node",
        rows=rows,
        search=search,
        after=after,
        more=urlencode({key: text for key, text in more.items() if text}) if more else None,
        strays=[] if search or after else _strays(node),
    )


def _row(node: LocalNode, entry: Entry) -> _Row:
    value = json.loads(entry.value)  # to check all of the definitions again would take longer than all the rest
    name = value["name"]
    nodes = finding.nodes_with_tools(node).get(name.lower(), [])
    description = value["definition"].get("Description", "")
    installation = node.store.installation(name)
    return _Row(name, description, value["dataset"], value["commit"], installation, len(nodes))


def _strays(node: LocalNode) -> list[str]:
    """The tools that are installed here and registered no more."""
    names = [json.loads(body)["tool"] for _, body in node.store.bodies("installation")]
    return [name for name in names if node.mirror.get(tool_key(name)) is None]


@router.get("/view/tools/register", include_in_schema=False)
def register(view: Viewed) -> Response:
    """A form that registers a tool."""
    # A tool may be called that, too; names are the same regardless of case, and paths are not.
    namesake = view.node.mirror.get(tool_key("register")) or view.node.store.installation("register")
    return view.page("tool_register.html", namesake=namesake is not None)


@router.get("/view/tools/{name}", include_in_schema=False)
def show(
    request: Request, view: Viewed, name: str, place: Placed, command: Annotated[str, Query(max_length=200)] = ""
) -> Response:
    """All that is known of a tool, and forms for its commands."""
    node = view.node
    installation = node.store.installation(name)
    while (entry := node.mirror.get(tool_key(name))) is None and installation is None:
        finding.find_tool(node, name)  # says what is near
    tool = Tool.model_validate_json(entry.value) if entry else None
    name = tool.name if tool else installation.tool if installation else name
    return view.page(
        "tool.html",
        live=f"tool:{name} installation:{name} node approval alarm",
        name=name,
        tool=tool,
        revision=entry.revision if entry else None,
        here=node.config.node,
        nodes=finding.nodes_with_tools(node).get(name.lower(), []),
        alarm=node.store.alarm(alarm_key(AlarmKind.TAG_MOVED, name)),
        printed=of_installation(node, name, place) if _has_installer(installation) else None,
        **_installed(installation, tool),
        **_consent(node, name, tool, installation),
        **forms_of(name, tool, installation, chosen=command, address=str(request.base_url)),
    )


def _has_installer(installation: Installation | None) -> bool:
    """Whether an installer was run, or will be, by the last attempt."""
    return installation is not None and installation.attempt.definition.installer is not None


def _installed(installation: Installation | None, tool: Tool | None) -> dict[str, Any]:
    attempt = installation.attempt if installation else None
    going_on = attempt is not None and attempt.step not in {Step.DONE, Step.FAILED}
    installed = installation.commit if installation else None
    return {
        "installation": installation,
        "going_on": going_on,
        "steps": _STEPS if installed else _STEPS[:-1],
        "is_behind": tool is not None and installed is not None and installed != tool.commit,
    }


def _consent(node: LocalNode, name: str, tool: Tool | None, installation: Installation | None) -> dict[str, Any]:
    """What this node's people have let in of the tool, and what they have not."""
    under_way = installation is not None and installation.attempt.step not in {Step.DONE, Step.FAILED}
    bodies = node.store.bodies("approval", limit=_APPROVALS, newest_first=True, tool=name.lower())
    return {
        "refusal": None if tool is None or under_way else refusal_of(node, tool),
        "approvals": [Approval.model_validate_json(body) for _, body in bodies],
    }
