"""picturematch config: the settings in force, and a file to begin with."""

from pathlib import Path

import click

from contract.text import printable
from picturematch.options import config_option, listen_options, log_options, settings_of, sources_of
from picturematch.settings import Settings
from picturematch.settings_listing import DEFAULT, effective_lines, list_settings, sample_lines
from picturematch.shell import echo_json


@click.group(
    invoke_without_command=True,
    epilog="""\b
Examples:
  picturematch config --config picturematch.toml
  picturematch config sample > picturematch.toml""",
)
@config_option
@log_options
@listen_options
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
@click.pass_context
def command(
    ctx: click.Context, broker: str | None, data_folder: Path | None, host: str | None, port: int | None, as_json: bool
) -> None:
    """Print every setting with its effective value and its source: default, settings file, environment variable or
    command line. Secrets are hidden.

    The options are those of `serve`: the settings are those that it would have with them.
    """
    if ctx.invoked_subcommand is not None:
        return
    given = {"broker": broker, "data_folder": data_folder, "ingest__host": host, "ingest__port": port}
    settings, sources = settings_of(ctx, **given), sources_of(ctx, **given)
    if not as_json:
        for line in effective_lines(settings, sources):
            click.echo(printable(line))
        return
    for setting in list_settings(settings):
        echo_json({"setting": setting.path, "value": setting.json, "source": sources.get(setting.path, DEFAULT)})


@command.command(epilog="Example: picturematch config sample > picturematch.toml")
@config_option
def sample() -> None:
    """Print a settings file (TOML) with every setting, its default and its meaning; all lines are commented out."""
    for line in sample_lines(Settings()):
        click.echo(line)
