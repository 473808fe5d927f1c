"""picturematch config: the settings in force, and a file to begin with."""

import click

from contract.text import printable
from picturematch.options import config_option, settings_of, sources_of
from picturematch.settings import Settings
from picturematch.settings_listing import effective_lines, list_settings, sample_lines, source_of
from picturematch.shell import echo_json


@click.group(
    invoke_without_command=True,
    epilog="""\b
Examples:
  picturematch config --config picturematch.toml
  picturematch config sample > picturematch.toml""",
)
@config_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> None:
    """Print every setting with its effective value and the source that it came from: default, settings file or
    environment variable. Secrets are hidden.

    A command's own options (such as --port) override these settings for that command.
    """
    if ctx.invoked_subcommand is not None:
        return
    settings, sources = settings_of(ctx), sources_of(ctx)
    if not as_json:
        for line in effective_lines(settings, sources):
            click.echo(printable(line))
        return
    for setting in list_settings(settings):
        echo_json({"setting": setting.path, "value": setting.shown, "source": source_of(setting.path, sources)})


@command.command(epilog="Example: picturematch config sample > picturematch.toml")
def sample() -> None:
    """Print a settings file (TOML) with every setting, its default and its meaning; all lines are commented out."""
    for line in sample_lines(Settings()):
        click.echo(line)
