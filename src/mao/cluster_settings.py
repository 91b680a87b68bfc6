"""What `mao cluster` sets of a node that is in a cluster, below what a person sets."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mao import certificates
from mao.cluster_directory import ClusterDirectory
from mao.errors import BadName, Conflict
from mao.etcd_program import bindable, in_url
from mao.settings import SETTINGS

if TYPE_CHECKING:
    from mao.config import Config


def check(config: Config) -> None:
    """Refuse where a person's own setting would go before those that are to be written."""
    ours = {"default", str(ClusterDirectory(config.home).settings)}
    for name in ("registry.url", "registry.ca", "registry.certificate", "registry.key", "cluster.listen", "cluster.ca"):
        if config.origin[name] not in ours:
            raise Conflict(
                f"{config.origin[name]} sets {name}, which goes before what `mao cluster` sets. Remove it there, and"
                " say it again. For a cluster of nodes around an etcd that exists already, `mao cluster` is not needed:"
                " see docs/how-to/use-an-etcd.md. Nothing was changed."
            )
    if len(config.node) > certificates.LONGEST_NAME:
        raise BadName(
            f"The name '{config.node}' is longer than a certificate can hold ({certificates.LONGEST_NAME} characters)."
            " Set node.name to a shorter one. Nothing was changed."
        )


def settings_of(directory: ClusterDirectory, endpoints: list[str], host: str, port: int) -> dict[str, str]:
    shown = {
        "ca": str(directory.authority),
        "certificate": str(directory.certificate),
        "key": str(directory.key),
    }
    return (
        {"registry.url": f"etcd://{','.join(endpoints)}"}
        | {f"registry.{name}": path for name, path in shown.items()}
        | {"cluster.listen": f"{in_url(bindable(host))}:{port}", "cluster.url": f"https://{in_url(host)}:{port}"}
        | {f"cluster.{name}": path for name, path in shown.items()}
    )


def with_settings(config: Config, settings: dict[str, str]) -> Config:
    """The configuration as it is once these settings are written; what people set goes before them."""
    origin = str(ClusterDirectory(config.home).settings)
    ours = {name: text for name, text in settings.items() if config.origin[name] in {"default", origin}}
    values = config.values | {name: SETTINGS[name].read(text) for name, text in ours.items()}
    return replace(config, values=values, origin=config.origin | dict.fromkeys(ours, origin))
