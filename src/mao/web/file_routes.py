"""The API of the files of runs and clones. Tools and remotes made them: no browser takes them for pages of a node."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated
from urllib.parse import quote

from fastapi import Depends, Query, Response
from fastapi.responses import StreamingResponse

from mao import cloning, inspecting, running
from mao.inspecting import SHOWN, FileHere
from mao.web.access import Node  # noqa: TC001  # FastAPI reads the annotations
from mao.web.pages import Page, Wanted, encoded, page_of, wanted
from mao.web.routing import api

if TYPE_CHECKING:
    from mao.inspecting import Found

router = api("files")
Asked = Annotated[Wanted, Depends(wanted)]
Path = Annotated[str, Query(min_length=1, max_length=4096, description="As the list of the files has it.")]

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


@router.get("/runs/{run_id}/files", responses={200: {"model": Page[FileHere]}})
def list_run_files(node: Node, run_id: str, asked: Asked) -> Response:
    """The files that a run has published or is to publish, and whether this node still has them."""
    files = inspecting.run_files(node, running.find_run(node, run_id))
    return encoded(page_of(((file.path, file) for file in files), asked))


@router.get("/runs/{run_id}/content", response_class=Response)
def run_content(node: Node, run_id: str, path: Path) -> Response:
    """A file of a run. Only pictures and text come as what they are; of a run with a secret in them, none does."""
    return _content(inspecting.run_file(node, running.find_run(node, run_id), path))


@router.get("/clones/{dataset}/files", responses={200: {"model": Page[FileHere]}})
def list_clone_files(node: Node, dataset: str, asked: Asked) -> Response:
    """The newest files of a clone, at most 50."""
    files = inspecting.clone_files(node, cloning.find_clone(node, dataset))
    return encoded(page_of(((file.path, file) for file in files), asked))


@router.get("/clones/{dataset}/content", response_class=Response)
def clone_content(node: Node, dataset: str, path: Path) -> Response:
    """A file of a clone, if the dataset has it. Only pictures and text come as what they are."""
    return _content(inspecting.clone_file(node, cloning.find_clone(node, dataset), path))


def _content(found: Found) -> Response:
    name = quote(found.path.rpartition(b"/")[2], safe="")
    kind = "inline" if found.media_type in SHOWN else "attachment"
    headers = {"Content-Length": str(found.size), "Content-Disposition": f"{kind}; filename*=UTF-8''{name}"}
    return StreamingResponse(found.chunks(), media_type=found.media_type, headers=_HEADERS | headers)
