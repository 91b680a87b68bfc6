"""The JSON Schema of `mao.yaml` in all its formats, made from the model: for editors and the reference."""

from __future__ import annotations

import copy
from typing import Any

from mao.definition import Definition
from mao.definition_file import MAY_BE_EMPTY

SCHEMA_ID = "https://mao-orchestrator.org/schema/mao.yaml.json"

_TITLES = {
    "1": ("Format 1", "Marked by `Version: 1`. The one to write new definitions in."),
    "0.2": ("Format 0.2", "Without `Version`; marked by the key `Data`."),
    "0.1": ("Format 0.1", "Without `Version` and `Data`; the dataset is named after the end of `Datarepo`."),
}


def json_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of the file: one of three formats."""
    parts: dict[str, Any] = {}
    newest, second = (_format(version, parts) for version in ("1", "0.2"))
    formats = [newest, second, _first(second, parts)]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": SCHEMA_ID,
        "title": "mao.yaml",
        "description": "The definition of a tool, at the root of its repository.",
        "oneOf": formats,
        "$defs": {name: parts[name] for name in sorted(_referred_to(formats, parts))},
    }


def _format(version: str, parts: dict[str, Any]) -> dict[str, Any]:
    """The root of the format `version`; what it refers to is added to `parts`, as in `Command-0.2`."""
    root = Definition.model_json_schema(ref_template=f"#/$defs/{{model}}-{version}")
    below = {f"{name}-{version}": part for name, part in root.pop("$defs").items()}
    for part in (root, *below.values()):
        _tidy(part, version)
    data = below[f"Data-{version}"]
    if version == "1":
        data["anyOf"] = [
            {"required": ["Local"]},
            {"required": ["Fresh"], "properties": {"Fresh": {"const": True}}},
        ]
        root["properties"]["Version"]["enum"] = [1, "1"]
        root["properties"]["Version"].pop("type")
        root["required"] = ["Version", *root["required"]]
    else:
        data["required"] = ["Local", *data["required"]]
        del root["properties"]["Version"]
    parts.update(below)
    return _titled(version, root)


def _first(second: dict[str, Any], parts: dict[str, Any]) -> dict[str, Any]:
    root = copy.deepcopy(second)
    data, repo = parts["Data-0.2"]["properties"], parts["Repo-0.2"]["properties"]
    instead = {"Datadir": data["Local"], "Datarepo": repo["Remote"]}
    root["properties"] = {
        key: schema
        for name, old in root["properties"].items()
        for key, schema in (instead.items() if name == "Data" else [(name, old)])
    }
    root["required"] = [key for name in root["required"] for key in (instead if name == "Data" else [name])]
    return _titled("0.1", root)


def _titled(version: str, root: dict[str, Any]) -> dict[str, Any]:
    title, description = _TITLES[version]
    return root | {"title": title, "description": description}


def _tidy(part: dict[str, Any], version: str) -> None:
    """Leave out what the format does not have, and None, which only the model has."""
    properties = part.get("properties", {})
    for key, schema in list(properties.items()):
        since = schema.pop("x-since", None)
        if since and version != since:
            del properties[key]
            continue
        schema.pop("title", None)
        if schema.get("default") in (None, "", [], {}) and "default" in schema:
            del schema["default"]
        kinds = [kind for kind in schema.pop("anyOf", []) if kind != {"type": "null"}]
        if len(kinds) == 1 and key not in MAY_BE_EMPTY:
            properties[key] = kinds[0] | schema
        elif kinds:
            schema["anyOf"] = kinds
        if key in MAY_BE_EMPTY:
            _let_be_empty(properties, key)


def _let_be_empty(properties: dict[str, Any], key: str) -> None:
    schema = properties[key]
    about = {"description": schema.pop("description")}
    kinds = schema.get("anyOf", [schema])
    properties[key] = about | {"anyOf": [*kinds, {"type": "null"}]}


def _referred_to(node: Any, parts: dict[str, Any]) -> set[str]:
    if isinstance(node, list):
        return set().union(*(_referred_to(item, parts) for item in node))
    if not isinstance(node, dict):
        return set()
    found = _referred_to(list(node.values()), parts)
    if reference := node.get("$ref"):
        name = reference.rsplit("/", 1)[-1]
        found |= {name} | _referred_to(parts[name], parts)
    return found
