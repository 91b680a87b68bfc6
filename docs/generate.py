"""Write the files that are made: the schema of mao.yaml and the pages of the reference, and etcd's messages.

python docs/generate.py            write them
python docs/generate.py --check    say which are stale, as a diff, and exit with 1 if any is
"""
# ruff: noqa: INP001 -- a script, no package

from __future__ import annotations

import difflib
import functools
import importlib.util
import inspect
import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mao import errors
from mao.cli import mao
from mao.definition_schema import json_schema
from mao.failures import FAILURES, pause
from mao.settings import SETTINGS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

ROOT = Path(__file__).parent.parent
GENERATED = "<!-- Made by docs/generate.py: change the code that it is made from. -->"

_DEFINITION_HEAD = """{generated}

# The keys of `mao.yaml`

What they mean together, with examples, is in [MAO.md](../../MAO.md). Editors that read JSON Schema take
<{id}>, which is shipped as `mao/schema/mao.yaml.json`.

A duration is a number of seconds or has a unit: `90`, `90 s`, `30m`, `2h`, `7 d`. A size is a number of bytes
or has a unit: `500 MB`, `2 GiB`. A key that is not required may be left out.
"""

_ERRORS_HEAD = """{generated}

# Errors

What the node could not do travels as `application/problem+json` (RFC 9457): its `code` is in the tables, its
`status` is the HTTP status, and the command line ends with the exit status. Anything else is a bug: status
500, exit status 1. A tool that fails is no error of the node but a run in the state `failed`.

Where several things are wrong, `errors` has each of them with its `message`: of a definition with its `line` and
`column`, the `text` of that line, its `path` and a `suggestion`; of arguments with the `argument`.
"""

_FAILURES_HEAD = """{generated}

# Why a remote fails

The `cause` of a run whose data is not published: what it means, what you do, and when MAO tries again by itself. What
to do in general, and more on each decision, is in
[Deal with runs whose data is not published](../how-to/deal-with-unpublished-runs.md). Clones and installations that
fail have the same causes; they are tried again when you ask for it.

Pauses are doubled after each attempt. Here they are those of a node without settings: all of them grow with
`publishing.first_pause`, and none is longer than `publishing.longest_pause` ([configuration](configuration.md)), but a
host that limits exchanges is left alone for a minute in any case. A part of each pause is left to chance, so that nodes
do not come back in the same moment.
"""

_CLI_HEAD = """{generated}

# The command line

A noun, then a verb. Data goes to stdout, what is said about it to stderr, so `$(mao dataset clone NAME)` is a path.
`-o json` prints the values of the HTTP API, `-o ndjson` one of them on each line; then errors are JSON, too. What
stands after `--` goes to the tool exactly as it is. `NO_COLOR` is respected. `mao completion` completes words in bash,
zsh and fish.

| exit status | means |
|---|---|
| 0 | done |
| 1 | a bug; `MAO_DEBUG=1` shows where. `mao doctor`: something fails |
{kinds}| 8 | the run that was waited for did not succeed |
| 130 | interrupted |

The codes of the errors are in [errors.md](errors.md), the settings in [configuration.md](configuration.md).
"""

_CONFIGURATION_HEAD = """{generated}

# Configuration

A flag of `mao serve` wins over the environment, that over the file, and that over the default. The file is the one that
`MAO_CONFIG` names, else `./mao.toml`, else `./config.ini` if that is one of the founding program, else
`$XDG_CONFIG_HOME/mao/config.toml`, else `/etc/mao/config.toml`. It is TOML, with a section for the first part of a
setting's name:

```toml
[node]
name = "neuchatel"
home = "~/mao"

[server]
listen = "127.0.0.1:8080"
```

A setting that does not exist, or a value that it cannot have, is an error that names the place. `mao config show
--origin` shows every setting with its value and where that comes from.

A file whose name ends with `.ini` is read as the
[configuration of the founding program](../how-to/move-from-the-prototype.md#take-its-configuration). What joining a
cluster has set is in `cluster/settings.toml` in the node's home, and stands below all of these but the default.

The variable of a secret may have `_FILE` at its end, and name a file that holds it: `MAO_REGISTRY__PASSWORD_FILE`.

"""

_MORE_VARIABLES = """
The command line reads more variables: `MAO_URL`, the address of the node to ask, where that is not the one in
`node.home`; `MAO_TOKEN`, the token to send there, or `MAO_TOKEN_FILE`, a file that holds it; `MAO_CA`, a file with the
certificate authority (PEM) to trust there; `MAO_DEBUG`, which shows the traceback of a bug; and `NO_COLOR`.
"""


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table in Markdown."""
    names = list(head)
    lines = [names, ["---"] * len(names), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def schema_file() -> str:
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


def definition_page() -> str:
    schema = json_schema()
    newest, second, first = schema["oneOf"]
    page = [_DEFINITION_HEAD.format(generated=GENERATED, id=schema["$id"])]
    for root in (newest, second, first):
        page.append(f"\n## {root['title']}\n\n{root['description']}\n")
        for name, part in _parts(root, schema["$defs"]):
            heading = f"\n### `{name}` in format {root['title'].split()[-1]}\n\n{part['description']}\n" if name else ""
            page.append(heading + "\n" + _keys(name, part, schema))
    return "".join(page)


def _parts(root: dict[str, Any], parts: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The root and every part below that has keys, each once, in the order in which they are met."""
    waiting, seen = [("", root)], set()
    while waiting:
        name, part = waiting.pop(0)
        if name not in seen and "properties" in part:
            seen.add(name)
            yield name, part
            waiting += [(parts[ref]["title"], parts[ref]) for ref in _references(part["properties"])]


def _references(node: Any) -> list[str]:
    if isinstance(node, list):
        return [name for item in node for name in _references(item)]
    if isinstance(node, dict):
        below = _references(list(node.values()))
        return [node["$ref"].rsplit("/", 1)[-1], *below] if "$ref" in node else below
    return []


def _keys(name: str, part: dict[str, Any], schema: dict[str, Any]) -> str:
    rows = []
    for key, about in part["properties"].items():
        default = f"`{json.dumps(about['default'])}`" if "default" in about else ""
        rows.append(
            (
                f"`{key}`",
                _type(about, schema["$defs"]),
                "required" if key in part.get("required", ()) else default,
                _since(name, key, schema),
                about.get("description") or schema["$defs"][_references(about)[0]]["description"],
            )
        )
    return table(("key", "type", "default", "since", "meaning"), rows)


def _since(name: str, key: str, schema: dict[str, Any]) -> str:
    _, second, first = schema["oneOf"]
    older = schema["$defs"].get(f"{name}-0.2", {}).get("properties", {}) if name else second["properties"]
    if name in {"Data", "Repo"} or (not name and key == "Data"):
        return "0.2" if not name or key in older else "1"
    return "0.1" if key in older or (not name and key in first["properties"]) else "1"


_TYPES = {
    ("number", "string"): "duration",
    ("integer", "string"): "size",
    ("string", "number", "boolean"): "text",
    ("string",): "text",
    ("boolean",): "true or false",
    ("integer",): "whole number",
}


def _type(about: dict[str, Any], parts: dict[str, Any]) -> str:
    if "enum" in about:
        return ", ".join(f"`{value}`" for value in about["enum"] if isinstance(value, str))
    if "$ref" in about:
        part = parts[about["$ref"].rsplit("/", 1)[-1]]
        return f"`{part['title']}`" if "properties" in part else _type(part, parts)
    if "anyOf" in about:
        return " or ".join(_type(kind, parts) for kind in about["anyOf"] if kind != {"type": "null"})
    if about["type"] == "array":
        return f"list of {_type(about['items'], parts)}"
    if about["type"] == "object":
        return f"{_type(about['additionalProperties'], parts)} by name"
    kinds = about["type"]
    return _TYPES[tuple([kinds] if isinstance(kinds, str) else kinds)]


def errors_page() -> str:
    page = [_ERRORS_HEAD.format(generated=GENERATED)]
    for kind in sorted(errors.MaoError.__subclasses__(), key=lambda kind: kind.exit_status):
        page.append(f"\n## `{kind.code()}`: HTTP {kind.status}, exit status {kind.exit_status}\n\n{kind.title()}.\n\n")
        page.append(table(("code", "HTTP", "exit", "meaning"), map(_error_row, _leaves(kind))))
    return "".join(page)


def _leaves(kind: type[errors.MaoError]) -> list[type[errors.MaoError]]:
    below = [leaf for child in kind.__subclasses__() for leaf in (child, *_leaves(child))]
    return sorted(below, key=lambda leaf: leaf.code())


def _error_row(leaf: type[errors.MaoError]) -> tuple[str, str, str, str]:
    return f"`{leaf.code()}`", str(leaf.status), str(leaf.exit_status), f"{leaf.title()}."


def failures_page() -> str:
    first, longest = (float(SETTINGS[f"publishing.{name}_pause"].default) for name in ("first", "longest"))
    sections: dict[tuple[float, ...], list[tuple[str, str, str]]] = {}
    for failure in FAILURES:
        pauses = [pause(failure.cause, attempts, first, longest) for attempts in (1, 2, 100)]
        rule = tuple(seconds for seconds in pauses if seconds is not None)
        sections.setdefault(rule, []).append((f"`{failure.cause}`", failure.means, failure.remedy))
    page = [_FAILURES_HEAD.format(generated=GENERATED)]
    for rule, rows in sorted(sections.items(), key=lambda section: section[0] or (float("inf"),)):
        words = [_duration(seconds) for seconds in rule]
        heading = f"Tried again after {words[0]}, then {words[1]}, up to {words[2]}" if words else "Needs a decision"
        page.append(f"\n## {heading}\n\n" + table(("cause", "means", "what you do"), rows))
    return "".join(page)


def _duration(seconds: float) -> str:
    size, unit = next(
        (size, unit) for size, unit in ((3600, "hour"), (60, "minute"), (1, "second")) if seconds % size == 0
    )
    return f"{seconds / size:g} {unit}{'' if seconds == size else 's'}"


def cli_page() -> str:
    kinds = "".join(
        f"| {kind.exit_status} | {kind.title().rstrip('.').lower()} |\n"
        for kind in sorted(errors.MaoError.__subclasses__(), key=lambda kind: kind.exit_status)
    )
    root = click.Context(mao, info_name="mao", terminal_width=100, max_content_width=100)
    return _CLI_HEAD.format(generated=GENERATED, kinds=kinds) + "".join(_commands(root))


def _commands(context: click.Context) -> Iterator[str]:
    """A section for each command at or below that of `context`."""
    if not isinstance(context.command, click.Group):
        yield _command(context)
        return
    for name in context.command.list_commands(context):
        command = context.command.get_command(context, name)
        if command is not None:
            yield from _commands(click.Context(command, context, name, terminal_width=100, max_content_width=100))


def _command(context: click.Context) -> str:
    page = f"\n## `{context.command_path}`\n\n```\n{context.command.get_usage(context).removeprefix('Usage: ')}\n```\n"
    for paragraph in inspect.cleandoc(context.command.help or "").split("\n\n"):
        kept = paragraph.removeprefix("\b\n")
        page += f"\n```\n{kept}\n```\n" if kept != paragraph else f"\n{paragraph}\n"
    options = [option for option in context.command.params if isinstance(option, click.Option)]
    return page + ("\n" + table(("option", "meaning"), map(_option, options)) if options else "")


def _option(option: click.Option) -> tuple[str, str]:
    value = "" if option.is_flag else f" {option.metavar or '|'.join(getattr(option.type, 'choices', ['VALUE']))}"
    default = f" Default: `{option.default}`." if option.show_default else ""
    return f"`{', '.join([*option.opts, *option.secondary_opts])}{value}`", f"{option.help}{default}"


def configuration_page() -> str:
    rows = (
        (
            f"`{name}`",
            f"`MAO_{name.upper().replace('.', '__')}`",
            f"`{setting.default}`" if setting.default else "",
            setting.meaning,
        )
        for name, setting in SETTINGS.items()
    )
    head = _CONFIGURATION_HEAD.format(generated=GENERATED)
    return head + table(("setting", "variable", "default", "meaning"), rows) + _MORE_VARIABLES


def http_page() -> str:
    # Not at the top: what stands beside a script is found only when it runs as one.
    spec = importlib.util.spec_from_file_location("pages_http", ROOT / "docs" / "pages_http.py")
    if spec is None or spec.loader is None:
        raise ImportError("docs/pages_http.py")
    pages = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(pages)
    return str(pages.http_api())


@functools.cache
def etcd_messages(ending: str) -> str:
    """The module of etcd's messages, or its types: made by protoc from `rpc.proto`."""
    from grpc_tools import protoc  # noqa: PLC0415  # slow to load

    with tempfile.TemporaryDirectory() as made:
        flags = [f"--proto_path={ROOT / 'src'}", f"--python_out={made}", f"--pyi_out={made}"]
        if protoc.main(["protoc", *flags, "mao/etcd/rpc.proto"]):
            sys.exit("protoc failed")
        return Path(made, "mao", "etcd", f"rpc_pb2{ending}").read_text(encoding="utf-8")


FILES: dict[str, Callable[[], str]] = {
    "docs/reference/http-api.md": http_page,
    "src/mao/schema/mao.yaml.json": schema_file,
    "docs/reference/definition.md": definition_page,
    "docs/reference/errors.md": errors_page,
    "docs/reference/failures.md": failures_page,
    "docs/reference/cli.md": cli_page,
    "docs/reference/configuration.md": configuration_page,
    "src/mao/etcd/rpc_pb2.py": lambda: etcd_messages(".py"),
    "src/mao/etcd/rpc_pb2.pyi": lambda: etcd_messages(".pyi"),
}


def stale() -> str:
    """What would change if the files were written now, as a diff."""
    diff: list[str] = []
    for name, make in FILES.items():
        path = ROOT / name
        old = path.read_text(encoding="utf-8") if path.exists() else ""
        diff += difflib.unified_diff(old.splitlines(True), make().splitlines(True), name, f"{name} (new)")  # noqa: FBT003
    return "".join(diff)


def write() -> None:
    for name, make in FILES.items():
        path = ROOT / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(make(), encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:] == ["--check"]:
        sys.stdout.write(diff := stale())
        sys.exit(1 if diff else 0)
    write()
