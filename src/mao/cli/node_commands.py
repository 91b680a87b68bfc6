"""The commands that need no node that answers: serve one, show its configuration, complete words in a shell."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING, Any

import click

from mao.cli.options import output_option
from mao.cli.output import Output, say

if TYPE_CHECKING:
    from types import FrameType

    from mao.config import Config

_SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.option("--listen", metavar="HOST:PORT", help="Address and port of the HTTP server (server.listen).")
@click.option(
    "--behind-proxy",
    is_flag=True,
    help="A proxy with TLS stands before that address, and nobody else reaches it (server.behind_proxy).",
)
@click.option("--home", metavar="DIRECTORY", help="Where tools, runs, data and clones are (node.home).")
@click.option("--name", help="Name of this node in the cluster and in commits (node.name).")
@click.option("--print-link", is_flag=True, help="Print a link for a browser, also if this is no terminal.")
def serve(listen: str | None, home: str | None, name: str | None, *, behind_proxy: bool, print_link: bool) -> None:
    """Serve this node: its HTTP API, and the loop that installs, runs and publishes.

    It serves until Ctrl-C or SIGTERM. Runs and installers go on without it, and are taken up at the next start.
    """
    from mao import config
    from mao.web.server import serve

    flags = {"server.listen": listen, "node.home": home, "node.name": name}
    flags |= {"server.behind_proxy": "true"} if behind_proxy else {}
    settings = config.load(flags={setting: text for setting, text in flags.items() if text is not None})
    _log()
    # While the server does not take signals yet, or no longer, the node is open all the same, and to be closed.
    signal.signal(signal.SIGTERM, _end)
    signal.signal(signal.SIGINT, _end)
    link = print_link or sys.stderr.isatty()
    serve(settings, lambda address, url: _told(settings, address, url), link=link)


def _end(_number: int, _frame: FrameType | None) -> None:
    sys.exit(0)


def _told(settings: Config, address: str | None, link: str | None) -> None:
    where = f"answers at {address}" if address else "answers at its socket alone"
    say(f"Node '{settings.node}' {where}, with its home in {settings.home}.")
    if link:
        from mao.tokens import LINK

        say(f"In a browser, this link signs in, once, within {LINK.seconds // 60} minutes:\n\n  {link}\n")
    if address:
        say("You need nothing more; others need a token ('mao token create'), browsers a link ('mao token link').")
    if settings["cluster.listen"]:
        from mao.attending import url_of

        say(f"Other nodes of its cluster reach it at {url_of(settings) or 'no address yet: set cluster.url'}.")
    say("Ctrl-C or SIGTERM stops it; runs go on and are taken up at the next start.")


def _log() -> None:
    import logging

    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=logging.INFO)


@click.group()
def config() -> None:
    """Look at the configuration."""


@config.command()
@click.option("--origin", is_flag=True, help="Say where each value comes from.")
@output_option
def show(*, origin: bool, output: Output) -> None:
    """Show every setting with its value.

    A flag wins over the environment (MAO_SECTION__NAME), that over the file, and that over the default.
    """
    import os

    from mao import config, founding_configuration
    from mao.settings import SETTINGS

    loaded = config.load()
    settings = [
        {"setting": name, "value": "(secret)" if value and SETTINGS[name].secret else _text(value)}
        | ({"origin": loaded.origin[name]} if origin else {})
        for name, value in loaded.values.items()
    ]
    columns = {"SETTING": lambda s: s["setting"], "VALUE": lambda s: s["value"]}
    output.values(settings, columns | ({"ORIGIN": lambda s: s["origin"]} if origin else {}), "")
    file = config.config_file(os.environ)
    if origin and file and config.is_founding(file) and (left := founding_configuration.passed_over(file)):
        say(f"Of {file}, this is passed over: {', '.join(left)}.")


def _text(value: Any) -> str:
    match value:
        case (str(host), int(port)):
            return f"{host}:{port}"
        case tuple():
            return " ".join(map(str, value))
        case bool():
            return str(value).lower()
        case None:
            return ""
        case float():
            return f"{value:g}"
        case _:
            return str(value)


@click.command()
@click.argument("shell", type=click.Choice(_SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print what completes mao's words in SHELL.

    \b
    bash:  eval "$(mao completion bash)"        in ~/.bashrc
    zsh:   eval "$(mao completion zsh)"         in ~/.zshrc
    fish:  mao completion fish | source         in ~/.config/fish/config.fish
    """  # noqa: D301  # click knows the character \b, not its name
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    if kind is None:
        raise AssertionError(f"click knows no {shell}")
    click.echo(kind(context.find_root().command, {}, "mao", "_MAO_COMPLETE").source())
