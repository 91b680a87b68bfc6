"""The configuration of a node: flag over environment over file over default, and where each setting came from."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mao import founding_configuration
from mao.errors import BadSetting
from mao.names import name_fault, nearest
from mao.settings import SETTINGS

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Config:
    """Every setting with its value, and where that came from (`origin`)."""

    values: dict[str, Any]
    origin: dict[str, str] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Any:
        return self.values[name]

    @property
    def node(self) -> str:
        name: str = self.values["node.name"]
        return name

    @property
    def home(self) -> Path:
        home: Path = self.values["node.home"]
        return home

    @property
    def listen(self) -> tuple[str, int] | None:
        listen: tuple[str, int] | None = self.values["server.listen"]
        return listen


def _machine_name() -> str:
    name = socket.gethostname().split(".")[0]
    return "node" if name_fault(name) else name


def config_file(environment: Mapping[str, str]) -> Path | None:
    """The file that settings are read from: the first there is of those that interfaces name."""
    if named := environment.get("MAO_CONFIG"):
        return Path(named)
    user = Path(environment.get("XDG_CONFIG_HOME") or Path(environment.get("HOME", "/")) / ".config")
    candidates = (
        *(Path("mao.toml"), Path("config.ini")),
        *(user / "mao" / "config.toml", Path("/etc/mao/config.toml")),
    )
    try:
        return next((path for path in candidates if path.is_file() and _is_ours(path)), None)
    except OSError as error:
        raise BadSetting(f"It cannot be seen whether there is a configuration file: {error}.") from error


def is_founding(path: Path) -> bool:
    """Whether a file that settings are read from is one of the founding program."""
    return path.suffix.lower() == ".ini"


def _is_ours(path: Path) -> bool:
    return not is_founding(path) or founding_configuration.is_one(path)


def _from_file(path: Path) -> dict[str, tuple[str, str]]:
    if is_founding(path):
        return founding_configuration.read(path)
    import tomllib  # noqa: PLC0415  # most nodes have no file, and every command would pay for it

    try:
        tables = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise BadSetting(f"{path} cannot be read: {error}") from error
    found: dict[str, tuple[str, str]] = {}
    for section, settings in tables.items():
        if not isinstance(settings, dict):
            raise BadSetting(f"{path}: '{section}' stands outside a section such as [node].")
        for name, value in settings.items():
            text = " ".join(map(str, value)) if isinstance(value, list) else str(value)
            found[f"{section}.{name}"] = (text, str(path))
    return found


def _from_environment(environment: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    found: dict[str, tuple[str, str]] = {}
    for variable, text in environment.items():
        section, separator, name = variable.removeprefix("MAO_").partition("__")
        if not variable.startswith("MAO_") or not separator:
            continue
        setting = f"{section}.{name}".lower()
        secret = SETTINGS.get(setting.removesuffix("_file"))
        if setting not in SETTINGS and secret is not None and secret.secret:
            found[setting.removesuffix("_file")] = (_content(Path(text), variable), variable)
        else:
            found[setting] = (text, variable)
    return found


def _content(path: Path, variable: str) -> str:
    try:
        return path.read_text("utf-8").strip()
    except (OSError, ValueError) as error:
        raise BadSetting(f"{variable}: {path} cannot be read: {error}") from error


def cluster_file(home: Path) -> Path:
    """What `mao cluster init` and `join` set for the node in `home`; it stands below all that people set."""
    return home / "cluster" / "settings.toml"


def _from_cluster(given: Mapping[str, tuple[str, str]]) -> dict[str, tuple[str, str]]:
    text, _ = given.get("node.home", (SETTINGS["node.home"].default, ""))
    try:
        path = cluster_file(SETTINGS["node.home"].read(text))
        return _from_file(path) if path.is_file() else {}
    except (ValueError, OSError):
        return {}  # the home is refused when it is read below


def load(environment: Mapping[str, str] | None = None, flags: Mapping[str, str] | None = None) -> Config:
    """The settings in force.

    Args:
        environment: in place of the process's own.
        flags: settings by name (`server.listen`) that were given on the command line.

    Raises:
        BadSetting: a setting that does not exist, or a value that it cannot have; with the place it stands in.
    """
    environment = os.environ if environment is None else environment
    given: dict[str, tuple[str, str]] = {"node.name": (_machine_name(), "the machine's name")}
    file = config_file(environment)
    given |= _from_file(file) if file else {}
    given |= _from_environment(environment)
    given |= {name: (text, "the command line") for name, text in (flags or {}).items()}
    given = _from_cluster(given) | given
    values: dict[str, Any] = {}
    origin: dict[str, str] = {}
    for name in given:
        if name not in SETTINGS:
            near = nearest(name, SETTINGS)
            raise BadSetting(
                f"{given[name][1]}: there is no setting '{name}'" + (f"; did you mean '{near}'?" if near else ".")
            )
    for name, setting in SETTINGS.items():
        text, origin[name] = given.get(name, (setting.default, "default"))
        try:
            values[name] = setting.read(text)
        except ValueError as error:
            shown = "(secret)" if setting.secret else text
            raise BadSetting(f"{origin[name]}: {name} = '{shown}': {error}") from error
    return Config(values, origin)
