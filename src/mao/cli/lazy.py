"""Groups of commands that are imported when they are used: a command pays for its own imports alone."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Mapping


class LazyGroup(click.Group):
    """A group whose commands are given by name, each as `module:attribute`; some may be here at once."""

    def __init__(self, *args: Any, lazy: Mapping[str, str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lazy = lazy

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        return [*self.commands, *self._lazy]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self._lazy:
            return super().get_command(ctx, cmd_name)
        module, _, attribute = self._lazy[cmd_name].partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        wanted = args[0]
        known = self.list_commands(ctx)
        if wanted not in known and not wanted.startswith("-") and not ctx.resilient_parsing:
            from mao.names import nearest

            near = nearest(wanted, known)
            hint = f"; did you mean '{near}'?" if near else "."
            raise click.UsageError(f"There is no command '{wanted}'{hint}", ctx)
        return super().resolve_command(ctx, args)
