"""Reading a `mao.yaml`: the text to a definition, or to all its faults with their lines and columns."""

from __future__ import annotations

import re
from typing import Any, get_args

from pydantic import ValidationError

from mao.definition import Definition
from mao.errors import BadDefinition
from mao.fields import Part, shown
from mao.names import name_fault
from mao.yaml_tree import MAX_BYTES, Fault, Location, Tree, read_tree

__all__ = ["FILE_NAMES", "MAX_BYTES", "MAY_BE_EMPTY", "load"]

FILE_NAMES = ("mao.yaml", "mao.yml")

MAY_BE_EMPTY = frozenset({"Arguments", "Description", "Installer"})
"""Keys that may stand without a value, as they do in older files: it is as if they were left out."""

MAX_FAULTS = 50

_WRITTEN_IN_0_1: dict[Location, Location] = {
    ("Data",): (),
    ("Data", "Local"): ("Datadir",),
    ("Data", "Repo"): ("Datarepo",),
    ("Data", "Repo", "Name"): ("Datarepo",),
    ("Data", "Repo", "Remote"): ("Datarepo",),
}
_ONLY_IN_0_1 = {"Datadir": "Data.Local", "Datarepo": "Data.Repo.Remote"}

_MESSAGES = {  # what pydantic says is for programmers
    "missing": "is missing",
    "fault": "{message}",
    "string_type": "must be text",
    "string_unicode": "must be text",
    "tuple_type": "must be a list: lines that begin with '- '",
    "dict_type": "must hold keys and values",
    "model_type": "must hold keys and values",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "must be a smaller number",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "string_pattern_mismatch": "does not have the right form, {pattern}",
    "string_too_short": "must not be empty",
    "string_too_long": "must not be longer than {max_length} characters",
    "too_long": "must not have more than {max_length} entries",
}


def load(text: bytes | str, file: str = "mao.yaml") -> Definition:
    """The definition that `text` holds; `file` is what faults call the file.

    Raises:
        BadDefinition: with every fault at once.
    """
    tree = read_tree(text)
    faults = tree.faults
    definition = None
    if isinstance(tree.value, dict):
        content = _without_empty(tree, tree.value, ())
        version = _version(tree, content)
        if version is not None:
            definition = _validated(tree, content, version)
    elif not faults:
        faults.append(Fault((), "the file must hold keys and values, such as `Name: hello`"))
    if definition is None or faults:
        raise _bad_definition(tree, file)
    return definition


def _without_empty(tree: Tree, value: Any, at: Location) -> Any:
    if isinstance(value, list):
        return [_without_empty(tree, item, (*at, place)) for place, item in enumerate(value)]
    if not isinstance(value, dict):
        if value is None and at not in tree.broken:
            tree.spoil(at, "has no value: give it one, or leave it out")
        return value
    return {
        key: _without_empty(tree, item, (*at, key))
        for key, item in value.items()
        if item is not None or key not in MAY_BE_EMPTY or at[:1] == ("Environment",)
    }


def _version(tree: Tree, content: dict[str, Any]) -> str | None:
    """The format of the file, by its keys; None if that cannot be said, with the fault added."""
    if "Version" in content:
        if content["Version"] == "1":
            return "1"
        message = "must be 1; the formats 0.1 and 0.2 do not have this key"
        if ("Version",) not in tree.broken:
            tree.faults.append(Fault(("Version",), message))
        return None
    return "0.2" if "Data" in content or "data" in content else "0.1"


def _validated(tree: Tree, content: dict[str, Any], version: str) -> Definition | None:
    before = len(tree.faults)
    values = _from_0_1(tree, content) if version == "0.1" else content
    if version != "1":
        _refuse_newer(tree, values, Definition, ())
    try:
        definition = Definition.model_validate(values | {"Version": version}, by_alias=True, by_name=False)
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            at = _written(detail["loc"], version)
            if detail["type"] == "default_factory_not_called":  # only tells of a fault that is there already
                continue
            if not any(at[:length] in tree.broken for length in range(len(at) + 1)):
                tree.faults.append(_as_fault(at, detail, version))
        return None
    return definition if len(tree.faults) == before else None


def _from_0_1(tree: Tree, content: dict[str, Any]) -> dict[str, Any]:
    missing = [key for key in ("Datadir", "Datarepo") if key not in content]
    values = {key: value for key, value in content.items() if key not in _ONLY_IN_0_1}
    if missing:
        if len(missing) < len(_ONLY_IN_0_1):
            tree.faults.append(Fault((missing[0],), "is missing"))
        else:
            what = "is missing: where the data goes (in the format 0.1, `Datadir` and `Datarepo` say it)"
            tree.faults.append(Fault(("Data",), what))
        # Anything valid will do: the other faults are still to be found.
        return values | {"Data": {"Local": "data", "Repo": {"Name": "data", "Remote": "data"}}}
    remote = content["Datarepo"]
    name = dataset_name(remote) if isinstance(remote, str) else "data"
    if (fault := name_fault(name)) and ("Datarepo",) not in tree.broken:
        tree.faults.append(Fault(("Datarepo",), f"names the dataset after its end, {shown(name)}: that {fault}"))
        name = "data"
    return values | {"Data": {"Local": content["Datadir"], "Repo": {"Name": name, "Remote": remote}}}


def dataset_name(remote: str) -> str:
    """What a dataset is called that has only a remote: the last part of it, without `.git`."""
    path = re.sub(r"^[A-Za-z][A-Za-z0-9+.-]*://[^/]*", "", remote)
    return re.split(r"[/:]", path.rstrip("/"))[-1].removesuffix(".git")


def _refuse_newer(tree: Tree, value: Any, part: type[Part], at: Location) -> None:
    """Find the keys that only newer formats have, and set them aside."""
    if isinstance(value, list):
        for place, item in enumerate(value):
            _refuse_newer(tree, item, part, (*at, place))
    elif isinstance(value, dict):
        for key, field in _keys(part).items():
            if key not in value:
                continue
            extra = field.json_schema_extra
            if isinstance(extra, dict) and extra.get("x-since") == "1":
                tree.spoil((*at, key), "needs `Version: 1` at the top of the file")
            elif below := _part_in(field.annotation):
                _refuse_newer(tree, value[key], below, (*at, key))


def _keys(part: type[Part]) -> dict[str, Any]:
    return {field.alias or name: field for name, field in part.model_fields.items()}


def _part_in(annotation: Any) -> type[Part] | None:
    if isinstance(annotation, type) and issubclass(annotation, Part):
        return annotation
    return next((part for inner in get_args(annotation) if (part := _part_in(inner))), None)


def _part_at(at: Location) -> type[Part] | None:
    part: type[Part] | None = Definition
    for step in at:
        if part and isinstance(step, str):
            field = _keys(part).get(step)
            part = _part_in(field.annotation) if field else None
    return part


def _written(loc: Location, version: str) -> Location:
    """Where in the file the value at `loc` of the model stands."""
    return _WRITTEN_IN_0_1.get(loc, loc) if version == "0.1" else loc


def _as_fault(at: Location, detail: Any, version: str) -> Fault:
    kind, value, context = detail["type"], detail["input"], detail.get("ctx", {})
    if kind == "extra_forbidden":
        return _unknown_key(at, version)
    if kind == "enum":
        known = tuple(re.findall(r"'([^']*)'", context["expected"]))
        return Fault(at, f"must be one of {', '.join(known)}, not {shown(value)}", str(value), known)
    if kind == "value_error":
        # What is wrong with a key of a mapping such as Environment, pydantic reports below the key.
        at_key = at[-1] == "[key]"
        return Fault(at[:-1] if at_key else at, str(context["error"]), at_key=at_key)
    return Fault(at, _MESSAGES[kind].format(**context) if kind in _MESSAGES else detail["msg"])


def _unknown_key(at: Location, version: str) -> Fault:
    key = str(at[-1])
    if len(at) == 1 and version != "0.1" and key in _ONLY_IN_0_1:
        return Fault(at, f"is a key of the format 0.1; here it is `{_ONLY_IN_0_1[key]}`")
    part = _part_at(at[:-1])
    known = [*_keys(part)] if part else []
    if len(at) == 1 and version == "0.1":
        known += _ONLY_IN_0_1
    return Fault(at, "is not a key that is known here", key, tuple(known), at_key=True)


def _bad_definition(tree: Tree, file: str) -> BadDefinition:
    faults = sorted(tree.faults, key=tree.position)
    listed = tree.described(faults[:MAX_FAULTS], file)
    lines = [_line(fault) for fault in listed]
    if len(faults) > MAX_FAULTS:
        lines.append(f"{file}: and {len(faults) - MAX_FAULTS:,} more")
    return BadDefinition("\n".join(lines), listed)


def _line(fault: dict[str, Any]) -> str:
    near = f" (did you mean '{fault['suggestion']}'?)" if fault["suggestion"] else ""
    return f"{fault['file']}:{fault['line']}:{fault['column']}: {fault['message']}{near}"
