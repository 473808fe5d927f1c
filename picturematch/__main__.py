"""The command line: `picturematch COMMAND`, or `python -m picturematch COMMAND`."""

import signal
from importlib import import_module
from typing import Any

import click

from picturematch.log_lines import log_to_stderr
from picturematch.options import config_option

_COMMANDS = (
    "serve",
    "ingest",
    "process",
    "topics",
    "demo",
    "models",
    "enrol",
    "migrate",
    "match",
    "compare",
    "fiqa",
    "calibrate",
    "events",
    "seen",
    "sink",
    "record",
    "capture",
    "replay",
    "explain",
    "dead-letters",
    "people",
    "keys",
    "audit",
    "groups",
    "permissions",
    "devices",
    "access",
    "health",
    "config",
    "log",
)

_INTERRUPTED = 128 + signal.SIGINT


class _Commands(click.Group):
    """Imports a command's module only when it is asked for, so that the others need not wait for it."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = import_module(f"picturematch.commands.{cmd_name.replace('-', '_')}").command
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            ctx.exit(_INTERRUPTED)  # click's own 1 is an answer of many commands


@click.command(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Example: picturematch serve",
)
@config_option
@click.version_option(package_name="picturematch")
def cli() -> None:
    """PictureMatch: post a picture, get the answer, and find exactly one durable event of it."""


def main() -> None:
    """Run the command line."""
    log_to_stderr("warning")
    cli.main(prog_name="picturematch")


if __name__ == "__main__":
    main()
