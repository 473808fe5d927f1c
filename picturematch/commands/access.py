"""picturematch access: whether a person would pass at a device, and why not."""

import time
from pathlib import Path

import click

from contract.text import printable
from picturematch.options import config_option, log_options, pinned_by, settings_of
from picturematch.shell import When, echo_json, run


@click.command(
    epilog="""\b
Examples:
  picturematch access 666666 192.168.1.63
  picturematch access Ada 192.168.1.63 --at 2026-12-24T07:30Z"""
)
@config_option
@click.argument("who")
@click.argument("device")
@log_options
@click.option(
    "--at",
    type=When(),
    show_default="now",
    help="Time of the match: ISO 8601 (UTC where no zone is given), epoch seconds, or 10m, 2h, 1d ago.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
@click.pass_context
def command(
    ctx: click.Context,
    who: str,
    device: str,
    broker: str | None,
    data_folder: Path | None,
    at: float | None,
    as_json: bool,
) -> None:
    """Check whether the person WHO (an id, or a name) would pass at DEVICE (its address), and print each check.

    The command reads the log beside the running server, and decides by the operator's settings as this command reads
    them and by the settings that calls have set. It makes no match and leaves no event. A person for whom all checks
    pass may still be refused for the picture: its quality, its liveness, or that its face is not similar enough.

    Exit status: 0 the person would pass, 1 not, 2 the command failed.
    """
    from engine.access import explain
    from engine.policy import policy_of
    from picturematch.reading import embedder_in_use, read_people  # so that --help does not import the networks

    settings = settings_of(ctx, broker=broker, data_folder=data_folder)
    people = run(read_people(settings))
    time_s = time.time() if at is None else at
    pinned = pinned_by(ctx, broker=broker, data_folder=data_folder)
    policy = policy_of(settings.matching, people.site, pinned)
    checks = explain(who, device, time_s, people, policy, embedder_in_use(settings))
    for check in checks:
        if as_json:
            echo_json({"check": check.name, "passes": check.passes, "sentence": check.sentence})
        else:
            click.echo(printable(f"{'yes' if check.passes else 'NO '}  {check.name}: {check.sentence}"))
    passes = all(check.passes for check in checks)
    if not as_json:
        click.echo("the person would pass" if passes else "the person would not pass")
    ctx.exit(0 if passes else 1)
