"""Forms for the commands of tools, made of their arguments, and the lines that do the same in a shell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from fastapi import Query, Request, Response  # FastAPI reads the annotations

from mao.catalogue import tool_in
from mao.finding import find_tool
from mao.web.page.frame import Viewed  # noqa: TC001  # FastAPI reads the annotations
from mao.web.page.lines import Lines, lines
from mao.web.routing import root

if TYPE_CHECKING:
    from mao.catalogue import Tool
    from mao.definition import Command, Definition
    from mao.installation import Installation

router = root()

_MOST = 300
"""Fields and choices of one page: of a tool with more, there is the form of one command at a time."""


class Form(NamedTuple):
    """The form for a command."""

    command: Command
    lines: Lines
    """What does the same as the form while nobody has changed it."""


def forms_of(
    name: str, tool: Tool | None, installation: Installation | None, *, chosen: str, address: str
) -> dict[str, Any]:
    """What a page needs for the forms of a tool's commands; of the command `chosen` alone where there are too many."""
    definition = _definition(tool, installation)
    fields = [argument for command in definition.commands for argument in command.arguments]
    is_large = len(definition.commands) + sum(1 + len(field.choices) for field in fields) > _MOST
    wanted = [each for each in definition.commands if not is_large or each.name.casefold() == chosen.casefold()]
    return {
        "definition": definition,
        "chosen": chosen.casefold(),
        "is_large": is_large,
        "forms": [Form(each, _untouched(name, each, address)) for each in wanted],
        "installed_commit": installation.commit if installation else None,
    }


def _definition(tool: Tool | None, installation: Installation | None) -> Definition:
    """What the tool can do: here, as it is installed; else as it is registered, or is being installed."""
    if installation and installation.definition:
        return installation.definition
    if tool:
        return tool.definition
    assert installation is not None  # noqa: S101  # for the type checker: one of them there is
    return installation.attempt.definition


def _untouched(name: str, command: Command, address: str) -> Lines:
    given = [argument.default or "" for argument in command.arguments]
    return lines(name, command, given, publish=True, address=address)._replace(faults=())


@router.get("/view/tools/{name}/lines", include_in_schema=False)
def show_lines(
    request: Request,
    view: Viewed,
    name: str,
    command: str,
    arguments: Annotated[list[str], Query()] = [],  # noqa: B006  # nobody changes it
    *,
    publish: bool = False,
) -> Response:
    """What does the same as a form in which this was written, and what is wrong with it: a part of a page.

    The arguments come in the order of the definition; those that are empty are left out.
    """
    node = view.node
    installation = node.store.installation(name)
    tool = tool_in(node.mirror.get, name) if installation else find_tool(node, name)
    found = _definition(tool, installation)
    made = lines(found.name, found.command(command), arguments, publish=publish, address=str(request.base_url))
    return view.page("tool_lines.html", lines=made)
