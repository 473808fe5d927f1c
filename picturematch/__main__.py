"""The command line: `picturematch COMMAND`, or `python -m picturematch COMMAND`."""

import sys
from importlib import import_module

import click

from broker.port import BrokerError
from models.errors import ModelError
from picturematch.options import UserError, config_option

_COMMANDS = ("serve", "demo", "models", "enrol", "events", "sink", "record", "capture", "replay")


class _Commands(click.Group):
    """Imports a command's module only when it is asked for, so that --help does not wait for the networks' libraries."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        command = import_module(f"picturematch.commands.{cmd_name}").command
        assert isinstance(command, click.Command)
        return command


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
    """Run the command line; what the user can put right ends in one sentence and exit status 2."""
    try:
        cli.main(prog_name="picturematch")
    except (BrokerError, ModelError) as error:
        UserError(str(error)).show()
        sys.exit(UserError.exit_code)


if __name__ == "__main__":
    main()
