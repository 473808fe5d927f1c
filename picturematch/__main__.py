"""The command line: `picturematch COMMAND`, or `python -m picturematch COMMAND`."""

import signal
from importlib import import_module
from typing import Any

import click

from contract.operator_error import OperatorError
from contract.text import printable
from picturematch import __version__
from picturematch.command_list import COMMANDS
from picturematch.importing import collecting_later
from picturematch.log_lines import log_to_stderr
from picturematch.options import UserError, config_option

_MARGINS = 6  # click's, left of, between and right of the two columns
_INTERRUPTED = 128 + signal.SIGINT


class _Commands(click.Group):
    """Imports a command's module only when that command is called, so that the others need not wait for it."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        with collecting_later():
            command: click.Command = import_module(f"picturematch.commands.{cmd_name.replace('-', '_')}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        limit = formatter.width - _MARGINS - max(map(len, COMMANDS))
        rows = [(name, click.Command(name, help=text).get_short_help_str(limit)) for name, text in COMMANDS.items()]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            ctx.exit(_INTERRUPTED)  # click's own 1 is an answer of many commands
        except OperatorError as error:
            raise UserError(printable(str(error))) from error


@click.command(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Example: picturematch serve",
)
@config_option
@click.version_option(__version__)
def cli() -> None:
    """PictureMatch: post a picture, get the answer, and find exactly one durable event of it."""


def main() -> None:
    """Run the command line."""
    log_to_stderr("warning")
    cli.main(prog_name="picturematch")


if __name__ == "__main__":
    main()
