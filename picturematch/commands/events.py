"""picturematch events: print the events as lines of JSON."""

from pathlib import Path

import click

from contract.kinds import ERASE_KIND, EVENT_KINDS, PEOPLE_KINDS, SITE_KINDS
from picturematch.options import config_option, log_options, settings_of
from picturematch.printing import print_records
from picturematch.shell import DeviceAddress, When
from sinks.console import Choice

_SEVERAL = {"people": (*PEOPLE_KINDS, ERASE_KIND), "site": SITE_KINDS}
"""The options that name several kinds."""


@click.command(
    epilog="""\b
Examples:
  picturematch events --since 10m
  picturematch events --follow --device 192.168.1.22 | jq .outcome"""
)
@config_option
@log_options
@click.option("--follow", "-f", is_flag=True, help="Continue with new events until stopped.")
@click.option(
    "--since", type=When(), help="Only events from this time on: epoch seconds, ISO 8601, or 10m, 2h, 1d ago."
)
@click.option("--device", type=DeviceAddress(), help="Only events of this device_ip.")
@click.option(
    "--kind",
    "kinds",
    multiple=True,
    type=click.Choice([*EVENT_KINDS, ERASE_KIND, *_SEVERAL]),
    help="Only events of this kind; may be given several times. "
    + " ".join(f"{name}: {', '.join(kinds)}." for name, kinds in _SEVERAL.items()),
    show_default="all",
)
@click.option("--limit", type=click.IntRange(min=1), help="End after this number of events.")
@click.pass_context
def command(
    ctx: click.Context,
    broker: str | None,
    data_folder: Path | None,
    follow: bool,
    since: float | None,
    device: str | None,
    kinds: tuple[str, ...],
    limit: int | None,
) -> None:
    """Print the events of a data folder, one JSON object per line, oldest first.

    Exit status: 0 all were printed, 1 records were skipped because they cannot be read (standard error names them), 2
    the command failed.
    """
    settings = settings_of(ctx, broker=broker, data_folder=data_folder)
    choice = Choice(_chosen(kinds), device)
    print_records(
        ctx, settings, settings.topics.events, "event", since_s=since, follow=follow, choice=choice, limit=limit
    )


def _chosen(kinds: tuple[str, ...]) -> frozenset[str]:
    return frozenset(kind for name in kinds for kind in _SEVERAL.get(name, (name,)))
