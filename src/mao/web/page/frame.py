"""What all pages have: their frame, the headers that keep them safe, and the words their templates share.

What comes from tools, remotes and people is text: templates escape it (Jinja2's autoescape), no page has a script or
style of its own, and the policy that is sent along lets none in.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Depends, Request, Response
from markupsafe import Markup

from mao import __version__
from mao.caller import Caller, Right
from mao.values import now, rfc3339
from mao.web.access import Node  # noqa: TC001  # FastAPI reads the annotations
from mao.web.page.assets import asset_url, compressed
from mao.web.page.links import commit_url
from mao.wording import count, seconds, size

if TYPE_CHECKING:
    from jinja2 import Environment

    from mao.local_node import LocalNode

SECTIONS = (
    ("Overview", "/"),
    ("Tools", "/view/tools"),
    ("Runs", "/view/runs"),
    ("Schedules", "/view/schedules"),
    ("Datasets", "/view/datasets"),
    ("Nodes", "/view/nodes"),
)
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
        " form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    # Not "no-referrer": browsers would then send a form with `Origin: null`.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_SHORT = 12
"""Characters by which people tell commits."""


class View:
    """A page that is being made, and who it is for."""

    def __init__(self, request: Request, node: LocalNode) -> None:
        self.node = node
        self.caller: Caller = request.state.caller
        self._request = request
        # Taken before the page looks at anything: what changes while it does, it is told of.
        self._position = f"{node.store.last_seq()}.{node.mirror.position}"

    def may(self, right: Right, tool: str | None = None) -> bool:
        """Whether the viewer may do what needs `right`, about `tool`."""
        limited = right > Right.READ and self.caller.tools is not None
        others = limited and (tool is None or tool.lower() not in (self.caller.tools or ()))
        return self.caller.right >= right and not others

    @property
    def registry_age(self) -> float | None:
        """For how many seconds the registry has been out of reach; None if it is not."""
        return None if self.node.mirror.in_touch() else self.node.mirror.age()

    def page(self, template: str, *, live: str = "", status: int = 200, **values: Any) -> Response:
        """The page made of `template`.

        Args:
            template: a file of `templates`.
            live: what the page is about, and so is made anew for: words of the events of `/api/v1/events`, each alone
                (`run`) or with the one that matters (`run:ID`).
            status: of HTTP.
            values: of the template.
        """
        text = (
            _environment()
            .get_template(template)
            .render(
                view=self,
                node_name=self.node.config.node,
                path=self._request.url.path,
                position=self._position,
                live=live,
                **values,
            )
        )
        body, headers = compressed(self._request, text.encode("utf-8", "backslashreplace"), _HEADERS)
        return Response(body, status, headers, "text/html; charset=utf-8")


async def _view(request: Request, node: Node) -> View:
    return View(request, node)


Viewed = Annotated[View, Depends(_view)]
"""The page that a request asks for."""


@cache
def _environment() -> Environment:
    # Nodes that nobody looks at need not load it.
    from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape  # noqa: PLC0415

    environment = Environment(
        loader=PackageLoader("mao.web.page"),
        autoescape=select_autoescape(default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.globals |= {
        "asset": asset_url,
        "sections": SECTIONS,
        "version": __version__,
        "Right": Right,
        "commit_url": commit_url,
    }
    environment.filters |= {
        "moment": moment,
        "age": age,
        "between": _between,
        "seconds": seconds,
        "size": size,
        "count": count,
        "short": lambda commit: commit[:_SHORT],
    }
    return environment


def moment(when: datetime | None) -> Markup:
    """A moment, which scripts turn into the viewer's zone; in UTC without them, and where it is pointed at."""
    if when is None:
        return Markup()
    utc = when.astimezone(UTC)
    return Markup('<time datetime="{}" title="{:%Y-%m-%d %H:%M:%S} UTC">{:%Y-%m-%d %H:%M:%S}</time>').format(
        rfc3339(when), utc, utc
    )


def age(when: datetime | None) -> Markup:
    """How long ago a moment is, in one unit."""
    if when is None:
        return Markup()
    utc = when.astimezone(UTC)
    return Markup('<time class="age" datetime="{}" title="{:%Y-%m-%d %H:%M:%S} UTC">{}</time>').format(
        rfc3339(when), utc, _ago((now() - when).total_seconds())
    )


def _ago(past: float) -> str:
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if abs(past) >= length:
            return f"{past // length:.0f} {unit} ago" if past > 0 else f"in {-past // length:.0f} {unit}"
    return f"{past:.0f} s ago" if past >= 0 else f"in {-past:.0f} s"


def _between(start: datetime | None, end: datetime | None) -> str:
    """How long it took from one moment to another, or takes so far."""
    return seconds(((end or now()) - start).total_seconds()) if start else ""
