"""The settings of a node: flag over environment over file over default, and where each one came from."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mao.errors import BadSetting
from mao.names import name_fault, nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_UNITS = {"": 1, "kB": 1000, "MB": 1000**2, "GB": 1000**3}
_LAST_PORT = 65535
_WEEK = 7 * 86_400
_MOST_DAYS = 36_600
_YEAR = 366 * 86_400


def _name(text: str) -> str:
    if fault := name_fault(text):
        raise ValueError(fault)
    return text


def _listen(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or int(port) > _LAST_PORT:
        raise ValueError("must be HOST:PORT, as in 127.0.0.1:8080")
    host = host.strip("[]")
    if host not in {"127.0.0.1", "::1", "localhost"}:
        raise ValueError("must be a loopback address for now: this version has no access control for others")
    return host, int(port)


def _registry(text: str) -> str:
    if text != "sqlite":
        raise ValueError("must be 'sqlite': this version has no other registry")
    return text


def _size(text: str) -> int:
    number = text.rstrip("kMGB ")
    unit = text[len(number) :].strip()
    if not number.isdigit() or unit not in _UNITS:
        raise ValueError("must be a number of bytes, kB, MB or GB, as in '10 MB'")
    return int(number) * _UNITS[unit]


def _home(text: str) -> Path:
    if not text:
        raise ValueError("must not be empty")
    try:
        return Path(text).expanduser().absolute()
    except RuntimeError as error:
        raise ValueError("begins with '~', and that user has no home directory") from error


def _seconds(most: int) -> Callable[[str], float]:
    def read(text: str) -> float:
        if not 0 < float(text) <= most:
            raise ValueError(f"must be more than 0 and at most {most}")
        return float(text)

    return read


def _days(text: str) -> float:
    if not 0 < float(text) <= _MOST_DAYS:
        raise ValueError(f"must be more than 0 and at most {_MOST_DAYS}")
    return float(text)


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise ValueError("must be a whole number from 1")
    return int(text)


def _switch(text: str) -> bool:
    if text.lower() not in {"true", "false"}:
        raise ValueError("must be true or false")
    return text.lower() == "true"


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.replace(",", " ").split())


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting: how its text is read, what it is if nobody gives it, and what it means."""

    read: Callable[[str], Any]
    default: str
    meaning: str


SETTINGS: dict[str, Setting] = {
    "node.name": Setting(
        _name, "", "Name of this node in the cluster and in commits; the machine's name if not given."
    ),
    "node.home": Setting(_home, "~/mao", "Directory of tools, runs, data and clones."),
    "server.listen": Setting(_listen, "127.0.0.1:8080", "Address and port of the HTTP server."),
    "registry.url": Setting(_registry, "sqlite", "Registry of tools and datasets: `sqlite`, embedded."),
    "runs.limit": Setting(_count, "8", "Runs at the same time."),
    "runs.log_limit": Setting(
        _size,
        "50 MB",
        "Output of one run or installer that is kept; what comes after is dropped, and said so.",
    ),
    "runs.time_limit": Setting(
        _seconds(_YEAR), "86400", "Seconds until a run is ended, where its definition does not say."
    ),
    "runs.pass_environment": Setting(
        _names,
        "PATH HOME USER LOGNAME LANG LC_ALL LC_CTYPE TZ TMPDIR SSL_CERT_FILE SSL_CERT_DIR"
        " http_proxy https_proxy no_proxy",
        "Variables of the node's environment that tools and installers get.",
    ),
    "runs.keep_data": Setting(
        _days,
        "30",
        "Days for which the files of a run stay on this node once the dataset has them. Those of which the dataset has"
        " not been seen to have them stay for as long as it takes.",
    ),
    "runs.keep_logs": Setting(
        _days,
        "365",
        "Days for which the log of a run that has ended stays, and what it wrote if it did not succeed.",
    ),
    "install.time_limit": Setting(_seconds(_YEAR), "3600", "Seconds until an installer is ended."),
    "git.time_limit": Setting(_seconds(_WEEK), "600", "Seconds until one exchange with a remote is ended."),
    "git.allow_http": Setting(_switch, "false", "Whether remotes without encryption (http://) are allowed."),
    "git.author_email": Setting(str, "", "E-mail address in the commits of this node; `mao@<node>` if not given."),
    "publishing.first_pause": Setting(
        _seconds(_YEAR),
        "5",
        "Seconds until a push is tried again after the network failed, then doubled; multiples of it for other causes.",
    ),
    "publishing.longest_pause": Setting(
        _seconds(_YEAR),
        "3600",
        "Seconds that the growing pauses reach at most; a host that limits pushes is given a minute in any case.",
    ),
    "publishing.dataset_limit": Setting(
        _size, "10 GB", "Size of a dataset past which its host warns; `mao dataset show` tells how far away it is."
    ),
}


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
    def listen(self) -> tuple[str, int]:
        listen: tuple[str, int] = self.values["server.listen"]
        return listen


def _machine_name() -> str:
    name = socket.gethostname().split(".")[0]
    return "node" if name_fault(name) else name


def config_file(environment: Mapping[str, str]) -> Path | None:
    """The file that settings are read from: the first there is of those that interfaces name."""
    if named := environment.get("MAO_CONFIG"):
        return Path(named)
    user = Path(environment.get("XDG_CONFIG_HOME") or Path(environment.get("HOME", "/")) / ".config")
    candidates = (Path("mao.toml"), user / "mao" / "config.toml", Path("/etc/mao/config.toml"))
    try:
        return next((path for path in candidates if path.is_file()), None)
    except OSError as error:
        raise BadSetting(f"It cannot be seen whether there is a configuration file: {error}.") from error


def _from_file(path: Path) -> dict[str, tuple[str, str]]:
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
        if variable.startswith("MAO_") and separator:
            found[f"{section}.{name}".lower()] = (text, variable)
    return found


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
            raise BadSetting(f"{origin[name]}: {name} = '{text}': {error}") from error
    return Config(values, origin)
