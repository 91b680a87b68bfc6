"""What a definition says of its runs beside what they do: inputs, lateness, limits, and whom to credit."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from mao.fields import OPTIONAL, Duration, Folder, Label, Line, Part, PlainName, Size


class Input(Part):
    """A dataset that runs read."""

    dataset: PlainName
    """The dataset's name in the registry."""
    commit: Annotated[str, Field(pattern=r"^([0-9a-f]{40}|[0-9a-f]{64})$")]
    """The commit that is read, in full, so that every run reads the same."""
    path: Folder
    """Where the run finds it, relative to the tool's root; read-only."""


class Backfill(StrEnum):
    """Whether a slot that was missed may be run afterwards."""

    NEVER = "never"
    ALLOWED = "allowed"


class Lateness(Part):
    """What becomes of slots of a schedule whose time has passed."""

    backfill: Backfill = Backfill.NEVER
    """Whether runs may be started for slots in the past: `allowed` if the tool reads `$MAO_SLOT`."""
    max: Annotated[Duration | None, OPTIONAL] = None
    """How late a run may start; later, its slot is missed."""


class Resources(Part):
    """The most that a run may use."""

    memory: Annotated[Size | None, OPTIONAL] = None
    """Memory of all its processes."""
    processes: Annotated[int | None, Field(ge=1, le=100_000), OPTIONAL] = None
    """Processes and threads at a time."""
    cpu_time: Annotated[Duration | None, OPTIONAL] = None
    """Processor time of all its processes."""
    disk: Annotated[Size | None, OPTIONAL] = None
    """What it may write into its data directory."""


class Network(StrEnum):
    """What a run may reach."""

    NONE = "none"
    FULL = "full"


class Author(Part):
    """Somebody to be credited; plain text is taken as the name."""

    name: Label
    """The person's name."""
    orcid: Annotated[str | None, Field(pattern=r"^\d{4}-\d{4}-\d{4}-\d{3}[\dX]$"), OPTIONAL] = None
    """The ORCID iD: 0000-0002-1825-0097."""
    affiliation: Annotated[Line | None, OPTIONAL] = None
    """Where the person works."""


def author(value: object) -> object:
    return {"Name": value} if isinstance(value, str) else value
