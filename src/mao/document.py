"""What the store keeps as documents, and by which of their fields it finds each."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from mao.alarm import Alarm, AlarmKind
from mao.approval import Approval, Sighting
from mao.installation import Clone, CloneState, Installation, Step
from mao.run import ENDED, PublicationState, Run
from mao.schedule import WAITING, Schedule, Slot

Document: TypeAlias = Run | Installation | Clone | Alarm | Schedule | Slot | Sighting | Approval

_WAITING = frozenset(
    {
        PublicationState.COLLECTING,
        PublicationState.PENDING,
        PublicationState.DELIVERED,
        PublicationState.WAITING,
    }
)


class Columns(NamedTuple):
    """The fields of a document that it is found by; names are in lower case."""

    kind: str
    key: str
    """An id; the name of a tool or dataset; KIND:SUBJECT of an alarm; SCHEDULE/PLANNED of a slot;
    TOOL/COMMIT of a sighting or an approval."""
    live: bool
    """Whether something is still to be done about it."""
    state: str
    tool: str | None
    dataset: str | None


def columns_of(document: Document) -> Columns:  # noqa: PLR0911  # one for each kind of document
    """What `document` is found by."""
    match document:
        case Run():
            publication = document.publication
            live = document.state not in ENDED or (publication is not None and publication.state in _WAITING)
            tool, dataset = document.tool.lower(), document.dataset.lower()
            return Columns("run", document.id, live, document.state, tool, dataset)
        case Installation():
            live = document.attempt.step not in {Step.DONE, Step.FAILED}
            tool, held = document.tool.lower(), document.dataset
            return Columns("installation", tool, live, document.state, tool, held.lower() if held else None)
        case Clone():
            live = document.state in {CloneState.CLONING, CloneState.REFRESHING}
            dataset = document.dataset.lower()
            return Columns("clone", dataset, live, document.state, None, dataset)
        case Schedule():
            return Columns(
                "schedule", document.id, live=False, state=document.state, tool=document.tool.lower(), dataset=None
            )
        case Slot():
            state = document.outcome or WAITING
            return Columns("slot", document.key, not document.over, state, document.tool.lower(), None)
        case Alarm():
            match document.kind:
                case AlarmKind.TAG_MOVED:
                    tool = document.subject.lower()
            return Columns("alarm", document.key, live=False, state=document.kind, tool=tool, dataset=None)
        case Sighting():
            return Columns("sighting", document.key, live=False, state="seen", tool=document.tool.lower(), dataset=None)
        case Approval():
            tool = document.tool.lower()
            return Columns("approval", document.key, live=False, state="approved", tool=tool, dataset=None)


def body_of(document: Document) -> str:
    """`document` as JSON; of slots, which there will be most of, without what is not known of them."""
    return document.model_dump_json(by_alias=True, exclude_none=isinstance(document, Slot))
