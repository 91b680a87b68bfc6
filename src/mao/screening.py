"""Look through the files of a run for its secrets, before any of it can go out."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from mao import unveiling
from mao.data_directory import publishable
from mao.errors import SecretInData
from mao.run import Publication, PublicationState
from mao.secret import blotted, hidden
from mao.values import display

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from mao.data_directory import DataFile
    from mao.local_node import LocalNode
    from mao.run import Run

_MOST = 10
"""Files that are told of."""


def screened(node: LocalNode, run: Run, publication: Publication) -> Publication:
    """`publication`, which needs a decision if a file of it holds a secret of `run`, in any of its forms.

    What is packed (gzip, zip) or enciphered is looked through as it is: no secret is found inside.
    """
    forms = hidden(unveiling.kept(node, run.id))
    if not forms or publication.state is PublicationState.UNCHANGED:
        return publication
    files, _ = publishable(node.workspace.run_data(run.id))
    found = list(islice(_found(files, forms), _MOST + 1))
    if not found:
        return publication
    more = ["and more"] if len(found) > _MOST else []
    return publication.model_copy(
        update={
            "state": PublicationState.BLOCKED,
            "cause": SecretInData.code(),
            "message": "; ".join([*found[:_MOST], *more]) + ". Nothing of the run was committed or pushed.",
            "files": tuple(file.model_copy(update={"path": blotted(file.path, forms)}) for file in publication.files),
            "left_out": tuple(blotted(name, forms) for name in publication.left_out),
        }
    )


def _found(files: Iterable[DataFile], forms: Mapping[str, str]) -> Iterator[str]:
    """Where the secrets are, in words that do not repeat them."""
    needles = [(form.encode(), mark) for form, mark in forms.items()]
    for file in files:
        path = display(file.path)
        shown = blotted(path, forms)
        if shown != path:
            yield f"the name of the file '{shown}' holds a secret"
        elif place := _place(file.chunks(), needles):
            line, mark = place
            yield f"'{path}', line {line}, holds the {mark.strip('[]')}"


def _place(chunks: Iterable[bytes], needles: list[tuple[bytes, str]]) -> tuple[int, str] | None:
    """The line, from 1, where the first of `needles` begins that is there, and its mark."""
    overlap = max(len(needle) for needle, _ in needles) - 1
    line, rest = 1, b""
    for chunk in chunks:
        text = rest + chunk
        found = [(at, mark) for needle, mark in needles if (at := text.find(needle)) >= 0]
        if found:
            at, mark = min(found)
            return line + text.count(b"\n", 0, at), mark
        cut = max(0, len(text) - overlap)
        line += text.count(b"\n", 0, cut)
        rest = text[cut:]
    return None
