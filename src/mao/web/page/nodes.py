"""Nodes of the cluster, whether this one is as it should be, and what waits for somebody to decide."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import Query, Response  # FastAPI reads the annotations

from mao.catalogue import NODES
from mao.diagnosing import waiting
from mao.errors import RegistryUnavailable
from mao.web.access import patient
from mao.web.cluster_routes import look_at_cluster
from mao.web.health_routes import Checked  # noqa: TC001  # FastAPI reads the annotations
from mao.web.node_routes import SeenNode, seen
from mao.web.page.frame import Viewed  # noqa: TC001  # likewise
from mao.web.routing import root

if TYPE_CHECKING:
    from mao.local_node import LocalNode

router = root()

_SHOWN = 100
"""Nodes on a page."""
_WAITING = 20
"""Rows of what waits for somebody, of each kind."""
_WRITING = {
    True: "each node what is its own",
    False: "every node everything",
    None: "as that etcd lets this node",
}


@router.get("/view/nodes", include_in_schema=False)
def show(view: Viewed, checkup: Checked, after: Annotated[str, Query(max_length=200)] = "") -> Response:
    """The nodes, and what waits; what takes long to find out, the page asks for when it is there."""
    node = view.node
    nodes, unknown = _nodes(node, after)
    return view.page(
        "nodes.html",
        live="node alarm approval run installation",
        health=checkup.latest,
        nodes=nodes[:_SHOWN],
        next=f"/view/nodes?after={nodes[_SHOWN - 1].name.lower()}" if len(nodes) > _SHOWN else None,
        unknown=unknown,
        registry_age=None if node.mirror.in_touch() else node.mirror.age(),
        waiting=waiting(node),
        shown=_WAITING,
        alone=_alone(node),
    )


def _nodes(node: LocalNode, after: str) -> tuple[list[SeenNode], str]:
    """One node more than a page has; or why it is not known which there are."""
    try:
        entries = node.mirror.entries(NODES, after=NODES + after if after else "", limit=_SHOWN + 1)
    except RegistryUnavailable as error:
        return [], error.detail
    return [seen(node, entry) for entry in entries], ""


def _alone(node: LocalNode) -> bool:
    url: str = node.config["registry.url"]
    return not url.startswith("etcd://")


@router.get("/view/nodes/health", include_in_schema=False)
@patient
def show_health(view: Viewed, checkup: Checked) -> Response:
    """What the node finds of itself and of its machine."""
    return view.page("health.html", live="alarm", health=checkup.health())


@router.get("/view/nodes/cluster", include_in_schema=False)
async def show_cluster(view: Viewed) -> Response:
    """How the cluster is; of a node alone, how it would come into one."""
    state = None if _alone(view.node) else await look_at_cluster(view.node)
    return view.page("cluster.html", live="node", state=state, writing=_WRITING)
